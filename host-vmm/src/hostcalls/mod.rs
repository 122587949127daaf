//! `ringwall stats --host`: the system calls that a sandbox's host processes make of the host's kernel. They are stopped at each
//! by ptrace(2), as strace does it, which needs nothing of the kernel's configuration and slows them meanwhile.

mod count;
mod processes;
mod show;

pub use count::count;
pub use processes::{Process, of_monitor};
pub use show::{json, table};

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use syscalls::Sysno;

/// How the calls are seen, for whoever reads the figures.
pub const HOW: &str = "ptrace";

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
    /// How long it took in all, waiting included, in ns; being stopped at it is part of that.
    pub ns: u64,
    /// How often it failed, by errno.
    pub errors: BTreeMap<u16, u64>,
}

/// What was counted.
#[derive(Clone, Debug)]
pub struct Found {
    /// For how long.
    pub time: Duration,
    /// One of them ended meanwhile.
    pub ended: bool,
    /// A row a process.
    pub processes: Vec<Calls>,
}

/// Linux's errnos of calls that are made again and of which a program sees nothing (include/linux/errno.h).
const RESTARTED: std::ops::RangeInclusive<u16> = 512..=516;

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
