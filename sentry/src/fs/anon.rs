//! Inodes of files without a name: pipes, sockets, and what Linux keeps in its anonymous inode (epoll, eventfd …).

use super::inode::{FileKind, Inode};
use super::open_file::{FileOps, OpenFlags};
use super::pipe::Pipe;
use crate::errno::Errno;
use crate::platform::platform;
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::task::{Credentials, Current};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicU64, Ordering};
use linker::request::{Attr, SetAttr, StatFs, Time};
use linux_raw_sys::general as raw;

/// Device numbers of the unnamed file systems (major 0, as Linux hands them out).
const ANON_DEV: u64 = 13;
const PIPE_DEV: u64 = 14;
const SOCKET_DEV: u64 = 8;
/// All anonymous inodes are one on Linux, so they share this number.
const ANON_INO: u64 = 1;

static NEXT_INO: AtomicU64 = AtomicU64::new(1024);

/// What `/proc/PID/fd/N` says of the file.
#[derive(Clone, Copy)]
enum Label {
    /// `pipe:[INO]`.
    Numbered(&'static str),
    /// `anon_inode:NAME`.
    Anonymous(&'static str),
}

/// The inode of a file that no directory holds.
pub struct AnonInode {
    kind: FileKind,
    label: Label,
    magic: u32,
    attr: Lock<Attr>,
    /// What a reopen through `/proc/PID/fd` opens, for pipes.
    pipe: Option<Arc<Pipe>>,
}

impl AnonInode {
    /// A pipe's inode, shared by both ends.
    pub fn pipe(creds: &Credentials, pipe: Arc<Pipe>) -> Arc<Self> {
        let attr = numbered(creds, PIPE_DEV, raw::S_IFIFO | 0o600);
        Arc::new(Self {
            kind: FileKind::Fifo,
            label: Label::Numbered("pipe"),
            magic: raw::PIPEFS_MAGIC,
            attr,
            pipe: Some(pipe),
        })
    }

    /// A socket's inode.
    pub fn socket(creds: &Credentials) -> Arc<Self> {
        let attr = numbered(creds, SOCKET_DEV, raw::S_IFSOCK | 0o777);
        Arc::new(Self {
            kind: FileKind::Socket,
            label: Label::Numbered("socket"),
            magic: raw::SOCKFS_MAGIC,
            attr,
            pipe: None,
        })
    }

    /// The inode of an anonymous file; `name` as Linux shows it, with its brackets: `[eventpoll]`.
    pub fn anonymous(name: &'static str) -> Arc<Self> {
        let attr = Attr { dev: ANON_DEV, ino: ANON_INO, mode: 0o600, nlink: 1, blksize: 4096, ..Attr::default() };
        Arc::new(Self {
            kind: FileKind::Anonymous,
            label: Label::Anonymous(name),
            magic: raw::ANON_INODE_FS_MAGIC,
            attr: Lock::new(Rank::Leaf, attr),
            pipe: None,
        })
    }

    /// The inode number.
    pub fn ino(&self) -> u64 {
        self.attr.lock().ino
    }

    /// The target of `/proc/PID/fd/N`: `pipe:[17]`, `anon_inode:[eventpoll]`.
    pub fn display_name(&self) -> Vec<u8> {
        match self.label {
            Label::Numbered(name) => format!("{name}:[{}]", self.ino()).into_bytes(),
            Label::Anonymous(name) => format!("anon_inode:{name}").into_bytes(),
        }
    }
}

fn now() -> Time {
    const SECOND: u64 = 1_000_000_000;
    let ns = platform().realtime_ns();
    Time { sec: i64::try_from(ns / SECOND).unwrap_or(i64::MAX), nsec: (ns % SECOND) as i64 }
}

fn numbered(creds: &Credentials, dev: u64, mode: u32) -> Lock<Attr> {
    let ino = NEXT_INO.fetch_add(1, Ordering::Relaxed);
    let time = now();
    let attr = Attr {
        dev,
        ino,
        mode,
        nlink: 1,
        uid: creds.fsuid,
        gid: creds.fsgid,
        blksize: 4096,
        atime: time,
        mtime: time,
        ctime: time,
        ..Attr::default()
    };
    Lock::new(Rank::Leaf, attr)
}

impl Inode for AnonInode {
    fn kind(&self) -> FileKind {
        self.kind
    }

    fn attr(&self) -> Result<Attr, Errno> {
        Ok(*self.attr.lock())
    }

    fn set_attr(&self, change: &SetAttr) -> Result<(), Errno> {
        if change.valid & SetAttr::SIZE != 0 {
            return Err(Errno::EINVAL);
        }
        let mut attr = self.attr.lock();
        if change.valid & SetAttr::MODE != 0 {
            attr.mode = attr.mode & raw::S_IFMT | change.mode & !raw::S_IFMT;
        }
        if change.valid & SetAttr::UID != 0 {
            attr.uid = change.uid;
        }
        if change.valid & SetAttr::GID != 0 {
            attr.gid = change.gid;
        }
        if change.valid & SetAttr::ATIME != 0 {
            attr.atime = change.atime;
        }
        if change.valid & SetAttr::MTIME != 0 {
            attr.mtime = change.mtime;
        }
        attr.ctime = now();
        Ok(())
    }

    fn open(self: Arc<Self>, _current: &Current, flags: OpenFlags) -> Result<Arc<dyn FileOps>, Fail> {
        match &self.pipe {
            Some(pipe) => Ok(pipe.reopen(flags)),
            None => Err(Errno::ENXIO.into()),
        }
    }

    fn stat_fs(&self) -> Result<StatFs, Errno> {
        Ok(StatFs { kind: u64::from(self.magic), bsize: 4096, namelen: 255, ..StatFs::default() })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
