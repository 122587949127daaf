//! One file in an epoll, and a description's list of the items that watch it.

use super::Epoll;
use crate::fs::open_file::OpenFile;
use crate::sync::{Lock, Rank};
use crate::syscall::Fd;
use crate::wait::{Events, Wake};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use linux_raw_sys::general as raw;

/// Bits of the mask that are no events.
const BEHAVIOUR: u32 = raw::EPOLLET | raw::EPOLLONESHOT | raw::EPOLLEXCLUSIVE | raw::EPOLLWAKEUP;

/// A watched file.
pub struct Item {
    this: Weak<Self>,
    epoll: Weak<Epoll>,
    file: Weak<OpenFile>,
    /// Events and behaviour; no events at all after EPOLLONESHOT fired.
    mask: AtomicU32,
    data: AtomicU64,
    /// On the ready list.
    queued: AtomicBool,
    /// Removed; whoever still holds it drops it.
    dead: AtomicBool,
    is_epoll: bool,
}

impl Item {
    pub(super) fn new(epoll: &Arc<Epoll>, file: &Arc<OpenFile>, events: u32, data: u64) -> Arc<Self> {
        let item = Arc::new_cyclic(|this| Self {
            this: this.clone(),
            epoll: Arc::downgrade(epoll),
            file: Arc::downgrade(file),
            mask: AtomicU32::new(0),
            data: AtomicU64::new(0),
            queued: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            is_epoll: file.downcast::<Epoll>().is_some(),
        });
        item.set(events, data);
        item
    }

    pub(super) fn set(&self, events: u32, data: u64) {
        self.data.store(data, Ordering::Relaxed);
        self.mask.store(events | Events::ERR.bits() | Events::HUP.bits(), Ordering::SeqCst);
    }

    pub(super) fn mask(&self) -> u32 {
        self.mask.load(Ordering::SeqCst)
    }

    pub(super) fn data(&self) -> u64 {
        self.data.load(Ordering::Relaxed)
    }

    /// What is watched for; nothing after EPOLLONESHOT fired.
    pub(super) fn events(&self) -> Events {
        Events::from_bits_truncate(self.mask() & !BEHAVIOUR)
    }

    /// EPOLLONESHOT fired.
    pub(super) fn disarm(&self) {
        self.mask.fetch_and(BEHAVIOUR, Ordering::SeqCst);
    }

    pub(super) fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    /// True if it was not queued: the caller queues it.
    pub(super) fn mark_queued(&self) -> bool {
        !self.dead.load(Ordering::SeqCst) && !self.queued.swap(true, Ordering::SeqCst)
    }

    pub(super) fn unmark_queued(&self) {
        self.queued.store(false, Ordering::SeqCst);
    }

    pub(super) fn file(&self) -> Option<Arc<OpenFile>> {
        self.file.upgrade()
    }

    /// The description's address: half of the key.
    pub(super) fn file_address(&self) -> usize {
        self.file.as_ptr() as usize
    }

    pub(super) fn is_epoll(&self) -> bool {
        self.is_epoll
    }

    /// What of its events is ready; `None` where nothing is, or where it is disarmed or gone.
    pub(super) fn poll(&self) -> Option<Events> {
        let wanted = self.events();
        if wanted.is_empty() || self.dead.load(Ordering::SeqCst) {
            return None;
        }
        let file = self.file.upgrade()?;
        let events = file.readiness(wanted) & wanted;
        (!events.is_empty()).then_some(events)
    }

    /// Joins the file's wait queue.
    pub(super) fn join(self: &Arc<Self>, file: &OpenFile) {
        if let Some(queue) = file.ops().wait_queue() {
            queue.add(self.clone(), self.events(), self.mask() & raw::EPOLLEXCLUSIVE != 0);
        }
    }

    /// Leaves it.
    pub(super) fn leave(self: &Arc<Self>, file: &OpenFile) {
        if let Some(queue) = file.ops().wait_queue() {
            let target: Arc<dyn Wake> = self.clone();
            queue.remove(&target);
        }
    }
}

impl Wake for Item {
    fn wake(&self, events: Events) -> bool {
        if !self.events().intersects(events) {
            return false;
        }
        let (Some(epoll), Some(this)) = (self.epoll.upgrade(), self.this.upgrade()) else { return false };
        epoll.enqueue(&this, events & Events::BY_RING)
    }
}

/// The items that watch one description.
pub struct Watchers {
    any: AtomicBool,
    items: Lock<Vec<(Fd, Weak<Item>)>>,
}

impl Default for Watchers {
    fn default() -> Self {
        Self { any: AtomicBool::new(false), items: Lock::new(Rank::Leaf, Vec::new()) }
    }
}

impl Watchers {
    pub(super) fn add(&self, fd: Fd, item: &Arc<Item>) {
        self.items.lock().push((fd, Arc::downgrade(item)));
        self.any.store(true, Ordering::Release);
    }

    pub(super) fn remove(&self, item: &Arc<Item>) {
        let mut items = self.items.lock();
        items.retain(|(_, other)| !core::ptr::eq(other.as_ptr(), Arc::as_ptr(item)));
        self.any.store(!items.is_empty(), Ordering::Release);
    }

    /// The epolls that watch the description.
    pub(super) fn epolls(&self) -> Vec<Arc<Epoll>> {
        let items: Vec<Weak<Item>> = self.items.lock().iter().map(|(_, item)| item.clone()).collect();
        items.iter().filter_map(|item| item.upgrade()?.epoll.upgrade()).collect()
    }

    /// The description is being dropped: its items go too.
    #[inline]
    pub fn file_gone(&self, file: &OpenFile) {
        if self.any.load(Ordering::Acquire) {
            self.forget_all(file);
        }
    }

    fn forget_all(&self, file: &OpenFile) {
        let items = core::mem::take(&mut *self.items.lock());
        for (fd, item) in items {
            let Some(item) = item.upgrade() else { continue };
            item.leave(file);
            if let Some(epoll) = item.epoll.upgrade() {
                epoll.forget(fd, &item);
            }
        }
    }
}
