//! Directories of an overlay: the lower directory's names, without those removed, and with those added.

use super::OverlayInode;
use crate::errno::Errno;
use crate::fs::entries::{DirSink, Entries};
use crate::fs::regular::{dirent_type, emit_dots};
use crate::fs::{FileOps, Inode, OpenFile};
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::task::Current;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::Ordering;
use linux_raw_sys::general as raw;

/// What is different about a directory's names.
#[derive(Default)]
pub(super) struct Names {
    changes: BTreeMap<Arc<[u8]>, Change>,
    /// The directory itself was removed.
    dead: bool,
}

enum Change {
    /// The name is this file's. `covers`: the lower directory has the name, too.
    Added { inode: Arc<OverlayInode>, covers: bool },
    /// The lower directory has the name, this one has not.
    Removed,
}

impl Names {
    pub fn take_all(&mut self) -> Vec<Arc<OverlayInode>> {
        let changes = core::mem::take(&mut self.changes).into_values();
        let added = changes.filter_map(|change| match change {
            Change::Added { inode, .. } => Some(inode),
            Change::Removed => None,
        });
        added.collect()
    }

    /// Takes the name out. `in_lower`: the lower directory shows it.
    fn take(&mut self, name: &[u8], in_lower: bool) -> Option<Change> {
        let covers = match self.changes.get(name) {
            Some(Change::Added { covers, .. }) => *covers,
            Some(Change::Removed) => true,
            None => in_lower,
        };
        if covers { self.changes.insert(name.into(), Change::Removed) } else { self.changes.remove(name) }
    }

    /// Gives the name to `inode`. `in_lower`: the lower directory shows it.
    fn put(&mut self, name: &[u8], inode: &Arc<OverlayInode>, in_lower: bool) -> Option<Change> {
        let covers = match self.changes.get(name) {
            Some(Change::Added { covers, .. }) => *covers,
            Some(Change::Removed) => true,
            None => in_lower,
        };
        self.changes.insert(name.into(), Change::Added { inode: inode.clone(), covers })
    }
}

impl OverlayInode {
    fn names(&self) -> Result<&Lock<Names>, Errno> {
        self.names.as_deref().ok_or(Errno::ENOTDIR)
    }

    fn is_directory(&self) -> bool {
        self.names.is_some()
    }

    pub(super) fn entry(&self, name: &[u8]) -> Result<Arc<Self>, Errno> {
        match self.names()?.lock().changes.get(name) {
            Some(Change::Added { inode, .. }) => return Ok(inode.clone()),
            Some(Change::Removed) => return Err(Errno::ENOENT),
            None => {}
        }
        let lower = self.lower.as_ref().ok_or(Errno::ENOENT)?;
        self.fs.stand_for(lower.lookup(name)?)
    }

    /// Gives `name` to a file, and moves the directory's times.
    fn put(&self, name: &[u8], inode: &Arc<Self>, in_lower: bool) -> Result<(), Errno> {
        let old = self.names()?.lock().put(name, inode, in_lower);
        drop(old);
        self.changed()
    }

    /// Takes `name` away, and moves the directory's times.
    fn take(&self, name: &[u8], in_lower: bool) -> Result<(), Errno> {
        let old = self.names()?.lock().take(name, in_lower);
        drop(old);
        self.changed()
    }

    fn changed(&self) -> Result<(), Errno> {
        self.copy_attributes()?.modified();
        self.fs.keep(self.key);
        Ok(())
    }

    fn count(&self, links: i32) {
        self.links.fetch_add(links, Ordering::Relaxed);
    }

    /// A file has lost its name in this directory.
    fn lost(&self, inode: &Self) -> Result<(), Errno> {
        if inode.is_directory() {
            inode.count(-2);
            self.count(-1);
        } else {
            inode.count(-1);
        }
        if inode.attr()?.nlink == 0 || inode.is_directory() {
            self.fs.release(inode.key);
        } else {
            inode.copy_attributes()?.changed_status();
        }
        Ok(())
    }

    /// What is asked of a directory before it gets a name. (Copying its attributes up first: nothing fails after.)
    fn prepare(&self) -> Result<(), Errno> {
        if self.names()?.lock().dead {
            return Err(Errno::ENOENT);
        }
        self.copy_attributes().map(|_| ())
    }

    pub(super) fn add_new(&self, name: &[u8], inode: &Arc<Self>) -> Result<(), Errno> {
        self.prepare()?;
        if self.entry(name).is_ok() {
            return Err(Errno::EEXIST);
        }
        if inode.is_directory() {
            self.count(1);
        } else {
            inode.count(1);
        }
        self.put(name, inode, false)
    }

    pub(super) fn add_link(&self, name: &[u8], inode: &Arc<Self>) -> Result<(), Errno> {
        if inode.is_directory() {
            return Err(Errno::EPERM);
        }
        inode.copy_attributes()?;
        self.add_new(name, inode)?;
        inode.copy_attributes()?.changed_status();
        Ok(())
    }

    pub(super) fn remove(&self, name: &[u8], directory: bool) -> Result<(), Errno> {
        let inode = self.entry(name)?;
        match (inode.is_directory(), directory) {
            (true, false) => return Err(Errno::EISDIR),
            (false, true) => return Err(Errno::ENOTDIR),
            _ => {}
        }
        self.prepare()?;
        if directory {
            inode.bury()?;
        }
        self.take(name, true)?;
        self.lost(&inode)
    }

    /// Marks an empty directory as removed; ENOTEMPTY.
    fn bury(&self) -> Result<(), Errno> {
        if self.entries()?.count() != 0 {
            return Err(Errno::ENOTEMPTY);
        }
        self.names()?.lock().dead = true;
        Ok(())
    }

    pub(super) fn move_entry(&self, name: &[u8], to: &Arc<Self>, new_name: &[u8], flags: u32) -> Result<(), Errno> {
        let inode = self.entry(name)?;
        let over = to.entry(new_name).ok();
        if flags & raw::RENAME_NOREPLACE != 0 && over.is_some() {
            return Err(Errno::EEXIST);
        }
        self.prepare()?;
        to.prepare()?;
        inode.copy_attributes()?;
        if let Some(over) = &over {
            match (inode.is_directory(), over.is_directory()) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                (true, true) => over.bury()?,
                (false, false) => {}
            }
        }
        self.take(name, true)?;
        to.put(new_name, &inode, over.is_some())?;
        if let Some(over) = &over {
            to.lost(over)?;
        }
        if inode.is_directory() {
            self.count(-1);
            to.count(1);
        }
        inode.copy_attributes()?.changed_status();
        Ok(())
    }

    pub(super) fn exchange(&self, name: &[u8], to: &Arc<Self>, new_name: &[u8]) -> Result<(), Errno> {
        let (inode, other) = (self.entry(name)?, to.entry(new_name)?);
        self.prepare()?;
        to.prepare()?;
        inode.copy_attributes()?;
        other.copy_attributes()?;
        self.put(name, &other, true)?;
        to.put(new_name, &inode, true)?;
        if inode.is_directory() != other.is_directory() {
            let change = if inode.is_directory() { 1 } else { -1 };
            self.count(-change);
            to.count(change);
        }
        inode.copy_attributes()?.changed_status();
        other.copy_attributes()?.changed_status();
        Ok(())
    }

    /// All entries: the lower directory's own where nothing is different.
    pub(super) fn entries(&self) -> Result<Arc<Entries>, Errno> {
        let lower = self.lower.as_ref().map_or(Ok(Arc::default()), |lower| lower.list())?;
        let names = self.names()?.lock();
        if names.changes.is_empty() {
            return Ok(lower);
        }
        let mut entries = Entries::default();
        let mut fits = Some(());
        for entry in lower.iter().filter(|entry| !names.changes.contains_key(entry.name)) {
            fits = fits.and_then(|()| entries.push(entry.ino, entry.kind, entry.name));
        }
        for (name, change) in &names.changes {
            if let Change::Added { inode, .. } = change {
                fits = fits.and_then(|()| entries.push(inode.ino(), dirent_type(inode.kind()), name));
            }
        }
        fits.map(|()| Arc::new(entries)).ok_or(Errno::EOVERFLOW)
    }
}

/// An open directory: it lists what was there when listing began.
pub(super) struct OverlayDir {
    inode: Arc<OverlayInode>,
    listing: Lock<Option<Arc<Entries>>>,
}

impl OverlayDir {
    pub fn new(inode: Arc<OverlayInode>) -> Self {
        Self { inode, listing: Lock::new(Rank::Leaf, None) }
    }
}

impl FileOps for OverlayDir {
    fn seekable(&self) -> bool {
        true
    }

    fn read(&self, _: &Current, _: &OpenFile, _: &mut crate::fs::Sink<'_>, _: u64) -> Result<usize, Fail> {
        Err(Errno::EISDIR.into())
    }

    fn read_dir(&self, _: &Current, file: &OpenFile, position: u64, emit: &mut dyn DirSink) -> Result<(), Fail> {
        let known = self.listing.lock().clone().filter(|_| position != 0);
        let listing = match known {
            Some(listing) => listing,
            None => {
                let new = self.inode.entries()?;
                let old = self.listing.lock().replace(new.clone());
                drop(old);
                new
            }
        };
        if emit_dots(file, position, emit) {
            emit.put_all(&listing, position);
        }
        Ok(())
    }

    fn sync(&self, _: bool) -> Result<(), Fail> {
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
