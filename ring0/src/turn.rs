//! How long a thread goes on after it has made work for somebody else. It tells those that take turns (a woken thread is best
//! left on its waker's CPU, which is about to be free; what is sent, to this CPU's own thread at the host) from a server that
//! answers many clients in a row, next to an idle CPU and the host's worker.

use crate::sched::SPREAD_NS;
use crate::time;
use crate::x86::rdtsc;
use core::cell::Cell;

/// What one turn counts at most, in `SPREAD_NS`: a single long one is enough to call others next time, and a single short one
/// to leave them alone again.
const MOST: u64 = 4;

/// A thread's habit. Belongs to the thread while it runs.
pub struct Turn {
    /// TSC at which it first made work for somebody in this turn; 0: not yet.
    since: Cell<u64>,
    /// Moving average of the ticks from there to the turn's end.
    stays: Cell<u64>,
}

impl Turn {
    /// Of one that has made no work yet.
    pub const fn new() -> Self {
        Self { since: Cell::new(0), stays: Cell::new(0) }
    }

    /// It has work for somebody; whether it is expected to keep its CPU so long that somebody should see to that at once.
    pub fn goes_on(&self) -> bool {
        if self.since.get() == 0 {
            self.since.set(rdtsc());
        }
        self.stays.get() >= time::ns_to_ticks(SPREAD_NS)
    }

    /// It ends at the TSC's `now`.
    #[inline]
    pub fn end(&self, now: u64) {
        let since = self.since.get();
        if since != 0 {
            self.since.set(0);
            let stayed = now.saturating_sub(since).min(MOST * time::ns_to_ticks(SPREAD_NS));
            self.stays.set((3 * self.stays.get() + stayed) / 4);
        }
    }
}
