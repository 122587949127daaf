//! From a number to its handler.

use super::table::{Answer, HANDLERS, SLOTS, absent};
use super::{Fail, SysResult, policy};
use crate::observe;
use crate::task::run::Point;
use crate::task::{Current, trace};

/// Serves the system call in the context's registers, by its handler or by a detour; says to `at` when it is there.
#[inline(always)]
pub fn dispatch(current: &mut Current, at: impl Fn(Point)) -> Answer {
    // A route is less than the number of slots; the mask is for the compiler.
    let Some(slot) = policy::route(current.regs.rax) else { return beyond(current) };
    let handler = HANDLERS[slot % SLOTS];
    at(Point::Begun);
    let answer = handler(current);
    at(Point::Ended);
    answer
}

/// A call that is changed or filtered, traced, or perhaps recorded.
pub fn watched(current: &mut Current) -> Answer {
    let number = current.regs.rax;
    match (policy::is_observed(number), policy::lets_pass(current, number)) {
        (false, true) => serve(current),
        (true, true) => Answer::of(current, |current| observe::trace::serve(current, served)),
        (false, false) => Answer::of(current, traced),
        (true, false) => Answer::of(current, |current| observe::trace::serve(current, traced)),
    }
}

/// A call that is only recorded, with what it points to.
pub fn recorded(current: &mut Current) -> Answer {
    Answer::of(current, |current| observe::trace::serve(current, served))
}

/// A call that is only recorded, and whose arguments are numbers.
pub fn numbers(current: &mut Current) -> Answer {
    observe::trace::serve_numbers(current, serve)
}

/// A call of a number that no table has; a tracer may still make something of it.
#[cold]
fn beyond(current: &mut Current) -> Answer {
    if !policy::is_active() {
        return absent(current);
    }
    let answer = watched(current);
    if answer.failed {
        return answer;
    }
    // It is not counted where calls with rows are.
    current.regs.rax = answer.value;
    Answer::of(current, |_| Err(Fail::NoReturn))
}

#[inline(always)]
fn serve(current: &mut Current) -> Answer {
    match usize::try_from(current.regs.rax) {
        Ok(number) if number < super::table::NUMBERS => HANDLERS[number](current),
        _ => absent(current),
    }
}

fn served(current: &mut Current) -> SysResult {
    serve(current).result(current)
}

/// A tracer comes first, then the policy.
fn traced(current: &mut Current) -> SysResult {
    if current.task.trace.is_traced() { trace::serve_traced(current, checked) } else { checked(current) }
}

fn checked(current: &mut Current) -> SysResult {
    match policy::check(current) {
        Some(result) => result,
        None => served(current),
    }
}
