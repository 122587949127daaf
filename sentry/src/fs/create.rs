//! Making, linking, removing and renaming names.
//!
//! Each takes the directory's lock, looks the name up under it, checks permissions in Linux's order, asks the inode, and
//! keeps the dentry cache true. Two directories are locked in a fixed order, under `RENAME` when they differ.

use super::acl::Start;
use super::dentry::Dentry;
use super::inode::{FileKind, Inode};
use super::inotify;
use super::path::Path;
use super::permission::{May, may_remove, owner_or_capable, permission};
use super::walk::{LastKind, LookupFlags, Parent, lookup_parent};
use crate::errno::Errno;
use crate::landlock::files as landlock;
use crate::landlock::files::Refer;
use crate::sync::SleepLock;
use crate::syscall::Fd;
use crate::task::{Cap, Credentials, Current};
use alloc::sync::Arc;
use linker::request::MakeArgs;
use linux_raw_sys::general as raw;

/// One rename between different directories at a time: the tree above them must not change meanwhile.
static RENAME: SleepLock<()> = SleepLock::new(());

/// What a new file in `dir` gets: the caller's ids, and the directory's group where it is set-group-id. `mode`: type and
/// permissions, from which the umask or the directory's default access control list takes. `Start` is for the file that is made.
pub(super) fn inherit(
    current: &Current,
    inode: &Arc<dyn Inode>,
    mut mode: u32,
    rdev: u64,
) -> Result<(MakeArgs, Start), Errno> {
    let creds = &current.creds;
    let dir = inode.attr()?;
    let mut gid = creds.fsgid;
    if dir.mode & raw::S_ISGID != 0 {
        gid = dir.gid;
        if mode & raw::S_IFMT == raw::S_IFDIR {
            mode |= raw::S_ISGID;
        } else if mode & (raw::S_ISGID | raw::S_IXGRP) == raw::S_ISGID | raw::S_IXGRP
            && !creds.in_group(gid)
            && !creds.has(Cap::Fsetid)
        {
            mode &= !raw::S_ISGID;
        }
    }
    let start = Start::new(&**inode, mode, current.fs.umask());
    Ok((MakeArgs { mode: start.mode, uid: creds.fsuid, gid, pad: 0, rdev }, start))
}

/// Makes `name` in `dir`; `None` where it is there by now. `mode` as for `inherit`.
pub(super) fn create_in(
    current: &Current,
    dir: &Path,
    name: &[u8],
    mode: u32,
    rdev: u64,
) -> Result<Option<Arc<Dentry>>, Errno> {
    let _change = dir.dentry().change_lock()?.lock();
    if dir.dentry().child_locked(name)?.is_some() {
        return Ok(None);
    }
    may_create(current, dir, FileKind::of_mode(mode))?;
    let (args, start) = inherit(current, dir.inode(), mode, rdev)?;
    let inode = dir.inode().make(name, &args)?;
    start.give(&*inode)?;
    let dentry = dir.dentry().add(name, inode);
    inotify::child_event(dir.dentry(), name, raw::IN_CREATE, 0, dentry.is_directory());
    Ok(Some(dentry))
}

/// Whether the caller may make a file of this kind in `dir`.
fn may_create(current: &Current, dir: &Path, kind: FileKind) -> Result<(), Errno> {
    dir.mount().check_writable()?;
    landlock::may_make(current, dir, kind)?;
    may_name(current, dir)
}

/// Whether the caller may make names in `dir`.
fn may_name(current: &Current, dir: &Path) -> Result<(), Errno> {
    dir.mount().check_writable()?;
    if dir.dentry().is_deleted() {
        return Err(Errno::ENOENT);
    }
    permission(&current.creds, &**dir.inode(), May::WRITE | May::EXEC)
}

/// The directory and name to make. EEXIST for what cannot be new, ENOENT for a trailing slash where no directory is made.
fn new_name(current: &Current, dirfd: Fd, path: &[u8], directory: bool) -> Result<Parent, Errno> {
    let parent = lookup_parent(current, dirfd, path)?;
    if parent.kind != LastKind::Name {
        return Err(Errno::EEXIST);
    }
    if parent.trailing_slash && !directory {
        let there = parent.dir.dentry().child(&parent.name)?.is_some();
        return Err(if there { Errno::EEXIST } else { Errno::ENOENT });
    }
    Ok(parent)
}

/// mkdir(2) and mknod(2): `mode` has the type; the umask is applied here.
pub fn make(current: &Current, dirfd: Fd, path: &[u8], mode: u32, rdev: u64) -> Result<Path, Errno> {
    let directory = FileKind::of_mode(mode) == FileKind::Directory;
    let parent = new_name(current, dirfd, path, directory)?;
    let kind = FileKind::of_mode(mode);
    // Overlay file systems use the character device 0/0 as a whiteout, which anyone may make.
    let device = kind == FileKind::BlockDevice || kind == FileKind::CharDevice && rdev != 0;
    if device && !current.creds.has(Cap::Mknod) {
        if parent.dir.dentry().child(&parent.name)?.is_some() {
            return Err(Errno::EEXIST);
        }
        may_create(current, &parent.dir, kind)?;
        return Err(Errno::EPERM);
    }
    let dentry = create_in(current, &parent.dir, &parent.name, mode, rdev)?.ok_or(Errno::EEXIST)?;
    Ok(Path::new(parent.dir.mount().clone(), dentry))
}

/// symlink(2).
pub fn symlink(current: &Current, target: &[u8], dirfd: Fd, path: &[u8]) -> Result<(), Errno> {
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    let parent = new_name(current, dirfd, path, false)?;
    let dir = &parent.dir;
    let _change = dir.dentry().change_lock()?.lock();
    if dir.dentry().child_locked(&parent.name)?.is_some() {
        return Err(Errno::EEXIST);
    }
    may_create(current, dir, FileKind::Symlink)?;
    let (args, _) = inherit(current, dir.inode(), raw::S_IFLNK | 0o777, 0)?;
    let inode = dir.inode().symlink(&parent.name, target, &args)?;
    dir.dentry().add(&parent.name, inode);
    inotify::child_event(dir.dentry(), &parent.name, raw::IN_CREATE, 0, false);
    Ok(())
}

/// link(2): another name for what `old` is.
pub fn link(current: &Current, old: &Path, dirfd: Fd, path: &[u8]) -> Result<(), Errno> {
    let parent = new_name(current, dirfd, path, false)?;
    let dir = &parent.dir;
    let _change = dir.dentry().change_lock()?.lock();
    if dir.dentry().child_locked(&parent.name)?.is_some() {
        return Err(Errno::EEXIST);
    }
    if !Arc::ptr_eq(old.mount(), dir.mount()) {
        return Err(Errno::EXDEV);
    }
    let inode = old.inode();
    may_link(&current.creds, &**inode)?;
    landlock::may_link(current, old, dir)?;
    may_name(current, dir)?;
    if inode.kind() == FileKind::Directory {
        return Err(Errno::EPERM);
    }
    if old.dentry().is_deleted() && !old.dentry().is_unnamed() && inode.attr()?.nlink == 0 {
        return Err(Errno::ENOENT);
    }
    dir.inode().link(&parent.name, inode)?;
    dir.dentry().add(&parent.name, inode.clone());
    inotify::links_changed(inode);
    inotify::child_event(dir.dentry(), &parent.name, raw::IN_CREATE, 0, false);
    Ok(())
}

/// The rule of `fs.protected_hardlinks`: EPERM for another's file that the caller could not read and write, or that gives
/// its rights to who runs it.
fn may_link(creds: &Credentials, inode: &dyn Inode) -> Result<(), Errno> {
    let attr = inode.attr()?;
    if owner_or_capable(creds, &attr) {
        return Ok(());
    }
    let runs_as_group = raw::S_ISGID | raw::S_IXGRP;
    let gives_rights = attr.mode & raw::S_ISUID != 0 || attr.mode & runs_as_group == runs_as_group;
    if inode.kind() != FileKind::Regular || gives_rights || permission(creds, inode, May::READ | May::WRITE).is_err() {
        return Err(Errno::EPERM);
    }
    Ok(())
}

/// unlink(2), and rmdir(2) with `directory`.
pub fn unlink(current: &Current, dirfd: Fd, path: &[u8], directory: bool) -> Result<(), Errno> {
    let parent = lookup_parent(current, dirfd, path)?;
    match parent.kind {
        LastKind::Name => {}
        LastKind::Dot if directory => return Err(Errno::EINVAL),
        LastKind::DotDot if directory => return Err(Errno::ENOTEMPTY),
        LastKind::Nothing if directory => return Err(Errno::EBUSY),
        _ => return Err(Errno::EISDIR),
    }
    let (dir, name) = (&parent.dir, &parent.name[..]);
    dir.mount().check_writable()?;
    let _change = dir.dentry().change_lock()?.lock();
    let child = dir.dentry().child_locked(name)?.ok_or(Errno::ENOENT)?;
    if parent.trailing_slash && !directory {
        return Err(if child.is_directory() { Errno::EISDIR } else { Errno::ENOTDIR });
    }
    landlock::may_remove(current, dir, directory)?;
    may_remove(&current.creds, &**dir.inode(), &**child.inode())?;
    match (directory, child.is_directory()) {
        (true, false) => return Err(Errno::ENOTDIR),
        (false, true) => return Err(Errno::EISDIR),
        _ => {}
    }
    // What is mounted on it in other namespaces does not count.
    if child.is_mount_point() && dir.mount().mounted_at(&child).is_some() {
        return Err(Errno::EBUSY);
    }
    // Nobody may make names in a directory that is about to go.
    let _below = if directory { Some(child.change_lock()?.lock()) } else { None };
    dir.inode().unlink(name, directory)?;
    dir.dentry().removed(name, &child);
    inotify::removed(dir.dentry(), name, &child);
    Ok(())
}

/// renameat2(2).
pub fn rename(
    current: &Current,
    old_dirfd: Fd,
    old_path: &[u8],
    new_dirfd: Fd,
    new_path: &[u8],
    flags: u32,
) -> Result<(), Errno> {
    let old = lookup_parent(current, old_dirfd, old_path)?;
    let new = lookup_parent(current, new_dirfd, new_path)?;
    if !Arc::ptr_eq(old.dir.mount(), new.dir.mount()) {
        return Err(Errno::EXDEV);
    }
    if old.kind != LastKind::Name {
        return Err(Errno::EBUSY);
    }
    if new.kind != LastKind::Name {
        return Err(if flags & raw::RENAME_NOREPLACE != 0 { Errno::EEXIST } else { Errno::EBUSY });
    }
    old.dir.mount().check_writable()?;
    let (old_dir, new_dir) = (old.dir.dentry(), new.dir.dentry());
    if Arc::ptr_eq(old_dir, new_dir) {
        let _change = old_dir.change_lock()?.lock();
        return rename_locked(current, &old, &new, flags);
    }
    let _rename = RENAME.lock();
    // Parents before children; unrelated ones in either order, as only renames lock two and there is one at a time.
    let (first, second) = if new_dir.is_above(old_dir) { (new_dir, old_dir) } else { (old_dir, new_dir) };
    let _first = first.change_lock()?.lock();
    let _second = second.change_lock()?.lock();
    rename_locked(current, &old, &new, flags)
}

fn rename_locked(current: &Current, old: &Parent, new: &Parent, flags: u32) -> Result<(), Errno> {
    let (old_dir, new_dir) = (old.dir.dentry(), new.dir.dentry());
    let exchange = flags & raw::RENAME_EXCHANGE != 0;
    let child = old_dir.child_locked(&old.name)?.ok_or(Errno::ENOENT)?;
    let over = new_dir.child_locked(&new.name)?;
    match &over {
        Some(_) if flags & raw::RENAME_NOREPLACE != 0 => return Err(Errno::EEXIST),
        None if exchange => return Err(Errno::ENOENT),
        Some(over) if exchange && new.trailing_slash && !over.is_directory() => return Err(Errno::ENOTDIR),
        _ => {}
    }
    if !child.is_directory() && (old.trailing_slash || !exchange && new.trailing_slash) {
        return Err(Errno::ENOTDIR);
    }
    // A directory cannot go below itself, nor replace what it is in.
    if child.is_above(new_dir) {
        return Err(Errno::EINVAL);
    }
    if let Some(over) = &over
        && over.is_above(old_dir)
    {
        return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
    }
    Refer { old_dir: &old.dir, old: &child, new_dir: &new.dir, new: over.as_ref(), removes: true, exchange }
        .check(current)?;
    if over.as_ref().is_some_and(|over| Arc::ptr_eq(over.inode(), child.inode())) {
        return Ok(());
    }
    may_remove(&current.creds, &**old.dir.inode(), &**child.inode())?;
    match &over {
        Some(over) => {
            may_remove(&current.creds, &**new.dir.inode(), &**over.inode())?;
            match (child.is_directory(), over.is_directory()) {
                (true, false) if !exchange => return Err(Errno::ENOTDIR),
                (false, true) if !exchange => return Err(Errno::EISDIR),
                _ => {}
            }
        }
        None => may_name(current, &new.dir)?,
    }
    // A directory that moves changes its "..", which needs write permission on it.
    let moves = !Arc::ptr_eq(old_dir, new_dir);
    for dentry in [Some(&child), over.as_ref().filter(|_| exchange)].into_iter().flatten() {
        if moves && dentry.is_directory() {
            permission(&current.creds, &**dentry.inode(), May::WRITE)?;
        }
    }
    if child.is_mount_point() || over.as_ref().is_some_and(|over| over.is_mount_point()) {
        return Err(Errno::EBUSY);
    }
    // A directory that is replaced must not get names meanwhile.
    let replaced = over.as_ref().filter(|over| !exchange && over.is_directory());
    let _below = match replaced {
        Some(over) => Some(over.change_lock()?.lock()),
        None => None,
    };
    old.dir.inode().rename(&old.name, new.dir.inode(), &new.name, flags)?;
    match over.as_ref().filter(|_| exchange) {
        Some(over) => Dentry::exchanged(old_dir, &child, new_dir, over),
        None => old_dir.moved(&old.name, &child, new_dir, &new.name),
    }
    inotify::moved((old_dir, &old.name), (new_dir, &new.name), &child);
    Ok(())
}

/// Makes the mount point `path` and what is missing above it: directories, and at its end a directory or an empty file.
/// For the start of the container; links in `path` are followed inside the caller's root.
pub fn make_mount_point(current: &Current, path: &[u8], directory: bool) -> Result<Path, Errno> {
    let flags = LookupFlags::FOLLOW;
    for (index, byte) in path.iter().enumerate() {
        if *byte == b'/' && index != 0 {
            ensure(current, &path[..index], true)?;
        }
    }
    ensure(current, path, directory)?;
    super::walk::lookup(current, Fd::CWD, path, flags)
}

fn ensure(current: &Current, path: &[u8], directory: bool) -> Result<(), Errno> {
    match super::walk::lookup(current, Fd::CWD, path, LookupFlags::FOLLOW) {
        Err(Errno::ENOENT) => {}
        other => return other.map(|_| ()),
    }
    let mode = if directory { raw::S_IFDIR | 0o755 } else { raw::S_IFREG | 0o644 };
    match make(current, Fd::CWD, path, mode, 0) {
        Ok(_) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}
