//! Mounts and the tree they form.
//!
//! A mount shows a file system's tree (or part of it) at a place of another mount. The tree changes under `CHANGE`, one
//! change at a time; readers take a mount's own lock (`Rank::MountTree`), one at a time, for a moment.

use super::dentry::Dentry;
pub(super) use super::file_system::FileSystem;
pub use super::file_system::FsInfo;
use super::inode::{FileKind, Inode};
pub use super::mount_namespace::Namespace;
use super::open_file::{FileOps, OpenFlags};
use super::path::Path;
use super::propagation::{self, Propagation};
use super::pseudo::Changes;
use super::ways;
use crate::errno::Errno;
use crate::sync::{Lock, Rank, RwLock, SleepLock};
use crate::syscall::Fail;
use crate::task::Current;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use bitflags::bitflags;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use linker::request::{Attr, StatFs};
use linux_raw_sys::general as raw;

bitflags! {
    /// What a mount forbids or changes: the MS_* flags that belong to a mount.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    #[allow(missing_docs)]
    pub struct MountFlags: u32 {
        const RDONLY = raw::MS_RDONLY;
        const NOSUID = raw::MS_NOSUID;
        const NODEV = raw::MS_NODEV;
        const NOEXEC = raw::MS_NOEXEC;
        const NOATIME = raw::MS_NOATIME;
        const NODIRATIME = raw::MS_NODIRATIME;
        const RELATIME = raw::MS_RELATIME;
        const STRICTATIME = raw::MS_STRICTATIME;
        const NOSYMFOLLOW = raw::MS_NOSYMFOLLOW;
    }
}

/// A mount.
pub struct Mount {
    id: u32,
    root: Arc<Dentry>,
    flags: AtomicU32,
    file_system: Arc<FileSystem>,
    place: Lock<Option<(Weak<Mount>, Arc<Dentry>)>>,
    propagation: Lock<Propagation>,
    /// Flags that stay: they were set by more privilege than the namespace has.
    held: AtomicU32,
    /// It hides what is below it from a namespace of less privilege: it is not taken away by itself.
    locked: AtomicBool,
    /// It is in a namespace of less privilege than made what it shows.
    foreign: AtomicBool,
    /// The top of a tree that is in no namespace yet (`detached`).
    detached: AtomicBool,
    /// With the dentry each is mounted on, oldest first.
    children: RwLock<Vec<(Arc<Dentry>, Arc<Mount>)>>,
}

static NEXT_ID: AtomicU32 = AtomicU32::new(20);

/// Mounts that there are, in all namespaces and in none.
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// The most of them (fs.mount-max): binds of binds and peers of peers double what there is.
const MOST: usize = 100_000;

/// ENOSPC where there may not be so many more mounts.
pub(super) fn check_room(more: usize) -> Result<(), Errno> {
    if COUNT.load(Ordering::Relaxed).saturating_add(more) > MOST { Err(Errno::ENOSPC) } else { Ok(()) }
}

/// Changes to the tree exclude each other.
pub(super) static CHANGE: SleepLock<()> = SleepLock::new(());

/// What changed in any tree, for those who watch `/proc/PID/mounts`.
pub static MOUNT_CHANGES: Changes = Changes::new();

/// A device number (major << 32 | minor) for a file system that has no device.
pub fn next_device() -> u64 {
    // Major 0 is Linux's for these; the first minors are what its own boot uses up.
    static NEXT: AtomicU32 = AtomicU32::new(32);
    u64::from(NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Mount {
    /// A mount of all of a file system, nowhere yet.
    pub(super) fn new(file_system: Arc<FileSystem>, flags: MountFlags) -> Arc<Self> {
        let root = file_system.root().clone();
        Self::of(root, flags, file_system)
    }

    fn of(root: Arc<Dentry>, flags: MountFlags, file_system: Arc<FileSystem>) -> Arc<Self> {
        COUNT.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            root,
            flags: AtomicU32::new(flags.bits()),
            file_system,
            place: Lock::new(Rank::MountTree, None),
            propagation: Lock::new(Rank::Leaf, Propagation::default()),
            held: AtomicU32::new(0),
            locked: AtomicBool::new(false),
            foreign: AtomicBool::new(false),
            detached: AtomicBool::new(false),
            children: RwLock::new(Rank::MountTree, Vec::new()),
        })
    }

    /// Its number in /proc/self/mountinfo.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The dentry it shows.
    #[inline]
    pub fn root(&self) -> &Arc<Dentry> {
        &self.root
    }

    /// The place of its root.
    pub fn root_path(self: &Arc<Self>) -> Path {
        Path::new(self.clone(), self.root.clone())
    }

    /// Its flags.
    #[inline]
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// Replaces its flags.
    pub fn set_flags(&self, flags: MountFlags) {
        self.flags.store(flags.bits(), Ordering::Relaxed);
        MOUNT_CHANGES.add();
    }

    /// Replaces its flags (remount). EPERM where one is taken away that more privilege set.
    pub fn change_flags(&self, flags: MountFlags) -> Result<(), Errno> {
        self.may_have(flags)?;
        self.set_flags(flags);
        Ok(())
    }

    /// EPERM where `flags` lack one that more privilege set.
    pub(super) fn may_have(&self, flags: MountFlags) -> Result<(), Errno> {
        if self.held.load(Ordering::Relaxed) & !flags.bits() != 0 { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// Makes it and what is on it as they are for good: less privilege than made them has them now (mount_namespaces(7),
    /// "Restrictions on mount namespaces").
    pub(super) fn lock_down(self: &Arc<Self>, root: bool) {
        const HELD: MountFlags =
            MountFlags::RDONLY.union(MountFlags::NOSUID).union(MountFlags::NODEV).union(MountFlags::NOEXEC);
        for (index, mount) in self.tree().iter().enumerate() {
            mount.foreign.store(true, Ordering::Relaxed);
            mount.held.fetch_or((mount.flags() & HELD).bits(), Ordering::Relaxed);
            if index > 0 || !root {
                mount.locked.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Whether it is in a namespace of less privilege than made what it shows.
    pub fn is_foreign(&self) -> bool {
        self.foreign.load(Ordering::Relaxed)
    }

    pub(super) fn is_locked(&self) -> bool {
        self.locked.load(Ordering::Relaxed)
    }

    pub(super) fn set_detached(&self, detached: bool) {
        self.detached.store(detached, Ordering::Relaxed);
    }

    /// Whether it is the top of a tree that is in no namespace yet.
    pub(super) fn is_detached(&self) -> bool {
        self.detached.load(Ordering::Relaxed)
    }

    /// What happens with mounts on it.
    pub fn propagation(&self) -> Propagation {
        *self.propagation.lock()
    }

    /// Changes that; returns what was.
    pub(super) fn replace_propagation(&self, new: Propagation) -> Propagation {
        core::mem::replace(&mut *self.propagation.lock(), new)
    }

    /// What it shows.
    pub fn info(&self) -> &FsInfo {
        self.file_system.info()
    }

    pub(super) fn file_system(&self) -> &Arc<FileSystem> {
        &self.file_system
    }

    /// Whether the file system is read-only through all of its mounts.
    pub fn shows_read_only(&self) -> bool {
        self.file_system.is_read_only()
    }

    /// Makes the file system read-only through all of its mounts, or lets each say for itself.
    pub fn set_file_system_read_only(&self, read_only: bool) {
        self.file_system.set_read_only(read_only);
    }

    /// EROFS for a read-only mount or file system.
    pub fn check_writable(&self) -> Result<(), Errno> {
        if self.flags().contains(MountFlags::RDONLY) || self.shows_read_only() { Err(Errno::EROFS) } else { Ok(()) }
    }

    /// Where it is mounted: a place in its parent; `None` for the root mount and for one that was detached.
    pub fn mount_point(&self) -> Option<Path> {
        let place = self.place.lock().clone();
        place.and_then(|(mount, dentry)| mount.upgrade().map(|mount| Path::new(mount, dentry)))
    }

    /// The mounts on places of this one, oldest first.
    pub fn children(&self) -> Vec<Arc<Mount>> {
        self.children.read().iter().map(|(_, mount)| mount.clone()).collect()
    }

    /// It and all below it, parents before children. (Trees may be as deep as there are mounts: nothing that walks one calls itself.)
    pub(super) fn tree(self: &Arc<Self>) -> Vec<Arc<Self>> {
        let mut all = Vec::from([self.clone()]);
        let mut next = 0;
        while let Some(mount) = all.get(next) {
            let children = mount.children();
            all.extend(children);
            next += 1;
        }
        all
    }

    /// The topmost mount on `dentry` of this mount.
    pub(super) fn mounted_at(&self, dentry: &Arc<Dentry>) -> Option<Arc<Mount>> {
        let children = self.children.read();
        children.iter().rev().find(|(at, _)| Arc::ptr_eq(at, dentry)).map(|(_, mount)| mount.clone())
    }

    /// Whether it (or what it is mounted on, and so on) hangs in a tree below `top`.
    pub(super) fn is_below(self: &Arc<Self>, top: &Arc<Mount>) -> bool {
        let mut at = self.clone();
        loop {
            if Arc::ptr_eq(&at, top) {
                return true;
            }
            match at.mount_point() {
                Some(place) => at = place.mount().clone(),
                None => return false,
            }
        }
    }

    pub(super) fn attach(self: &Arc<Self>, at: &Path) {
        at.dentry().count_mount(true);
        *self.place.lock() = Some((Arc::downgrade(at.mount()), at.dentry().clone()));
        at.mount().children.write().push((at.dentry().clone(), self.clone()));
        ways::changed();
    }

    pub(super) fn detach(self: &Arc<Self>) {
        let place = self.place.lock().take();
        let Some((parent, dentry)) = place else { return };
        dentry.count_mount(false);
        if let Some(parent) = parent.upgrade() {
            let gone = {
                let mut children = parent.children.write();
                let index = children.iter().position(|(_, child)| Arc::ptr_eq(child, self));
                index.map(|index| children.remove(index))
            };
            drop(gone);
        }
        ways::changed();
    }

    /// A copy of this mount showing `root`, with (`recursive`) copies of the mounts below `root`; a peer of this one where it has
    /// peers, or `as_slave` one that only follows.
    pub(super) fn copy(self: &Arc<Self>, root: &Arc<Dentry>, recursive: bool, as_slave: bool) -> Arc<Mount> {
        let top = self.copy_alone(root, as_slave);
        let mut pending = if recursive { Vec::from([(self.clone(), top.clone())]) } else { Vec::new() };
        while let Some((original, copy)) = pending.pop() {
            for child in original.children() {
                if let Some(place) = child.mount_point()
                    && copy.root.is_above(place.dentry())
                {
                    let below = child.copy_alone(&child.root, as_slave);
                    below.attach(&Path::new(copy.clone(), place.dentry().clone()));
                    pending.push((child, below));
                }
            }
        }
        top
    }

    fn copy_alone(self: &Arc<Self>, root: &Arc<Dentry>, as_slave: bool) -> Arc<Mount> {
        let copy = Self::of(root.clone(), self.flags(), self.file_system.clone());
        propagation::inherit(&copy, self, as_slave);
        copy.held.store(self.held.load(Ordering::Relaxed), Ordering::Relaxed);
        copy.locked.store(self.is_locked(), Ordering::Relaxed);
        copy.foreign.store(self.is_foreign(), Ordering::Relaxed);
        copy
    }
}

impl Drop for Mount {
    /// A whole namespace is gone: what it was mounted on is no mount point for its sake any more.
    fn drop(&mut self) {
        let place = self.place.get_mut().take();
        if let Some((_, dentry)) = place {
            dentry.count_mount(false);
        }
        COUNT.fetch_sub(1, Ordering::Relaxed);
        // Those below go one by one.
        let mut pending = core::mem::take(&mut *self.children.write());
        while let Some((_, mount)) = pending.pop() {
            if let Some(mount) = Arc::into_inner(mount) {
                pending.append(&mut mount.children.write());
            }
        }
    }
}

/// The mount of files without names.
pub(super) fn internal_mount() -> Arc<Mount> {
    static INTERNAL: spin::Once<Arc<Mount>> = spin::Once::new();
    let new = || Mount::new(FileSystem::new(Arc::new(NoInode), FsInfo::default()), MountFlags::default());
    INTERNAL.call_once(new).clone()
}

/// Whether the place is in no tree: a file without a name, or what only the kernel mounts.
pub fn is_internal(place: &Path) -> bool {
    Arc::ptr_eq(place.mount(), &internal_mount())
}

/// The root of the internal mount, which nobody reaches.
struct NoInode;

impl Inode for NoInode {
    fn kind(&self) -> FileKind {
        FileKind::Anonymous
    }

    fn attr(&self) -> Result<Attr, Errno> {
        Ok(Attr::default())
    }

    fn open(self: Arc<Self>, _: &Current, _: OpenFlags) -> Result<Arc<dyn FileOps>, Fail> {
        Err(Errno::ENXIO.into())
    }

    fn stat_fs(&self) -> Result<StatFs, Errno> {
        Ok(StatFs::default())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Mounts the file system whose root is `root` at `at`. ENOTDIR where one is a directory and the other is not.
pub fn mount_at(at: &Path, root: Arc<dyn Inode>, flags: MountFlags, info: FsInfo) -> Result<Arc<Mount>, Errno> {
    let at = at.clone().cross_mounts();
    if (root.kind() == FileKind::Directory) != at.dentry().is_directory() {
        return Err(Errno::ENOTDIR);
    }
    let mount = Mount::new(FileSystem::new(root, info), flags);
    let change = CHANGE.lock();
    if at.dentry().is_deleted() {
        return Err(Errno::ENOENT);
    }
    propagation::check_room(&mount, &at)?;
    mount.attach(&at);
    propagation::mounted(&mount, &at);
    drop(change);
    MOUNT_CHANGES.add();
    Ok(mount)
}

/// Shows `source` at `at` as well (MS_BIND; `recursive`: with the mounts below it, MS_REC).
pub fn bind_at(at: &Path, source: &Path, recursive: bool) -> Result<Arc<Mount>, Errno> {
    let at = at.clone().cross_mounts();
    if source.dentry().is_directory() != at.dentry().is_directory() {
        return Err(Errno::ENOTDIR);
    }
    let change = CHANGE.lock();
    let copy = copy_tree(source, recursive)?;
    propagation::check_room(&copy, &at)?;
    copy.attach(&at);
    propagation::mounted(&copy, &at);
    drop(change);
    MOUNT_CHANGES.add();
    Ok(copy)
}

/// A copy of the mount at `source`, showing that place, and with `recursive` of those below. Under `CHANGE`.
pub(super) fn copy_tree(source: &Path, recursive: bool) -> Result<Arc<Mount>, Errno> {
    if source.mount().propagation().is_unbindable() {
        return Err(Errno::EINVAL);
    }
    let hides = |child: &Arc<Mount>| {
        child.is_locked() && child.mount_point().is_some_and(|place| source.dentry().is_above(place.dentry()))
    };
    if !recursive && source.mount().children().iter().any(hides) {
        return Err(Errno::EINVAL);
    }
    check_room(if recursive { source.mount().tree().len() } else { 1 })?;
    let copy = source.mount().copy(source.dentry(), recursive, false);
    copy.locked.store(false, Ordering::Relaxed);
    Ok(copy)
}

/// Makes the mount whose root is `at` shared, private and so on.
pub fn change_propagation(at: &Path, kind: propagation::Kind, recursive: bool) {
    let _change = CHANGE.lock();
    propagation::change(at.mount(), kind, recursive);
}

/// Takes the mount whose root is `at` out of the tree. EBUSY where others are mounted on it, unless `lazy`.
pub fn unmount(at: &Path, lazy: bool) -> Result<(), Errno> {
    let mount = at.mount();
    if !Arc::ptr_eq(mount.root(), at.dentry()) || mount.mount_point().is_none() || mount.is_locked() {
        return Err(Errno::EINVAL);
    }
    {
        let _change = CHANGE.lock();
        // The parent's reference and the caller's; all others are open files, working directories and roots.
        let used = Arc::strong_count(mount) > 2 || !mount.children.read().is_empty();
        if used && !lazy {
            return Err(Errno::EBUSY);
        }
        if let Some(place) = mount.mount_point() {
            propagation::unmounted(&place);
        }
        mount.detach();
    }
    MOUNT_CHANGES.add();
    Ok(())
}
