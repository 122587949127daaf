//! POSIX timers: timer_create(2) and what belongs to it.
//!
//! A timer has at most one signal pending. While it is, the timer rests; when the signal is taken, what was missed becomes the
//! overrun count and the timer goes on in its rhythm.

use super::clock::Clock;
use super::clock_timer::{ClockTimer, Setting};
use super::queue::Expire;
use crate::errno::Errno;
use crate::signal::{SigInfo, Signal, try_send};
use crate::sync::{Lock, Rank};
use crate::task::{Current, Process, Task, Tid, registry};
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, Ordering};
use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// struct sigevent.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SigEvent {
    /// `sigev_value`.
    pub value: u64,
    /// `sigev_signo`.
    pub signal: i32,
    /// `sigev_notify`: SIGEV_*.
    pub notify: u32,
    /// `sigev_notify_thread_id`.
    pub thread: i32,
    /// The rest of the union.
    pub pad: [i32; 11],
}

const _: () = {
    assert!(size_of::<SigEvent>() == size_of::<raw::sigevent>());
    assert!(core::mem::offset_of!(SigEvent, signal) == core::mem::offset_of!(raw::sigevent, sigev_signo));
    assert!(core::mem::offset_of!(SigEvent, notify) == core::mem::offset_of!(raw::sigevent, sigev_notify));
    assert!(core::mem::offset_of!(SigEvent, thread) == core::mem::offset_of!(raw::sigevent, _sigev_un));
};

/// Overruns are counted up to here (limits.h: DELAYTIMER_MAX).
const DELAYTIMER_MAX: u64 = i32::MAX as u64;
/// How often a timer whose signal is ignored goes off at most.
const IGNORED_PAUSE_NS: u64 = 10_000_000;

/// What a timer does.
#[derive(Clone)]
pub enum Notify {
    /// Nothing; it can be asked.
    Nothing,
    /// A signal to the process, or to one thread of it.
    Signal(Signal, u64, Option<Weak<Task>>),
}

impl Notify {
    /// Decodes a sigevent; EINVAL for nonsense.
    pub fn decode(current: &Current, event: &SigEvent) -> Result<Self, Errno> {
        if event.notify == raw::SIGEV_NONE {
            return Ok(Self::Nothing);
        }
        let signal = u32::try_from(event.signal).ok().and_then(Signal::new).ok_or(Errno::EINVAL)?;
        // SIGEV_THREAD is the C library's business; for the kernel it is a signal.
        match event.notify {
            raw::SIGEV_SIGNAL | raw::SIGEV_THREAD => Ok(Self::Signal(signal, event.value, None)),
            notify if notify == raw::SIGEV_SIGNAL | raw::SIGEV_THREAD_ID => {
                let task =
                    registry().task(current.meant(Tid::new(event.thread.unsigned_abs()))).ok_or(Errno::EINVAL)?;
                if task.process().pid() != current.process.pid() {
                    return Err(Errno::EINVAL);
                }
                Ok(Self::Signal(signal, event.value, Some(Arc::downgrade(&task))))
            }
            _ => Err(Errno::EINVAL),
        }
    }
}

#[derive(Default)]
struct State {
    /// Its signal is queued.
    pending: bool,
    /// Expirations that no signal told of yet, beyond the one of the pending signal.
    missed: u64,
    /// What the last signal that was taken said.
    last_overrun: i32,
}

/// One timer.
pub struct PosixTimer {
    id: i32,
    process: Weak<Process>,
    notify: Notify,
    timer: ClockTimer,
    /// Counts relative times of a clock that can be set: setting it does not change how long they are.
    steady: ClockTimer,
    /// `steady` is the one in use.
    relative: AtomicBool,
    state: Lock<State>,
}

impl PosixTimer {
    /// timer_create(2). `notify` `None`: SIGALRM with the timer's number as value. EAGAIN where there are too many.
    pub fn create(process: &Arc<Process>, clock: Clock, notify: Option<Notify>) -> Result<i32, Errno> {
        // Each timer has a signal of its own that always finds room, so they are limited as signals are.
        if process.timers.posix_count() as u64 >= process.soft_limit(raw::RLIMIT_SIGPENDING) {
            return Err(Errno::EAGAIN);
        }
        let made = process.timers.add(|id| {
            // Value as the union's int member.
            let notify = notify.unwrap_or(Notify::Signal(Signal::SIGALRM, u64::from(id.unsigned_abs()), None));
            Arc::new_cyclic(|weak: &Weak<Self>| Self {
                id,
                process: Arc::downgrade(process),
                notify,
                timer: ClockTimer::new(clock, weak.clone()),
                steady: ClockTimer::new(Clock::Monotonic(false), weak.clone()),
                relative: AtomicBool::new(false),
                state: Lock::new(Rank::Timer, State::default()),
            })
        });
        made.ok_or(Errno::EAGAIN)
    }

    /// The timer with this number; EINVAL if there is none.
    pub fn get(process: &Process, id: i32) -> Result<Arc<Self>, Errno> {
        process.timers.posix(id).ok_or(Errno::EINVAL)
    }

    /// timer_delete(2).
    pub fn delete(process: &Process, id: i32) -> Result<(), Errno> {
        process.timers.remove(id).map(drop).ok_or(Errno::EINVAL)
    }

    /// timer_settime(2): the first expiration after `value_ns` (0: none), or at that time of its clock. Returns what was left.
    pub fn set(&self, value_ns: u64, interval_ns: u64, absolute: bool) -> Setting {
        {
            let mut state = self.state.lock();
            state.missed = 0;
            state.last_overrun = 0;
        }
        let before = self.timer();
        let old = before.get_ahead();
        before.set(Setting::default());
        self.relative.store(!absolute && self.timer.clock().is_realtime(), Ordering::SeqCst);
        let timer = self.timer();
        let base = if absolute { 0 } else { timer.clock().now_ns() };
        let expiry_ns = if value_ns == 0 { 0 } else { base.saturating_add(value_ns) };
        timer.set(Setting { expiry_ns, interval_ns });
        old
    }

    /// The timer in use.
    fn timer(&self) -> &ClockTimer {
        if self.relative.load(Ordering::SeqCst) { &self.steady } else { &self.timer }
    }

    /// timer_gettime(2).
    pub fn left(&self) -> Setting {
        self.timer().get_ahead()
    }

    /// timer_getoverrun(2).
    pub fn overrun(&self) -> i32 {
        self.state.lock().last_overrun
    }

    /// Its signal was taken: says what was missed and goes on.
    pub(super) fn signal_taken(&self, mut info: SigInfo) -> SigInfo {
        let more = self.timer().take_expirations(false);
        let mut state = self.state.lock();
        let overrun = state.missed.saturating_add(more).min(DELAYTIMER_MAX) as i32;
        state.pending = false;
        state.missed = 0;
        state.last_overrun = overrun;
        info.set_overrun(overrun);
        info
    }
}

impl Expire for PosixTimer {
    fn expire(&self) {
        let count = self.timer().take_expirations(true);
        if count == 0 {
            return;
        }
        let Notify::Signal(signal, value, target) = &self.notify else {
            // Nobody hears of it: it goes on silently, at the pace of those who ask.
            return;
        };
        let queued = {
            let mut state = self.state.lock();
            let rests = core::mem::replace(&mut state.pending, true);
            state.missed = state.missed.saturating_add(count - u64::from(!rests));
            !rests
        };
        if !queued {
            return;
        }
        let info = SigInfo::timer(*signal, self.id, 0, *value);
        let Some(process) = self.process.upgrade() else { return };
        let task = match target {
            Some(task) => match task.upgrade() {
                Some(task) => Some(task),
                // Its thread is gone, and nobody else is meant.
                None => return,
            },
            None => None,
        };
        if !try_send(&process, task.as_ref(), info).unwrap_or(false) {
            self.ignored();
        }
    }
}

impl PosixTimer {
    /// The signal vanished: the timer goes on, but not faster than anybody could notice.
    fn ignored(&self) {
        {
            let mut state = self.state.lock();
            state.pending = false;
            state.missed = 0;
        }
        let setting = self.timer().setting();
        if setting.expiry_ns != 0 {
            let earliest = self.timer().clock().now_ns().saturating_add(IGNORED_PAUSE_NS);
            self.timer().set(Setting { expiry_ns: setting.expiry_ns.max(earliest), ..setting });
        }
    }
}
