//! A thread as others see it.

use super::{Credentials, Process, Tid};
use crate::fs::{FdTable, FsContext};
use crate::mm::AddressSpace;
use crate::platform::ThreadRef;
use crate::signal::TaskSignals;
use crate::sync::{Lock, Rank};
use alloc::sync::Arc;

/// A thread.
pub struct Task {
    tid: Tid,
    process: Arc<Process>,
    thread: spin::Once<ThreadRef>,
    name: Lock<[u8; 16]>,
    published: Lock<Published>,
    /// Signals of this thread alone.
    pub signals: TaskSignals,
}

/// What others may see of a thread's private state. `None` after the thread let go of it at exit.
#[derive(Clone)]
#[allow(missing_docs)]
pub struct Published {
    pub mm: Option<Arc<AddressSpace>>,
    pub files: Option<Arc<FdTable>>,
    pub fs: Option<Arc<FsContext>>,
    pub creds: Arc<Credentials>,
}

impl Task {
    /// A thread `tid` of `process` that has not started yet.
    pub fn new(tid: Tid, process: Arc<Process>, name: [u8; 16], published: Published) -> Self {
        Self {
            tid,
            process,
            thread: spin::Once::new(),
            name: Lock::new(Rank::Leaf, name),
            published: Lock::new(Rank::Task, published),
            signals: TaskSignals::default(),
        }
    }

    /// Its number.
    pub fn tid(&self) -> Tid {
        self.tid
    }

    /// Its process.
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// Its kernel thread, once started.
    pub fn thread(&self) -> Option<&ThreadRef> {
        self.thread.get()
    }

    /// Sets the kernel thread, once.
    pub fn set_thread(&self, thread: ThreadRef) {
        self.thread.call_once(|| thread);
    }

    /// Ends its current park or user-mode stretch, so that it looks at its signals and state.
    pub fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
            thread.kick();
        }
    }

    /// `comm`, NUL-padded.
    pub fn name(&self) -> [u8; 16] {
        *self.name.lock()
    }

    /// Sets `comm` to the first 15 bytes of `name`.
    pub fn set_name(&self, name: &[u8]) {
        let mut padded = [0; 16];
        let len = name.len().min(15);
        padded[..len].copy_from_slice(&name[..len]);
        *self.name.lock() = padded;
    }

    /// A copy of what the thread published.
    pub fn published(&self) -> Published {
        self.published.lock().clone()
    }

    /// Its credentials.
    pub fn creds(&self) -> Arc<Credentials> {
        self.published.lock().creds.clone()
    }

    /// Replaces what others see; the old references are dropped outside the lock.
    pub fn publish(&self, new: Published) {
        let old = core::mem::replace(&mut *self.published.lock(), new);
        drop(old);
    }
}
