//! From a number to its handler.

use super::table::HANDLERS;
use super::{SysResult, policy};
use crate::observe;
use crate::task::{Current, trace};

/// Serves the system call in the context's registers. The caller stores the result.
#[inline]
pub fn dispatch(current: &mut Current) -> SysResult {
    if policy::lets_pass(current, current.regs.rax) { serve(current) } else { watched(current) }
}

#[inline]
fn serve(current: &mut Current) -> SysResult {
    let number = current.regs.rax;
    match HANDLERS.get(number as usize).copied().flatten() {
        Some(handler) => handler(current),
        None => Err(policy::missing(number)),
    }
}

/// The call is changed or filtered, recorded, or some thread is traced.
#[cold]
fn watched(current: &mut Current) -> SysResult {
    if policy::is_observed(current.regs.rax) { observe::trace::serve(current, traced) } else { traced(current) }
}

/// A tracer comes first, then the policy.
fn traced(current: &mut Current) -> SysResult {
    if current.task.trace.is_traced() { trace::serve_traced(current, checked) } else { checked(current) }
}

fn checked(current: &mut Current) -> SysResult {
    match policy::check(current) {
        Some(result) => result,
        None => serve(current),
    }
}
