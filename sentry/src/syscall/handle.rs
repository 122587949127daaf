//! name_to_handle_at, open_by_handle_at.

use super::table::{Level, Row, arg, finish, row};
use super::{Fail, Fd, UserPtr, UserStr};
use crate::errno::Errno;
use crate::fs::handle::{self, Handle};
use crate::fs::statmount::unique_id;
use crate::fs::{self, LookupFlags, OpenFlags};
use crate::task::{Cap, Current};
use alloc::vec::Vec;
use linux_raw_sys::general as raw;
use syscalls::Sysno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `struct file_handle` without its bytes, which follow (open_by_handle_at(2); linux-raw-sys does not carry it).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Head {
    bytes: u32,
    kind: i32,
}

/// MAX_HANDLE_SZ (include/linux/exportfs.h).
const MOST_BYTES: u32 = 128;

/// name_to_handle_at(2).
pub fn name_to_handle_at(
    current: &mut Current,
    dirfd: Fd,
    path: UserStr,
    to: UserPtr<Head>,
    mount_id: UserPtr<u32>,
    flags: u32,
) -> Result<(), Errno> {
    let known = raw::AT_SYMLINK_FOLLOW | raw::AT_EMPTY_PATH | raw::AT_HANDLE_FID | raw::AT_HANDLE_MNT_ID_UNIQUE;
    if flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let path = path.read_path(current)?;
    let mut how = LookupFlags::default();
    how.set(LookupFlags::FOLLOW, flags & raw::AT_SYMLINK_FOLLOW != 0);
    how.set(LookupFlags::EMPTY, flags & raw::AT_EMPTY_PATH != 0);
    let place = fs::lookup(current, dirfd, &path, how)?;
    let found = match handle::of(&place) {
        Some(found) => found,
        None if flags & raw::AT_HANDLE_FID != 0 => Handle::compared(place.inode().attr()?.ino),
        None => return Err(Errno::EOPNOTSUPP),
    };
    let room = to.read(current)?.bytes;
    if room > MOST_BYTES {
        return Err(Errno::EINVAL);
    }
    let (kind, bytes) = found.encode();
    if flags & raw::AT_HANDLE_MNT_ID_UNIQUE != 0 {
        mount_id.cast::<u64>().write(current, &unique_id(place.mount()))?;
    } else {
        mount_id.write(current, &place.mount().id())?;
    }
    // Linux counts the room in words.
    if (room as usize & !3) < bytes.len() {
        to.write(current, &Head { bytes: bytes.len() as u32, kind: handle::INVALID })?;
        return Err(Errno::EOVERFLOW);
    }
    let head = Head { bytes: bytes.len() as u32, kind };
    current.copy_out(to.addr(), &[head.as_bytes(), &bytes].concat())
}

/// open_by_handle_at(2).
pub fn open_by_handle_at(current: &mut Current, mount: Fd, from: UserPtr<Head>, flags: OpenFlags) -> Result<Fd, Fail> {
    let mount =
        if mount == Fd::CWD { Some(current.fs.cwd()) } else { super::file::open_file(current, mount)?.path().cloned() };
    if !current.creds.has(Cap::DacReadSearch) {
        return Err(Errno::EPERM.into());
    }
    let head = from.read(current)?;
    if head.bytes == 0 || head.bytes > MOST_BYTES {
        return Err(Errno::EINVAL.into());
    }
    let bytes: Vec<u8> = from.nth(1).cast().read_vec(current, head.bytes as usize)?;
    let handle = Handle::decode(head.kind, &bytes).ok_or(Errno::ESTALE)?;
    let place = handle::find(&mount.ok_or(Errno::ESTALE)?, &handle)?;
    let close_on_exec = flags.contains(OpenFlags::CLOEXEC);
    current.check_room_for_file()?;
    let file = fs::open_found(current, &place, flags | OpenFlags::LARGEFILE)?;
    Ok(current.add_file(file, close_on_exec)?)
}

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row!(name_to_handle_at = name_to_handle_at(5), Full, ""),
    row!(open_by_handle_at = open_by_handle_at(3), Partial, "what nobody uses may be ESTALE until its handle is asked for again; in a user namespace EPERM"),
];
