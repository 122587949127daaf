//! Mount namespaces.

use super::inode::Inode;
use super::mount::{CHANGE, FileSystem, FsInfo, MOUNT_CHANGES, Mount, MountFlags, check_room, internal_mount};
use super::path::Path;
use crate::errno::Errno;
use crate::sync::{Lock, Rank};
use crate::task::UserSpace;
use crate::uts::namespace_number;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The number of the first mount namespace (include/linux/proc_ns.h: MNT_NS_INIT_INO).
const INITIAL_NUMBER: u32 = 0xf000_0001;

/// A mount namespace: one tree.
pub struct Namespace {
    number: u32,
    owner: UserSpace,
    root: Lock<Arc<Mount>>,
}

impl Namespace {
    /// A namespace whose root mount shows `root`.
    pub fn new(root: Arc<dyn Inode>, flags: MountFlags, info: FsInfo) -> Arc<Self> {
        let mount = Mount::new(FileSystem::new(root, info), flags);
        Arc::new(Self { number: INITIAL_NUMBER, owner: None, root: Lock::new(Rank::MountTree, mount) })
    }

    /// A namespace with nothing in it.
    pub(super) fn empty() -> Arc<Self> {
        Arc::new(Self { number: INITIAL_NUMBER, owner: None, root: Lock::new(Rank::MountTree, internal_mount()) })
    }

    /// Its number in `/proc/PID/ns`.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Whose capabilities count.
    pub fn owner(&self) -> &UserSpace {
        &self.owner
    }

    /// The root mount.
    pub fn root(&self) -> Arc<Mount> {
        self.root.lock().clone()
    }

    /// Whether `mount` is in this namespace's tree.
    pub(super) fn holds(&self, mount: &Arc<Mount>) -> bool {
        mount.is_below(&self.root())
    }

    /// The place "/" of the namespace.
    pub fn root_path(&self) -> Path {
        self.root().root_path().cross_mounts()
    }

    /// All mounts, parents before children, siblings in the order they were made.
    pub fn mounts(&self) -> Vec<Arc<Mount>> {
        let mut all = Vec::new();
        let mut pending = alloc::vec![self.root()];
        while let Some(mount) = pending.pop() {
            let mut children = mount.children();
            children.reverse();
            pending.append(&mut children);
            all.push(mount);
        }
        all
    }

    /// A copy (unshare(CLONE_NEWNS)), and a function from places in the old to the same places in the new.
    /// ENOSPC where there are too many mounts.
    pub fn duplicate(&self, owner: UserSpace) -> Result<(Arc<Self>, Vec<(Arc<Mount>, Arc<Mount>)>), Errno> {
        let _change = CHANGE.lock();
        let root = self.root();
        check_room(root.tree().len())?;
        // Nothing that a namespace of less privilege does comes back here.
        let foreign = !crate::task::user_ns::same(&owner, &self.owner);
        let copy = root.copy(root.root(), true, foreign);
        if foreign {
            copy.lock_down(true);
        }
        let new = Arc::new(Self { number: namespace_number(), owner, root: Lock::new(Rank::MountTree, copy) });
        let pairs = self.mounts().into_iter().zip(new.mounts()).collect();
        Ok((new, pairs))
    }

    /// Makes `new_root` (a mount's root) the root and puts the old root mount at `put_old`: pivot_root(2). The caller checked
    /// that `put_old` is below `new_root`.
    pub fn pivot(&self, new_root: &Path, put_old: &Path) -> Result<(), Errno> {
        let _change = CHANGE.lock();
        let old = self.root();
        let new = new_root.mount().clone();
        if !Arc::ptr_eq(new.root(), new_root.dentry()) || !put_old.mount().is_below(&new) {
            return Err(Errno::EINVAL);
        }
        if Arc::ptr_eq(&old, &new) {
            return Err(Errno::EBUSY);
        }
        new.detach();
        old.attach(put_old);
        *self.root.lock() = new;
        MOUNT_CHANGES.add();
        Ok(())
    }
}
