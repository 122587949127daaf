//! Single calls changed by `--syscalls`, and what is said of calls that nobody serves.

use super::Fail;
use super::table::NUMBERS;
use crate::errno::Errno;
use crate::platform::platform;
use crate::signal::Signal;
use crate::task::ExitStatus;
use alloc::format;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use linker::spec::{OverrideAction, StartSpec};
use syscalls::Sysno;

/// Whether any call is changed: the one thing that the common path looks at.
static ACTIVE: AtomicBool = AtomicBool::new(false);
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
    ACTIVE.store(!spec.overrides.is_empty(), Ordering::Relaxed);
}

/// Whether `check` has anything to say.
#[inline]
pub fn is_active() -> bool {
    ACTIVE.load(Ordering::Relaxed)
}

/// Does what the policy says of a call; `Ok` lets it go on.
#[cold]
pub fn check(number: u64) -> Result<(), Fail> {
    match ACTIONS.get(number as usize).map_or(INTERCEPT, |action| action.load(Ordering::Relaxed)) {
        INTERCEPT => Ok(()),
        KILL => Err(Fail::Exit(ExitStatus::Signal { number: Signal::SIGSYS.number() as u8, core: false })),
        LOG => {
            platform().log(&format!("syscall {}", name(number)));
            Ok(())
        }
        errno => Err(Errno::from_raw(i64::from(errno)).into()),
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
