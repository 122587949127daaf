//! The locks of one file: ranges with an owner each; one owner's never overlap.

use crate::fs::{FdTable, OpenFile};
use alloc::vec::Vec;

/// Whose lock it is: a descriptor table or an open file description, by address. The address stays taken while the lock
/// exists, because the owner's end releases its locks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    address: usize,
    file: bool,
}

impl Owner {
    /// A process's descriptor table.
    pub fn of_table(table: &FdTable) -> Self {
        Self { address: core::ptr::from_ref(table).addr(), file: false }
    }

    /// An open file description.
    pub fn of_file(file: &OpenFile) -> Self {
        Self { address: core::ptr::from_ref(file).addr(), file: true }
    }

    /// Whether it is an open file description.
    pub fn is_file(self) -> bool {
        self.file
    }
}

/// A locked range, `[start, end)`; `end` is `u64::MAX` for "to the end, whatever it will be".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// First byte.
    pub start: u64,
    /// Behind the last byte.
    pub end: u64,
    /// A write lock.
    pub exclusive: bool,
    /// Whose.
    pub owner: Owner,
    /// What F_GETLK says of it.
    pub pid: i32,
}

impl Range {
    fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    fn touches(&self, other: &Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }
}

/// All locks of one kind on one file.
#[derive(Default, Debug)]
pub struct Ranges(Vec<Range>);

impl Ranges {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A lock of somebody else that excludes `wanted`.
    pub fn conflict(&self, wanted: &Range) -> Option<Range> {
        let excludes =
            |held: &&Range| held.owner != wanted.owner && held.overlaps(wanted) && (held.exclusive || wanted.exclusive);
        self.0.iter().filter(excludes).min_by_key(|held| held.start).copied()
    }

    /// Puts `new` in place of whatever its owner holds there. True if that took exclusiveness away.
    pub fn set(&mut self, new: Range) -> bool {
        let weaker = !new.exclusive
            && self.0.iter().any(|held| held.owner == new.owner && held.exclusive && held.overlaps(&new));
        self.clear(&new);
        let mut merged = new;
        self.0.retain(|held| {
            let joins = held.owner == new.owner && held.exclusive == new.exclusive && held.touches(&merged);
            if joins {
                merged.start = merged.start.min(held.start);
                merged.end = merged.end.max(held.end);
            }
            !joins
        });
        self.0.push(merged);
        weaker
    }

    /// Takes the range from its owner's locks, splitting what sticks out.
    pub fn clear(&mut self, range: &Range) {
        let mut kept = Vec::with_capacity(self.0.len() + 1);
        for held in self.0.drain(..) {
            if held.owner != range.owner || !held.overlaps(range) {
                kept.push(held);
                continue;
            }
            if held.start < range.start {
                kept.push(Range { end: range.start, ..held });
            }
            if held.end > range.end {
                kept.push(Range { start: range.end, ..held });
            }
        }
        self.0 = kept;
    }

    /// Takes everything from `owner`.
    pub fn release(&mut self, owner: Owner) {
        self.0.retain(|held| held.owner != owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(owner: usize, start: u64, end: u64, exclusive: bool) -> Range {
        Range { start, end, exclusive, owner: Owner { address: owner, file: false }, pid: owner as i32 }
    }

    fn spans(ranges: &Ranges) -> Vec<(u64, u64, bool)> {
        let mut spans: Vec<_> = ranges.0.iter().map(|held| (held.start, held.end, held.exclusive)).collect();
        spans.sort_unstable();
        spans
    }

    #[test]
    fn readers_share_and_writers_exclude() {
        let mut ranges = Ranges::default();
        ranges.set(range(1, 0, 10, false));
        assert_eq!(ranges.conflict(&range(2, 5, 6, false)), None);
        assert_eq!(ranges.conflict(&range(2, 5, 6, true)).map(|held| held.pid), Some(1));
        assert_eq!(ranges.conflict(&range(2, 10, 20, true)), None);
        assert_eq!(ranges.conflict(&range(1, 0, 10, true)), None);
    }

    #[test]
    fn unlocking_the_middle_splits_a_lock() {
        let mut ranges = Ranges::default();
        ranges.set(range(1, 0, 100, true));
        ranges.clear(&range(1, 40, 60, false));
        assert_eq!(spans(&ranges), [(0, 40, true), (60, 100, true)]);
    }

    #[test]
    fn neighbours_of_one_kind_merge_and_another_kind_replaces() {
        let mut ranges = Ranges::default();
        ranges.set(range(1, 0, 10, false));
        ranges.set(range(1, 10, 20, false));
        assert_eq!(spans(&ranges), [(0, 20, false)]);
        assert!(!ranges.set(range(1, 5, 15, true)));
        assert_eq!(spans(&ranges), [(0, 5, false), (5, 15, true), (15, 20, false)]);
        assert!(ranges.set(range(1, 0, u64::MAX, false)));
        assert_eq!(spans(&ranges), [(0, u64::MAX, false)]);
    }
}
