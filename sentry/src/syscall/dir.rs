//! Reading directories, and where paths begin: working directory, root, umask.

use super::table::{Level, Row, arg, finish, row};
use super::{Fail, Fd, UserPtr, UserStr};
use crate::errno::Errno;
use crate::fs::entries::{DirSink, Entries, Entry, push_record, put_each, record_size};
use crate::fs::{self, LookupFlags, May, Path};
use crate::task::{Cap, Current};
use alloc::vec::Vec;
use syscalls::Sysno;

/// Entries are collected in a buffer of this size at most, whatever the caller offers.
const MAX_BUFFER: usize = 256 * 1024;

/// What the two calls give.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// `struct linux_dirent64`.
    Dirent64,
    /// `struct linux_dirent`.
    Dirent,
}

/// The entries that fit into what the caller offers.
struct Buffer {
    layout: Layout,
    room: usize,
    bytes: Vec<u8>,
    /// The position behind them.
    next: u64,
    /// There are more.
    full: bool,
}

impl DirSink for Buffer {
    fn put(&mut self, ino: u64, kind: u8, name: &[u8], next: u64) -> bool {
        let entry = Entry { ino, kind, name };
        let taken = match self.layout {
            Layout::Dirent64 => {
                let fits = self.bytes.len() + record_size(name.len()) <= self.room;
                if fits {
                    push_record(&mut self.bytes, entry, next);
                }
                fits
            }
            Layout::Dirent => encode(&mut self.bytes, self.room, entry, next),
        };
        if taken {
            self.next = next;
        } else {
            self.full = true;
        }
        taken
    }

    fn put_all(&mut self, entries: &Entries, position: u64) {
        if self.layout != Layout::Dirent64 {
            return put_each(self, entries, position);
        }
        let (records, next, all) = entries.records(position, self.room - self.bytes.len());
        self.bytes.extend_from_slice(records);
        self.full |= !all;
        if !records.is_empty() {
            self.next = next;
        }
    }
}

/// getdents64(2).
pub fn getdents64(current: &mut Current, fd: Fd, to: UserPtr<u8>, len: u32) -> Result<usize, Fail> {
    read_entries(current, fd, to, len, Layout::Dirent64)
}

/// getdents(2).
pub fn getdents(current: &mut Current, fd: Fd, to: UserPtr<u8>, len: u32) -> Result<usize, Fail> {
    read_entries(current, fd, to, len, Layout::Dirent)
}

fn read_entries(current: &Current, fd: Fd, to: UserPtr<u8>, len: u32, layout: Layout) -> Result<usize, Fail> {
    let file = super::file::open_file(current, fd)?;
    if file.inode().kind() != fs::FileKind::Directory {
        return Err(Errno::ENOTDIR.into());
    }
    let room = (len as usize).min(MAX_BUFFER);
    file.ask_to_read(current)?;
    let mut position = file.position().lock();
    if file.path().is_some_and(|place| place.dentry().is_deleted()) {
        return Err(Errno::ENOENT.into());
    }
    let mut buffer = Buffer { layout, room, bytes: Vec::new(), next: *position, full: false };
    file.ops().read_dir(current, &file, *position, &mut buffer)?;
    if buffer.full && buffer.bytes.is_empty() {
        return Err(Errno::EINVAL.into());
    }
    to.write_slice(current, &buffer.bytes)?;
    *position = buffer.next;
    file.was_read();
    Ok(buffer.bytes.len())
}

/// Adds a `struct linux_dirent` (getdents(2)) if it fits into `room`: d_ino, d_off, d_reclen, d_name with its NUL, and the type in the last byte.
fn encode(buffer: &mut Vec<u8>, room: usize, Entry { ino, kind, name }: Entry<'_>, next: u64) -> bool {
    const HEAD: usize = 8 + 8 + 2;
    let size = (HEAD + name.len() + 2).next_multiple_of(8);
    if buffer.len() + size > room {
        return false;
    }
    let end = buffer.len() + size;
    buffer.extend_from_slice(&ino.to_le_bytes());
    buffer.extend_from_slice(&next.to_le_bytes());
    buffer.extend_from_slice(&(size as u16).to_le_bytes());
    buffer.extend_from_slice(name);
    buffer.resize(end - 1, 0);
    buffer.push(kind);
    true
}

/// getcwd(2): bytes with the NUL.
pub fn getcwd(current: &mut Current, to: UserPtr<u8>, len: usize) -> Result<usize, Errno> {
    let cwd = current.fs.cwd();
    if cwd.dentry().is_deleted() {
        return Err(Errno::ENOENT);
    }
    let (text, reachable) = cwd.text(&current.fs.root());
    let mut path = if reachable { Vec::new() } else { b"(unreachable)".to_vec() };
    path.extend_from_slice(&text);
    path.push(0);
    if path.len() > len {
        return Err(Errno::ERANGE);
    }
    to.write_slice(current, &path)?;
    Ok(path.len())
}

/// chdir(2).
pub fn chdir(current: &mut Current, path: UserStr) -> Result<(), Errno> {
    let path = path.read_path(current)?;
    let place = fs::lookup(current, Fd::CWD, &path, LookupFlags::FOLLOW | LookupFlags::DIRECTORY)?;
    enter(current, place)
}

/// fchdir(2).
pub fn fchdir(current: &mut Current, fd: Fd) -> Result<(), Errno> {
    let file = current.file(fd)?;
    let place = file.path().filter(|place| place.dentry().is_directory()).ok_or(Errno::ENOTDIR)?;
    enter(current, place.clone())
}

fn enter(current: &Current, place: Path) -> Result<(), Errno> {
    fs::permission(&current.creds, &**place.inode(), May::EXEC)?;
    current.fs.set_cwd(place);
    Ok(())
}

/// chroot(2).
pub fn chroot(current: &mut Current, path: UserStr) -> Result<(), Errno> {
    let path = path.read_path(current)?;
    let place = fs::lookup(current, Fd::CWD, &path, LookupFlags::FOLLOW | LookupFlags::DIRECTORY)?;
    fs::permission(&current.creds, &**place.inode(), May::EXEC)?;
    if !current.creds.has_own(Cap::SysChroot) {
        return Err(Errno::EPERM);
    }
    current.fs.set_root(place);
    Ok(())
}

/// umask(2).
pub fn umask(current: &mut Current, mask: u32) -> Result<u32, Errno> {
    Ok(current.fs.set_umask(mask))
}

pub(super) const ROWS: &[Row] = &[
    row!(getdents64 = getdents64(3), Full, ""),
    row!(getdents = getdents(3), Full, ""),
    row!(getcwd = getcwd(2), Full, ""),
    row!(chdir = chdir(1), Full, ""),
    row!(fchdir = fchdir(1), Full, ""),
    row!(chroot = chroot(1), Full, ""),
    row!(umask = umask(1), Full, ""),
];
