//! All areas of an address space, by address, with their sums. Plain data: `AddressSpace` holds the lock.

use super::vma::{Vma, VmaFlags};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use linker::layout::{LARGE_PAGE_SIZE, PAGE_SIZE, USER_END};

/// Areas at most (`/proc/sys/vm/max_map_count`).
pub static MAX_AREAS: AtomicU32 = AtomicU32::new(65_530);

/// `MAX_AREAS` now.
pub(in crate::mm) fn max_areas() -> usize {
    MAX_AREAS.load(Ordering::Relaxed) as usize
}

/// Kept free below a stack (`stack_guard_gap`, 256 pages).
pub(in crate::mm) const STACK_GAP: u64 = 256 * PAGE_SIZE;
/// Lowest address that can be mapped (`/proc/sys/vm/mmap_min_addr`).
pub(in crate::mm) const MIN_ADDRESS: u64 = 0x1_0000;

/// Where the parts of a program are, for `/proc` and brk.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Layout {
    pub start_code: u64,
    pub end_code: u64,
    pub start_data: u64,
    pub end_data: u64,
    pub start_brk: u64,
    pub brk: u64,
    pub start_stack: u64,
    pub arg_start: u64,
    pub arg_end: u64,
    pub env_start: u64,
    pub env_end: u64,
    /// Top of the area that mmap fills downwards.
    pub mmap_base: u64,
    /// Base address of the vDSO's ELF image, 0 for none.
    pub vdso: u64,
}

/// The areas.
#[derive(Clone, Default)]
pub(in crate::mm) struct Areas {
    vmas: BTreeMap<u64, Vma>,
    pub(in crate::mm) layout: Layout,
    /// Of new areas (mlockall(MCL_FUTURE)).
    pub(in crate::mm) future: VmaFlags,
    /// Between this address and `mmap_base` there is no room for so many bytes: where many areas are, looking begins below it.
    full: Option<(u64, u64)>,
    /// Some may be sealed.
    pub(in crate::mm) any_sealed: bool,
    pub(in crate::mm) total_pages: u64,
    pub(in crate::mm) peak_pages: u64,
    pub(in crate::mm) data_pages: u64,
    pub(in crate::mm) stack_pages: u64,
    pub(in crate::mm) locked_pages: u64,
}

impl Areas {
    pub(in crate::mm) fn len(&self) -> usize {
        self.vmas.len()
    }

    /// The area that holds `at`.
    #[inline]
    pub(in crate::mm) fn find(&self, at: u64) -> Option<&Vma> {
        let (_, vma) = self.vmas.range(..=at).next_back()?;
        (at < vma.end).then_some(vma)
    }

    /// The first area that ends above `at`.
    pub(in crate::mm) fn find_above(&self, at: u64) -> Option<&Vma> {
        self.find(at).or_else(|| self.vmas.range(at..).next().map(|(_, vma)| vma))
    }

    /// The last area that begins below `at`.
    pub(in crate::mm) fn before(&self, at: u64) -> Option<&Vma> {
        self.vmas.range(..at).next_back().map(|(_, vma)| vma)
    }

    /// The areas that overlap `[start, end)`, in order.
    pub(in crate::mm) fn overlapping(&self, start: u64, end: u64) -> impl Iterator<Item = &Vma> {
        let from = self.find(start).map_or(start, |vma| vma.start);
        self.vmas.range(from..end.max(from)).map(|(_, vma)| vma)
    }

    /// All, in order.
    pub(in crate::mm) fn iter(&self) -> impl Iterator<Item = &Vma> {
        self.vmas.values()
    }

    /// Whether areas cover `[start, end)` without a gap.
    pub(in crate::mm) fn covers(&self, start: u64, end: u64) -> bool {
        let mut at = start;
        for vma in self.overlapping(start, end) {
            if vma.start > at {
                return false;
            }
            at = vma.end;
        }
        at >= end
    }

    fn count(&mut self, vma: &Vma, more: bool) {
        let pages = if more { vma.pages() } else { vma.pages().wrapping_neg() };
        self.total_pages = self.total_pages.wrapping_add(pages);
        if vma.is_data() {
            self.data_pages = self.data_pages.wrapping_add(pages);
        }
        if vma.grows_down() {
            self.stack_pages = self.stack_pages.wrapping_add(pages);
        }
        if vma.flags.contains(VmaFlags::LOCKED) {
            self.locked_pages = self.locked_pages.wrapping_add(pages);
        }
        self.peak_pages = self.peak_pages.max(self.total_pages);
    }

    /// Adds an area where none is.
    pub(in crate::mm) fn insert(&mut self, vma: Vma) {
        self.count(&vma, true);
        self.vmas.insert(vma.start, vma);
    }

    fn take(&mut self, start: u64) -> Option<Vma> {
        let vma = self.vmas.remove(&start)?;
        self.count(&vma, false);
        Some(vma)
    }

    /// Cuts the area that holds `at` there, so that one begins at `at`.
    pub(in crate::mm) fn cut(&mut self, at: u64) {
        let Some(start) = self.find(at).map(|vma| vma.start).filter(|start| *start < at) else { return };
        if let Some(mut lower) = self.take(start) {
            let upper = lower.split(at);
            self.insert(lower);
            self.insert(upper);
        }
    }

    /// Takes all areas in `[start, end)` out, cutting at both ends. The caller drops them after it has released the lock.
    pub(in crate::mm) fn remove(&mut self, start: u64, end: u64) -> Vec<Vma> {
        let gone = self.take_all(start, end);
        if let Some((at, len)) = self.full
            && at < end
        {
            // The gap reaches up to the next area; none lies across `end` any more.
            let next = self.vmas.range(end..).next().map(|(next, _)| *next);
            self.full = next.filter(|next| *next < self.layout.mmap_base).map(|next| (next, len));
        }
        gone
    }

    fn take_all(&mut self, start: u64, end: u64) -> Vec<Vma> {
        self.cut(start);
        self.cut(end);
        let starts: Vec<u64> = self.vmas.range(start..end.max(start)).map(|(start, _)| *start).collect();
        starts.into_iter().filter_map(|start| self.take(start)).collect()
    }

    /// Changes every area in `[start, end)`, cutting at both ends and merging what became alike. Returns what merging left
    /// over, to be dropped after the lock is released.
    pub(in crate::mm) fn change(&mut self, start: u64, end: u64, mut f: impl FnMut(&mut Vma)) -> Vec<Vma> {
        for mut vma in self.take_all(start, end) {
            f(&mut vma);
            self.insert(vma);
        }
        self.merge(start, end)
    }

    /// Merges areas in and around `[start, end)` that continue each other.
    pub(in crate::mm) fn merge(&mut self, start: u64, end: u64) -> Vec<Vma> {
        let mut spare = Vec::new();
        let mut at = self.before(start).map_or(start, |vma| vma.start);
        loop {
            let mut pair = self.vmas.range(at..).map(|(_, vma)| vma);
            let (Some(lower), Some(upper)) = (pair.next(), pair.next()) else { return spare };
            if lower.start > end {
                return spare;
            }
            if !lower.continues_in(upper) {
                at = upper.start;
                continue;
            }
            let (lower, upper) = (lower.start, upper.start);
            let (Some(mut vma), Some(rest)) = (self.take(lower), self.take(upper)) else { return spare };
            vma.absorb(&rest);
            self.insert(vma);
            spare.push(rest);
            at = lower;
        }
    }

    /// Extends the stack area that begins at `start` down to `to`.
    pub(in crate::mm) fn grow_down(&mut self, start: u64, to: u64) {
        if let Some(mut vma) = self.take(start) {
            vma.grow_down(to);
            self.insert(vma);
        }
    }

    /// Where nothing may be placed above: an area's start, or the gap below it for a stack.
    fn low_edge(vma: &Vma) -> u64 {
        if vma.grows_down() { vma.start.saturating_sub(STACK_GAP) } else { vma.start }
    }

    /// Whether `[start, start + len)` is free, stack gaps included.
    pub(in crate::mm) fn is_free(&self, start: u64, len: u64) -> bool {
        let Some(end) = start.checked_add(len).filter(|end| *end <= USER_END) else { return false };
        self.find_above(start).is_none_or(|vma| Self::low_edge(vma) >= end)
    }

    /// A free range of `len` bytes, the highest below `top`; multiples of 2 MiB at such a multiple, if asked.
    pub(in crate::mm) fn free_below(&self, top: u64, len: u64, large: bool) -> Option<u64> {
        let step = if large && len.is_multiple_of(LARGE_PAGE_SIZE) { LARGE_PAGE_SIZE } else { PAGE_SIZE };
        let fit = |low: u64, high: u64| {
            let at = high.checked_sub(len)? / step * step;
            (at >= low.max(MIN_ADDRESS)).then_some(at)
        };
        let known = self.full.filter(|(_, least)| top == self.layout.mmap_base && len >= *least);
        let top = known.map_or(top, |(at, _)| at);
        let mut high = self.find(top).map_or(top, Self::low_edge).min(top);
        for (_, vma) in self.vmas.range(..high).rev() {
            if let Some(at) = fit(vma.end, high) {
                return Some(at);
            }
            high = high.min(Self::low_edge(vma));
        }
        fit(MIN_ADDRESS, high)
    }

    /// An area of `len` bytes went where `free_below` found the highest place for it.
    pub(in crate::mm) fn note_placed(&mut self, start: u64, len: u64) {
        // What has to begin at a large page's address may have passed by gaps that are large enough.
        let any_place = !len.is_multiple_of(LARGE_PAGE_SIZE) && start < self.layout.mmap_base;
        if any_place && self.full.is_none_or(|(_, least)| len <= least) {
            self.full = Some((start, len));
        }
    }

    /// A free range of `len` bytes, the lowest in `[bottom, top)`.
    pub(in crate::mm) fn free_above(&self, bottom: u64, top: u64, len: u64) -> Option<u64> {
        let mut at = bottom;
        while at.checked_add(len)? <= top {
            match self.find_above(at) {
                Some(vma) if Self::low_edge(vma) < at + len => at = vma.end,
                _ => return Some(at),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{MIN_ADDRESS, PAGE_SIZE};
    use crate::fake::current;
    use crate::mm::{AddressSpace, Bounds, MapRequest, Place};
    use crate::platform::Prot;
    use crate::task::Limits;
    use alloc::vec::Vec;
    use linker::addr::UserVa;

    /// The highest place for `len` bytes, looked for from the top each time.
    fn highest(mm: &AddressSpace, len: u64) -> u64 {
        let areas = mm.areas.read();
        let mut high = areas.layout.mmap_base;
        let below: Vec<_> = areas.iter().filter(|vma| vma.start < high).map(|vma| (vma.start, vma.end)).collect();
        for (start, end) in below.into_iter().rev() {
            if high.saturating_sub(end) >= len {
                return high - len;
            }
            high = high.min(start);
        }
        assert!(high >= MIN_ADDRESS + len);
        high - len
    }

    #[test]
    fn an_area_goes_to_the_highest_place_whatever_came_and_went_before() {
        let current = current();
        let bounds = Bounds::new(&Limits::default(), true);
        let mut made: Vec<(u64, u64)> = Vec::new();
        let mut random = 7u32;
        let mut next = |below: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            u64::from((random >> 8) % below)
        };
        for round in 0..2000 {
            if next(3) > 0 || made.is_empty() {
                let len = (1 + next(if round % 100 < 50 { 3 } else { 20 })) * PAGE_SIZE;
                let expected = highest(&current.mm, len);
                // Neighbours that differ do not merge.
                let prot = Prot { read: true, write: round % 2 == 0, execute: false };
                let at = current.mm.map(&MapRequest::anonymous(Place::Hint(0), len, prot), &bounds).unwrap().raw();
                assert_eq!(at, expected, "round {round}");
                made.push((at, len));
            } else {
                let (at, len) = made.swap_remove(next(made.len() as u32) as usize);
                let from = next((len / PAGE_SIZE) as u32) * PAGE_SIZE;
                match next(4) {
                    0 => {
                        let prot = Prot { read: true, write: false, execute: false };
                        current.mm.protect(at + from, at + len, prot, false, &bounds).unwrap();
                        made.push((at, len));
                    }
                    _ => {
                        current.mm.unmap(UserVa::new(at + from), len - from).unwrap();
                        if from > 0 {
                            made.push((at, from));
                        }
                    }
                }
            }
        }
    }
}
