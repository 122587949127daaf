//! Directories in memory. An entry's cookie is its place in reading order: it never changes, and new ones come last.

use super::inode::{Body, TmpInode};
use crate::errno::Errno;
use crate::fs;
use crate::fs::entries::DirSink;
use crate::fs::regular::{FIRST_ENTRY, dirent_type, emit_dots, wants_access_time};
use crate::fs::{FileKind, FileOps, Inode, OpenFile};
use crate::syscall::Fail;
use crate::task::Current;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use hashbrown::HashMap;
use linux_raw_sys::general as raw;

/// A directory's names.
#[derive(Default)]
pub(super) struct Entries {
    by_name: HashMap<Arc<[u8]>, Entry>,
    by_cookie: BTreeMap<u64, Arc<[u8]>>,
    /// Entries ever made.
    made: u64,
    /// The directory itself was removed.
    dead: bool,
}

struct Entry {
    inode: Arc<TmpInode>,
    cookie: u64,
}

impl Entries {
    pub fn len(&self) -> u64 {
        self.by_name.len() as u64
    }

    /// Adds a name, or gives it to another file; returns which had it. ENOSPC where there is no room for the table.
    fn insert(&mut self, name: &[u8], inode: Arc<TmpInode>) -> Result<Option<Arc<TmpInode>>, Errno> {
        if let Some(entry) = self.by_name.get_mut(name) {
            return Ok(Some(core::mem::replace(&mut entry.inode, inode)));
        }
        self.by_name.try_reserve(1).map_err(|_| Errno::ENOSPC)?;
        let name: Arc<[u8]> = name.into();
        let cookie = self.made + FIRST_ENTRY;
        self.made += 1;
        self.by_cookie.insert(cookie, name.clone());
        self.by_name.insert(name, Entry { inode, cookie });
        Ok(None)
    }

    fn remove(&mut self, name: &[u8]) -> Option<Arc<TmpInode>> {
        let entry = self.by_name.remove(name)?;
        self.by_cookie.remove(&entry.cookie);
        Some(entry.inode)
    }

    pub fn take_all(&mut self) -> Vec<Arc<TmpInode>> {
        self.by_cookie.clear();
        core::mem::take(&mut self.by_name).into_values().map(|entry| entry.inode).collect()
    }
}

impl TmpInode {
    fn entries(&self) -> Result<&crate::sync::Lock<Entries>, Errno> {
        match &self.body {
            Body::Directory(entries) => Ok(entries),
            _ => Err(Errno::ENOTDIR),
        }
    }

    pub(super) fn entry(&self, name: &[u8]) -> Result<Arc<Self>, Errno> {
        let entries = self.entries()?.lock();
        entries.by_name.get(name).map(|entry| entry.inode.clone()).ok_or(Errno::ENOENT)
    }

    /// Enters a new file.
    pub(super) fn insert(&self, name: &[u8], inode: &Arc<Self>) -> Result<(), Errno> {
        {
            let mut entries = self.entries()?.lock();
            if entries.dead {
                return Err(Errno::ENOENT);
            }
            if entries.by_name.contains_key(name) {
                return Err(Errno::EEXIST);
            }
            entries.insert(name, inode.clone())?;
        }
        match inode.kind() {
            FileKind::Directory => self.change_links(1),
            _ => inode.change_links(1),
        }
        self.modified();
        Ok(())
    }

    /// Enters another name for a file that is there: `target` is `inode`.
    pub(super) fn insert_dyn(&self, name: &[u8], inode: &Self, target: &Arc<dyn Inode>) -> Result<(), Errno> {
        if inode.kind() == FileKind::Directory {
            return Err(Errno::EPERM);
        }
        let target = Self::arc_of(target).ok_or(Errno::EXDEV)?;
        self.insert(name, &target)
    }

    /// `target` as what it is.
    fn arc_of(target: &Arc<dyn Inode>) -> Option<Arc<Self>> {
        let any: Arc<dyn Any + Send + Sync> = target.clone().into_any();
        any.downcast().ok()
    }

    pub(super) fn remove(&self, name: &[u8], directory: bool) -> Result<(), Errno> {
        let inode = self.entry(name)?;
        match (inode.kind() == FileKind::Directory, directory) {
            (true, false) => return Err(Errno::EISDIR),
            (false, true) => return Err(Errno::ENOTDIR),
            _ => {}
        }
        if directory {
            inode.bury()?;
        }
        let gone = self.entries()?.lock().remove(name);
        drop(gone);
        self.lost(&inode);
        self.modified();
        Ok(())
    }

    /// Marks an empty directory as removed; ENOTEMPTY.
    fn bury(&self) -> Result<(), Errno> {
        let mut entries = self.entries()?.lock();
        if entries.len() > 0 {
            return Err(Errno::ENOTEMPTY);
        }
        entries.dead = true;
        Ok(())
    }

    /// Counts the links of a child that has lost its name here.
    fn lost(&self, inode: &Arc<Self>) {
        if inode.kind() == FileKind::Directory {
            inode.change_links(-2);
            self.change_links(-1);
        } else {
            inode.change_links(-1);
        }
    }

    /// rename(2); the VFS holds both directories and checked the kinds.
    pub(super) fn move_entry(&self, name: &[u8], new_dir: &Self, new_name: &[u8], flags: u32) -> Result<(), Errno> {
        let inode = self.entry(name)?;
        let over = new_dir.entry(new_name).ok();
        let is_dir = |inode: &Arc<Self>| inode.kind() == FileKind::Directory;
        if flags & raw::RENAME_EXCHANGE != 0 {
            let over = over.ok_or(Errno::ENOENT)?;
            let old = self.entries()?.lock().insert(name, over.clone())?;
            let other = new_dir.entries()?.lock().insert(new_name, inode.clone())?;
            drop((old, other));
            if is_dir(&inode) != is_dir(&over) {
                let change = if is_dir(&inode) { 1 } else { -1 };
                self.change_links(-change);
                new_dir.change_links(change);
            }
            over.change_links(0);
        } else {
            if flags & raw::RENAME_NOREPLACE != 0 && over.is_some() {
                return Err(Errno::EEXIST);
            }
            if let Some(over) = &over {
                match (is_dir(&inode), is_dir(over)) {
                    (true, false) => return Err(Errno::ENOTDIR),
                    (false, true) => return Err(Errno::EISDIR),
                    (true, true) => over.bury()?,
                    (false, false) => {}
                }
            }
            // Only a name that is new there can fail, and nothing has changed then.
            let replaced = new_dir.entries()?.lock().insert(new_name, inode.clone())?;
            let old = self.entries()?.lock().remove(name);
            drop((old, replaced));
            if let Some(over) = &over {
                new_dir.lost(over);
            }
            if is_dir(&inode) {
                self.change_links(-1);
                new_dir.change_links(1);
            }
        }
        inode.change_links(0);
        self.modified();
        new_dir.modified();
        Ok(())
    }

    /// All entries.
    pub(super) fn list_all(&self) -> Result<fs::entries::Entries, Errno> {
        self.entries()?;
        let mut entries = fs::entries::Entries::default();
        for (_, name, ino, kind) in self.list(0, usize::MAX) {
            entries.push(ino, dirent_type(kind), &name).ok_or(Errno::EOVERFLOW)?;
        }
        Ok(entries)
    }

    /// Up to `max` entries from `position` on: cookie, name, inode number, kind.
    fn list(&self, position: u64, max: usize) -> Vec<(u64, Arc<[u8]>, u64, FileKind)> {
        let Ok(entries) = self.entries() else { return Vec::new() };
        let entries = entries.lock();
        let from = entries.by_cookie.range(position..).take(max);
        let with_inode = from.filter_map(|(cookie, name)| {
            let inode = &entries.by_name.get(name)?.inode;
            Some((*cookie, name.clone(), inode.ino(), inode.kind()))
        });
        with_inode.collect()
    }
}

/// An open directory.
pub(super) struct TmpDir {
    inode: Arc<TmpInode>,
}

impl TmpDir {
    pub fn new(inode: Arc<TmpInode>) -> Self {
        Self { inode }
    }
}

impl FileOps for TmpDir {
    fn seekable(&self) -> bool {
        true
    }

    fn read(&self, _: &Current, _: &OpenFile, _: &mut crate::fs::Sink<'_>, _: u64) -> Result<usize, Fail> {
        Err(Errno::EISDIR.into())
    }

    fn seek(&self, _: &OpenFile, offset: i64, whence: u32) -> Result<u64, Errno> {
        if whence != raw::SEEK_END {
            return Err(Errno::EINVAL);
        }
        let end = self.inode.entries()?.lock().made + FIRST_ENTRY;
        end.checked_add_signed(offset).ok_or(Errno::EINVAL)
    }

    fn read_dir(&self, _: &Current, file: &OpenFile, position: u64, emit: &mut dyn DirSink) -> Result<(), Fail> {
        const BATCH: usize = 64;
        let (atime, mtime, ctime) = self.inode.with_meta(|meta| (meta.atime, meta.mtime, meta.ctime));
        if wants_access_time(file, atime, mtime, ctime) {
            self.inode.accessed();
        }
        if !emit_dots(file, position, emit) {
            return Ok(());
        }
        let mut position = position.max(FIRST_ENTRY);
        loop {
            let batch = self.inode.list(position, BATCH);
            if batch.is_empty() {
                return Ok(());
            }
            for (cookie, name, ino, kind) in batch {
                if !emit.put(ino, dirent_type(kind), &name, cookie + 1) {
                    return Ok(());
                }
                position = cookie + 1;
            }
        }
    }

    fn sync(&self, _: bool) -> Result<(), Fail> {
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
