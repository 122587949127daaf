//! epoll_create, epoll_ctl, epoll_wait and their variants.

use super::file::open_file;
use super::poll::{read_mask, read_timespec, timeout_ms, with_mask};
use super::table::{Level, Row, arg, finish, row};
use super::{Fail, Fd, UserPtr};
use crate::errno::Errno;
use crate::flags_from_arg;
use crate::fs::epoll::{Epoll, Found};
use crate::fs::poll::Timeout;
use crate::task::Current;
use crate::wait::WaitError;
use alloc::sync::Arc;
use bitflags::bitflags;
use linux_raw_sys::general as raw;
use syscalls::Sysno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `struct epoll_event`: packed on x86-64.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C, packed)]
pub struct EpollEvent {
    events: u32,
    data: u64,
}

const _: () = assert!(size_of::<EpollEvent>() == size_of::<raw::epoll_event>());

bitflags! {
    /// epoll_create1(2)'s flags.
    #[derive(Clone, Copy)]
    pub struct EpollFlags: u32 {
        /// FD_CLOEXEC.
        const CLOEXEC = raw::EPOLL_CLOEXEC;
    }
}
flags_from_arg!(EpollFlags, EINVAL);

/// Reports that are copied to the program together.
const AT_ONCE: usize = 8;

/// What EPOLLEXCLUSIVE may come with (epoll_ctl(2)).
const WITH_EXCLUSIVE: u32 = raw::EPOLLIN
    | raw::EPOLLOUT
    | raw::EPOLLERR
    | raw::EPOLLHUP
    | raw::EPOLLWAKEUP
    | raw::EPOLLET
    | raw::EPOLLEXCLUSIVE;

/// epoll_create(2).
pub fn epoll_create(current: &mut Current, size: i32) -> Result<Fd, Errno> {
    if size <= 0 {
        return Err(Errno::EINVAL);
    }
    current.add_file(Epoll::open(), false)
}

/// epoll_create1(2).
pub fn epoll_create1(current: &mut Current, flags: EpollFlags) -> Result<Fd, Errno> {
    current.add_file(Epoll::open(), flags.contains(EpollFlags::CLOEXEC))
}

/// epoll_ctl(2).
pub fn epoll_ctl(
    current: &mut Current,
    epoll_fd: Fd,
    operation: u32,
    fd: Fd,
    event: UserPtr<EpollEvent>,
) -> Result<(), Errno> {
    let event = match operation {
        raw::EPOLL_CTL_DEL => EpollEvent { events: 0, data: 0 },
        _ => event.read(current)?,
    };
    let (epoll_file, file) = (open_file(current, epoll_fd)?, open_file(current, fd)?);
    if file.ops().wait_queue().is_none() {
        return Err(Errno::EPERM);
    }
    if Arc::ptr_eq(&epoll_file, &file) {
        return Err(Errno::EINVAL);
    }
    let epoll = epoll_of(&epoll_file)?;
    let (events, data) = (event.events, event.data);
    if events & raw::EPOLLEXCLUSIVE != 0 {
        let nested = file.downcast::<Epoll>().is_some();
        match operation {
            raw::EPOLL_CTL_ADD if events & !WITH_EXCLUSIVE == 0 && !nested => {}
            _ => return Err(Errno::EINVAL),
        }
    }
    match operation {
        raw::EPOLL_CTL_ADD => epoll.add(fd, &file, events, data),
        raw::EPOLL_CTL_MOD => epoll.modify(fd, &file, events, data),
        raw::EPOLL_CTL_DEL => epoll.delete(fd, &file),
        _ => Err(Errno::EINVAL),
    }
}

fn epoll_of(file: &crate::fs::OpenFile) -> Result<Arc<Epoll>, Errno> {
    Epoll::of(file).ok_or(Errno::EINVAL)
}

/// epoll_wait(2).
pub fn epoll_wait(
    current: &mut Current,
    fd: Fd,
    events: UserPtr<EpollEvent>,
    max: i32,
    timeout: i32,
) -> Result<usize, Fail> {
    wait(current, fd, events, max, timeout_ms(timeout))
}

/// epoll_pwait(2).
pub fn epoll_pwait(
    current: &mut Current,
    fd: Fd,
    events: UserPtr<EpollEvent>,
    max: i32,
    timeout: i32,
    mask: UserPtr<u64>,
    mask_size: usize,
) -> Result<usize, Fail> {
    let mask = read_mask(current, mask, mask_size)?;
    with_mask(current, mask, |current| wait(current, fd, events, max, timeout_ms(timeout)))
}

/// epoll_pwait2(2).
pub fn epoll_pwait2(
    current: &mut Current,
    fd: Fd,
    events: UserPtr<EpollEvent>,
    max: i32,
    timeout: UserPtr<[i64; 2]>,
    mask: UserPtr<u64>,
    mask_size: usize,
) -> Result<usize, Fail> {
    let timeout = read_timespec(current, timeout)?;
    let mask = read_mask(current, mask, mask_size)?;
    with_mask(current, mask, |current| wait(current, fd, events, max, timeout))
}

fn wait(current: &Current, fd: Fd, events: UserPtr<EpollEvent>, max: i32, timeout: Timeout) -> Result<usize, Fail> {
    let max = usize::try_from(max).ok().filter(|max| *max > 0 && *max <= i32::MAX as usize / size_of::<EpollEvent>());
    let max = max.ok_or(Errno::EINVAL)?;
    let file = current.file(fd)?;
    let epoll = file.downcast::<Epoll>().ok_or(Errno::EINVAL)?;
    let mut found = Found::new();
    epoll.wait(current, max, timeout, &mut found).map_err(|error| match error {
        WaitError::Interrupted => Errno::EINTR,
        WaitError::TimedOut => Errno::ETIMEDOUT,
    })?;
    let mut told = 0;
    for part in found.chunks(AT_ONCE) {
        let mut reports = [EpollEvent { events: 0, data: 0 }; AT_ONCE];
        for (report, (_, found)) in reports.iter_mut().zip(part) {
            *report = EpollEvent { events: found.events, data: found.data };
        }
        if let Err(errno) = events.nth(told).write_slice(current, &reports[..part.len()]) {
            epoll.give_back(&found[told..]);
            return if told > 0 { Ok(told) } else { Err(errno.into()) };
        }
        told += part.len();
    }
    Ok(told)
}

pub(super) const ROWS: &[Row] = &[
    row!(epoll_create = epoll_create(1), Full, ""),
    row!(epoll_create1 = epoll_create1(1), Full, ""),
    row!(epoll_ctl = epoll_ctl(4), Full, ""),
    row!(epoll_wait = epoll_wait(4), Full, ""),
    row!(epoll_pwait = epoll_pwait(6), Full, ""),
    row!(epoll_pwait2 = epoll_pwait2(6), Full, ""),
];
