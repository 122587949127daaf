//! `FsContext`: where a thread's paths begin.

use super::mount::Namespace;
use super::path::Path;
use crate::sync::{Rank, RwLock};
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
