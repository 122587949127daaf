//! The host processes of a sandbox: the children of its monitor.

use crate::pin::filter::Row;
use crate::pin::{gofer_rows, host_rows, sandbox_rows};
use anyhow::Context;
use std::collections::BTreeSet;
use std::path::Path;

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It runs the machine.
    Sandbox,
    /// It names files.
    Gofer,
}

/// A host process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// What it does.
    pub role: Role,
}

impl Role {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox process",
            Self::Gofer => "gofer",
        }
    }

    /// What its filter lets through; with `--network=host` some more.
    pub fn allowed(self, host_network: bool) -> BTreeSet<&'static str> {
        let rows: Vec<Row> = match self {
            Self::Sandbox if host_network => [sandbox_rows::ROWS, host_rows::ROWS].concat(),
            Self::Sandbox => sandbox_rows::ROWS.to_vec(),
            Self::Gofer => gofer_rows::ROWS.to_vec(),
        };
        rows.iter().map(|row| row.call.name()).collect()
    }
}

/// Those of a monitor.
pub fn of_monitor(monitor: i32) -> anyhow::Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").context("/proc")?.filter_map(Result::ok) {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if parent(&stat) == Some(monitor) {
            let role = if has_worker(&entry.path()) { Role::Sandbox } else { Role::Gofer };
            found.push(Process { pid, role });
        }
    }
    found.sort_by_key(|process| (process.role == Role::Gofer, process.pid));
    Ok(found)
}

/// Parent of a line of proc_pid_stat(5). The name in it may contain anything.
fn parent(stat: &str) -> Option<i32> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(1)?.parse().ok()
}

/// The sandbox process alone has threads, and one that waits for everything else.
fn has_worker(process: &Path) -> bool {
    let Ok(threads) = std::fs::read_dir(process.join("task")) else { return false };
    let name = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
    threads.filter_map(Result::ok).any(|thread| name(thread).trim_end() == "worker")
}

#[cfg(test)]
mod tests {
    use super::{Role, parent};

    #[test]
    fn a_parent_is_found_behind_any_name() {
        assert_eq!(parent("12 (a) R 1 (b) S) S 7 12 12 0"), Some(7));
        assert_eq!(parent(""), None);
    }

    #[test]
    fn every_process_has_its_filter() {
        assert!(Role::Gofer.allowed(false).contains("openat2"));
        assert!(Role::Sandbox.allowed(true).len() > Role::Sandbox.allowed(false).len());
    }
}
