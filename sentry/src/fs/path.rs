//! `Path`: a place in the mount tree.

use super::dentry::Dentry;
use super::inode::Inode;
use super::mount::{Mount, internal_mount};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A mount and a dentry of its file system.
#[derive(Clone)]
pub struct Path {
    mount: Arc<Mount>,
    dentry: Arc<Dentry>,
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.mount, &other.mount) && Arc::ptr_eq(&self.dentry, &other.dentry)
    }
}

impl Path {
    /// `dentry` in `mount`.
    pub fn new(mount: Arc<Mount>, dentry: Arc<Dentry>) -> Self {
        Self { mount, dentry }
    }

    /// A place outside the tree for a file without a name, printed as `label` (`pipe:[7]`). Opening it opens the inode.
    pub fn detached(inode: Arc<dyn Inode>, label: &[u8]) -> Self {
        Self { mount: internal_mount(), dentry: Dentry::root(inode, label) }
    }

    /// The mount.
    #[inline]
    pub fn mount(&self) -> &Arc<Mount> {
        &self.mount
    }

    /// The dentry.
    #[inline]
    pub fn dentry(&self) -> &Arc<Dentry> {
        &self.dentry
    }

    /// The file.
    #[inline]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        self.dentry.inode()
    }

    /// The same place, below whatever is mounted on it.
    #[inline]
    pub fn cross_mounts(mut self) -> Self {
        while self.dentry.is_mount_point() {
            let Some(above) = self.mount.mounted_at(&self.dentry) else { break };
            self = above.root_path();
        }
        self
    }

    /// One step up, without leaving `root`; mounts are left as they were entered.
    pub fn up(&self, root: &Path) -> Self {
        let mut at = self.clone();
        loop {
            if at == *root {
                return at.cross_mounts();
            }
            if Arc::ptr_eq(&at.dentry, at.mount.root()) {
                match at.mount.mount_point() {
                    Some(below) => at = below,
                    None => return at,
                }
                continue;
            }
            return match at.dentry.parent() {
                Some(parent) => Self::new(at.mount, parent).cross_mounts(),
                None => at,
            };
        }
    }

    /// The path's text as seen from `root`, with " (deleted)" behind it where the name is gone.
    pub fn absolute(&self, root: &Path) -> Vec<u8> {
        let (mut text, _) = self.text(root);
        if self.dentry.is_deleted() {
            text.extend_from_slice(b" (deleted)");
        }
        text
    }

    /// The path's text as seen from `root`, and whether it can be reached from there.
    pub fn text(&self, root: &Path) -> (Vec<u8>, bool) {
        let mut names: Vec<Arc<[u8]>> = Vec::new();
        let mut at = self.clone();
        let reachable = loop {
            if at == *root {
                break true;
            }
            if Arc::ptr_eq(&at.dentry, at.mount.root()) {
                match at.mount.mount_point() {
                    Some(below) => at = below,
                    None => break false,
                }
                continue;
            }
            match at.dentry.parent() {
                Some(parent) => {
                    names.push(at.dentry.name());
                    at = Self::new(at.mount, parent);
                }
                // A file without a name: its label alone.
                None => return (at.dentry.name().to_vec(), false),
            }
        };
        if names.is_empty() {
            return (b"/".to_vec(), reachable);
        }
        let mut text = Vec::with_capacity(names.iter().map(|name| name.len() + 1).sum());
        for name in names.iter().rev() {
            text.push(b'/');
            text.extend_from_slice(name);
        }
        (text, reachable)
    }
}
