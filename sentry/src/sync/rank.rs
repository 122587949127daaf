//! Lock ranks: the order in which locks may nest, outermost first.

use crate::platform::platform;
use core::sync::atomic::Ordering;

/// A lock's place in the order. Taking a lock while one of the same or a later rank is held is a bug.
/// (Two of one rank: only through `Lock::lock_second`, in an order that the caller fixes, by address or by tree depth.)
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Rank {
    /// The table of processes, sessions and groups; parent/child links.
    Processes = 0,
    Process = 2,
    Task = 4,
    SignalActions = 6,
    SignalQueue = 8,
    Credentials = 10,
    /// VFS, outermost first.
    MountTree = 12,
    FdTable = 14,
    FsContext = 16,
    OpenFile = 18,
    Dentry = 20,
    FileLocks = 22,
    /// Address spaces, then what backs them.
    AddressSpace = 24,
    Inode = 26,
    FileSystem = 28,
    Mapping = 30,
    /// IPC and devices.
    Epoll = 32,
    Socket = 34,
    SocketTable = 36,
    Tty = 38,
    Pipe = 40,
    Timer = 42,
    Futex = 44,
    Notify = 46,
    /// Leaves: taken last, nothing is taken inside.
    Leaf = 54,
    WaitQueue = 56,
    Random = 58,
    /// What a `Drop` leaves for later (handles of the host): a drop may happen under any other lock.
    Deferred = 60,
    /// Where calls go (`syscall::policy`): changed under the locks of those who listen to them and trace them.
    Routes = 62,
}

/// Asserts (debug builds) that the rank may be taken now, and marks it held.
#[inline]
pub(super) fn acquire(rank: Rank) {
    if cfg!(debug_assertions) {
        let held = platform().held_locks();
        let set = held.load(Ordering::Relaxed);
        assert!(set >> (rank as u8) == 0, "lock order: {rank:?} taken while ranks {set:#x} are held");
        held.store(set | 1 << (rank as u8), Ordering::Relaxed);
    }
}

/// Marks one more lock of a rank that is held already: the odd bit above it.
#[inline]
pub(super) fn acquire_second(rank: Rank) {
    if cfg!(debug_assertions) {
        let held = platform().held_locks();
        let set = held.load(Ordering::Relaxed);
        assert!(set >> (rank as u8 + 1) == 0, "lock order: second {rank:?} taken while ranks {set:#x} are held");
        held.store(set | 2 << (rank as u8), Ordering::Relaxed);
    }
}

/// Marks the rank free.
#[inline]
pub(super) fn release(rank: Rank, second: bool) {
    if cfg!(debug_assertions) {
        let held = platform().held_locks();
        let bit = if second { 2 } else { 1 } << (rank as u8);
        held.store(held.load(Ordering::Relaxed) & !bit, Ordering::Relaxed);
    }
}

/// Asserts (debug builds) that no spinning lock is held: before parking, host calls and user copies.
#[inline]
pub fn assert_none_held() {
    if cfg!(debug_assertions) {
        let set = platform().held_locks().load(Ordering::Relaxed);
        assert!(set == 0, "a thread may block here while lock ranks {set:#x} are held");
    }
}
