//! Time: clocks, sleeping, timers.
//!
//! `Clock` says what time it is, `queue` is the one timer thread, `ClockTimer` a timer on any clock; interval timers (`itimer`)
//! and POSIX timers (`posix`) are made of it and live in `ProcessTimers`. timerfd uses `ClockTimer` or `TimerEntry` directly.
//! Locks: `Rank::Timer`, never held while a clock is read or a signal is sent.

mod clock;
mod clock_timer;
mod itimer;
mod posix;
mod process;
mod queue;
mod sleep;
#[cfg(test)]
mod tests;
mod types;

pub use clock::{Clock, CpuTime, clock_was_set_queue, set_realtime};
pub use clock_timer::{ClockTimer, Setting};
pub use itimer::{Interval, alarm, get as get_interval, set as set_interval};
pub use posix::{Notify, PosixTimer, SigEvent};
pub use process::ProcessTimers;
pub use queue::{Expire, TimerEntry};
pub use sleep::{sleep, sleep_until};
pub use types::{Itimerspec, Itimerval, NS_PER_SEC, Timespec, Timeval, Timex};
