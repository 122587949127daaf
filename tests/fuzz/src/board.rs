//! Memory that all processes of the fuzzer share: how far each thread is, what it does, and how often each call was made.

use crate::arena;
use crate::raw;
use std::sync::atomic::{AtomicU64, Ordering};

/// Calls have numbers below this.
pub const NUMBERS: usize = 512;
/// Cases that run beside each other, workers of a case, threads of a worker.
pub const LANES: usize = 4;
pub const WORKERS: usize = 4;
pub const THREADS: usize = 4;

const SLOT_WORDS: u64 = 4;
const SLOTS: u64 = (LANES * WORKERS * THREADS) as u64 * SLOT_WORDS;

static BOARD: AtomicU64 = AtomicU64::new(0);

/// Maps it, once, before any process is made.
pub fn map() {
    let words = SLOTS + 2 * NUMBERS as u64;
    BOARD.store(arena::map_shared((words * 8).next_multiple_of(arena::PAGE)), Ordering::SeqCst);
}

fn word(index: u64) -> &'static AtomicU64 {
    raw::shared(BOARD.load(Ordering::Relaxed) + 8 * index)
}

/// A call was made.
pub fn count(number: u32, result: i64) {
    let at = SLOTS + 2 * u64::from(number);
    word(at).fetch_add(1, Ordering::Relaxed);
    if result >= 0 {
        word(at + 1).fetch_add(1, Ordering::Relaxed);
    }
}

/// How often a call was made, and how often it succeeded.
pub fn counts(number: usize) -> (u64, u64) {
    let at = SLOTS + 2 * number as u64;
    (word(at).load(Ordering::Relaxed), word(at + 1).load(Ordering::Relaxed))
}

/// Calls altogether.
pub fn total() -> u64 {
    (0..NUMBERS).map(|number| counts(number).0).sum()
}

/// A thread's place on the board: steps made, call in progress, thread's number, whether it runs.
#[derive(Clone, Copy, Debug)]
pub struct Slot(u64);

/// The slot of a thread.
pub fn slot(lane: usize, worker: usize, thread: usize) -> Slot {
    let index = (lane * WORKERS + worker) * THREADS + thread;
    Slot(index as u64 * SLOT_WORDS)
}

impl Slot {
    /// A thread begins.
    pub fn begin(self, tid: u64) {
        word(self.0).store(0, Ordering::Relaxed);
        word(self.0 + 1).store(0, Ordering::Relaxed);
        word(self.0 + 2).store(tid, Ordering::Relaxed);
        word(self.0 + 3).store(1, Ordering::Release);
    }

    /// A step is made.
    pub fn advance(self) {
        word(self.0).fetch_add(1, Ordering::Relaxed);
    }

    /// A call begins.
    pub fn call(self, number: u32) {
        word(self.0 + 1).store(u64::from(number), Ordering::Relaxed);
    }

    /// It runs no more.
    pub fn end(self) {
        word(self.0 + 3).store(0, Ordering::Release);
    }

    /// Its thread, if it runs.
    pub fn tid(self) -> Option<u64> {
        (word(self.0 + 3).load(Ordering::Acquire) != 0).then(|| word(self.0 + 2).load(Ordering::Relaxed))
    }

    /// Steps made, and the call that is being made.
    pub fn progress(self) -> (u64, u64) {
        (word(self.0).load(Ordering::Relaxed), word(self.0 + 1).load(Ordering::Relaxed))
    }
}
