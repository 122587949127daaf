//! Physical memory: typed, reference-counted frames. One 8-byte `Meta` a frame, never touched before the frame is, so that
//! memory the sandbox has not used costs the host nothing.
//!
//! Recycled frames come first (warm in the host), as a buddy system of orders 0 to 10; then the *wilderness*: RAM that
//! nobody has touched, known to be zero and never zeroed here (`pool`). Single frames pass through a cache of each CPU. What stays free
//! goes back to the host (`report`).
//!
//! User frames (`Kind::User`) are what `sentry::platform::Frame` names; a number that is not a live user frame panics.

mod pool;
pub mod report;

pub use pool::Block;

use self::pool::{ORDERS, Pool};
use crate::lock::Lock;
use crate::percpu::{attention, cpu};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use linker::addr::GuestPa;
use linker::boot::BootInfo;
use linker::layout::{DIRECT_MAP, FRAME_META_BYTES, LARGE_PAGE_SIZE, PAGE_SIZE, frame_table};
use sentry::platform::{Frame, MemoryInfo, NoMemory};
use spin::Once;

/// Largest order: 4 MiB.
pub const MAX_ORDER: usize = ORDERS - 1;
/// Order of a large page.
pub const LARGE_ORDER: usize = 9;
/// Frames in a CPU's cache, and how many move at a time.
const CACHE: usize = 64;
const BATCH: usize = 1 << BATCH_ORDER;
const BATCH_ORDER: usize = 5;

// A refill may begin with one frame less than a batch, and end with a block of a whole one.
const _: () = assert!(BATCH - 1 + BATCH <= CACHE);

/// What a frame is used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Not handed out yet, or not ours to hand out: what memory that nobody wrote says.
    #[expect(dead_code, reason = "zeroed metadata is this kind")]
    Wild = 0,
    /// First frame of a free block; the block's order is in `Meta`.
    Free = 1,
    /// Untyped memory of the sentry's, reference-counted.
    User = 2,
    /// Kernel heap, stacks.
    Kernel = 3,
    /// A page table.
    Table = 4,
    /// In a CPU's cache, or inside a free block.
    Cached = 5,
    /// First frame of a free block that the host has taken back: zero. The block's order is in `Meta`.
    Given = 6,
}

const KIND_SHIFT: u32 = 56;
const ORDER_SHIFT: u32 = 48;
const COUNT_MASK: u64 = (1 << ORDER_SHIFT) - 1;

/// Kind, order (of a free block) and reference count (of a user frame) in one word.
struct Meta(AtomicU64);

const _: () = assert!(size_of::<Meta>() as u64 == FRAME_META_BYTES);

impl Meta {
    /// Panics when frame `pfn`, whose this is, is not a live user frame.
    #[inline]
    fn check_user(&self, pfn: u64) {
        let now = self.0.load(Ordering::Relaxed);
        if !is_live(now) {
            not_live(pfn, now);
        }
    }
}

/// Whether a word is that of a live user frame: its kind, no order, a reference at least. One comparison, for it is done all the time.
const fn is_live(now: u64) -> bool {
    now.wrapping_sub(word(Kind::User, 0, 1)) < COUNT_MASK
}

const _: () = assert!(is_live(word(Kind::User, 0, 1)) && is_live(word(Kind::User, 0, COUNT_MASK)));
const _: () = assert!(!is_live(word(Kind::User, 0, 0)) && !is_live(word(Kind::User, 1, 0)));
const _: () = assert!(!is_live(word(Kind::Cached, 0, 0)) && !is_live(word(Kind::Kernel, 0, 0)) && !is_live(0));

const fn word(kind: Kind, order: usize, count: u64) -> u64 {
    (kind as u64) << KIND_SHIFT | (order as u64) << ORDER_SHIFT | count
}

/// The pointer to `pa` in the direct map.
#[inline]
pub fn direct<T>(pa: u64) -> *mut T {
    (DIRECT_MAP.raw() + pa) as *mut T
}

/// The pointer to frame `pfn` in the direct map.
#[inline]
pub fn frame_ptr(pfn: u64) -> *mut u8 {
    direct(pfn * PAGE_SIZE)
}

struct Frames {
    meta: &'static [Meta],
    total: u64,
    /// User frames are refused when fewer than this are free, so that the kernel itself does not run dry.
    reserve: u64,
}

static FRAMES: Once<Frames> = Once::new();
static POOL: Lock<Pool> = Lock::new(Pool::new());
/// Free frames of all kinds, those in caches included.
static FREE: AtomicU64 = AtomicU64::new(0);
static FRESH: AtomicU64 = AtomicU64::new(0);

/// A CPU's own free frames; bit 63 marks one that is known to be zero.
pub struct FrameCache {
    frames: [u64; CACHE],
    len: usize,
}

const ZERO_MARK: u64 = 1 << 63;

impl FrameCache {
    /// Empty.
    pub const fn new() -> Self {
        Self { frames: [0; CACHE], len: 0 }
    }
}

/// Takes over all memory from `boot.free` on.
pub fn init(boot: &BootInfo) {
    let end = boot.ram.iter().map(|range| range.start.raw() + range.len).max().unwrap_or(0) / PAGE_SIZE;
    let free = boot.free.page_ceil().unwrap_or(boot.free).raw();
    let (meta_at, first) = frame_table(free, end * PAGE_SIZE);
    // SAFETY: `free` begins memory that nobody uses, and the array fits below the end of low RAM (8 bytes for 4096);
    // zero bytes are valid `Meta`s.
    let meta = unsafe { core::slice::from_raw_parts(direct::<Meta>(meta_at).cast_const(), end as usize) };

    // The host has a large page for the first of it. What is left below the table comes last: there are no large pages behind it.
    let low = boot.ram[0].start.raw() + boot.ram[0].len;
    let split = (first + LARGE_PAGE_SIZE).min(low);
    let high = boot.ram[1].start.raw()..boot.ram[1].start.raw() + boot.ram[1].len;
    let ranges = [(first, split), (split, low), (high.start, high.end), (free, meta_at)];
    let total = POOL.lock().begin(ranges.map(|(start, end)| (start / PAGE_SIZE, end / PAGE_SIZE)).into_iter());
    FREE.store(total, Ordering::Relaxed);
    FRESH.store(total, Ordering::Relaxed);
    FRAMES.call_once(|| Frames { meta, total, reserve: (total / 64).max(512).min(total / 8) });
}

fn frames() -> &'static Frames {
    FRAMES.get().expect("frames are used after boot has found them")
}

fn meta(pfn: u64) -> &'static Meta {
    &frames().meta[pfn as usize]
}

/// Sizes for the sentry.
pub fn info() -> MemoryInfo {
    MemoryInfo { total_pages: frames().total, free_pages: FREE.load(Ordering::Relaxed) + report::isolated() }
}

/// A user frame with one reference.
#[inline]
pub fn alloc_user(zeroed: bool) -> Result<u64, NoMemory> {
    if FREE.load(Ordering::Relaxed) < frames().reserve {
        return Err(NoMemory);
    }
    let block = take_cached().ok_or(NoMemory)?;
    if zeroed && !block.zero {
        zero_frame(block.pfn);
    }
    meta(block.pfn).0.store(word(Kind::User, 0, 1), Ordering::Relaxed);
    Ok(block.pfn)
}

/// Adds `count` user frames with one reference each, in few blocks of consecutive ones if they are many. `NoMemory`: it added fewer.
pub fn alloc_many(count: usize, to: &mut Vec<Frame>) -> Result<(), NoMemory> {
    to.reserve(count);
    let mut left = count;
    while left >= BATCH {
        let order = (left.ilog2() as usize).min(MAX_ORDER);
        if !can_spare(1 << order) {
            break;
        }
        let Some(block) = take_run(order) else { break };
        let block = block.pfn..block.pfn + (1 << order);
        for meta in &frames().meta[block.start as usize..block.end as usize] {
            meta.0.store(word(Kind::User, 0, 1), Ordering::Relaxed);
        }
        to.extend(block.map(Frame::adopt));
        left -= 1 << order;
    }
    (0..left).try_for_each(|_| {
        to.push(Frame::adopt(alloc_user(false)?));
        Ok(())
    })
}

/// 512 consecutive user frames, aligned, zero, one reference each, that nobody has touched or the host has taken back; not when such
/// are running low.
pub fn alloc_user_large() -> Option<u64> {
    const FRAMES: u64 = 1 << LARGE_ORDER;
    if FRESH.load(Ordering::Relaxed) + pool::given() < frames().total / 4 {
        return None;
    }
    let pfn = POOL.lock().take_large()?;
    FREE.fetch_sub(FRAMES, Ordering::Relaxed);
    touch(pfn);
    for frame in pfn..pfn + FRAMES {
        meta(frame).0.store(word(Kind::User, 0, 1), Ordering::Relaxed);
    }
    Some(pfn)
}

/// A frame for a page table, zeroed if asked.
pub fn alloc_table(zeroed: bool) -> Result<u64, NoMemory> {
    if FREE.load(Ordering::Relaxed) < frames().reserve / 2 {
        return Err(NoMemory);
    }
    let block = take_cached().ok_or(NoMemory)?;
    if zeroed && !block.zero {
        zero_frame(block.pfn);
    }
    meta(block.pfn).0.store(word(Kind::Table, 0, 0), Ordering::Relaxed);
    Ok(block.pfn)
}

/// A frame for the table that splits a large page: taking memory away must not fail for want of memory.
///
/// # Panics
/// When not a single frame is left.
pub fn alloc_table_from_reserve() -> u64 {
    let block = take_cached().expect("the kernel's reserve of frames is used up");
    meta(block.pfn).0.store(word(Kind::Table, 0, 0), Ordering::Relaxed);
    block.pfn
}

/// Gives back a page table's frame.
pub fn free_table(pfn: u64) {
    let old = meta(pfn).0.swap(word(Kind::Cached, 0, 0), Ordering::Relaxed);
    assert!(old == word(Kind::Table, 0, 0), "frame {pfn:#x} is not a page table: {old:#x}");
    give_cached(pfn);
}

/// 2^order consecutive frames, aligned to their size, for the kernel's own use. Where that uses up what is kept in reserve, the
/// sentry is told before user mode goes on.
pub fn alloc_kernel(order: usize) -> Option<Block> {
    let block = if order == 0 { take_cached() } else { take_block(order) }?;
    if is_low() {
        cpu().attention.fetch_or(attention::MEMORY, Ordering::Relaxed);
    }
    meta(block.pfn).0.store(word(Kind::Kernel, order, 0), Ordering::Relaxed);
    Some(block)
}

/// Whether the kernel lives on its reserve.
pub fn is_low() -> bool {
    FREE.load(Ordering::Relaxed) < frames().reserve / 2
}

/// Whether `pages` more can be had and the kernel keeps its reserve.
pub fn can_spare(pages: u64) -> bool {
    FREE.load(Ordering::Relaxed) >= pages.saturating_add(frames().reserve)
}

/// Gives back what `alloc_kernel` gave.
pub fn free_kernel(pfn: u64, order: usize) {
    let old = meta(pfn).0.swap(word(Kind::Cached, 0, 0), Ordering::Relaxed);
    assert!(old == word(Kind::Kernel, order, 0), "frame {pfn:#x} is no kernel block of order {order}: {old:#x}");
    if order == 0 {
        give_cached(pfn);
    } else {
        POOL.lock().put(pfn, order);
        FREE.fetch_add(1 << order, Ordering::Relaxed);
    }
}

/// Counts a reference to a user frame.
#[inline]
pub fn get(pfn: u64) {
    let old = meta(pfn).0.fetch_add(1, Ordering::Relaxed);
    if !is_live(old) {
        not_live(pfn, old);
    }
}

/// Drops a reference to a user frame; the last one frees it.
#[inline]
pub fn put(pfn: u64) {
    let old = meta(pfn).0.fetch_sub(1, Ordering::AcqRel);
    if !is_live(old) {
        not_live(pfn, old);
    }
    if old & COUNT_MASK == 1 {
        meta(pfn).0.store(word(Kind::Cached, 0, 0), Ordering::Relaxed);
        give_cached(pfn);
    }
}

/// References to a user frame.
pub fn references(pfn: u64) -> u32 {
    check_user(pfn);
    u32::try_from(meta(pfn).0.load(Ordering::Acquire) & COUNT_MASK).unwrap_or(u32::MAX)
}

/// Panics when `pfn` is not a live user frame.
#[inline]
pub fn check_user(pfn: u64) {
    meta(pfn).check_user(pfn);
}

/// How many of the first of `list` lie one behind the other. Panics when one of these is not a live user frame.
#[inline]
pub fn run(list: &[Frame]) -> usize {
    let Some(first) = list.first().map(Frame::pfn) else { return 0 };
    // There is a first: a run is never empty.
    check_user(first);
    let mut next = first;
    for (frame, meta) in list.iter().zip(&frames().meta[first as usize..]) {
        if frame.pfn() != next {
            break;
        }
        meta.check_user(next);
        next += 1;
    }
    (next - first) as usize
}

#[cold]
#[inline(never)]
fn not_live(pfn: u64, word: u64) -> ! {
    panic!("frame {pfn:#x} is not a live user frame: {word:#x}")
}

/// Zeroes a frame.
pub fn zero_frame(pfn: u64) {
    // SAFETY: the caller of each user of this owns the frame; the direct map holds all of it.
    unsafe { core::ptr::write_bytes(frame_ptr(pfn), 0, PAGE_SIZE as usize) }
}

/// The physical range of a frame, for requests.
pub fn frame_pa(pfn: u64) -> GuestPa {
    GuestPa::new(pfn * PAGE_SIZE)
}

fn take_block(order: usize) -> Option<Block> {
    let block = POOL.lock().take(order)?;
    FREE.fetch_sub(1 << order, Ordering::Relaxed);
    if block.zero {
        touch(block.pfn);
    }
    Some(block)
}

/// 2^order consecutive frames, however they are aligned.
fn take_run(order: usize) -> Option<Block> {
    let block = POOL.lock().take_run(order)?;
    FREE.fetch_sub(1 << order, Ordering::Relaxed);
    if block.zero {
        touch(block.pfn);
    }
    Some(block)
}

/// Writes to memory that nobody has touched yet. Were it read first, the host would put its page of zeros there, a large one, and
/// every page of it would cost two exits and stay a small one when it is written at last.
fn touch(pfn: u64) {
    // SAFETY: whoever calls this owns the frame, and it is zero.
    unsafe { frame_ptr(pfn).cast::<u64>().write_volatile(0) }
}

#[inline]
fn take_cached() -> Option<Block> {
    // SAFETY: only this CPU uses its cache, and nothing below comes back here.
    let cache = unsafe { &mut *cpu().frames.get() };
    if cache.len == 0 {
        refill(cache);
    }
    let last = cache.len.checked_sub(1)?;
    cache.len = last;
    FREE.fetch_sub(1, Ordering::Relaxed);
    let entry = cache.frames[last];
    if entry & ZERO_MARK != 0 {
        touch(entry & !ZERO_MARK);
    }
    Some(Block { pfn: entry & !ZERO_MARK, zero: entry & ZERO_MARK != 0 })
}

#[cold]
fn refill(cache: &mut FrameCache) {
    let mut pool = POOL.lock();
    while cache.len < BATCH {
        let Some((block, order)) = pool.take_up_to(BATCH_ORDER) else { break };
        let mark = if block.zero { ZERO_MARK } else { 0 };
        for pfn in block.pfn..block.pfn + (1 << order) {
            cache.frames[cache.len] = pfn | mark;
            cache.len += 1;
        }
    }
    // Last in, first out: the wilderness is handed out upwards.
    cache.frames[..cache.len].reverse();
}

#[inline]
fn give_cached(pfn: u64) {
    // SAFETY: as in `take_cached`.
    let cache = unsafe { &mut *cpu().frames.get() };
    if cache.len == CACHE {
        spill(cache);
    }
    cache.frames[cache.len] = pfn;
    cache.len += 1;
    FREE.fetch_add(1, Ordering::Relaxed);
}

#[cold]
fn spill(cache: &mut FrameCache) {
    let mut pool = POOL.lock();
    for &entry in &cache.frames[..BATCH] {
        pool.put(entry & !ZERO_MARK, 0);
    }
    cache.frames.copy_within(BATCH.., 0);
    cache.len -= BATCH;
}
