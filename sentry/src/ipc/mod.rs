//! System V semaphores and message queues, POSIX message queues (sysvipc(7), mq_overview(7)). Shared memory is `mm::shm`.
//!
//! Each kind has one table under one lock; what waits, waits on the object's own queue, and is woken without the lock.

pub mod ids;
pub mod mqueue;
pub mod msg;
pub mod sem;

use crate::platform::platform;
use crate::task::{Cap, Credentials, Current};

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
    fn new(current: &Current, id: i32, key: i32, mode: u32) -> Self {
        let creds = &current.creds;
        let (uid, gid) = (creds.euid, creds.egid);
        Self { id, key, uid, gid, creator_uid: uid, creator_gid: gid, mode: mode & 0o777 }
    }

    /// Whether all of `wanted` (`READ`, `WRITE`) is allowed.
    pub fn may(&self, creds: &Credentials, wanted: u32) -> bool {
        let granted = if creds.euid == self.uid || creds.euid == self.creator_uid {
            self.mode >> 6
        } else if creds.in_group(self.gid) || creds.in_group(self.creator_gid) {
            self.mode >> 3
        } else {
            self.mode
        };
        wanted & !granted & 7 == 0 || creds.has(Cap::IpcOwner)
    }

    /// Whether the object may be changed and removed.
    pub fn owned_by(&self, creds: &Credentials) -> bool {
        creds.euid == self.uid || creds.euid == self.creator_uid || creds.has(Cap::SysAdmin)
    }

    /// IPC_SET.
    fn set(&mut self, uid: u32, gid: u32, mode: u32) {
        (self.uid, self.gid) = (uid, gid);
        self.mode = self.mode & !0o777 | mode & 0o777;
    }
}

/// What the mode of a *get call asks for of an object that is there.
fn wanted(mode: u32) -> u32 {
    (mode >> 6 | mode >> 3 | mode) & 7
}

/// CLOCK_REALTIME in seconds.
fn now() -> i64 {
    i64::try_from(platform().realtime_ns() / 1_000_000_000).unwrap_or(i64::MAX)
}
