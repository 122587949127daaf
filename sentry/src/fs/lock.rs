//! File locks: POSIX record locks, open file description locks, flock(2). None can be had yet.

use super::OpenFile;
use crate::errno::Errno;
use crate::syscall::Fail;
use crate::task::Current;
use alloc::sync::Arc;

/// fcntl(2)'s F_GETLK, F_SETLK, F_SETLKW and their F_OFD_ forms; `arg` points to a `struct flock`.
pub fn fcntl(_current: &mut Current, _file: &Arc<OpenFile>, _command: u32, _arg: u64) -> Result<u64, Fail> {
    Err(Errno::ENOLCK.into())
}

/// flock(2).
pub fn flock(_current: &mut Current, _file: &Arc<OpenFile>, _operation: u32) -> Result<u64, Fail> {
    Err(Errno::ENOLCK.into())
}

/// A process closed a descriptor of `file`: its record locks on that file go.
pub fn closed(_current: &Current, _file: &OpenFile) {}
