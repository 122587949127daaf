//! timerfd_create(2): a timer that is read.
//!
//! An expiration is noted and the timer rests until somebody reads: however short the interval, nobody is kept busy by it.

use super::anon::AnonInode;
use super::io::Sink;
use super::open_file::{FileOps, OpenFile, OpenFlags};
use crate::errno::Errno;
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::task::Current;
use crate::time::{Clock, ClockTimer, Expire, Setting};
use crate::wait::{Events, WaitQueue};
use alloc::sync::{Arc, Weak};
use core::any::Any;

/// What is read.
const WORD: usize = size_of::<u64>();

#[derive(Default)]
struct State {
    /// Expirations nobody has read.
    ticks: u64,
    /// It was set for a time of day, so the clock's steps move it.
    of_day: bool,
    cancel_on_set: bool,
    canceled: bool,
}

/// A timerfd.
pub struct TimerFd {
    realtime: bool,
    /// Times of day.
    day: ClockTimer,
    /// Everything else, relative times of day included.
    steady: ClockTimer,
    state: Lock<State>,
    queue: WaitQueue,
}

impl TimerFd {
    /// A new one, not armed. `realtime`: absolute times are those of CLOCK_REALTIME.
    pub fn open(realtime: bool, flags: OpenFlags) -> Arc<OpenFile> {
        let timer = Arc::new_cyclic(|this: &Weak<Self>| Self {
            realtime,
            day: ClockTimer::new(Clock::Realtime(false), this.clone()),
            steady: ClockTimer::new(Clock::Monotonic(false), this.clone()),
            state: Lock::new(Rank::Timer, State::default()),
            queue: WaitQueue::new(),
        });
        OpenFile::new(timer, flags | OpenFlags::RDWR, AnonInode::anonymous("[timerfd]"), None)
    }

    fn timer(&self, of_day: bool) -> &ClockTimer {
        if of_day { &self.day } else { &self.steady }
    }

    /// timerfd_settime(2). `value_ns` 0 disarms; returns what was left, and the interval.
    pub fn set(&self, value_ns: u64, interval_ns: u64, absolute: bool, cancel_on_set: bool) -> Setting {
        let old = self.get();
        let of_day = absolute && self.realtime;
        self.timer(!of_day).set(Setting::default());
        {
            let mut state = self.state.lock();
            *state = State { of_day, cancel_on_set: cancel_on_set && of_day, ..State::default() };
        }
        let timer = self.timer(of_day);
        let expiry_ns = match value_ns {
            0 => 0,
            value if absolute => value,
            value => timer.clock().now_ns().saturating_add(value),
        };
        timer.set(Setting { expiry_ns, interval_ns });
        old
    }

    /// timerfd_gettime(2).
    pub fn get(&self) -> Setting {
        let of_day = self.state.lock().of_day;
        self.timer(of_day).get_ahead()
    }

    /// Takes the expirations so far and lets the timer go on.
    fn take(&self) -> Option<Result<u64, Errno>> {
        let (of_day, ticks) = {
            let mut state = self.state.lock();
            if core::mem::take(&mut state.canceled) {
                return Some(Err(Errno::ECANCELED));
            }
            (state.of_day, core::mem::take(&mut state.ticks))
        };
        let ticks = ticks.saturating_add(self.timer(of_day).take_expirations(false));
        (ticks > 0).then_some(Ok(ticks))
    }
}

impl Expire for TimerFd {
    fn expire(&self) {
        let of_day = self.state.lock().of_day;
        let count = self.timer(of_day).take_expirations(true);
        if count > 0 {
            {
                let mut state = self.state.lock();
                state.ticks = state.ticks.saturating_add(count);
            }
            self.queue.wake(Events::READABLE);
        }
    }

    fn realtime_was_set(&self) {
        let canceled = {
            let mut state = self.state.lock();
            state.canceled |= state.cancel_on_set;
            state.canceled
        };
        if canceled {
            self.queue.wake(Events::READABLE);
        }
    }
}

impl FileOps for TimerFd {
    fn read(&self, current: &Current, file: &OpenFile, sink: &mut Sink<'_>, _: u64) -> Result<usize, Fail> {
        if sink.left() < WORD {
            return Err(Errno::EINVAL.into());
        }
        let ticks = match self.take() {
            Some(ticks) => ticks?,
            None if file.nonblocking() => return Err(Errno::EAGAIN.into()),
            None => current.wait(&self.queue, Events::READABLE, None, || self.take())??,
        };
        Ok(sink.put(&ticks.to_ne_bytes())?)
    }

    fn poll(&self, _: &OpenFile) -> Events {
        let state = self.state.lock();
        if state.ticks > 0 || state.canceled { Events::READABLE } else { Events::empty() }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn seek(&self, _file: &OpenFile, _offset: i64, _whence: u32) -> Result<u64, Errno> {
        // Linux's noop_llseek.
        Ok(0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::TimerFd;
    use crate::errno::Errno;
    use crate::fake;
    use crate::fs::{OpenFlags, Sink};
    use crate::syscall::Fail;
    use crate::time::Setting;
    use crate::wait::Events;

    #[test]
    fn a_timer_counts_what_passed_since_the_last_read() {
        let current = fake::current();
        let machine = fake::machine();
        // So far away that the timer thread, which has a clock of its own, never gets there.
        let start = 1 << 60;
        machine.set_monotonic_ns(start);
        let file = TimerFd::open(false, OpenFlags::NONBLOCK);
        let timer = file.downcast::<TimerFd>().unwrap();
        timer.set(100, 50, false, false);
        let mut bytes = [0; 8];
        let early = file.read(&current, &mut Sink::kernel(&mut bytes));
        assert!(matches!(early, Err(Fail::Errno(Errno::EAGAIN))));
        assert_eq!(timer.get(), Setting { expiry_ns: 100, interval_ns: 50 });
        machine.set_monotonic_ns(start + 225);
        crate::time::Expire::expire(timer);
        assert_eq!(file.readiness(Events::all()), Events::READABLE);
        machine.set_monotonic_ns(start + 310);
        file.read(&current, &mut Sink::kernel(&mut bytes)).unwrap();
        assert_eq!(u64::from_ne_bytes(bytes), 5);
        assert_eq!(timer.set(0, 0, false, false), Setting { expiry_ns: 40, interval_ns: 50 });
        assert_eq!(timer.get().expiry_ns, 0);
    }
}
