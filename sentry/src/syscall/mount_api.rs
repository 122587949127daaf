//! The calls that mount by descriptors: open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr.

use super::mount::admin;
use super::table::{Level, Row, arg, finish, row};
use super::{Fail, Fd, UserPtr, UserStr};
use crate::errno::Errno;
use crate::fs::configuration::Configuration;
use crate::fs::nsfs::NsFile;
use crate::fs::propagation::Kind;
use crate::fs::{self, LookupFlags, MountFlags, OpenFlags, Path, detached};
use crate::landlock::files::may_change_mounts;
use crate::task::Current;
use crate::task::spaces::Namespace;
use alloc::string::String;
use alloc::vec::Vec;
use linux_raw_sys::general as raw;
use linux_raw_sys::general::fsconfig_command as Command;
use syscalls::Sysno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The place a path argument leads to; EFAULT for NULL, as everywhere.
fn place(current: &Current, dirfd: Fd, path: UserStr, follow: bool, empty: bool) -> Result<Path, Errno> {
    let path = path.read_path(current)?;
    let mut flags = LookupFlags::empty();
    flags.set(LookupFlags::FOLLOW, follow);
    flags.set(LookupFlags::EMPTY, empty);
    fs::lookup(current, dirfd, &path, flags)
}

/// open_tree(2).
pub fn open_tree(current: &mut Current, dirfd: Fd, path: UserStr, flags: u32) -> Result<Fd, Fail> {
    let at = tree(current, dirfd, path, flags)?;
    give(current, &at, flags & raw::OPEN_TREE_CLOEXEC != 0)
}

/// open_tree_attr(2): the same, changed before it is given away.
pub fn open_tree_attr(
    current: &mut Current,
    dirfd: Fd,
    path: UserStr,
    flags: u32,
    attr: UserPtr<MountAttr>,
    size: usize,
) -> Result<Fd, Fail> {
    if attr.is_null() && size != 0 {
        return Err(Errno::EINVAL.into());
    }
    let at = tree(current, dirfd, path, flags)?;
    if !attr.is_null()
        && let Some(change) = asked(current, attr, size, flags & raw::AT_RECURSIVE != 0)?
    {
        detached::change(&current.fs.namespace(), &at, &change)?;
    }
    give(current, &at, flags & raw::OPEN_TREE_CLOEXEC != 0)
}

/// The place that open_tree's arguments mean, copied if they say so.
fn tree(current: &Current, dirfd: Fd, path: UserStr, flags: u32) -> Result<Path, Errno> {
    let known = raw::AT_EMPTY_PATH
        | raw::AT_NO_AUTOMOUNT
        | raw::AT_RECURSIVE
        | raw::AT_SYMLINK_NOFOLLOW
        | raw::OPEN_TREE_CLONE
        | raw::OPEN_TREE_CLOEXEC;
    let (copies, recursive) = (flags & raw::OPEN_TREE_CLONE != 0, flags & raw::AT_RECURSIVE != 0);
    if flags & !known != 0 || recursive && !copies {
        return Err(Errno::EINVAL);
    }
    if copies {
        admin(current)?;
    }
    let (follow, empty) = (flags & raw::AT_SYMLINK_NOFOLLOW == 0, flags & raw::AT_EMPTY_PATH != 0);
    let at = place(current, dirfd, path, follow, empty)?;
    if copies { detached::copy(&current.fs.namespace(), &at, recursive) } else { Ok(at) }
}

/// A descriptor that stands for a place.
fn give(current: &mut Current, at: &Path, close_on_exec: bool) -> Result<Fd, Fail> {
    let file = fs::open_at(current, at, OpenFlags::PATH)?;
    Ok(current.add_file(file, close_on_exec)?)
}

/// move_mount(2).
pub fn move_mount(
    current: &mut Current,
    from_dir: Fd,
    from: UserStr,
    to_dir: Fd,
    to: UserStr,
    flags: u32,
) -> Result<(), Errno> {
    admin(current)?;
    may_change_mounts(current)?;
    if flags & !(raw::MOVE_MOUNT__MASK & !raw::MOVE_MOUNT_BENEATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let has = |flag| flags & flag != 0;
    let from = place(current, from_dir, from, has(raw::MOVE_MOUNT_F_SYMLINKS), has(raw::MOVE_MOUNT_F_EMPTY_PATH))?;
    let to = place(current, to_dir, to, has(raw::MOVE_MOUNT_T_SYMLINKS), has(raw::MOVE_MOUNT_T_EMPTY_PATH))?;
    let namespace = current.fs.namespace();
    if has(raw::MOVE_MOUNT_SET_GROUP) {
        detached::set_group(&namespace, &from, &to)
    } else {
        detached::move_mount(&namespace, &from, &to)
    }
}

/// fsopen(2).
pub fn fsopen(current: &mut Current, kind: UserStr, flags: u32) -> Result<Fd, Fail> {
    admin(current)?;
    if flags & !raw::FSOPEN_CLOEXEC != 0 {
        return Err(Errno::EINVAL.into());
    }
    let kind = text(current, kind, linker::layout::PAGE_SIZE as usize)?;
    let file = Configuration::open(kind)?;
    Ok(current.add_file(file, flags & raw::FSOPEN_CLOEXEC != 0)?)
}

fn text(current: &Current, text: UserStr, max: usize) -> Result<String, Errno> {
    // What is not text is no name of anything here.
    String::from_utf8(text.read(current, max, Errno::EINVAL)?).map_err(|_| Errno::EINVAL)
}

/// fspick(2).
pub fn fspick(current: &mut Current, dirfd: Fd, path: UserStr, flags: u32) -> Result<Fd, Fail> {
    admin(current)?;
    let known = raw::FSPICK_CLOEXEC | raw::FSPICK_SYMLINK_NOFOLLOW | raw::FSPICK_NO_AUTOMOUNT | raw::FSPICK_EMPTY_PATH;
    if flags & !known != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (follow, empty) = (flags & raw::FSPICK_SYMLINK_NOFOLLOW == 0, flags & raw::FSPICK_EMPTY_PATH != 0);
    let at = place(current, dirfd, path, follow, empty)?;
    if at.mount().is_foreign() {
        return Err(Errno::EPERM.into());
    }
    let file = Configuration::pick(&at)?;
    Ok(current.add_file(file, flags & raw::FSPICK_CLOEXEC != 0)?)
}

/// fsconfig(2).
pub fn fsconfig(
    current: &mut Current,
    fd: Fd,
    command: u32,
    key: UserStr,
    value: UserStr,
    extra: i32,
) -> Result<(), Errno> {
    /// Bytes of a key and of a value at most, with the NUL.
    const TEXT: usize = 256;
    /// Bytes of a binary value at most.
    const BINARY: i32 = 1 << 20;
    if fd.raw() < 0 {
        return Err(Errno::EINVAL);
    }
    let command = match command {
        command if command == Command::FSCONFIG_SET_FLAG as u32 => Command::FSCONFIG_SET_FLAG,
        command if command == Command::FSCONFIG_SET_STRING as u32 => Command::FSCONFIG_SET_STRING,
        command if command == Command::FSCONFIG_SET_BINARY as u32 => Command::FSCONFIG_SET_BINARY,
        command if command == Command::FSCONFIG_SET_PATH as u32 => Command::FSCONFIG_SET_PATH,
        command if command == Command::FSCONFIG_SET_PATH_EMPTY as u32 => Command::FSCONFIG_SET_PATH,
        command if command == Command::FSCONFIG_SET_FD as u32 => Command::FSCONFIG_SET_FD,
        command if command == Command::FSCONFIG_CMD_CREATE as u32 => Command::FSCONFIG_CMD_CREATE,
        command if command == Command::FSCONFIG_CMD_RECONFIGURE as u32 => Command::FSCONFIG_CMD_RECONFIGURE,
        _ => return Err(Errno::EOPNOTSUPP),
    };
    let (has_key, has_value) = (!key.is_null(), !value.is_null());
    let sound = match command {
        Command::FSCONFIG_SET_FLAG => has_key && !has_value && extra == 0,
        Command::FSCONFIG_SET_STRING => has_key && has_value && extra == 0,
        Command::FSCONFIG_SET_BINARY => has_key && has_value && extra > 0 && extra <= BINARY,
        Command::FSCONFIG_SET_PATH => has_key && has_value && (extra >= 0 || extra == Fd::CWD.raw()),
        Command::FSCONFIG_SET_FD => has_key && !has_value && extra >= 0,
        _ => !has_key && !has_value && extra == 0,
    };
    if !sound {
        return Err(Errno::EINVAL);
    }
    let file = current.file(fd)?;
    let configuration = file.downcast::<Configuration>().ok_or(Errno::EINVAL)?;
    match command {
        Command::FSCONFIG_SET_FLAG => configuration.set(&text(current, key, TEXT)?, None),
        Command::FSCONFIG_SET_STRING => {
            let key = text(current, key, TEXT)?;
            configuration.set(&key, Some(&text(current, value, TEXT)?))
        }
        Command::FSCONFIG_CMD_CREATE => {
            admin(current)?;
            configuration.create(current)
        }
        Command::FSCONFIG_CMD_RECONFIGURE => {
            admin(current)?;
            may_change_mounts(current)?;
            configuration.change()
        }
        // No file system here has a parameter of these kinds.
        _ => Err(Errno::EINVAL),
    }
}

/// The flags of a mount that MOUNT_ATTR_* mean, without those for the time of access.
fn attributes(bits: u64) -> MountFlags {
    let rows = [
        (raw::MOUNT_ATTR_RDONLY, MountFlags::RDONLY),
        (raw::MOUNT_ATTR_NOSUID, MountFlags::NOSUID),
        (raw::MOUNT_ATTR_NODEV, MountFlags::NODEV),
        (raw::MOUNT_ATTR_NOEXEC, MountFlags::NOEXEC),
        (raw::MOUNT_ATTR_NODIRATIME, MountFlags::NODIRATIME),
        (raw::MOUNT_ATTR_NOSYMFOLLOW, MountFlags::NOSYMFOLLOW),
    ];
    rows.into_iter().filter(|(bit, _)| bits & u64::from(*bit) != 0).map(|(_, flag)| flag).collect()
}

/// Which time of access is kept: a number, not bits.
fn access_time(bits: u64) -> Result<MountFlags, Errno> {
    match bits as u32 & raw::MOUNT_ATTR__ATIME {
        raw::MOUNT_ATTR_RELATIME => Ok(MountFlags::RELATIME),
        raw::MOUNT_ATTR_NOATIME => Ok(MountFlags::NOATIME),
        raw::MOUNT_ATTR_STRICTATIME => Ok(MountFlags::STRICTATIME),
        _ => Err(Errno::EINVAL),
    }
}

const ATTRIBUTES: u32 = raw::MOUNT_ATTR_RDONLY
    | raw::MOUNT_ATTR_NOSUID
    | raw::MOUNT_ATTR_NODEV
    | raw::MOUNT_ATTR_NOEXEC
    | raw::MOUNT_ATTR__ATIME
    | raw::MOUNT_ATTR_NODIRATIME
    | raw::MOUNT_ATTR_NOSYMFOLLOW;

/// fsmount(2).
pub fn fsmount(current: &mut Current, fd: Fd, flags: u32, attr: u32) -> Result<Fd, Fail> {
    admin(current)?;
    if flags & !raw::FSMOUNT_CLOEXEC != 0 || attr & !ATTRIBUTES != 0 {
        return Err(Errno::EINVAL.into());
    }
    let mount_flags = attributes(attr.into()) | access_time(attr.into())?;
    let file = current.file(fd)?;
    let configuration = file.downcast::<Configuration>().ok_or(Errno::EINVAL)?;
    let at = configuration.mount(mount_flags)?;
    give(current, &at, flags & raw::FSMOUNT_CLOEXEC != 0)
}

/// `struct mount_attr`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    user_space: u64,
}

const _: () = assert!(size_of::<MountAttr>() == size_of::<raw::mount_attr>());

/// mount_setattr(2).
pub fn mount_setattr(
    current: &mut Current,
    dirfd: Fd,
    path: UserStr,
    flags: u32,
    attr: UserPtr<MountAttr>,
    size: usize,
) -> Result<(), Errno> {
    let known = raw::AT_EMPTY_PATH | raw::AT_RECURSIVE | raw::AT_SYMLINK_NOFOLLOW | raw::AT_NO_AUTOMOUNT;
    if flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let Some(change) = asked(current, attr, size, flags & raw::AT_RECURSIVE != 0)? else { return Ok(()) };
    let (follow, empty) = (flags & raw::AT_SYMLINK_NOFOLLOW == 0, flags & raw::AT_EMPTY_PATH != 0);
    let at = place(current, dirfd, path, follow, empty)?;
    detached::change(&current.fs.namespace(), &at, &change)
}

/// Reads a `struct mount_attr` of any version; `None` where it changes nothing.
fn asked(
    current: &Current,
    attr: UserPtr<MountAttr>,
    size: usize,
    recursive: bool,
) -> Result<Option<detached::Change>, Errno> {
    if size > linker::layout::PAGE_SIZE as usize {
        return Err(Errno::E2BIG);
    }
    if size < size_of::<MountAttr>() {
        return Err(Errno::EINVAL);
    }
    admin(current)?;
    let rest: Vec<u8> = attr.nth(1).cast().read_vec(current, size - size_of::<MountAttr>())?;
    if rest.iter().any(|byte| *byte != 0) {
        return Err(Errno::E2BIG);
    }
    let attr = attr.read(current)?;
    if attr.set == 0 && attr.clear == 0 && attr.propagation == 0 {
        return Ok(None);
    }
    wanted(current, &attr, recursive).map(Some)
}

fn wanted(current: &Current, attr: &MountAttr, recursive: bool) -> Result<detached::Change, Errno> {
    let propagation = match u32::try_from(attr.propagation).map_err(|_| Errno::EINVAL)? {
        0 => None,
        kind if kind & !(raw::MS_SHARED | raw::MS_PRIVATE | raw::MS_SLAVE | raw::MS_UNBINDABLE) == 0 => {
            Some(Kind::from_flags(kind)?)
        }
        _ => return Err(Errno::EINVAL),
    };
    if (attr.set | attr.clear) & !u64::from(ATTRIBUTES | raw::MOUNT_ATTR_IDMAP) != 0 {
        return Err(Errno::EINVAL);
    }
    let (mut set, mut clear) = (attributes(attr.set), attributes(attr.clear));
    let times = u64::from(raw::MOUNT_ATTR__ATIME);
    match attr.clear & times {
        0 if attr.set & times != 0 => return Err(Errno::EINVAL),
        0 => {}
        bits if bits == times => {
            clear |= MountFlags::RELATIME | MountFlags::NOATIME | MountFlags::STRICTATIME;
            set |= access_time(attr.set)?;
        }
        _ => return Err(Errno::EINVAL),
    }
    if (attr.set | attr.clear) & u64::from(raw::MOUNT_ATTR_IDMAP) != 0 {
        return Err(cannot_map_ids(current, attr));
    }
    Ok(detached::Change { set, clear, propagation, recursive })
}

/// Why ids are not mapped: what is wrong with the request, and last that no file system of the sandbox can.
fn cannot_map_ids(current: &Current, attr: &MountAttr) -> Errno {
    let (Ok(fd), 0) = (i32::try_from(attr.user_space), attr.clear & u64::from(raw::MOUNT_ATTR_IDMAP)) else {
        return Errno::EINVAL;
    };
    match current.file(Fd::new(fd)) {
        Err(errno) => errno,
        Ok(file) => match NsFile::of(&file) {
            Some(Namespace::User(None)) => Errno::EPERM,
            _ => Errno::EINVAL,
        },
    }
}

pub(super) const ROWS: &[Row] = &[
    row!(open_tree = open_tree(3), Full, ""),
    row!(open_tree_attr = open_tree_attr(5), Partial, "no mapped ids: EINVAL"),
    row!(move_mount = move_mount(5), Partial, "no MOVE_MOUNT_BENEATH: EINVAL"),
    row!(fsopen = fsopen(2), Full, ""),
    row!(fsconfig = fsconfig(5), Partial, "no FSCONFIG_CMD_CREATE_EXCL: EOPNOTSUPP"),
    row!(fsmount = fsmount(3), Full, ""),
    row!(fspick = fspick(3), Full, ""),
    row!(
        mount_setattr = mount_setattr(5),
        Partial,
        "no mapped ids: EINVAL; what is open for writing does not keep a mount writable"
    ),
];
