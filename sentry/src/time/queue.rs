//! The timer thread: parks until the earliest deadline of all armed entries, and calls what expired, holding no lock.

use crate::platform::{NoMemory, ThreadRef, platform};
use crate::sync::{Lock, Rank};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

/// So many that are due are called in a row; then others have the CPU for a while. Timers of a microsecond are due again as soon as they
/// were called, and nothing interrupts the kernel.
const BURST: u32 = 16;
/// For how long.
const PAUSE_NS: u64 = 50_000;

/// What happens at a deadline. Called on the timer thread, without locks; may not block for long.
pub trait Expire: Send + Sync {
    /// The deadline passed. The entry is not armed any more; this may arm it again.
    fn expire(&self);
    /// CLOCK_REALTIME was set while the entry was armed for a time of that clock (TFD_TIMER_CANCEL_ON_SET).
    fn realtime_was_set(&self) {}
}

/// One deadline that can be set. Dropping it cancels it.
pub struct TimerEntry {
    id: u64,
    target: Weak<dyn Expire>,
}

struct Slot {
    deadline_ns: u64,
    /// The CLOCK_REALTIME that `deadline_ns` stands for.
    realtime_ns: Option<u64>,
    target: Weak<dyn Expire>,
}

#[derive(Default)]
struct Queue {
    slots: BTreeMap<u64, Slot>,
    order: BTreeSet<(u64, u64)>,
}

/// A leaf: timers are armed and dropped under their owners' locks.
static QUEUE: Lock<Queue> = Lock::new(Rank::Leaf, Queue { slots: BTreeMap::new(), order: BTreeSet::new() });
static THREAD: spin::Once<Option<ThreadRef>> = spin::Once::new();
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl TimerEntry {
    /// An entry that is not armed.
    pub fn new(target: Weak<dyn Expire>) -> Self {
        Self { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), target }
    }

    /// Calls the target once at `deadline_ns` (monotonic), instead of when it was armed for before.
    pub fn arm(&self, deadline_ns: u64) {
        self.insert(deadline_ns, None);
    }

    /// Calls the target once when CLOCK_REALTIME reaches `realtime_ns`, whatever happens to that clock.
    pub fn arm_realtime(&self, realtime_ns: u64) {
        self.insert(monotonic_of(realtime_ns), Some(realtime_ns));
    }

    /// Disarms it. A call that has begun on the timer thread goes on.
    pub fn cancel(&self) {
        let removed = QUEUE.lock().remove(self.id);
        drop(removed);
    }

    fn insert(&self, deadline_ns: u64, realtime_ns: Option<u64>) {
        let slot = Slot { deadline_ns, realtime_ns, target: self.target.clone() };
        let (old, earliest) = {
            let mut queue = QUEUE.lock();
            let old = queue.remove(self.id);
            queue.insert(self.id, slot);
            (old, queue.order.first().is_some_and(|(_, id)| *id == self.id))
        };
        drop(old);
        if earliest {
            wake();
        }
    }
}

impl Drop for TimerEntry {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Queue {
    fn insert(&mut self, id: u64, slot: Slot) {
        self.order.insert((slot.deadline_ns, id));
        self.slots.insert(id, slot);
    }

    fn remove(&mut self, id: u64) -> Option<Slot> {
        let slot = self.slots.remove(&id)?;
        self.order.remove(&(slot.deadline_ns, id));
        Some(slot)
    }

    /// Takes one entry out that is due; otherwise the deadline of the next.
    fn take_due(&mut self, now_ns: u64) -> Result<Slot, Option<u64>> {
        let Some((deadline_ns, id)) = self.order.first().copied() else { return Err(None) };
        if deadline_ns > now_ns {
            return Err(Some(deadline_ns));
        }
        self.remove(id).ok_or(None)
    }
}

/// CLOCK_REALTIME was set: what waits for a time of that clock gets a new deadline.
pub(super) fn realtime_was_set() {
    let targets: Vec<Weak<dyn Expire>> = {
        let mut queue = QUEUE.lock();
        let ids: Vec<u64> =
            queue.slots.iter().filter(|(_, slot)| slot.realtime_ns.is_some()).map(|(id, _)| *id).collect();
        let mut targets = Vec::new();
        for id in ids {
            if let Some(mut slot) = queue.remove(id) {
                slot.deadline_ns = slot.realtime_ns.map_or(slot.deadline_ns, monotonic_of);
                targets.push(slot.target.clone());
                queue.insert(id, slot);
            }
        }
        targets
    };
    wake();
    for target in targets.iter().filter_map(Weak::upgrade) {
        target.realtime_was_set();
    }
}

/// The monotonic time at which CLOCK_REALTIME will be `realtime_ns`, if nobody sets it.
fn monotonic_of(realtime_ns: u64) -> u64 {
    let left = realtime_ns.saturating_sub(platform().realtime_ns());
    platform().monotonic_ns().saturating_add(left)
}

/// Makes the timer thread look at the queue; starts it at the first time.
fn wake() {
    let thread = THREAD.call_once(|| {
        let thread = start();
        if thread.is_err() {
            platform().log("no memory for the timer thread: no timer will expire");
        }
        thread.ok()
    });
    if let Some(thread) = thread {
        thread.unpark();
    }
}

#[cfg(not(test))]
fn start() -> Result<ThreadRef, NoMemory> {
    platform().spawn(false, Box::new(run))
}

/// The thread outlives the test that starts it, so it must not inherit a machine whose clock that test stops.
#[cfg(test)]
fn start() -> Result<ThreadRef, NoMemory> {
    std::thread::spawn(|| platform().spawn(false, Box::new(run))).join().unwrap_or(Err(NoMemory))
}

fn run() {
    let mut burst = 0;
    loop {
        let next = QUEUE.lock().take_due(platform().monotonic_ns());
        match next {
            Ok(slot) => {
                let target: Option<Arc<dyn Expire>> = slot.target.upgrade();
                if let Some(target) = target {
                    target.expire();
                }
                burst += 1;
                if burst == BURST {
                    burst = 0;
                    pause();
                }
            }
            Err(deadline_ns) => {
                burst = 0;
                platform().park(deadline_ns);
            }
        }
    }
}

/// Leaves the CPU to others for a moment. (A token, as `arm` leaves here, only ends one park.)
fn pause() {
    let end_ns = platform().monotonic_ns().saturating_add(PAUSE_NS);
    while platform().monotonic_ns() < end_ns {
        platform().park(Some(end_ns));
    }
}
