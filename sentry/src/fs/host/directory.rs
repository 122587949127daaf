//! Listings of host directories.

use super::inode::HostInode;
use crate::fs::entries::{DirSink, Entries};
use crate::fs::regular::emit_dots;
use crate::fs::{FileOps, OpenFile};
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::task::Current;
use alloc::sync::Arc;
use core::any::Any;
use core::hash::BuildHasher;
use hashbrown::{DefaultHashBuilder, HashTable};
use linux_raw_sys::general as raw;

/// The entries of a directory at one time, without "." and "..".
pub struct Listing {
    entries: Arc<Entries>,
    /// Positions by name, once somebody looks for one.
    by_name: spin::Once<HashTable<u32>>,
    hasher: DefaultHashBuilder,
}

impl Listing {
    /// From the host's entries, in its order.
    pub fn new(entries: Entries) -> Self {
        Self { entries: Arc::new(entries), by_name: spin::Once::new(), hasher: DefaultHashBuilder::default() }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.entries.count()
    }

    /// All of them.
    pub fn entries(&self) -> &Arc<Entries> {
        &self.entries
    }

    /// Whether `name` is one of them.
    pub fn contains(&self, name: &[u8]) -> bool {
        let name_of = |index: u32| self.entries.get(index as usize).map_or(&[][..], |entry| entry.name);
        let hash = |index: &u32| self.hasher.hash_one(name_of(*index));
        let by_name = self.by_name.call_once(|| {
            let mut by_name = HashTable::with_capacity(self.entries.count());
            for (index, entry) in (0..).zip(self.entries.iter()) {
                by_name.insert_unique(self.hasher.hash_one(entry.name), index, hash);
            }
            by_name
        });
        by_name.find(self.hasher.hash_one(name), |index| name_of(*index) == name).is_some()
    }
}

/// An open host directory: it lists what was there when listing began.
pub struct HostDirectory {
    inode: Arc<HostInode>,
    listing: Lock<Option<Arc<Entries>>>,
}

impl HostDirectory {
    pub(super) fn new(inode: Arc<HostInode>) -> Self {
        Self { inode, listing: Lock::new(Rank::Leaf, None) }
    }
}

impl FileOps for HostDirectory {
    fn seekable(&self) -> bool {
        true
    }

    fn read_dir(&self, _current: &Current, file: &OpenFile, position: u64, emit: &mut dyn DirSink) -> Result<(), Fail> {
        let known = self.listing.lock().clone().filter(|_| position != 0);
        let listing = match known {
            Some(listing) => listing,
            None => {
                let listing = self.inode.listing()?.entries().clone();
                let old = self.listing.lock().replace(listing.clone());
                drop(old);
                listing
            }
        };
        if emit_dots(file, position, emit) {
            emit.put_all(&listing, position);
        }
        Ok(())
    }

    fn sync(&self, data_only: bool) -> Result<(), Fail> {
        Ok(self.inode.node().open(raw::O_RDONLY | raw::O_DIRECTORY)?.sync(data_only)?)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
