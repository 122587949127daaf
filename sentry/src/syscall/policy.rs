//! What is not simply served: calls changed by `--syscalls`, calls that the container's profile or a program's own filter does
//! not always allow, and what is said of calls that nobody serves.

use super::table::NUMBERS;
use super::{Fail, SysResult};
use crate::errno::Errno;
use crate::observe;
use crate::platform::platform;
use crate::seccomp::{self, Call};
use crate::signal::Signal;
use crate::task::{Current, ExitStatus, exit};
use alloc::format;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use linker::spec::{OverrideAction, StartSpec, SyscallOverride};
use syscalls::Sysno;

/// What there is to look at: without any of it, this is all that the common path reads.
static ACTIVE: AtomicU32 = AtomicU32::new(0);
/// `ACTIVE`: a profile, filters or changes; some thread is traced; somebody wants records of calls.
const FILTERING: u32 = 1;
const TRACING: u32 = 2;
const OBSERVED: u32 = 4;
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
        activate();
    }
}

/// A program has a filter of its own: from now on its calls are looked at.
pub fn activate() {
    ACTIVE.fetch_or(FILTERING, Ordering::SeqCst);
}

/// Whether any thread is traced: then every call is looked at.
pub fn set_tracing(on: bool) {
    if on {
        ACTIVE.fetch_or(TRACING, Ordering::SeqCst);
    } else {
        ACTIVE.fetch_and(!TRACING, Ordering::SeqCst);
    }
}

/// Whether somebody wants records of calls.
pub fn set_observed(on: bool) {
    if on {
        ACTIVE.fetch_or(OBSERVED, Ordering::SeqCst);
    } else {
        ACTIVE.fetch_and(!OBSERVED, Ordering::SeqCst);
    }
}

/// Whether somebody wants records of this call.
pub fn is_observed(number: u64) -> bool {
    ACTIVE.load(Ordering::Relaxed) & OBSERVED != 0 && observe::trace::is_wanted(number)
}

/// Whether a call is served without a further look.
#[inline]
pub fn lets_pass(current: &Current, number: u64) -> bool {
    let active = ACTIVE.load(Ordering::Relaxed);
    if active == 0 {
        return true;
    }
    if active & TRACING != 0 || active & OBSERVED != 0 && observe::trace::is_wanted(number) {
        return false;
    }
    let word = FREE.get(number as usize / 64).map_or(0, |word| word.load(Ordering::Relaxed));
    word >> (number % 64) & 1 != 0 && !current.task.is_filtered()
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
