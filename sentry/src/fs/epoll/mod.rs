//! epoll: a set of files, and the list of those that may be ready.
//!
//! Each `Item` joins its file's wait queue and, when woken, puts itself on its epoll's ready list: `wait` looks only at that list.
//! A description knows its items (`Watchers`), so that the last close removes them. Nothing here is locked while a file is polled.
//! Locks: `Rank::Epoll` (items by key) before `Rank::Leaf` (ready list, a description's watchers).

mod item;
#[cfg(test)]
mod tests;

pub use item::{Item, Watchers};

use super::anon::AnonInode;
use super::open_file::{FileOps, OpenFile, OpenFlags};
use super::poll::Timeout;
use crate::errno::Errno;
use crate::sync::{Lock, Rank, SleepLock};
use crate::syscall::Fd;
use crate::task::Current;
use crate::wait::{Events, WaitError, WaitQueue, wait_on};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use linux_raw_sys::general as raw;
use smallvec::SmallVec;

/// How many epolls may watch one another in a row (epoll_ctl(2), ELOOP).
const MAX_DEPTH: usize = 5;

/// Held while an epoll is added to an epoll, so that two additions cannot close a loop together.
static NESTING: SleepLock<()> = SleepLock::new(());

/// A descriptor number and the description it meant when it was added.
type Key = (Fd, usize);

fn key(fd: Fd, file: &Arc<OpenFile>) -> Key {
    (fd, Arc::as_ptr(file) as usize)
}

/// An epoll instance.
pub struct Epoll {
    this: Weak<Self>,
    items: Lock<BTreeMap<Key, Arc<Item>>>,
    ready: Lock<VecDeque<Arc<Item>>>,
    queue: WaitQueue,
    /// Its own description, for who watches it.
    description: spin::Once<Weak<OpenFile>>,
}

/// Ready items and what is said of them. A few have room without a block of the heap: most waits find one or two.
pub type Found = SmallVec<[(Arc<Item>, Report); 4]>;

/// A ready item, as `epoll_wait` reports it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report {
    /// What is ready.
    pub events: u32,
    /// The user's word.
    pub data: u64,
}

impl Epoll {
    fn new(this: &Weak<Self>) -> Self {
        Self {
            this: this.clone(),
            items: Lock::new(Rank::Epoll, BTreeMap::new()),
            ready: Lock::new(Rank::Leaf, VecDeque::new()),
            queue: WaitQueue::new(),
            description: spin::Once::new(),
        }
    }

    /// epoll_create1(2).
    pub fn open() -> Arc<OpenFile> {
        let epoll = Arc::new_cyclic(Self::new);
        let file = OpenFile::new(epoll.clone(), OpenFlags::RDWR, AnonInode::anonymous("[eventpoll]"), None);
        epoll.description.call_once(|| Arc::downgrade(&file));
        file
    }

    /// The epoll behind a description, if it is one.
    pub fn of(file: &OpenFile) -> Option<Arc<Self>> {
        file.downcast::<Self>()?.this.upgrade()
    }

    /// The address of the `nth` description that was added under `fd` (kcmp(2)).
    pub fn nth_file(&self, fd: Fd, nth: usize) -> Option<usize> {
        self.items.lock().keys().filter(|(number, _)| *number == fd).nth(nth).map(|(_, address)| *address)
    }

    /// EPOLL_CTL_ADD.
    pub fn add(self: &Arc<Self>, fd: Fd, file: &Arc<OpenFile>, events: u32, data: u64) -> Result<(), Errno> {
        let _alone = match file.downcast::<Self>() {
            Some(inner) => {
                let guard = NESTING.lock();
                self.check_nesting(inner)?;
                Some(guard)
            }
            None => None,
        };
        let item = Item::new(self, file, events, data);
        {
            let mut items = self.items.lock();
            if items.contains_key(&key(fd, file)) {
                return Err(Errno::EEXIST);
            }
            items.insert(key(fd, file), item.clone());
        }
        file.watchers().add(fd, &item);
        item.join(file);
        self.queue_if_ready(&item, file);
        Ok(())
    }

    /// EPOLL_CTL_MOD.
    pub fn modify(&self, fd: Fd, file: &Arc<OpenFile>, events: u32, data: u64) -> Result<(), Errno> {
        let item = self.items.lock().get(&key(fd, file)).cloned().ok_or(Errno::ENOENT)?;
        if (events | item.mask()) & raw::EPOLLEXCLUSIVE != 0 {
            return Err(Errno::EINVAL);
        }
        item.leave(file);
        item.set(events, data);
        item.join(file);
        self.queue_if_ready(&item, file);
        Ok(())
    }

    /// EPOLL_CTL_DEL.
    pub fn delete(&self, fd: Fd, file: &Arc<OpenFile>) -> Result<(), Errno> {
        let item = self.items.lock().remove(&key(fd, file)).ok_or(Errno::ENOENT)?;
        item.kill();
        item.leave(file);
        file.watchers().remove(&item);
        self.ready.lock().retain(|other| !Arc::ptr_eq(other, &item));
        Ok(())
    }

    /// epoll_wait(2): adds up to `max` ready files to `found`, none when the time is over.
    pub fn wait(&self, current: &Current, max: usize, timeout: Timeout, found: &mut Found) -> Result<(), WaitError> {
        self.collect(max, found);
        if !found.is_empty() || timeout == Timeout::Now {
            return Ok(());
        }
        let queues = [(&self.queue, Events::READABLE)];
        let result = wait_on(&queues, true, timeout.deadline(), &|| current.interrupted(), || {
            self.collect(max, found);
            (!found.is_empty()).then_some(())
        });
        match result {
            Err(WaitError::TimedOut) => Ok(()),
            other => other,
        }
    }

    /// Puts reported items back: their report could not be delivered.
    pub fn give_back(&self, found: &[(Arc<Item>, Report)]) {
        for (item, _) in found {
            self.enqueue(item, Events::empty());
        }
    }

    fn collect(&self, max: usize, found: &mut Found) {
        let (mut next, mut left) = {
            let mut ready = self.ready.lock();
            (ready.pop_front(), ready.len())
        };
        while let Some(item) = next {
            // Unmarked before it is polled: an event from now on queues it again.
            item.unmark_queued();
            if let Some(events) = item.poll() {
                let data = item.data();
                if item.mask() & raw::EPOLLONESHOT != 0 {
                    item.disarm();
                }
                found.push((item, Report { events: events.bits(), data }));
            }
            if left == 0 || found.len() == max {
                break;
            }
            left -= 1;
            next = self.ready.lock().pop_front();
        }
        // Level-triggered items stay, behind the others. Only now: nobody shall find one twice.
        for (item, _) in found.iter() {
            if item.mask() & (raw::EPOLLONESHOT | raw::EPOLLET) == 0 {
                self.push_ready(item);
            }
        }
        if !found.is_empty() && !self.queue.is_empty() && !self.ready.lock().is_empty() {
            self.queue.wake(Events::READABLE);
        }
    }

    /// Queues the item and tells those who wait, if there are any.
    /// `cause`: what to say beside that it is readable.
    fn enqueue(&self, item: &Arc<Item>, cause: Events) -> bool {
        self.push_ready(item);
        let waited_for = !self.queue.is_empty();
        self.queue.wake(Events::READABLE | cause);
        waited_for
    }

    fn push_ready(&self, item: &Arc<Item>) {
        if item.mark_queued() {
            self.ready.lock().push_back(item.clone());
        }
    }

    fn queue_if_ready(&self, item: &Arc<Item>, file: &OpenFile) {
        if !file.readiness(item.events()).is_empty() {
            self.enqueue(item, Events::empty());
        }
    }

    /// A watched description is gone.
    fn forget(&self, fd: Fd, item: &Arc<Item>) {
        item.kill();
        self.items.lock().remove(&(fd, item.file_address()));
        self.ready.lock().retain(|other| !Arc::ptr_eq(other, item));
    }

    /// The epolls this one watches.
    fn nested(&self) -> Vec<Arc<OpenFile>> {
        let items: Vec<Arc<Item>> = self.items.lock().values().filter(|item| item.is_epoll()).cloned().collect();
        items.iter().filter_map(|item| item.file()).collect()
    }

    /// Whether watching `inner` would make a loop or too deep a tree.
    fn check_nesting(&self, inner: &Self) -> Result<(), Errno> {
        if inner.depth_below(self, 0)? + self.depth_above(0)? + 2 > MAX_DEPTH {
            return Err(Errno::ELOOP);
        }
        Ok(())
    }

    /// Levels of epolls below; ELOOP where `target` is among them.
    fn depth_below(&self, target: &Self, depth: usize) -> Result<usize, Errno> {
        if core::ptr::eq(self, target) || depth > MAX_DEPTH {
            return Err(Errno::ELOOP);
        }
        let mut deepest = 0;
        for file in self.nested() {
            if let Some(epoll) = file.downcast::<Self>() {
                deepest = deepest.max(1 + epoll.depth_below(target, depth + 1)?);
            }
        }
        Ok(deepest)
    }

    /// Levels of epolls that watch this one.
    fn depth_above(&self, depth: usize) -> Result<usize, Errno> {
        if depth > MAX_DEPTH {
            return Err(Errno::ELOOP);
        }
        let mut deepest = 0;
        let description = self.description.get().and_then(Weak::upgrade);
        for watcher in description.iter().flat_map(|file| file.watchers().epolls()) {
            deepest = deepest.max(1 + watcher.depth_above(depth + 1)?);
        }
        Ok(deepest)
    }
}

impl FileOps for Epoll {
    fn poll(&self, _: &OpenFile) -> Events {
        // What is on the list may have become unready meanwhile: look, as far as the first that is ready.
        let candidates = self.ready.lock().len();
        for _ in 0..candidates {
            let Some(item) = self.ready.lock().pop_front() else { break };
            item.unmark_queued();
            if item.poll().is_some() {
                if item.mark_queued() {
                    self.ready.lock().push_front(item);
                }
                return Events::READABLE;
            }
        }
        Events::empty()
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn seek(&self, _file: &OpenFile, _offset: i64, _whence: u32) -> Result<u64, Errno> {
        // Linux's noop_llseek.
        Ok(0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        let items = core::mem::take(self.items.get_mut());
        for item in items.into_values() {
            item.kill();
            if let Some(file) = item.file() {
                item.leave(&file);
                file.watchers().remove(&item);
            }
        }
    }
}
