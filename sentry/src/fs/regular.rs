//! What files with a `Mapping` share: positions, the file size limit, access times, directory dots.

use super::entries::DirSink;
use super::mount::MountFlags;
use super::open_file::{OpenFile, OpenFlags};
use super::{FileKind, Source};
use crate::errno::Errno;
use crate::mm::Mapping;
use crate::platform::platform;
use crate::signal::{SigInfo, Signal, send_to_task};
use crate::syscall::Fail;
use crate::task::Current;
use linker::request::Time;
use linux_raw_sys::general as raw;

/// The largest size of a file.
pub const MAX_FILE_SIZE: u64 = i64::MAX as u64;

/// CLOCK_REALTIME, as a file's time.
pub fn now() -> Time {
    let ns = platform().realtime_ns();
    Time { sec: (ns / 1_000_000_000) as i64, nsec: (ns % 1_000_000_000) as i64 }
}

/// Writes to a mapping: at `offset`, or at the end with O_APPEND, no further than RLIMIT_FSIZE allows.
pub fn write_mapping(
    current: &Current,
    file: &OpenFile,
    mapping: &Mapping,
    source: &mut Source<'_>,
    offset: u64,
) -> Result<(usize, u64), Fail> {
    let limit = current.process.soft_limit(raw::RLIMIT_FSIZE);
    let append = file.flags().contains(OpenFlags::APPEND);
    match mapping.write(source, (!append).then_some(offset), limit.min(MAX_FILE_SIZE)) {
        Err(Errno::EFBIG) if limit < MAX_FILE_SIZE => Err(beyond_limit(current)),
        result => Ok(result?),
    }
}

/// What a write or truncation beyond RLIMIT_FSIZE gets: SIGXFSZ and EFBIG.
pub fn beyond_limit(current: &Current) -> Fail {
    send_to_task(&current.task, SigInfo::kernel(Signal::SIGXFSZ));
    Errno::EFBIG.into()
}

/// lseek's SEEK_END, SEEK_DATA and SEEK_HOLE in a mapping. A file with a source has no holes that are known here.
pub fn seek_mapping(mapping: &Mapping, offset: i64, whence: u32) -> Result<u64, Errno> {
    let size = mapping.size();
    if whence == raw::SEEK_END {
        let end = i64::try_from(size).map_err(|_| Errno::EOVERFLOW)?;
        let to = end.checked_add(offset).ok_or(Errno::EOVERFLOW)?;
        return u64::try_from(to).map_err(|_| Errno::EINVAL);
    }
    let from = u64::try_from(offset).ok().filter(|from| *from < size).ok_or(Errno::ENXIO)?;
    match whence {
        raw::SEEK_DATA if mapping.has_source() => Ok(from),
        raw::SEEK_HOLE if mapping.has_source() => Ok(size),
        raw::SEEK_DATA => mapping.next_data(from).ok_or(Errno::ENXIO),
        raw::SEEK_HOLE => mapping.next_hole(from).ok_or(Errno::ENXIO),
        _ => Err(Errno::EINVAL),
    }
}

/// Whether reading through `file` moves the access time: relatime, O_NOATIME, the mount's flags.
pub fn wants_access_time(file: &OpenFile, atime: Time, mtime: Time, ctime: Time) -> bool {
    const DAY: i64 = 24 * 60 * 60;
    let flags = file.path().map(|place| place.mount().flags()).unwrap_or_default();
    let relative = !flags.contains(MountFlags::STRICTATIME);
    if relative && atime > mtime && atime > ctime && now().sec - atime.sec < DAY {
        return false;
    }
    if file.flags().contains(OpenFlags::NOATIME) {
        return false;
    }
    let Some(place) = file.path() else { return true };
    let directory = place.dentry().is_directory();
    !flags.intersects(MountFlags::NOATIME | MountFlags::RDONLY)
        && !(directory && flags.contains(MountFlags::NODIRATIME))
}

/// Position of the first entry behind "." and "..".
pub const FIRST_ENTRY: u64 = 2;

/// Emits "." and ".." of an open directory where `position` lies before them (0 and 1: a file system's own positions start at
/// `FIRST_ENTRY`). False: no room, stop.
pub fn emit_dots(file: &OpenFile, position: u64, emit: &mut dyn DirSink) -> bool {
    let ino = |inode: &dyn super::Inode| inode.attr().map_or(0, |attr| attr.ino);
    let own = ino(&**file.inode());
    if position == 0 && !emit.put(own, dirent_type(FileKind::Directory), b".", 1) {
        return false;
    }
    if position > 1 {
        return true;
    }
    let above = file.path().and_then(|place| place.dentry().parent());
    let above = above.map_or(own, |parent| ino(&**parent.inode()));
    emit.put(above, dirent_type(FileKind::Directory), b"..", FIRST_ENTRY)
}

/// The `DT_*` of a kind.
pub fn dirent_type(kind: FileKind) -> u8 {
    let number = match kind {
        FileKind::Regular => raw::DT_REG,
        FileKind::Directory => raw::DT_DIR,
        FileKind::Symlink => raw::DT_LNK,
        FileKind::CharDevice => raw::DT_CHR,
        FileKind::BlockDevice => raw::DT_BLK,
        FileKind::Fifo => raw::DT_FIFO,
        FileKind::Socket => raw::DT_SOCK,
        FileKind::Anonymous => raw::DT_UNKNOWN,
    };
    number as u8
}

/// The mode a file keeps when someone without CAP_FSETID writes to it or truncates it.
pub fn mode_after_write(mode: u32) -> u32 {
    let mut mode = mode & !raw::S_ISUID;
    if mode & raw::S_IXGRP != 0 {
        mode &= !raw::S_ISGID;
    }
    mode
}
