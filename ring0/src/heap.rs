//! The kernel heap. Blocks up to 2 KiB come from size classes: a free list of each CPU, filled from a shared one, filled
//! from frames. Bigger ones are whole blocks of frames, the largest single frames that are mapped together (`vmalloc`). Frames that
//! became small blocks stay so.

use crate::frame;
use crate::lock::Lock;
use crate::percpu::cpu;
use crate::vmalloc;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::null_mut;
use linker::layout::{DIRECT_MAP, PAGE_SIZE};

const CLASSES: usize = 14;
/// Sizes of the classes. Each divides its slab into blocks aligned to 16 bytes; powers of two are aligned to themselves.
const SIZES: [usize; CLASSES] = [16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048];
const MAX_SMALL: usize = SIZES[CLASSES - 1];
/// A CPU keeps at most this many bytes of a class to itself, and moves half of that at a time.
const CACHE_BYTES: usize = 16 << 10;
/// Bytes of the longest buffer that a request to the host has.
const MAX_BUFFER: usize = linker::control::MAX_MESSAGE;
/// Order of the frames that are cut up.
const SLAB_ORDER: usize = 2;

/// The class of a size in 16-byte units.
const CLASS_OF: [u8; MAX_SMALL / 16 + 1] = {
    let mut table = [0; MAX_SMALL / 16 + 1];
    let mut units = 0;
    let mut class = 0;
    while units < table.len() {
        if units * 16 > SIZES[class] {
            class += 1;
        }
        table[units] = class as u8;
        units += 1;
    }
    table
};

/// A free block.
struct Free {
    next: *mut Free,
}

#[derive(Clone, Copy)]
struct List {
    head: *mut Free,
    len: usize,
}

impl List {
    const EMPTY: Self = Self { head: null_mut(), len: 0 };

    #[inline]
    fn pop(&mut self) -> *mut Free {
        let block = self.head;
        if !block.is_null() {
            // SAFETY: blocks on the list are free and were linked by `push`.
            self.head = unsafe { (*block).next };
            self.len -= 1;
        }
        block
    }

    /// # Safety
    /// `block` is free, 16 bytes at least, and on no list.
    #[inline]
    unsafe fn push(&mut self, block: *mut Free) {
        // SAFETY: passed on to the caller.
        unsafe { (*block).next = self.head };
        self.head = block;
        self.len += 1;
    }
}

// SAFETY: the blocks on a list belong to the list, wherever it goes.
unsafe impl Send for List {}

/// A CPU's own free lists.
pub struct HeapCache([List; CLASSES]);

impl HeapCache {
    /// Empty.
    pub const fn new() -> Self {
        Self([List::EMPTY; CLASSES])
    }
}

static SHARED: [Lock<List>; CLASSES] = [const { Lock::new(List::EMPTY) }; CLASSES];

struct Heap;

#[global_allocator]
static HEAP: Heap = Heap;

fn class(layout: Layout) -> Option<usize> {
    // A size rounded up to its alignment lies in a class that is a multiple of it: powers of two have classes of their own.
    let size = if layout.align() > 16 { layout.size().max(layout.align()).next_power_of_two() } else { layout.size() };
    CLASS_OF.get(size.div_ceil(16)).map(|&class| usize::from(class))
}

fn order(layout: Layout) -> usize {
    let bytes = layout.size().max(layout.align());
    bytes.div_ceil(PAGE_SIZE as usize).next_power_of_two().trailing_zeros() as usize
}

// SAFETY: a block is on at most one list or handed out, and classes and orders are functions of the layout alone.
unsafe impl GlobalAlloc for Heap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class(layout) else { return alloc_big(layout, false) };
        // SAFETY: only this CPU uses its cache; `refill` does not come back here.
        let list = unsafe { &mut (&mut *cpu().heap.get()).0[class] };
        let block = list.pop();
        if block.is_null() { refill(list, class) } else { block.cast() }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(class) = class(layout) else { return free_big(block, layout) };
        // SAFETY: as in `alloc`; the caller gives the block back.
        unsafe {
            let list = &mut (&mut *cpu().heap.get()).0[class];
            list.push(block.cast());
            if list.len * SIZES[class] > CACHE_BYTES {
                spill(list, class);
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if class(layout).is_none() {
            return alloc_big(layout, true);
        }
        // SAFETY: passed on to the caller.
        let block = unsafe { self.alloc(layout) };
        if !block.is_null() {
            // SAFETY: the block is ours and of that size.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }
}

fn alloc_big(layout: Layout, zeroed: bool) -> *mut u8 {
    let order = order(layout);
    let block = if order > frame::MAX_ORDER { None } else { frame::alloc_kernel(order) };
    let (start, zero) = match block {
        Some(block) => (frame::frame_ptr(block.pfn), block.zero),
        // Also where there are frames enough, but none side by side. (What is shorter may be a buffer of a request, which the host
        // finds by one physical address.)
        None if layout.size() > MAX_BUFFER && layout.align() <= PAGE_SIZE as usize => {
            (vmalloc::alloc(layout.size()), false)
        }
        None => (null_mut(), false),
    };
    if zeroed && !zero && !start.is_null() {
        // SAFETY: the block is ours and at least that long.
        unsafe { start.write_bytes(0, layout.size()) };
    }
    start
}

fn free_big(block: *mut u8, layout: Layout) {
    if vmalloc::contains(block as u64) {
        vmalloc::free(block, layout.size());
    } else {
        frame::free_kernel((block as u64 - DIRECT_MAP.raw()) / PAGE_SIZE, order(layout));
    }
}

#[cold]
fn refill(list: &mut List, class: usize) -> *mut u8 {
    let batch = (CACHE_BYTES / 2 / SIZES[class]).clamp(2, 64);
    let mut shared = SHARED[class].lock();
    if shared.head.is_null() && !cut_slab(&mut shared, SIZES[class]) {
        return null_mut();
    }
    let block = shared.pop();
    for _ in 1..batch {
        let more = shared.pop();
        if more.is_null() {
            break;
        }
        // SAFETY: just taken off the shared list.
        unsafe { list.push(more) };
    }
    block.cast()
}

/// Cuts new frames into blocks; the first one is handed out first.
fn cut_slab(list: &mut List, size: usize) -> bool {
    let (block, bytes) = match frame::alloc_kernel(SLAB_ORDER) {
        Some(block) => (block, (PAGE_SIZE as usize) << SLAB_ORDER),
        None => match frame::alloc_kernel(0) {
            Some(block) => (block, PAGE_SIZE as usize),
            None => return false,
        },
    };
    let start = frame::frame_ptr(block.pfn);
    for index in (0..bytes / size).rev() {
        // SAFETY: each block is a part of the new frames, which nobody else has.
        unsafe { list.push(start.add(index * size).cast()) };
    }
    true
}

#[cold]
fn spill(list: &mut List, class: usize) {
    let mut shared = SHARED[class].lock();
    for _ in 0..list.len / 2 {
        let block = list.pop();
        // SAFETY: just taken off this CPU's list.
        unsafe { shared.push(block) };
    }
}
