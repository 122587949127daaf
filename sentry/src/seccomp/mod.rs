//! Which system calls may be made: the container's profile (`profile`, from the start specification) and the filters that
//! programs install themselves (`filters`, programs in classic BPF: `program`). All that apply are asked, and the severest
//! answer holds, as in seccomp(2). `syscall::policy` asks here only for calls that are not always allowed.

mod filters;
pub mod listener;
mod profile;
mod program;
#[cfg(test)]
mod tests;

pub use filters::{Filters, Mode, install};
pub use profile::{Profile, holds, profile, set_profile};
pub use program::{Instruction, Program};

use crate::errno::Errno;
use crate::platform::platform;
use crate::signal::{SigInfo, Signal, force_fault};
use crate::sync::{Lock, Rank};
use crate::syscall::{Fail, SysResult};
use crate::task::spaces::{Confinement, Spaces};
use crate::task::{Current, ExitStatus, exit, trace};
use alloc::collections::BTreeSet;
use alloc::format;
use linux_raw_sys::ptrace as raw;

/// What a filter looks at: `struct seccomp_data`, whose architecture never changes here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Call {
    /// The number, as the program gave it.
    pub number: u32,
    /// Where the program goes on.
    pub address: u64,
    /// The arguments.
    pub args: [u64; 6],
}

impl Call {
    /// The call in the thread's registers.
    pub fn of(current: &Current) -> Self {
        let regs = &current.regs;
        Self {
            number: regs.rax as u32,
            address: regs.rip,
            args: [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9],
        }
    }
}

/// A filter's answer: SECCOMP_RET_*, with its data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict(u32);

impl Verdict {
    /// The call is served.
    pub const ALLOW: Self = Self(raw::SECCOMP_RET_ALLOW);

    /// From what a filter returned.
    pub const fn new(raw: u32) -> Self {
        Self(raw)
    }

    fn action(self) -> u32 {
        self.0 & raw::SECCOMP_RET_ACTION_FULL
    }

    fn data(self) -> u16 {
        (self.0 & raw::SECCOMP_RET_DATA) as u16
    }

    fn asks_listener(self) -> bool {
        self.action() == raw::SECCOMP_RET_USER_NOTIF
    }

    /// The severer one; `self` where both are alike.
    fn or_severer(self, other: Self) -> Self {
        // Severer actions are smaller, with the sign bit as a sign (seccomp(2)).
        if other.action().cast_signed() < self.action().cast_signed() { other } else { self }
    }
}

/// Asks everybody about the running thread's call. `None`: it is served.
#[cold]
pub fn check(current: &mut Current) -> Option<SysResult> {
    ask(current, false)
}

/// `check`; `traced`: a tracer has seen the call, and what would ask it again allows the call.
fn ask(current: &mut Current, traced: bool) -> Option<SysResult> {
    let call = Call::of(current);
    // The newest filter first: of answers alike its data counts.
    let filters = current.task.filters();
    let spaces = current.task.spaces();
    let profile = profile_of(&spaces);
    let own = filters.as_ref().map_or(Verdict::ALLOW, |filters| filters.ask(&call));
    if own != Verdict::ALLOW && filters.is_some_and(|filters| filters.mode() == Mode::Strict) {
        // Strict mode kills by SIGKILL, not SIGSYS.
        return Some(Err(Fail::Exit(ExitStatus::Signal { number: Signal::SIGKILL.number() as u8, core: false })));
    }
    if own.asks_listener() && profile.is_none_or(|profile| own.or_severer(profile.ask(&call)) == own) {
        return current.task.filters().and_then(|filters| filters.notify(current, &call));
    }
    let verdict = profile.map_or(own, |profile| own.or_severer(profile.ask(&call)));
    if verdict.action() == raw::SECCOMP_RET_TRACE && traced {
        return None;
    }
    if verdict.action() == raw::SECCOMP_RET_TRACE && trace::filter_stop(current, verdict.data()) {
        // The tracer may have made another call of it, or none; `rax` is what it left there.
        return match current.signal.call.filter(|number| number.cast_signed() >= 0) {
            Some(number) if !current.task.is_doomed() => {
                current.regs.rax = number;
                ask(current, true)
            }
            _ => Some(Ok(current.regs.rax)),
        };
    }
    enforce(current, &call, verdict)
}

/// The profile of the container that these are of.
fn profile_of(spaces: &Spaces) -> Option<&Profile> {
    match &spaces.profile {
        Confinement::First => profile(),
        Confinement::Own(profile) => profile.as_deref(),
    }
}

fn enforce(current: &mut Current, call: &Call, verdict: Verdict) -> Option<SysResult> {
    let killed = ExitStatus::Signal { number: Signal::SIGSYS.number() as u8, core: false };
    match verdict.action() {
        raw::SECCOMP_RET_ALLOW => None,
        raw::SECCOMP_RET_LOG => {
            log_once(call.number);
            None
        }
        raw::SECCOMP_RET_ERRNO => Some(match verdict.data() {
            0 => Ok(0),
            errno => Err(Errno::from_raw(i64::from(errno.min(MAX_ERRNO))).into()),
        }),
        // Nobody traces who wants to know, and nobody listens for the container's profile.
        raw::SECCOMP_RET_TRACE | raw::SECCOMP_RET_USER_NOTIF => Some(Err(Errno::ENOSYS.into())),
        raw::SECCOMP_RET_TRAP => {
            let number = call.number.cast_signed();
            let info = SigInfo::syscall(call.address, number, raw::AUDIT_ARCH_X86_64, verdict.data().into());
            force_fault(current, info);
            // The number stays in the register: a handler may want to do the call's work.
            Some(Err(Fail::NoReturn))
        }
        raw::SECCOMP_RET_KILL_THREAD => Some(Err(Fail::Exit(killed))),
        _ => Some(Err(Fail::Exit(exit::end_process(&current.process, killed)))),
    }
}

/// The highest errno (include/linux/err.h).
const MAX_ERRNO: u16 = 4095;

/// Calls that a log line was written for: one each is enough, and no program floods the host.
static LOGGED: Lock<BTreeSet<u32>> = Lock::new(Rank::Leaf, BTreeSet::new());
/// Numbers remembered at most.
const LOGGED_MAX: usize = 512;

fn log_once(number: u32) {
    let mut logged = LOGGED.lock();
    let first = logged.len() < LOGGED_MAX && logged.insert(number);
    drop(logged);
    if first {
        platform().log(&format!("seccomp: system call {number}"));
    }
}

/// `Seccomp` and `Seccomp_filters` of `/proc/PID/status`: the mode, and how many filters there are.
pub fn status(spaces: Option<&Spaces>, filters: Option<&Filters>) -> (u32, usize) {
    let has_profile = spaces.map_or_else(|| profile().is_some(), |spaces| profile_of(spaces).is_some());
    let count = usize::from(has_profile) + filters.map_or(0, Filters::count);
    match filters.map(Filters::mode) {
        Some(Mode::Strict) => (raw::SECCOMP_MODE_STRICT, count),
        _ if count > 0 => (raw::SECCOMP_MODE_FILTER, count),
        _ => (raw::SECCOMP_MODE_DISABLED, 0),
    }
}
