//! poll, ppoll, select, pselect6.

use super::table::{Level, Row, arg, finish, row};
use super::{Fail, Fd, SysResult, UserPtr};
use crate::errno::Errno;
use crate::fs::poll::{Polled, Timeout, wait_for_any};
use crate::signal::{self, SignalSet};
use crate::task::Current;
use crate::wait::{Events, WaitError};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use linker::addr::UserVa;
use linux_raw_sys::general as raw;
use syscalls::Sysno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

const NS_PER_SEC: u64 = 1_000_000_000;
const NS_PER_US: u64 = 1_000;
const NS_PER_MS: u64 = 1_000_000;

/// `struct pollfd`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct PollFd {
    fd: i32,
    events: u16,
    revents: u16,
}

const _: () = assert!(size_of::<PollFd>() == size_of::<raw::pollfd>());

/// poll's and epoll's timeout in milliseconds: negative for ever.
pub(super) fn timeout_ms(ms: i32) -> Timeout {
    match u64::try_from(ms) {
        Ok(ms) => Timeout::after_ns(ms * NS_PER_MS),
        Err(_) => Timeout::Never,
    }
}

/// A `timespec`: seconds and nanoseconds, for ever where NULL.
pub(super) fn read_timespec(current: &Current, pointer: UserPtr<[i64; 2]>) -> Result<Timeout, Errno> {
    let Some(pointer) = pointer.non_null() else { return Ok(Timeout::Never) };
    let [sec, nsec] = pointer.read(current)?;
    match (u64::try_from(sec), u64::try_from(nsec)) {
        (Ok(sec), Ok(nsec)) if nsec < NS_PER_SEC => {
            Ok(Timeout::after_ns(sec.saturating_mul(NS_PER_SEC).saturating_add(nsec)))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// A `timeval`: seconds and microseconds (more than a second of them is fine), for ever where NULL.
fn read_timeval(current: &Current, pointer: UserPtr<[i64; 2]>) -> Result<Timeout, Errno> {
    let Some(pointer) = pointer.non_null() else { return Ok(Timeout::Never) };
    let [sec, usec] = pointer.read(current)?;
    match (u64::try_from(sec), u64::try_from(usec)) {
        (Ok(sec), Ok(usec)) => {
            let ns = usec.saturating_mul(NS_PER_US);
            Ok(Timeout::after_ns(sec.saturating_mul(NS_PER_SEC).saturating_add(ns)))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// Reads a signal mask argument, NULL for none.
pub(super) fn read_mask(current: &Current, mask: UserPtr<u64>, size: usize) -> Result<Option<u64>, Errno> {
    match mask.non_null() {
        Some(_) if size != size_of::<u64>() => Err(Errno::EINVAL),
        Some(mask) => mask.read(current).map(Some),
        None => Ok(None),
    }
}

/// Runs `call` under the signal mask, if there is one. What interrupts it is delivered under that mask too.
pub(super) fn with_mask<T>(
    current: &mut Current,
    mask: Option<u64>,
    call: impl FnOnce(&mut Current) -> Result<T, Fail>,
) -> Result<T, Fail> {
    let Some(mask) = mask else { return call(current) };
    signal::set_temporary_mask(current, SignalSet::from_bits(mask));
    let result = call(current);
    let interrupted = match &result {
        Err(Fail::Errno(errno)) => *errno == Errno::EINTR,
        Err(_) => true,
        Ok(_) => false,
    };
    signal::restore_mask(current, interrupted);
    result
}

/// poll(2).
pub fn poll(current: &mut Current, fds: UserPtr<PollFd>, count: u32, timeout: i32) -> Result<usize, Fail> {
    poll_until(current, fds, count, timeout_ms(timeout))
}

fn poll_until(current: &mut Current, fds: UserPtr<PollFd>, count: u32, timeout: Timeout) -> Result<usize, Fail> {
    do_poll(current, fds, count, timeout).map_err(|error| match error {
        // The rest of the time is waited for, unless a handler ran.
        PollError::Interrupted => Fail::RestartWith(Box::new(move |current: &mut Current| -> SysResult {
            poll_until(current, fds, count, timeout).map(|ready| ready as u64)
        })),
        PollError::Errno(errno) => errno.into(),
    })
}

/// ppoll(2).
pub fn ppoll(
    current: &mut Current,
    fds: UserPtr<PollFd>,
    count: u32,
    time: UserPtr<[i64; 2]>,
    mask: UserPtr<u64>,
    mask_size: usize,
) -> Result<usize, Fail> {
    let timeout = read_timespec(current, time)?;
    let mask = read_mask(current, mask, mask_size)?;
    with_mask(current, mask, |current| {
        let result = do_poll(current, fds, count, timeout).map_err(|error| match error {
            PollError::Interrupted => Fail::RestartUnlessHandled,
            PollError::Errno(errno) => errno.into(),
        });
        finish_timed(current, time, timeout, 1, result)
    })
}

enum PollError {
    Interrupted,
    Errno(Errno),
}

impl From<Errno> for PollError {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

fn do_poll(current: &Current, fds: UserPtr<PollFd>, count: u32, timeout: Timeout) -> Result<usize, PollError> {
    if u64::from(count) > current.process.soft_limit(raw::RLIMIT_NOFILE) {
        return Err(Errno::EINVAL.into());
    }
    let mut list = fds.read_vec(current, count as usize)?;
    let mut items = Vec::new();
    items.try_reserve_exact(list.len()).map_err(|_| Errno::ENOMEM)?;
    let mut bad = 0;
    for entry in &mut list {
        entry.revents = 0;
        let file = if entry.fd < 0 { None } else { super::file::open_file(current, Fd::new(entry.fd)).ok() };
        if file.is_none() && entry.fd >= 0 {
            entry.revents = Events::NVAL.bits() as u16;
            bad += 1;
        }
        let wanted = Events::from_bits_truncate(u32::from(entry.events)) | Events::ERR | Events::HUP;
        items.push(Polled { file, wanted, found: Events::empty() });
    }
    let timeout = if bad > 0 { Timeout::Now } else { timeout };
    let ready = wait_for_any(current, &mut items, timeout).map_err(|_: WaitError| PollError::Interrupted)?;
    for (entry, item) in list.iter_mut().zip(&items) {
        entry.revents |= item.found.bits() as u16;
    }
    fds.write_slice(current, &list)?;
    Ok(ready + bad)
}

/// personality(2)'s bit for Unixes whose select leaves the time alone (linux/personality.h; nobody exports it).
const STICKY_TIMEOUTS: u32 = 0x0400_0000;

/// Tells the caller how much time was left, as Linux does. `unit_ns`: the second word's unit.
fn finish_timed<T>(
    current: &Current,
    time: UserPtr<[i64; 2]>,
    timeout: Timeout,
    unit_ns: u64,
    result: Result<T, Fail>,
) -> Result<T, Fail> {
    let (Some(time), Timeout::Until(_), Some(left)) = (time.non_null(), timeout, timeout.remaining_ns()) else {
        return result;
    };
    if current.personality & STICKY_TIMEOUTS != 0 {
        return result;
    }
    let words = [left / NS_PER_SEC, left % NS_PER_SEC / unit_ns].map(|word| i64::try_from(word).unwrap_or(i64::MAX));
    match (time.write(current, &words), result) {
        // The time could not be updated, so a restart would wait too long.
        (Err(_), Err(Fail::RestartUnlessHandled)) => Err(Errno::EINTR.into()),
        (_, result) => result,
    }
}

/// What makes a descriptor readable, writable and exceptional for select.
const READ_SET: Events =
    Events::READABLE.union(Events::RDBAND).union(Events::HUP).union(Events::ERR).union(Events::NVAL);
const WRITE_SET: Events = Events::WRITABLE.union(Events::WRBAND).union(Events::ERR).union(Events::NVAL);
const EXCEPT_SET: Events = Events::PRI.union(Events::NVAL);

/// The three sets of select: in words of 64 bits.
struct Sets {
    pointers: [UserPtr<u64>; 3],
    words: [Vec<u64>; 3],
}

impl Sets {
    fn read(current: &Current, count: usize, pointers: [UserPtr<u64>; 3]) -> Result<Self, Errno> {
        let len = count.div_ceil(64);
        let mut words = [const { Vec::new() }; 3];
        for (words, pointer) in words.iter_mut().zip(pointers) {
            *words = match pointer.non_null() {
                Some(pointer) => pointer.read_vec(current, len)?,
                None => vec![0; len],
            };
        }
        Ok(Self { pointers, words })
    }

    /// Which sets hold `fd`.
    fn at(&self, fd: usize) -> [bool; 3] {
        [0, 1, 2].map(|set: usize| {
            let words = self.words.get(set);
            words.and_then(|words| words.get(fd / 64)).is_some_and(|word| word >> (fd % 64) & 1 != 0)
        })
    }

    fn clear(&mut self) {
        for words in &mut self.words {
            words.fill(0);
        }
    }

    fn set(&mut self, set: usize, fd: usize) {
        if let Some(word) = self.words.get_mut(set).and_then(|words| words.get_mut(fd / 64)) {
            *word |= 1 << (fd % 64);
        }
    }

    fn write(&self, current: &Current) -> Result<(), Errno> {
        for (words, pointer) in self.words.iter().zip(self.pointers) {
            if let Some(pointer) = pointer.non_null() {
                pointer.write_slice(current, words)?;
            }
        }
        Ok(())
    }
}

fn do_select(current: &Current, count: i32, pointers: [UserPtr<u64>; 3], timeout: Timeout) -> Result<usize, Fail> {
    let limit = usize::try_from(current.process.soft_limit(raw::RLIMIT_NOFILE)).unwrap_or(usize::MAX);
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?.min(limit.max(raw::__FD_SETSIZE as usize));
    let mut sets = Sets::read(current, count, pointers)?;
    let mut fds = Vec::new();
    let mut items = Vec::new();
    let kinds = [READ_SET, WRITE_SET, EXCEPT_SET];
    for fd in 0..count {
        let at = sets.at(fd);
        if at == [false; 3] {
            continue;
        }
        let file = current.file(Fd::new(i32::try_from(fd).map_err(|_| Errno::EBADF)?))?;
        let wanted = at.iter().zip(kinds).filter(|(in_set, _)| **in_set).map(|(_, kind)| kind);
        let wanted = wanted.fold(Events::empty(), Events::union);
        fds.push((fd, at));
        items.push(Polled { file: Some(file), wanted, found: Events::empty() });
    }
    let found = wait_for_any(current, &mut items, timeout).map_err(|_: WaitError| Fail::RestartUnlessHandled)?;
    sets.clear();
    let mut ready = 0;
    if found > 0 {
        for ((fd, at), item) in fds.iter().zip(&items) {
            for (set, (in_set, kind)) in at.iter().zip(kinds).enumerate() {
                if *in_set && item.found.intersects(kind) {
                    sets.set(set, *fd);
                    ready += 1;
                }
            }
        }
    }
    sets.write(current)?;
    Ok(ready)
}

/// select(2).
pub fn select(
    current: &mut Current,
    count: i32,
    read: UserPtr<u64>,
    write: UserPtr<u64>,
    except: UserPtr<u64>,
    time: UserPtr<[i64; 2]>,
) -> Result<usize, Fail> {
    let timeout = read_timeval(current, time)?;
    let result = do_select(current, count, [read, write, except], timeout);
    finish_timed(current, time, timeout, NS_PER_US, result)
}

/// pselect6(2).
pub fn pselect6(
    current: &mut Current,
    count: i32,
    read: UserPtr<u64>,
    write: UserPtr<u64>,
    except: UserPtr<u64>,
    time: UserPtr<[i64; 2]>,
    mask: UserPtr<[u64; 2]>,
) -> Result<usize, Fail> {
    let timeout = read_timespec(current, time)?;
    let mask = match mask.non_null() {
        Some(pair) => {
            let [pointer, size] = pair.read(current)?;
            read_mask(current, UserPtr::new(UserVa::new(pointer)), usize::try_from(size).unwrap_or(usize::MAX))?
        }
        None => None,
    };
    with_mask(current, mask, |current| {
        let result = do_select(current, count, [read, write, except], timeout);
        finish_timed(current, time, timeout, 1, result)
    })
}

pub(super) const ROWS: &[Row] = &[
    row!(poll = poll(3), Full, ""),
    row!(ppoll = ppoll(5), Full, ""),
    row!(select = select(5), Full, ""),
    row!(pselect6 = pselect6(6), Full, ""),
];
