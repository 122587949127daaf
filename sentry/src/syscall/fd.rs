//! Descriptors: close, dup, fcntl, ioctl, flock, memfd_create.

use super::file::open_file;
use super::table::{Level, Row, arg, finish, row};
use super::{Fail, Fd, UserPtr, UserStr};
use crate::errno::Errno;
use crate::fs::{self, OpenFile, OpenFlags, SignalOwner, lock, memfd};
use crate::landlock::Confined;
use crate::landlock::files::may_ioctl;
use crate::task::{Current, Tid, registry};
use alloc::sync::Arc;
use linux_raw_sys::{general as raw, ioctl as ioc};
use syscalls::Sysno;

/// close(2).
pub fn close(current: &mut Current, fd: Fd) -> Result<(), Errno> {
    let file = current.files.remove(fd)?;
    fs::close(current, file);
    Ok(())
}

/// close_range(2), linux/close_range.h: linux-raw-sys does not export these.
const CLOSE_RANGE_UNSHARE: u32 = 1 << 1;
const CLOSE_RANGE_CLOEXEC: u32 = 1 << 2;

/// close_range(2).
pub fn close_range(current: &mut Current, first: u32, last: u32, flags: u32) -> Result<(), Errno> {
    if flags & !(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) != 0 || first > last {
        return Err(Errno::EINVAL);
    }
    if flags & CLOSE_RANGE_UNSHARE != 0 && Arc::strong_count(&current.files) > 1 {
        current.files = Arc::new(current.files.duplicate()?);
        current.publish();
    }
    let within = |fd: Fd| u32::try_from(fd.raw()).is_ok_and(|number| (first..=last).contains(&number));
    if flags & CLOSE_RANGE_CLOEXEC != 0 {
        for fd in current.files.numbers().into_iter().filter(|fd| within(*fd)) {
            // Another thread may have closed it meanwhile.
            let _ = current.files.set_close_on_exec(fd, true);
        }
        return Ok(());
    }
    for file in current.files.take(|fd, _| within(fd)) {
        fs::close(current, file);
    }
    Ok(())
}

/// dup(2).
pub fn dup(current: &mut Current, fd: Fd) -> Result<Fd, Errno> {
    let file = current.file(fd)?;
    current.add_file(file, false)
}

/// dup2(2).
pub fn dup2(current: &mut Current, old: Fd, new: Fd) -> Result<Fd, Errno> {
    if old == new {
        return current.file(old).map(|_| new);
    }
    replace(current, old, new, false)
}

/// dup3(2).
pub fn dup3(current: &mut Current, old: Fd, new: Fd, flags: u32) -> Result<Fd, Errno> {
    if flags & !raw::O_CLOEXEC != 0 || old == new {
        return Err(Errno::EINVAL);
    }
    replace(current, old, new, flags & raw::O_CLOEXEC != 0)
}

fn replace(current: &Current, old: Fd, new: Fd, close_on_exec: bool) -> Result<Fd, Errno> {
    let file = current.file(old)?;
    if let Some(over) = current.files.set(new, file, close_on_exec, descriptor_limit(current))? {
        fs::close(current, over);
    }
    Ok(new)
}

/// RLIMIT_NOFILE.
fn descriptor_limit(current: &Current) -> usize {
    usize::try_from(current.process.soft_limit(raw::RLIMIT_NOFILE)).unwrap_or(usize::MAX)
}

/// fcntl(2).
pub fn fcntl(current: &mut Current, fd: Fd, command: u32, arg: u64) -> Result<u64, Fail> {
    let file = current.file(fd)?;
    let path_only = file.flags().contains(OpenFlags::PATH);
    if path_only && !matches!(command, raw::F_DUPFD | raw::F_DUPFD_CLOEXEC | raw::F_GETFD | raw::F_SETFD | raw::F_GETFL)
    {
        return Err(Errno::EBADF.into());
    }
    match command {
        raw::F_DUPFD | raw::F_DUPFD_CLOEXEC => {
            let limit = descriptor_limit(current);
            let from = usize::try_from(arg as i32).ok().filter(|from| *from < limit).ok_or(Errno::EINVAL)?;
            let new = current.files.add(file, command == raw::F_DUPFD_CLOEXEC, from, limit)?;
            Ok(new.raw() as u64)
        }
        raw::F_GETFD => Ok(u64::from(current.files.close_on_exec(fd)?) * u64::from(raw::FD_CLOEXEC)),
        raw::F_SETFD => {
            current.files.set_close_on_exec(fd, arg & u64::from(raw::FD_CLOEXEC) != 0)?;
            Ok(0)
        }
        raw::F_GETFL => Ok(u64::from(file.flags().bits())),
        raw::F_SETFL => {
            let flags = OpenFlags::from_bits_truncate(arg as u32);
            if flags.contains(OpenFlags::ASYNC) != file.flags().contains(OpenFlags::ASYNC) {
                file.set_async(fd, flags.contains(OpenFlags::ASYNC));
            }
            file.set_flags(flags);
            Ok(0)
        }
        raw::F_GETLK | raw::F_SETLK | raw::F_SETLKW | raw::F_OFD_GETLK | raw::F_OFD_SETLK | raw::F_OFD_SETLKW => {
            lock::fcntl(current, &file, command, arg)
        }
        raw::F_GETOWN | raw::F_SETOWN | raw::F_GETOWN_EX | raw::F_SETOWN_EX | raw::F_GETSIG | raw::F_SETSIG => {
            signal_owner(current, &file, command, arg)
        }
        raw::F_ADD_SEALS => {
            if !file.flags().writable() {
                return Err(Errno::EPERM.into());
            }
            let seals = u32::try_from(arg).map_err(|_| Errno::EINVAL)?;
            if seals & !memfd::ALL_SEALS != 0 {
                return Err(Errno::EINVAL.into());
            }
            file.inode().add_seals(seals)?;
            Ok(0)
        }
        raw::F_GET_SEALS => Ok(u64::from(file.inode().seals()?)),
        raw::F_GETPIPE_SZ | raw::F_SETPIPE_SZ => file.ops().clone().fcntl(current, &file, command, arg),
        raw::F_GETLEASE => Ok(lock::lease::get(&file)?),
        raw::F_SETLEASE => {
            lock::lease::set(current, &file, fd, arg as u32)?;
            Ok(0)
        }
        raw::F_NOTIFY => {
            fs::inotify::watch_directory(current, &file, fd, arg as u32)?;
            Ok(0)
        }
        raw::F_DUPFD_QUERY => {
            let other = current.file(Fd::new(arg as i32))?;
            Ok(u64::from(Arc::ptr_eq(&file, &other)))
        }
        // No write hints.
        _ => Err(Errno::EINVAL.into()),
    }
}

fn signal_owner(current: &Current, file: &OpenFile, command: u32, arg: u64) -> Result<u64, Fail> {
    let owner = file.owner();
    match command {
        raw::F_GETOWN => {
            let id = i64::from(current.shown(Tid::new(owner.id)).raw());
            Ok((if owner.kind == raw::F_OWNER_PGRP { -id } else { id }) as u64)
        }
        raw::F_SETOWN => {
            let id = arg as i32;
            let kind = if id < 0 { raw::F_OWNER_PGRP } else { raw::F_OWNER_PID };
            set_owner(current, file, kind, id.checked_abs().ok_or(Errno::EINVAL)? as u32)
        }
        raw::F_GETOWN_EX => {
            let to: UserPtr<[u32; 2]> = UserPtr::new(linker::addr::UserVa::new(arg));
            to.write(current, &[owner.kind, current.shown(Tid::new(owner.id)).raw()])?;
            Ok(0)
        }
        raw::F_SETOWN_EX => {
            let from: UserPtr<[u32; 2]> = UserPtr::new(linker::addr::UserVa::new(arg));
            let [kind, id] = from.read(current)?;
            if kind > raw::F_OWNER_PGRP {
                return Err(Errno::EINVAL.into());
            }
            set_owner(current, file, kind, id)
        }
        raw::F_GETSIG => Ok(u64::from(owner.signal)),
        _ => {
            let signal = u32::try_from(arg).ok().filter(|signal| *signal <= raw::_NSIG).ok_or(Errno::EINVAL)?;
            file.set_owner(SignalOwner { signal, ..owner });
            Ok(0)
        }
    }
}

fn set_owner(current: &Current, file: &OpenFile, kind: u32, id: u32) -> Result<u64, Fail> {
    let id = current.meant(Tid::new(id)).raw();
    let exists = match kind {
        raw::F_OWNER_PID => registry().process(Tid::new(id)).is_some(),
        raw::F_OWNER_TID => registry().task(Tid::new(id)).is_some(),
        _ => true,
    };
    if id != 0 && !exists {
        return Err(Errno::ESRCH.into());
    }
    let (uid, euid) = (current.creds.uid, current.creds.euid);
    // What is the caller's own to signal stays so.
    let own = match kind {
        raw::F_OWNER_TID => {
            registry().task(Tid::new(id)).is_some_and(|task| Arc::ptr_eq(task.process(), &current.process))
        }
        raw::F_OWNER_PID => id == current.process.pid().raw(),
        _ => registry().group(Tid::new(id)).first().is_some_and(|process| Arc::ptr_eq(process, &current.process)),
    };
    let domain = if own { Confined::default() } else { current.creds.landlock.clone() };
    file.set_owner(SignalOwner { kind, id, uid, euid, domain, ..file.owner() });
    Ok(0)
}

/// ioctl(2): what is the same for all files here, the rest is the file's.
pub fn ioctl(current: &mut Current, fd: Fd, command: u32, arg: u64) -> Result<u64, Fail> {
    let file = open_file(current, fd)?;
    let pointer: UserPtr<i32> = UserPtr::new(linker::addr::UserVa::new(arg));
    may_ioctl(&file, command)?;
    let regular = file.inode().kind() == fs::FileKind::Regular;
    match command {
        ioc::FIOCLEX => current.files.set_close_on_exec(fd, true)?,
        ioc::FIONCLEX => current.files.set_close_on_exec(fd, false)?,
        ioc::FIONBIO => set_flag(&file, OpenFlags::NONBLOCK, pointer.read(current)? != 0),
        ioc::FIOASYNC => file.set_async(fd, pointer.read(current)? != 0),
        ioc::FIONREAD if regular => {
            let left = file.inode().attr()?.size.saturating_sub(*file.position().lock());
            pointer.write(current, &i32::try_from(left).unwrap_or(i32::MAX))?;
        }
        ioc::FIGETBSZ if regular => pointer.write(current, &(file.inode().attr()?.blksize as i32))?,
        _ => return file.ops().clone().ioctl(current, &file, command, arg),
    }
    Ok(0)
}

fn set_flag(file: &OpenFile, flag: OpenFlags, on: bool) {
    let mut flags = file.flags();
    flags.set(flag, on);
    file.set_flags(flags);
}

/// flock(2).
pub fn flock(current: &mut Current, fd: Fd, operation: u32) -> Result<u64, Fail> {
    let file = open_file(current, fd)?;
    lock::flock(current, &file, operation)
}

/// memfd_create(2).
pub fn memfd_create(current: &mut Current, name: UserStr, flags: u32) -> Result<Fd, Fail> {
    let known = raw::MFD_CLOEXEC | raw::MFD_ALLOW_SEALING | raw::MFD_NOEXEC_SEAL | raw::MFD_EXEC;
    // Of huge pages there are none to promise.
    if flags & !known != 0 || flags & raw::MFD_NOEXEC_SEAL != 0 && flags & raw::MFD_EXEC != 0 {
        return Err(Errno::EINVAL.into());
    }
    let name = name.read(current, memfd::MAX_NAME + 1, Errno::EINVAL)?;
    let file = memfd::create(current, &name, flags)?;
    Ok(current.add_file(file, flags & raw::MFD_CLOEXEC != 0)?)
}

pub(super) const ROWS: &[Row] = &[
    row!(close = close(1), Full, ""),
    row!(close_range = close_range(3), Full, ""),
    row!(dup = dup(1), Full, ""),
    row!(dup2 = dup2(2), Full, ""),
    row!(dup3 = dup3(3), Full, ""),
    row!(fcntl = fcntl(3), Partial, "no write hints"),
    row!(ioctl = ioctl(3), Partial, "what the file behind the descriptor serves"),
    row!(flock = flock(2), Full, ""),
    row!(memfd_create = memfd_create(2), Partial, "no MFD_HUGETLB"),
];
