//! From a number to its handler.

use super::table::{Answer, HANDLERS, absent};
use super::{SysResult, policy};
use crate::observe;
use crate::task::{Current, trace};

/// Serves the system call in the context's registers. `None`: it is to be served by [`watched`].
#[inline(always)]
pub fn dispatch(current: &mut Current) -> Option<Answer> {
    if policy::lets_pass(current, current.regs.rax) { Some(serve(current)) } else { None }
}

/// Serves a call that is changed or filtered, recorded, or traced.
pub fn watched(current: &mut Current) -> SysResult {
    if policy::is_observed(current.regs.rax) { observe::trace::serve(current, traced) } else { traced(current) }
}

#[inline(always)]
fn serve(current: &mut Current) -> Answer {
    match HANDLERS.get(current.regs.rax as usize) {
        Some(handler) => handler(current),
        None => absent(current),
    }
}

/// A tracer comes first, then the policy.
fn traced(current: &mut Current) -> SysResult {
    if current.task.trace.is_traced() { trace::serve_traced(current, checked) } else { checked(current) }
}

fn checked(current: &mut Current) -> SysResult {
    match policy::check(current) {
        Some(result) => result,
        None => serve(current).result(current),
    }
}
