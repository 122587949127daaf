//! Ranked spin locks.

use super::rank::{Rank, acquire, acquire_second, release};
use crate::platform::platform;
use core::ops::{Deref, DerefMut};
use spin::relax::RelaxStrategy;

/// Spins through the platform, which serves TLB shootdowns meanwhile.
struct Relax;

impl RelaxStrategy for Relax {
    #[inline]
    fn relax() {
        platform().relax();
    }
}

/// A spinning mutual exclusion lock with a rank.
pub struct Lock<T: ?Sized> {
    rank: Rank,
    inner: spin::mutex::SpinMutex<T, Relax>,
}

/// Holds a `Lock`.
pub struct LockGuard<'a, T: ?Sized> {
    inner: spin::mutex::SpinMutexGuard<'a, T, Relax>,
    held: Held,
}

/// Gives the rank back; dropped after the lock itself.
struct Held {
    rank: Rank,
    second: bool,
}

impl Drop for Held {
    #[inline]
    fn drop(&mut self) {
        release(self.rank, self.second);
    }
}

impl<T> Lock<T> {
    /// A new lock around `value`.
    pub const fn new(rank: Rank, value: T) -> Self {
        Self { rank, inner: spin::mutex::SpinMutex::new(value) }
    }

    /// The value, when the lock is not shared any more.
    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }
}

impl<T: ?Sized> Lock<T> {
    /// Takes the lock.
    #[inline]
    pub fn lock(&self) -> LockGuard<'_, T> {
        acquire(self.rank);
        LockGuard { inner: self.inner.lock(), held: Held { rank: self.rank, second: false } }
    }

    /// Takes a second lock of a rank that is held; the caller fixes the order between the two.
    #[inline]
    pub fn lock_second(&self) -> LockGuard<'_, T> {
        acquire_second(self.rank);
        LockGuard { inner: self.inner.lock(), held: Held { rank: self.rank, second: true } }
    }

    /// The value, by exclusive reference.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }
}

impl<T: ?Sized> Deref for LockGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        let _ = &self.held;
        &self.inner
    }
}

impl<T: ?Sized> DerefMut for LockGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

/// A spinning readers-writer lock with a rank.
pub struct RwLock<T: ?Sized> {
    rank: Rank,
    inner: spin::rwlock::RwLock<T, Relax>,
}

/// Reads a `RwLock`.
pub struct ReadGuard<'a, T: ?Sized> {
    inner: spin::rwlock::RwLockReadGuard<'a, T, Relax>,
    _held: Held,
}

/// Writes a `RwLock`.
pub struct WriteGuard<'a, T: ?Sized> {
    inner: spin::rwlock::RwLockWriteGuard<'a, T, Relax>,
    _held: Held,
}

impl<T> RwLock<T> {
    /// A new lock around `value`.
    pub const fn new(rank: Rank, value: T) -> Self {
        Self { rank, inner: spin::rwlock::RwLock::new(value) }
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Takes the lock for reading, together with other readers.
    #[inline]
    pub fn read(&self) -> ReadGuard<'_, T> {
        acquire(self.rank);
        ReadGuard { inner: self.inner.read(), _held: Held { rank: self.rank, second: false } }
    }

    /// Takes the lock for writing, alone.
    #[inline]
    pub fn write(&self) -> WriteGuard<'_, T> {
        acquire(self.rank);
        WriteGuard { inner: self.inner.write(), _held: Held { rank: self.rank, second: false } }
    }
}

impl<T: ?Sized> Deref for ReadGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized> Deref for WriteGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized> DerefMut for WriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}
