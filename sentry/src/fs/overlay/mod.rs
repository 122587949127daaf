//! Overlay: a lower tree that is never written, and changes to it kept in memory.
//!
//! There is no upper tree with whiteouts and redirects: changes live and die with the sandbox, so each `OverlayInode` simply
//! carries what is different: names added and removed (`dir`), attributes, extended attributes and bytes copied up when they are
//! first changed (`copy_up`), each for itself. A renamed directory keeps its lower one: renaming costs nothing. Inode numbers
//! are the lower tree's and never change. What was not changed is read from the lower file's `Mapping`, uncopied.
//!
//! `Overlay` knows all live inodes by the lower file they stand for, so that hard links meet, and owns those that were changed.
//! Locks: `Overlay::inodes` and an inode's `names` are never held together; `copying` is a `SleepLock`.

mod copy_up;
mod dir;
mod file;
mod inode;
#[cfg(test)]
mod tests;

pub use inode::OverlayInode;

use super::inode::Inode;
use super::mount::next_device;
use super::tmpfs::{Options, TmpFs};
use crate::errno::Errno;
use crate::platform::platform;
use crate::sync::{Lock, Rank};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use hashbrown::HashMap;
use linker::request::Attr;

/// A lower file: its device and inode number.
type Key = (u64, u64);

/// One overlay file system.
pub struct Overlay {
    upper: Arc<TmpFs>,
    device: u64,
    /// Lower device numbers, and what stands for them here; the lower root's comes first.
    devices: Lock<Vec<(u64, u64)>>,
    inodes: Lock<HashMap<Key, Known>>,
    next_ino: AtomicU64,
}

/// An inode that stands for a lower file.
enum Known {
    /// Nothing changed: it may be made anew.
    Same(Weak<OverlayInode>),
    /// It carries changes.
    Changed(Arc<OverlayInode>),
}

/// Numbers of files that have no lower one start here, above what file systems use and below what a double cannot count.
const FIRST_INO: u64 = 1 << 48;

/// An overlay on `lower`, a directory; its root. Changes may take three quarters of memory, then there is no space left: with
/// all of it full of files that nobody can be made to give up, programs would be killed one after the other, down to the shell.
pub fn new(lower: Arc<dyn Inode>) -> Result<Arc<dyn Inode>, Errno> {
    let pages = platform().memory_info().total_pages / 4 * 3;
    let device = next_device();
    let fs = Arc::new(Overlay {
        upper: TmpFs::new(&Options { pages, inodes: pages, ..Options::unlimited() }),
        device,
        devices: Lock::new(Rank::FileSystem, Vec::from([(lower.attr()?.dev, device)])),
        inodes: Lock::new(Rank::FileSystem, HashMap::new()),
        next_ino: AtomicU64::new(FIRST_INO),
    });
    Ok(fs.stand_for(lower)?)
}

impl Overlay {
    /// The inode that stands for `lower`.
    fn stand_for(self: &Arc<Self>, lower: Arc<dyn Inode>) -> Result<Arc<OverlayInode>, Errno> {
        let attr = lower.attr()?;
        let key = (attr.dev, attr.ino);
        let found = self.inodes.lock().get(&key).and_then(Known::get);
        if let Some(found) = found.filter(|found| found.kind() == lower.kind()) {
            return Ok(found);
        }
        let new = OverlayInode::on(self, lower, key, self.device_for(&attr));
        let old = self.inodes.lock().insert(key, Known::Same(Arc::downgrade(&new)));
        // Two look-ups at once: the first one counts.
        if let Some(first) = old.as_ref().and_then(Known::get).filter(|first| first.kind() == new.kind()) {
            let mine = old.and_then(|old| self.inodes.lock().insert(key, old));
            drop(mine);
            return Ok(first);
        }
        drop(old);
        Ok(new)
    }

    /// The device number that files of a lower device have here: each lower file system keeps one of its own.
    fn device_for(&self, attr: &Attr) -> u64 {
        let mut devices = self.devices.lock();
        if let Some((_, device)) = devices.iter().find(|(lower, _)| *lower == attr.dev) {
            return *device;
        }
        let device = next_device();
        devices.push((attr.dev, device));
        device
    }

    fn new_ino(&self) -> u64 {
        self.next_ino.fetch_add(1, Ordering::Relaxed)
    }

    /// Owns the inode from now on: it has changed.
    fn keep(&self, key: Option<Key>) {
        let Some(key) = key else { return };
        let mut inodes = self.inodes.lock();
        if let Some(known) = inodes.get_mut(&key)
            && let Known::Same(weak) = known
            && let Some(inode) = weak.upgrade()
        {
            *known = Known::Changed(inode);
        }
    }

    /// Lets go of an inode that has lost its last name.
    fn release(&self, key: Option<Key>) {
        let Some(key) = key else { return };
        let mut inodes = self.inodes.lock();
        let owned = match inodes.get_mut(&key) {
            Some(known @ Known::Changed(_)) => {
                let weak = known.get().map_or(Weak::new(), |inode| Arc::downgrade(&inode));
                Some(core::mem::replace(known, Known::Same(weak)))
            }
            _ => None,
        };
        drop(inodes);
        drop(owned);
    }

    /// Forgets an inode that is gone.
    fn forget(&self, key: Key) {
        let mut inodes = self.inodes.lock();
        if matches!(inodes.get(&key), Some(Known::Same(weak)) if weak.strong_count() == 0) {
            inodes.remove(&key);
        }
    }
}

impl Known {
    fn get(&self) -> Option<Arc<OverlayInode>> {
        match self {
            Self::Same(weak) => weak.upgrade(),
            Self::Changed(inode) => Some(inode.clone()),
        }
    }
}
