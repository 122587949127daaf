//! `FsContext`: where a thread's paths begin.

use super::mount::Namespace;
use super::path::Path;
use crate::errno::Errno;
use crate::sync::{Rank, RwLock};
use crate::task::UserSpace;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

/// A thread's mount namespace, root, working directory and umask; shared with CLONE_FS.
pub struct FsContext {
    places: RwLock<Places>,
    umask: AtomicU32,
}

#[derive(Clone)]
struct Places {
    namespace: Arc<Namespace>,
    root: Path,
    cwd: Path,
}

impl FsContext {
    /// At the root of `namespace`.
    pub fn new(namespace: Arc<Namespace>, umask: u32) -> Arc<Self> {
        let root = namespace.root_path();
        let places = Places { namespace, cwd: root.clone(), root };
        Arc::new(Self { places: RwLock::new(Rank::FsContext, places), umask: AtomicU32::new(umask & 0o777) })
    }

    /// Nowhere: every path fails. For a thread that starts before there are mounts.
    pub fn nowhere() -> Arc<Self> {
        Self::new(Namespace::empty(), 0o022)
    }

    /// A copy for fork.
    pub fn duplicate(&self) -> Arc<Self> {
        let places = self.places.read().clone();
        Arc::new(Self { places: RwLock::new(Rank::FsContext, places), umask: AtomicU32::new(self.umask()) })
    }

    /// The mount namespace.
    pub fn namespace(&self) -> Arc<Namespace> {
        self.places.read().namespace.clone()
    }

    /// What "/" is.
    #[inline]
    pub fn root(&self) -> Path {
        self.places.read().root.clone()
    }

    /// The working directory.
    #[inline]
    pub fn cwd(&self) -> Path {
        self.places.read().cwd.clone()
    }

    /// chroot(2): the working directory stays.
    pub fn set_root(&self, root: Path) {
        let old = core::mem::replace(&mut self.places.write().root, root);
        drop(old);
    }

    /// chdir(2).
    pub fn set_cwd(&self, cwd: Path) {
        let old = core::mem::replace(&mut self.places.write().cwd, cwd);
        drop(old);
    }

    /// The root of the namespace moved (pivot_root): places on the old one are on the new one now.
    pub fn root_moved(&self, old: &Path, new: &Path) {
        let mut places = self.places.write();
        let mut left = [None, None];
        if places.root == *old {
            left[0] = Some(core::mem::replace(&mut places.root, new.clone()));
        }
        if places.cwd == *old {
            left[1] = Some(core::mem::replace(&mut places.cwd, new.clone()));
        }
        drop(places);
        drop(left);
    }

    /// unshare(CLONE_NEWNS): a copy of the namespace, with the same places in it. ENOSPC where there are too many mounts.
    pub fn unshare_namespace(&self, owner: UserSpace) -> Result<(), Errno> {
        let Places { namespace, root, cwd } = self.places.read().clone();
        let (copy, pairs) = namespace.duplicate(owner)?;
        let moved = |place: Path| {
            let pair = pairs.iter().find(|(old, _)| Arc::ptr_eq(old, place.mount()));
            pair.map_or(place.clone(), |(_, new)| Path::new(new.clone(), place.dentry().clone()))
        };
        self.set_namespace(copy, moved(root), moved(cwd));
        Ok(())
    }

    /// Leaves the namespace for another, with the same places in it.
    pub fn set_namespace(&self, namespace: Arc<Namespace>, root: Path, cwd: Path) {
        let old = core::mem::replace(&mut *self.places.write(), Places { namespace, root, cwd });
        drop(old);
    }

    /// The file mode creation mask.
    pub fn umask(&self) -> u32 {
        self.umask.load(Ordering::Relaxed)
    }

    /// Sets the mask, returning the old one.
    pub fn set_umask(&self, mask: u32) -> u32 {
        self.umask.swap(mask & 0o777, Ordering::Relaxed)
    }
}
