//! Changing attributes: chmod, chown, utimens, truncate, with their permission rules (notify_change).

use super::inode::{FileKind, Inode};
use super::open_file::OpenFile;
use super::path::Path;
use super::permission::{May, holds, owner_or_capable, permission};
use super::regular::{MAX_FILE_SIZE, beyond_limit, mode_after_write, now};
use crate::errno::Errno;
use crate::landlock::Files;
use crate::landlock::files::check;
use crate::syscall::{Fail, Fd};
use crate::task::{Cap, Current};
use alloc::sync::Arc;
use linker::request::{SetAttr, Time};
use linux_raw_sys::general as raw;

/// A file to look at or to change, and the place it was found at, if any.
pub struct Target {
    /// The file.
    pub inode: Arc<dyn Inode>,
    /// Its place.
    pub place: Option<Path>,
}

impl Target {
    /// What a descriptor refers to.
    pub fn of_file(file: &OpenFile) -> Self {
        Self { inode: file.inode().clone(), place: file.path().cloned() }
    }

    /// Tells inotify that the attributes changed.
    fn notify_changed(&self) {
        if let Some(place) = &self.place {
            super::inotify::event(place.dentry(), raw::IN_ATTRIB);
        }
    }

    /// What `path` leads to; an empty path with EMPTY in `flags` is `dirfd`, whatever kind of file that is.
    pub fn find(current: &Current, dirfd: Fd, path: &[u8], flags: super::LookupFlags) -> Result<Self, Errno> {
        if path.is_empty() && flags.contains(super::LookupFlags::EMPTY) && dirfd != Fd::CWD {
            return current.file(dirfd).map(|file| Self::of_file(&file));
        }
        super::lookup(current, dirfd, path, flags).map(Self::from)
    }

    fn check_writable(&self) -> Result<(), Errno> {
        self.place.as_ref().map_or(Ok(()), |place| place.mount().check_writable())
    }
}

impl From<Path> for Target {
    fn from(place: Path) -> Self {
        Self { inode: place.inode().clone(), place: Some(place) }
    }
}

/// chmod(2).
pub fn chmod(current: &Current, target: &Target, mode: u32) -> Result<(), Errno> {
    target.check_writable()?;
    if target.inode.kind() == FileKind::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    let attr = target.inode.attr()?;
    if !owner_or_capable(&current.creds, &attr) {
        return Err(Errno::EPERM);
    }
    let mut mode = mode & 0o7777;
    if !current.creds.in_group(attr.gid) && !holds(&current.creds, Cap::Fsetid, &attr) {
        mode &= !raw::S_ISGID;
    }
    target.inode.set_attr(&SetAttr { valid: SetAttr::MODE, mode, ..SetAttr::default() })?;
    permissions_changed(&*target.inode);
    target.notify_changed();
    Ok(())
}

/// chown(2); `u32::MAX` leaves an id as it is.
pub fn chown(current: &Current, target: &Target, uid: u32, gid: u32) -> Result<(), Errno> {
    let creds = &current.creds;
    let uid = if uid == u32::MAX { uid } else { creds.global_uid(uid)? };
    let gid = if gid == u32::MAX { gid } else { creds.global_gid(gid)? };
    target.check_writable()?;
    let attr = target.inode.attr()?;
    let mut change = SetAttr { uid, gid, ..SetAttr::default() };
    if uid != u32::MAX {
        if !holds(creds, Cap::Chown, &attr) && (creds.fsuid != attr.uid || uid != attr.uid) {
            return Err(Errno::EPERM);
        }
        change.valid |= SetAttr::UID;
    }
    if gid != u32::MAX {
        let own = creds.fsuid == attr.uid && (creds.in_group(gid) || gid == attr.gid);
        if !holds(creds, Cap::Chown, &attr) && !own {
            return Err(Errno::EPERM);
        }
        change.valid |= SetAttr::GID;
    }
    let kept = mode_after_write(attr.mode);
    if target.inode.kind() != FileKind::Directory && kept != attr.mode {
        change.valid |= SetAttr::MODE;
        change.mode = kept & 0o7777;
    }
    target.inode.set_attr(&change)?;
    permissions_changed(&*target.inode);
    target.notify_changed();
    Ok(())
}

/// Who may search a directory decides which ways there are.
pub(super) fn permissions_changed(inode: &dyn Inode) {
    if inode.kind() == FileKind::Directory {
        super::ways::changed();
    }
}

/// A time to set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NewTime {
    /// UTIME_OMIT.
    Keep,
    /// UTIME_NOW.
    Now,
    /// As given.
    At(Time),
}

/// utimensat(2).
pub fn set_times(current: &Current, target: &Target, atime: NewTime, mtime: NewTime) -> Result<(), Errno> {
    if atime == NewTime::Keep && mtime == NewTime::Keep {
        return Ok(());
    }
    target.check_writable()?;
    let attr = target.inode.attr()?;
    if !owner_or_capable(&current.creds, &attr) {
        if atime != NewTime::Now || mtime != NewTime::Now {
            return Err(Errno::EPERM);
        }
        permission(&current.creds, &*target.inode, May::WRITE)?;
    }
    let mut change = SetAttr::default();
    let this_moment = now();
    let mut set = |time: NewTime, bit: u32| {
        change.valid |= if time == NewTime::Keep { 0 } else { bit };
        match time {
            NewTime::At(time) => time,
            _ => this_moment,
        }
    };
    let (atime, mtime) = (set(atime, SetAttr::ATIME), set(mtime, SetAttr::MTIME));
    target.inode.set_attr(&SetAttr { atime, mtime, ..change })?;
    target.notify_changed();
    Ok(())
}

/// truncate(2): by path, so permission to write is asked for.
pub fn truncate(current: &Current, place: &Path, size: u64) -> Result<(), Fail> {
    match place.inode().kind() {
        FileKind::Regular => {}
        FileKind::Directory => return Err(Errno::EISDIR.into()),
        _ => return Err(Errno::EINVAL.into()),
    }
    place.mount().check_writable()?;
    permission(&current.creds, &**place.inode(), May::WRITE)?;
    // It is writing: a lease that is broken for it cannot become a reader's meanwhile.
    let _writing = super::text::Claim::to_write(place.inode())?;
    super::lock::lease::wait_for(current, place.inode(), true, false)?;
    check(&current.creds, place, Files::TRUNCATE)?;
    resize(current, &**place.inode(), size)?;
    super::inotify::event(place.dentry(), raw::IN_MODIFY);
    Ok(())
}

/// Sets the size of a regular file, which the caller may write.
pub fn resize(current: &Current, inode: &dyn Inode, size: u64) -> Result<(), Fail> {
    let attr = inode.attr()?;
    if size > attr.size && size > current.process.soft_limit(raw::RLIMIT_FSIZE) {
        return Err(beyond_limit(current));
    }
    if size > MAX_FILE_SIZE {
        return Err(Errno::EFBIG.into());
    }
    let mut change = SetAttr { valid: SetAttr::SIZE, size, ..SetAttr::default() };
    let kept = mode_after_write(attr.mode);
    if kept != attr.mode && !holds(&current.creds, Cap::Fsetid, &attr) {
        change.valid |= SetAttr::MODE;
        change.mode = kept & 0o7777;
    }
    Ok(inode.set_attr(&change)?)
}
