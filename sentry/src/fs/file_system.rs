//! What the mounts of one file system share.

use super::dentry::Dentry;
use super::handle::Handles;
use super::inode::Inode;
use super::mount::MOUNT_CHANGES;
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

/// What /proc/mounts says of a file system.
#[derive(Clone, Debug, Default)]
pub struct FsInfo {
    /// Type: `tmpfs`, `proc`.
    pub kind: String,
    /// First column.
    pub source: String,
    /// The file system's own options (`size=64k`), without a leading comma.
    pub options: String,
    /// Whether it begins read-only as a whole, whatever its mounts say.
    pub read_only: bool,
}

/// What all mounts of one file system share.
pub(super) struct FileSystem {
    info: FsInfo,
    read_only: AtomicBool,
    root: Arc<Dentry>,
    handles: Handles,
}

impl FileSystem {
    /// One that begins at `root`.
    pub(super) fn new(root: Arc<dyn Inode>, info: FsInfo) -> Arc<Self> {
        let read_only = AtomicBool::new(info.read_only);
        Arc::new(Self { info, read_only, root: Dentry::root(root, b""), handles: Handles::new() })
    }

    /// Where it begins.
    pub(super) fn root(&self) -> &Arc<Dentry> {
        &self.root
    }

    /// Whether it is read-only through all of its mounts.
    pub(super) fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Relaxed)
    }

    /// The file handles that were asked for.
    pub(super) fn handles(&self) -> &Handles {
        &self.handles
    }

    pub(super) fn info(&self) -> &FsInfo {
        &self.info
    }

    pub(super) fn set_read_only(&self, read_only: bool) {
        self.read_only.store(read_only, Ordering::Relaxed);
        MOUNT_CHANGES.add();
    }
}

impl Drop for FileSystem {
    /// The last mount is gone, and with it all files that were open through one: names and the directories they are in hold each other.
    fn drop(&mut self) {
        self.root.prune();
    }
}
