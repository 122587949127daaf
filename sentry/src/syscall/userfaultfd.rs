//! userfaultfd.

use super::Fd;
use super::table::{Level, Row, arg, finish, row};
use crate::errno::Errno;
use crate::flags_from_arg;
use crate::fs::OpenFlags;
use crate::fs::userfaultfd::{UNPRIVILEGED, UserfaultFd};
use crate::mm::userfault::Userfault;
use crate::task::{Cap, Current};
use bitflags::bitflags;
use core::sync::atomic::Ordering;
use linux_raw_sys::general as raw;
use syscalls::Sysno;

bitflags! {
    /// userfaultfd(2)'s flags.
    #[derive(Clone, Copy)]
    pub struct UserfaultFlags: u32 {
        /// FD_CLOEXEC.
        const CLOEXEC = raw::O_CLOEXEC;
        /// Nonblocking.
        const NONBLOCK = raw::O_NONBLOCK;
        /// The kernel's own accesses fail instead of waiting.
        const USER_MODE_ONLY = raw::UFFD_USER_MODE_ONLY;
        const _ = !0;
    }
}
flags_from_arg!(UserfaultFlags, EINVAL);

/// userfaultfd(2).
pub fn userfaultfd(current: &mut Current, flags: UserfaultFlags) -> Result<Fd, Errno> {
    let user_only = flags.contains(UserfaultFlags::USER_MODE_ONLY);
    if !user_only && !current.creds.has(Cap::SysPtrace) && UNPRIVILEGED.load(Ordering::Relaxed) == 0 {
        return Err(Errno::EPERM);
    }
    let known = UserfaultFlags::CLOEXEC | UserfaultFlags::NONBLOCK | UserfaultFlags::USER_MODE_ONLY;
    if !known.contains(flags) {
        return Err(Errno::EINVAL);
    }
    let status = if flags.contains(UserfaultFlags::NONBLOCK) { OpenFlags::NONBLOCK } else { OpenFlags::empty() };
    let close_on_exec = flags.contains(UserfaultFlags::CLOEXEC);
    let file = UserfaultFd::open(Userfault::new(&current.mm, user_only), status, close_on_exec);
    current.add_file(file, close_on_exec)
}

pub(super) const ROWS: &[Row] = &[row!(userfaultfd = userfaultfd(1), Partial, "no POISON, MOVE and WP_ASYNC")];
