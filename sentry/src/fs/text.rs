//! Who runs a file and who writes to it: not both at a time (ETXTBSY).
//!
//! Files are told apart by their inodes, which a claim keeps. Only names that are opened count, as in Linux: a memfd may be
//! run while it is open for writing.

use super::inode::{FileKind, Inode};
use crate::errno::Errno;
use crate::sync::{Lock, Rank};
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::sync::Arc;

/// By inode: how many have it open for writing, or (negative) how many run it.
static USES: Lock<BTreeMap<usize, isize>> = Lock::new(Rank::Leaf, BTreeMap::new());

/// A use of a file, until it is dropped.
pub struct Claim {
    inode: Arc<dyn Inode>,
    step: isize,
}

impl Claim {
    /// Somebody opens the file for writing. ETXTBSY while it runs; nothing to claim of what is no regular file.
    pub fn to_write(inode: &Arc<dyn Inode>) -> Result<Option<Self>, Errno> {
        if inode.kind() != FileKind::Regular {
            return Ok(None);
        }
        Self::new(inode, 1).map(Some)
    }

    /// Somebody runs the file. ETXTBSY while it is open for writing.
    pub fn to_run(inode: &Arc<dyn Inode>) -> Result<Self, Errno> {
        Self::new(inode, -1)
    }

    fn new(inode: &Arc<dyn Inode>, step: isize) -> Result<Self, Errno> {
        let mut uses = USES.lock();
        let count = uses.entry(key(inode)).or_insert(0);
        if *count * step < 0 {
            return Err(Errno::ETXTBSY);
        }
        *count += step;
        Ok(Self { inode: inode.clone(), step })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = USES.lock().entry(key(&self.inode)) {
            *entry.get_mut() -= self.step;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// How many have the file open for writing.
pub fn writers(inode: &Arc<dyn Inode>) -> isize {
    USES.lock().get(&key(inode)).map_or(0, |count| (*count).max(0))
}

fn key(inode: &Arc<dyn Inode>) -> usize {
    Arc::as_ptr(inode).cast::<()>().addr()
}
