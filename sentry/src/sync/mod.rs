//! Locks. `Lock` and `RwLock` spin and carry a rank; `SleepLock` parks.
//!
//! Lock order: ranks must rise. In debug builds every acquisition asserts it against the CPU's set of held ranks, and
//! parking asserts that none is held. No spinning lock is held across a user copy, a host call or a park.

mod lock;
mod rank;
mod sleep_lock;

pub use lock::{Lock, LockGuard, ReadGuard, RwLock, WriteGuard};
pub use rank::{Rank, assert_none_held};
pub use sleep_lock::{SleepGuard, SleepLock};
