//! Which pages of a file are here, by page number: an array for the first pages, a map of chunks behind it.

use crate::platform::Frame;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Pages in the array at most (16 MiB of file); it only grows as far as the file's pages do.
const HEAD: u64 = 4096;
/// Pages in one chunk behind it.
const CHUNK: u64 = 64;

/// One page.
#[derive(Default)]
pub(super) enum Slot {
    /// Not here.
    #[default]
    Absent,
    /// Being read by the loader with this number.
    Loading(u64),
    /// Here, as the source has it.
    Clean(Frame),
    /// Here, newer than the source.
    Dirty(Frame),
}

impl Slot {
    pub(super) fn frame(&self) -> Option<&Frame> {
        match self {
            Self::Clean(frame) | Self::Dirty(frame) => Some(frame),
            Self::Absent | Self::Loading(_) => None,
        }
    }

    /// Takes the slot's content, leaving it absent.
    pub(super) fn take(&mut self) -> Self {
        core::mem::take(self)
    }

    pub(super) fn mark_dirty(&mut self) {
        *self = match self.take() {
            Self::Clean(frame) => Self::Dirty(frame),
            other => other,
        };
    }

    pub(super) fn mark_clean(&mut self) {
        *self = match self.take() {
            Self::Dirty(frame) => Self::Clean(frame),
            other => other,
        };
    }
}

static ABSENT: Slot = Slot::Absent;

/// The pages of one file.
#[derive(Default)]
pub(super) struct Pages {
    head: Vec<Slot>,
    tail: BTreeMap<u64, Box<[Slot; CHUNK as usize]>>,
    /// Pages that are here.
    pub(super) count: u64,
    last_loader: u64,
}

impl Pages {
    #[inline]
    pub(super) fn get(&self, index: u64) -> &Slot {
        if index < HEAD {
            return self.head.get(index as usize).unwrap_or(&ABSENT);
        }
        self.tail.get(&(index / CHUNK)).and_then(|chunk| chunk.get((index % CHUNK) as usize)).unwrap_or(&ABSENT)
    }

    /// The slot, made if need be.
    pub(super) fn slot(&mut self, index: u64) -> &mut Slot {
        if index < HEAD {
            if index as usize >= self.head.len() {
                self.head.resize_with(index as usize + 1, Slot::default);
            }
            return &mut self.head[index as usize];
        }
        let chunk = self.tail.entry(index / CHUNK).or_insert_with(|| Box::new(core::array::from_fn(|_| Slot::Absent)));
        &mut chunk[(index % CHUNK) as usize]
    }

    /// Puts a page where none is; true if it did.
    pub(super) fn put(&mut self, index: u64, page: Slot) -> bool {
        let slot = self.slot(index);
        if slot.frame().is_some() {
            return false;
        }
        *slot = page;
        self.count += 1;
        true
    }

    /// Where the run of absent pages that ends before `index` begins, `lowest` at least.
    pub(super) fn absent_before(&self, index: u64, lowest: u64) -> u64 {
        (lowest..index).rev().find(|&at| !matches!(self.get(at), Slot::Absent)).map_or(lowest, |at| at + 1)
    }

    /// Where the run of absent pages from `index` on ends, `limit` at most.
    pub(super) fn absent_behind(&self, index: u64, limit: u64) -> u64 {
        (index..limit).find(|&at| !matches!(self.get(at), Slot::Absent)).unwrap_or(limit)
    }

    /// Marks absent pages as being read; returns the number of the loader.
    pub(super) fn begin_load(&mut self, begin: u64, end: u64) -> u64 {
        self.last_loader += 1;
        let loader = self.last_loader;
        self.run(begin, end, |slot| *slot = Slot::Loading(loader));
        loader
    }

    /// Puts what the loader read; what somebody changed meanwhile stays, and its frame goes to `unused`.
    pub(super) fn end_load(&mut self, begin: u64, loader: u64, frames: Vec<Frame>, unused: &mut Vec<Frame>) {
        let (end, mut put) = (begin + frames.len() as u64, 0);
        let mut frames = frames.into_iter();
        self.run(begin, end, |slot| {
            let Some(frame) = frames.next() else { return };
            if matches!(slot, Slot::Loading(number) if *number == loader) {
                *slot = Slot::Clean(frame);
                put += 1;
            } else {
                unused.push(frame);
            }
        });
        self.count += put;
    }

    /// The loader read nothing.
    pub(super) fn forget_load(&mut self, begin: u64, end: u64, loader: u64) {
        self.run(begin, end, |slot| {
            if matches!(slot, Slot::Loading(number) if *number == loader) {
                *slot = Slot::Absent;
            }
        });
    }

    /// Calls `f` for every slot in `[begin, end)`, made if need be.
    fn run(&mut self, begin: u64, end: u64, mut f: impl FnMut(&mut Slot)) {
        if end <= HEAD {
            if end as usize > self.head.len() {
                self.head.resize_with(end as usize, Slot::default);
            }
            return self.head[begin as usize..end as usize].iter_mut().for_each(f);
        }
        for at in begin..end {
            f(self.slot(at));
        }
    }

    /// Calls `f` for each slot in `[first, end)` that is not absent, in order, until it returns false.
    pub(super) fn for_each(&mut self, first: u64, end: u64, mut f: impl FnMut(u64, &mut Slot) -> bool) {
        let from = (first.min(HEAD) as usize).min(self.head.len());
        let to = (end.min(HEAD) as usize).min(self.head.len()).max(from);
        let head = self.head.iter_mut().enumerate().take(to).skip(from).map(|(index, slot)| (index as u64, slot));
        let tail = (end > HEAD && first < end)
            .then(|| self.tail.range_mut(first.max(HEAD) / CHUNK..end.div_ceil(CHUNK)))
            .into_iter()
            .flatten()
            .flat_map(|(chunk, slots)| (0..).zip(slots.iter_mut()).map(move |(at, slot)| (chunk * CHUNK + at, slot)))
            .filter(|(index, _)| (first..end).contains(index));
        for (index, slot) in head.chain(tail) {
            if !matches!(slot, Slot::Absent) && !f(index, slot) {
                return;
            }
        }
    }

    /// Takes out every page in `[first, end)` that `pick` names (loads in flight are forgotten with it).
    pub(super) fn remove(&mut self, first: u64, end: u64, mut pick: impl FnMut(&Slot) -> bool) -> Vec<(u64, Frame)> {
        let mut gone = Vec::new();
        self.for_each(first, end, |index, slot| {
            if pick(slot)
                && let Slot::Clean(frame) | Slot::Dirty(frame) = slot.take()
            {
                gone.push((index, frame));
            }
            true
        });
        self.count -= gone.len() as u64;
        if first == 0 && self.count == 0 {
            self.tail.retain(|_, chunk| chunk.iter().any(|slot| !matches!(slot, Slot::Absent)));
        }
        gone
    }
}
