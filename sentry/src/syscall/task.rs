//! getpid, gettid, getppid and what else is about tasks.

use super::table::{Level, Row, arg, finish, row};
use crate::errno::Errno;
use crate::task::{Current, Tid};
use syscalls::Sysno;

/// getpid(2).
pub fn getpid(current: &mut Current) -> Result<Tid, Errno> {
    Ok(current.process.pid())
}

/// gettid(2).
pub fn gettid(current: &mut Current) -> Result<Tid, Errno> {
    Ok(current.task.tid())
}

/// getppid(2).
pub fn getppid(current: &mut Current) -> Result<Tid, Errno> {
    Ok(current.process.parent_pid())
}

pub(super) const ROWS: &[Row] =
    &[row!(getpid = getpid(), Full, ""), row!(gettid = gettid(), Full, ""), row!(getppid = getppid(), Full, "")];
