//! What is not simply served: calls changed by `--syscalls`, calls that the container's profile or a program's own filter does
//! not always allow, and what is said of calls that nobody serves.

use super::table::NUMBERS;
use super::{Fail, SysResult};
use crate::errno::Errno;
use crate::platform::platform;
use crate::seccomp;
use crate::signal::Signal;
use crate::task::{Current, ExitStatus, exit};
use alloc::format;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use linker::spec::{OverrideAction, StartSpec};
use syscalls::Sysno;

/// What there is to look at: without any of it, this is all that the common path reads.
static ACTIVE: AtomicU32 = AtomicU32::new(0);
/// `ACTIVE`: a profile, filters or changes; some thread is traced.
const FILTERING: u32 = 1;
const TRACING: u32 = 2;
/// Calls that are neither changed nor ever refused by the profile, a bit each.
static FREE: [AtomicU64; NUMBERS / 64] = [const { AtomicU64::new(u64::MAX) }; NUMBERS / 64];
/// Log lines of calls that are not served.
static VERBOSE: AtomicBool = AtomicBool::new(false);
/// The changed action of each call, in `encode`'s form.
static ACTIONS: [AtomicU32; NUMBERS] = [const { AtomicU32::new(INTERCEPT) }; NUMBERS];
/// Calls that were reported as missing, a bit each.
static REPORTED: [AtomicU64; NUMBERS / 64] = [const { AtomicU64::new(0) }; NUMBERS / 64];

const INTERCEPT: u32 = 0;
const KILL: u32 = 1 << 16;
const LOG: u32 = 2 << 16;

/// Takes the policy over from the start specification.
pub fn init(spec: &StartSpec) {
    VERBOSE.store(spec.debug, Ordering::Relaxed);
    for change in &spec.overrides {
        let code = match change.action {
            OverrideAction::Intercept => INTERCEPT,
            OverrideAction::Errno(errno) => u32::from(errno),
            OverrideAction::Kill => KILL,
            OverrideAction::Log => LOG,
        };
        if let Some(action) = ACTIONS.get(change.number as usize) {
            action.store(code, Ordering::Relaxed);
        }
    }
    if let Some(profile) = &spec.seccomp {
        seccomp::set_profile(profile);
    }
    let profile = seccomp::profile();
    for (number, action) in (0u32..).zip(&ACTIONS) {
        let allowed = profile.is_none_or(|profile| profile.always_allows(number));
        if !allowed || action.load(Ordering::Relaxed) != INTERCEPT {
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

/// Whether a call is served without a further look.
#[inline]
pub fn lets_pass(current: &Current, number: u64) -> bool {
    let active = ACTIVE.load(Ordering::Relaxed);
    if active == 0 {
        return true;
    }
    if active & TRACING != 0 {
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
    let number = current.regs.rax;
    match ACTIONS.get(number as usize).map_or(INTERCEPT, |action| action.load(Ordering::Relaxed)) {
        INTERCEPT => None,
        KILL => {
            let killed = ExitStatus::Signal { number: Signal::SIGSYS.number() as u8, core: false };
            Some(Err(Fail::Exit(exit::end_process(&current.process, killed))))
        }
        LOG => {
            platform().log(&format!("syscall {}", name(number)));
            None
        }
        errno => Some(Err(Errno::from_raw(i64::from(errno)).into())),
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
