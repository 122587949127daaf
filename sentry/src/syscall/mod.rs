//! System calls: from the trap to the handler and back.
//!
//! `dispatch` looks a number up in `table` and calls the row's handler. Handlers, one file a family, decode arguments, call the
//! subsystem and copy out; behaviour lives in the subsystem. The one handler signature is
//! `fn(&mut Current, typed arguments…) -> Result<impl IntoRet, impl Into<Fail>>`.

mod absent;
mod aio;
pub mod args;
mod dir;
pub mod dispatch;
mod epoll;
mod eventfd;
#[cfg(test)]
mod example;
mod fanotify;
mod fd;
mod file;
#[cfg(test)]
mod fs_tests;
mod futex;
mod handle;
mod ids;
mod inotify;
pub mod iovec;
mod ipc;
mod keys;
mod landlock;
mod memory;
mod mount;
mod mount_api;
mod mount_query;
mod namespace;
mod numa;
pub mod outcome;
mod path;
mod perf;
mod pidfd;
mod pipe;
pub mod policy;
mod poll;
pub mod prctl;
mod ptrace;
pub(crate) mod registers;
mod rseq;
mod sched;
mod seccomp;
mod shm;
mod signal;
#[cfg(test)]
mod signature_tests;
mod socket;
pub mod stat;
mod system;
pub mod table;
mod task;
mod time;
mod timerfd;
pub mod uring;
mod userfaultfd;
mod xattr;

pub use args::{Fd, FromArg, UserBuf, UserPtr, UserStr};
pub use iovec::{IoVec, MAX_TRANSFER, read_iovec};
pub use outcome::{Fail, IntoRet, SysResult};
pub use table::NUMBERS;
