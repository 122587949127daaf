//! From a number to its handler.

use super::table::HANDLERS;
use super::{SysResult, policy};
use crate::task::Current;

/// Serves the system call in the context's registers. The caller stores the result.
#[inline]
pub fn dispatch(current: &mut Current) -> SysResult {
    let number = current.regs.rax;
    if !policy::lets_pass(current, number)
        && let Some(result) = policy::check(current)
    {
        return result;
    }
    match HANDLERS.get(number as usize).copied().flatten() {
        Some(handler) => handler(current),
        None => Err(policy::missing(number)),
    }
}
