//! A CPU's queue of threads that are ready to run, first in, first out: a list through `KThread::next`, so that queueing
//! never allocates.

use crate::lock::Lock;
use crate::thread::KThread;
use alloc::sync::Arc;
use core::ptr::null;
use core::sync::atomic::{AtomicUsize, Ordering};

/// The queue. Its length can be read without the lock.
pub struct RunQueue {
    list: Lock<List>,
    len: AtomicUsize,
}

struct List {
    head: *const KThread,
    tail: *const KThread,
}

// SAFETY: the pointers are counted references to threads, which may be used from any CPU.
unsafe impl Send for List {}

impl RunQueue {
    /// Empty.
    pub const fn new() -> Self {
        Self { list: Lock::new(List { head: null(), tail: null() }), len: AtomicUsize::new(0) }
    }

    /// Threads in it.
    #[inline]
    pub fn len(&self) -> usize {
        self.len.load(Ordering::SeqCst)
    }

    /// Puts a thread at the end.
    pub fn push(&self, thread: Arc<KThread>) {
        let mut list = self.list.lock();
        let thread = Arc::into_raw(thread);
        // SAFETY: the queue owns the references on its list; a thread is in one queue at most, because only the one who
        // changes its state from parked (or runs it) queues it.
        unsafe {
            (*thread).next.set(null());
            if list.tail.is_null() {
                list.head = thread;
            } else {
                (*list.tail).next.set(thread);
            }
        }
        list.tail = thread;
        self.len.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether a thread waits here that CPU `number` may run, now or as soon as it has left the CPU it was on.
    pub fn has_work_for(&self, number: usize) -> bool {
        if self.len() == 0 {
            return false;
        }
        let list = self.list.lock();
        let mut at = list.head;
        while !at.is_null() {
            // SAFETY: as in `push`.
            let thread = unsafe { &*at };
            if thread.affinity.load(Ordering::Relaxed) & 1 << number != 0 {
                return true;
            }
            at = thread.next.get();
        }
        false
    }

    /// Takes the first thread that CPU `number` may run now. One that is still leaving another CPU stays: waiting for it
    /// here could be mutual.
    pub fn pop(&self, number: usize, current: &KThread) -> Option<Arc<KThread>> {
        if self.len() == 0 {
            return None;
        }
        let mut list = self.list.lock();
        let mut before: *const KThread = null();
        let mut at = list.head;
        // SAFETY: as in `push`; the reference that the list held goes to the caller.
        unsafe {
            while !at.is_null() {
                let next = (*at).next.get();
                let is_free = !(*at).on_cpu.load(Ordering::Acquire) || core::ptr::eq(at, current);
                if is_free && (*at).affinity.load(Ordering::Relaxed) & 1 << number != 0 {
                    if before.is_null() {
                        list.head = next;
                    } else {
                        (*before).next.set(next);
                    }
                    if next.is_null() {
                        list.tail = before;
                    }
                    self.len.fetch_sub(1, Ordering::SeqCst);
                    return Some(Arc::from_raw(at));
                }
                before = at;
                at = next;
            }
        }
        None
    }
}
