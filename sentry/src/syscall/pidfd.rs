//! Descriptors of processes and what is done through them: pidfd_*, process_madvise, process_mrelease, kcmp.

use super::file::open_file;
use super::signal::{check_forgery, check_permission, optional_signal, read_info};
use super::table::{Level, Row, arg, finish, row};
use super::{Fd, IoVec, UserPtr};
use crate::errno::Errno;
use crate::fs::OpenFlags;
use crate::fs::epoll::Epoll;
use crate::fs::pidfd::PidFd;
use crate::fs::proc;
use crate::signal::{self, ABI_SIZE, SigInfo};
use crate::task::access::may_attach;
use crate::task::{Cap, Current, Task, Tid, registry};
use alloc::sync::Arc;
use bitflags::bitflags;
use linker::layout::PAGE_SIZE;
use linux_raw_sys::general as raw;
use syscalls::Sysno;

bitflags! {
    /// pidfd_open(2)'s flags (linux/pidfd.h: they are open(2)'s).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct PidFdFlags: u32 {
        /// waitid does not block.
        const NONBLOCK = raw::O_NONBLOCK;
        /// One thread, not its process.
        const THREAD = raw::O_EXCL;
    }
}
crate::flags_from_arg!(PidFdFlags, EINVAL);

bitflags! {
    /// pidfd_send_signal(2)'s flags (linux/pidfd.h): whom the signal goes to, whatever the descriptor stands for.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Scope: u32 {
        /// PIDFD_SIGNAL_THREAD.
        const THREAD = 1;
        /// PIDFD_SIGNAL_THREAD_GROUP.
        const PROCESS = 2;
        /// PIDFD_SIGNAL_PROCESS_GROUP.
        const GROUP = 4;
    }
}
crate::flags_from_arg!(Scope, EINVAL);

/// pidfd_open(2).
pub fn pidfd_open(current: &mut Current, pid: i32, flags: PidFdFlags) -> Result<Fd, Errno> {
    let tid = current.meant(Tid::new(u32::try_from(pid).ok().filter(|pid| *pid > 0).ok_or(Errno::EINVAL)?));
    let status = if flags.contains(PidFdFlags::NONBLOCK) { OpenFlags::NONBLOCK } else { OpenFlags::empty() };
    let file = if flags.contains(PidFdFlags::THREAD) {
        let task = registry().task(tid).ok_or(Errno::ESRCH)?;
        PidFd::open(task.process().clone(), Some(task), status | OpenFlags::EXCL)
    } else {
        let process = registry().process(tid);
        // A thread that is not its process's first is no process.
        let errno = if registry().task(tid).is_some() { Errno::ENOENT } else { Errno::ESRCH };
        PidFd::open(process.ok_or(errno)?, None, status)
    };
    current.add_file(file, true)
}

/// pidfd_send_signal(2).
pub fn pidfd_send_signal(
    current: &mut Current,
    fd: Fd,
    number: u32,
    info: UserPtr<[u8; ABI_SIZE]>,
    scope: Scope,
) -> Result<(), Errno> {
    if scope.bits().count_ones() > 1 {
        return Err(Errno::EINVAL);
    }
    let file = open_file(current, fd)?;
    let pidfd = PidFd::of(&file).ok();
    // A directory of proc stands for its process as well.
    let process = match pidfd {
        Some(pidfd) => pidfd.process()?.clone(),
        None => proc::process_of(&**file.inode())?,
    };
    let process = &process;
    let given = info.non_null().map(|at| read_info(current, at)).transpose()?;
    let signal = optional_signal(number)?;
    let thread = match pidfd {
        Some(pidfd) if scope.contains(Scope::THREAD) => Some(pidfd.task()?),
        None if scope.contains(Scope::THREAD) => process.leader(),
        Some(pidfd) => pidfd.thread().cloned(),
        None => None,
    };
    let thread = thread.filter(|_| !scope.intersects(Scope::PROCESS | Scope::GROUP));
    let info = match (given, signal) {
        (Some(given), Some(signal)) => {
            if given.signal() != signal {
                return Err(Errno::EINVAL);
            }
            check_forgery(current, current.shown(process.pid()).raw() as i32, &given)?;
            Some(given.from_user(signal))
        }
        (None, Some(signal)) => Some(SigInfo::kill(signal, current.process.pid().raw(), current.creds.uid)),
        (_, None) => None,
    };
    if scope.contains(Scope::GROUP) {
        return super::signal::kill_many(current, registry().group(process.group()), signal, info);
    }
    check_permission(current, process, signal)?;
    info.map_or(Ok(()), |info| signal::send_by(current, process, thread.as_ref(), info))
}

/// pidfd_getfd(2).
pub fn pidfd_getfd(current: &mut Current, fd: Fd, theirs: Fd, flags: u32) -> Result<Fd, Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let file = current.file(fd)?;
    let task = PidFd::of(&file)?.task()?;
    if !may_attach(current, &task) {
        return Err(Errno::EPERM);
    }
    let theirs = task.published().files.ok_or(Errno::ESRCH)?.get(theirs)?;
    current.add_file(theirs, true)
}

/// process_madvise(2): advice that does not change what the other's memory says.
pub fn process_madvise(
    current: &mut Current,
    fd: Fd,
    pieces: UserPtr<IoVec>,
    count: usize,
    advice: u32,
    flags: u32,
) -> Result<usize, Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let pieces = super::read_iovec(current, pieces, count)?;
    let file = current.file(fd)?;
    let task = PidFd::of(&file)?.task()?;
    let own = Arc::ptr_eq(task.process(), &current.process);
    let harmless = matches!(advice, raw::MADV_COLD | raw::MADV_PAGEOUT | raw::MADV_WILLNEED | raw::MADV_COLLAPSE);
    if !harmless && !own {
        return Err(Errno::EINVAL);
    }
    if !may_attach(current, &task) || !own && !current.creds.has(Cap::SysNice) {
        return Err(Errno::EPERM);
    }
    let mm = task.published().mm.ok_or(Errno::ESRCH)?;
    let mut done = 0;
    for piece in pieces {
        let start = piece.addr.raw();
        let end = start.checked_add(piece.len as u64).and_then(|end| end.checked_next_multiple_of(PAGE_SIZE));
        let result = match end {
            Some(end) if start.is_multiple_of(PAGE_SIZE) => mm.advise(start, end, advice),
            _ => Err(Errno::EINVAL),
        };
        match result {
            Ok(()) => done += piece.len,
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// process_mrelease(2): the memory of a dying process goes without help; EINVAL for one that lives.
pub fn process_mrelease(current: &mut Current, fd: Fd, flags: u32) -> Result<(), Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let file = current.file(fd)?;
    let process = PidFd::of(&file)?.process()?;
    match (process.is_exited(), process.is_exiting()) {
        (true, _) => Err(Errno::ESRCH),
        (false, true) => Ok(()),
        (false, false) => Err(Errno::EINVAL),
    }
}

/// `enum kcmp_type` (linux/kcmp.h).
mod kind {
    pub const FILE: u32 = 0;
    pub const VM: u32 = 1;
    pub const FILES: u32 = 2;
    pub const FS: u32 = 3;
    pub const SIGHAND: u32 = 4;
    pub const IO: u32 = 5;
    pub const SYSVSEM: u32 = 6;
    pub const EPOLL_TFD: u32 = 7;
}

/// `struct kcmp_epoll_slot`.
type EpollSlot = [u32; 3];

/// kcmp(2): 0 where both are one, else 1 or 2 in an order that holds until the next start.
pub fn kcmp(current: &mut Current, first: Tid, second: Tid, kind: u32, index1: u64, index2: u64) -> Result<u32, Errno> {
    let find = |tid| registry().task(current.meant(tid)).ok_or(Errno::ESRCH);
    let (first, second) = (find(first)?, find(second)?);
    if !may_attach(current, &first) || !may_attach(current, &second) {
        return Err(Errno::EPERM);
    }
    let of = |task: &Arc<Task>, index| identity(task, kind, index);
    if kind == kind::EPOLL_TFD {
        let [epoll, fd, nth] = UserPtr::<EpollSlot>::new(linker::addr::UserVa::new(index2)).read(current)?;
        let files = second.published().files.ok_or(Errno::EBADF)?;
        let epoll = files.get(Fd::new(epoll as i32))?;
        let epoll = epoll.downcast::<Epoll>().ok_or(Errno::EINVAL)?;
        let target = epoll.nth_file(Fd::new(fd as i32), nth as usize).ok_or(Errno::ENOENT)?;
        let own = first.published().files.ok_or(Errno::EBADF)?.get(Fd::new(index1 as i32))?;
        return Ok(order(Arc::as_ptr(&own).addr(), target));
    }
    Ok(order(of(&first, index1)?, of(&second, index2)?))
}

fn identity(task: &Arc<Task>, kind: u32, index: u64) -> Result<usize, Errno> {
    let published = task.published();
    let place = |shared: Option<usize>| Ok(shared.unwrap_or(0));
    match kind {
        kind::FILE => {
            let fd = Fd::new(i32::try_from(index).map_err(|_| Errno::EBADF)?);
            let file = published.files.ok_or(Errno::EBADF)?.get(fd)?;
            Ok(Arc::as_ptr(&file).addr())
        }
        kind::VM => place(published.mm.map(|mm| Arc::as_ptr(&mm).addr())),
        kind::FILES => place(published.files.map(|files| Arc::as_ptr(&files).addr())),
        kind::FS => place(published.fs.map(|fs| Arc::as_ptr(&fs).addr())),
        kind::SIGHAND => Ok(Arc::as_ptr(&task.process().signals.actions()).addr()),
        // No thread has a context of its own for input and output.
        kind::IO => Ok(0),
        // Who never asked for undoing has none, as all others who did not.
        kind::SYSVSEM if !crate::ipc::sem::has_undo(task.process().pid()) => Ok(0),
        kind::SYSVSEM => Ok(Arc::as_ptr(task.process()).addr()),
        _ => Err(Errno::EINVAL),
    }
}

fn order(first: usize, second: usize) -> u32 {
    match first.cmp(&second) {
        core::cmp::Ordering::Equal => 0,
        core::cmp::Ordering::Less => 1,
        core::cmp::Ordering::Greater => 2,
    }
}

pub(super) const ROWS: &[Row] = &[
    row!(pidfd_open = pidfd_open(2), Full, ""),
    row!(pidfd_send_signal = pidfd_send_signal(4), Full, ""),
    row!(pidfd_getfd = pidfd_getfd(3), Full, ""),
    row!(process_madvise = process_madvise(5), Full, ""),
    row!(process_mrelease = process_mrelease(2), Full, ""),
    row!(kcmp = kcmp(5), Full, ""),
];
