//! Who exists: tasks and processes by number.

use super::{Process, Task};
use crate::sync::{Lock, Rank};
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};

/// A thread, process, group or session number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Tid(u32);

impl Tid {
    /// Number `raw`.
    pub const fn new(raw: u32) -> Self {
        Self(raw)
    }

    /// The number.
    pub const fn raw(self) -> u32 {
        self.0
    }
}

impl crate::syscall::FromArg for Tid {
    #[inline]
    fn from_arg(raw: u64) -> Result<Self, crate::errno::Errno> {
        Ok(Self(raw as u32))
    }
}

/// The one registry of the sandbox.
pub struct Registry {
    tasks: Lock<BTreeMap<Tid, Weak<Task>>>,
}

static REGISTRY: Registry = Registry { tasks: Lock::new(Rank::Processes, BTreeMap::new()) };

/// The registry.
pub fn registry() -> &'static Registry {
    &REGISTRY
}

impl Registry {
    /// The thread with this number.
    pub fn task(&self, tid: Tid) -> Option<Arc<Task>> {
        self.tasks.lock().get(&tid).and_then(Weak::upgrade)
    }

    /// The process with this number.
    pub fn process(&self, pid: Tid) -> Option<Arc<Process>> {
        self.task(pid).map(|task| task.process().clone()).filter(|process| process.pid() == pid)
    }
}
