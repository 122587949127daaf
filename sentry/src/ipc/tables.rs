//! One kind of System V objects in all namespaces, under one lock.

use super::IpcNs;
use super::ids::Ids;
use crate::errno::Errno;
use crate::sync::{Lock, LockGuard, Rank};
use crate::task::Current;
use alloc::collections::BTreeMap;

/// The objects of a kind in one namespace.
pub trait Table: Default {
    /// Their numbers.
    fn ids(&self) -> &Ids;
}

/// Those of all namespaces, by the namespace's number.
pub struct Tables<T>(Lock<BTreeMap<u32, T>>);

impl<T: Table> Default for Tables<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Table> Tables<T> {
    /// None yet.
    pub const fn new() -> Self {
        Self(Lock::new(Rank::FileSystem, BTreeMap::new()))
    }

    /// All of them.
    pub fn lock(&self) -> LockGuard<'_, BTreeMap<u32, T>> {
        self.0.lock()
    }

    /// The namespace is gone, and its objects with it.
    pub fn forget(&self, space: u32) {
        let gone = self.lock().remove(&space);
        drop(gone);
    }

    /// The number of the caller's object at a place; EINVAL if there is none.
    pub fn at(&self, current: &Current, place: i32) -> Result<i32, Errno> {
        self.lock().get(&IpcNs::of(current)).and_then(|table| table.ids().at(place)).ok_or(Errno::EINVAL)
    }

    /// The highest place that is used in the caller's namespace.
    pub fn highest(&self, current: &Current) -> i32 {
        self.lock().get(&IpcNs::of(current)).map_or(0, |table| table.ids().highest())
    }
}
