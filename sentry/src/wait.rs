//! Wait queues: the one way to sleep until something changes.
//!
//! Protocol (no lost wake-up): a waiter first joins the queue, then checks its condition, then parks; a waker first changes
//! the condition, then calls `wake`. Parking uses a token, so a wake between check and park makes the park return at once.
//! `wake` calls the targets after it has released the queue's lock, so a target may take any lock (epoll does).

use crate::platform::{ThreadRef, platform};
use crate::sync::{Lock, Rank, assert_none_held};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bitflags::bitflags;
use core::sync::atomic::{AtomicUsize, Ordering};
use linux_raw_sys::general as raw;

bitflags! {
    /// Readiness, with poll(2)'s bits.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    #[allow(missing_docs)]
    pub struct Events: u32 {
        const IN = raw::POLLIN;
        const PRI = raw::POLLPRI;
        const OUT = raw::POLLOUT;
        const ERR = raw::POLLERR;
        const HUP = raw::POLLHUP;
        const NVAL = raw::POLLNVAL;
        const RDNORM = raw::POLLRDNORM;
        const RDBAND = raw::POLLRDBAND;
        const WRNORM = raw::POLLWRNORM;
        const WRBAND = raw::POLLWRBAND;
        const RDHUP = raw::POLLRDHUP;
        /// EPOLL_URING_WAKE (uapi/linux/eventpoll.h). Not an event but its cause: an io_uring tells of a completion. What watches a ring and tells a ring must stop there.
        const BY_RING = 1 << 27;
    }
}

impl Events {
    /// What poll reports whether asked for or not.
    pub const ALWAYS: Self = Self::ERR.union(Self::HUP).union(Self::NVAL);
    /// What comes once and concerns all.
    const OVER: Self = Self::ALWAYS.union(Self::RDHUP);
    /// Readable, in both spellings.
    pub const READABLE: Self = Self::IN.union(Self::RDNORM);
    /// Writable, in both spellings.
    pub const WRITABLE: Self = Self::OUT.union(Self::WRNORM);
}

/// Something that wants to know of events: a parked thread, an epoll item.
pub trait Wake: Send + Sync {
    /// One of the events it asked for happened. Called without any lock of the queue. Whether that wakes somebody.
    fn wake(&self, events: Events) -> bool;
}

struct Entry {
    target: Arc<dyn Wake>,
    mask: Events,
    exclusive: bool,
}

/// Who waits for one object.
pub struct WaitQueue {
    waiters: AtomicUsize,
    entries: Lock<Vec<Entry>>,
}

impl Default for WaitQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl WaitQueue {
    /// An empty queue.
    pub const fn new() -> Self {
        Self { waiters: AtomicUsize::new(0), entries: Lock::new(Rank::WaitQueue, Vec::new()) }
    }

    /// Joins the queue for `mask` (`Events::ALWAYS` is added). `exclusive`: one of these is woken for an event.
    pub fn add(&self, target: Arc<dyn Wake>, mask: Events, exclusive: bool) {
        let mut entries = self.entries.lock();
        entries.push(Entry { target, mask: mask | Events::ALWAYS, exclusive });
        self.waiters.store(entries.len(), Ordering::SeqCst);
    }

    /// Leaves the queue (every entry of this target).
    pub fn remove(&self, target: &Arc<dyn Wake>) {
        let mut entries = self.entries.lock();
        entries.retain(|entry| !Arc::ptr_eq(&entry.target, target));
        self.waiters.store(entries.len(), Ordering::SeqCst);
    }

    /// Wakes who waits for one of `events`: all shared waiters and one exclusive one; everyone when there is nothing more to come.
    #[inline]
    pub fn wake(&self, events: Events) {
        if self.waiters.load(Ordering::SeqCst) != 0 {
            self.wake_some(events);
        }
    }

    /// Whether anyone waits.
    pub fn is_empty(&self) -> bool {
        self.waiters.load(Ordering::SeqCst) == 0
    }

    fn wake_some(&self, events: Events) {
        let over = events.intersects(Events::OVER);
        // Nearly always there is one, which needs no memory.
        let mut first: Option<Arc<dyn Wake>> = None;
        let mut others: Vec<Arc<dyn Wake>> = Vec::new();
        let mut in_turn = 0;
        for entry in self.entries.lock().iter().filter(|entry| entry.mask.intersects(events)) {
            if entry.exclusive && !over {
                in_turn += 1;
            } else if first.is_none() {
                first = Some(entry.target.clone());
            } else {
                others.push(entry.target.clone());
            }
        }
        for target in first.into_iter().chain(others) {
            target.wake(events);
        }
        // One that nobody waits with is told, and does not count (an epoll whose threads are busy).
        for _ in 0..in_turn {
            if self.next_exclusive(events).is_none_or(|target| target.wake(events)) {
                break;
            }
        }
    }

    /// The exclusive waiter whose turn it is: it goes to the back.
    fn next_exclusive(&self, events: Events) -> Option<Arc<dyn Wake>> {
        let mut entries = self.entries.lock();
        let index = entries.iter().position(|entry| entry.exclusive && entry.mask.intersects(events))?;
        let entry = entries.remove(index);
        let target = entry.target.clone();
        entries.push(entry);
        Some(target)
    }
}

/// Wakes a parked thread.
pub struct ThreadWaker(ThreadRef);

impl ThreadWaker {
    /// A waker for the calling thread.
    pub fn current() -> Arc<dyn Wake> {
        Arc::new(Self(platform().current_thread()))
    }
}

impl Wake for ThreadWaker {
    fn wake(&self, _: Events) -> bool {
        self.0.unpark();
        true
    }
}

/// Why a wait ended without its condition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitError {
    /// A signal wants to be delivered.
    Interrupted,
    /// The deadline passed.
    TimedOut,
}

/// Waits on `queues` until `ready` returns a value, `interrupted` returns true, or `deadline_ns` (monotonic) passes; in this order of precedence.
pub fn wait_on<T>(
    queues: &[(&WaitQueue, Events)],
    exclusive: bool,
    deadline_ns: Option<u64>,
    interrupted: &dyn Fn() -> bool,
    mut ready: impl FnMut() -> Option<T>,
) -> Result<T, WaitError> {
    if let Some(value) = ready() {
        return Ok(value);
    }
    assert_none_held();
    let waker = ThreadWaker::current();
    for (queue, mask) in queues {
        queue.add(waker.clone(), *mask, exclusive);
    }
    let result = loop {
        if let Some(value) = ready() {
            break Ok(value);
        }
        if interrupted() {
            break Err(WaitError::Interrupted);
        }
        if deadline_ns.is_some_and(|deadline| platform().monotonic_ns() >= deadline) {
            break Err(WaitError::TimedOut);
        }
        platform().park(deadline_ns);
    };
    for (queue, _) in queues {
        queue.remove(&waker);
    }
    // An exclusive wake-up that this waiter got but did not use belongs to the next one.
    if exclusive && result.is_err() {
        for (queue, mask) in queues {
            queue.wake(*mask);
        }
    }
    result
}

/// Waits, deaf to signals and without a deadline.
pub fn block<T>(queue: &WaitQueue, mask: Events, ready: impl FnMut() -> Option<T>) -> T {
    let mut ready = ready;
    loop {
        if let Ok(value) = wait_on(&[(queue, mask)], true, None, &|| false, &mut ready) {
            return value;
        }
    }
}
