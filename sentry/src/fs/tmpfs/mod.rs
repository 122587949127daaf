//! tmpfs: files in memory. Also /dev/shm, memfds, and where an overlay keeps what was changed.
//!
//! `TmpFs` counts pages and inodes, `TmpInode` is a file; regular files keep their bytes in a `Mapping`.
//! Locks: an inode's `meta` and its directory's `entries` are never held together.

mod dir;
mod file;
mod inode;
mod options;
#[cfg(test)]
mod tests;

pub use inode::TmpInode;
pub use options::Options;

use super::inode::Inode;
use super::mount::next_device;
use crate::errno::Errno;
use crate::mm::PageBudget;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use linker::layout::PAGE_SIZE;
use linker::request::{MakeArgs, StatFs};
use linux_raw_sys::general as raw;

/// One tmpfs.
pub struct TmpFs {
    device: u64,
    pages: Counter,
    inodes: Counter,
    next_ino: AtomicU64,
}

/// Counts up to a limit, which may change.
struct Counter {
    used: AtomicU64,
    limit: AtomicU64,
}

impl Counter {
    fn new(limit: u64) -> Self {
        Self { used: AtomicU64::new(0), limit: AtomicU64::new(limit) }
    }

    fn take(&self, count: u64) -> Result<(), Errno> {
        let limit = self.limit.load(Ordering::Relaxed);
        let more = |used: u64| used.checked_add(count).filter(|used| *used <= limit);
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.map(|_| ()).map_err(|_| Errno::ENOSPC)
    }

    fn give(&self, count: u64) {
        self.used.fetch_sub(count, Ordering::Relaxed);
    }

    fn free(&self) -> u64 {
        self.limit.load(Ordering::Relaxed).saturating_sub(self.used.load(Ordering::Relaxed))
    }
}

impl PageBudget for TmpFs {
    fn charge(&self, pages: u64) -> Result<(), Errno> {
        self.pages.take(pages)
    }

    fn release(&self, pages: u64) {
        self.pages.give(pages);
    }
}

/// A new tmpfs; the root directory.
pub fn new(options: &Options) -> Result<Arc<dyn Inode>, Errno> {
    let fs = TmpFs::new(options);
    let mode = raw::S_IFDIR | options.mode;
    Ok(TmpInode::new(&fs, &MakeArgs { mode, uid: options.uid, gid: options.gid, ..MakeArgs::default() })?)
}

impl TmpFs {
    /// A file system without files, for who keeps single inodes (an overlay, memfds).
    pub fn new(options: &Options) -> Arc<Self> {
        Arc::new(Self {
            device: next_device(),
            pages: Counter::new(options.pages),
            inodes: Counter::new(options.inodes),
            next_ino: AtomicU64::new(1),
        })
    }

    /// Its device number.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// Changes the limits (remount). EINVAL where more is in use.
    pub fn set_limits(&self, options: &Options) -> Result<(), Errno> {
        let fits = |counter: &Counter, limit| counter.used.load(Ordering::Relaxed) <= limit;
        if !fits(&self.pages, options.pages) || !fits(&self.inodes, options.inodes) {
            return Err(Errno::EINVAL);
        }
        self.pages.limit.store(options.pages, Ordering::Relaxed);
        self.inodes.limit.store(options.inodes, Ordering::Relaxed);
        Ok(())
    }

    /// Its numbers.
    pub fn stat_fs(&self) -> StatFs {
        let unlimited = |counter: &Counter| counter.limit.load(Ordering::Relaxed) == u64::MAX;
        let numbers = |counter: &Counter| match unlimited(counter) {
            true => (0, 0),
            false => (counter.limit.load(Ordering::Relaxed), counter.free()),
        };
        let ((blocks, bfree), (files, ffree)) = (numbers(&self.pages), numbers(&self.inodes));
        StatFs {
            kind: u64::from(raw::TMPFS_MAGIC),
            bsize: PAGE_SIZE,
            blocks,
            bfree,
            bavail: bfree,
            files,
            ffree,
            namelen: u64::from(raw::NAME_MAX),
        }
    }
}
