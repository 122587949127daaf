//! stat and its kin.

use super::table::{Level, Row, arg, finish, row};
use super::{Fd, UserPtr, UserStr};
use crate::errno::Errno;
use crate::fs::attr::Target;
use crate::fs::statmount::unique_id;
use crate::fs::{LookupFlags, MountFlags, Path, lookup};
use crate::task::Current;
use alloc::sync::Arc;
use core::mem::{offset_of, size_of};
use linker::request::{Attr, StatFs as FsNumbers, Time};
use linux_raw_sys::general as raw;
use syscalls::Sysno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `struct stat`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
#[allow(missing_docs)]
pub struct Stat {
    pub dev: u64,
    pub ino: u64,
    pub nlink: u64,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pad: u32,
    pub rdev: u64,
    pub size: i64,
    pub blksize: i64,
    pub blocks: i64,
    pub atime: Time,
    pub mtime: Time,
    pub ctime: Time,
    unused: [i64; 3],
}

const _: () = {
    assert!(size_of::<Stat>() == size_of::<raw::stat>());
    assert!(offset_of!(Stat, rdev) == offset_of!(raw::stat, st_rdev));
    assert!(offset_of!(Stat, ctime) == offset_of!(raw::stat, st_ctime));
};

impl Stat {
    fn new(current: &Current, attr: &Attr) -> Self {
        Self {
            dev: u64::from(encode_device(attr.dev)),
            ino: attr.ino,
            nlink: u64::from(attr.nlink),
            mode: attr.mode,
            uid: current.creds.shown_uid(attr.uid),
            gid: current.creds.shown_gid(attr.gid),
            pad: 0,
            rdev: u64::from(encode_device(attr.rdev)),
            size: attr.size as i64,
            blksize: i64::from(attr.blksize),
            blocks: attr.blocks as i64,
            atime: attr.atime,
            mtime: attr.mtime,
            ctime: attr.ctime,
            unused: [0; 3],
        }
    }
}

/// A device number (major << 32 | minor) as `st_dev` and mknod(2) have it: makedev(3), 32 bits of it.
pub fn encode_device(device: u64) -> u32 {
    let (major, minor) = ((device >> 32) as u32, device as u32);
    minor & 0xff | (major & 0xfff) << 8 | (minor & 0xfff00) << 12
}

/// The reverse of `encode_device`.
pub fn decode_device(device: u32) -> u64 {
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xfff00);
    u64::from(major) << 32 | u64::from(minor)
}

/// stat(2).
pub fn stat(current: &mut Current, path: UserStr, to: UserPtr<Stat>) -> Result<(), Errno> {
    newfstatat(current, Fd::CWD, path, to, 0)
}

/// lstat(2).
pub fn lstat(current: &mut Current, path: UserStr, to: UserPtr<Stat>) -> Result<(), Errno> {
    newfstatat(current, Fd::CWD, path, to, raw::AT_SYMLINK_NOFOLLOW)
}

/// fstat(2).
pub fn fstat(current: &mut Current, fd: Fd, to: UserPtr<Stat>) -> Result<(), Errno> {
    let file = current.file(fd)?;
    to.write(current, &Stat::new(current, &file.inode().attr()?))
}

/// newfstatat(2).
pub fn newfstatat(current: &mut Current, dirfd: Fd, path: UserStr, to: UserPtr<Stat>, flags: u32) -> Result<(), Errno> {
    let target = find(current, dirfd, path, flags, 0)?;
    to.write(current, &Stat::new(current, &target.inode.attr()?))
}

fn find(current: &Current, dirfd: Fd, path: UserStr, flags: u32, more_flags: u32) -> Result<Target, Errno> {
    let known = raw::AT_SYMLINK_NOFOLLOW | raw::AT_NO_AUTOMOUNT | raw::AT_EMPTY_PATH | more_flags;
    if flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    // No path at all is an empty one.
    if path.is_null() && flags & raw::AT_EMPTY_PATH != 0 {
        return Target::find(current, dirfd, b"", super::path::lookup_flags(flags));
    }
    let path = path.read_path(current)?;
    Target::find(current, dirfd, &path, super::path::lookup_flags(flags))
}

/// `struct statx_timestamp`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct StatxTime {
    sec: i64,
    nsec: u32,
    pad: i32,
}

impl From<Time> for StatxTime {
    fn from(time: Time) -> Self {
        Self { sec: time.sec, nsec: time.nsec as u32, pad: 0 }
    }
}

/// `struct statx`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Statx {
    mask: u32,
    blksize: u32,
    attributes: u64,
    nlink: u32,
    uid: u32,
    gid: u32,
    mode: u16,
    pad: u16,
    ino: u64,
    size: u64,
    blocks: u64,
    attributes_mask: u64,
    atime: StatxTime,
    btime: StatxTime,
    ctime: StatxTime,
    mtime: StatxTime,
    rdev: [u32; 2],
    dev: [u32; 2],
    mount_id: u64,
    /// What later kernels added: direct I/O, subvolumes, atomic writes. None of it here.
    unused: [u64; 13],
}

const _: () = {
    assert!(size_of::<Statx>() == size_of::<raw::statx>());
    assert!(offset_of!(Statx, atime) == offset_of!(raw::statx, stx_atime));
    assert!(offset_of!(Statx, mount_id) == offset_of!(raw::statx, stx_mnt_id));
};

/// statx(2).
pub fn statx(
    current: &mut Current,
    dirfd: Fd,
    path: UserStr,
    flags: u32,
    mask: u32,
    to: UserPtr<Statx>,
) -> Result<(), Errno> {
    if mask & raw::STATX__RESERVED != 0 || flags & raw::AT_STATX_SYNC_TYPE == raw::AT_STATX_SYNC_TYPE {
        return Err(Errno::EINVAL);
    }
    let target = find(current, dirfd, path, flags, raw::AT_STATX_SYNC_TYPE)?;
    let attr = target.inode.attr()?;
    let mut has = raw::STATX_BASIC_STATS;
    if attr.btime != Time::default() {
        has |= raw::STATX_BTIME;
    }
    let mut attributes = 0;
    let unique = mask & raw::STATX_MNT_ID_UNIQUE != 0;
    if let Some(place) = &target.place {
        has |= if unique { raw::STATX_MNT_ID_UNIQUE } else { raw::STATX_MNT_ID };
        if Arc::ptr_eq(place.dentry(), place.mount().root()) {
            attributes |= u64::from(raw::STATX_ATTR_MOUNT_ROOT);
        }
    }
    let halves = |device: u64| [(device >> 32) as u32, device as u32];
    let answer = Statx {
        mask: has,
        blksize: attr.blksize,
        attributes,
        nlink: attr.nlink,
        uid: current.creds.shown_uid(attr.uid),
        gid: current.creds.shown_gid(attr.gid),
        mode: attr.mode as u16,
        pad: 0,
        ino: attr.ino,
        size: attr.size,
        blocks: attr.blocks,
        attributes_mask: u64::from(raw::STATX_ATTR_MOUNT_ROOT),
        atime: attr.atime.into(),
        btime: attr.btime.into(),
        ctime: attr.ctime.into(),
        mtime: attr.mtime.into(),
        rdev: halves(attr.rdev),
        dev: halves(attr.dev),
        mount_id: target
            .place
            .as_ref()
            .map_or(0, |place| if unique { unique_id(place.mount()) } else { u64::from(place.mount().id()) }),
        unused: [0; 13],
    };
    to.write(current, &answer)
}

/// `struct statfs`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct StatFs {
    kind: u64,
    bsize: u64,
    blocks: u64,
    bfree: u64,
    bavail: u64,
    files: u64,
    ffree: u64,
    fsid: u64,
    namelen: u64,
    frsize: u64,
    flags: u64,
    spare: [u64; 4],
}

const _: () = {
    assert!(size_of::<StatFs>() == size_of::<raw::statfs>());
    assert!(offset_of!(StatFs, flags) == offset_of!(raw::statfs, f_flags));
};

/// statfs(2).
pub fn statfs(current: &mut Current, path: UserStr, to: UserPtr<StatFs>) -> Result<(), Errno> {
    let path = path.read_path(current)?;
    let target = Target::from(lookup(current, Fd::CWD, &path, LookupFlags::FOLLOW)?);
    to.write(current, &numbers(&target)?)
}

/// fstatfs(2).
pub fn fstatfs(current: &mut Current, fd: Fd, to: UserPtr<StatFs>) -> Result<(), Errno> {
    let target = Target::of_file(&*current.file(fd)?);
    to.write(current, &numbers(&target)?)
}

fn numbers(target: &Target) -> Result<StatFs, Errno> {
    let FsNumbers { kind, bsize, blocks, bfree, bavail, files, ffree, namelen } = target.inode.stat_fs()?;
    let device = target.inode.attr()?.dev;
    let flags = target.place.as_ref().map_or(0, mount_flags);
    let spare = [0; 4];
    Ok(StatFs { kind, bsize, blocks, bfree, bavail, files, ffree, fsid: device, namelen, frsize: bsize, flags, spare })
}

/// f_flags: the ST_* of statvfs(3), which have the values of the MS_* where both exist, and ST_VALID.
fn mount_flags(place: &Path) -> u64 {
    // statfs(2) in the kernel's linux/statfs.h: ST_VALID 0x20, ST_NOATIME 0x400, ST_NODIRATIME 0x800, ST_RELATIME 0x1000,
    // ST_NOSYMFOLLOW 0x2000.
    const ST_VALID: u64 = 0x20;
    const ST_NOSYMFOLLOW: u64 = 0x2000;
    const ST_RELATIME: u64 = 0x1000;
    let mut flags = place.mount().flags();
    flags.set(MountFlags::RDONLY, place.mount().check_writable().is_err());
    let same = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let same = same | MountFlags::NOATIME | MountFlags::NODIRATIME;
    let relatime = if flags.intersects(MountFlags::NOATIME | MountFlags::STRICTATIME) { 0 } else { ST_RELATIME };
    let nosymfollow = if flags.contains(MountFlags::NOSYMFOLLOW) { ST_NOSYMFOLLOW } else { 0 };
    u64::from((flags & same).bits()) | relatime | nosymfollow | ST_VALID
}

pub(super) const ROWS: &[Row] = &[
    row!(stat = stat(2), Full, ""),
    row!(lstat = lstat(2), Full, ""),
    row!(fstat = fstat(2), Full, ""),
    row!(newfstatat = newfstatat(4), Full, ""),
    row!(statx = statx(5), Full, ""),
    row!(statfs = statfs(2), Full, ""),
    row!(fstatfs = fstatfs(2), Full, ""),
];
