//! mount, umount2, pivot_root.

use super::table::{Level, Row, arg, finish, row};
use super::{Fd, UserStr};
use crate::errno::Errno;
use crate::fs::propagation::Kind;
use crate::fs::tmpfs::{Options, TmpInode};
use crate::fs::{self, FsInfo, LookupFlags, MountFlags, Path};
use crate::landlock::files::may_change_mounts;
use crate::task::{Cap, Current, registry};
use alloc::string::String;
use alloc::sync::Arc;
use linux_raw_sys::general as raw;
use syscalls::Sysno;

/// mount(2).
pub fn mount(
    current: &mut Current,
    source: UserStr,
    target: UserStr,
    kind: UserStr,
    flags: u64,
    data: UserStr,
) -> Result<(), Errno> {
    let kind = optional_text(current, kind)?;
    let source_path = if source.is_null() { None } else { Some(source.read_path(current)?) };
    let data = optional_text(current, data)?.unwrap_or_default();
    let target = target.read_path(current)?;
    let at = fs::lookup(current, Fd::CWD, &target, LookupFlags::FOLLOW)?;
    admin(current)?;
    may_change_mounts(current)?;
    // Old callers put a magic number into the upper half of the low word.
    const MAGIC: u32 = 0xc0ed_0000;
    const MAGIC_MASK: u32 = 0xffff_0000;
    let mut flags = flags as u32;
    if flags & MAGIC_MASK == MAGIC {
        flags &= !MAGIC_MASK;
    }
    let mut own = MountFlags::from_bits_truncate(flags);
    if flags & raw::MS_STRICTATIME != 0 {
        own -= MountFlags::NOATIME;
    } else if flags & raw::MS_NOATIME == 0 {
        own |= MountFlags::RELATIME;
    }
    let source = |flags| {
        let path = source_path.as_deref().filter(|path| !path.is_empty()).ok_or(Errno::EINVAL)?;
        fs::lookup(current, Fd::CWD, path, flags)
    };
    if flags & raw::MS_REMOUNT != 0 {
        return remount(&at, own, &data, flags & raw::MS_BIND == 0);
    }
    if flags & raw::MS_BIND != 0 {
        fs::bind_at(&at, &source(LookupFlags::FOLLOW)?, flags & raw::MS_REC != 0)?;
        return Ok(());
    }
    if flags & (raw::MS_SHARED | raw::MS_PRIVATE | raw::MS_SLAVE | raw::MS_UNBINDABLE) != 0 {
        return propagation(&at, flags);
    }
    if flags & raw::MS_MOVE != 0 {
        return fs::detached::move_mount(&current.fs.namespace(), &source(LookupFlags::FOLLOW)?, &at);
    }
    let kind = kind.ok_or(Errno::EINVAL)?;
    let root = fs::new_file_system(Some(current), &kind, &data)?;
    let options = if kind == "tmpfs" { Options::show(&data) } else { data };
    let source = source_path.map_or_else(|| kind.clone(), |path| String::from_utf8_lossy(&path).into_owned());
    let read_only = own.contains(MountFlags::RDONLY);
    fs::mount_at(&at, root, own, FsInfo { kind, source, options, read_only })?;
    Ok(())
}

/// A string argument that may be NULL; at most a page.
pub(super) fn optional_text(current: &Current, text: UserStr) -> Result<Option<String>, Errno> {
    if text.is_null() {
        return Ok(None);
    }
    let bytes = text.read(current, linker::layout::PAGE_SIZE as usize, Errno::EINVAL)?;
    String::from_utf8(bytes).map(Some).map_err(|_| Errno::EINVAL)
}

pub(super) fn admin(current: &Current) -> Result<(), Errno> {
    if current.creds.has_in(current.fs.namespace().owner(), Cap::SysAdmin) { Ok(()) } else { Err(Errno::EPERM) }
}

/// EINVAL unless `at` is a mount's root.
fn mount_root(at: &Path) -> Result<(), Errno> {
    if Arc::ptr_eq(at.dentry(), at.mount().root()) { Ok(()) } else { Err(Errno::EINVAL) }
}

fn remount(at: &Path, flags: MountFlags, data: &str, file_system: bool) -> Result<(), Errno> {
    mount_root(at)?;
    if file_system && at.mount().is_foreign() {
        // The file system itself is for whoever mounted it first to change.
        return Err(Errno::EPERM);
    }
    if file_system
        && !data.is_empty()
        && let Some(tmpfs) = at.inode().as_any().downcast_ref::<TmpInode>()
    {
        tmpfs.set_limits(&Options::parse(data)?)?;
    }
    at.mount().change_flags(flags)?;
    if file_system {
        at.mount().set_file_system_read_only(flags.contains(MountFlags::RDONLY));
    }
    Ok(())
}

/// What becomes of mounts on a mount.
fn propagation(at: &Path, flags: u32) -> Result<(), Errno> {
    let kinds = raw::MS_SHARED | raw::MS_PRIVATE | raw::MS_SLAVE | raw::MS_UNBINDABLE;
    if flags & !(kinds | raw::MS_REC | raw::MS_SILENT) != 0 {
        return Err(Errno::EINVAL);
    }
    let kind = Kind::from_flags(flags)?;
    mount_root(at)?;
    fs::change_propagation(at, kind, flags & raw::MS_REC != 0);
    Ok(())
}

// umount(2)'s flags, from the kernel's linux/fs.h; linux-raw-sys does not export them.
const MNT_FORCE: u32 = 1;
const MNT_DETACH: u32 = 2;
const MNT_EXPIRE: u32 = 4;
const UMOUNT_NOFOLLOW: u32 = 8;

/// umount2(2).
pub fn umount2(current: &mut Current, target: UserStr, flags: u32) -> Result<(), Errno> {
    if flags & !(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    let target = target.read_path(current)?;
    let how = if flags & UMOUNT_NOFOLLOW != 0 { LookupFlags::default() } else { LookupFlags::FOLLOW };
    let at = fs::lookup(current, Fd::CWD, &target, how)?;
    admin(current)?;
    may_change_mounts(current)?;
    if flags & MNT_EXPIRE != 0 {
        // Only marks it the first time, for a second call to find; who asks is told that it is in use.
        return Err(if flags & (MNT_FORCE | MNT_DETACH) != 0 { Errno::EINVAL } else { Errno::EBUSY });
    }
    mount_root(&at)?;
    if at == current.fs.root() {
        return Err(if flags & MNT_DETACH != 0 { Errno::EINVAL } else { Errno::EBUSY });
    }
    fs::unmount(&at, flags & MNT_DETACH != 0)
}

/// pivot_root(2).
pub fn pivot_root(current: &mut Current, new_root: UserStr, put_old: UserStr) -> Result<(), Errno> {
    admin(current)?;
    may_change_mounts(current)?;
    let (new_root, put_old) = (new_root.read_path(current)?, put_old.read_path(current)?);
    let flags = LookupFlags::FOLLOW | LookupFlags::DIRECTORY;
    let new_root = fs::lookup(current, Fd::CWD, &new_root, flags)?;
    let put_old = fs::lookup(current, Fd::CWD, &put_old, flags)?;
    let old_root = current.fs.root();
    mount_root(&old_root)?;
    if Arc::ptr_eq(new_root.mount(), old_root.mount()) {
        return Err(Errno::EBUSY);
    }
    current.fs.namespace().pivot(&new_root, &put_old)?;
    let tasks = registry().processes().into_iter().flat_map(|process| process.threads());
    for task in tasks {
        if let Some(fs) = task.published().fs {
            fs.root_moved(&old_root, &new_root);
        }
    }
    Ok(())
}

pub(super) const ROWS: &[Row] = &[
    row!(
        mount = mount(5),
        Partial,
        "no block devices; an expired or lazily unmounted peer stays where something is mounted on it"
    ),
    row!(umount2 = umount2(2), Partial, "MNT_EXPIRE finds every mount in use"),
    row!(pivot_root = pivot_root(2), Full, ""),
];
