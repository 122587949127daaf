//! What a handler can answer. An errno is what user space sees; the rest is between the sentry and the task's loop.

use crate::errno::Errno;
use crate::task::{Current, ExitStatus};
use crate::wait::WaitError;
use alloc::boxed::Box;

/// A system call's end, other than a value.
#[must_use]
pub enum Fail {
    /// `rax = -errno`.
    Errno(Errno),
    /// Interrupted: restarted when the handler of the signal has SA_RESTART (or none runs), else EINTR. Linux's ERESTARTSYS.
    Restart,
    /// Interrupted: always restarted. Linux's ERESTARTNOINTR.
    RestartAlways,
    /// Interrupted: restarted only when no handler runs, else EINTR. Linux's ERESTARTNOHAND.
    RestartUnlessHandled,
    /// Interrupted: when no handler runs, `restart_syscall` goes on with this (a sleep's rest); else EINTR.
    RestartWith(Box<dyn FnOnce(&mut Current) -> SysResult + Send>),
    /// The registers are set already (execve, rt_sigreturn): leave `rax` alone.
    NoReturn,
    /// The thread is over, with this status.
    Exit(ExitStatus),
}

/// What the dispatcher gets.
pub type SysResult = Result<u64, Fail>;

impl From<Errno> for Fail {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<WaitError> for Fail {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::Interrupted => Self::Restart,
            WaitError::TimedOut => Self::Errno(Errno::ETIMEDOUT),
        }
    }
}

impl From<crate::platform::NoMemory> for Fail {
    fn from(_: crate::platform::NoMemory) -> Self {
        Self::Errno(Errno::ENOMEM)
    }
}

impl core::fmt::Debug for Fail {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Errno(errno) => write!(f, "{errno:?}"),
            Self::Restart => f.write_str("Restart"),
            Self::RestartAlways => f.write_str("RestartAlways"),
            Self::RestartUnlessHandled => f.write_str("RestartUnlessHandled"),
            Self::RestartWith(_) => f.write_str("RestartWith"),
            Self::NoReturn => f.write_str("NoReturn"),
            Self::Exit(status) => write!(f, "Exit({status:?})"),
        }
    }
}

/// A value that goes to `rax`.
pub trait IntoRet {
    /// The register's value.
    fn into_ret(self) -> u64;
}

impl IntoRet for () {
    fn into_ret(self) -> u64 {
        0
    }
}

impl IntoRet for usize {
    fn into_ret(self) -> u64 {
        self as u64
    }
}

impl IntoRet for u64 {
    fn into_ret(self) -> u64 {
        self
    }
}

impl IntoRet for u32 {
    fn into_ret(self) -> u64 {
        u64::from(self)
    }
}

impl IntoRet for i32 {
    fn into_ret(self) -> u64 {
        i64::from(self) as u64
    }
}

impl IntoRet for i64 {
    fn into_ret(self) -> u64 {
        self as u64
    }
}

impl IntoRet for super::Fd {
    fn into_ret(self) -> u64 {
        i64::from(self.raw()) as u64
    }
}

impl IntoRet for crate::task::Tid {
    fn into_ret(self) -> u64 {
        u64::from(self.raw())
    }
}
