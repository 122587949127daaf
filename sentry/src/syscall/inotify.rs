//! inotify(7)'s calls.

use super::table::{Level, Row, arg, finish, row};
use super::{Fail, Fd, UserStr};
use crate::errno::Errno;
use crate::fs::inotify::Inotify;
use crate::fs::{self, FileKind, LookupFlags, May, OpenFlags};
use crate::task::Current;
use linux_raw_sys::general as raw;
use syscalls::Sysno;

/// inotify_init1(2).
pub fn inotify_init1(current: &mut Current, flags: u32) -> Result<Fd, Fail> {
    if flags & !(raw::IN_CLOEXEC | raw::IN_NONBLOCK) != 0 {
        return Err(Errno::EINVAL.into());
    }
    // IN_CLOEXEC and IN_NONBLOCK are O_CLOEXEC and O_NONBLOCK.
    let flags = OpenFlags::from_bits_truncate(flags);
    let limit = current.process.soft_limit(raw::RLIMIT_NOFILE) as usize;
    Ok(current.files.add(Inotify::open(current.creds.uid, flags)?, flags.contains(OpenFlags::CLOEXEC), 0, limit)?)
}

/// inotify_init(2).
pub fn inotify_init(current: &mut Current) -> Result<Fd, Fail> {
    inotify_init1(current, 0)
}

/// inotify_add_watch(2).
pub fn inotify_add_watch(current: &mut Current, fd: Fd, path: UserStr, mask: u32) -> Result<i32, Fail> {
    let both = mask & raw::IN_MASK_ADD != 0 && mask & raw::IN_MASK_CREATE != 0;
    if mask & raw::IN_ALL_EVENTS == 0 || both {
        return Err(Errno::EINVAL.into());
    }
    let instance = Inotify::of(&*current.file(fd)?)?;
    let mut flags = LookupFlags::empty();
    flags.set(LookupFlags::FOLLOW, mask & raw::IN_DONT_FOLLOW == 0);
    let path = path.read_path(current)?;
    let place = fs::lookup(current, Fd::CWD, &path, flags)?;
    if mask & raw::IN_ONLYDIR != 0 && place.inode().kind() != FileKind::Directory {
        return Err(Errno::ENOTDIR.into());
    }
    fs::permission(&current.creds, &**place.inode(), May::READ)?;
    Ok(instance.watch(&**place.inode(), mask)?)
}

/// inotify_rm_watch(2).
pub fn inotify_rm_watch(current: &mut Current, fd: Fd, number: i32) -> Result<(), Errno> {
    Inotify::of(&*current.file(fd)?)?.unwatch(number)
}

pub(super) const ROWS: &[Row] = &[
    row!(inotify_init = inotify_init(), Full, ""),
    row!(inotify_init1 = inotify_init1(1), Full, ""),
    row!(inotify_add_watch = inotify_add_watch(3), Partial, "IN_EXCL_UNLINK and IN_UNMOUNT have no effect"),
    row!(inotify_rm_watch = inotify_rm_watch(2), Full, ""),
];
