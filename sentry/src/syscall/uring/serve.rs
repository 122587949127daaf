//! What a request of io_uring does: mostly what the system call of the same name does, whose handler it calls.

use super::super::table::{arg, finish};
use super::super::{Fail, Fd, SysResult, UserPtr, UserStr, epoll, fd, file, memory, path, pipe, socket, stat};
use crate::errno::Errno;
use crate::fs::{FdTable, OpenFile};
use crate::net::MessageFlags;
use crate::platform::platform;
use crate::task::Current;
use crate::time::Timespec;
use crate::uring::work::{FIXED_FILE, is};
use crate::uring::{Ring, Sqe};
use crate::wait::{Events, WaitError, Wake};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use linker::addr::UserVa;
use linux_raw_sys::io_uring as raw;
use linux_raw_sys::io_uring::io_uring_op as op;

/// Every operation that is served.
const SERVED: &[op] = &[
    op::IORING_OP_NOP,
    op::IORING_OP_READV,
    op::IORING_OP_WRITEV,
    op::IORING_OP_FSYNC,
    op::IORING_OP_READ_FIXED,
    op::IORING_OP_WRITE_FIXED,
    op::IORING_OP_POLL_ADD,
    op::IORING_OP_POLL_REMOVE,
    op::IORING_OP_SYNC_FILE_RANGE,
    op::IORING_OP_SENDMSG,
    op::IORING_OP_RECVMSG,
    op::IORING_OP_TIMEOUT,
    op::IORING_OP_TIMEOUT_REMOVE,
    op::IORING_OP_ACCEPT,
    op::IORING_OP_ASYNC_CANCEL,
    op::IORING_OP_LINK_TIMEOUT,
    op::IORING_OP_CONNECT,
    op::IORING_OP_FALLOCATE,
    op::IORING_OP_OPENAT,
    op::IORING_OP_CLOSE,
    op::IORING_OP_STATX,
    op::IORING_OP_READ,
    op::IORING_OP_WRITE,
    op::IORING_OP_FADVISE,
    op::IORING_OP_MADVISE,
    op::IORING_OP_SEND,
    op::IORING_OP_RECV,
    op::IORING_OP_OPENAT2,
    op::IORING_OP_EPOLL_CTL,
    op::IORING_OP_SPLICE,
    op::IORING_OP_TEE,
    op::IORING_OP_SHUTDOWN,
    op::IORING_OP_RENAMEAT,
    op::IORING_OP_UNLINKAT,
    op::IORING_OP_MKDIRAT,
    op::IORING_OP_SYMLINKAT,
    op::IORING_OP_LINKAT,
    op::IORING_OP_SOCKET,
    op::IORING_OP_FTRUNCATE,
];

/// A write to a pipe or socket up to this many bytes is done at once where there is room at all (PIPE_BUF).
const SMALL: u32 = linux_raw_sys::general::PIPE_BUF;

/// Where a request is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// On the thread that submits it.
    Caller,
    /// On a helper thread, where it may wait.
    Helper,
}

/// What IORING_REGISTER_PROBE writes: `struct io_uring_probe` and `room` entries.
pub(super) fn probe(room: usize) -> Vec<u8> {
    const HEADER: usize = size_of::<raw::io_uring_probe>();
    const ENTRY: usize = size_of::<raw::io_uring_probe_op>();
    let last = op::IORING_OP_LAST as usize;
    let count = room.min(last);
    let mut bytes = alloc::vec![0; HEADER + count * ENTRY];
    (bytes[0], bytes[1]) = ((last - 1) as u8, count as u8);
    for (number, entry) in bytes[HEADER..].chunks_mut(ENTRY).enumerate() {
        entry[0] = number as u8;
        let served = SERVED.iter().any(|served| *served as usize == number);
        entry[2] = if served { raw::IO_URING_OP_SUPPORTED as u8 } else { 0 };
    }
    bytes
}

/// Whether a request may have to wait.
pub fn place_of(current: &Current, ring: &Ring, sqe: &Sqe) -> Place {
    let ready = |wanted: Events| match target(current, ring, sqe) {
        Ok(file) if file.ops().wait_queue().is_some() && !file.nonblocking() => {
            file.ops().prepare_poll(&file);
            file.ops().poll(&file).intersects(wanted | Events::ALWAYS)
        }
        // Regular files never wait for anybody but the host, and errors do not either.
        _ => true,
    };
    let waits = |file: Arc<OpenFile>| file.ops().wait_queue().is_some() && !file.nonblocking();
    let caller = match Kind::of(sqe) {
        Kind::Reads => ready(Events::READABLE),
        Kind::Writes if sqe.len <= SMALL => ready(Events::WRITABLE),
        Kind::Writes => !target(current, ring, sqe).is_ok_and(waits),
        Kind::Waits => false,
        Kind::Quick => true,
    };
    if caller { Place::Caller } else { Place::Helper }
}

enum Kind {
    Reads,
    Writes,
    Waits,
    Quick,
}

impl Kind {
    fn of(sqe: &Sqe) -> Self {
        let any = |kinds: &[op]| kinds.iter().any(|kind| is(sqe, *kind));
        if any(&[op::IORING_OP_ACCEPT]) && u32::from(sqe.priority) & raw::IORING_ACCEPT_MULTISHOT != 0 {
            Self::Waits
        } else if any(&[
            op::IORING_OP_READ,
            op::IORING_OP_READV,
            op::IORING_OP_READ_FIXED,
            op::IORING_OP_RECV,
            op::IORING_OP_RECVMSG,
            op::IORING_OP_ACCEPT,
        ]) {
            Self::Reads
        } else if any(&[
            op::IORING_OP_WRITE,
            op::IORING_OP_WRITEV,
            op::IORING_OP_WRITE_FIXED,
            op::IORING_OP_SEND,
            op::IORING_OP_SENDMSG,
        ]) {
            Self::Writes
        } else if any(&[
            op::IORING_OP_POLL_ADD,
            op::IORING_OP_TIMEOUT,
            op::IORING_OP_CONNECT,
            op::IORING_OP_SPLICE,
            op::IORING_OP_TEE,
        ]) {
            Self::Waits
        } else {
            Self::Quick
        }
    }
}

/// The file that a request is about.
fn target(current: &Current, ring: &Ring, sqe: &Sqe) -> Result<Arc<OpenFile>, Errno> {
    if sqe.flags & FIXED_FILE != 0 { ring.file(sqe.fd as u32) } else { current.file(Fd::new(sqe.fd)) }
}

/// Runs a request: its result as the completion has it.
pub fn serve(current: &mut Current, ring: &Arc<Ring>, sqe: &Sqe) -> i32 {
    let result = if sqe.flags & FIXED_FILE != 0 { with_fixed(current, ring, sqe) } else { run(current, ring, sqe) };
    match result {
        Ok(value) => value as i32,
        Err(Fail::Errno(errno)) => -i32::from(errno.raw()),
        Err(_) => -i32::from(Errno::EINTR.raw()),
    }
}

/// A registered file is the only one in a table made for the request: handlers go by descriptors.
fn with_fixed(current: &mut Current, ring: &Arc<Ring>, sqe: &Sqe) -> SysResult {
    let file = ring.file(sqe.fd as u32)?;
    if is(sqe, op::IORING_OP_ACCEPT) {
        return accept(current, ring, &file, sqe);
    }
    if is(sqe, op::IORING_OP_CLOSE) {
        return Err(Errno::EINVAL.into());
    }
    let table = FdTable::new();
    let number = table.add(file, false, 0, 1)?;
    let own = core::mem::replace(&mut current.files, Arc::new(table));
    let result = run(current, ring, &Sqe { fd: number.raw(), ..*sqe });
    current.files = own;
    result
}

fn run(current: &mut Current, ring: &Arc<Ring>, sqe: &Sqe) -> SysResult {
    let number = Fd::new(sqe.fd);
    let (len, flags) = (sqe.len as usize, sqe.operation);
    let offset = sqe.offset as i64;
    let at = |address: u64| UserVa::new(address);
    match SERVED.iter().copied().find(|served| is(sqe, *served)).ok_or(Errno::EINVAL)? {
        op::IORING_OP_NOP => Ok(0),
        op::IORING_OP_READ => read(current, sqe),
        op::IORING_OP_WRITE => write(current, sqe),
        op::IORING_OP_READ_FIXED => {
            ring.check_buffer(sqe.buffer, sqe.address, sqe.len)?;
            read(current, sqe)
        }
        op::IORING_OP_WRITE_FIXED => {
            ring.check_buffer(sqe.buffer, sqe.address, sqe.len)?;
            write(current, sqe)
        }
        op::IORING_OP_READV => {
            finish(file::preadv2(current, number, UserPtr::new(at(sqe.address)), len, place(current, sqe)?, 0, flags))
        }
        op::IORING_OP_WRITEV => {
            finish(file::pwritev2(current, number, UserPtr::new(at(sqe.address)), len, place(current, sqe)?, 0, flags))
        }
        op::IORING_OP_FSYNC if flags & !raw::IORING_FSYNC_DATASYNC != 0 => Err(Errno::EINVAL.into()),
        op::IORING_OP_FSYNC if flags != 0 => finish(file::fdatasync(current, number)),
        op::IORING_OP_FSYNC => finish(file::fsync(current, number)),
        op::IORING_OP_SYNC_FILE_RANGE => {
            finish(file::sync_file_range(current, number, offset, i64::from(sqe.len), flags))
        }
        op::IORING_OP_FALLOCATE => finish(file::fallocate(current, number, sqe.len, offset, sqe.address as i64)),
        op::IORING_OP_FADVISE => finish(file::fadvise64(current, number, offset, i64::from(sqe.len), flags)),
        op::IORING_OP_FTRUNCATE => finish(file::ftruncate(current, number, offset)),
        op::IORING_OP_MADVISE => finish(memory::madvise(current, at(sqe.address), u64::from(sqe.len), flags)),
        op::IORING_OP_POLL_ADD => poll(current, ring, sqe),
        op::IORING_OP_POLL_REMOVE if sqe.len != 0 => Err(Errno::EINVAL.into()),
        op::IORING_OP_POLL_REMOVE => {
            found(ring.cancel(|other| is(other, op::IORING_OP_POLL_ADD) && other.user_data == sqe.address, false))
        }
        op::IORING_OP_TIMEOUT => timeout(current, ring, sqe),
        op::IORING_OP_TIMEOUT_REMOVE if flags != 0 => Err(Errno::EINVAL.into()),
        op::IORING_OP_TIMEOUT_REMOVE => {
            found(ring.cancel(|other| is(other, op::IORING_OP_TIMEOUT) && other.user_data == sqe.address, false))
        }
        op::IORING_OP_ASYNC_CANCEL => cancel(ring, sqe),
        // Alone it has nothing to limit.
        op::IORING_OP_LINK_TIMEOUT => Err(Errno::EINVAL.into()),
        op::IORING_OP_ACCEPT => {
            let file = current.file(number)?;
            accept(current, ring, &file, sqe)
        }
        op::IORING_OP_CONNECT => {
            finish(socket::connect(current, number, UserPtr::new(at(sqe.address)), sqe.offset as u32))
        }
        op::IORING_OP_SEND => {
            let (buffer, to) = (UserPtr::new(at(sqe.address)), UserPtr::new(at(sqe.offset)));
            let flags = message_flags(flags)? | MessageFlags::NOSIGNAL;
            // `addr_len` is the lower half of where other requests have `splice_fd_in`.
            finish(socket::sendto(current, number, buffer, len, flags, to, sqe.file_index & 0xffff))
        }
        op::IORING_OP_RECV => {
            let (buffer, none) = (UserPtr::new(at(sqe.address)), UserPtr::new(at(0)));
            finish(socket::recvfrom(current, number, buffer, len, message_flags(flags)?, none, UserPtr::new(at(0))))
        }
        op::IORING_OP_SENDMSG => {
            let flags = message_flags(flags)? | MessageFlags::NOSIGNAL;
            finish(socket::sendmsg(current, number, UserPtr::new(at(sqe.address)), flags))
        }
        op::IORING_OP_RECVMSG => {
            finish(socket::recvmsg(current, number, UserPtr::new(at(sqe.address)), message_flags(flags)?))
        }
        op::IORING_OP_SHUTDOWN => finish(socket::shutdown(current, number, sqe.len)),
        op::IORING_OP_SOCKET if sqe.file_index != 0 => Err(Errno::EINVAL.into()),
        op::IORING_OP_SOCKET => finish(socket::socket(current, sqe.fd as u32, sqe.offset as u32, sqe.len)),
        op::IORING_OP_OPENAT | op::IORING_OP_OPENAT2 if sqe.file_index != 0 => Err(Errno::EINVAL.into()),
        op::IORING_OP_OPENAT => {
            finish(path::openat(current, number, UserStr::new(at(sqe.address)), arg(u64::from(flags))?, sqe.len))
        }
        op::IORING_OP_OPENAT2 => {
            let (name, how) = (UserStr::new(at(sqe.address)), UserPtr::new(at(sqe.offset)));
            finish(path::openat2(current, number, name, how, len))
        }
        op::IORING_OP_CLOSE if sqe.file_index != 0 => Err(Errno::EINVAL.into()),
        op::IORING_OP_CLOSE if current.file(number).is_ok_and(|file| Ring::of(&file).is_ok()) => {
            Err(Errno::EBADF.into())
        }
        op::IORING_OP_CLOSE => finish(fd::close(current, number)),
        op::IORING_OP_STATX => {
            let (name, to) = (UserStr::new(at(sqe.address)), UserPtr::new(at(sqe.offset)));
            finish(stat::statx(current, number, name, flags, sqe.len, to))
        }
        op::IORING_OP_EPOLL_CTL => {
            let (other, event) = (Fd::new(sqe.offset as i32), UserPtr::new(at(sqe.address)));
            finish(epoll::epoll_ctl(current, number, sqe.len, other, event))
        }
        op::IORING_OP_SPLICE | op::IORING_OP_TEE if flags & raw::SPLICE_F_FD_IN_FIXED != 0 => Err(Errno::EINVAL.into()),
        op::IORING_OP_SPLICE => splice(current, sqe),
        op::IORING_OP_TEE => {
            finish(pipe::tee(current, Fd::new(sqe.file_index as i32), number, len, arg(u64::from(flags))?))
        }
        op::IORING_OP_RENAMEAT => {
            let (old, new) = (UserStr::new(at(sqe.address)), UserStr::new(at(sqe.offset)));
            finish(path::renameat2(current, number, old, Fd::new(sqe.len as i32), new, flags))
        }
        op::IORING_OP_UNLINKAT => finish(path::unlinkat(current, number, UserStr::new(at(sqe.address)), flags)),
        op::IORING_OP_MKDIRAT => finish(path::mkdirat(current, number, UserStr::new(at(sqe.address)), sqe.len)),
        op::IORING_OP_SYMLINKAT => {
            let (text, name) = (UserStr::new(at(sqe.address)), UserStr::new(at(sqe.offset)));
            finish(path::symlinkat(current, text, number, name))
        }
        op::IORING_OP_LINKAT => {
            let (old, new) = (UserStr::new(at(sqe.address)), UserStr::new(at(sqe.offset)));
            finish(path::linkat(current, number, old, Fd::new(sqe.len as i32), new, flags))
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

fn message_flags(flags: u32) -> Result<MessageFlags, Fail> {
    arg(u64::from(flags))
}

/// The position of a read or write: -1 for the file's own, also where there are no positions.
fn place(current: &Current, sqe: &Sqe) -> Result<i64, Errno> {
    let file = current.file(Fd::new(sqe.fd))?;
    Ok(if file.ops().seekable() { sqe.offset as i64 } else { -1 })
}

fn read(current: &mut Current, sqe: &Sqe) -> SysResult {
    let (number, len) = (Fd::new(sqe.fd), sqe.len as usize);
    match place(current, sqe)? {
        -1 => finish(file::read(current, number, sqe.address, len)),
        offset => finish(file::pread64(current, number, sqe.address, len, offset)),
    }
}

fn write(current: &mut Current, sqe: &Sqe) -> SysResult {
    let (number, len) = (Fd::new(sqe.fd), sqe.len as usize);
    match place(current, sqe)? {
        -1 => finish(file::write(current, number, sqe.address, len)),
        offset => finish(file::pwrite64(current, number, sqe.address, len, offset)),
    }
}

/// Positions of a splice are values here, and pointers there: they are set and put back around the copy.
fn splice(current: &mut Current, sqe: &Sqe) -> SysResult {
    let (from, to) = (Fd::new(sqe.file_index as i32), Fd::new(sqe.fd));
    let none = UserPtr::new(UserVa::new(0));
    // `splice_off_in` is where others have `addr`. Only pipes and files at their own position are served.
    if sqe.address != u64::MAX || sqe.offset != u64::MAX {
        return Err(Errno::EINVAL.into());
    }
    let flags = arg(u64::from(sqe.operation))?;
    finish(pipe::splice(current, from, none, to, none, sqe.len as usize, flags))
}

fn accept(current: &mut Current, ring: &Arc<Ring>, file: &Arc<OpenFile>, sqe: &Sqe) -> SysResult {
    if sqe.file_index != 0 {
        return Err(Errno::EINVAL.into());
    }
    let flags = arg(u64::from(sqe.operation))?;
    let again = u32::from(sqe.priority) & raw::IORING_ACCEPT_MULTISHOT != 0;
    loop {
        let (address, len) = (UserPtr::new(UserVa::new(sqe.address)), UserPtr::new(UserVa::new(sqe.offset)));
        let result = finish(socket::accept_from(current, file, address, len, flags));
        match result {
            Ok(number) if again && ring.complete_one_of_many(sqe.user_data, number as i32) => {}
            result => return result,
        }
    }
}

fn found(count: usize) -> SysResult {
    if count > 0 { Ok(0) } else { Err(Errno::ENOENT.into()) }
}

fn cancel(ring: &Ring, sqe: &Sqe) -> SysResult {
    let known = raw::IORING_ASYNC_CANCEL_ALL | raw::IORING_ASYNC_CANCEL_FD | raw::IORING_ASYNC_CANCEL_ANY;
    let flags = sqe.operation;
    if flags & !known != 0 {
        return Err(Errno::EINVAL.into());
    }
    let has = |flag| flags & flag != 0;
    let all = has(raw::IORING_ASYNC_CANCEL_ALL) || has(raw::IORING_ASYNC_CANCEL_ANY);
    let count = ring.cancel(
        |other| {
            has(raw::IORING_ASYNC_CANCEL_ANY)
                || if has(raw::IORING_ASYNC_CANCEL_FD) { other.fd == sqe.fd } else { other.user_data == sqe.address }
        },
        all,
    );
    if all { Ok(count as u64) } else { found(count) }
}

/// The moment that a timeout means, on the monotonic clock.
pub fn deadline_of(current: &Current, sqe: &Sqe) -> Result<u64, Errno> {
    let ns = UserPtr::<Timespec>::new(UserVa::new(sqe.address)).read(current)?.checked_ns()?;
    let now = platform().monotonic_ns();
    if sqe.operation & raw::IORING_TIMEOUT_ABS == 0 {
        return Ok(now.saturating_add(ns));
    }
    let real = sqe.operation & raw::IORING_TIMEOUT_CLOCK_MASK == raw::IORING_TIMEOUT_REALTIME;
    Ok(if real { now.saturating_add(ns.saturating_sub(platform().realtime_ns())) } else { ns })
}

fn timeout(current: &Current, ring: &Ring, sqe: &Sqe) -> SysResult {
    let known = raw::IORING_TIMEOUT_ABS
        | raw::IORING_TIMEOUT_BOOTTIME
        | raw::IORING_TIMEOUT_REALTIME
        | raw::IORING_TIMEOUT_ETIME_SUCCESS;
    if sqe.operation & !known != 0 || sqe.len != 1 {
        return Err(Errno::EINVAL.into());
    }
    let deadline = deadline_of(current, sqe)?;
    let enough = || (sqe.offset != 0 && ring.completed() >= sqe.offset).then_some(());
    match current.wait(ring.queue(), Events::READABLE, Some(deadline), enough) {
        Ok(()) => Ok(0),
        Err(WaitError::TimedOut) => Err(Errno::ETIME.into()),
        Err(WaitError::Interrupted) => Err(Errno::EINTR.into()),
    }
}

/// Remembers that it was woken.
struct Bell {
    thread: crate::platform::ThreadRef,
    rung: AtomicBool,
    /// By a completion, for which this request's own may be the cause.
    by_ring: AtomicBool,
}

impl Wake for Bell {
    fn wake(&self, events: Events) -> bool {
        if events.contains(Events::BY_RING) {
            self.by_ring.store(true, Ordering::SeqCst);
        }
        self.rung.store(true, Ordering::SeqCst);
        self.thread.unpark();
        true
    }
}

/// IORING_OP_POLL_ADD: once, or (IORING_POLL_ADD_MULTI) each time that something happens.
fn poll(current: &Current, ring: &Ring, sqe: &Sqe) -> SysResult {
    if sqe.len & !raw::IORING_POLL_ADD_MULTI != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = current.file(Fd::new(sqe.fd))?;
    let wanted = Events::from_bits_truncate(sqe.operation as _) | Events::ALWAYS;
    let look = || {
        file.ops().prepare_poll(&file);
        file.ops().poll(&file) & wanted
    };
    let Some(queue) = file.ops().wait_queue() else { return Ok(u64::from(look().bits())) };
    let thread = platform().current_thread();
    let bell = Arc::new(Bell { thread, rung: AtomicBool::new(true), by_ring: AtomicBool::new(false) });
    let target: Arc<dyn Wake> = bell.clone();
    queue.add(target.clone(), wanted, false);
    // The ring may have told of something since the request was made, before anybody listened.
    let mut missed = sqe.offset != u64::MAX && ring.completed() != sqe.offset;
    let result = loop {
        if bell.rung.swap(false, Ordering::SeqCst) {
            let events = look();
            let by_ring = bell.by_ring.load(Ordering::SeqCst) || core::mem::take(&mut missed);
            let last = sqe.len & raw::IORING_POLL_ADD_MULTI == 0 || by_ring;
            if !events.is_empty() && (last || !ring.complete_one_of_many(sqe.user_data, events.bits() as i32)) {
                break Ok(u64::from(events.bits()));
            }
        }
        if current.interrupted() {
            break Err(Errno::EINTR.into());
        }
        if !bell.rung.load(Ordering::SeqCst) {
            platform().park(None);
        }
    };
    queue.remove(&target);
    result
}
