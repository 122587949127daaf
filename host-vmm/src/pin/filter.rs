//! From a typed table to a loaded seccomp filter.

use crate::pin::Error;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::collections::BTreeMap;
use syscalls::Sysno;

/// What an argument must be.
#[derive(Clone, Copy, Debug)]
pub enum Arg {
    /// Exactly this, as a 32-bit value.
    Is(u8, u32),
}

/// A system call that a process may make.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Which.
    pub call: Sysno,
    /// Alternatives, each a set of conditions that must all hold. None at all: any arguments.
    pub when: &'static [&'static [Arg]],
    /// What it is for.
    pub why: &'static str,
}

/// What a build with debug assertions needs beside its table: std asks whether a descriptor is open before it closes it.
const DEBUG_ROWS: &[Row] = &[Row {
    call: Sysno::fcntl,
    when: &[&[Arg::Is(1, linux_raw_sys::general::F_GETFD)]],
    why: "an assertion of std's, in debug builds",
}];

/// Compiles a table: what it does not allow traps.
pub fn compile(rows: &[Row]) -> Result<BpfProgram, Error> {
    let failed = |error: seccompiler::BackendError| Error::Filter(error.to_string());
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let debug_rows = if cfg!(debug_assertions) { DEBUG_ROWS } else { &[] };
    for row in rows.iter().chain(debug_rows) {
        let alternatives = rules.entry(i64::from(row.call.id())).or_default();
        for conditions in row.when {
            let conditions: Result<_, _> = conditions.iter().map(condition).collect();
            alternatives.push(SeccompRule::new(conditions.map_err(failed)?).map_err(failed)?);
        }
    }
    let filter = SeccompFilter::new(rules, SeccompAction::Trap, SeccompAction::Allow, TargetArch::x86_64);
    filter.and_then(TryInto::try_into).map_err(failed)
}

fn condition(arg: &Arg) -> Result<SeccompCondition, seccompiler::BackendError> {
    match *arg {
        Arg::Is(index, value) => {
            SeccompCondition::new(index, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, u64::from(value))
        }
    }
}

/// Loads a table's filter on every thread of the process, for good.
pub fn apply(rows: &[Row]) -> Result<(), Error> {
    let program = compile(rows)?;
    seccompiler::apply_filter_all_threads(&program).map_err(|error| Error::Filter(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pin::{gofer_rows, host_rows, sandbox_rows};
    use std::collections::BTreeSet;

    fn distinct(rows: &[Row]) -> usize {
        rows.iter().map(|row| row.call.id()).collect::<BTreeSet<_>>().len()
    }

    #[test]
    fn the_tables_hold_the_budget() {
        assert!(distinct(sandbox_rows::ROWS) <= 20, "sandbox: {}", distinct(sandbox_rows::ROWS));
        let with_host = [sandbox_rows::ROWS, host_rows::ROWS].concat();
        assert!(distinct(&with_host) <= 30, "sandbox with the host's sockets: {}", distinct(&with_host));
        assert!(distinct(gofer_rows::ROWS) <= 25, "gofer: {}", distinct(gofer_rows::ROWS));
    }

    #[test]
    fn every_row_says_why_and_compiles() {
        for rows in [sandbox_rows::ROWS, host_rows::ROWS, gofer_rows::ROWS] {
            assert!(rows.iter().all(|row| !row.why.is_empty()));
            assert!(compile(rows).is_ok());
        }
    }

    #[test]
    fn the_sandbox_takes_no_path_and_makes_no_process() {
        let paths = [
            Sysno::open,
            Sysno::openat,
            Sysno::openat2,
            Sysno::execve,
            Sysno::execveat,
            Sysno::fork,
            Sysno::vfork,
            Sysno::clone,
            Sysno::clone3,
            Sysno::stat,
            Sysno::statx,
            Sysno::newfstatat,
            Sysno::mount,
            Sysno::socket,
            Sysno::ptrace,
            Sysno::bpf,
        ];
        assert!(sandbox_rows::ROWS.iter().all(|row| !paths.contains(&row.call)));
    }
}
