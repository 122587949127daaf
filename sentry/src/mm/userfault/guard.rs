//! The pages that a userfaultfd write-protects: ranges that neither touch nor overlap.
//!
//! Lock: `ranges` (a leaf). Who looks has the areas read, who changes has them written.

use crate::sync::{Lock, Rank};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

/// A set of pages, as `[start, end)` ranges of addresses.
pub(in crate::mm) struct Guards {
    /// There are some: nearly always there are not.
    any: AtomicBool,
    ranges: Lock<BTreeMap<u64, u64>>,
}

impl Guards {
    pub(in crate::mm) fn new() -> Self {
        Self { any: AtomicBool::new(false), ranges: Lock::new(Rank::Leaf, BTreeMap::new()) }
    }

    pub(in crate::mm) fn contains(&self, page: u64) -> bool {
        self.any.load(Ordering::Acquire)
            && self.ranges.lock().range(..=page).next_back().is_some_and(|(_, end)| page < *end)
    }

    pub(in crate::mm) fn add(&self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        self.remove(start, end);
        let mut ranges = self.ranges.lock();
        let (mut start, mut end) = (start, end);
        if let Some((before, _)) = ranges.range(..start).next_back().filter(|(_, to)| **to == start) {
            start = *before;
        }
        if let Some(to) = ranges.remove(&end) {
            end = to;
        }
        ranges.insert(start, end);
        self.any.store(true, Ordering::Release);
    }

    pub(in crate::mm) fn remove(&self, start: u64, end: u64) {
        if !self.any.load(Ordering::Acquire) || start >= end {
            return;
        }
        let mut ranges = self.ranges.lock();
        let overlapping: Vec<(u64, u64)> = parts(&ranges, start, end);
        for (from, to) in overlapping {
            ranges.remove(&from);
            if from < start {
                ranges.insert(from, start);
            }
            if end < to {
                ranges.insert(end, to);
            }
        }
        self.any.store(!ranges.is_empty(), Ordering::Release);
    }

    /// What is guarded of `[start, end)`.
    pub(in crate::mm) fn within(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        if !self.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        let cut = |(from, to): (u64, u64)| (from.max(start), to.min(end));
        parts(&self.ranges.lock(), start, end).into_iter().map(cut).collect()
    }
}

/// The ranges that overlap `[start, end)`, whole.
fn parts(ranges: &BTreeMap<u64, u64>, start: u64, end: u64) -> Vec<(u64, u64)> {
    let first = ranges.range(..start).next_back().filter(|(_, to)| **to > start);
    first.into_iter().chain(ranges.range(start..end.max(start))).map(|(from, to)| (*from, *to)).collect()
}

#[cfg(test)]
mod tests {
    use super::Guards;
    use std::vec;

    #[test]
    fn ranges_merge_are_cut_and_are_found() {
        crate::fake::install();
        let guards = Guards::new();
        guards.add(10, 20);
        guards.add(20, 30);
        guards.add(5, 12);
        assert_eq!(guards.within(0, 100), vec![(5, 30)]);
        guards.remove(8, 25);
        assert_eq!(guards.within(6, 27), vec![(6, 8), (25, 27)]);
        assert!(guards.contains(7) && !guards.contains(8) && !guards.contains(24) && guards.contains(25));
        guards.remove(0, 100);
        assert!(!guards.contains(5) && guards.within(0, 100).is_empty());
    }
}
