//! How long a thread goes on after it has woken another: what tells a pair that takes turns (the woken one is best left on
//! its waker's CPU, which is about to be free) from a server that answers many clients in a row, next to an idle CPU.

use crate::sched::SPREAD_NS;
use crate::time;
use crate::x86::rdtsc;
use core::cell::Cell;

/// What one turn counts at most, in `SPREAD_NS`: a single long one is enough to call an idle CPU next time, and a single
/// short one to leave it alone again.
const MOST: u64 = 4;

/// A thread's habit as a waker. Belongs to the thread while it runs.
pub struct Waker {
    /// TSC of its first wake-up while a CPU was idle, in this turn; 0: none.
    since: Cell<u64>,
    /// Moving average of the ticks from there to the turn's end.
    stays: Cell<u64>,
}

impl Waker {
    /// One that has woken nobody.
    pub const fn new() -> Self {
        Self { since: Cell::new(0), stays: Cell::new(0) }
    }

    /// It wakes another; whether it is expected to keep its CPU so long that an idle one should be called at once.
    pub fn wakes(&self) -> bool {
        if self.since.get() == 0 {
            self.since.set(rdtsc());
        }
        self.stays.get() >= time::ns_to_ticks(SPREAD_NS)
    }

    /// Its turn ends at the TSC's `now`.
    #[inline]
    pub fn turn_ends(&self, now: u64) {
        let since = self.since.get();
        if since != 0 {
            self.since.set(0);
            let stayed = now.saturating_sub(since).min(MOST * time::ns_to_ticks(SPREAD_NS));
            self.stays.set((3 * self.stays.get() + stayed) / 4);
        }
    }
}
