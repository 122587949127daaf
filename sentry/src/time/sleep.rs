//! Sleeping: nanosleep(2), clock_nanosleep(2).

use super::clock::{Clock, clock_was_set_queue};
use super::types::Timespec;
use crate::errno::Errno;
use crate::platform::platform;
use crate::syscall::{Fail, UserPtr};
use crate::task::Current;
use crate::wait::{Events, ThreadWaker};
use alloc::boxed::Box;
use alloc::sync::Arc;

/// How often a sleep on CPU time looks, ns.
const CPU_LOOK_NS: u64 = 4_000_000;

/// Sleeps `ns` of `clock`. Interrupted, it leaves the rest at `rest`, and goes on after a signal without a handler.
pub fn sleep(current: &Current, clock: Clock, ns: u64, rest: Option<UserPtr<Timespec>>) -> Result<(), Fail> {
    // Setting CLOCK_REALTIME does not change how long a relative sleep is.
    let clock = if clock.is_realtime() { Clock::Monotonic(false) } else { clock };
    let deadline = clock.now_ns().saturating_add(ns);
    sleep_rest(current, clock, deadline, rest)
}

fn sleep_rest(current: &Current, clock: Clock, deadline: u64, rest: Option<UserPtr<Timespec>>) -> Result<(), Fail> {
    if reach(current, &clock, deadline) {
        return Ok(());
    }
    if let Some(at) = rest {
        let left = deadline.saturating_sub(clock.now_ns());
        at.write(current, &Timespec::from_ns(left))?;
    }
    let block = move |current: &mut Current| sleep_rest(current, clock, deadline, rest).map(|()| 0);
    Err(Fail::RestartWith(Box::new(block)))
}

/// Sleeps until `clock` says `deadline_ns` (TIMER_ABSTIME).
pub fn sleep_until(current: &Current, clock: &Clock, deadline_ns: u64) -> Result<(), Fail> {
    if reach(current, clock, deadline_ns) { Ok(()) } else { Err(Fail::RestartUnlessHandled) }
}

/// Parks until `clock` says `deadline`; false where a signal came first.
fn reach(current: &Current, clock: &Clock, deadline: u64) -> bool {
    let waker = clock.is_realtime().then(ThreadWaker::current);
    if let Some(waker) = &waker {
        clock_was_set_queue().add(Arc::clone(waker), Events::IN, false);
    }
    let reached = loop {
        let now = clock.now_ns();
        if now >= deadline {
            break true;
        }
        if current.interrupted() {
            break false;
        }
        let left = deadline - now;
        let wait = if clock.is_cpu() { (left / clock.speed()).max(CPU_LOOK_NS) } else { left };
        platform().park(platform().monotonic_ns().checked_add(wait));
    };
    if let Some(waker) = &waker {
        clock_was_set_queue().remove(waker);
    }
    reached
}

impl Clock {
    /// EINVAL or EOPNOTSUPP where nobody can sleep on the clock with this id.
    pub fn check_sleep(&self, id: i32) -> Result<(), Errno> {
        use linux_raw_sys::general as raw;
        match u32::try_from(id) {
            // (Of the first, the C library says EINVAL without asking.)
            Ok(
                raw::CLOCK_THREAD_CPUTIME_ID
                | raw::CLOCK_MONOTONIC_RAW
                | raw::CLOCK_REALTIME_COARSE
                | raw::CLOCK_MONOTONIC_COARSE,
            ) => Err(Errno::EOPNOTSUPP),
            // There is no clock here that could wake a suspended machine.
            Ok(raw::CLOCK_REALTIME_ALARM | raw::CLOCK_BOOTTIME_ALARM) => Err(Errno::EOPNOTSUPP),
            _ => Ok(()),
        }
    }
}
