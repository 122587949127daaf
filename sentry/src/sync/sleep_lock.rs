//! A lock whose waiters park: for what is held across a host call or a user copy (one file's position, one inode's I/O).

use super::lock::Lock;
use super::rank::Rank;
use crate::wait::{Events, WaitQueue};
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

/// A parking mutual exclusion lock. Waits are not interruptible by signals.
pub struct SleepLock<T> {
    taken: AtomicBool,
    queue: WaitQueue,
    value: Lock<Option<T>>,
}

/// Holds a `SleepLock`.
pub struct SleepGuard<'a, T> {
    lock: &'a SleepLock<T>,
    value: Option<T>,
}

impl<T> SleepLock<T> {
    /// A new lock around `value`.
    pub const fn new(value: T) -> Self {
        Self { taken: AtomicBool::new(false), queue: WaitQueue::new(), value: Lock::new(Rank::Leaf, Some(value)) }
    }

    /// Takes the lock, parking until it is free.
    pub fn lock(&self) -> SleepGuard<'_, T> {
        if !self.try_take() {
            crate::wait::block(&self.queue, Events::IN, || self.try_take().then_some(()));
        }
        // The value moves into the guard, so that safe code can hold it without a spinning lock.
        SleepGuard { lock: self, value: self.value.lock().take() }
    }

    fn try_take(&self) -> bool {
        self.taken.compare_exchange(false, true, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

impl<T: Copy> SleepLock<T> {
    /// The value, unless somebody holds it.
    pub fn look(&self) -> Option<T> {
        *self.value.lock()
    }
}

impl<T> Deref for SleepGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.value.as_ref().expect("a guard holds the value until it is dropped")
    }
}

impl<T> DerefMut for SleepGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("a guard holds the value until it is dropped")
    }
}

impl<T> Drop for SleepGuard<'_, T> {
    fn drop(&mut self) {
        *self.lock.value.lock() = self.value.take();
        self.lock.taken.store(false, Ordering::SeqCst);
        self.lock.queue.wake(Events::IN);
    }
}
