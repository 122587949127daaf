//! Extended attributes.

use super::table::{Level, Row, arg, finish, row};
use super::{Fd, UserPtr, UserStr};
use crate::errno::Errno;
use crate::fs::acl::{self, Which};
use crate::fs::attr::Target;
use crate::fs::{FileKind, LookupFlags, May, owner_or_capable, permission};
use crate::task::{Cap, Current};
use alloc::vec::Vec;
use linker::addr::UserVa;
use linux_raw_sys::general as raw;
use syscalls::Sysno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// setxattr(2).
pub fn setxattr(
    current: &mut Current,
    path: UserStr,
    name: UserStr,
    value: UserPtr<u8>,
    size: usize,
    flags: u32,
) -> Result<(), Errno> {
    let (name, value) = read_attribute(current, name, value, size, flags)?;
    set(current, &find(current, path, true)?, &name, &value, flags)
}

/// lsetxattr(2).
pub fn lsetxattr(
    current: &mut Current,
    path: UserStr,
    name: UserStr,
    value: UserPtr<u8>,
    size: usize,
    flags: u32,
) -> Result<(), Errno> {
    let (name, value) = read_attribute(current, name, value, size, flags)?;
    set(current, &find(current, path, false)?, &name, &value, flags)
}

/// fsetxattr(2).
pub fn fsetxattr(
    current: &mut Current,
    fd: Fd,
    name: UserStr,
    value: UserPtr<u8>,
    size: usize,
    flags: u32,
) -> Result<(), Errno> {
    let target = of_fd(current, fd)?;
    let (name, value) = read_attribute(current, name, value, size, flags)?;
    set(current, &target, &name, &value, flags)
}

fn read_attribute(
    current: &Current,
    name: UserStr,
    value: UserPtr<u8>,
    size: usize,
    flags: u32,
) -> Result<(Vec<u8>, Vec<u8>), Errno> {
    if flags & !(raw::XATTR_CREATE | raw::XATTR_REPLACE) != 0 {
        return Err(Errno::EINVAL);
    }
    let name = read_name(current, name)?;
    if size > raw::XATTR_SIZE_MAX as usize {
        return Err(Errno::E2BIG);
    }
    Ok((name, value.read_vec(current, size)?))
}

fn read_name(current: &Current, name: UserStr) -> Result<Vec<u8>, Errno> {
    let name = name.read(current, raw::XATTR_NAME_MAX as usize + 1, Errno::ERANGE)?;
    if name.is_empty() { Err(Errno::ERANGE) } else { Ok(name) }
}

fn find(current: &Current, path: UserStr, follow: bool) -> Result<Target, Errno> {
    let path = path.read_path(current)?;
    let flags = if follow { LookupFlags::FOLLOW } else { LookupFlags::default() };
    Target::find(current, Fd::CWD, &path, flags)
}

fn of_fd(current: &Current, fd: Fd) -> Result<Target, Errno> {
    super::file::open_file(current, fd).map(|file| Target::of_file(&file))
}

/// Whether the caller may read or write the attribute `name`; by the name's namespace (xattr(7)).
fn check(current: &Current, target: &Target, name: &[u8], write: bool) -> Result<(), Errno> {
    let creds = &current.creds;
    let denied = if write { Errno::EPERM } else { Errno::ENODATA };
    // A name space alone is no name.
    if matches!(name, b"trusted." | b"user." | b"security.") {
        return Err(Errno::EINVAL);
    }
    if write && let Some(place) = &target.place {
        place.mount().check_writable()?;
    }
    if name.starts_with(b"security.") {
        let needed = if name == b"security.capability" { Cap::Setfcap } else { Cap::SysAdmin };
        return if write && !creds.has(needed) { Err(Errno::EPERM) } else { Ok(()) };
    }
    if name.starts_with(b"trusted.") {
        return if creds.has(Cap::SysAdmin) { Ok(()) } else { Err(denied) };
    }
    if !name.starts_with(b"user.") {
        return Err(Errno::EOPNOTSUPP);
    }
    match target.inode.kind() {
        FileKind::Regular => {}
        FileKind::Directory => {
            let attr = target.inode.attr()?;
            if write && attr.mode & raw::S_ISVTX != 0 && !owner_or_capable(creds, &attr) {
                return Err(Errno::EPERM);
            }
        }
        _ => return Err(denied),
    }
    permission(creds, &*target.inode, if write { May::WRITE } else { May::READ })
}

fn set(current: &Current, target: &Target, name: &[u8], value: &[u8], flags: u32) -> Result<(), Errno> {
    if let Some(which) = Which::of_name(name) {
        return set_acl(current, target, which, value);
    }
    check(current, target, name, true)?;
    target.inode.set_xattr(name, value, flags)
}

/// An access control list; with nothing in `value` it goes.
fn set_acl(current: &Current, target: &Target, which: Which, value: &[u8]) -> Result<(), Errno> {
    if let Some(place) = &target.place {
        place.mount().check_writable()?;
    }
    acl::set(&current.creds, &*target.inode, which, value)
}

/// getxattr(2).
pub fn getxattr(
    current: &mut Current,
    path: UserStr,
    name: UserStr,
    to: UserPtr<u8>,
    size: usize,
) -> Result<usize, Errno> {
    let target = find(current, path, true)?;
    get(current, &target, name, to, size)
}

/// lgetxattr(2).
pub fn lgetxattr(
    current: &mut Current,
    path: UserStr,
    name: UserStr,
    to: UserPtr<u8>,
    size: usize,
) -> Result<usize, Errno> {
    let target = find(current, path, false)?;
    get(current, &target, name, to, size)
}

/// fgetxattr(2).
pub fn fgetxattr(current: &mut Current, fd: Fd, name: UserStr, to: UserPtr<u8>, size: usize) -> Result<usize, Errno> {
    let target = of_fd(current, fd)?;
    get(current, &target, name, to, size)
}

fn get(current: &Current, target: &Target, name: UserStr, to: UserPtr<u8>, size: usize) -> Result<usize, Errno> {
    let name = read_name(current, name)?;
    if let Some(which) = Which::of_name(&name) {
        return give(current, &acl::get(&current.creds, &*target.inode, which)?, to, size);
    }
    check(current, target, &name, false)?;
    // `ls -l` asks for each file; without a security module nobody labels any.
    if name == b"security.selinux" {
        return Err(Errno::ENODATA);
    }
    give(current, &target.inode.get_xattr(&name)?, to, size)
}

/// Copies a value out; with no room asked for, only says how long it is.
fn give(current: &Current, value: &[u8], to: UserPtr<u8>, size: usize) -> Result<usize, Errno> {
    if size == 0 {
        return Ok(value.len());
    }
    if value.len() > size {
        return Err(Errno::ERANGE);
    }
    to.write_slice(current, value)?;
    Ok(value.len())
}

/// listxattr(2).
pub fn listxattr(current: &mut Current, path: UserStr, to: UserPtr<u8>, size: usize) -> Result<usize, Errno> {
    let target = find(current, path, true)?;
    list(current, &target, to, size)
}

/// llistxattr(2).
pub fn llistxattr(current: &mut Current, path: UserStr, to: UserPtr<u8>, size: usize) -> Result<usize, Errno> {
    let target = find(current, path, false)?;
    list(current, &target, to, size)
}

/// flistxattr(2).
pub fn flistxattr(current: &mut Current, fd: Fd, to: UserPtr<u8>, size: usize) -> Result<usize, Errno> {
    let target = of_fd(current, fd)?;
    list(current, &target, to, size)
}

fn list(current: &Current, target: &Target, to: UserPtr<u8>, size: usize) -> Result<usize, Errno> {
    let has = |which: &Which| matches!(target.inode.acl(*which), Ok(Some(_)));
    let lists =
        [Which::Access, Which::Default].into_iter().filter(has).flat_map(|which| [which.name(), b"\0"].concat());
    let all = target.inode.list_xattr()?;
    let privileged = current.creds.has(Cap::SysAdmin);
    let shown = all.split_inclusive(|byte| *byte == 0).filter(|name| privileged || !name.starts_with(b"trusted."));
    // Lists that a lower file system has are not served.
    let shown = shown.filter(|name| !name.starts_with(b"system.posix_acl_"));
    let names: Vec<u8> = lists.chain(shown.flatten().copied()).collect();
    give(current, &names, to, size)
}

/// removexattr(2).
pub fn removexattr(current: &mut Current, path: UserStr, name: UserStr) -> Result<(), Errno> {
    let target = find(current, path, true)?;
    remove(current, &target, name)
}

/// lremovexattr(2).
pub fn lremovexattr(current: &mut Current, path: UserStr, name: UserStr) -> Result<(), Errno> {
    let target = find(current, path, false)?;
    remove(current, &target, name)
}

/// fremovexattr(2).
pub fn fremovexattr(current: &mut Current, fd: Fd, name: UserStr) -> Result<(), Errno> {
    let target = of_fd(current, fd)?;
    remove(current, &target, name)
}

fn remove(current: &Current, target: &Target, name: UserStr) -> Result<(), Errno> {
    let name = read_name(current, name)?;
    if let Some(which) = Which::of_name(&name) {
        return set_acl(current, target, which, &[]);
    }
    check(current, target, &name, true)?;
    target.inode.remove_xattr(&name)
}

/// struct xattr_args (linux/xattr.h).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct XattrArgs {
    value: u64,
    size: u32,
    flags: u32,
}

const _: () = assert!(size_of::<XattrArgs>() == 16);

/// The file of the *at calls: AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH are all the flags there are.
fn find_at(current: &Current, dir: Fd, path: UserStr, flags: u32) -> Result<Target, Errno> {
    if flags & !(raw::AT_SYMLINK_NOFOLLOW | raw::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let path = if path.is_null() && flags & raw::AT_EMPTY_PATH != 0 { Vec::new() } else { path.read_path(current)? };
    if path.is_empty() && flags & raw::AT_EMPTY_PATH != 0 && dir != Fd::CWD {
        return of_fd(current, dir);
    }
    let mut lookup = LookupFlags::default();
    lookup.set(LookupFlags::FOLLOW, flags & raw::AT_SYMLINK_NOFOLLOW == 0);
    lookup.set(LookupFlags::EMPTY, flags & raw::AT_EMPTY_PATH != 0);
    Target::find(current, dir, &path, lookup)
}

fn read_args(current: &Current, at: UserPtr<XattrArgs>, size: usize) -> Result<XattrArgs, Errno> {
    if size < size_of::<XattrArgs>() {
        return Err(Errno::EINVAL);
    }
    super::task::read_extensible(current, at.addr(), size)
}

/// setxattrat(2).
pub fn setxattrat(
    current: &mut Current,
    dir: Fd,
    path: UserStr,
    flags: u32,
    name: UserStr,
    args: UserPtr<XattrArgs>,
    size: usize,
) -> Result<(), Errno> {
    let args = read_args(current, args, size)?;
    let from = UserPtr::new(UserVa::new(args.value));
    let (name, value) = read_attribute(current, name, from, args.size as usize, args.flags)?;
    set(current, &find_at(current, dir, path, flags)?, &name, &value, args.flags)
}

/// getxattrat(2).
pub fn getxattrat(
    current: &mut Current,
    dir: Fd,
    path: UserStr,
    flags: u32,
    name: UserStr,
    args: UserPtr<XattrArgs>,
    size: usize,
) -> Result<usize, Errno> {
    let args = read_args(current, args, size)?;
    if args.flags != 0 {
        return Err(Errno::EINVAL);
    }
    let target = find_at(current, dir, path, flags)?;
    get(current, &target, name, UserPtr::new(UserVa::new(args.value)), args.size as usize)
}

/// listxattrat(2).
pub fn listxattrat(
    current: &mut Current,
    dir: Fd,
    path: UserStr,
    flags: u32,
    to: UserPtr<u8>,
    size: usize,
) -> Result<usize, Errno> {
    let target = find_at(current, dir, path, flags)?;
    list(current, &target, to, size)
}

/// removexattrat(2).
pub fn removexattrat(current: &mut Current, dir: Fd, path: UserStr, flags: u32, name: UserStr) -> Result<(), Errno> {
    let target = find_at(current, dir, path, flags)?;
    remove(current, &target, name)
}

pub(super) const ROWS: &[Row] = &[
    row!(setxattrat = setxattrat(6), Partial, "access control lists on the sandbox's own file systems alone"),
    row!(getxattrat = getxattrat(6), Full, ""),
    row!(listxattrat = listxattrat(5), Full, ""),
    row!(removexattrat = removexattrat(4), Full, ""),
    row!(setxattr = setxattr(5), Partial, "access control lists on the sandbox's own file systems alone"),
    row!(lsetxattr = lsetxattr(5), Partial, "access control lists on the sandbox's own file systems alone"),
    row!(fsetxattr = fsetxattr(5), Partial, "access control lists on the sandbox's own file systems alone"),
    row!(getxattr = getxattr(4), Full, ""),
    row!(lgetxattr = lgetxattr(4), Full, ""),
    row!(fgetxattr = fgetxattr(4), Full, ""),
    row!(listxattr = listxattr(3), Full, ""),
    row!(llistxattr = llistxattr(3), Full, ""),
    row!(flistxattr = flistxattr(3), Full, ""),
    row!(removexattr = removexattr(2), Full, ""),
    row!(lremovexattr = lremovexattr(2), Full, ""),
    row!(fremovexattr = fremovexattr(2), Full, ""),
];
