//! Open files of the sandbox process by handle: the standard streams, and what the gofer donated.

use linker::request::{Attr, Time};
use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// How an open file behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Regular file, directory or block device: never makes anybody wait.
    Plain,
    /// Pipe: a write that finds some room can still wait for more.
    Pipe,
    /// Terminal, socket or other character device.
    Stream,
}

/// An open file.
#[derive(Debug)]
pub struct HostFile {
    fd: OwnedFd,
    /// How it behaves.
    pub kind: Kind,
    /// F_GETFL when it came.
    pub flags: OFlags,
    /// RWF_NOWAIT works on it, as far as is known.
    nowait: AtomicBool,
}

impl HostFile {
    fn new(fd: OwnedFd) -> Result<Self, Errno> {
        let flags = rustix::fs::fcntl_getfl(&fd)?;
        Self::with_flags(fd, flags)
    }

    fn with_flags(fd: OwnedFd, flags: OFlags) -> Result<Self, Errno> {
        let kind = match FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) {
            FileType::RegularFile | FileType::Directory | FileType::BlockDevice => Kind::Plain,
            FileType::Fifo => Kind::Pipe,
            _ => Kind::Stream,
        };
        Ok(Self { fd, kind, flags, nowait: AtomicBool::new(true) })
    }

    /// Whether RWF_NOWAIT is worth trying.
    pub fn nowait(&self) -> bool {
        self.nowait.load(Ordering::Relaxed)
    }

    /// Remembers that RWF_NOWAIT does not work.
    pub fn forget_nowait(&self) {
        self.nowait.store(false, Ordering::Relaxed);
    }
}

impl AsFd for HostFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Open files by handle.
#[derive(Debug, Default)]
pub struct FileTable(RwLock<Vec<Option<Arc<HostFile>>>>);

impl FileTable {
    /// A table with these files at handles 0, 1, …
    pub fn new(files: Vec<Option<OwnedFd>>) -> Result<Self, Errno> {
        let files: Result<_, Errno> =
            files.into_iter().map(|fd| fd.map(|fd| HostFile::new(fd).map(Arc::new)).transpose()).collect();
        Ok(Self(RwLock::new(files?)))
    }

    /// The file with this handle.
    pub fn get(&self, handle: u32) -> Result<Arc<HostFile>, Errno> {
        let files = self.0.read().unwrap_or_else(PoisonError::into_inner);
        files.get(handle as usize).and_then(Clone::clone).ok_or(Errno::BADF)
    }

    /// Adds a file that was opened with `flags`.
    pub fn insert(&self, fd: OwnedFd, flags: OFlags) -> Result<u32, Errno> {
        let file = Some(Arc::new(HostFile::with_flags(fd, flags)?));
        let mut files = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Handles 0–2 stay those of the standard streams.
        let free = files.iter().skip(3).position(Option::is_none).map(|at| at + 3);
        match free.and_then(|at| files.get_mut(at).map(|slot| (at, slot))) {
            Some((at, slot)) => {
                *slot = file;
                Ok(at as u32)
            }
            None => {
                while files.len() < 3 {
                    files.push(None);
                }
                let at = u32::try_from(files.len()).map_err(|_| Errno::NFILE)?;
                files.push(file);
                Ok(at)
            }
        }
    }

    /// Removes a file.
    pub fn remove(&self, handle: u32) -> Result<(), Errno> {
        let mut files = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let slot = files.get_mut(handle as usize).ok_or(Errno::BADF)?;
        slot.take().map(drop).ok_or(Errno::BADF)
    }
}

/// The attributes that fstat(2) says.
pub fn attr(stat: &Stat) -> Attr {
    let device = |dev: u64| u64::from(rustix::fs::major(dev)) << 32 | u64::from(rustix::fs::minor(dev));
    Attr {
        dev: device(stat.st_dev),
        ino: stat.st_ino,
        size: stat.st_size as u64,
        blocks: stat.st_blocks as u64,
        mode: stat.st_mode,
        nlink: stat.st_nlink as u32,
        uid: stat.st_uid,
        gid: stat.st_gid,
        blksize: stat.st_blksize as u32,
        pad: 0,
        rdev: device(stat.st_rdev),
        atime: Time { sec: stat.st_atime, nsec: stat.st_atime_nsec as i64 },
        mtime: Time { sec: stat.st_mtime, nsec: stat.st_mtime_nsec as i64 },
        ctime: Time { sec: stat.st_ctime, nsec: stat.st_ctime_nsec as i64 },
        btime: Time::default(),
    }
}
