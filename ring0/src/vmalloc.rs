//! Heap blocks larger than a block of frames (tables that have grown beyond 4 MiB): single frames, contiguous only where they are
//! mapped here. Such blocks are rare, so each costs a walk of the tables a page, and its end a flush of every CPU.

use crate::frame;
use crate::ipi;
use crate::lock::Lock;
use crate::paging::kernel;
use crate::sched;
use core::ptr::null_mut;
use linker::addr::KernelVa;
use linker::layout::{KERNEL_VMALLOC, KERNEL_VMALLOC_BYTES, PAGE_SIZE};

/// Pages of the smallest slots, as a power of two.
const FIRST_ORDER: usize = frame::MAX_ORDER + 1;
/// Sizes of slots: 8 MiB to 1 GiB. Each has an equal part of the area.
const ORDERS: usize = 8;
const PART_BYTES: u64 = KERNEL_VMALLOC_BYTES / ORDERS as u64;
/// Words of 64 slots in the part of the smallest.
const WORDS: usize = (PART_BYTES / (PAGE_SIZE << FIRST_ORDER) / 64) as usize;

/// A bit a slot that is in use.
static USED: Lock<[[u64; WORDS]; ORDERS]> = Lock::new([[0; WORDS]; ORDERS]);

/// `bytes` of memory, aligned to a page; null where there is no room. Never takes the frames that the kernel keeps in reserve.
#[cold]
pub fn alloc(bytes: usize) -> *mut u8 {
    let pages = bytes.div_ceil(PAGE_SIZE as usize);
    let Some(size) = size_of_slot(pages).filter(|_| frame::can_spare(pages as u64)) else { return null_mut() };
    let Some(slot) = take_slot(size) else { return null_mut() };
    let start = address(size, slot);
    for page in 0..pages {
        let Some(block) = frame::alloc_kernel(0) else {
            release(start, page);
            give_slot(size, slot);
            return null_mut();
        };
        if kernel::map_for_now(after(start, page as u64 * PAGE_SIZE), block.pfn).is_err() {
            frame::free_kernel(block.pfn, 0);
            release(start, page);
            give_slot(size, slot);
            return null_mut();
        }
    }
    start.raw() as *mut u8
}

/// Gives back what `alloc` gave for as many bytes.
#[cold]
pub fn free(block: *mut u8, bytes: usize) {
    let pages = bytes.div_ceil(PAGE_SIZE as usize);
    let size = size_of_slot(pages).expect("a block of this size was given");
    let offset = block as u64 - KERNEL_VMALLOC.raw() - size as u64 * PART_BYTES;
    release(KernelVa::new(block as u64), pages);
    give_slot(size, (offset / slot_bytes(size)) as usize);
}

/// Whether an address lies in such a block.
pub fn contains(address: u64) -> bool {
    (KERNEL_VMALLOC.raw()..KERNEL_VMALLOC.raw() + KERNEL_VMALLOC_BYTES).contains(&address)
}

/// Takes the pages away on every CPU, and only then frees their frames.
fn release(start: KernelVa, pages: usize) {
    let each = || (0..pages as u64).map(|page| after(start, page * PAGE_SIZE));
    each().for_each(kernel::disable);
    kernel::flush_here();
    ipi::flush_others(sched::all_others());
    for page in each() {
        frame::free_kernel(kernel::take(page), 0);
    }
}

/// The index of the smallest slots that hold so many pages.
fn size_of_slot(pages: usize) -> Option<usize> {
    let order = pages.checked_next_power_of_two()?.trailing_zeros() as usize;
    Some(order.saturating_sub(FIRST_ORDER)).filter(|size| *size < ORDERS)
}

fn slot_bytes(size: usize) -> u64 {
    PAGE_SIZE << (FIRST_ORDER + size)
}

fn address(size: usize, slot: usize) -> KernelVa {
    after(KERNEL_VMALLOC, size as u64 * PART_BYTES + slot as u64 * slot_bytes(size))
}

/// An address in the area, which ends far below the end of all addresses.
fn after(start: KernelVa, bytes: u64) -> KernelVa {
    KernelVa::new(start.raw() + bytes)
}

fn take_slot(size: usize) -> Option<usize> {
    let mut used = USED.lock();
    let slots = (PART_BYTES / slot_bytes(size)) as usize;
    let words = &mut used[size][..slots.div_ceil(64)];
    let word = words.iter().position(|word| *word != u64::MAX)?;
    let bit = words[word].trailing_ones() as usize;
    words[word] |= 1 << bit;
    Some(word * 64 + bit)
}

fn give_slot(size: usize, slot: usize) {
    USED.lock()[size][slot / 64] &= !(1 << (slot % 64));
}
