//! `OverlayInode`: a file of an overlay.

use super::dir::{Names, OverlayDir};
use super::file::OverlayFile;
use super::{Key, Overlay};
use crate::errno::Errno;
use crate::fs::acl::{Acl, Which};
use crate::fs::entries::Entries;
use crate::fs::handle::Handle;
use crate::fs::tmpfs::TmpInode;
use crate::fs::{FileKind, FileOps, Inode, OpenFile, OpenFlags, Slot, Trust, device};
use crate::mm::Mapping;
use crate::sync::{Lock, Rank, SleepLock};
use crate::syscall::Fail;
use crate::task::Current;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use linker::request::{Attr, MakeArgs, SetAttr, StatFs};
use linux_raw_sys::general as raw;

/// A file of an overlay: a lower file and what is different, or a new file.
pub struct OverlayInode {
    pub(super) fs: Arc<Overlay>,
    kind: FileKind,
    ino: u64,
    device: u64,
    pub(super) key: Option<Key>,
    pub(super) lower: Option<Arc<dyn Inode>>,
    /// Attributes that changed, and what goes with them; all of a new file.
    pub(super) upper: spin::Once<Arc<TmpInode>>,
    /// The bytes are in `upper`.
    pub(super) has_data: AtomicBool,
    /// The extended attributes are in `upper`.
    pub(super) has_xattrs: AtomicBool,
    pub(super) copying: SleepLock<()>,
    /// Links made and lost since the lower file was found (of a new file: all).
    pub(super) links: AtomicI32,
    pub(super) names: Option<Box<Lock<Names>>>,
    slot: Slot,
}

impl OverlayInode {
    /// Stands for `lower`.
    pub(super) fn on(fs: &Arc<Overlay>, lower: Arc<dyn Inode>, key: Key, device: u64) -> Arc<Self> {
        Arc::new(Self::with(fs, lower.kind(), key.1, device, Some(key), Some(lower)))
    }

    /// A new file. It has no name yet (a directory counts itself and its ".").
    pub(super) fn fresh(fs: &Arc<Overlay>, upper: Arc<TmpInode>) -> Arc<Self> {
        let new = Self::with(fs, upper.kind(), fs.new_ino(), fs.device, None, None);
        new.upper.call_once(|| upper);
        if new.kind == FileKind::Directory {
            new.links.store(2, Ordering::Relaxed);
        }
        Arc::new(new)
    }

    fn with(
        fs: &Arc<Overlay>,
        kind: FileKind,
        ino: u64,
        device: u64,
        key: Option<Key>,
        lower: Option<Arc<dyn Inode>>,
    ) -> Self {
        let names = || Box::new(Lock::new(Rank::Inode, Names::default()));
        Self {
            fs: fs.clone(),
            kind,
            ino,
            device,
            key,
            has_data: AtomicBool::new(lower.is_none()),
            has_xattrs: AtomicBool::new(lower.is_none()),
            lower,
            upper: spin::Once::new(),
            copying: SleepLock::new(()),
            links: AtomicI32::new(0),
            names: (kind == FileKind::Directory).then(names),
            slot: Slot::new(),
        }
    }

    pub(super) fn ino(&self) -> u64 {
        self.ino
    }

    /// The upper file, for one whose bytes are there.
    pub(super) fn data(&self) -> Option<&Arc<TmpInode>> {
        if self.has_data.load(Ordering::Acquire) { self.upper.get() } else { None }
    }

    /// Where the extended attributes are.
    fn xattr_owner(&self) -> Result<&dyn Inode, Errno> {
        match (&self.lower, self.upper.get()) {
            (_, Some(upper)) if self.has_xattrs.load(Ordering::Acquire) => Ok(&**upper),
            (Some(lower), _) => Ok(&**lower),
            (None, _) => Err(Errno::EIO),
        }
    }

    /// `inode` as one of this overlay's.
    pub(super) fn of(&self, inode: &Arc<dyn Inode>) -> Result<Arc<Self>, Errno> {
        let any: Arc<dyn Any + Send + Sync> = inode.clone().into_any();
        let same = any.downcast::<Self>().ok().filter(|inode| Arc::ptr_eq(&inode.fs, &self.fs));
        same.ok_or(Errno::EXDEV)
    }
}

impl Inode for OverlayInode {
    fn kind(&self) -> FileKind {
        self.kind
    }

    fn attr(&self) -> Result<Attr, Errno> {
        let lower = self.lower.as_ref().map(|lower| lower.attr()).transpose()?;
        let mut attr = match (self.upper.get(), lower) {
            (Some(upper), _) => upper.attr()?,
            (None, Some(lower)) => lower,
            (None, None) => return Err(Errno::EIO),
        };
        let mut links = 0;
        if let Some(lower) = lower {
            if !self.has_data.load(Ordering::Acquire) || self.kind != FileKind::Regular {
                (attr.size, attr.blocks) = (lower.size, lower.blocks);
            }
            links = lower.nlink;
        }
        attr.nlink = links.saturating_add_signed(self.links.load(Ordering::Relaxed));
        (attr.dev, attr.ino) = (self.device, self.ino);
        Ok(attr)
    }

    fn set_attr(&self, change: &SetAttr) -> Result<(), Errno> {
        if change.valid & SetAttr::SIZE != 0 {
            if self.kind != FileKind::Regular {
                return Err(Errno::EINVAL);
            }
            self.copy_data(change.size)?;
        }
        self.copy_attributes()?.set_attr(change)
    }

    fn open(self: Arc<Self>, current: &Current, flags: OpenFlags) -> Result<Arc<dyn FileOps>, Fail> {
        match self.kind {
            FileKind::Regular => {
                if flags.writable() {
                    // What O_TRUNC is about to cut off need not be copied.
                    self.copy_data(if flags.contains(OpenFlags::TRUNC) { 0 } else { u64::MAX })?;
                } else if self.data().is_none() && matches!(self.mapping(), Err(Errno::ENODEV)) {
                    // A lower file without pages does its own reading.
                    let lower = self.lower.clone().ok_or(Errno::EIO)?;
                    return lower.open(current, flags);
                }
                Ok(Arc::new(OverlayFile::new(self)))
            }
            FileKind::Directory => Ok(Arc::new(OverlayDir::new(self))),
            FileKind::CharDevice | FileKind::BlockDevice => {
                device::open_device(current, self.kind, self.attr()?.rdev, flags)
            }
            _ => Err(Errno::ENXIO.into()),
        }
    }

    fn note_mapped(&self, file: &OpenFile) {
        if let Some(upper) = self.data() {
            upper.note_mapped(file);
        }
    }

    fn note_written(&self) {
        if let Some(upper) = self.data() {
            upper.note_written();
        }
    }

    fn mapping(&self) -> Result<Arc<Mapping>, Errno> {
        match (self.data(), &self.lower) {
            (Some(upper), _) => upper.mapping(),
            (None, Some(lower)) => lower.mapping(),
            (None, None) => Err(Errno::ENODEV),
        }
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        Ok(self.entry(name)?)
    }

    fn trust(&self) -> Trust {
        self.lower.as_ref().map_or(Trust::Always, |lower| lower.trust())
    }

    fn make(&self, name: &[u8], args: &MakeArgs) -> Result<Arc<dyn Inode>, Errno> {
        let inode = Self::fresh(&self.fs, TmpInode::new(&self.fs.upper, args)?);
        self.add_new(name, &inode)?;
        Ok(inode)
    }

    fn symlink(&self, name: &[u8], target: &[u8], args: &MakeArgs) -> Result<Arc<dyn Inode>, Errno> {
        let inode = Self::fresh(&self.fs, TmpInode::with_target(&self.fs.upper, args, target)?);
        self.add_new(name, &inode)?;
        Ok(inode)
    }

    fn make_unnamed(&self, args: &MakeArgs) -> Result<Arc<dyn Inode>, Errno> {
        Ok(Self::fresh(&self.fs, TmpInode::new(&self.fs.upper, args)?))
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<(), Errno> {
        self.add_link(name, &self.of(target)?)
    }

    fn unlink(&self, name: &[u8], directory: bool) -> Result<(), Errno> {
        self.remove(name, directory)
    }

    fn rename(&self, name: &[u8], new_dir: &Arc<dyn Inode>, new_name: &[u8], flags: u32) -> Result<(), Errno> {
        let new_dir = self.of(new_dir)?;
        if flags & raw::RENAME_EXCHANGE != 0 {
            return self.exchange(name, &new_dir, new_name);
        }
        self.move_entry(name, &new_dir, new_name, flags)
    }

    fn handle(&self) -> Option<Handle> {
        // What is copied up stays the file that it was.
        let below = self.lower.as_ref().and_then(|lower| lower.handle()).map_or(0, |lower| lower.generation);
        Some(Handle::new(self.ino, below ^ self.device as u32))
    }

    fn read_link(&self, current: &Current) -> Result<Vec<u8>, Errno> {
        match (&self.lower, self.upper.get()) {
            (Some(lower), _) => lower.read_link(current),
            (None, Some(upper)) => upper.read_link(current),
            (None, None) => Err(Errno::EINVAL),
        }
    }

    fn list(&self) -> Result<Arc<Entries>, Errno> {
        self.entries()
    }

    fn allocate(&self, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
        self.copy_data(u64::MAX)?;
        self.data().ok_or(Errno::EIO)?.allocate(mode, offset, len)
    }

    fn fifo_slot(&self) -> Option<&Slot> {
        (self.kind == FileKind::Fifo).then_some(&self.slot)
    }

    fn socket_slot(&self) -> Option<&Slot> {
        (self.kind == FileKind::Socket).then_some(&self.slot)
    }

    fn stat_fs(&self) -> Result<StatFs, Errno> {
        Ok(StatFs { kind: u64::from(raw::OVERLAYFS_SUPER_MAGIC), ..self.fs.upper.stat_fs() })
    }

    fn get_xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.xattr_owner()?.get_xattr(name)
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> Result<(), Errno> {
        self.copy_xattrs()?.set_xattr(name, value, flags)
    }

    fn acl(&self, which: Which) -> Result<Option<Arc<Acl>>, Errno> {
        // Those of lower files are not asked for.
        self.upper.get().map_or(Ok(None), |upper| upper.acl(which))
    }

    fn set_acl(&self, which: Which, acl: Option<Arc<Acl>>, mode: Option<u32>) -> Result<(), Errno> {
        self.copy_attributes()?.set_acl(which, acl, mode)
    }

    fn list_xattr(&self) -> Result<Vec<u8>, Errno> {
        self.xattr_owner()?.list_xattr()
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        self.xattr_owner()?.get_xattr(name)?;
        self.copy_xattrs()?.remove_xattr(name)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for OverlayInode {
    /// Forgets the inode, and takes a tree of new directories apart without recursion.
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.fs.forget(key);
        }
        let mut pending = self.take_children();
        while let Some(child) = pending.pop() {
            if let Some(mut last) = Arc::into_inner(child) {
                pending.append(&mut last.take_children());
            }
        }
    }
}

impl OverlayInode {
    fn take_children(&mut self) -> Vec<Arc<OverlayInode>> {
        self.names.as_mut().map_or(Vec::new(), |names| names.get_mut().take_all())
    }
}
