//! A process: the threads that share a pid.

use super::{Task, Tid};
use crate::signal::ProcessSignals;
use crate::sync::{Lock, Rank};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

/// A process (thread group).
pub struct Process {
    pid: Tid,
    parent_pid: AtomicU32,
    threads: Lock<Vec<Arc<Task>>>,
    /// Signals of the whole process, and the actions.
    pub signals: ProcessSignals,
}

impl Process {
    /// A process without threads yet.
    pub fn new(pid: Tid, parent: Tid) -> Self {
        Self {
            pid,
            parent_pid: AtomicU32::new(parent.raw()),
            threads: Lock::new(Rank::Process, Vec::new()),
            signals: ProcessSignals::default(),
        }
    }

    /// Its number.
    pub fn pid(&self) -> Tid {
        self.pid
    }

    /// Its parent's number, 0 when the parent is outside.
    #[inline]
    pub fn parent_pid(&self) -> Tid {
        Tid::new(self.parent_pid.load(Ordering::Relaxed))
    }

    /// Its live threads.
    pub fn threads(&self) -> Vec<Arc<Task>> {
        self.threads.lock().clone()
    }
}
