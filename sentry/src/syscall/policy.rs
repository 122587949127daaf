//! What is not simply served: calls changed by `--syscalls`, calls that the container's profile or a program's own filter does
//! not always allow, and what is said of calls that nobody serves.

use super::table::{Detour, NUMBERS};
use super::{Fail, SysResult};
use crate::errno::Errno;
use crate::observe;
use crate::platform::platform;
use crate::seccomp::{self, Call};
use crate::signal::Signal;
use crate::sync::{Lock, Rank};
use crate::task::{Current, ExitStatus, exit};
use alloc::format;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, Ordering};
use linker::spec::{OverrideAction, StartSpec, SyscallOverride};
use syscalls::Sysno;

/// Where the call of each number goes (`table::HANDLERS`): to its own handler, or to a `Detour`. All that the common path reads.
static ROUTES: [AtomicU16; NUMBERS] = {
    let mut routes = [const { AtomicU16::new(0) }; NUMBERS];
    let mut number = 0;
    while number < NUMBERS {
        routes[number] = AtomicU16::new(number as u16);
        number += 1;
    }
    routes
};
/// Held by whoever changes what makes the routes, until they are made: who returns from here is subject to what was changed.
static CHANGE: Lock<()> = Lock::new(Rank::Routes, ());
/// What there is to look at.
static ACTIVE: AtomicU32 = AtomicU32::new(0);
/// `ACTIVE`: a profile or changes; some thread is traced; somebody wants records of calls; some threads have filters or a profile of
/// their own.
const FILTERING: u32 = 1;
const TRACING: u32 = 2;
const OBSERVED: u32 = 4;
const OWN_FILTERS: u32 = 8;
/// Calls that are neither changed nor ever refused by the profile, a bit each.
static FREE: [AtomicU64; NUMBERS / 64] = [const { AtomicU64::new(u64::MAX) }; NUMBERS / 64];
/// Log lines of calls that are not served.
static VERBOSE: AtomicBool = AtomicBool::new(false);
/// The changes, in the order in which they are looked at.
static CHANGES: spin::Once<Vec<SyscallOverride>> = spin::Once::new();
/// Calls that were reported as missing, a bit each.
static REPORTED: [AtomicU64; NUMBERS / 64] = [const { AtomicU64::new(0) }; NUMBERS / 64];

/// Takes the policy over from the start specification.
pub fn init(spec: &StartSpec) {
    VERBOSE.store(spec.debug, Ordering::Relaxed);
    let changes = CHANGES.call_once(|| spec.overrides.clone());
    if let Some(profile) = &spec.seccomp {
        seccomp::set_profile(profile);
    }
    let profile = seccomp::profile();
    for number in 0..NUMBERS as u32 {
        let allowed = profile.is_none_or(|profile| profile.always_allows(number));
        if !allowed || changes.iter().any(|change| change.number == number) {
            FREE[number as usize / 64].fetch_and(!(1 << (number % 64)), Ordering::Relaxed);
        }
    }
    if !spec.overrides.is_empty() || profile.is_some() {
        set(FILTERING, true);
    }
}

/// A program has a filter of its own, or a container a profile: from now on every thread's calls are looked at.
pub fn activate() {
    set(OWN_FILTERS, true);
}

/// Whether any thread is traced: then every call is looked at.
pub fn set_tracing(on: bool) {
    set(TRACING, on);
}

/// Who wants records of calls has changed, and whether anybody does.
pub fn set_observed(on: bool) {
    let _change = CHANGE.lock();
    replace(OBSERVED, on);
    // Which calls they want to know of may be new though they are not.
    make_routes();
}

fn set(bit: u32, on: bool) {
    let _change = CHANGE.lock();
    if replace(bit, on) != on {
        make_routes();
    }
}

/// What the bit was before.
fn replace(bit: u32, on: bool) -> bool {
    let before = if on { ACTIVE.fetch_or(bit, Ordering::SeqCst) } else { ACTIVE.fetch_and(!bit, Ordering::SeqCst) };
    before & bit != 0
}

/// With `CHANGE` held.
fn make_routes() {
    for (number, route) in (0u16..).zip(&ROUTES) {
        route.store(made_route(number), Ordering::SeqCst);
    }
}

fn made_route(number: u16) -> u16 {
    let active = ACTIVE.load(Ordering::SeqCst);
    if active & (TRACING | OWN_FILTERS) != 0 || !is_free(number.into()) {
        Detour::Watched as u16
    } else if active & OBSERVED == 0 || !observe::trace::is_wanted(number.into()) {
        number
    } else if observe::trace::is_of_numbers(number.into()) {
        Detour::Numbers as u16
    } else {
        Detour::Recorded as u16
    }
}

/// Where the call of this number goes; none beyond the table.
#[inline(always)]
pub fn route(number: u64) -> Option<usize> {
    // Only what is below is ever cast.
    if number >= NUMBERS as u64 {
        return None;
    }
    ROUTES.get(number as usize).map(|route| route.load(Ordering::Relaxed).into())
}

/// Whether calls are looked at, or any of a number beyond the table.
pub fn is_active() -> bool {
    ACTIVE.load(Ordering::Relaxed) != 0
}

/// Whether somebody wants records of this call.
pub fn is_observed(number: u64) -> bool {
    ACTIVE.load(Ordering::Relaxed) & OBSERVED != 0 && observe::trace::is_wanted(number)
}

/// Whether nothing is asked of this call, nor of this thread.
pub fn lets_pass(current: &Current, number: u64) -> bool {
    ACTIVE.load(Ordering::Relaxed) & TRACING == 0 && is_free(number) && !current.task.is_filtered()
}

/// Whether a call is never changed and always allowed by the first container's profile.
fn is_free(number: u64) -> bool {
    let word = usize::try_from(number / 64).ok().and_then(|index| FREE.get(index));
    word.is_some_and(|word| word.load(Ordering::Relaxed) >> (number % 64) & 1 != 0)
}

/// Does what the policy says of the call in the registers; `None` lets it go on.
#[cold]
pub fn check(current: &mut Current) -> Option<SysResult> {
    if let Some(result) = seccomp::check(current) {
        return Some(result);
    }
    let call = Call::of(current);
    let change = CHANGES.get()?.iter().find(|change| {
        change.number == call.number && change.conditions.iter().all(|condition| seccomp::holds(condition, &call.args))
    });
    match change?.action {
        OverrideAction::Intercept => None,
        OverrideAction::Errno(errno) => Some(Err(Errno::from_raw(errno.into()).into())),
        OverrideAction::Kill => {
            let killed = ExitStatus::Signal { number: Signal::SIGSYS.number() as u8, core: false };
            Some(Err(Fail::Exit(exit::end_process(&current.process, killed))))
        }
        OverrideAction::Log => {
            platform().log(&format!("syscall {}", name(current.regs.rax)));
            None
        }
    }
}

/// ENOSYS, for a number without a row.
#[cold]
pub fn missing(number: u64) -> Fail {
    unsupported(number, Errno::ENOSYS)
}

/// The errno of a call that is not served, with one log line a number when the sandbox is run with `--debug`.
#[cold]
pub fn unsupported(number: u64, errno: Errno) -> Fail {
    if VERBOSE.load(Ordering::Relaxed)
        && let Some(word) = REPORTED.get(number as usize / 64)
        && word.fetch_or(1 << (number % 64), Ordering::Relaxed) >> (number % 64) & 1 == 0
    {
        platform().log(&format!("syscall {} is not served: {errno:?}", name(number)));
    }
    errno.into()
}

fn name(number: u64) -> alloc::string::String {
    match Sysno::new(number as usize) {
        Some(sysno) => format!("{} ({number})", sysno.name()),
        None => format!("{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{NUMBERS, ROUTES, route};

    #[test]
    fn numbers_beyond_the_table_have_no_route() {
        assert_eq!(ROUTES.len(), NUMBERS);
        assert!(route(NUMBERS as u64 - 1).is_some());
        assert_eq!((route(NUMBERS as u64), route(u64::MAX), route(1 << 32)), (None, None, None));
    }
}
