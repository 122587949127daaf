//! io_uring(7): requests and completions in memory that a program and the sentry share.
//!
//! `memory` is the two rings; `Ring` is the file. `work` runs what is submitted: at once on the caller's thread where it need not
//! wait, else on a helper thread of the same process that waits as the plain system call would. What a request does is
//! decoded in `syscall::uring`. Locks: `Ring::state` and `memory` are leaves.

mod memory;
pub mod work;

pub use memory::{Completion, Sizes, Sqe};

use crate::errno::Errno;
use crate::fs::anon::AnonInode;
use crate::fs::eventfd::EventFd;
use crate::fs::{FileOps, OpenFile, OpenFlags};
use crate::mm::Mapping;
use crate::sync::{Lock, Rank, SleepLock};
use crate::wait::{Events, WaitQueue};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use linux_raw_sys::io_uring as raw;
use memory::Memory;
use work::Work;

/// Completions that are kept until there is room for them. More are dropped and counted, as on Linux without memory.
const MOST_OVERFLOW: usize = 1 << 16;

/// A ring.
pub struct Ring {
    memory: Memory,
    state: Lock<State>,
    /// One thread submits at a time.
    submitting: SleepLock<()>,
    /// Woken by completions, and by the end of requests.
    wait: WaitQueue,
    /// Completions so far, also those that are not shown.
    completed: AtomicU64,
    disabled: AtomicBool,
    /// Completions were dropped, and the program does not know yet.
    dropped: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Completions for which there was no room.
    overflow: VecDeque<Completion>,
    works: Vec<Arc<Work>>,
    files: Vec<Option<Arc<OpenFile>>>,
    buffers: Vec<(u64, u64)>,
    event: Option<(Arc<OpenFile>, bool)>,
}

impl Ring {
    /// A ring's file.
    pub fn open(sizes: Sizes, disabled: bool) -> Result<Arc<OpenFile>, Errno> {
        let ring = Self {
            memory: Memory::new(sizes)?,
            state: Lock::new(Rank::Leaf, State::default()),
            submitting: SleepLock::new(()),
            wait: WaitQueue::new(),
            completed: AtomicU64::new(0),
            disabled: AtomicBool::new(disabled),
            dropped: AtomicBool::new(false),
        };
        let file = RingFile(Arc::new(ring));
        Ok(OpenFile::new(Arc::new(file), OpenFlags::RDWR, AnonInode::anonymous("[io_uring]"), None))
    }

    /// The ring behind `file`: EOPNOTSUPP where it is none.
    pub fn of(file: &OpenFile) -> Result<Arc<Self>, Errno> {
        file.downcast::<RingFile>().map(|file| file.0.clone()).ok_or(Errno::EOPNOTSUPP)
    }

    /// Whether it takes requests yet (IORING_SETUP_R_DISABLED).
    pub fn is_disabled(&self) -> bool {
        self.disabled.load(Ordering::Relaxed)
    }

    /// IORING_REGISTER_ENABLE_RINGS.
    pub fn enable(&self) -> Result<(), Errno> {
        if self.disabled.swap(false, Ordering::Relaxed) { Ok(()) } else { Err(Errno::EBADFD) }
    }

    /// Keeps other threads from submitting meanwhile.
    pub fn submitting(&self) -> &SleepLock<()> {
        &self.submitting
    }

    /// Requests that wait to be taken.
    pub(super) fn requests_waiting(&self) -> u32 {
        self.memory.waiting()
    }

    /// The next request that the program put into the ring.
    pub fn next_request(&self) -> Option<Sqe> {
        self.memory.next_request()
    }

    /// Tells of the end of a request.
    pub fn complete(&self, completion: Completion) {
        let event = {
            let mut state = self.state.lock();
            if !state.overflow.is_empty() || !self.memory.put(&completion) {
                if state.overflow.len() < MOST_OVERFLOW {
                    state.overflow.push_back(completion);
                    self.memory.set_overflow(true);
                } else {
                    self.memory.count_dropped();
                    self.dropped.store(true, Ordering::SeqCst);
                }
            }
            state.event.as_ref().map(|(event, _)| event.clone())
        };
        self.tell(event);
    }

    /// Tells of one result of a request that goes on. False where there is no room: the request ends with this one.
    pub fn complete_one_of_many(&self, user_data: u64, result: i32) -> bool {
        let completion = Completion { user_data, result, flags: raw::IORING_CQE_F_MORE };
        let event = {
            let state = self.state.lock();
            if !state.overflow.is_empty() || !self.memory.put(&completion) {
                return false;
            }
            state.event.as_ref().map(|(event, _)| event.clone())
        };
        self.tell(event);
        true
    }

    fn tell(&self, event: Option<Arc<OpenFile>>) {
        self.finished();
        if let Some(event) = event.as_ref().and_then(|file| file.downcast::<EventFd>()) {
            event.count_one(Events::BY_RING);
        }
    }

    /// A request is over, told of or not.
    pub fn finished(&self) {
        self.completed.fetch_add(1, Ordering::SeqCst);
        self.wait.wake(Events::READABLE | Events::BY_RING);
    }

    /// Whether completions were dropped since this was last asked.
    pub fn take_dropped(&self) -> bool {
        self.dropped.swap(false, Ordering::SeqCst)
    }

    /// Requests that are over.
    pub fn completed(&self) -> u64 {
        self.completed.load(Ordering::SeqCst)
    }

    /// What `completed` changes wake.
    pub fn queue(&self) -> &WaitQueue {
        &self.wait
    }

    /// Completions that wait for the program, once those that did not fit before are there as far as they fit now.
    pub fn ready(&self) -> u32 {
        let mut state = self.state.lock();
        while let Some(completion) = state.overflow.front() {
            if !self.memory.put(completion) {
                break;
            }
            state.overflow.pop_front();
            if state.overflow.is_empty() {
                self.memory.set_overflow(false);
            }
        }
        self.memory.ready()
    }

    /// A registered file.
    pub fn file(&self, index: u32) -> Result<Arc<OpenFile>, Errno> {
        self.state.lock().files.get(index as usize).cloned().flatten().ok_or(Errno::EBADF)
    }

    /// IORING_REGISTER_FILES. EBUSY where there are some.
    pub fn set_files(&self, files: Vec<Option<Arc<OpenFile>>>) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if !state.files.is_empty() {
            return Err(Errno::EBUSY);
        }
        state.files = files;
        Ok(())
    }

    /// IORING_UNREGISTER_FILES. ENXIO where there are none.
    pub fn clear_files(&self) -> Result<(), Errno> {
        let old = core::mem::take(&mut self.state.lock().files);
        if old.is_empty() { Err(Errno::ENXIO) } else { Ok(()) }
    }

    /// IORING_REGISTER_FILES_UPDATE: replaces files from `first` on.
    pub fn update_files(&self, first: usize, files: Vec<Option<Arc<OpenFile>>>) -> Result<usize, Errno> {
        let count = files.len();
        let old = {
            let mut state = self.state.lock();
            if state.files.is_empty() {
                return Err(Errno::ENXIO);
            }
            let end = first.checked_add(count).ok_or(Errno::EINVAL)?;
            let slots = state.files.get_mut(first..end).ok_or(Errno::EINVAL)?;
            slots.iter_mut().zip(files).map(|(slot, new)| core::mem::replace(slot, new)).collect::<Vec<_>>()
        };
        drop(old);
        Ok(count)
    }

    /// Whether `len` bytes at `at` are in the registered buffer `index`. EFAULT where not.
    pub fn check_buffer(&self, index: u16, at: u64, len: u32) -> Result<(), Errno> {
        let state = self.state.lock();
        let &(start, size) = state.buffers.get(usize::from(index)).ok_or(Errno::EFAULT)?;
        let end = at.checked_add(u64::from(len)).ok_or(Errno::EFAULT)?;
        if at >= start && end <= start.saturating_add(size) { Ok(()) } else { Err(Errno::EFAULT) }
    }

    /// IORING_REGISTER_BUFFERS.
    pub fn set_buffers(&self, buffers: Vec<(u64, u64)>) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if !state.buffers.is_empty() {
            return Err(Errno::EBUSY);
        }
        state.buffers = buffers;
        Ok(())
    }

    /// IORING_UNREGISTER_BUFFERS.
    pub fn clear_buffers(&self) -> Result<(), Errno> {
        if core::mem::take(&mut self.state.lock().buffers).is_empty() { Err(Errno::ENXIO) } else { Ok(()) }
    }

    /// The eventfd to tell of completions.
    pub fn set_event(&self, event: Option<Arc<OpenFile>>) -> Result<(), Errno> {
        let old = {
            let mut state = self.state.lock();
            match (&state.event, &event) {
                (Some(_), Some(_)) => return Err(Errno::EBUSY),
                (None, None) => return Err(Errno::ENXIO),
                _ => core::mem::replace(&mut state.event, event.map(|event| (event, false))),
            }
        };
        drop(old);
        Ok(())
    }
}

/// The ring as a file. Its end is the end of what still runs.
struct RingFile(Arc<Ring>);

impl Drop for RingFile {
    fn drop(&mut self) {
        self.0.cancel_all();
    }
}

impl FileOps for RingFile {
    fn poll(&self, _: &OpenFile) -> Events {
        let mut events = Events::empty();
        if self.0.ready() > 0 {
            events |= Events::READABLE;
        }
        if !self.0.memory.is_full() {
            events |= Events::WRITABLE;
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.0.wait)
    }

    fn mapping(&self, offset: u64) -> Option<Result<(Arc<Mapping>, u64), Errno>> {
        // The upper bits say which region; what is below is a place in it.
        let region = u32::try_from(offset).unwrap_or(u32::MAX) & raw::IORING_OFF_MMAP_MASK;
        Some(match region {
            raw::IORING_OFF_SQ_RING | raw::IORING_OFF_CQ_RING => {
                Ok((self.0.memory.rings().clone(), offset - u64::from(region)))
            }
            raw::IORING_OFF_SQES => Ok((self.0.memory.requests().clone(), offset - u64::from(region))),
            _ => Err(Errno::EINVAL),
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
