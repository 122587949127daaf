//! `Dentry`: a name in a directory, and the cache of them.
//!
//! A dentry always has an inode; that a name is missing is remembered in its directory (`Child::Missing`). A directory's
//! map owns its cached children, a child owns its parent; the map's side of that circle is cut by removal, by unmounting and
//! by the clock below, which bounds how many entries are kept. Changing a directory (and asking its inode for a name) is done
//! with its `SleepLock` held; the map itself is only locked for a hash look-up.

use super::inode::{FileKind, Inode, Trust};
use super::ways;
use crate::errno::Errno;
use crate::platform::platform;
use crate::sync::{Lock, Rank, RwLock, SleepLock};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use hashbrown::HashMap;

/// Cached entries at most, beyond those in use.
const CACHED: usize = 16 * 1024;
/// Missing names remembered in one directory at most.
const MISSING_PER_DIRECTORY: usize = 512;

/// A name in a directory (or the root of a mount, or a file without a name).
pub struct Dentry {
    inode: Arc<dyn Inode>,
    place: Lock<Place>,
    directory: Option<Box<Directory>>,
    /// Mounts on this dentry, in any mount of its file system.
    mounts: AtomicU32,
    /// When its file system last said that it is there, where that is believed for a while only.
    checked_ns: AtomicU64,
    state: AtomicU32,
}

struct Place {
    parent: Option<Arc<Dentry>>,
    name: Arc<[u8]>,
}

struct Directory {
    change: SleepLock<()>,
    children: RwLock<Children>,
}

#[derive(Default)]
struct Children {
    map: HashMap<Arc<[u8]>, Child>,
    missing: usize,
}

#[derive(Clone)]
enum Child {
    Present(Arc<Dentry>),
    /// With the time when that was said, as in `Dentry::checked_ns`.
    Missing(u64),
}

/// What the cache knows of a name.
enum Cached {
    Present(Arc<Dentry>),
    Missing,
    Unknown,
}

const DELETED: u32 = 1;
const USED: u32 = 2;
const UNNAMED: u32 = 4;
/// Its directory's map lets go of it, or tries to: whoever did not get it from there must not begin to use it.
const EVICTED: u32 = 8;

/// The cached dentries, for the second-chance clock.
static CLOCK: Lock<VecDeque<Weak<Dentry>>> = Lock::new(Rank::Leaf, VecDeque::new());

impl Dentry {
    /// A dentry without a parent: a mount's root (empty name), or a file that has none (`pipe:[7]`).
    pub fn root(inode: Arc<dyn Inode>, name: &[u8]) -> Arc<Self> {
        Self::new(inode, None, name.into())
    }

    /// A file that has no name (O_TMPFILE, memfd), shown as `label` and deleted.
    pub(super) fn unnamed(dir: Option<&Arc<Dentry>>, inode: Arc<dyn Inode>, label: &[u8]) -> Arc<Self> {
        let dentry = Self::new(inode, dir.cloned(), label.into());
        dentry.state.fetch_or(DELETED | UNNAMED, Ordering::Relaxed);
        dentry
    }

    fn new(inode: Arc<dyn Inode>, parent: Option<Arc<Dentry>>, name: Arc<[u8]>) -> Arc<Self> {
        let directory = (inode.kind() == FileKind::Directory).then(|| {
            let children = RwLock::new(Rank::Dentry, Children::default());
            Box::new(Directory { change: SleepLock::new(()), children })
        });
        Arc::new(Self {
            inode,
            place: Lock::new(Rank::Dentry, Place { parent, name }),
            directory,
            mounts: AtomicU32::new(0),
            checked_ns: AtomicU64::new(0),
            state: AtomicU32::new(0),
        })
    }

    /// Its file.
    #[inline]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        &self.inode
    }

    /// Whether it is a directory.
    #[inline]
    pub fn is_directory(&self) -> bool {
        self.directory.is_some()
    }

    /// Its name; empty for a mount's root.
    pub fn name(&self) -> Arc<[u8]> {
        self.place.lock().name.clone()
    }

    /// The directory it is in; `None` for a root.
    pub fn parent(&self) -> Option<Arc<Dentry>> {
        self.place.lock().parent.clone()
    }

    /// Whether its name was removed.
    pub fn is_deleted(&self) -> bool {
        self.state.load(Ordering::Relaxed) & DELETED != 0
    }

    /// Whether it never had a name, and may be given one.
    pub fn is_unnamed(&self) -> bool {
        self.state.load(Ordering::Relaxed) & UNNAMED != 0
    }

    /// Whether something is mounted on it.
    #[inline]
    pub fn is_mount_point(&self) -> bool {
        self.mounts.load(Ordering::Acquire) != 0
    }

    pub(super) fn count_mount(&self, added: bool) {
        if added {
            self.mounts.fetch_add(1, Ordering::AcqRel);
        } else {
            self.mounts.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The lock that is held while the directory changes; ENOTDIR for anything else.
    pub(super) fn change_lock(&self) -> Result<&SleepLock<()>, Errno> {
        self.directory.as_ref().map(|directory| &directory.change).ok_or(Errno::ENOTDIR)
    }

    /// The entry `name`, `None` if there is none. Takes the directory's lock only where the cache does not know.
    pub fn child(self: &Arc<Self>, name: &[u8]) -> Result<Option<Arc<Dentry>>, Errno> {
        let directory = self.directory.as_ref().ok_or(Errno::ENOTDIR)?;
        match self.cached(directory, name) {
            Cached::Present(dentry) => Ok(Some(dentry)),
            Cached::Missing => Ok(None),
            Cached::Unknown => {
                let _change = directory.change.lock();
                self.child_locked(name)
            }
        }
    }

    /// The entry `name`, with the directory's lock held.
    pub(super) fn child_locked(self: &Arc<Self>, name: &[u8]) -> Result<Option<Arc<Dentry>>, Errno> {
        let directory = self.directory.as_ref().ok_or(Errno::ENOTDIR)?;
        match self.cached(directory, name) {
            Cached::Present(dentry) => return Ok(Some(dentry)),
            Cached::Missing => return Ok(None),
            Cached::Unknown => {}
        }
        if self.is_deleted() {
            return Ok(None);
        }
        match self.inode.lookup(name) {
            Ok(inode) => Ok(Some(self.add(name, inode))),
            Err(Errno::ENOENT) => {
                self.is_gone(name);
                Ok(None)
            }
            Err(errno) => Err(errno),
        }
    }

    #[inline]
    fn cached(&self, directory: &Directory, name: &[u8]) -> Cached {
        let children = directory.children.read();
        match children.map.get(name) {
            Some(Child::Present(dentry)) => {
                let trust = self.inode.trust().min(dentry.inode.trust());
                if !trust.holds(dentry.checked_ns.load(Ordering::Relaxed)) && !dentry.is_mount_point() {
                    return Cached::Unknown;
                }
                if dentry.state.load(Ordering::Relaxed) & USED == 0 {
                    dentry.state.fetch_or(USED, Ordering::Relaxed);
                }
                Cached::Present(dentry.clone())
            }
            Some(Child::Missing(at_ns)) if self.inode.trust().holds(*at_ns) => Cached::Missing,
            Some(Child::Missing(_)) | None => Cached::Unknown,
        }
    }

    /// Enters `inode` under `name`, with the directory's lock held. An entry for the same inode that is there already stays
    /// (files that are looked up anew each time keep their dentry while they are the same).
    pub(super) fn add(self: &Arc<Self>, name: &[u8], inode: Arc<dyn Inode>) -> Arc<Dentry> {
        let Some(directory) = &self.directory else { return Self::new(inode, Some(self.clone()), name.into()) };
        if let Some(Child::Present(old)) = directory.children.read().map.get(name)
            && Arc::ptr_eq(&old.inode, &inode)
        {
            old.checked_ns.store(self.now(), Ordering::Relaxed);
            return old.clone();
        }
        let name: Arc<[u8]> = name.into();
        let dentry = Self::new(inode, Some(self.clone()), name.clone());
        dentry.checked_ns.store(self.now(), Ordering::Relaxed);
        let old = directory.children.write().set(name, Child::Present(dentry.clone()));
        drop(old);
        remember(&dentry);
        dentry
    }

    /// The dentry, if it is in use or in the cache still.
    pub(super) fn revive(weak: &Weak<Self>) -> Option<Arc<Self>> {
        let dentry = weak.upgrade()?;
        fence(Ordering::SeqCst);
        (dentry.state.load(Ordering::SeqCst) & EVICTED == 0).then_some(dentry)
    }

    /// Until when (monotonic, ns) it is believed to be in its directory; 0: it is asked for each time, `u64::MAX`: until that changes.
    pub(super) fn believed_until(&self) -> u64 {
        let Some(parent) = self.parent() else { return u64::MAX };
        match parent.inode.trust().min(self.inode.trust()) {
            Trust::Always => u64::MAX,
            Trust::Never => 0,
            Trust::For(ns) | Trust::Quietly(ns) => self.checked_ns.load(Ordering::Relaxed).saturating_add(ns),
        }
    }

    /// The time, where it matters when something was said of an entry.
    fn now(&self) -> u64 {
        if matches!(self.inode.trust(), Trust::For(_) | Trust::Quietly(_)) { platform().monotonic_ns() } else { 0 }
    }

    /// Notes that there is no `name`, as far as that may be remembered.
    fn is_gone(&self, name: &[u8]) {
        if self.inode.trust() == Trust::Never {
            self.forget(name);
        } else {
            self.set_missing(name);
        }
    }

    /// Remembers that `name` is missing.
    pub(super) fn set_missing(&self, name: &[u8]) {
        let Some(directory) = &self.directory else { return };
        let now = self.now();
        let (old, all) = {
            let mut children = directory.children.write();
            let old = children.set(name.into(), Child::Missing(now));
            let mut all = Vec::new();
            if children.missing > MISSING_PER_DIRECTORY {
                all.extend(children.map.extract_if(|_, child| matches!(child, Child::Missing(_))));
                children.missing = 0;
            }
            (old, all)
        };
        drop((old, all));
    }

    /// Forgets what is known of `name`.
    pub(super) fn forget(&self, name: &[u8]) {
        let Some(directory) = &self.directory else { return };
        let old = directory.children.write().remove(name);
        drop(old);
    }

    /// Notes that the name `name` of `child` was removed (both locked by the caller).
    pub(super) fn removed(&self, name: &[u8], child: &Arc<Dentry>) {
        child.state.fetch_or(DELETED, Ordering::Relaxed);
        self.is_gone(name);
    }

    /// Moves `child`, entry `name` of `self`, to `new_name` in `new_parent`; what was there is marked deleted.
    pub(super) fn moved(&self, name: &[u8], child: &Arc<Dentry>, new_parent: &Arc<Dentry>, new_name: &[u8]) {
        if let Some(Child::Present(over)) = new_parent.peek(new_name)
            && !Arc::ptr_eq(&over, child)
        {
            over.state.fetch_or(DELETED, Ordering::Relaxed);
        }
        self.forget(name);
        child.put_under(new_parent, new_name);
        if self.inode.trust() != Trust::Never {
            self.set_missing(name);
        }
    }

    /// Swaps two entries (RENAME_EXCHANGE).
    pub(super) fn exchanged(
        parent: &Arc<Dentry>,
        child: &Arc<Dentry>,
        other_parent: &Arc<Dentry>,
        other: &Arc<Dentry>,
    ) {
        let (name, other_name) = (child.name(), other.name());
        child.put_under(other_parent, &other_name);
        other.put_under(parent, &name);
    }

    fn put_under(self: &Arc<Self>, parent: &Arc<Dentry>, name: &[u8]) {
        self.checked_ns.store(parent.now(), Ordering::Relaxed);
        let name: Arc<[u8]> = name.into();
        let new = Place { parent: Some(parent.clone()), name: name.clone() };
        let old = core::mem::replace(&mut *self.place.lock(), new);
        drop(old);
        if let Some(directory) = &parent.directory {
            let old = directory.children.write().set(name, Child::Present(self.clone()));
            drop(old);
        }
    }

    fn peek(&self, name: &[u8]) -> Option<Child> {
        self.directory.as_ref().and_then(|directory| directory.children.read().map.get(name).cloned())
    }

    /// Entries that are cached.
    #[cfg(test)]
    pub(super) fn cached_children(&self) -> usize {
        self.directory.as_ref().map_or(0, |directory| directory.children.read().map.len())
    }

    /// Drops everything cached below, for unmounting.
    pub(super) fn prune(self: &Arc<Self>) {
        let mut pending = alloc::vec![self.clone()];
        while let Some(dentry) = pending.pop() {
            let Some(directory) = &dentry.directory else { continue };
            let children = core::mem::take(&mut *directory.children.write());
            pending.extend(children.map.into_values().filter_map(|child| match child {
                Child::Present(dentry) => Some(dentry),
                Child::Missing(_) => None,
            }));
        }
    }

    /// Whether `self` is `other` or above it.
    pub(super) fn is_above(self: &Arc<Self>, other: &Arc<Dentry>) -> bool {
        let mut at = other.clone();
        loop {
            if Arc::ptr_eq(self, &at) {
                return true;
            }
            match at.parent() {
                Some(parent) => at = parent,
                None => return false,
            }
        }
    }
}

impl Children {
    fn set(&mut self, name: Arc<[u8]>, child: Child) -> Option<Child> {
        self.missing += usize::from(matches!(child, Child::Missing(_)));
        let old = self.map.insert(name, child);
        self.let_go(old.as_ref());
        old
    }

    fn remove(&mut self, name: &[u8]) -> Option<Child> {
        let old = self.map.remove(name);
        self.let_go(old.as_ref());
        old
    }

    /// Something is an entry no more.
    fn let_go(&mut self, old: Option<&Child>) {
        match old {
            Some(Child::Missing(_)) => self.missing -= 1,
            Some(Child::Present(dentry)) if dentry.is_directory() => ways::changed(),
            Some(Child::Present(_)) | None => {}
        }
    }
}

impl Drop for Dentry {
    /// Lets go of the parents one by one: a deep tree must not recurse on a small stack.
    fn drop(&mut self) {
        let mut next = self.place.get_mut().parent.take();
        while let Some(dentry) = next {
            next = Arc::into_inner(dentry).and_then(|mut last| last.place.get_mut().parent.take());
        }
    }
}

/// Puts a new dentry on the clock, and evicts some that nobody uses when there are too many.
fn remember(dentry: &Arc<Dentry>) {
    const LOOKS: usize = 8;
    let mut candidates: [Option<Weak<Dentry>>; LOOKS] = [const { None }; LOOKS];
    {
        let mut clock = CLOCK.lock();
        clock.push_back(Arc::downgrade(dentry));
        if clock.len() > CACHED {
            candidates.fill_with(|| clock.pop_front());
        }
    }
    for weak in candidates.into_iter().flatten() {
        let Some(dentry) = weak.upgrade() else { continue };
        if !dentry.evict() {
            CLOCK.lock().push_back(weak);
        }
    }
}

impl Dentry {
    /// Takes the dentry out of its directory's map if nobody uses it. The caller's reference and the map's are two.
    fn evict(self: &Arc<Self>) -> bool {
        if self.state.fetch_and(!USED, Ordering::Relaxed) & USED != 0 {
            return false;
        }
        let (parent, name) = {
            let place = self.place.lock();
            (place.parent.clone(), place.name.clone())
        };
        let Some(directory) = parent.as_ref().and_then(|parent| parent.directory.as_ref()) else { return true };
        let gone = {
            let mut children = directory.children.write();
            match children.map.get(&name) {
                Some(Child::Present(here)) if Arc::ptr_eq(here, self) => {
                    // New references come from this map, and from `revive`, which sees the bit where this does not see its reference.
                    self.state.fetch_or(EVICTED, Ordering::SeqCst);
                    fence(Ordering::SeqCst);
                    if Arc::strong_count(self) > 2 || self.is_mount_point() {
                        self.state.fetch_and(!EVICTED, Ordering::SeqCst);
                        return false;
                    }
                    // Not `remove`: what leads here holds, it is only forgotten.
                    children.map.remove(&name)
                }
                _ => None,
            }
        };
        drop(gone);
        true
    }
}
