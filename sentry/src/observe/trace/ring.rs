//! The records of one CPU that wait for a reader: a ring of cells, written by whoever runs on that CPU and read by the session's
//! thread. Nobody gives up its CPU while it writes here, so there is one writer at a time, and neither side waits for the other.
//!
//! The reader is woken when the writer comes to where it asked to be (`alarm`), and only then: while it is at work it asks for nothing.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use linker::trace::Head;
use zerocopy::{FromBytes, IntoBytes};

/// Words of a cell: a head fits in, and what it leaves keeps cells from sharing cache lines.
const CELL_WORDS: usize = 16;
/// Cells of a ring: 256 KiB.
pub(super) const CELLS: usize = 2048;
/// Nobody is to be woken.
const NEVER: u64 = u64::MAX;

const WORD: usize = size_of::<u64>();
const CELL_BYTES: usize = CELL_WORDS * WORD;
const _: () = assert!(Head::WORDS <= CELL_WORDS && CELLS.is_power_of_two());

type Cell = [AtomicU64; CELL_WORDS];

/// See the module. A record is a cell with its head, and as many more as what was captured takes.
pub(super) struct Ring {
    cells: Box<[Cell; CELLS]>,
    /// Cells ever written. By the writer alone.
    head: AtomicU64,
    /// Cells ever read. By the reader alone.
    tail: AtomicU64,
    /// At so many written cells the reader wants to be woken.
    alarm: AtomicU64,
}

/// What came of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Put {
    /// It is there.
    Done,
    /// It is there, and the reader is to be woken.
    Wake,
    /// There was no room.
    Lost,
}

impl Ring {
    /// An empty one; none where there is no memory.
    pub(super) fn new() -> Option<Self> {
        let mut cells: Vec<Cell> = Vec::new();
        cells.try_reserve_exact(CELLS).ok()?;
        cells.resize_with(CELLS, || [const { AtomicU64::new(0) }; CELL_WORDS]);
        let cells = cells.into_boxed_slice().try_into().ok()?;
        Some(Self { cells, head: AtomicU64::new(0), tail: AtomicU64::new(0), alarm: AtomicU64::new(NEVER) })
    }

    /// Puts a record of `head` alone. By the CPU's own threads.
    #[inline(always)]
    pub(super) fn put(&self, head: &Head) -> Put {
        let at = self.head.load(Ordering::Relaxed);
        if at.wrapping_sub(self.tail.load(Ordering::Acquire)) >= CELLS as u64 {
            return Put::Lost;
        }
        store(self.cell(at), head.words());
        self.publish(at + 1)
    }

    /// The same with what was captured of the caller's memory, a multiple of 8 bytes.
    pub(super) fn put_all(&self, head: &Head, captured: &[u8]) -> Put {
        let at = self.head.load(Ordering::Relaxed);
        let more = captured.len().div_ceil(CELL_BYTES) as u64;
        if at.wrapping_sub(self.tail.load(Ordering::Acquire)).saturating_add(more) >= CELLS as u64 {
            return Put::Lost;
        }
        store(self.cell(at), head.words());
        for (next, bytes) in (at + 1..).zip(captured.chunks(CELL_BYTES)) {
            let words = bytes.chunks_exact(WORD).map(|word| u64::read_from_bytes(word).unwrap_or(0));
            store(self.cell(next), words);
        }
        self.publish(at + 1 + more)
    }

    #[inline(always)]
    fn publish(&self, head: u64) -> Put {
        // Before the alarm is looked at, as the reader sets it before it looks whether anything is there.
        self.head.swap(head, Ordering::SeqCst);
        let alarm = self.alarm.load(Ordering::SeqCst);
        if head < alarm { Put::Done } else { self.ring(alarm) }
    }

    /// Whoever comes first wakes the reader; an alarm that it has set meanwhile stays.
    #[cold]
    fn ring(&self, alarm: u64) -> Put {
        match self.alarm.compare_exchange(alarm, NEVER, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => Put::Wake,
            Err(_) => Put::Done,
        }
    }

    #[inline(always)]
    fn cell(&self, at: u64) -> &Cell {
        &self.cells[at as usize % CELLS]
    }

    /// Asks to be woken when so many cells wait. By the reader, as all that follows.
    pub(super) fn ask(&self, cells: u64) {
        self.alarm.store(self.tail.load(Ordering::Relaxed).saturating_add(cells), Ordering::SeqCst);
    }

    /// Asks for nothing.
    pub(super) fn ask_nothing(&self) {
        self.alarm.store(NEVER, Ordering::SeqCst);
    }

    /// Cells that wait.
    pub(super) fn waiting(&self) -> u64 {
        self.head.load(Ordering::SeqCst).wrapping_sub(self.tail.load(Ordering::Relaxed))
    }

    /// Takes the records of calls that ended at `until` or before, as far as they are there, one after the other.
    pub(super) fn take(&self, until: u64, to: &mut Vec<u8>) {
        let head = self.head.load(Ordering::Acquire);
        let mut tail = self.tail.load(Ordering::Relaxed);
        while tail != head {
            let record = Head::of_words(core::array::from_fn(|word| load(self.cell(tail), word)));
            let captured = (record.len as usize).saturating_sub(size_of::<Head>());
            let cells = 1 + captured.div_ceil(CELL_BYTES) as u64;
            if record.end() > until || cells > head.wrapping_sub(tail) {
                break;
            }
            to.extend_from_slice(record.as_bytes());
            for word in 0..captured / WORD {
                let cell = self.cell(tail + 1 + (word / CELL_WORDS) as u64);
                to.extend_from_slice(load(cell, word % CELL_WORDS).as_bytes());
            }
            tail += cells;
        }
        self.tail.store(tail, Ordering::Release);
    }
}

#[inline(always)]
fn store(cell: &Cell, words: impl IntoIterator<Item = u64>) {
    for (to, word) in cell.iter().zip(words) {
        to.store(word, Ordering::Relaxed);
    }
}

#[inline(always)]
fn load(cell: &Cell, word: usize) -> u64 {
    cell.get(word).map_or(0, |word| word.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::{CELLS, Put, Ring};
    use linker::trace::Head;
    use std::vec::Vec;
    use zerocopy::{FromBytes, IntoBytes};

    fn head(len: usize, start_ns: u64) -> Head {
        Head { len: len as u32, kind: 1, tid: 7, number: 39, start_ns, duration_ns: 10, result: -2, ..Head::default() }
    }

    fn heads(mut bytes: &[u8]) -> Vec<Head> {
        let mut found = Vec::new();
        while let Ok((head, _)) = Head::read_from_prefix(bytes) {
            bytes = &bytes[head.len as usize..];
            found.push(head);
        }
        assert!(bytes.is_empty());
        found
    }

    #[test]
    fn a_full_ring_loses_what_comes_and_keeps_what_is_there() {
        let ring = Ring::new().expect("memory");
        let size = size_of::<Head>();
        for n in 0..CELLS as u64 {
            assert_eq!(ring.put(&head(size, n)), Put::Done);
        }
        assert_eq!(ring.put(&head(size, 9)), Put::Lost);
        assert_eq!(ring.put_all(&head(size + 8, 9), &[0; 8]), Put::Lost);
        let mut bytes = Vec::new();
        ring.take(u64::MAX, &mut bytes);
        let starts: Vec<u64> = heads(&bytes).iter().map(|head| head.start_ns).collect();
        assert_eq!(starts, (0..CELLS as u64).collect::<Vec<_>>());
        assert_eq!((ring.waiting(), ring.put(&head(size, 9))), (0, Put::Done));
    }

    #[test]
    fn captures_come_out_as_they_went_in_also_over_the_ends() {
        let ring = Ring::new().expect("memory");
        let captured: Vec<u8> = (0..264).map(|n| n as u8).collect();
        let record = head(size_of::<Head>() + captured.len(), 3);
        let whole = [record.as_bytes(), &captured].concat();
        for _ in 0..CELLS {
            assert_eq!(ring.put_all(&record, &captured), Put::Done);
            assert_eq!(ring.waiting(), 4);
            let mut bytes = Vec::new();
            ring.take(u64::MAX, &mut bytes);
            assert_eq!(bytes, whole);
        }
    }

    #[test]
    fn calls_that_ended_later_wait() {
        let ring = Ring::new().expect("memory");
        let size = size_of::<Head>();
        for start in [5, 15, 25] {
            assert_eq!(ring.put(&head(size, start)), Put::Done);
        }
        let mut bytes = Vec::new();
        ring.take(25, &mut bytes);
        assert_eq!((heads(&bytes).len(), ring.waiting()), (2, 1));
        ring.take(34, &mut bytes);
        assert_eq!(heads(&bytes).len(), 2);
        ring.take(35, &mut bytes);
        assert_eq!(heads(&bytes).len(), 3);
    }

    #[test]
    fn the_reader_is_woken_once_and_only_where_it_asked_to_be() {
        let ring = Ring::new().expect("memory");
        let put = || ring.put(&head(size_of::<Head>(), 0));
        ring.ask(2);
        assert_eq!([put(), put(), put()], [Put::Done, Put::Wake, Put::Done]);
        ring.ask(1);
        assert_eq!([put(), put()], [Put::Wake, Put::Done]);
        ring.ask(100);
        ring.ask_nothing();
        assert!((0..200).all(|_| put() == Put::Done));
    }
}
