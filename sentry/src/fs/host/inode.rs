//! `HostInode`: a file of the host, and what is known of it. One object a file, however many names it has.

use super::ahead::Names;
use super::client::Node;
use super::data::Data;
use super::directory::{HostDirectory, Listing};
use super::file::HostFile;
use super::reader::Key;
use super::tree::{HostFs, Sharing};
use crate::errno::Errno;
use crate::fs::device::open_device;
use crate::fs::entries::Entries;
use crate::fs::handle::Handle;
use crate::fs::{FileKind, FileOps, Inode, OpenFlags, Slot, Trust};
use crate::mm::Mapping;
use crate::platform::platform;
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::task::Current;
use crate::time::NS_PER_SEC;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::Ordering;
use linker::layout::PAGE_SIZE;
use linker::request::{Attr, MakeArgs, SetAttr, StatFs};
use linux_raw_sys::general as raw;

/// Names that were missing in an exclusive directory before its whole listing is fetched, which answers for all others; one
/// more for each page of the directory, which costs about as much to read as one question, and so many more at most.
const MISSES: u32 = 3;
const MORE_MISSES: u64 = 64;
/// Entries of a directory that is listed for that purpose.
const LISTED: usize = 16 << 10;

/// A file of the host.
pub struct HostInode {
    pub(super) fs: Arc<HostFs>,
    pub(super) node: Arc<Node>,
    pub(super) key: Key,
    pub(super) kind: FileKind,
    /// Of a directory: what was told of its names.
    pub(super) names: Lock<Option<Box<Names>>>,
    data: Option<(Arc<Data>, Arc<Mapping>)>,
    state: Lock<State>,
    slot: Slot,
}

struct State {
    attr: Attr,
    valid: bool,
    /// When the host told them.
    at_ns: u64,
    /// `HostFs::changes` then.
    changes: u64,
    /// Counts `expire`: an answer that was asked for before says nothing about what happened since.
    expired: u64,
    /// The entries, and when the host told them.
    listing: Option<(Arc<Listing>, u64)>,
    /// Names that were not there since the last listing.
    misses: u32,
    target: Option<Arc<[u8]>>,
    xattrs: Option<Arc<[u8]>>,
}

impl State {
    /// How many names may be missing before the directory is listed.
    fn patience(&self) -> u32 {
        MISSES + (self.attr.size / PAGE_SIZE).min(MORE_MISSES) as u32
    }
}

impl HostInode {
    pub(super) fn new(fs: Arc<HostFs>, node: Node, attr: Attr, file: Option<super::client::File>, at_ns: u64) -> Self {
        let node = Arc::new(node);
        let kind = FileKind::of_mode(attr.mode);
        let data = (kind == FileKind::Regular).then(|| {
            let data = Data::new(node.clone(), file);
            let mapping = Mapping::new(data.clone(), attr.size);
            (data, mapping)
        });
        let state = State {
            attr,
            valid: true,
            at_ns,
            changes: fs.changes.load(Ordering::Relaxed),
            expired: 0,
            listing: None,
            misses: 0,
            target: None,
            xattrs: None,
        };
        let names = Lock::new(Rank::Inode, None);
        let key = (attr.dev, attr.ino);
        Self { fs, node, key, kind, names, data, state: Lock::new(Rank::Inode, state), slot: Slot::new() }
    }

    /// Whether its attributes are these, as far as is known.
    pub(super) fn attr_is(&self, attr: &Attr) -> bool {
        self.state.lock().attr == *attr
    }

    /// Whether its attributes were told later than at `at_ns`.
    pub(super) fn knows_newer(&self, at_ns: u64) -> bool {
        let state = self.state.lock();
        state.valid && state.at_ns > at_ns
    }

    /// Whether nobody else changes the file.
    pub(super) fn exclusive(&self) -> bool {
        self.fs.is_exclusive()
    }

    /// Whether others may change the file at any time.
    pub(super) fn shared(&self) -> bool {
        self.fs.sharing == Sharing::Shared
    }

    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    /// The attributes may have changed by what we did: they are asked for again.
    pub(super) fn expire(&self) {
        let mut state = self.state.lock();
        state.valid = false;
        state.expired += 1;
        drop(state);
        self.fs.reader.touch(self.key);
    }

    /// Its size as far as is known.
    pub(super) fn size_now(&self) -> u64 {
        self.state.lock().attr.size
    }

    /// These entries of the directory have changed by what we did.
    fn changed_entries(&self, names: &[&[u8]]) {
        self.fs.reader.touch(self.key);
        self.changed_names(names);
        let mut state = self.state.lock();
        state.valid = false;
        state.expired += 1;
        state.misses = 0;
        let old = state.listing.take();
        drop(state);
        drop(old);
    }

    /// Takes what the host says now. Another's change to a shared file's data makes the cached pages void.
    pub(super) fn learn(&self, attr: Attr, at_ns: u64) {
        let exclusive = self.fs.is_exclusive();
        let mut state = self.state.lock();
        let old = state.attr;
        if exclusive && state.valid && state.changes == self.fs.changes.load(Ordering::Relaxed) {
            return;
        }
        // In a quiet tree a change that follows one of our own is taken for ours: what we wrote is in the cache.
        let ours = self.fs.sharing == Sharing::Quiet && !state.valid;
        state.attr = attr;
        state.valid = true;
        state.at_ns = at_ns;
        state.changes = self.fs.changes.load(Ordering::Relaxed);
        let target = if exclusive || old.ctime == attr.ctime { None } else { state.target.take() };
        drop(state);
        drop(target);
        if let Some((_, mapping)) = self.data.as_ref().filter(|_| !exclusive)
            && ((old.mtime, old.size) != (attr.mtime, attr.size) && !ours || mapping.size() != attr.size)
        {
            mapping.note_size(attr.size);
            mapping.invalidate(false);
        }
    }

    /// The attributes if they can be believed without asking.
    fn cached_attr(&self) -> Option<Attr> {
        let state = self.state.lock();
        let sure = state.valid && state.changes == self.fs.changes.load(Ordering::Relaxed);
        (sure && state.at_ns >= self.fs.believed_ns()).then_some(state.attr)
    }

    /// Brings a shared file up to date (open, reading at the end).
    pub(super) fn revalidate(&self) -> Result<(), Errno> {
        self.attr().map(drop)
    }

    /// Page cache and descriptors of a regular file.
    pub(super) fn data(&self) -> Option<(&Arc<Data>, &Arc<Mapping>)> {
        self.data.as_ref().map(|(data, mapping)| (data, mapping))
    }

    /// The entries of a directory, from the cache where that may answer.
    pub(super) fn listing(&self) -> Result<Arc<Listing>, Errno> {
        if let Some(listing) = self.cached_listing() {
            return Ok(listing);
        }
        let (before, now) = (self.state.lock().expired, platform().monotonic_ns());
        let listing = Arc::new(Listing::new(self.node.read_dir()?));
        self.note_listing(&listing, true);
        if self.fs.sharing != Sharing::Shared && listing.len() <= LISTED {
            let mut state = self.state.lock();
            let old = if state.expired == before { state.listing.replace((listing.clone(), now)) } else { None };
            drop(state);
            drop(old);
        }
        Ok(listing)
    }

    fn cached_listing(&self) -> Option<Arc<Listing>> {
        let mut state = self.state.lock();
        let (listing, at_ns) = state.listing.as_ref()?;
        if self.fs.trust().holds(*at_ns) {
            return Some(listing.clone());
        }
        // Too old: names that are missing are counted anew until it is worth another one.
        state.misses = 0;
        let old = state.listing.take();
        drop(state);
        drop(old);
        None
    }

    /// Whether the cached listing knows that `name` is missing. After a few misses the listing is fetched for this.
    fn surely_missing(&self, name: &[u8]) -> bool {
        if self.fs.sharing == Sharing::Shared {
            return false;
        }
        let listing = self.cached_listing();
        let listing = match listing {
            Some(listing) => Some(listing),
            None => {
                let enough = {
                    let mut state = self.state.lock();
                    let enough = state.misses == state.patience();
                    state.misses += u32::from(enough);
                    enough
                };
                if enough { self.listing().ok() } else { None }
            }
        };
        listing.is_some_and(|listing| listing.len() <= LISTED && !listing.contains(name))
    }

    fn of(inode: &Arc<dyn Inode>) -> Option<&Self> {
        inode.as_any().downcast_ref()
    }

    /// The cached list of extended attributes of an exclusive file.
    fn xattrs(&self) -> Result<Arc<[u8]>, Errno> {
        if let Some(names) = self.state.lock().xattrs.clone() {
            return Ok(names);
        }
        let before = self.state.lock().expired;
        let names: Arc<[u8]> = self.node.list_xattr()?.into();
        if self.fs.is_exclusive() {
            let mut state = self.state.lock();
            if state.expired == before {
                state.xattrs = Some(names.clone());
            }
        }
        Ok(names)
    }

    fn changed_xattrs(&self) {
        self.fs.reader.touch(self.key);
        let mut state = self.state.lock();
        state.valid = false;
        state.expired += 1;
        let old = state.xattrs.take();
        drop(state);
        drop(old);
    }
}

impl Inode for HostInode {
    fn kind(&self) -> FileKind {
        self.kind
    }

    fn attr(&self) -> Result<Attr, Errno> {
        let cached = self.cached_attr();
        let mut attr = match cached {
            Some(attr) => attr,
            None => {
                let before = self.state.lock().expired;
                let asked_ns = platform().monotonic_ns();
                let attr = self.node.attr()?;
                let now = platform().monotonic_ns();
                self.fs.reader.took(now.saturating_sub(asked_ns));
                self.fs.reader.saw(attr.ctime);
                self.learn(attr, now);
                let mut state = self.state.lock();
                if state.expired != before {
                    state.valid = false;
                }
                attr
            }
        };
        if let Some((_, mapping)) = self.data.as_ref().filter(|_| self.fs.is_exclusive()) {
            attr.size = mapping.size();
        }
        Ok(attr)
    }

    fn set_attr(&self, change: &SetAttr) -> Result<(), Errno> {
        if let Some((_, mapping)) = &self.data {
            // What is written later would move the times again.
            mapping.write_back(0, u64::MAX)?;
        }
        let result = self.node.set_attr(change);
        self.expire();
        let attr = result?;
        if let Some((_, mapping)) = self.data.as_ref().filter(|_| change.valid & SetAttr::SIZE != 0) {
            mapping.truncate(change.size);
        }
        self.learn(attr, platform().monotonic_ns());
        Ok(())
    }

    fn open(self: Arc<Self>, current: &Current, flags: OpenFlags) -> Result<Arc<dyn FileOps>, Fail> {
        match self.kind {
            FileKind::Regular => Ok(Arc::new(HostFile::new(self, flags)?)),
            FileKind::Directory => Ok(Arc::new(HostDirectory::new(self))),
            FileKind::CharDevice | FileKind::BlockDevice => {
                let rdev = self.attr()?.rdev;
                open_device(current, self.kind, rdev, flags)
            }
            _ => Err(Errno::ENXIO.into()),
        }
    }

    fn mapping(&self) -> Result<Arc<Mapping>, Errno> {
        self.data.as_ref().map(|(_, mapping)| mapping.clone()).ok_or(Errno::ENODEV)
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        if self.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        if self.surely_missing(name) {
            return Err(Errno::ENOENT);
        }
        if let Some(inode) = self.told(name) {
            return Ok(inode);
        }
        match self.ask(name) {
            Ok(inode) => Ok(inode),
            Err(errno) => {
                if errno == Errno::ENOENT {
                    let mut state = self.state.lock();
                    state.misses += u32::from(state.misses < state.patience());
                }
                Err(errno)
            }
        }
    }

    fn list(&self) -> Result<Arc<Entries>, Errno> {
        Ok(self.listing()?.entries().clone())
    }

    fn trust(&self) -> Trust {
        self.fs.trust()
    }

    fn make(&self, name: &[u8], args: &MakeArgs) -> Result<Arc<dyn Inode>, Errno> {
        let made = if FileKind::of_mode(args.mode) == FileKind::Regular {
            let flags = raw::O_RDWR | raw::O_CREAT | raw::O_EXCL;
            self.node.create(name, args, flags).map(|(node, attr, file)| (node, attr, Some(file)))
        } else {
            self.node.make(name, args).map(|(node, attr)| (node, attr, None))
        };
        self.changed_entries(&[name]);
        let (node, attr, file) = made?;
        Ok(self.fs.inode_with(node, attr, file, None))
    }

    fn symlink(&self, name: &[u8], target: &[u8], args: &MakeArgs) -> Result<Arc<dyn Inode>, Errno> {
        let made = self.node.symlink(name, target, args);
        self.changed_entries(&[name]);
        let (node, attr) = made?;
        Ok(self.fs.inode(node, attr))
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<(), Errno> {
        let target = Self::of(target).filter(|target| Arc::ptr_eq(&target.fs, &self.fs)).ok_or(Errno::EXDEV)?;
        let result = self.node.link(name, &target.node);
        self.changed_entries(&[name]);
        target.expire();
        result
    }

    fn unlink(&self, name: &[u8], directory: bool) -> Result<(), Errno> {
        let result = self.node.unlink(name, if directory { raw::AT_REMOVEDIR } else { 0 });
        self.changed_entries(&[name]);
        self.fs.lost_name(&result?);
        Ok(())
    }

    fn rename(&self, name: &[u8], new_dir: &Arc<dyn Inode>, new_name: &[u8], flags: u32) -> Result<(), Errno> {
        let new_dir = Self::of(new_dir).filter(|dir| Arc::ptr_eq(&dir.fs, &self.fs)).ok_or(Errno::EXDEV)?;
        let result = self.node.rename(name, &new_dir.node, new_name, flags);
        self.changed_entries(&[name]);
        new_dir.changed_entries(&[new_name]);
        let replaced = result?;
        // The file's own ctime moved (and a directory's ".."); it is not known which file that is.
        self.fs.changed_some();
        if flags & raw::RENAME_EXCHANGE == 0 && replaced.ino != 0 {
            self.fs.lost_name(&replaced);
        }
        Ok(())
    }

    fn allocate(&self, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
        let (data, mapping) = self.data().ok_or(Errno::ENODEV)?;
        let mode = u8::try_from(mode).map_err(|_| Errno::EOPNOTSUPP)?;
        mapping.write_back(0, u64::MAX)?;
        let result = data.writer()?.allocate(mode, offset, len);
        self.expire();
        result?;
        // Holes, zeroes, collapsed ranges: what is cached of the file may not be true any more.
        if u32::from(mode) & !raw::FALLOC_FL_KEEP_SIZE != 0 {
            mapping.invalidate(false);
        }
        let attr = self.node.attr()?;
        mapping.note_size(attr.size);
        self.learn(attr, platform().monotonic_ns());
        Ok(())
    }

    fn fifo_slot(&self) -> Option<&Slot> {
        (self.kind == FileKind::Fifo).then_some(&self.slot)
    }

    fn socket_slot(&self) -> Option<&Slot> {
        (self.kind == FileKind::Socket).then_some(&self.slot)
    }

    fn handle(&self) -> Option<Handle> {
        let attr = self.state.lock().attr;
        // The host may give a number again: a file is also when it was made, and where.
        let made = (attr.btime.sec as u64).wrapping_mul(NS_PER_SEC).wrapping_add(attr.btime.nsec as u64) ^ attr.dev;
        Some(Handle::new(attr.ino, (made ^ made >> 32) as u32))
    }

    fn read_link(&self, _current: &Current) -> Result<Vec<u8>, Errno> {
        if self.kind != FileKind::Symlink {
            return Err(Errno::EINVAL);
        }
        if let Some(target) = self.state.lock().target.clone() {
            return Ok(target.to_vec());
        }
        let target = self.node.read_link()?;
        if self.fs.sharing != Sharing::Shared {
            self.state.lock().target = Some(target.as_slice().into());
        }
        Ok(target)
    }

    fn stat_fs(&self) -> Result<StatFs, Errno> {
        self.node.stat_fs()
    }

    fn get_xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        if self.fs.is_exclusive() && !self.xattrs()?.split(|byte| *byte == 0).any(|known| known == name) {
            return Err(Errno::ENODATA);
        }
        self.node.get_xattr(name)
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> Result<(), Errno> {
        let result = self.node.set_xattr(name, value, flags);
        self.changed_xattrs();
        result
    }

    fn list_xattr(&self) -> Result<Vec<u8>, Errno> {
        self.xattrs().map(|names| names.to_vec())
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        let result = self.node.remove_xattr(name);
        self.changed_xattrs();
        result
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
