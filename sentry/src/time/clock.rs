//! Clocks: what clock_gettime(2) knows.

use super::queue;
use crate::errno::Errno;
use crate::platform::platform;
use crate::task::{Cap, Current, Process, Task, Tid, registry};
use crate::wait::{Events, WaitQueue};
use alloc::sync::{Arc, Weak};
use linux_raw_sys::general as raw;

/// What the coarse clocks of a Linux with 250 ticks a second claim as their resolution.
const TICK_NS: u64 = 4_000_000;

/// Woken when CLOCK_REALTIME is set: absolute sleeps look again.
static CLOCK_WAS_SET: WaitQueue = WaitQueue::new();

/// The queue that is woken when CLOCK_REALTIME is set.
pub fn clock_was_set_queue() -> &'static WaitQueue {
    &CLOCK_WAS_SET
}

/// Whose CPU time, and which part of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CpuTime {
    /// In user mode.
    User,
    /// In user mode and in the kernel.
    All,
}

/// A clock.
#[derive(Clone)]
pub enum Clock {
    /// CLOCK_REALTIME, also as CLOCK_TAI (no leap seconds are known). `true`: coarse.
    Realtime(bool),
    /// CLOCK_MONOTONIC, _RAW and CLOCK_BOOTTIME: the sandbox is never suspended. `true`: coarse.
    Monotonic(bool),
    /// The CPU time of a process.
    Process(Weak<Process>, CpuTime),
    /// The CPU time of a thread.
    Thread(Weak<Task>, CpuTime),
}

impl Clock {
    /// Decodes a clockid_t; EINVAL for one that does not exist.
    pub fn from_id(current: &Current, id: i32) -> Result<Self, Errno> {
        let Ok(number) = u32::try_from(id) else { return Self::from_cpu_id(current, id) };
        match number {
            raw::CLOCK_REALTIME | raw::CLOCK_TAI | raw::CLOCK_REALTIME_ALARM => Ok(Self::Realtime(false)),
            raw::CLOCK_REALTIME_COARSE => Ok(Self::Realtime(true)),
            raw::CLOCK_MONOTONIC | raw::CLOCK_MONOTONIC_RAW => Ok(Self::Monotonic(false)),
            raw::CLOCK_BOOTTIME | raw::CLOCK_BOOTTIME_ALARM => Ok(Self::Monotonic(false)),
            raw::CLOCK_MONOTONIC_COARSE => Ok(Self::Monotonic(true)),
            raw::CLOCK_PROCESS_CPUTIME_ID => Ok(Self::Process(Arc::downgrade(&current.process), CpuTime::All)),
            raw::CLOCK_THREAD_CPUTIME_ID => Ok(Self::Thread(Arc::downgrade(&current.task), CpuTime::All)),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Negative ids name the CPU time of any process or of one's own threads (clock_getcpuclockid(3)): `~number << 3`, bit 2 for a
    /// thread, the low two bits 0 for user and kernel, 1 for user, 2 for what was scheduled, 3 for a descriptor of a clock device.
    fn from_cpu_id(current: &Current, id: i32) -> Result<Self, Errno> {
        let which = match id & 3 {
            1 => CpuTime::User,
            0 | 2 => CpuTime::All,
            _ => return Err(Errno::EINVAL),
        };
        let number = current.meant(Tid::new((!(id >> 3)).unsigned_abs()));
        if id & 4 != 0 {
            let task = if number.raw() == 0 { Some(current.task.clone()) } else { registry().task(number) };
            let own = task.filter(|task| task.process().pid() == current.process.pid());
            return own.map(|task| Self::Thread(Arc::downgrade(&task), which)).ok_or(Errno::EINVAL);
        }
        let process = if number.raw() == 0 { Some(current.process.clone()) } else { registry().process(number) };
        process.map(|process| Self::Process(Arc::downgrade(&process), which)).ok_or(Errno::EINVAL)
    }

    /// The time, ns. Call without locks.
    pub fn now_ns(&self) -> u64 {
        match self {
            Self::Realtime(_) => platform().realtime_ns(),
            Self::Monotonic(_) => platform().monotonic_ns(),
            Self::Process(process, which) => process.upgrade().map_or(0, |process| {
                let usage = process.usage();
                which.of(usage.user_ns, usage.system_ns)
            }),
            Self::Thread(task, which) => task.upgrade().map_or(0, |task| {
                let (user, system) = task.thread().map_or((0, 0), |thread| thread.cpu_time_ns());
                which.of(user, system)
            }),
        }
    }

    /// What clock_getres(2) says, ns.
    pub fn resolution_ns(&self) -> u64 {
        if matches!(self, Self::Realtime(true) | Self::Monotonic(true)) { TICK_NS } else { 1 }
    }

    /// Whether it counts CPU time.
    pub fn is_cpu(&self) -> bool {
        matches!(self, Self::Process(..) | Self::Thread(..))
    }

    /// Whether it jumps when CLOCK_REALTIME is set.
    pub fn is_realtime(&self) -> bool {
        matches!(self, Self::Realtime(_))
    }

    /// How many threads can advance it at once.
    pub(super) fn speed(&self) -> u64 {
        match self {
            Self::Process(process, _) => process.upgrade().map_or(1, |process| process.thread_count() as u64).max(1),
            _ => 1,
        }
    }
}

impl CpuTime {
    fn of(self, user_ns: u64, system_ns: u64) -> u64 {
        match self {
            Self::User => user_ns,
            Self::All => user_ns.saturating_add(system_ns),
        }
    }
}

/// clock_settime(CLOCK_REALTIME), settimeofday(2).
pub fn set_realtime(current: &Current, ns: u64) -> Result<(), Errno> {
    if !current.creds.has(Cap::SysTime) {
        return Err(Errno::EPERM);
    }
    // As Linux: the time of boot cannot lie before the epoch.
    if ns < platform().monotonic_ns() {
        return Err(Errno::EINVAL);
    }
    platform().set_realtime_ns(ns);
    queue::realtime_was_set();
    CLOCK_WAS_SET.wake(Events::IN);
    Ok(())
}
