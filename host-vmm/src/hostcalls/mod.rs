//! `ringwall stats --host`: the system calls that a sandbox's host processes make of the host's kernel. By tracepoints where these
//! are to be had; otherwise the processes are stopped at each call by ptrace(2), as strace does it, which needs nothing of the
//! kernel's configuration and slows them meanwhile.

mod processes;
mod show;
mod stops;
mod tracepoints;

pub use processes::{Process, of_monitor};
pub use show::{json, table};

use anyhow::ensure;
use clap::ValueEnum;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use syscalls::Sysno;

/// How calls are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// By tracepoints where there are some, else by ptrace.
    Auto,
    /// By the kernel's raw_syscalls, in tracefs.
    Tracepoints,
    /// As strace does.
    Ptrace,
}

/// What a process called.
#[derive(Clone, Debug)]
pub struct Calls {
    /// Who.
    pub process: Process,
    /// By number.
    pub calls: BTreeMap<u32, Call>,
}

/// One call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// How often it was made and returned.
    pub count: u64,
    /// How long it took in all, waiting included, in ns; being stopped at it by ptrace is part of that.
    pub ns: u64,
    /// How often it failed, by errno.
    pub errors: BTreeMap<u16, u64>,
}

/// What was counted.
#[derive(Clone, Debug)]
pub struct Found {
    /// How the calls were seen.
    pub how: &'static str,
    /// Events that came too fast to be counted.
    pub lost: u64,
    /// For how long.
    pub time: Duration,
    /// One of them ended meanwhile.
    pub ended: bool,
    /// A row a process.
    pub processes: Vec<Calls>,
}

/// Linux's errnos of calls that are made again and of which a program sees nothing (include/linux/errno.h).
const RESTARTED: std::ops::RangeInclusive<u16> = 512..=516;

/// Ctrl-C and its like, which end the counting and not the command; and ends of children, which are traced threads' stops.
struct Interrupts(SignalFd);

impl Interrupts {
    fn take() -> nix::Result<Self> {
        let mut set = SigSet::empty();
        let wanted = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCHLD];
        wanted.into_iter().for_each(|signal| set.add(signal));
        set.thread_block()?;
        SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map(Self)
    }

    /// Whether somebody wants an end.
    fn came(&self) -> bool {
        let mut came = false;
        while let Ok(Some(signal)) = self.0.read_signal() {
            came |= signal.ssi_signo != Signal::SIGCHLD as u32;
        }
        came
    }
}

/// Counts for so long, or until one of the processes ends, or Ctrl-C comes.
pub fn count(processes: &[Process], time: Duration, by: By) -> anyhow::Result<Found> {
    let interrupts = Interrupts::take()?;
    if by != By::Ptrace
        && let Some(found) = tracepoints::count(processes, time, &interrupts)
    {
        return Ok(found);
    }
    ensure!(
        by != By::Tracepoints,
        "no tracepoints: tracefs is not mounted at /sys/kernel/tracing, or is not to be written by us, or this is a container"
    );
    stops::count(processes, time, interrupts)
}

impl Calls {
    /// What its filter lets through: the one for `--network=host` where it called what the other has not.
    pub fn allowed(&self) -> BTreeSet<&'static str> {
        let usual = self.process.role.allowed(false);
        let made = self.calls.keys().filter_map(|number| Sysno::new(*number as usize));
        if made.into_iter().all(|call| usual.contains(call.name())) { usual } else { self.process.role.allowed(true) }
    }
}

impl Call {
    /// Counts one that returned.
    pub fn returned(&mut self, result: i64, time: Duration) {
        self.count += 1;
        self.ns = self.ns.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        match u16::try_from(result.saturating_neg()) {
            Ok(errno) if RESTARTED.contains(&errno) => *self.errors.entry(0).or_default() += 1,
            Ok(errno @ 1..4096) => *self.errors.entry(errno).or_default() += 1,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Call;
    use std::time::Duration;

    #[test]
    fn results_are_values_errors_or_restarts() {
        let mut call = Call::default();
        for result in [0, 7, -2, -2, -512, -5000, i64::MIN, i64::MAX] {
            call.returned(result, Duration::from_nanos(10));
        }
        assert_eq!((call.count, call.ns), (8, 80));
        assert_eq!(call.errors.into_iter().collect::<Vec<_>>(), [(0, 1), (2, 2)]);
    }
}
