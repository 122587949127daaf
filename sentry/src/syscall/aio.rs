//! io_setup, io_submit and the other calls of Linux's native asynchronous I/O.

use super::iovec::{buffer, read_iovec};
use super::poll::{read_mask, read_timespec, with_mask};
use super::table::{Level, Row, arg, finish, row};
use super::{Fail, Fd, UserPtr};
use crate::errno::Errno;
use crate::fs::aio::{Context, IoEvent};
use crate::fs::eventfd::EventFd;
use crate::fs::poll::Timeout;
use crate::fs::{FileKind, OpenFile, Sink, Source};
use crate::mm::{Bounds, MapRequest, Place};
use crate::platform::{Prot, platform};
use crate::task::Current;
use crate::wait::{Events, WaitError};
use alloc::sync::Arc;
use linker::addr::UserVa;
use linker::layout::PAGE_SIZE;
use linux_raw_sys::general as raw;
use syscalls::Sysno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

// linux/aio_abi.h; linux-raw-sys does not export it.
const IOCB_CMD_PREAD: u16 = 0;
const IOCB_CMD_PWRITE: u16 = 1;
const IOCB_CMD_FSYNC: u16 = 2;
const IOCB_CMD_FDSYNC: u16 = 3;
const IOCB_CMD_PREADV: u16 = 7;
const IOCB_CMD_PWRITEV: u16 = 8;
const IOCB_FLAG_RESFD: u32 = 1;
const IOCB_FLAG_IOPRIO: u32 = 2;

/// `struct iocb` (linux/aio_abi.h), little-endian.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct IoCb {
    data: u64,
    key: u32,
    rw_flags: u32,
    opcode: u16,
    priority: i16,
    fd: u32,
    buf: u64,
    bytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    event_fd: u32,
}

const _: () = assert!(size_of::<IoCb>() == 64);

/// io_setup(2).
pub fn io_setup(current: &mut Current, count: u32, to: UserPtr<u64>) -> Result<(), Errno> {
    if to.read(current)? != 0 || count == 0 {
        return Err(Errno::EINVAL);
    }
    if !Context::is_possible(count) {
        return Err(Errno::EINVAL);
    }
    let context = Context::new(count)?;
    // Its number is the address of a page of its own.
    let page = MapRequest::anonymous(Place::Hint(0), PAGE_SIZE, Prot { read: true, write: true, execute: false });
    let at = current.mm.map(&page, &Bounds::of(current))?;
    current.mm.aio().add(at.raw(), context);
    to.write(current, &at.raw()).inspect_err(|_| {
        let _ = io_destroy(current, at.raw());
    })
}

/// io_destroy(2).
pub fn io_destroy(current: &mut Current, id: u64) -> Result<(), Errno> {
    current.mm.aio().remove(id)?;
    // The program may have unmapped it.
    let _ = current.mm.unmap(UserVa::new(id), PAGE_SIZE);
    Ok(())
}

/// io_submit(2): the requests that could be taken; the errno of the first where that was none.
pub fn io_submit(current: &mut Current, id: u64, count: i64, list: UserPtr<u64>) -> Result<u64, Fail> {
    let context = current.mm.aio().get(id)?;
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let mut done = 0;
    while (done as usize) < count {
        match list
            .nth(done as usize)
            .read(current)
            .and_then(|at| submit_one(current, &context, UserPtr::new(UserVa::new(at))))
        {
            Ok(()) => done += 1,
            Err(errno) if done == 0 => return Err(errno.into()),
            Err(_) => break,
        }
        // A long list: others may want to run, and signals be heard.
        platform().preempt();
        if current.interrupted() {
            break;
        }
    }
    Ok(done)
}

/// Does one request. An errno here means that it was not taken; how it went is its event's business.
fn submit_one(current: &mut Current, context: &Context, at: UserPtr<IoCb>) -> Result<(), Errno> {
    let request = at.read(current)?;
    let sane = request.reserved == 0 && i64::try_from(request.bytes).is_ok();
    if !sane || request.flags & !(IOCB_FLAG_RESFD | IOCB_FLAG_IOPRIO) != 0 {
        return Err(Errno::EINVAL);
    }
    context.begin()?;
    let result = take(current, at, &request).inspect_err(|_| context.give_up())?;
    let (file, event_file) = result;
    let result = match perform(current, &file, &request) {
        Ok(bytes) => bytes as i64,
        Err(Fail::Errno(errno)) => -i64::from(errno.raw()),
        // Nothing restarts it.
        Err(_) => -i64::from(Errno::EINTR.raw()),
    };
    context.finish(IoEvent { data: request.data, request: at.addr().raw(), result, result2: 0 });
    if let Some(event_file) = event_file {
        // A counter that is full says already that there is something.
        if let Some(event) = event_file.downcast::<EventFd>() {
            event.count_one(Events::empty());
        }
    }
    Ok(())
}

/// What is checked before a request is taken: its file, who is told, and its operation.
fn take(current: &Current, at: UserPtr<IoCb>, request: &IoCb) -> Result<(Arc<OpenFile>, Option<Arc<OpenFile>>), Errno> {
    let file = super::file::open_file(current, Fd::new(request.fd as i32))?;
    let event_file = if request.flags & IOCB_FLAG_RESFD != 0 {
        let event_file = current.file(Fd::new(request.event_fd as i32))?;
        event_file.downcast::<EventFd>().ok_or(Errno::EINVAL)?;
        Some(event_file)
    } else {
        None
    };
    // Linux writes its own mark there, for io_cancel.
    at.cast::<u64>().nth(1).cast::<u32>().write(current, &0)?;
    let known = raw::RWF_HIPRI | raw::RWF_DSYNC | raw::RWF_SYNC | raw::RWF_NOWAIT | raw::RWF_APPEND;
    if request.rw_flags & !known != 0 || request.rw_flags & (raw::RWF_NOWAIT | raw::RWF_APPEND) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    match request.opcode {
        IOCB_CMD_PREAD | IOCB_CMD_PREADV if !file.flags().readable() => Err(Errno::EBADF),
        IOCB_CMD_PWRITE | IOCB_CMD_PWRITEV if !file.flags().writable() => Err(Errno::EBADF),
        IOCB_CMD_PREAD | IOCB_CMD_PREADV | IOCB_CMD_PWRITE | IOCB_CMD_PWRITEV => {
            // Of a file without positions the offset does not count; a negative one of any other is refused.
            if file.ops().seekable() && request.offset < 0 { Err(Errno::EINVAL) } else { Ok((file, event_file)) }
        }
        IOCB_CMD_FSYNC | IOCB_CMD_FDSYNC => {
            let unused = request.buf == 0 && request.offset == 0 && request.bytes == 0 && request.rw_flags == 0;
            let kind = matches!(file.inode().kind(), FileKind::Regular | FileKind::Directory | FileKind::BlockDevice);
            if unused && kind { Ok((file, event_file)) } else { Err(Errno::EINVAL) }
        }
        _ => Err(Errno::EINVAL),
    }
}

fn perform(current: &Current, file: &OpenFile, request: &IoCb) -> Result<usize, Fail> {
    let at = UserVa::new(request.buf);
    let count = request.bytes as usize;
    let offset = request.offset as u64;
    match request.opcode {
        IOCB_CMD_FSYNC | IOCB_CMD_FDSYNC => file.ops().sync(request.opcode == IOCB_CMD_FDSYNC).map(|()| 0),
        IOCB_CMD_PREAD | IOCB_CMD_PREADV => {
            let vector;
            let single;
            let pieces = if request.opcode == IOCB_CMD_PREADV {
                vector = read_iovec(current, UserPtr::new(at), count)?;
                &vector[..]
            } else {
                single = buffer(at, count)?;
                &single[..]
            };
            let mut sink = Sink::user(current, pieces);
            if file.ops().seekable() { file.read_at(current, &mut sink, offset) } else { file.read(current, &mut sink) }
        }
        _ => {
            let vector;
            let single;
            let pieces = if request.opcode == IOCB_CMD_PWRITEV {
                vector = read_iovec(current, UserPtr::new(at), count)?;
                &vector[..]
            } else {
                single = buffer(at, count)?;
                &single[..]
            };
            let mut source = Source::user(current, pieces);
            if file.ops().seekable() {
                file.write_at(current, &mut source, offset)
            } else {
                file.write(current, &mut source)
            }
        }
    }
}

/// io_cancel(2): whatever was submitted is done already, so there is nothing to find.
pub fn io_cancel(
    current: &mut Current,
    id: u64,
    request: UserPtr<IoCb>,
    _result: UserPtr<IoEvent>,
) -> Result<(), Errno> {
    request.read(current)?;
    current.mm.aio().get(id)?;
    Err(Errno::EINVAL)
}

/// io_getevents(2).
pub fn io_getevents(
    current: &mut Current,
    id: u64,
    least: i64,
    most: i64,
    to: UserPtr<IoEvent>,
    time: UserPtr<[i64; 2]>,
) -> Result<usize, Fail> {
    let timeout = read_timespec(current, time)?;
    get_events(current, id, least, most, to, timeout)
}

/// io_pgetevents(2): with a signal mask, as pselect6 has it.
pub fn io_pgetevents(
    current: &mut Current,
    id: u64,
    least: i64,
    most: i64,
    to: UserPtr<IoEvent>,
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
    with_mask(current, mask, |current| get_events(current, id, least, most, to, timeout))
}

fn get_events(
    current: &mut Current,
    id: u64,
    least: i64,
    most: i64,
    to: UserPtr<IoEvent>,
    timeout: Timeout,
) -> Result<usize, Fail> {
    let context = current.mm.aio().get(id)?;
    let (Ok(least), Ok(most)) = (usize::try_from(least), usize::try_from(most)) else {
        return Err(Errno::EINVAL.into());
    };
    if least > most {
        return Err(Errno::EINVAL.into());
    }
    let enough = || match context.waiting() {
        Some(waiting) if waiting < least => None,
        _ => Some(()),
    };
    let waited = match timeout {
        Timeout::Now => Ok(()),
        _ => current.wait(context.queue(), Events::READABLE, timeout.deadline(), enough),
    };
    let mut done = 0;
    while done < most {
        // One at a time: what cannot be written is not lost.
        let Some(event) = context.fetch(1).pop() else { break };
        if let Err(errno) = to.nth(done).write(current, &event) {
            context.put_back(event);
            return if done == 0 { Err(errno.into()) } else { Ok(done) };
        }
        done += 1;
    }
    match waited {
        _ if done == 0 && least > 0 && context.waiting().is_none() => Err(Errno::EINVAL.into()),
        Err(WaitError::Interrupted) if done == 0 => Err(Errno::EINTR.into()),
        _ => Ok(done),
    }
}

pub(super) const ROWS: &[Row] = &[
    row!(io_setup = io_setup(2), Full, ""),
    row!(io_destroy = io_destroy(1), Full, ""),
    row!(
        io_submit = io_submit(3),
        Partial,
        "done at once; no IOCB_CMD_POLL: EINVAL, no RWF_NOWAIT and RWF_APPEND: EOPNOTSUPP"
    ),
    row!(io_cancel = io_cancel(3), Full, ""),
    row!(io_getevents = io_getevents(5), Full, ""),
    row!(io_pgetevents = io_pgetevents(6), Full, ""),
];
