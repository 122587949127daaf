//! What an inode carries for others (`Slot`), and the files that only name a place (O_PATH).

use super::open_file::FileOps;
use crate::sync::{Lock, Rank};
use alloc::sync::{Arc, Weak};
use core::any::Any;

/// What a FIFO's or socket's inode leads to: the pipe, the bound socket. Weak: those who have it open own it.
pub struct Slot {
    value: Lock<Option<Weak<dyn Any + Send + Sync>>>,
}

impl Default for Slot {
    fn default() -> Self {
        Self::new()
    }
}

impl Slot {
    /// An empty slot.
    pub const fn new() -> Self {
        Self { value: Lock::new(Rank::Leaf, None) }
    }

    /// What is in it and alive.
    pub fn get(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.value.lock().as_ref().and_then(Weak::upgrade)
    }

    /// Puts `value` in.
    pub fn set(&self, value: &Arc<dyn Any + Send + Sync>) {
        let old = self.value.lock().replace(Arc::downgrade(value));
        drop(old);
    }

    /// What is in it and alive, else what `make` makes, which is put in.
    pub fn get_or_set(&self, make: impl FnOnce() -> Arc<dyn Any + Send + Sync>) -> Arc<dyn Any + Send + Sync> {
        if let Some(value) = self.get() {
            return value;
        }
        let new = make();
        let mut slot = self.value.lock();
        match slot.as_ref().and_then(Weak::upgrade) {
            Some(value) => {
                drop(slot);
                value
            }
            None => {
                let old = slot.replace(Arc::downgrade(&new));
                drop(slot);
                drop(old);
                new
            }
        }
    }
}

/// A file opened with O_PATH: it names a place and does nothing else.
pub struct PathOnly;

impl FileOps for PathOnly {
    fn as_any(&self) -> &dyn Any {
        self
    }
}
