//! Calls that take paths: open and what makes, removes, renames and links names, or changes a file's attributes by name.

use super::table::{Level, Row, arg, finish, row};
use super::{Fail, Fd, UserPtr, UserStr};
use crate::errno::Errno;
use crate::fs::attr::{self, NewTime, Target};
use crate::fs::{self, FileKind, LookupFlags, May, MountFlags, OpenFlags};
use crate::task::{Cap, Credentials, Current};
use crate::time::{NS_PER_SEC, Timespec, Timeval};
use alloc::vec::Vec;
use core::mem::size_of;
use linker::request::Time;
use linux_raw_sys::general as raw;
use syscalls::Sysno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// open(2).
pub fn open(current: &mut Current, path: UserStr, flags: OpenFlags, mode: u32) -> Result<Fd, Fail> {
    openat(current, Fd::CWD, path, flags, mode)
}

/// creat(2).
pub fn creat(current: &mut Current, path: UserStr, mode: u32) -> Result<Fd, Fail> {
    openat(current, Fd::CWD, path, OpenFlags::CREAT | OpenFlags::WRONLY | OpenFlags::TRUNC, mode)
}

/// openat(2).
pub fn openat(current: &mut Current, dirfd: Fd, path: UserStr, flags: OpenFlags, mode: u32) -> Result<Fd, Fail> {
    open_with(current, dirfd, path, flags, mode, LookupFlags::default())
}

/// `struct open_how`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

const _: () = assert!(size_of::<OpenHow>() == size_of::<raw::open_how>());

/// openat2(2): as openat, but it refuses what it does not know.
pub fn openat2(
    current: &mut Current,
    dirfd: Fd,
    path: UserStr,
    how: UserPtr<OpenHow>,
    size: usize,
) -> Result<Fd, Fail> {
    if size < size_of::<OpenHow>() {
        return Err(Errno::EINVAL.into());
    }
    if size > linker::layout::PAGE_SIZE as usize {
        return Err(Errno::E2BIG.into());
    }
    let rest: Vec<u8> = how.nth(1).cast().read_vec(current, size - size_of::<OpenHow>())?;
    if rest.iter().any(|byte| *byte != 0) {
        return Err(Errno::E2BIG.into());
    }
    let how = how.read(current)?;
    let flags = u32::try_from(how.flags).ok().and_then(OpenFlags::from_bits).ok_or(Errno::EINVAL)?;
    let makes = flags.contains(OpenFlags::CREAT) || flags.bits() & raw::__O_TMPFILE != 0;
    if how.mode & !0o7777 != 0 || how.mode != 0 && !makes {
        return Err(Errno::EINVAL.into());
    }
    let with_path = OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW | OpenFlags::CLOEXEC;
    if flags.contains(OpenFlags::PATH) && !with_path.contains(flags) {
        return Err(Errno::EINVAL.into());
    }
    let cached = u64::from(raw::RESOLVE_CACHED);
    let known = LookupFlags::NO_XDEV
        | LookupFlags::NO_MAGICLINKS
        | LookupFlags::NO_SYMLINKS
        | LookupFlags::BENEATH
        | LookupFlags::IN_ROOT;
    let resolve = u32::try_from(how.resolve & !cached).ok().and_then(LookupFlags::from_bits);
    let resolve = resolve.filter(|resolve| known.contains(*resolve)).ok_or(Errno::EINVAL)?;
    if resolve.contains(LookupFlags::BENEATH | LookupFlags::IN_ROOT) {
        return Err(Errno::EINVAL.into());
    }
    if how.resolve & cached != 0 {
        // Nobody promises that the cache knows; the caller has to ask again without.
        return Err(Errno::EAGAIN.into());
    }
    open_with(current, dirfd, path, flags, how.mode as u32, resolve)
}

fn open_with(
    current: &mut Current,
    dirfd: Fd,
    path: UserStr,
    mut flags: OpenFlags,
    mode: u32,
    resolve: LookupFlags,
) -> Result<Fd, Fail> {
    let path = path.read_path(current)?;
    let close_on_exec = flags.contains(OpenFlags::CLOEXEC);
    if !flags.contains(OpenFlags::PATH) {
        flags |= OpenFlags::LARGEFILE;
    }
    current.check_room_for_file()?;
    let file = fs::open_how(current, dirfd, &path, flags, mode, resolve)?;
    Ok(current.add_file(file, close_on_exec)?)
}

/// mkdir(2).
pub fn mkdir(current: &mut Current, path: UserStr, mode: u32) -> Result<(), Errno> {
    mkdirat(current, Fd::CWD, path, mode)
}

/// mkdirat(2).
pub fn mkdirat(current: &mut Current, dirfd: Fd, path: UserStr, mode: u32) -> Result<(), Errno> {
    let path = path.read_path(current)?;
    fs::make(current, dirfd, &path, raw::S_IFDIR | mode & 0o1777, 0).map(|_| ())
}

/// mknod(2).
pub fn mknod(current: &mut Current, path: UserStr, mode: u32, device: u32) -> Result<(), Errno> {
    mknodat(current, Fd::CWD, path, mode, device)
}

/// mknodat(2).
pub fn mknodat(current: &mut Current, dirfd: Fd, path: UserStr, mode: u32, device: u32) -> Result<(), Errno> {
    let path = path.read_path(current)?;
    let (kind, rdev) = match mode & raw::S_IFMT {
        0 | raw::S_IFREG => (raw::S_IFREG, 0),
        kind @ (raw::S_IFCHR | raw::S_IFBLK) => (kind, super::stat::decode_device(device)),
        kind @ (raw::S_IFIFO | raw::S_IFSOCK) => (kind, 0),
        raw::S_IFDIR => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    };
    fs::make(current, dirfd, &path, kind | mode & 0o7777, rdev).map(|_| ())
}

/// unlink(2).
pub fn unlink(current: &mut Current, path: UserStr) -> Result<(), Errno> {
    unlinkat(current, Fd::CWD, path, 0)
}

/// rmdir(2).
pub fn rmdir(current: &mut Current, path: UserStr) -> Result<(), Errno> {
    unlinkat(current, Fd::CWD, path, raw::AT_REMOVEDIR)
}

/// unlinkat(2).
pub fn unlinkat(current: &mut Current, dirfd: Fd, path: UserStr, flags: u32) -> Result<(), Errno> {
    if flags & !raw::AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL);
    }
    let path = path.read_path(current)?;
    fs::unlink(current, dirfd, &path, flags & raw::AT_REMOVEDIR != 0)
}

/// rename(2).
pub fn rename(current: &mut Current, old: UserStr, new: UserStr) -> Result<(), Errno> {
    renameat2(current, Fd::CWD, old, Fd::CWD, new, 0)
}

/// renameat(2).
pub fn renameat(current: &mut Current, old_dir: Fd, old: UserStr, new_dir: Fd, new: UserStr) -> Result<(), Errno> {
    renameat2(current, old_dir, old, new_dir, new, 0)
}

/// renameat2(2).
pub fn renameat2(
    current: &mut Current,
    old_dir: Fd,
    old: UserStr,
    new_dir: Fd,
    new: UserStr,
    flags: u32,
) -> Result<(), Errno> {
    let both = raw::RENAME_NOREPLACE | raw::RENAME_EXCHANGE;
    // RENAME_WHITEOUT is for who implements overlays on top; no file system here offers it.
    if flags & !both != 0 || flags & both == both {
        return Err(Errno::EINVAL);
    }
    let (old, new) = (old.read_path(current)?, new.read_path(current)?);
    fs::rename(current, old_dir, &old, new_dir, &new, flags)
}

/// link(2).
pub fn link(current: &mut Current, old: UserStr, new: UserStr) -> Result<(), Errno> {
    linkat(current, Fd::CWD, old, Fd::CWD, new, 0)
}

/// linkat(2).
pub fn linkat(
    current: &mut Current,
    old_dir: Fd,
    old: UserStr,
    new_dir: Fd,
    new: UserStr,
    flags: u32,
) -> Result<(), Errno> {
    if flags & !(raw::AT_SYMLINK_FOLLOW | raw::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let old = old.read_path(current)?;
    let mut how = LookupFlags::default();
    how.set(LookupFlags::FOLLOW, flags & raw::AT_SYMLINK_FOLLOW != 0);
    if flags & raw::AT_EMPTY_PATH != 0 {
        if old.is_empty() && !current.creds.has(Cap::DacReadSearch) {
            return Err(Errno::ENOENT);
        }
        how |= LookupFlags::EMPTY;
    }
    let old = fs::lookup(current, old_dir, &old, how)?;
    let new = new.read_path(current)?;
    fs::link(current, &old, new_dir, &new)
}

/// symlink(2).
pub fn symlink(current: &mut Current, target: UserStr, path: UserStr) -> Result<(), Errno> {
    symlinkat(current, target, Fd::CWD, path)
}

/// symlinkat(2).
pub fn symlinkat(current: &mut Current, target: UserStr, dirfd: Fd, path: UserStr) -> Result<(), Errno> {
    let (target, path) = (target.read_path(current)?, path.read_path(current)?);
    fs::symlink(current, &target, dirfd, &path)
}

/// readlink(2).
pub fn readlink(current: &mut Current, path: UserStr, to: UserPtr<u8>, len: i32) -> Result<usize, Errno> {
    readlinkat(current, Fd::CWD, path, to, len)
}

/// readlinkat(2).
pub fn readlinkat(current: &mut Current, dirfd: Fd, path: UserStr, to: UserPtr<u8>, len: i32) -> Result<usize, Errno> {
    let len = usize::try_from(len).ok().filter(|len| *len > 0).ok_or(Errno::EINVAL)?;
    let path = path.read_path(current)?;
    let place = fs::lookup(current, dirfd, &path, LookupFlags::EMPTY)?;
    if place.inode().kind() != FileKind::Symlink {
        return Err(if path.is_empty() { Errno::ENOENT } else { Errno::EINVAL });
    }
    let mut text = place.inode().read_link(current)?;
    text.truncate(len);
    to.write_slice(current, &text)?;
    Ok(text.len())
}

/// chmod(2).
pub fn chmod(current: &mut Current, path: UserStr, mode: u32) -> Result<(), Errno> {
    fchmodat(current, Fd::CWD, path, mode)
}

/// fchmod(2).
pub fn fchmod(current: &mut Current, fd: Fd, mode: u32) -> Result<(), Errno> {
    let file = super::file::open_file(current, fd)?;
    attr::chmod(current, &Target::of_file(&file), mode)
}

/// fchmodat(2).
pub fn fchmodat(current: &mut Current, dirfd: Fd, path: UserStr, mode: u32) -> Result<(), Errno> {
    fchmodat2(current, dirfd, path, mode, 0)
}

/// fchmodat2(2).
pub fn fchmodat2(current: &mut Current, dirfd: Fd, path: UserStr, mode: u32, flags: u32) -> Result<(), Errno> {
    let target = find(current, dirfd, path, flags)?;
    attr::chmod(current, &target, mode)
}

/// chown(2).
pub fn chown(current: &mut Current, path: UserStr, uid: u32, gid: u32) -> Result<(), Errno> {
    fchownat(current, Fd::CWD, path, uid, gid, 0)
}

/// lchown(2).
pub fn lchown(current: &mut Current, path: UserStr, uid: u32, gid: u32) -> Result<(), Errno> {
    fchownat(current, Fd::CWD, path, uid, gid, raw::AT_SYMLINK_NOFOLLOW)
}

/// fchown(2).
pub fn fchown(current: &mut Current, fd: Fd, uid: u32, gid: u32) -> Result<(), Errno> {
    let file = super::file::open_file(current, fd)?;
    attr::chown(current, &Target::of_file(&file), uid, gid)
}

/// fchownat(2).
pub fn fchownat(current: &mut Current, dirfd: Fd, path: UserStr, uid: u32, gid: u32, flags: u32) -> Result<(), Errno> {
    let target = find(current, dirfd, path, flags)?;
    attr::chown(current, &target, uid, gid)
}

/// The file that `path` names with AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH in `flags`; EINVAL for other flags.
fn find(current: &Current, dirfd: Fd, path: UserStr, flags: u32) -> Result<Target, Errno> {
    if flags & !(raw::AT_SYMLINK_NOFOLLOW | raw::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let path = path.read_path(current)?;
    Target::find(current, dirfd, &path, lookup_flags(flags))
}

/// How AT_* flags say to look up.
pub(super) fn lookup_flags(flags: u32) -> LookupFlags {
    let mut how = LookupFlags::default();
    how.set(LookupFlags::FOLLOW, flags & raw::AT_SYMLINK_NOFOLLOW == 0);
    how.set(LookupFlags::EMPTY, flags & raw::AT_EMPTY_PATH != 0);
    how
}

/// access(2).
pub fn access(current: &mut Current, path: UserStr, mode: u32) -> Result<(), Errno> {
    faccessat2(current, Fd::CWD, path, mode, 0)
}

/// faccessat(2).
pub fn faccessat(current: &mut Current, dirfd: Fd, path: UserStr, mode: u32) -> Result<(), Errno> {
    faccessat2(current, dirfd, path, mode, 0)
}

/// faccessat2(2).
pub fn faccessat2(current: &mut Current, dirfd: Fd, path: UserStr, mode: u32, flags: u32) -> Result<(), Errno> {
    let wanted = May::from_bits(mode).ok_or(Errno::EINVAL)?;
    if flags & !(raw::AT_EACCESS | raw::AT_SYMLINK_NOFOLLOW | raw::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let path = path.read_path(current)?;
    let real = real_credentials(&current.creds);
    let creds = if flags & raw::AT_EACCESS != 0 { &*current.creds } else { &real };
    let how = lookup_flags(flags);
    if path.is_empty() && how.contains(LookupFlags::EMPTY) && dirfd != Fd::CWD {
        let file = current.file(dirfd)?;
        return fs::permission(creds, &**file.inode(), wanted);
    }
    let place = fs::lookup_as(current, creds, dirfd, &path, how)?;
    let kind = place.inode().kind();
    if wanted.contains(May::EXEC) && kind == FileKind::Regular && place.mount().flags().contains(MountFlags::NOEXEC) {
        return Err(Errno::EACCES);
    }
    fs::permission(creds, &**place.inode(), wanted)?;
    if wanted.contains(May::WRITE) && matches!(kind, FileKind::Regular | FileKind::Directory | FileKind::Symlink) {
        place.mount().check_writable()?;
    }
    Ok(())
}

/// What access(2) asks with: the real ids, and the capabilities that a program of that user would get.
fn real_credentials(creds: &Credentials) -> Credentials {
    let mut real = Credentials { fsuid: creds.uid, fsgid: creds.gid, ..creds.clone() };
    real.caps.effective = if creds.uid == 0 { creds.caps.permitted } else { 0 };
    real
}

/// utimensat(2).
pub fn utimensat(
    current: &mut Current,
    dirfd: Fd,
    path: UserStr,
    times: UserPtr<[Timespec; 2]>,
    flags: u32,
) -> Result<(), Errno> {
    let (atime, mtime) = match times.non_null() {
        None => (NewTime::Now, NewTime::Now),
        Some(times) => {
            let [atime, mtime] = times.read(current)?;
            (new_time(atime)?, new_time(mtime)?)
        }
    };
    if (atime, mtime) == (NewTime::Keep, NewTime::Keep) {
        return Ok(());
    }
    let target = if path.is_null() {
        if dirfd == Fd::CWD {
            return Err(Errno::EFAULT);
        }
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        Target::of_file(&*super::file::open_file(current, dirfd)?)
    } else {
        find(current, dirfd, path, flags)?
    };
    attr::set_times(current, &target, atime, mtime)
}

fn new_time(time: Timespec) -> Result<NewTime, Errno> {
    match u32::try_from(time.nsec) {
        Ok(raw::UTIME_NOW) => Ok(NewTime::Now),
        Ok(raw::UTIME_OMIT) => Ok(NewTime::Keep),
        Ok(nsec) if u64::from(nsec) < NS_PER_SEC => Ok(NewTime::At(Time { sec: time.sec, nsec: time.nsec })),
        _ => Err(Errno::EINVAL),
    }
}

/// futimesat(2).
pub fn futimesat(current: &mut Current, dirfd: Fd, path: UserStr, times: UserPtr<[Timeval; 2]>) -> Result<(), Errno> {
    let (atime, mtime) = match times.non_null() {
        None => (NewTime::Now, NewTime::Now),
        Some(times) => {
            let [atime, mtime] = times.read(current)?;
            (from_timeval(atime)?, from_timeval(mtime)?)
        }
    };
    let target = if path.is_null() {
        Target::of_file(&*super::file::open_file(current, dirfd)?)
    } else {
        find(current, dirfd, path, 0)?
    };
    attr::set_times(current, &target, atime, mtime)
}

fn from_timeval(time: Timeval) -> Result<NewTime, Errno> {
    if !(0..1_000_000).contains(&time.usec) {
        return Err(Errno::EINVAL);
    }
    Ok(NewTime::At(Time { sec: time.sec, nsec: time.usec * 1000 }))
}

/// utimes(2).
pub fn utimes(current: &mut Current, path: UserStr, times: UserPtr<[Timeval; 2]>) -> Result<(), Errno> {
    futimesat(current, Fd::CWD, path, times)
}

/// utime(2): whole seconds.
pub fn utime(current: &mut Current, path: UserStr, times: UserPtr<[i64; 2]>) -> Result<(), Errno> {
    let at = |sec| NewTime::At(Time { sec, nsec: 0 });
    let (atime, mtime) = match times.non_null() {
        None => (NewTime::Now, NewTime::Now),
        Some(times) => times.read(current).map(|[atime, mtime]| (at(atime), at(mtime)))?,
    };
    let target = find(current, Fd::CWD, path, 0)?;
    attr::set_times(current, &target, atime, mtime)
}

pub(super) const ROWS: &[Row] = &[
    row!(open = open(3), Full, ""),
    row!(creat = creat(2), Full, ""),
    row!(openat = openat(4), Full, ""),
    row!(openat2 = openat2(4), Full, ""),
    row!(mkdir = mkdir(2), Full, ""),
    row!(mkdirat = mkdirat(3), Full, ""),
    row!(mknod = mknod(3), Full, ""),
    row!(mknodat = mknodat(4), Full, ""),
    row!(unlink = unlink(1), Full, ""),
    row!(rmdir = rmdir(1), Full, ""),
    row!(unlinkat = unlinkat(3), Full, ""),
    row!(rename = rename(2), Full, ""),
    row!(renameat = renameat(4), Full, ""),
    row!(renameat2 = renameat2(5), Partial, "no RENAME_WHITEOUT"),
    row!(link = link(2), Full, ""),
    row!(linkat = linkat(5), Full, ""),
    row!(symlink = symlink(2), Full, ""),
    row!(symlinkat = symlinkat(3), Full, ""),
    row!(readlink = readlink(3), Full, ""),
    row!(readlinkat = readlinkat(4), Full, ""),
    row!(chmod = chmod(2), Full, ""),
    row!(fchmod = fchmod(2), Full, ""),
    row!(fchmodat = fchmodat(3), Full, ""),
    row!(fchmodat2 = fchmodat2(4), Full, ""),
    row!(chown = chown(3), Full, ""),
    row!(lchown = lchown(3), Full, ""),
    row!(fchown = fchown(3), Full, ""),
    row!(fchownat = fchownat(5), Full, ""),
    row!(access = access(2), Full, ""),
    row!(faccessat = faccessat(3), Full, ""),
    row!(faccessat2 = faccessat2(4), Full, ""),
    row!(utimensat = utimensat(4), Full, ""),
    row!(futimesat = futimesat(3), Full, ""),
    row!(utimes = utimes(2), Full, ""),
    row!(utime = utime(2), Full, ""),
];
