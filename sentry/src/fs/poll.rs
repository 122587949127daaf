//! Waiting for any of several files: what poll and select share.

use super::OpenFile;
use crate::platform::platform;
use crate::task::Current;
use crate::wait::{Events, WaitError, WaitQueue, wait_on};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// How long to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timeout {
    /// Not at all.
    Now,
    /// Until `monotonic_ns` reaches this.
    Until(u64),
    /// For ever.
    Never,
}

impl Timeout {
    /// `ns` from now.
    pub fn after_ns(ns: u64) -> Self {
        if ns == 0 { Self::Now } else { Self::Until(platform().monotonic_ns().saturating_add(ns)) }
    }

    /// As `WaitQueue` waits take it.
    pub fn deadline(self) -> Option<u64> {
        match self {
            Self::Now => Some(0),
            Self::Until(deadline) => Some(deadline),
            Self::Never => None,
        }
    }

    /// What is left of it, ns; `None` for ever.
    pub fn remaining_ns(self) -> Option<u64> {
        match self {
            Self::Now => Some(0),
            Self::Until(deadline) => Some(deadline.saturating_sub(platform().monotonic_ns())),
            Self::Never => None,
        }
    }
}

/// One file that is waited for.
pub struct Polled {
    /// The file; `None` is never ready.
    pub file: Option<Arc<OpenFile>>,
    /// What ends the wait; nothing else is reported.
    pub wanted: Events,
    /// What was found.
    pub found: Events,
}

impl OpenFile {
    /// What of `wanted` (and of `Events::ALWAYS`) is ready right now. Call without locks.
    pub fn readiness(&self, wanted: Events) -> Events {
        self.ops().prepare_poll(self);
        self.ops().poll(self) & (wanted | Events::ALWAYS)
    }
}

/// Looks at every file until at least one is ready. Returns how many are; 0 when the time is over.
pub fn wait_for_any(current: &Current, items: &mut [Polled], timeout: Timeout) -> Result<usize, WaitError> {
    let ready = look(items);
    if ready > 0 || timeout == Timeout::Now {
        return Ok(ready);
    }
    let files: Vec<_> = items.iter().filter_map(|item| item.file.clone().map(|file| (file, item.wanted))).collect();
    let queues: Vec<(&WaitQueue, Events)> =
        files.iter().filter_map(|(file, wanted)| file.ops().wait_queue().map(|queue| (queue, *wanted))).collect();
    let result = wait_on(&queues, false, timeout.deadline(), &|| current.interrupted(), || match look(items) {
        0 => None,
        ready => Some(ready),
    });
    match result {
        Err(WaitError::TimedOut) => Ok(0),
        other => other,
    }
}

fn look(items: &mut [Polled]) -> usize {
    let mut ready = 0;
    for item in items {
        if let Some(file) = &item.file {
            item.found = file.readiness(item.wanted) & item.wanted;
            ready += usize::from(!item.found.is_empty());
        }
    }
    ready
}
