//! Interval timers: setitimer(2), alarm(2).

use super::clock::{Clock, CpuTime};
use super::clock_timer::{ClockTimer, Setting};
use super::queue::Expire;
use crate::errno::Errno;
use crate::signal::{SigInfo, Signal, send_to_process};
use crate::task::Process;
use alloc::sync::{Arc, Weak};
use linux_raw_sys::general as raw;

/// Which of a process's three interval timers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Interval {
    /// ITIMER_REAL: SIGALRM.
    Real = raw::ITIMER_REAL,
    /// ITIMER_VIRTUAL: SIGVTALRM, by CPU time in user mode.
    Virtual = raw::ITIMER_VIRTUAL,
    /// ITIMER_PROF: SIGPROF, by CPU time.
    Prof = raw::ITIMER_PROF,
}

impl Interval {
    /// The timer with this number; EINVAL if there is none.
    pub fn from_raw(raw: u32) -> Result<Self, Errno> {
        match raw {
            raw::ITIMER_REAL => Ok(Self::Real),
            raw::ITIMER_VIRTUAL => Ok(Self::Virtual),
            raw::ITIMER_PROF => Ok(Self::Prof),
            _ => Err(Errno::EINVAL),
        }
    }
}

/// One interval timer.
pub struct IntervalTimer {
    process: Weak<Process>,
    signal: Signal,
    timer: ClockTimer,
}

impl IntervalTimer {
    pub(super) fn new(process: &Arc<Process>, which: Interval) -> Arc<Self> {
        let weak_process = Arc::downgrade(process);
        let (signal, clock) = match which {
            Interval::Real => (Signal::SIGALRM, Clock::Monotonic(false)),
            Interval::Virtual => (Signal::SIGVTALRM, Clock::Process(weak_process.clone(), CpuTime::User)),
            Interval::Prof => (Signal::SIGPROF, Clock::Process(weak_process.clone(), CpuTime::All)),
        };
        Arc::new_cyclic(|weak: &Weak<Self>| {
            let timer = ClockTimer::new(clock, weak.clone());
            Self { process: weak_process, signal, timer }
        })
    }

    pub(super) fn timer(&self) -> &ClockTimer {
        &self.timer
    }
}

impl Expire for IntervalTimer {
    fn expire(&self) {
        let Some(process) = self.process.upgrade() else { return };
        if self.timer.take_expirations(false) != 0 {
            send_to_process(&process, SigInfo::kernel(self.signal));
        }
    }
}

/// Sets a timer to go off after `value_ns` (0: never) and then every `interval_ns`. Returns what was left, and the old interval.
pub fn set(process: &Arc<Process>, which: Interval, value_ns: u64, interval_ns: u64) -> (u64, u64) {
    if value_ns == 0 && process.timers.existing_interval(which).is_none() {
        return (0, 0);
    }
    let timer = process.timers.interval(process, which);
    let expiry_ns = if value_ns == 0 { 0 } else { timer.timer.clock().now_ns().saturating_add(value_ns) };
    // A disarmed timer has no interval either.
    let interval_ns = if value_ns == 0 { 0 } else { interval_ns };
    let old = timer.timer.set(Setting { expiry_ns, interval_ns });
    (old.expiry_ns, old.interval_ns)
}

/// What is left of a timer, and its interval.
pub fn get(process: &Arc<Process>, which: Interval) -> (u64, u64) {
    process.timers.existing_interval(which).map_or((0, 0), |timer| {
        let left = timer.timer.get();
        (left.expiry_ns, left.interval_ns)
    })
}

/// alarm(2): seconds in, seconds left out, rounded as Linux does: never 0 while one was armed.
pub fn alarm(process: &Arc<Process>, seconds: u32) -> u32 {
    let (left, _) = set(process, Interval::Real, u64::from(seconds) * super::NS_PER_SEC, 0);
    let whole = left / super::NS_PER_SEC;
    let round_up = left != 0 && (whole == 0 || left % super::NS_PER_SEC >= super::NS_PER_SEC / 2);
    u32::try_from(whole + u64::from(round_up)).unwrap_or(u32::MAX)
}
