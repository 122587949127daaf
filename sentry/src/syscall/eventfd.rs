//! eventfd, eventfd2, signalfd, signalfd4.

use super::table::{Level, Row, arg, finish, row};
use super::{Fd, UserPtr};
use crate::errno::Errno;
use crate::flags_from_arg;
use crate::fs::OpenFlags;
use crate::fs::eventfd::EventFd;
use crate::fs::signalfd::SignalFd;
use crate::signal::SignalSet;
use crate::task::Current;
use bitflags::bitflags;
use linux_raw_sys::general as raw;
use syscalls::Sysno;

bitflags! {
    /// eventfd2(2)'s flags.
    #[derive(Clone, Copy)]
    pub struct EventFlags: u32 {
        /// FD_CLOEXEC.
        const CLOEXEC = raw::EFD_CLOEXEC;
        /// Nonblocking.
        const NONBLOCK = raw::EFD_NONBLOCK;
        /// A read takes 1.
        const SEMAPHORE = raw::EFD_SEMAPHORE;
    }
}
flags_from_arg!(EventFlags, EINVAL);

bitflags! {
    /// signalfd4(2)'s flags: SFD_* are open(2)'s.
    #[derive(Clone, Copy)]
    pub struct SignalFdFlags: u32 {
        /// FD_CLOEXEC.
        const CLOEXEC = raw::O_CLOEXEC;
        /// Nonblocking.
        const NONBLOCK = raw::O_NONBLOCK;
    }
}
flags_from_arg!(SignalFdFlags, EINVAL);

/// eventfd(2).
pub fn eventfd(current: &mut Current, count: u32) -> Result<Fd, Errno> {
    eventfd2(current, count, EventFlags::empty())
}

/// eventfd2(2).
pub fn eventfd2(current: &mut Current, count: u32, flags: EventFlags) -> Result<Fd, Errno> {
    let status = if flags.contains(EventFlags::NONBLOCK) { OpenFlags::NONBLOCK } else { OpenFlags::empty() };
    let file = EventFd::open(u64::from(count), flags.contains(EventFlags::SEMAPHORE), status);
    current.add_file(file, flags.contains(EventFlags::CLOEXEC))
}

/// signalfd(2).
pub fn signalfd(current: &mut Current, fd: Fd, mask: UserPtr<u64>, size: usize) -> Result<Fd, Errno> {
    signalfd4(current, fd, mask, size, SignalFdFlags::empty())
}

/// signalfd4(2).
pub fn signalfd4(
    current: &mut Current,
    fd: Fd,
    mask: UserPtr<u64>,
    size: usize,
    flags: SignalFdFlags,
) -> Result<Fd, Errno> {
    if size != size_of::<u64>() {
        return Err(Errno::EINVAL);
    }
    let mask = SignalSet::from_bits(mask.read(current)?);
    if fd.raw() == -1 {
        let status = if flags.contains(SignalFdFlags::NONBLOCK) { OpenFlags::NONBLOCK } else { OpenFlags::empty() };
        let file = SignalFd::open(current, mask, status);
        return current.add_file(file, flags.contains(SignalFdFlags::CLOEXEC));
    }
    let file = current.file(fd)?;
    file.downcast::<SignalFd>().ok_or(Errno::EINVAL)?.set_mask(mask);
    Ok(fd)
}

pub(super) const ROWS: &[Row] = &[
    row!(eventfd = eventfd(1), Full, ""),
    row!(eventfd2 = eventfd2(2), Full, ""),
    row!(signalfd = signalfd(3), Full, ""),
    row!(signalfd4 = signalfd4(4), Partial, "poll looks at the signals of the thread that last read it"),
];
