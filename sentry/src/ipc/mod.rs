//! System V semaphores and message queues, POSIX message queues (sysvipc(7), mq_overview(7)). Shared memory is `mm::shm`.
//!
//! Each kind has one table under one lock; what waits, waits on the object's own queue, and is woken without the lock.

pub mod ids;
pub mod mqueue;
pub mod msg;
pub mod sem;
pub mod tables;

use crate::platform::platform;
use crate::task::{Cap, Current, UserSpace};
use crate::uts::namespace_number;
use alloc::sync::Arc;

/// The key that always makes a new object (IPC_PRIVATE).
pub const PRIVATE: i32 = 0;
/// Permission bits of a mode: to look, to change.
pub const READ: u32 = 4;
/// See `READ`.
pub const WRITE: u32 = 2;

/// struct ipc_perm: who made an object, whose it is, who may do what.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Perm {
    pub id: i32,
    pub key: i32,
    pub uid: u32,
    pub gid: u32,
    pub creator_uid: u32,
    pub creator_gid: u32,
    pub mode: u32,
}

impl Perm {
    pub(crate) fn new(current: &Current, id: i32, key: i32, mode: u32) -> Self {
        let creds = &current.creds;
        let (uid, gid) = (creds.euid, creds.egid);
        Self { id, key, uid, gid, creator_uid: uid, creator_gid: gid, mode: mode & 0o777 }
    }

    /// Whether all of `wanted` (`READ`, `WRITE`) is allowed.
    pub fn may(&self, current: &Current, wanted: u32) -> bool {
        let creds = &current.creds;
        let granted = if creds.euid == self.uid || creds.euid == self.creator_uid {
            self.mode >> 6
        } else if creds.in_group(self.gid) || creds.in_group(self.creator_gid) {
            self.mode >> 3
        } else {
            self.mode
        };
        wanted & !granted & 7 == 0 || IpcNs::holds(current, Cap::IpcOwner)
    }

    /// Whether the object may be changed and removed.
    pub fn owned_by(&self, current: &Current) -> bool {
        let creds = &current.creds;
        creds.euid == self.uid || creds.euid == self.creator_uid || IpcNs::holds(current, Cap::SysAdmin)
    }

    /// IPC_SET.
    pub(crate) fn set(&mut self, uid: u32, gid: u32, mode: u32) {
        (self.uid, self.gid) = (uid, gid);
        self.mode = self.mode & !0o777 | mode & 0o777;
    }
}

/// What the mode of a *get call asks for of an object that is there.
pub(crate) fn wanted(mode: u32) -> u32 {
    (mode >> 6 | mode >> 3 | mode) & 7
}

/// CLOCK_REALTIME in seconds.
pub(crate) fn now() -> i64 {
    i64::try_from(platform().realtime_ns() / 1_000_000_000).unwrap_or(i64::MAX)
}

/// A namespace of its own for all three kinds (ipc_namespaces(7)); `None` elsewhere is the first.
pub struct IpcNs {
    number: u32,
    owner: UserSpace,
}

/// The first one's number in `/proc/PID/ns` (include/linux/proc_ns.h: PROC_IPC_INIT_INO).
const INITIAL_NUMBER: u32 = 0xefff_ffff;

impl IpcNs {
    /// An empty one.
    pub fn new(owner: UserSpace) -> Arc<Self> {
        Arc::new(Self { number: namespace_number(), owner })
    }

    /// Whose capabilities count.
    pub fn owner(&self) -> &UserSpace {
        &self.owner
    }

    /// The number in `/proc/PID/ns`, by which the tables keep namespaces apart.
    pub fn number(space: &Option<Arc<Self>>) -> u32 {
        space.as_ref().map_or(INITIAL_NUMBER, |ns| ns.number)
    }

    /// Whether the caller has the capability over its own namespace.
    pub fn holds(current: &Current, cap: Cap) -> bool {
        match &current.task.spaces().ipc {
            None => current.creds.has(cap),
            Some(ns) => current.creds.has_in(&ns.owner, cap),
        }
    }

    /// That of the caller.
    pub fn of(current: &Current) -> u32 {
        Self::number(&current.task.spaces().ipc)
    }
}

impl Drop for IpcNs {
    /// Nobody can name the objects any more.
    fn drop(&mut self) {
        sem::TABLES.forget(self.number);
        msg::TABLES.forget(self.number);
        mqueue::forget(self.number);
        // What is attached stays so.
        crate::mm::shm::TABLES.forget(self.number);
    }
}
