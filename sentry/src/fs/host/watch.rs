//! Whether a stream or socket of the host's is ready. Nobody waits at the host but a kernel thread (one a direction, started when
//! first needed), which wakes the queue here when the host's poll answers.
//!
//! Readiness is asked for at most once: a direction is unknown, ready, or being watched (not ready; the thread will say).

use super::client::File;
use crate::platform::{ThreadRef, platform};
use crate::sync::{Lock, Rank};
use crate::wait::{Events, WaitQueue};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// What is known of one direction.
const UNKNOWN: u32 = 0;
const READY: u32 = 1;
const WATCHED: u32 = 2;
/// Not ready, but there was something to tell (HUP, ERR).
const TOLD: u32 = 3;

/// One direction and its watcher.
pub struct Direction {
    events: Events,
    state: AtomicU32,
    watcher: Lock<Option<ThreadRef>>,
}

impl Direction {
    fn new(events: Events) -> Self {
        Self { events, state: AtomicU32::new(UNKNOWN), watcher: Lock::new(Rank::Leaf, None) }
    }

    /// What it is ready for, when it is.
    pub fn events(&self) -> Events {
        self.events
    }

    fn is(&self, state: u32) -> bool {
        self.state.load(Ordering::SeqCst) == state
    }

    /// Whether it is not ready, and the thread will say when it is.
    pub fn is_watched(&self) -> bool {
        self.is(WATCHED)
    }

    /// What was known has been used up.
    pub fn forget(&self) {
        for known in [READY, TOLD] {
            let _ = self.state.compare_exchange(known, UNKNOWN, Ordering::SeqCst, Ordering::SeqCst);
        }
    }

    /// What poll's answer says of it.
    fn state_for(&self, ready: Events) -> u32 {
        if ready.intersects(self.events) { READY } else { TOLD }
    }
}

/// What the watchers share with the file.
struct Shared {
    handle: u32,
    closed: AtomicBool,
    input: Direction,
    output: Direction,
    /// HUP and ERR, once seen.
    extra: AtomicU32,
    queue: WaitQueue,
}

/// Both directions of a file. Stands before the file in whatever has both: what the file's close answers is nobody's then.
pub struct Watch(Arc<Shared>);

impl Drop for Watch {
    fn drop(&mut self) {
        // The file's own drop closes it; a poll that waits for it is answered then.
        self.0.closed.store(true, Ordering::SeqCst);
        for direction in [&self.0.input, &self.0.output] {
            let watcher = direction.watcher.lock().take();
            if let Some(watcher) = watcher {
                watcher.unpark();
            }
        }
    }
}

impl Watch {
    /// Of the file with this handle.
    pub fn new(handle: u32) -> Self {
        Self(Arc::new(Shared {
            handle,
            closed: AtomicBool::new(false),
            input: Direction::new(Events::READABLE),
            output: Direction::new(Events::WRITABLE),
            extra: AtomicU32::new(0),
            queue: WaitQueue::new(),
        }))
    }

    /// Reading.
    pub fn input(&self) -> &Direction {
        &self.0.input
    }

    /// Writing.
    pub fn output(&self) -> &Direction {
        &self.0.output
    }

    /// Woken when readiness may have changed.
    pub fn queue(&self) -> &WaitQueue {
        &self.0.queue
    }

    /// Has the host watched for `direction`, which is not ready.
    pub fn watch(&self, direction: &Direction) {
        if direction.state.swap(WATCHED, Ordering::SeqCst) == WATCHED {
            return;
        }
        let watcher = direction.watcher.lock().clone();
        if let Some(watcher) = watcher {
            watcher.unpark();
            return;
        }
        let shared = self.0.clone();
        let output = direction.events == Events::WRITABLE;
        let main = Box::new(move || shared.run(if output { &shared.output } else { &shared.input }));
        match platform().spawn(false, main) {
            Ok(thread) => {
                direction.watcher.lock().get_or_insert(thread);
            }
            // Without a watcher nobody would wake the waiters: let them ask again.
            Err(_) => direction.state.store(UNKNOWN, Ordering::SeqCst),
        }
    }

    /// `direction` is not ready, and the caller does not wait; but others may.
    pub fn watch_for_others(&self, direction: &Direction) {
        if self.0.queue.is_empty() { direction.forget() } else { self.watch(direction) }
    }

    /// The file is not what it was (a socket has been connected): what was known counts no more.
    pub fn reset(&self) {
        self.0.extra.store(0, Ordering::SeqCst);
        self.0.input.forget();
        self.0.output.forget();
    }

    /// Asks about the directions that are wanted and unknown. May sleep.
    pub fn prepare(&self, file: &File, readable: bool, writable: bool) {
        let directions = [(readable, &self.0.input), (writable, &self.0.output)];
        let unknown = directions.into_iter().filter(|(wanted, direction)| *wanted && direction.is(UNKNOWN));
        if unknown.clone().next().is_none() {
            return;
        }
        let events = (Events::READABLE | Events::WRITABLE | Events::RDHUP).bits();
        let ready = Events::from_bits_truncate(file.poll(events, true).unwrap_or(Events::ERR.bits()));
        // The caller may wait on queues already: a wake-up that came during the call must not be lost with it.
        platform().current_thread().unpark();
        let extra = ready & (Events::ALWAYS | Events::RDHUP);
        self.0.extra.fetch_or(extra.bits(), Ordering::SeqCst);
        for (_, direction) in unknown {
            if ready.intersects(direction.events) || !extra.is_empty() {
                let new = direction.state_for(ready);
                let _ = direction.state.compare_exchange(UNKNOWN, new, Ordering::SeqCst, Ordering::SeqCst);
            } else {
                self.watch(direction);
            }
        }
    }

    /// What is known to be ready.
    pub fn ready(&self) -> Events {
        let extra = Events::from_bits_truncate(self.0.extra.load(Ordering::SeqCst));
        let of = |direction: &Direction| if direction.is(READY) { direction.events } else { Events::empty() };
        of(&self.0.input) | of(&self.0.output) | extra
    }
}

impl Shared {
    /// A watcher's life: asks the host while there is something to watch for.
    fn run(&self, direction: &Direction) {
        let file = core::mem::ManuallyDrop::new(File::adopt(self.handle));
        while !self.closed.load(Ordering::SeqCst) {
            if !direction.is(WATCHED) {
                platform().park(None);
                continue;
            }
            let ready = match file.poll((direction.events | Events::RDHUP).bits() & 0xffff, false) {
                Ok(ready) => Events::from_bits_truncate(ready),
                Err(_) => Events::ERR,
            };
            self.note(direction, ready);
        }
    }

    /// Takes note of what poll said of `direction`, and wakes who waits for it.
    fn note(&self, direction: &Direction, ready: Events) {
        let extra = ready & (Events::ALWAYS | Events::RDHUP);
        self.extra.fetch_or(extra.bits(), Ordering::SeqCst);
        direction.state.store(direction.state_for(ready), Ordering::SeqCst);
        self.queue.wake(direction.events | extra);
    }
}
