//! open(2): from a path and flags to an open file.

use super::create::{create_in, inherit};
use super::dentry::Dentry;
use super::device;
use super::fanotify;
use super::fanotify::abi::{OPEN, OPEN_EXEC, OPEN_EXEC_PERM, OPEN_PERM};
use super::inode::{FileKind, Inode};
use super::inotify;
use super::lock::lease;
use super::mount::MountFlags;
use super::open_file::{FileOps, OpenFile, OpenFlags};
use super::path::Path;
use super::permission::{May, owner_or_capable, permission};
use super::special::PathOnly;
use super::text::Claim;
use super::walk::{Last, LastKind, LookupFlags, Walk};
use crate::errno::Errno;
use crate::landlock::files as landlock;
use crate::syscall::{Fail, Fd};
use crate::task::Current;
use alloc::sync::Arc;
use linker::request::SetAttr;
use linux_raw_sys::general as raw;

/// Opens `path`; a file made by O_CREAT or O_TMPFILE gets `mode` without the umask's bits.
pub fn open(current: &Current, dirfd: Fd, path: &[u8], flags: OpenFlags, mode: u32) -> Result<Arc<OpenFile>, Fail> {
    open_how(current, dirfd, path, flags, mode, LookupFlags::default())
}

/// As `open`, with openat2's restrictions (RESOLVE_*).
pub fn open_how(
    current: &Current,
    dirfd: Fd,
    path: &[u8],
    mut flags: OpenFlags,
    mode: u32,
    mut resolve: LookupFlags,
) -> Result<Arc<OpenFile>, Fail> {
    if flags.contains(OpenFlags::PATH) {
        flags &= OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW | OpenFlags::CLOEXEC;
    }
    let unnamed = check_making(flags)?;
    if !flags.contains(OpenFlags::NOFOLLOW) && !flags.contains(OpenFlags::CREAT | OpenFlags::EXCL) {
        resolve |= LookupFlags::FOLLOW;
    }
    if flags.contains(OpenFlags::DIRECTORY) {
        resolve |= LookupFlags::DIRECTORY;
    }
    let walk = Walk::new(current, &current.creds, dirfd, path, resolve)?;
    if unnamed {
        return open_unnamed(current, &walk.finish()?, flags, mode);
    }
    if flags.contains(OpenFlags::CREAT) {
        return open_or_create(current, walk, flags, mode);
    }
    let place = walk.finish()?;
    open_at(current, &place, flags)
}

/// Opens what is there at `place`.
pub fn open_at(current: &Current, place: &Path, flags: OpenFlags) -> Result<Arc<OpenFile>, Fail> {
    if flags.contains(OpenFlags::PATH) {
        let ops = Arc::new(PathOnly);
        return Ok(OpenFile::new(ops, flags, place.inode().clone(), Some(place.clone())));
    }
    may_open(current, place, flags)?;
    fanotify::ask(current, place, &[OPEN_PERM])?;
    let file = open_allowed(current, place, flags)?;
    file.notify(raw::IN_OPEN);
    if flags.contains(OpenFlags::TRUNC) && place.inode().kind() == FileKind::Regular {
        landlock::may_truncate(&file)?;
        place.inode().set_attr(&SetAttr { valid: SetAttr::SIZE, ..SetAttr::default() })?;
        inotify::event(place.dentry(), raw::IN_MODIFY);
    }
    Ok(file)
}

/// Opens what was found without a name, and is meant by none (open_by_handle_at).
pub fn open_found(current: &Current, place: &Path, mut flags: OpenFlags) -> Result<Arc<OpenFile>, Fail> {
    if flags.contains(OpenFlags::PATH) {
        flags &= OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW | OpenFlags::CLOEXEC;
    }
    let unnamed = check_making(flags)?;
    if flags.contains(OpenFlags::DIRECTORY) && !place.dentry().is_directory() {
        return Err(Errno::ENOTDIR.into());
    }
    if unnamed {
        return open_unnamed(current, place, flags, 0);
    }
    if place.inode().kind() == FileKind::Symlink && !flags.contains(OpenFlags::PATH) {
        return Err(Errno::ELOOP.into());
    }
    if flags.contains(OpenFlags::CREAT) {
        if flags.contains(OpenFlags::EXCL) {
            return Err(Errno::EEXIST.into());
        }
        if place.dentry().is_directory() {
            return Err(Errno::EISDIR.into());
        }
    }
    open_at(current, place, flags)
}

/// EINVAL for flags of making files that do not go together. Whether one without a name is made.
fn check_making(flags: OpenFlags) -> Result<bool, Errno> {
    let unnamed = flags.bits() & raw::__O_TMPFILE != 0;
    let wrong =
        unnamed && (!flags.contains(OpenFlags::TMPFILE) || !flags.writable() || flags.contains(OpenFlags::CREAT));
    if wrong || flags.contains(OpenFlags::CREAT | OpenFlags::DIRECTORY) { Err(Errno::EINVAL) } else { Ok(unnamed) }
}

/// Opens `path` for execve: a regular file that the caller may execute, on a mount that allows it; else EACCES.
pub fn open_exec(current: &Current, path: &[u8]) -> Result<(Arc<OpenFile>, Path), Errno> {
    open_exec_at(current, Fd::CWD, path, LookupFlags::FOLLOW)
}

/// `open_exec` for execveat: `flags` has FOLLOW unless AT_SYMLINK_NOFOLLOW, EMPTY with AT_EMPTY_PATH.
pub fn open_exec_at(
    current: &Current,
    dirfd: Fd,
    path: &[u8],
    flags: LookupFlags,
) -> Result<(Arc<OpenFile>, Path), Errno> {
    let place = Walk::new(current, &current.creds, dirfd, path, flags)?.finish()?;
    let inode = place.inode();
    match inode.kind() {
        FileKind::Regular => {}
        FileKind::Symlink => return Err(Errno::ELOOP),
        _ => return Err(Errno::EACCES),
    }
    if place.mount().flags().contains(MountFlags::NOEXEC) {
        return Err(Errno::EACCES);
    }
    permission(&current.creds, &**inode, May::EXEC)?;
    // For a moment only: the program that is run in the end claims its file.
    drop(Claim::to_run(inode)?);
    fanotify::ask(current, &place, &[OPEN_EXEC_PERM, OPEN_PERM])?;
    match open_checked(current, &place, OpenFlags::empty(), true) {
        Ok(file) => {
            fanotify::happened(&place, OPEN | OPEN_EXEC);
            Ok((file, place))
        }
        Err(Fail::Errno(errno)) => Err(errno),
        Err(_) => Err(Errno::EINTR),
    }
}

fn open_or_create(current: &Current, mut walk: Walk<'_>, flags: OpenFlags, mode: u32) -> Result<Arc<OpenFile>, Fail> {
    loop {
        let last = walk.reach_last()?;
        if last.kind != LastKind::Name {
            return open_existing(current, walk, &last, flags);
        }
        if last.trailing_slash {
            return Err(Errno::EISDIR.into());
        }
        let Some(child) = walk.way.child(walk.name(&last))? else {
            match create(current, &walk, &last, flags, mode)? {
                Some(file) => return Ok(file),
                // Somebody else made it meanwhile.
                None => {
                    walk.again(&last);
                    continue;
                }
            }
        };
        if flags.contains(OpenFlags::EXCL) {
            return Err(Errno::EEXIST.into());
        }
        match child.inode().kind() {
            FileKind::Directory => return Err(Errno::EISDIR.into()),
            FileKind::Symlink if flags.contains(OpenFlags::NOFOLLOW) => return Err(Errno::ELOOP.into()),
            FileKind::Symlink => {
                walk.behind(&last);
                walk.follow_last(&child)?;
            }
            _ => return open_at(current, &child, flags),
        }
    }
}

/// O_CREAT of "/", "." or "..", which are directories, or of what a magic link ends at (`/dev/stdout`).
fn open_existing(current: &Current, mut walk: Walk<'_>, last: &Last, flags: OpenFlags) -> Result<Arc<OpenFile>, Fail> {
    if last.kind == LastKind::DotDot {
        walk.way.up()?;
    }
    let place = walk.way.at;
    if flags.contains(OpenFlags::EXCL) {
        return Err(Errno::EEXIST.into());
    }
    if place.dentry().is_directory() {
        return Err(Errno::EISDIR.into());
    }
    open_at(current, &place, flags)
}

fn create(
    current: &Current,
    walk: &Walk<'_>,
    last: &Last,
    flags: OpenFlags,
    mode: u32,
) -> Result<Option<Arc<OpenFile>>, Fail> {
    let dir = &walk.way.at;
    let mode = raw::S_IFREG | mode & 0o7777;
    let Some(dentry) = create_in(current, dir, walk.name(last), mode, 0)? else { return Ok(None) };
    // Who makes a file may open it, whatever its mode says.
    let place = walk.way.entered(dentry)?;
    fanotify::ask(current, &place, &[OPEN_PERM])?;
    let file = open_allowed(current, &place, flags)?;
    file.notify(raw::IN_OPEN);
    Ok(Some(file))
}

fn open_unnamed(current: &Current, dir: &Path, flags: OpenFlags, mode: u32) -> Result<Arc<OpenFile>, Fail> {
    permission(&current.creds, &**dir.inode(), May::WRITE | May::EXEC)?;
    dir.mount().check_writable()?;
    let mode = raw::S_IFREG | mode & 0o7777;
    let (args, start) = inherit(current, dir.inode(), mode, 0)?;
    let inode = dir.inode().make_unnamed(&args)?;
    start.give(&*inode)?;
    let label = alloc::format!("#{}", inode.attr()?.ino);
    let place = Path::new(dir.mount().clone(), Dentry::unnamed(Some(dir.dentry()), inode, label.as_bytes()));
    open_allowed(current, &place, flags & !OpenFlags::TMPFILE.difference(OpenFlags::DIRECTORY))
}

/// Opens what fanotify tells of: nobody is asked, and nobody is told.
pub(super) fn open_quietly(current: &Current, place: &Path, flags: OpenFlags) -> Result<Arc<OpenFile>, Fail> {
    let file = open_allowed(current, place, flags)?;
    file.make_quiet();
    Ok(file)
}

/// Opens a file that was made for the caller.
pub(super) fn open_unnamed_at(current: &Current, place: &Path, flags: OpenFlags) -> Result<Arc<OpenFile>, Fail> {
    open_allowed(current, place, flags)
}

/// Linux's may_open: whether the caller may open what is there with these flags.
fn may_open(current: &Current, place: &Path, flags: OpenFlags) -> Result<(), Errno> {
    let inode = place.inode();
    let truncates = flags.contains(OpenFlags::TRUNC);
    let writes = flags.writable() || truncates;
    match inode.kind() {
        FileKind::Symlink => return Err(Errno::ELOOP),
        FileKind::Directory if writes => return Err(Errno::EISDIR),
        FileKind::CharDevice | FileKind::BlockDevice if place.mount().flags().contains(MountFlags::NODEV) => {
            return Err(Errno::EACCES);
        }
        _ => {}
    }
    let mut wanted = May::empty();
    wanted.set(May::READ, flags.readable() || flags.is_for_control());
    wanted.set(May::WRITE, writes || flags.is_for_control());
    permission(&current.creds, &**inode, wanted)?;
    if flags.contains(OpenFlags::NOATIME) && !owner_or_capable(&current.creds, &inode.attr()?) {
        return Err(Errno::EPERM);
    }
    if writes && matches!(inode.kind(), FileKind::Regular | FileKind::Directory) {
        place.mount().check_writable()?;
    }
    Ok(())
}

/// Opens without asking for permission.
fn open_allowed(current: &Current, place: &Path, flags: OpenFlags) -> Result<Arc<OpenFile>, Fail> {
    open_checked(current, place, flags, false)
}

/// As `open_allowed`; for execve with `to_run`.
fn open_checked(current: &Current, place: &Path, flags: OpenFlags, to_run: bool) -> Result<Arc<OpenFile>, Fail> {
    let writing = if flags.writable() { Claim::to_write(place.inode())? } else { None };
    let lacking = landlock::may_open(current, place, flags, to_run)?;
    lease::wait_for(current, place.inode(), flags.writable(), flags.contains(OpenFlags::NONBLOCK))?;
    let ops = open_inode(current, place.inode(), flags)?;
    let file = OpenFile::claiming(ops, flags, place.inode().clone(), Some(place.clone()), writing);
    file.give_up(lacking);
    Ok(file)
}

/// What reads and writes `inode`: FIFOs and sockets are the VFS's own, whatever file system their name is in.
fn open_inode(current: &Current, inode: &Arc<dyn Inode>, flags: OpenFlags) -> Result<Arc<dyn FileOps>, Fail> {
    match inode.kind() {
        FileKind::Socket => Err(Errno::ENXIO.into()),
        FileKind::Fifo => match device::open_fifo(current, inode, flags) {
            Some(result) => result,
            None => inode.clone().open(current, flags),
        },
        _ => inode.clone().open(current, flags),
    }
}
