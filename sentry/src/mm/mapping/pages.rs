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
        &mut self.chunk(index)[(index % CHUNK) as usize]
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

    /// Pages from `first` on that lie in one piece: `end` at most, and fewer where there is no room for them yet.
    #[inline]
    pub(super) fn together(&self, first: u64, end: u64) -> &[Slot] {
        let end = end.min(self.head.len() as u64);
        self.head.get(first.min(end) as usize..end as usize).unwrap_or_default()
    }

    /// Where the run of absent pages that ends before `index` begins, `lowest` at least.
    pub(super) fn absent_before(&self, index: u64, lowest: u64) -> u64 {
        if index <= HEAD {
            let here = self.together(lowest, index).iter().rposition(|slot| !matches!(slot, Slot::Absent));
            return here.map_or(lowest, |at| lowest + at as u64 + 1);
        }
        (lowest..index).rev().find(|&at| !matches!(self.get(at), Slot::Absent)).map_or(lowest, |at| at + 1)
    }

    /// Marks the run of absent pages from `begin` on as being read, `limit` at most; returns its end and the number of the loader.
    pub(super) fn begin_load(&mut self, begin: u64, limit: u64) -> (u64, u64) {
        self.last_loader += 1;
        let loader = self.last_loader;
        let mut end = begin;
        while end < limit {
            if end >= self.head.len() as u64 && end < HEAD {
                // Nothing is known of any page from here on.
                self.head.resize_with(end as usize, Slot::default);
                self.head.resize_with(limit.min(HEAD) as usize, || Slot::Loading(loader));
                end = limit.min(HEAD);
                continue;
            }
            let known = if end < HEAD { limit.min(self.head.len() as u64) } else { limit };
            for slot in self.span(end, known) {
                if !matches!(slot, Slot::Absent) {
                    return (end, loader);
                }
                *slot = Slot::Loading(loader);
                end += 1;
            }
        }
        (end, loader)
    }

    /// Puts what the loader read; what somebody changed meanwhile stays, and its frame is returned.
    pub(super) fn end_load(&mut self, begin: u64, loader: u64, frames: Vec<Frame>) -> Vec<Frame> {
        let mut unused = Vec::new();
        let (mut at, end) = (begin, begin + frames.len() as u64);
        self.count += frames.len() as u64;
        let mut frames = frames.into_iter();
        while at < end {
            let slots = self.span(at, end);
            at += slots.len() as u64;
            for (slot, frame) in slots.iter_mut().zip(&mut frames) {
                if matches!(slot, Slot::Loading(number) if *number == loader) {
                    *slot = Slot::Clean(frame);
                } else {
                    unused.push(frame);
                }
            }
        }
        self.count -= unused.len() as u64;
        unused
    }

    /// The loader read nothing.
    pub(super) fn forget_load(&mut self, begin: u64, end: u64, loader: u64) {
        for at in begin..end {
            let slot = self.slot(at);
            if matches!(slot, Slot::Loading(number) if *number == loader) {
                *slot = Slot::Absent;
            }
        }
    }

    /// The slots from `begin` on that lie in one piece, `end` at most, made if need be; one at least.
    fn span(&mut self, begin: u64, end: u64) -> &mut [Slot] {
        if begin < HEAD {
            let end = end.min(HEAD) as usize;
            if end > self.head.len() {
                self.head.resize_with(end, Slot::default);
            }
            return &mut self.head[begin as usize..end];
        }
        let first = begin / CHUNK * CHUNK;
        &mut self.chunk(begin)[(begin - first) as usize..(end - first).min(CHUNK) as usize]
    }

    fn chunk(&mut self, index: u64) -> &mut [Slot; CHUNK as usize] {
        self.tail.entry(index / CHUNK).or_insert_with(|| Box::new(core::array::from_fn(|_| Slot::Absent)))
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
