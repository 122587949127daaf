//! `TmpInode`: a file in memory, of any kind.

use super::TmpFs;
use super::dir::{Entries, TmpDir};
use super::file::TmpFile;
use crate::errno::Errno;
use crate::fs::acl::{Acl, Which};
use crate::fs::handle::Handle;
use crate::fs::regular::{MAX_FILE_SIZE, mode_after_write, now};
use crate::fs::{FileKind, FileOps, Inode, OpenFile, OpenFlags, Slot, device};
use crate::mm::Mapping;
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::task::Current;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::Ordering;
use linker::layout::PAGE_SIZE;
use linker::request::{Attr, MakeArgs, SetAttr, StatFs, Time};
use linux_raw_sys::general as raw;

/// A file of a tmpfs.
pub struct TmpInode {
    fs: Arc<TmpFs>,
    ino: u64,
    kind: FileKind,
    rdev: u64,
    meta: Lock<Meta>,
    pub(super) body: Body,
    slot: Slot,
}

/// What changes about a file.
pub(super) struct Meta {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub nlink: u32,
    pub seals: u32,
    pub atime: Time,
    pub mtime: Time,
    pub ctime: Time,
    btime: Time,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    access: Option<Arc<Acl>>,
    default: Option<Arc<Acl>>,
}

impl Meta {
    fn acl(&mut self, which: Which) -> &mut Option<Arc<Acl>> {
        match which {
            Which::Access => &mut self.access,
            Which::Default => &mut self.default,
        }
    }
}

/// What a file holds.
pub(super) enum Body {
    Regular(Arc<Mapping>),
    Directory(Lock<Entries>),
    Symlink(Box<[u8]>),
    /// Devices, FIFOs, sockets.
    Special,
}

/// What tmpfs says a directory entry takes.
const ENTRY_BYTES: u64 = 20;

impl TmpInode {
    /// A new file that no directory holds (a directory counts itself and its "."; others have no link yet).
    pub fn new(fs: &Arc<TmpFs>, args: &MakeArgs) -> Result<Arc<Self>, Errno> {
        Self::with_target(fs, args, b"")
    }

    /// A new symbolic link (`args.mode` says so), or as `new`.
    pub fn with_target(fs: &Arc<TmpFs>, args: &MakeArgs, target: &[u8]) -> Result<Arc<Self>, Errno> {
        let kind = FileKind::of_mode(args.mode);
        let body = match kind {
            FileKind::Regular => Body::Regular(Mapping::in_memory(0, Some(fs.clone()))),
            FileKind::Directory => Body::Directory(Lock::new(Rank::Inode, Entries::default())),
            FileKind::Symlink => Body::Symlink(target.into()),
            FileKind::Anonymous => return Err(Errno::EINVAL),
            _ => Body::Special,
        };
        fs.inodes.take(1)?;
        let time = now();
        let meta = Meta {
            mode: args.mode,
            uid: args.uid,
            gid: args.gid,
            nlink: if kind == FileKind::Directory { 2 } else { 0 },
            seals: raw::F_SEAL_SEAL,
            atime: time,
            mtime: time,
            ctime: time,
            btime: time,
            xattrs: BTreeMap::new(),
            access: None,
            default: None,
        };
        Ok(Arc::new(Self {
            fs: fs.clone(),
            ino: fs.next_ino.fetch_add(1, Ordering::Relaxed),
            kind,
            rdev: args.rdev,
            meta: Lock::new(Rank::Inode, meta),
            body,
            slot: Slot::new(),
        }))
    }

    pub(super) fn ino(&self) -> u64 {
        self.ino
    }

    pub(super) fn with_meta<T>(&self, change: impl FnOnce(&mut Meta) -> T) -> T {
        change(&mut self.meta.lock())
    }

    /// Moves mtime and ctime to now: the content changed.
    pub fn modified(&self) {
        let time = now();
        let mut meta = self.meta.lock();
        (meta.mtime, meta.ctime) = (time, time);
    }

    /// Moves ctime to now.
    pub fn changed_status(&self) {
        self.change_links(0);
    }

    /// Moves atime to now.
    pub fn accessed(&self) {
        let time = now();
        self.meta.lock().atime = time;
    }

    /// Sets times as they are: for copies of other files.
    pub fn set_times(&self, atime: Time, mtime: Time, ctime: Time) {
        let mut meta = self.meta.lock();
        (meta.atime, meta.mtime, meta.ctime) = (atime, mtime, ctime);
    }

    /// Takes the set-id bits away that a write by someone without CAP_FSETID takes, and moves the times.
    pub fn written(&self, privileged: bool) {
        let time = now();
        let mut meta = self.meta.lock();
        (meta.mtime, meta.ctime) = (time, time);
        if !privileged {
            meta.mode = mode_after_write(meta.mode);
        }
    }

    /// A link more or less; ctime moves.
    pub(super) fn change_links(&self, change: i32) {
        let time = now();
        let mut meta = self.meta.lock();
        meta.nlink = meta.nlink.saturating_add_signed(change);
        meta.ctime = time;
    }

    /// Changes its file system's limits (remount).
    pub fn set_limits(&self, options: &super::Options) -> Result<(), Errno> {
        self.fs.set_limits(options)
    }

    /// Allows sealing (MFD_ALLOW_SEALING).
    pub fn allow_seals(&self, seals: u32) {
        self.meta.lock().seals = seals;
    }

    pub(super) fn has_seal(&self, seals: u32) -> bool {
        self.meta.lock().seals & seals != 0
    }

    /// The pages of a regular file.
    pub fn pages(&self) -> Result<&Arc<Mapping>, Errno> {
        match &self.body {
            Body::Regular(mapping) => Ok(mapping),
            Body::Directory(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    fn resize(&self, size: u64) -> Result<(), Errno> {
        let mapping = self.pages()?;
        let old = mapping.size();
        if size < old && self.has_seal(raw::F_SEAL_SHRINK) || size > old && self.has_seal(raw::F_SEAL_GROW) {
            return Err(Errno::EPERM);
        }
        if size > MAX_FILE_SIZE {
            return Err(Errno::EFBIG);
        }
        mapping.truncate(size);
        Ok(())
    }
}

impl Inode for TmpInode {
    fn kind(&self) -> FileKind {
        self.kind
    }

    fn attr(&self) -> Result<Attr, Errno> {
        let (size, blocks) = match &self.body {
            Body::Regular(mapping) => (mapping.size(), mapping.cached_pages() * (PAGE_SIZE / 512)),
            Body::Directory(entries) => ((entries.lock().len() + 2) * ENTRY_BYTES, 0),
            Body::Symlink(target) => (target.len() as u64, 0),
            Body::Special => (0, 0),
        };
        let meta = self.meta.lock();
        Ok(Attr {
            dev: self.fs.device,
            ino: self.ino,
            size,
            blocks,
            mode: meta.mode,
            nlink: meta.nlink,
            uid: meta.uid,
            gid: meta.gid,
            blksize: PAGE_SIZE as u32,
            pad: 0,
            rdev: self.rdev,
            atime: meta.atime,
            mtime: meta.mtime,
            ctime: meta.ctime,
            btime: meta.btime,
        })
    }

    fn set_attr(&self, change: &SetAttr) -> Result<(), Errno> {
        let has = |bit| change.valid & bit != 0;
        if has(SetAttr::SIZE) {
            self.resize(change.size)?;
        }
        let time = now();
        let mut meta = self.meta.lock();
        meta.ctime = time;
        if has(SetAttr::SIZE) {
            meta.mtime = time;
        }
        if has(SetAttr::MODE) {
            meta.mode = meta.mode & raw::S_IFMT | change.mode & 0o7777;
            if let Some(acl) = &meta.access {
                meta.access = Some(Arc::new(acl.with_mode(change.mode)));
            }
        }
        if has(SetAttr::UID) {
            meta.uid = change.uid;
        }
        if has(SetAttr::GID) {
            meta.gid = change.gid;
        }
        if has(SetAttr::ATIME) {
            meta.atime = change.atime;
        }
        if has(SetAttr::MTIME) {
            meta.mtime = change.mtime;
        }
        Ok(())
    }

    fn open(self: Arc<Self>, current: &Current, flags: OpenFlags) -> Result<Arc<dyn FileOps>, Fail> {
        match self.kind {
            FileKind::Regular => Ok(Arc::new(TmpFile::new(self))),
            FileKind::Directory => Ok(Arc::new(TmpDir::new(self))),
            FileKind::CharDevice | FileKind::BlockDevice => device::open_device(current, self.kind, self.rdev, flags),
            _ => Err(Errno::ENXIO.into()),
        }
    }

    fn note_mapped(&self, file: &OpenFile) {
        self.read_through(file);
    }

    fn note_written(&self) {
        self.modified();
    }

    fn mapping(&self) -> Result<Arc<Mapping>, Errno> {
        match &self.body {
            Body::Regular(mapping) => Ok(mapping.clone()),
            _ => Err(Errno::ENODEV),
        }
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        Ok(self.entry(name)?)
    }

    fn make(&self, name: &[u8], args: &MakeArgs) -> Result<Arc<dyn Inode>, Errno> {
        let inode = Self::new(&self.fs, args)?;
        self.insert(name, &inode)?;
        Ok(inode)
    }

    fn list(&self) -> Result<Arc<crate::fs::entries::Entries>, Errno> {
        self.list_all().map(Arc::new)
    }

    fn symlink(&self, name: &[u8], target: &[u8], args: &MakeArgs) -> Result<Arc<dyn Inode>, Errno> {
        let inode = Self::with_target(&self.fs, args, target)?;
        self.insert(name, &inode)?;
        Ok(inode)
    }

    fn make_unnamed(&self, args: &MakeArgs) -> Result<Arc<dyn Inode>, Errno> {
        Ok(Self::new(&self.fs, args)?)
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<(), Errno> {
        let Some(inode) = target.as_any().downcast_ref::<Self>().filter(|inode| Arc::ptr_eq(&inode.fs, &self.fs))
        else {
            return Err(Errno::EXDEV);
        };
        self.insert_dyn(name, inode, target)
    }

    fn unlink(&self, name: &[u8], directory: bool) -> Result<(), Errno> {
        self.remove(name, directory)
    }

    fn rename(&self, name: &[u8], new_dir: &Arc<dyn Inode>, new_name: &[u8], flags: u32) -> Result<(), Errno> {
        let new_dir = new_dir.as_any().downcast_ref::<Self>().filter(|dir| Arc::ptr_eq(&dir.fs, &self.fs));
        self.move_entry(name, new_dir.ok_or(Errno::EXDEV)?, new_name, flags)
    }

    fn handle(&self) -> Option<Handle> {
        // No number is given twice.
        Some(Handle::new(self.ino, self.fs.device as u32))
    }

    fn read_link(&self, _: &Current) -> Result<Vec<u8>, Errno> {
        match &self.body {
            Body::Symlink(target) => Ok(target.to_vec()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn allocate(&self, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
        let mapping = self.pages()?;
        let end = offset.checked_add(len).filter(|end| *end <= MAX_FILE_SIZE).ok_or(Errno::EFBIG)?;
        let keep_size = mode & raw::FALLOC_FL_KEEP_SIZE != 0;
        match mode & !raw::FALLOC_FL_KEEP_SIZE {
            raw::FALLOC_FL_PUNCH_HOLE if keep_size => {
                if self.has_seal(raw::F_SEAL_WRITE | raw::F_SEAL_FUTURE_WRITE) {
                    return Err(Errno::EPERM);
                }
                mapping.punch_hole(offset, end.min(mapping.size()));
            }
            0 => {
                let grows = !keep_size && end > mapping.size();
                if grows && self.has_seal(raw::F_SEAL_GROW) {
                    return Err(Errno::EPERM);
                }
                mapping.allocate(offset, end)?;
                if grows {
                    mapping.truncate(end);
                }
            }
            _ => return Err(Errno::EOPNOTSUPP),
        }
        self.modified();
        Ok(())
    }

    fn seals(&self) -> Result<u32, Errno> {
        self.pages().map_err(|_| Errno::EINVAL)?;
        Ok(self.meta.lock().seals)
    }

    fn add_seals(&self, seals: u32) -> Result<(), Errno> {
        let mapping = self.pages().map_err(|_| Errno::EINVAL)?;
        let mut meta = self.meta.lock();
        if meta.seals & raw::F_SEAL_SEAL != 0 {
            return Err(Errno::EPERM);
        }
        if seals & raw::F_SEAL_WRITE != 0 && meta.seals & raw::F_SEAL_WRITE == 0 {
            mapping.seal()?;
        }
        if seals & raw::F_SEAL_FUTURE_WRITE != 0 {
            mapping.seal_future();
        }
        meta.seals |= seals;
        Ok(())
    }

    fn fifo_slot(&self) -> Option<&Slot> {
        (self.kind == FileKind::Fifo).then_some(&self.slot)
    }

    fn socket_slot(&self) -> Option<&Slot> {
        (self.kind == FileKind::Socket).then_some(&self.slot)
    }

    fn stat_fs(&self) -> Result<StatFs, Errno> {
        Ok(self.fs.stat_fs())
    }

    fn get_xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.meta.lock().xattrs.get(name).cloned().ok_or(Errno::ENODATA)
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> Result<(), Errno> {
        const PER_INODE: usize = 1 << 20;
        let time = now();
        let (name, value) = (name.to_vec(), value.to_vec());
        let mut meta = self.meta.lock();
        match meta.xattrs.contains_key(&name) {
            true if flags & raw::XATTR_CREATE != 0 => return Err(Errno::EEXIST),
            false if flags & raw::XATTR_REPLACE != 0 => return Err(Errno::ENODATA),
            _ => {}
        }
        let used: usize = meta.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        if used + name.len() + value.len() > PER_INODE {
            return Err(Errno::ENOSPC);
        }
        meta.xattrs.insert(name, value);
        meta.ctime = time;
        Ok(())
    }

    fn acl(&self, which: Which) -> Result<Option<Arc<Acl>>, Errno> {
        Ok(self.meta.lock().acl(which).clone())
    }

    fn set_acl(&self, which: Which, acl: Option<Arc<Acl>>, mode: Option<u32>) -> Result<(), Errno> {
        let time = now();
        let mut meta = self.meta.lock();
        if let Some(mode) = mode {
            meta.mode = meta.mode & raw::S_IFMT | mode;
        }
        *meta.acl(which) = acl;
        meta.ctime = time;
        Ok(())
    }

    fn list_xattr(&self) -> Result<Vec<u8>, Errno> {
        let meta = self.meta.lock();
        let mut names = Vec::new();
        for name in meta.xattrs.keys() {
            names.extend_from_slice(name);
            names.push(0);
        }
        Ok(names)
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        let time = now();
        let mut meta = self.meta.lock();
        meta.xattrs.remove(name).ok_or(Errno::ENODATA)?;
        meta.ctime = time;
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for TmpInode {
    /// Takes a tree apart without recursion: it may be deeper than a kernel stack.
    fn drop(&mut self) {
        self.fs.inodes.give(1);
        let mut pending = self.body.take_children();
        while let Some(child) = pending.pop() {
            if let Some(mut last) = Arc::into_inner(child) {
                pending.append(&mut last.body.take_children());
            }
        }
    }
}

impl Body {
    fn take_children(&mut self) -> Vec<Arc<TmpInode>> {
        match self {
            Self::Directory(entries) => entries.get_mut().take_all(),
            _ => Vec::new(),
        }
    }
}
