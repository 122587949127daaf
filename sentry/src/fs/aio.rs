//! Asynchronous I/O contexts (io_setup(2)): what was submitted is done at once, and its event waits here to be fetched.
//!
//! Linux does the same with files that are not opened with O_DIRECT. A context belongs to an address space and ends with
//! it; its number is the address of a page there. (Linux keeps a ring of events in that page, and says so by a magic
//! number; without the number, libraries fetch events by the system call.)
//!
//! Locks: a table's and a context's own, `Rank::Leaf`, never two at a time.

use crate::errno::Errno;
use crate::sync::{Lock, Rank};
use crate::wait::{Events, WaitQueue};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Events of all contexts together, at most (`/proc/sys/fs/aio-max-nr`).
pub const MAX_EVENTS: u64 = 65536;

/// How many of them are asked for (`/proc/sys/fs/aio-nr`).
static ASKED_FOR: AtomicU64 = AtomicU64::new(0);

/// `struct io_event` (linux/aio_abi.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct IoEvent {
    /// The request's `aio_data`.
    pub data: u64,
    /// The request's address.
    pub request: u64,
    /// Bytes, or a negative errno.
    pub result: i64,
    /// Always 0.
    pub result2: i64,
}

const _: () = assert!(size_of::<IoEvent>() == 32);

/// The contexts of an address space.
pub struct Contexts(Lock<BTreeMap<u64, Arc<Context>>>);

impl Default for Contexts {
    fn default() -> Self {
        Self(Lock::new(Rank::Leaf, BTreeMap::new()))
    }
}

impl Contexts {
    /// The context of that number, EINVAL if there is none.
    pub fn get(&self, id: u64) -> Result<Arc<Context>, Errno> {
        self.0.lock().get(&id).cloned().ok_or(Errno::EINVAL)
    }

    /// Adds a context, whose number is an address of the address space.
    pub fn add(&self, id: u64, context: Arc<Context>) {
        self.0.lock().insert(id, context);
    }

    /// Ends a context; who waits in it gets what is there. EINVAL if there is none.
    pub fn remove(&self, id: u64) -> Result<(), Errno> {
        let context = self.0.lock().remove(&id).ok_or(Errno::EINVAL)?;
        context.state.lock().ended = true;
        context.queue.wake(Events::READABLE);
        Ok(())
    }
}

/// A context.
pub struct Context {
    asked_for: u64,
    /// Events it holds at most.
    room: usize,
    state: Lock<State>,
    queue: WaitQueue,
}

#[derive(Default)]
struct State {
    /// Done, or begun and sure to be done.
    taken: usize,
    events: VecDeque<IoEvent>,
    ended: bool,
}

impl Context {
    /// Whether the events of so many requests fit into what Linux sets aside for them (fs/aio.c: twice as many, in 256 MiB).
    pub fn is_possible(asked_for: u32) -> bool {
        const MOST_BYTES: u64 = 0x1000_0000;
        u64::from(asked_for) * 2 <= MOST_BYTES / size_of::<IoEvent>() as u64
    }

    /// A context for `asked_for` requests. EAGAIN where all together would be too many.
    pub fn new(asked_for: u32) -> Result<Arc<Self>, Errno> {
        let count = u64::from(asked_for);
        let fits = |now: u64| now.checked_add(count).filter(|sum| *sum <= MAX_EVENTS);
        ASKED_FOR.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).map_err(|_| Errno::EAGAIN)?;
        let state = Lock::new(Rank::Leaf, State::default());
        Ok(Arc::new(Self { asked_for: count, room: asked_for as usize, state, queue: WaitQueue::new() }))
    }

    /// Takes room for an event. EAGAIN where there is none until events are fetched.
    pub fn begin(&self) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.taken >= self.room {
            return Err(Errno::EAGAIN);
        }
        state.taken += 1;
        Ok(())
    }

    /// Gives back what `begin` took.
    pub fn give_up(&self) {
        self.state.lock().taken -= 1;
    }

    /// The event that `begin` took room for.
    pub fn finish(&self, event: IoEvent) {
        self.state.lock().events.push_back(event);
        self.queue.wake(Events::READABLE);
    }

    /// Takes up to `max` events out.
    pub fn fetch(&self, max: usize) -> Vec<IoEvent> {
        let mut state = self.state.lock();
        let count = state.events.len().min(max);
        state.taken -= count;
        state.events.drain(..count).collect()
    }

    /// Puts an event back that could not be handed over.
    pub fn put_back(&self, event: IoEvent) {
        let mut state = self.state.lock();
        state.taken += 1;
        state.events.push_front(event);
    }

    /// How many events wait to be fetched; `None` once the context has ended.
    pub fn waiting(&self) -> Option<usize> {
        let state = self.state.lock();
        (!state.ended).then_some(state.events.len())
    }

    /// Woken for each event.
    pub fn queue(&self) -> &WaitQueue {
        &self.queue
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        ASKED_FOR.fetch_sub(self.asked_for, Ordering::Relaxed);
    }
}

/// What is asked for by all contexts.
pub fn asked_for() -> u64 {
    ASKED_FOR.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::{Context, IoEvent, MAX_EVENTS};
    use crate::errno::Errno;

    #[test]
    fn a_full_context_takes_no_more_until_an_event_is_fetched() {
        let _current = crate::fake::current();
        let context = Context::new(1).unwrap();
        assert_eq!(context.begin(), Ok(()));
        assert_eq!(context.begin(), Err(Errno::EAGAIN));
        let event = IoEvent { data: 7, request: 0x1000, result: 3, result2: 0 };
        context.finish(event);
        assert_eq!(context.begin(), Err(Errno::EAGAIN));
        assert_eq!(context.fetch(8), [event]);
        assert_eq!(context.begin(), Ok(()));
        assert!(Context::new(MAX_EVENTS as u32 + 1).is_err_and(|errno| errno == Errno::EAGAIN));
    }
}
