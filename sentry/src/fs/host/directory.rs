//! Listings of host directories.

use super::inode::HostInode;
use crate::fs::entries::{DirSink, Entries};
use crate::fs::regular::emit_dots;
use crate::fs::{FileOps, OpenFile};
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::task::Current;
use alloc::boxed::Box;
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
    /// Positions in the order of the names, once somebody goes by that.
    sorted: spin::Once<Box<[u32]>>,
}

impl Listing {
    /// From the host's entries, in its order.
    pub fn new(entries: Entries) -> Self {
        let (by_name, sorted) = (spin::Once::new(), spin::Once::new());
        Self { entries: Arc::new(entries), by_name, hasher: DefaultHashBuilder::default(), sorted }
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
        self.position(name).is_some()
    }

    /// The names that are probably wanted after `name`, which came after `last`; `None` where `name` is none of them. They follow in
    /// the host's order or by name, as those two do; where they do not say, as the program knows the names (`given`) or does not.
    /// `all`: where there are no more than so many, order does not matter.
    pub fn following<'a>(
        &'a self,
        name: &[u8],
        last: &[u8],
        all: usize,
        given: bool,
    ) -> Option<impl Iterator<Item = &'a [u8]> + use<'a>> {
        let at = self.position(name)?;
        let (mut first, mut by_name) = (at as usize + 1, None);
        let count = self.len();
        let hosts_order = self.position(last).is_some_and(|last| last + 1 == at);
        if count > all && !hosts_order {
            let sorted = self.sorted();
            let rank = sorted.binary_search_by(|index| self.name(*index).cmp(name)).ok()?;
            let before = rank.checked_sub(1).and_then(|rank| sorted.get(rank));
            if !given || before.is_some_and(|before| self.name(*before) == last) {
                (first, by_name) = (rank + 1, Some(sorted));
            }
        }
        // Those before it as well, where it can be all.
        let end = if count <= all { first + count - 1 } else { count };
        Some((first..end.min(first + 4 * all)).map(move |index| match by_name {
            Some(sorted) => self.name(sorted.get(index).copied().unwrap_or(0)),
            None => self.name((index % count) as u32),
        }))
    }

    fn name(&self, index: u32) -> &[u8] {
        self.entries.get(index as usize).map_or(&[][..], |entry| entry.name)
    }

    fn sorted(&self) -> &[u32] {
        self.sorted.call_once(|| {
            let mut sorted: Box<[u32]> = (0..self.len() as u32).collect();
            sorted.sort_unstable_by_key(|index| self.name(*index));
            sorted
        })
    }

    fn position(&self, name: &[u8]) -> Option<u32> {
        let name_of = |index: u32| self.name(index);
        let hash = |index: &u32| self.hasher.hash_one(name_of(*index));
        let by_name = self.by_name.call_once(|| {
            let mut by_name = HashTable::with_capacity(self.entries.count());
            for (index, entry) in (0..).zip(self.entries.iter()) {
                by_name.insert_unique(self.hasher.hash_one(entry.name), index, hash);
            }
            by_name
        });
        by_name.find(self.hasher.hash_one(name), |index| name_of(*index) == name).copied()
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
