//! The filters that a thread is held to, besides the container's profile: its own, and those that it inherited.

use super::listener::Token;
use super::program::MAX_INSTRUCTIONS;
use super::{Call, Program, Verdict};
use crate::errno::Errno;
use crate::syscall::{NUMBERS, SysResult};
use crate::task::{Current, Task};
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general::{__NR_exit, __NR_read, __NR_rt_sigreturn, __NR_write};
use linux_raw_sys::ptrace as raw;

/// Instructions of all filters of a thread at most, each filter counting four more (Linux: MAX_INSNS_PER_PATH).
const MAX_ALL: usize = 8 * MAX_INSTRUCTIONS;
const EACH: usize = 4;

/// How a thread is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// To read, write, exit and sigreturn.
    Strict,
    /// By programs.
    Filter,
}

/// A program, and who decides where it does not.
#[derive(Debug)]
struct Installed {
    program: Program,
    listener: Option<Token>,
}

/// What a thread is held to. Never changed: a thread that gets one more filter gets a new list.
#[derive(Debug)]
pub struct Filters {
    mode: Mode,
    /// The oldest first.
    programs: Vec<Arc<Installed>>,
    /// Calls that all of them allow whatever their arguments are, a bit each.
    allowed: [u64; NUMBERS / 64],
}

impl Filters {
    /// Strict mode.
    pub fn strict() -> Self {
        Self { mode: Mode::Strict, programs: Vec::new(), allowed: [0; NUMBERS / 64] }
    }

    /// `older` with one more. ENOMEM where they get too long.
    fn with(older: Option<&Self>, program: Program, listener: Option<Token>) -> Result<Self, Errno> {
        let mut programs: Vec<_> = older.map(|older| older.programs.clone()).unwrap_or_default();
        let before: usize = programs.iter().map(|installed| installed.program.len() + EACH).sum();
        if before + program.len() > MAX_ALL {
            return Err(Errno::ENOMEM);
        }
        let mut allowed = older.map_or([u64::MAX; NUMBERS / 64], |older| older.allowed);
        for (word, first) in allowed.iter_mut().zip((0u32..).step_by(64)) {
            for bit in 0..64 {
                if *word >> bit & 1 != 0 && !program.always_allows(first + bit) {
                    *word &= !(1 << bit);
                }
            }
        }
        programs.push(Arc::new(Installed { program, listener }));
        Ok(Self { mode: Mode::Filter, programs, allowed })
    }

    /// How they hold the thread.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.programs.len()
    }

    /// Whether one of them has a listener.
    fn has_listener(&self) -> bool {
        self.programs.iter().any(|installed| installed.listener.is_some())
    }

    /// Asks whoever listens for the filter that said SECCOMP_RET_USER_NOTIF. `None`: the call is served.
    pub fn notify(&self, current: &Current, call: &Call) -> Option<SysResult> {
        let asks = |installed: &&Arc<Installed>| installed.program.run(call).asks_listener();
        match self.programs.iter().rev().find(asks).and_then(|installed| installed.listener.as_ref()) {
            Some(listener) => listener.ask(current, call),
            None => Some(Err(Errno::ENOSYS.into())),
        }
    }

    /// What they say of a call.
    pub fn ask(&self, call: &Call) -> Verdict {
        if self.mode == Mode::Strict {
            let fine = [__NR_read, __NR_write, __NR_exit, __NR_rt_sigreturn].contains(&call.number);
            return if fine { Verdict::ALLOW } else { Verdict::new(raw::SECCOMP_RET_KILL_THREAD) };
        }
        let word = self.allowed.get(call.number as usize / 64).copied().unwrap_or(0);
        if word >> (call.number % 64) & 1 != 0 {
            return Verdict::ALLOW;
        }
        self.programs
            .iter()
            .rev()
            .fold(Verdict::ALLOW, |verdict, installed| verdict.or_severer(installed.program.run(call)))
    }

    /// Whether `older` is where this list began.
    fn begins_with(&self, older: &Self) -> bool {
        older.mode == self.mode
            && older.programs.len() <= self.programs.len()
            && older.programs.iter().zip(&self.programs).all(|(a, b)| Arc::ptr_eq(a, b))
    }
}

/// Holds the thread to one more program; with `all_threads` every thread of the process. Then `Ok(Some)` names a thread that
/// went its own way, and nothing is done.
pub fn install(
    current: &Current,
    program: Program,
    all_threads: bool,
    listener: Option<Token>,
) -> Result<Option<Arc<Task>>, Errno> {
    let before = current.task.filters();
    if before.as_ref().is_some_and(|filters| filters.mode == Mode::Strict) {
        return Err(Errno::EINVAL);
    }
    if listener.is_some() && before.as_ref().is_some_and(|filters| filters.has_listener()) {
        return Err(Errno::EBUSY);
    }
    let others: Vec<_> = if all_threads { current.process.threads() } else { Vec::new() };
    let diverged = others.iter().find(|task| match (task.filters(), &before) {
        (None, _) => false,
        (Some(theirs), Some(mine)) => !mine.begins_with(&theirs),
        (Some(_), None) => true,
    });
    if let Some(task) = diverged {
        return Ok(Some(task.clone()));
    }
    let filters = Arc::new(Filters::with(before.as_deref(), program, listener)?);
    current.task.set_filters(Some(filters.clone()));
    crate::syscall::policy::activate();
    // A thread that one of these makes meanwhile looks again at its maker's filters (`clone`).
    for task in current.process.threads().into_iter().filter(|_| all_threads) {
        task.set_filters(Some(filters.clone()));
    }
    Ok(None)
}
