//! Signals: numbers, pending sets, actions, delivery.

use core::sync::atomic::{AtomicBool, Ordering};

/// Signal state that others may change: pending set and mask of one thread.
#[derive(Default)]
pub struct TaskSignals {
    deliverable: AtomicBool,
}

impl TaskSignals {
    /// Whether an unblocked signal is pending, for the thread or its process (or the task must stop or die).
    #[inline]
    pub fn deliverable(&self) -> bool {
        self.deliverable.load(Ordering::Acquire)
    }
}

/// Signal state of a process: shared pending set, actions.
#[derive(Default)]
pub struct ProcessSignals {}

/// Signal state that only the thread itself touches: alternate stack, saved mask, restart block.
#[derive(Default)]
pub struct ThreadSignalState {}
