//! From a number to its handler.

use super::table::HANDLERS;
use super::{Fail, SysResult};
use crate::errno::Errno;
use crate::task::Current;

/// Serves the system call in the context's registers. The caller stores the result.
#[inline]
pub fn dispatch(current: &mut Current) -> SysResult {
    let regs = &current.regs;
    let args = [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9];
    match HANDLERS.get(regs.rax as usize).copied().flatten() {
        Some(handler) => handler(current, &args),
        None => Err(Fail::Errno(Errno::ENOSYS)),
    }
}
