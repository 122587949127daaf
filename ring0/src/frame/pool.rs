//! The pool behind the CPUs' caches: free blocks of 2^order frames, and the wilderness.
//!
//! A free block whose pages the host has is on a list that runs through its own first bytes. One that the host has taken back must not be
//! touched: its list runs through the table of frames, in the counts of its first two.

use super::{FRESH, Kind, LARGE_ORDER, frame_ptr, frames, meta, word};
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use linker::layout::{LARGE_PAGE_SIZE, PAGE_SIZE};

/// Orders of blocks: 2^0 to 2^10 frames.
pub(super) const ORDERS: usize = 11;
/// Smaller blocks are not worth a call of the host: below 16 KiB.
const GIVE_ORDER: usize = 2;
/// Blocks from this order on do not come from where the host has a large page from the start, of which boot uses the rest: much of a
/// buffer of 256 KiB and more is never touched, and elsewhere costs nothing until it is.
const BIG_ORDER: usize = 6;
/// Frames of a large page.
const LARGE_FRAMES: u64 = LARGE_PAGE_SIZE / PAGE_SIZE;
/// Ranges of the wilderness.
const RANGES: usize = 4;

/// Frames in free blocks that are worth giving back.
static LOOSE: AtomicU64 = AtomicU64::new(0);
/// Frames that nobody has touched, behind others of the same large page: the host may have put all of it there.
static TAILS: AtomicU64 = AtomicU64::new(0);
/// Frames in blocks that the host has taken back.
static GIVEN: AtomicU64 = AtomicU64::new(0);
/// Frames handed out so far.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Free frames that the host has, or may have, and that are worth giving back.
pub(super) fn unreported() -> u64 {
    LOOSE.load(Ordering::Relaxed) + TAILS.load(Ordering::Relaxed)
}

/// Frames in blocks that the host has taken back.
pub(super) fn given() -> u64 {
    GIVEN.load(Ordering::Relaxed)
}

/// Frames handed out so far, in blocks.
pub(super) fn taken() -> u64 {
    TAKEN.load(Ordering::Relaxed)
}

/// A block of frames, and whether it is known to be zero.
#[derive(Clone, Copy)]
pub struct Block {
    /// First frame.
    pub pfn: u64,
    /// Known to be zero.
    pub zero: bool,
}

/// Links of a free block, in its own first bytes; 0 ends a list.
#[repr(C)]
struct Links {
    next: u64,
    prev: u64,
}

/// What is taken out of the pool while the host is asked to take it back.
pub(super) struct Isolated {
    /// The frames.
    pub frames: Range<u64>,
    /// The range of the wilderness that they are of.
    wild: Option<usize>,
}

pub(super) struct Pool {
    /// Recycled blocks.
    heads: [u64; ORDERS],
    /// Blocks that the host has taken back.
    given: [u64; ORDERS],
    /// Untouched frames, `[next, end)`: what the host has a large page for from the start, the rest of low memory, high memory, then
    /// what the table of frames left in front of it.
    wild: [(u64, u64); RANGES],
    /// Where the large page ends whose untouched rest was given back last, for each range.
    given_up_to: [u64; RANGES],
}

impl Pool {
    pub(super) const fn new() -> Self {
        Self { heads: [0; ORDERS], given: [0; ORDERS], wild: [(0, 0); RANGES], given_up_to: [0; RANGES] }
    }

    /// Takes over ranges of untouched frames, in this order; how many frames they are.
    pub(super) fn begin(&mut self, ranges: impl Iterator<Item = (u64, u64)>) -> u64 {
        let mut total = 0;
        for (wild, (start, end)) in self.wild.iter_mut().zip(ranges) {
            if start < end {
                *wild = (start, end);
                total += end - start;
            }
        }
        total
    }

    /// An aligned block.
    pub(super) fn take(&mut self, order: usize) -> Option<Block> {
        if let Some(block) = self.take_known(order) {
            return Some(block);
        }
        if let Some(pfn) = self.take_wild(order) {
            return Some(Block { pfn, zero: true });
        }
        // What was given back may be the other half of a block that is here.
        self.recall().then(|| self.take_known(order)).flatten()
    }

    /// A block for who wants many single frames, and its order, `most` at most: the smallest there is, so that large ones stay whole,
    /// but none is split further than need be.
    pub(super) fn take_up_to(&mut self, most: usize) -> Option<(Block, usize)> {
        if let Some(found) = (0..ORDERS).find(|&order| self.heads[order] != 0) {
            let order = found.min(most);
            return Some((self.take_recycled(found, order), order));
        }
        if let Some(found) = (0..ORDERS).find(|&order| self.given[order] != 0) {
            let order = found.min(most);
            return Some((self.take_given(found, order), order));
        }
        let (pfn, order) = self.take_wild_run(most).map(|pfn| (pfn, most)).or_else(|| Some((self.take_wild(0)?, 0)))?;
        Some((Block { pfn, zero: true }, order))
    }

    /// 2^order consecutive frames: a free block, or what comes next in the wilderness.
    pub(super) fn take_run(&mut self, order: usize) -> Option<Block> {
        self.take_known(order).or_else(|| self.take_wild_run(order).map(|pfn| Block { pfn, zero: true }))
    }

    /// An aligned block of a large page's frames that nobody has touched since the host had them last; not from the bottom of the
    /// wilderness.
    pub(super) fn take_large(&mut self) -> Option<u64> {
        match (LARGE_ORDER..ORDERS).find(|&order| self.given[order] != 0) {
            Some(found) => Some(self.take_given(found, LARGE_ORDER).pfn),
            None => self.take_wild_top(LARGE_ORDER),
        }
    }

    /// A block that was used before.
    fn take_known(&mut self, order: usize) -> Option<Block> {
        let first = |heads: &[u64; ORDERS]| (order..ORDERS).find(|&order| heads[order] != 0);
        match (first(&self.heads), first(&self.given)) {
            (Some(found), _) => Some(self.take_recycled(found, order)),
            (None, Some(found)) => Some(self.take_given(found, order)),
            (None, None) => None,
        }
    }

    /// A block of `order` out of one of order `found`.
    fn take_recycled(&mut self, found: usize, order: usize) -> Block {
        let pfn = self.heads[found];
        self.unlink(pfn, found);
        for half in (order..found).rev() {
            self.link(pfn + (1 << half), half);
        }
        meta(pfn).0.store(word(Kind::Cached, 0, 0), Ordering::Relaxed);
        count_taken(1 << order);
        Block { pfn, zero: false }
    }

    /// The same of one that the host has taken back.
    fn take_given(&mut self, found: usize, order: usize) -> Block {
        let pfn = self.given[found];
        self.unlink_given(pfn, found);
        for half in (order..found).rev() {
            self.link_given(pfn + (1 << half), half);
        }
        count_taken(1 << order);
        Block { pfn, zero: true }
    }

    pub(super) fn put(&mut self, mut pfn: u64, mut order: usize) {
        while order < ORDERS - 1 {
            let buddy = pfn ^ 1 << order;
            if !is_free(buddy, Kind::Free, order) {
                break;
            }
            self.unlink(buddy, order);
            meta(buddy).0.store(word(Kind::Cached, 0, 0), Ordering::Relaxed);
            pfn &= !(1 << order);
            order += 1;
        }
        self.link(pfn, order);
    }

    /// 2^order frames from the bottom of the wilderness, where it stands: nothing is skipped, so nothing stops being known as zero.
    fn take_wild_run(&mut self, order: usize) -> Option<u64> {
        let size = 1 << order;
        let (next, _) = self.wild.iter_mut().find(|(next, end)| *next + size <= *end)?;
        let start = *next;
        *next += size;
        FRESH.fetch_sub(size, Ordering::Relaxed);
        count_taken(size);
        self.count_tails();
        Some(start)
    }

    /// An aligned block from the bottom of the wilderness; what alignment skips is recycled.
    fn take_wild(&mut self, order: usize) -> Option<u64> {
        let size = 1 << order;
        let first = usize::from(order >= BIG_ORDER);
        for index in (first..RANGES).chain(0..first) {
            let (next, end) = self.wild[index];
            let start = next.next_multiple_of(size);
            if start + size <= end {
                self.wild[index].0 = start + size;
                FRESH.fetch_sub(start + size - next, Ordering::Relaxed);
                (next..start).for_each(|skipped| self.put(skipped, 0));
                count_taken(size);
                self.count_tails();
                return Some(start);
            }
        }
        None
    }

    /// An aligned block from the top of the wilderness.
    fn take_wild_top(&mut self, order: usize) -> Option<u64> {
        let size = 1 << order;
        for index in (0..RANGES).rev() {
            let (next, end) = self.wild[index];
            let top = end / size * size;
            if top.checked_sub(size).is_some_and(|start| start >= next) {
                let start = top - size;
                self.wild[index].1 = start;
                FRESH.fetch_sub(end - start, Ordering::Relaxed);
                (top..end).for_each(|skipped| self.put(skipped, 0));
                count_taken(size);
                return Some(start);
            }
        }
        None
    }

    /// Takes out what is worth giving back: the untouched rest of a large page, or the largest recycled block.
    pub(super) fn isolate(&mut self) -> Option<Isolated> {
        if let Some((index, tail)) = (0..RANGES).find_map(|index| Some((index, self.tail(index)?))) {
            self.given_up_to[index] = tail.end;
            self.wild[index].0 = tail.end;
            FRESH.fetch_sub(tail.end - tail.start, Ordering::Relaxed);
            self.count_tails();
            return Some(Isolated { frames: tail, wild: Some(index) });
        }
        let order = (GIVE_ORDER..ORDERS).rev().find(|&order| self.heads[order] != 0)?;
        let pfn = self.heads[order];
        self.unlink(pfn, order);
        meta(pfn).0.store(word(Kind::Cached, 0, 0), Ordering::Relaxed);
        Some(Isolated { frames: pfn..pfn + (1 << order), wild: None })
    }

    /// Takes back what was isolated; whether the host has it no more.
    pub(super) fn settle(&mut self, isolated: Isolated, given: bool) {
        let Range { mut start, end } = isolated.frames;
        if let Some(index) = isolated.wild
            && self.wild[index].0 == end
        {
            self.wild[index].0 = start;
            FRESH.fetch_add(end - start, Ordering::Relaxed);
            self.count_tails();
            return;
        }
        while start < end {
            let order = (start.trailing_zeros().min((end - start).ilog2()) as usize).min(ORDERS - 1);
            if given {
                self.put_given(start, order)
            } else {
                self.put(start, order)
            }
            start += 1 << order;
        }
    }

    /// The rest of a large page of the wilderness, where it was not given back yet.
    fn tail(&self, index: usize) -> Option<Range<u64>> {
        let (next, end) = self.wild[index];
        let up_to = next.next_multiple_of(LARGE_FRAMES).min(end);
        (next < up_to && self.given_up_to[index] != up_to).then_some(next..up_to)
    }

    fn count_tails(&self) {
        let tails = (0..RANGES).filter_map(|index| self.tail(index)).map(|tail| tail.end - tail.start).sum();
        TAILS.store(tails, Ordering::Relaxed);
    }

    /// Makes recycled blocks of all that the host has taken back; whether there were some.
    #[cold]
    fn recall(&mut self) -> bool {
        let mut some = false;
        for order in 0..ORDERS {
            while self.given[order] != 0 {
                let pfn = self.given[order];
                self.unlink_given(pfn, order);
                self.put(pfn, order);
                some = true;
            }
        }
        some
    }

    fn put_given(&mut self, mut pfn: u64, mut order: usize) {
        while order < ORDERS - 1 && is_free(pfn ^ 1 << order, Kind::Given, order) {
            self.unlink_given(pfn ^ 1 << order, order);
            pfn &= !(1 << order);
            order += 1;
        }
        self.link_given(pfn, order);
    }

    fn link_given(&mut self, pfn: u64, order: usize) {
        if order == 0 {
            // It has no second frame for the way back.
            return self.put(pfn, 0);
        }
        let next = self.given[order];
        meta(pfn).0.store(word(Kind::Given, order, next), Ordering::Relaxed);
        meta(pfn + 1).0.store(word(Kind::Cached, 0, 0), Ordering::Relaxed);
        if next != 0 {
            meta(next + 1).0.store(word(Kind::Cached, 0, pfn), Ordering::Relaxed);
        }
        self.given[order] = pfn;
        count_given(order, u64::wrapping_add);
    }

    fn unlink_given(&mut self, pfn: u64, order: usize) {
        let cached = word(Kind::Cached, 0, 0);
        let next = count(meta(pfn).0.swap(cached, Ordering::Relaxed));
        let prev = count(meta(pfn + 1).0.swap(cached, Ordering::Relaxed));
        if prev == 0 {
            self.given[order] = next;
        } else {
            meta(prev).0.store(word(Kind::Given, order, next), Ordering::Relaxed);
        }
        if next != 0 {
            meta(next + 1).0.store(word(Kind::Cached, 0, prev), Ordering::Relaxed);
        }
        count_given(order, u64::wrapping_sub);
    }

    fn link(&mut self, pfn: u64, order: usize) {
        let next = self.heads[order];
        // SAFETY: the block is free, so its first bytes are the pool's to use; so are those of the list's head.
        unsafe {
            *links(pfn) = Links { next, prev: 0 };
            if next != 0 {
                (*links(next)).prev = pfn;
            }
        }
        self.heads[order] = pfn;
        meta(pfn).0.store(word(Kind::Free, order, 0), Ordering::Relaxed);
        count_loose(order, u64::wrapping_add);
    }

    fn unlink(&mut self, pfn: u64, order: usize) {
        // SAFETY: the block is on this list, and so are its neighbours.
        unsafe {
            let Links { next, prev } = links(pfn).read();
            if prev == 0 {
                self.heads[order] = next;
            } else {
                (*links(prev)).next = next;
            }
            if next != 0 {
                (*links(next)).prev = prev;
            }
        }
        count_loose(order, u64::wrapping_sub);
    }
}

/// Whether a frame begins a free block of that kind and order.
fn is_free(pfn: u64, kind: Kind, order: usize) -> bool {
    let free = word(kind, order, 0);
    frames().meta.get(pfn as usize).is_some_and(|meta| {
        let now = meta.0.load(Ordering::Relaxed);
        now - count(now) == free
    })
}

/// What is in a word beside kind and order.
const fn count(word: u64) -> u64 {
    word & super::COUNT_MASK
}

// The counters are written with the pool locked, so they need no locked instructions.

fn count_loose(order: usize, change: fn(u64, u64) -> u64) {
    if order >= GIVE_ORDER {
        LOOSE.store(change(LOOSE.load(Ordering::Relaxed), 1 << order), Ordering::Relaxed);
    }
}

fn count_given(order: usize, change: fn(u64, u64) -> u64) {
    GIVEN.store(change(GIVEN.load(Ordering::Relaxed), 1 << order), Ordering::Relaxed);
}

fn count_taken(frames: u64) {
    TAKEN.store(TAKEN.load(Ordering::Relaxed) + frames, Ordering::Relaxed);
}

fn links(pfn: u64) -> *mut Links {
    frame_ptr(pfn).cast()
}
