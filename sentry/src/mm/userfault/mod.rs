//! userfaultfd(2): a program that answers page faults itself.
//!
//! `Userfault` is what a descriptor stands for: faults and events that somebody waits with, in the order in which they came.
//! `register` says which areas are its, `fill` answers, `notice` tells of changes of the areas, `Guards` are the pages that
//! it write-protects. Who faults joins `faults` with no lock held, looks once more whether the page is still wanting, and
//! parks; who answers changes the page table first and wakes after that.
//!
//! Lock: `state` (rank Notify); nothing is taken inside. What is asked under an address space's lock is atomic.

mod fill;
mod guard;
mod notice;
mod register;
#[cfg(test)]
mod tests;

pub use fill::Filled;
pub(in crate::mm) use guard::Guards;
pub(in crate::mm) use notice::{Notice, fork_all, settle, tell};
pub(in crate::mm) use register::Registration;
pub use register::{Modes, check_range};

use super::address_space::{AddressSpace, MemoryFault};
use super::vma::{Backing, Vma};
use crate::errno::Errno;
use crate::platform::{Access, platform};
use crate::sync::{Lock, Rank};
use crate::task::{Current, Task, registry};
use crate::wait::{Events, WaitQueue, wait_on};
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use linker::addr::UserVa;
use linker::layout::PAGE_SIZE;
use linux_raw_sys::general as raw;

/// What UFFDIO_API offers.
pub const FEATURES: u64 = (raw::UFFD_FEATURE_PAGEFAULT_FLAG_WP
    | raw::UFFD_FEATURE_EVENT_FORK
    | raw::UFFD_FEATURE_EVENT_REMAP
    | raw::UFFD_FEATURE_EVENT_REMOVE
    | raw::UFFD_FEATURE_EVENT_UNMAP
    | raw::UFFD_FEATURE_MISSING_HUGETLBFS
    | raw::UFFD_FEATURE_MISSING_SHMEM
    | raw::UFFD_FEATURE_SIGBUS
    | raw::UFFD_FEATURE_THREAD_ID
    | raw::UFFD_FEATURE_MINOR_HUGETLBFS
    | raw::UFFD_FEATURE_MINOR_SHMEM
    | raw::UFFD_FEATURE_EXACT_ADDRESS
    | raw::UFFD_FEATURE_WP_HUGETLBFS_SHMEM
    | raw::UFFD_FEATURE_WP_UNPOPULATED) as u64;
/// Marks `features` as chosen (Linux's UFFD_FEATURE_INITIALIZED).
const CHOSEN: u64 = 1 << 63;

/// `struct uffd_msg`: the event, and three words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// UFFD_EVENT_*.
    pub event: u32,
    /// What it says.
    pub words: [u64; 3],
}

/// What is read from a userfaultfd.
pub enum Read {
    /// A message as it is.
    Plain(Message),
    /// UFFD_EVENT_FORK: the child's own, which the reader gets a descriptor of.
    Fork(Arc<Userfault>),
}

/// Somebody who waits: with a fault until the page is there, with an event until it was read.
struct Waiting {
    message: Message,
    /// The page of a fault.
    page: u64,
    child: Option<Arc<Userfault>>,
    was_read: AtomicBool,
    is_over: AtomicBool,
}

#[derive(Default)]
struct State {
    /// The descriptor is closed.
    released: bool,
    /// Faults that are not over, oldest first.
    faults: VecDeque<Arc<Waiting>>,
    /// Events that nobody has read.
    events: VecDeque<Arc<Waiting>>,
}

/// What a userfaultfd stands for.
pub struct Userfault {
    mm: spin::Once<Weak<AddressSpace>>,
    /// UFFD_USER_MODE_ONLY: the kernel's own accesses fail.
    user_only: bool,
    features: AtomicU64,
    /// Events under way: nothing is filled in meanwhile.
    changing: AtomicU32,
    state: Lock<State>,
    /// Who reads.
    readers: WaitQueue,
    /// Who waits with a fault or an event.
    waiters: WaitQueue,
}

impl Userfault {
    /// For the memory of `mm`.
    pub fn new(mm: &Arc<AddressSpace>, user_only: bool) -> Arc<Self> {
        let new = Self::unbound(user_only, 0);
        new.mm.call_once(|| Arc::downgrade(mm));
        Arc::new(new)
    }

    fn unbound(user_only: bool, features: u64) -> Self {
        Self {
            mm: spin::Once::new(),
            user_only,
            features: AtomicU64::new(features),
            changing: AtomicU32::new(0),
            state: Lock::new(Rank::Notify, State::default()),
            readers: WaitQueue::new(),
            waiters: WaitQueue::new(),
        }
    }

    /// Chooses features, once.
    pub fn choose(&self, features: u64) -> Result<(), Errno> {
        let chosen = self.features.compare_exchange(0, features | CHOSEN, Ordering::AcqRel, Ordering::Relaxed);
        chosen.map(|_| ()).map_err(|_| Errno::EINVAL)
    }

    /// Whether features were chosen: before that nothing else can be done.
    pub fn is_ready(&self) -> bool {
        self.features.load(Ordering::Acquire) & CHOSEN != 0
    }

    pub(in crate::mm) fn has(&self, feature: u32) -> bool {
        self.features.load(Ordering::Acquire) & u64::from(feature) != 0
    }

    /// The memory; ESRCH once its processes are gone.
    fn space(&self) -> Result<Arc<AddressSpace>, Errno> {
        self.mm.get().and_then(Weak::upgrade).ok_or(Errno::ESRCH)
    }

    /// Who reads waits here.
    pub fn readers(&self) -> &WaitQueue {
        &self.readers
    }

    /// Whether there is something to read.
    pub fn is_readable(&self) -> bool {
        let state = self.state.lock();
        !state.events.is_empty() || state.faults.iter().any(|fault| !fault.was_read.load(Ordering::Relaxed))
    }

    /// The next message: faults first.
    pub fn next(&self) -> Option<Read> {
        let event = {
            let mut state = self.state.lock();
            if let Some(fault) = state.faults.iter().find(|fault| !fault.was_read.load(Ordering::Relaxed)) {
                fault.was_read.store(true, Ordering::Relaxed);
                return Some(Read::Plain(fault.message));
            }
            state.events.pop_front()?
        };
        event.was_read.store(true, Ordering::Relaxed);
        event.is_over.store(true, Ordering::Release);
        self.waiters.wake(Events::IN);
        Some(match &event.child {
            Some(child) => Read::Fork(child.clone()),
            None => Read::Plain(event.message),
        })
    }

    /// Lets those go on who wait for pages of `[start, end)`.
    pub fn wake(&self, start: u64, end: u64) {
        let woken = {
            let mut state = self.state.lock();
            let before = state.faults.len();
            state.faults.retain(|fault| {
                let over = (start..end).contains(&fault.page);
                fault.is_over.fetch_or(over, Ordering::Release);
                !over
            });
            before != state.faults.len()
        };
        if woken {
            self.waiters.wake(Events::IN);
        }
    }

    /// The descriptor is closed: its areas are nobody's, and everybody goes on.
    pub fn release(self: &Arc<Self>) {
        self.state.lock().released = true;
        if let Ok(mm) = self.space() {
            mm.forget_userfault(self);
        }
        let (faults, events) = {
            let mut state = self.state.lock();
            (core::mem::take(&mut state.faults), core::mem::take(&mut state.events))
        };
        for waiting in faults.iter().chain(&events) {
            waiting.is_over.store(true, Ordering::Release);
        }
        self.waiters.wake(Events::IN);
        self.readers.wake(Events::HUP);
        // Children whose descriptor nobody took.
        for child in events.iter().filter_map(|event| event.child.as_ref()) {
            child.release();
        }
    }

    /// Adds a fault or an event, waits until it is over; false where the thread must end first. `still`: asked once it is
    /// in line, whether there is something to wait for at all.
    fn wait(
        &self,
        waiting: &Arc<Waiting>,
        is_fault: bool,
        ends: &dyn Fn() -> bool,
        still: impl FnOnce() -> bool,
    ) -> bool {
        {
            let mut state = self.state.lock();
            if state.released {
                return true;
            }
            let line = if is_fault { &mut state.faults } else { &mut state.events };
            line.push_back(waiting.clone());
        }
        let mut over = !still();
        if !over {
            self.readers.wake(Events::READABLE);
            let ready = || waiting.is_over.load(Ordering::Acquire).then_some(());
            over = wait_on(&[(&self.waiters, Events::IN)], false, None, ends, ready).is_ok();
        }
        let mut state = self.state.lock();
        let line = if is_fault { &mut state.faults } else { &mut state.events };
        line.retain(|other| !Arc::ptr_eq(other, waiting));
        over
    }
}

/// The thread that calls, for who was not told. (Rare: only where a fault or event of a userfaultfd waits.)
fn this_task() -> Option<Arc<Task>> {
    registry().task_of(&platform().current_thread())
}

impl AddressSpace {
    /// Whom to ask before a page can be accessed so, and with which UFFD_PAGEFAULT_FLAG_*; the areas are being read.
    pub(in crate::mm) fn wanting(&self, vma: &Vma, page: u64, access: Access) -> Option<(Arc<Userfault>, u32)> {
        let registered = vma.userfault.as_ref()?;
        let write = access == Access::Write;
        let kind = match (self.table.translate(UserVa::new(page)), &vma.backing) {
            (Some(_), _) if write && self.is_guarded(vma, page) => raw::UFFD_PAGEFAULT_FLAG_WP,
            (Some(_), _) => return None,
            (None, Backing::File(file)) => {
                let index = vma.page_index(page);
                let cached = file.mapping.cached(index, false).is_some();
                let needs = if cached { Modes::MINOR } else { Modes::MISSING };
                if !registered.modes.contains(needs) || index >= file.mapping.size().div_ceil(PAGE_SIZE) {
                    return None;
                }
                if cached { raw::UFFD_PAGEFAULT_FLAG_MINOR } else { 0 }
            }
            (None, _) if registered.modes.contains(Modes::MISSING) => 0,
            (None, _) => return None,
        };
        Some((registered.by.clone(), kind | if write { raw::UFFD_PAGEFAULT_FLAG_WRITE } else { 0 }))
    }

    /// Whether the page is write-protected by a userfaultfd.
    pub(in crate::mm) fn is_guarded(&self, vma: &Vma, page: u64) -> bool {
        vma.userfault.as_ref().is_some_and(|registered| registered.modes.contains(Modes::PROTECT))
            && self.guards.contains(page)
    }

    /// Asks for a page and waits for the answer, with no lock held. `user`: the access is the program's own, which a signal
    /// interrupts; it is tried again after that.
    pub(in crate::mm) fn ask(
        &self,
        (by, flags): (Arc<Userfault>, u32),
        address: UserVa,
        access: Access,
        user: Option<&Current>,
    ) -> Result<(), MemoryFault> {
        if by.has(raw::UFFD_FEATURE_SIGBUS) || user.is_none() && by.user_only {
            return Err(MemoryFault::BeyondEnd);
        }
        let task = match user {
            Some(current) => Some(current.task.clone()),
            None => this_task(),
        };
        let page = address.page_floor().raw();
        let shown = if by.has(raw::UFFD_FEATURE_EXACT_ADDRESS) { address.raw() } else { page };
        let thread = task.as_ref().filter(|_| by.has(raw::UFFD_FEATURE_THREAD_ID));
        let thread = thread.map_or(0, |task| u64::from(task.shown_tid().raw()));
        let message = Message { event: raw::UFFD_EVENT_PAGEFAULT, words: [u64::from(flags), shown, thread] };
        let waiting = Arc::new(Waiting::new(message, page, None));
        let doomed = || task.as_ref().is_some_and(|task| task.is_doomed());
        let ends = || user.map_or_else(doomed, Current::interrupted);
        let still = || {
            let areas = self.areas.read();
            let wanting = areas.find(page).and_then(|vma| self.wanting(vma, page, access));
            wanting.is_some_and(|(now, _)| Arc::ptr_eq(&now, &by))
        };
        if by.wait(&waiting, true, &ends, still) || user.is_some() { Ok(()) } else { Err(MemoryFault::BeyondEnd) }
    }

    /// Its areas are nobody's any more.
    fn forget_userfault(&self, by: &Arc<Userfault>) {
        let mut areas = self.areas.write();
        let mut gone = Vec::new();
        let spare = areas.change(0, linker::layout::USER_END, |vma| {
            if vma.userfault.as_ref().is_some_and(|registered| Arc::ptr_eq(&registered.by, by)) {
                self.guards.remove(vma.start, vma.end);
                gone.extend(vma.userfault.take());
            }
        });
        drop(areas);
        drop((spare, gone));
    }
}

impl Waiting {
    fn new(message: Message, page: u64, child: Option<Arc<Userfault>>) -> Self {
        Self { message, page, child, was_read: AtomicBool::new(false), is_over: AtomicBool::new(false) }
    }
}
