//! fanotify(7)'s calls.

use super::table::{Level, Row, arg, finish, row};
use super::{Fail, Fd, UserStr};
use crate::errno::Errno;
use crate::fs::fanotify::{Change, Group, Kind, Options, Target, abi, open_group};
use crate::fs::{self, FileKind, LookupFlags, May, OpenFlags, Path};
use crate::task::{Cap, Current};
use linux_raw_sys::general as raw;
use syscalls::Sysno;

/// fanotify_init(2). Events are told with descriptors alone, as before Linux 5.1: FAN_REPORT_FID and its like are EINVAL.
pub fn fanotify_init(current: &mut Current, flags: u32, open: u32) -> Result<Fd, Fail> {
    if !current.creds.has(Cap::SysAdmin) {
        return Err(Errno::EPERM.into());
    }
    let class = flags & (abi::CLASS_CONTENT | abi::CLASS_PRE_CONTENT);
    let known = abi::CLOEXEC
        | abi::NONBLOCK
        | abi::CLASS_CONTENT
        | abi::CLASS_PRE_CONTENT
        | abi::UNLIMITED_QUEUE
        | abi::UNLIMITED_MARKS
        | abi::REPORT_PIDFD
        | abi::REPORT_TID;
    let both = abi::REPORT_PIDFD | abi::REPORT_TID;
    let known_open = raw::O_ACCMODE
        | raw::O_APPEND
        | raw::O_NONBLOCK
        | raw::O_SYNC
        | raw::O_DSYNC
        | raw::O_CLOEXEC
        | raw::O_LARGEFILE
        | raw::O_NOATIME;
    if flags & !known != 0
        || flags & both == both
        || open & !known_open != 0
        || open & raw::O_ACCMODE == raw::O_ACCMODE
        || class == abi::CLASS_CONTENT | abi::CLASS_PRE_CONTENT
    {
        return Err(Errno::EINVAL.into());
    }
    let options = Options {
        class,
        unlimited_queue: flags & abi::UNLIMITED_QUEUE != 0,
        unlimited_marks: flags & abi::UNLIMITED_MARKS != 0,
        report_tid: flags & abi::REPORT_TID != 0,
        report_pidfd: flags & abi::REPORT_PIDFD != 0,
        open: OpenFlags::from_bits_truncate(open),
    };
    let status = if flags & abi::NONBLOCK != 0 { OpenFlags::NONBLOCK } else { OpenFlags::empty() };
    Ok(current.add_file(open_group(options, status)?, flags & abi::CLOEXEC != 0)?)
}

/// What a mark's flags mean; EINVAL for those that contradict each other.
fn kind_of(flags: u32) -> Result<Kind, Errno> {
    match flags & (abi::MARK_MOUNT | abi::MARK_FILESYSTEM) {
        0 => Ok(Kind::Inode),
        abi::MARK_MOUNT => Ok(Kind::Mount),
        abi::MARK_FILESYSTEM => Ok(Kind::FileSystem),
        _ => Err(Errno::EINVAL),
    }
}

/// fanotify_mark(2).
pub fn fanotify_mark(
    current: &mut Current,
    fd: Fd,
    flags: u32,
    mask: u64,
    dirfd: Fd,
    path: UserStr,
) -> Result<(), Errno> {
    let known = abi::MARK_ADD
        | abi::MARK_REMOVE
        | abi::MARK_DONT_FOLLOW
        | abi::MARK_ONLYDIR
        | abi::MARK_MOUNT
        | abi::MARK_IGNORED
        | abi::MARK_SURVIVES
        | abi::MARK_FLUSH
        | abi::MARK_FILESYSTEM
        | abi::MARK_EVICTABLE;
    if mask >> 32 != 0 || flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let kind = kind_of(flags)?;
    let command = flags & (abi::MARK_ADD | abi::MARK_REMOVE | abi::MARK_FLUSH);
    let sound = match command {
        abi::MARK_ADD | abi::MARK_REMOVE => mask != 0,
        abi::MARK_FLUSH => flags & !(abi::MARK_MOUNT | abi::MARK_FILESYSTEM | abi::MARK_FLUSH) == 0,
        _ => false,
    };
    if !sound || mask & !(abi::EVENTS | abi::QUESTIONS | abi::EVENT_FLAGS) != 0 {
        return Err(Errno::EINVAL);
    }
    let ignored = flags & abi::MARK_IGNORED != 0;
    let mut change = Change { mask, ignored, survives: flags & abi::MARK_SURVIVES != 0 };
    if ignored {
        change.mask &= !abi::EVENT_FLAGS;
    }
    let group = Group::of(&*current.file(fd)?)?;
    let questions = change.mask & abi::QUESTIONS != 0;
    if questions && group.class() == 0 || flags & abi::MARK_EVICTABLE != 0 && kind != Kind::Inode {
        return Err(Errno::EINVAL);
    }
    if command == abi::MARK_FLUSH {
        group.flush(kind);
        return Ok(());
    }
    let place = find(current, flags, dirfd, path)?;
    if command == abi::MARK_ADD && questions && place.mount().info().kind == "proc" {
        // Its files cannot be asked about: who answers might need them.
        return Err(Errno::EINVAL);
    }
    if kind != Kind::Inode || place.inode().kind() != FileKind::Directory {
        change.mask &= !abi::ON_CHILD;
    }
    let attr = place.inode().attr()?;
    let target = match kind {
        Kind::Inode => Target::Inode(attr.dev, attr.ino),
        Kind::Mount => Target::Mount(place.mount().id()),
        Kind::FileSystem => Target::FileSystem(attr.dev),
    };
    if command == abi::MARK_ADD { group.mark(target, &change) } else { group.unmark(target, &change) }
}

/// What is to be marked: a path, or with none the descriptor's file.
fn find(current: &Current, flags: u32, dirfd: Fd, path: UserStr) -> Result<Path, Errno> {
    let only_directory = flags & abi::MARK_ONLYDIR != 0;
    let place = if path.is_null() {
        if dirfd == Fd::CWD {
            return Err(Errno::EBADF);
        }
        current.file(dirfd)?.path().cloned().ok_or(Errno::EINVAL)?
    } else {
        let mut lookup = LookupFlags::empty();
        lookup.set(LookupFlags::FOLLOW, flags & abi::MARK_DONT_FOLLOW == 0);
        fs::lookup(current, dirfd, &path.read_path(current)?, lookup)?
    };
    if only_directory && place.inode().kind() != FileKind::Directory {
        return Err(Errno::ENOTDIR);
    }
    fs::permission(&current.creds, &**place.inode(), May::READ)?;
    Ok(place)
}

pub(super) const ROWS: &[Row] = &[
    row!(fanotify_init = fanotify_init(2), Partial, "no FAN_REPORT_FID and its like, no audit: EINVAL"),
    row!(fanotify_mark = fanotify_mark(5), Partial, "events with a descriptor only; no FAN_MARK_IGNORE: EINVAL"),
];
