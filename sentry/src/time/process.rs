//! The timers of one process.

use super::clock::{Clock, CpuTime};
use super::clock_timer::{ClockTimer, Setting};
use super::itimer::{Interval, IntervalTimer};
use super::posix::PosixTimer;
use super::queue::Expire;
use crate::signal::{SigInfo, Signal, send_to_process};
use crate::sync::{Lock, Rank};
use crate::task::{ExitStatus, Process};
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use linux_raw_sys::general as raw;

/// Interval timers, POSIX timers, and the watch over RLIMIT_CPU.
pub struct ProcessTimers {
    inner: Lock<Inner>,
}

#[derive(Default)]
struct Inner {
    intervals: [Option<Arc<IntervalTimer>>; 3],
    posix: BTreeMap<i32, Arc<PosixTimer>>,
    next: i32,
    cpu_limit: Option<Arc<CpuLimit>>,
}

impl Default for ProcessTimers {
    fn default() -> Self {
        Self { inner: Lock::new(Rank::Timer, Inner::default()) }
    }
}

impl ProcessTimers {
    /// One of the interval timers, made when it is first asked for.
    pub(super) fn interval(&self, process: &Arc<Process>, which: Interval) -> Arc<IntervalTimer> {
        if let Some(timer) = self.existing_interval(which) {
            return timer;
        }
        let fresh = IntervalTimer::new(process, which);
        let mut inner = self.inner.lock();
        match inner.intervals.get_mut(which as usize) {
            Some(slot) => slot.get_or_insert(fresh).clone(),
            None => fresh,
        }
    }

    /// One of the interval timers, if it was ever set.
    pub(super) fn existing_interval(&self, which: Interval) -> Option<Arc<IntervalTimer>> {
        self.inner.lock().intervals.get(which as usize).cloned().flatten()
    }

    /// Keeps a POSIX timer, made by `make` with its number; `None` where there is no number left.
    pub(super) fn add(&self, make: impl FnOnce(i32) -> Arc<PosixTimer>) -> Option<i32> {
        let id = {
            let mut inner = self.inner.lock();
            let start = inner.next;
            let mut id = start;
            while inner.posix.contains_key(&id) {
                id = if id == i32::MAX { 0 } else { id + 1 };
                if id == start {
                    return None;
                }
            }
            inner.next = if id == i32::MAX { 0 } else { id + 1 };
            id
        };
        let timer = make(id);
        let old = self.inner.lock().posix.insert(id, timer);
        drop(old);
        Some(id)
    }

    /// A POSIX timer.
    pub(super) fn posix(&self, id: i32) -> Option<Arc<PosixTimer>> {
        self.inner.lock().posix.get(&id).cloned()
    }

    /// Takes a POSIX timer out.
    pub(super) fn remove(&self, id: i32) -> Option<Arc<PosixTimer>> {
        self.inner.lock().posix.remove(&id)
    }

    /// How many POSIX timers there are.
    pub fn posix_count(&self) -> usize {
        self.inner.lock().posix.len()
    }

    /// A timer's signal was taken from the queue: it gets the count of what was missed meanwhile, and the timer goes on.
    pub fn signal_taken(&self, info: SigInfo) -> SigInfo {
        let (id, _) = info.timer_fields();
        match self.posix(id) {
            Some(timer) => timer.signal_taken(info),
            None => info,
        }
    }

    /// execve: POSIX timers are gone; interval timers stay.
    pub fn reset_for_exec(&self) {
        let old = core::mem::take(&mut self.inner.lock().posix);
        drop(old);
    }

    /// The process ends: no timer outlives it.
    pub fn clear(&self) {
        let old = core::mem::take(&mut *self.inner.lock());
        drop(old);
    }

    /// RLIMIT_CPU was set (or inherited): watches over it from now on.
    pub fn watch_cpu_limit(&self, process: &Arc<Process>) {
        let (soft, hard) = process.limits().get(raw::RLIMIT_CPU).unwrap_or((u64::MAX, u64::MAX));
        let existing = self.inner.lock().cpu_limit.clone();
        if soft == u64::MAX && hard == u64::MAX && existing.is_none() {
            return;
        }
        let fresh = match existing {
            Some(watch) => watch,
            None => {
                let watch = CpuLimit::new(process);
                self.inner.lock().cpu_limit.get_or_insert(watch).clone()
            }
        };
        fresh.set(soft);
    }

    /// The CPU time limits as they stand, for tests and `/proc`.
    pub fn intervals_armed(&self) -> Vec<Setting> {
        let timers = self.inner.lock().intervals.clone();
        timers.iter().flatten().map(|timer| timer.timer().setting()).collect()
    }
}

/// Watches over RLIMIT_CPU: SIGXCPU at the soft limit and every second from then on, SIGKILL at the hard one.
struct CpuLimit {
    process: Weak<Process>,
    timer: ClockTimer,
}

impl CpuLimit {
    fn new(process: &Arc<Process>) -> Arc<Self> {
        let clock = Clock::Process(Arc::downgrade(process), CpuTime::All);
        let process = Arc::downgrade(process);
        Arc::new_cyclic(|weak: &Weak<Self>| Self { process, timer: ClockTimer::new(clock, weak.clone()) })
    }

    fn set(&self, seconds: u64) {
        let expiry_ns = seconds.max(1).checked_mul(super::NS_PER_SEC).unwrap_or(0);
        self.timer.set(Setting { expiry_ns, interval_ns: super::NS_PER_SEC });
    }
}

impl Expire for CpuLimit {
    fn expire(&self) {
        let Some(process) = self.process.upgrade() else { return };
        if self.timer.take_expirations(false) == 0 || process.is_exiting() {
            return;
        }
        let hard = process.limits().get(raw::RLIMIT_CPU).map_or(u64::MAX, |(_, hard)| hard);
        if self.timer.clock().now_ns() / super::NS_PER_SEC >= hard {
            let (_, threads) =
                process.begin_end(ExitStatus::Signal { number: Signal::SIGKILL.number() as u8, core: false });
            for task in threads {
                task.doom();
            }
        } else {
            send_to_process(&process, SigInfo::kernel(Signal::SIGXCPU));
        }
    }
}
