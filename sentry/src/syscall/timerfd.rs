//! timerfd_create, timerfd_settime, timerfd_gettime.

use super::table::{Level, Row, arg, finish, row};
use super::{Fd, UserPtr};
use crate::errno::Errno;
use crate::flags_from_arg;
use crate::fs::timerfd::TimerFd;
use crate::fs::{OpenFile, OpenFlags};
use crate::task::Current;
use crate::time::{Itimerspec, Setting, Timespec};
use bitflags::bitflags;
use linux_raw_sys::general as raw;
use syscalls::Sysno;

bitflags! {
    /// timerfd_create(2)'s flags.
    #[derive(Clone, Copy)]
    pub struct CreateFlags: u32 {
        /// FD_CLOEXEC.
        const CLOEXEC = raw::TFD_CLOEXEC;
        /// Nonblocking.
        const NONBLOCK = raw::TFD_NONBLOCK;
    }
}
flags_from_arg!(CreateFlags, EINVAL);

bitflags! {
    /// timerfd_settime(2)'s flags.
    #[derive(Clone, Copy)]
    pub struct SetFlags: u32 {
        /// A time of the clock, not from now.
        const ABSTIME = raw::TFD_TIMER_ABSTIME;
        /// Reads fail when the clock is set.
        const CANCEL_ON_SET = raw::TFD_TIMER_CANCEL_ON_SET;
    }
}
flags_from_arg!(SetFlags, EINVAL);

/// timerfd_create(2).
pub fn timerfd_create(current: &mut Current, clock: u32, flags: CreateFlags) -> Result<Fd, Errno> {
    let realtime = match clock {
        raw::CLOCK_REALTIME => true,
        raw::CLOCK_MONOTONIC | raw::CLOCK_BOOTTIME => false,
        // The sandbox is never suspended, so there is nothing to wake it from.
        raw::CLOCK_REALTIME_ALARM | raw::CLOCK_BOOTTIME_ALARM => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    };
    let status = if flags.contains(CreateFlags::NONBLOCK) { OpenFlags::NONBLOCK } else { OpenFlags::empty() };
    current.add_file(TimerFd::open(realtime, status), flags.contains(CreateFlags::CLOEXEC))
}

fn timer(file: &OpenFile) -> Result<&TimerFd, Errno> {
    file.downcast::<TimerFd>().ok_or(Errno::EINVAL)
}

fn spec(setting: Setting) -> Itimerspec {
    Itimerspec { interval: Timespec::from_ns(setting.interval_ns), value: Timespec::from_ns(setting.expiry_ns) }
}

/// timerfd_settime(2).
pub fn timerfd_settime(
    current: &mut Current,
    fd: Fd,
    flags: SetFlags,
    new: UserPtr<Itimerspec>,
    old: UserPtr<Itimerspec>,
) -> Result<(), Errno> {
    let new = new.read(current)?;
    let (value, interval) = (new.value.checked_ns()?, new.interval.checked_ns()?);
    let file = current.file(fd)?;
    let (absolute, cancel) = (flags.contains(SetFlags::ABSTIME), flags.contains(SetFlags::CANCEL_ON_SET));
    let before = timer(&file)?.set(value, interval, absolute, cancel);
    match old.non_null() {
        Some(old) => old.write(current, &spec(before)),
        None => Ok(()),
    }
}

/// timerfd_gettime(2).
pub fn timerfd_gettime(current: &mut Current, fd: Fd, value: UserPtr<Itimerspec>) -> Result<(), Errno> {
    let file = current.file(fd)?;
    value.write(current, &spec(timer(&file)?.get()))
}

pub(super) const ROWS: &[Row] = &[
    row!(timerfd_create = timerfd_create(2), Partial, "no CLOCK_*_ALARM"),
    row!(timerfd_settime = timerfd_settime(4), Full, ""),
    row!(timerfd_gettime = timerfd_gettime(2), Full, ""),
];
