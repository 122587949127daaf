//! A result: what was measured, where and on which commit, as it is kept in JSON.

use crate::{process, project};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Everything there is to compare.
#[derive(Default, Serialize, Deserialize)]
pub struct Outcome {
    /// By operation.
    pub counts: Option<Counts>,
    /// By workload and peer.
    pub workloads: Option<Workloads>,
}

/// Where figures come from.
#[derive(Clone, Serialize, Deserialize)]
pub struct Taken {
    /// Of ringwall, with `+` where files were changed.
    pub commit: String,
    /// What ran it.
    pub machine: String,
    /// Of the programs that matter.
    pub versions: BTreeMap<String, String>,
}

/// Costs of single operations.
#[derive(Clone, Serialize, Deserialize)]
pub struct Counts {
    /// Where they come from.
    pub taken: Taken,
    /// `instructions`, or `ticks` where they cannot be counted.
    pub unit: String,
    /// In the order they are measured in.
    pub rows: Vec<Count>,
    /// What a getppid takes while calls are looked at, by who looks.
    #[serde(default)]
    pub looking: BTreeMap<String, u64>,
    /// Start to exit of `/bin/true`, by what starts it.
    pub start: BTreeMap<String, u64>,
    /// Of a sandbox whose program sleeps.
    pub idle: BTreeMap<String, u64>,
}

/// The cost of one; what was not measured is absent.
#[derive(Clone, Serialize, Deserialize)]
pub struct Count {
    /// What is done.
    pub name: String,
    /// On Linux in the same machine.
    pub native: Option<u64>,
    /// In a sandbox.
    pub inside: Option<u64>,
    /// Exits from the sandbox's machine.
    pub exits: Option<f64>,
    /// System calls that the host's kernel sees.
    pub host_calls: Option<f64>,
    /// Operations that the last two were counted over.
    #[serde(default)]
    pub counted: u64,
}

/// Whole uses, under each of the peers.
#[derive(Clone, Serialize, Deserialize)]
pub struct Workloads {
    /// Where they come from.
    pub taken: Taken,
    /// In the order of the table.
    pub rows: Vec<Workload>,
}

/// One of them.
#[derive(Clone, Serialize, Deserialize)]
pub struct Workload {
    /// What is done.
    pub name: String,
    /// Of the values; more of it is worse.
    pub unit: String,
    /// By peer.
    pub peers: BTreeMap<String, Measured>,
}

/// What came of the runs under one peer.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Measured {
    /// A value a run.
    pub runs: Vec<f64>,
    /// Why the last run that failed did.
    pub error: Option<String>,
}

impl Measured {
    /// The median, where there was a run.
    pub fn median(&self) -> Option<f64> {
        let mut runs = self.runs.clone();
        runs.sort_by(f64::total_cmp);
        runs.get(runs.len() / 2).copied()
    }
}

impl Taken {
    /// This tree, this machine.
    pub fn now() -> Result<Self> {
        let git = |arguments: &[&str]| {
            process::output(Command::new("git").args(arguments).current_dir(project::root()))
                .map(|text| String::from_utf8_lossy(&text).trim().to_owned())
        };
        let commit = match (git(&["rev-parse", "--short=12", "HEAD"]), git(&["status", "--porcelain"])) {
            (Ok(commit), Ok(changes)) if changes.is_empty() => commit,
            (Ok(commit), _) => commit + "+",
            _ => "unknown".to_owned(),
        };
        let versions = [("qemu", "qemu-system-x86_64", "--version"), ("runc", "runc", "--version")]
            .into_iter()
            .filter_map(|(name, program, flag)| Some((name.to_owned(), version(program, flag)?)))
            .collect();
        Ok(Self { commit, machine: processor(), versions })
    }
}

/// The first line that a program says of its version.
pub fn version(program: &str, flag: &str) -> Option<String> {
    let text = process::output(Command::new(program).arg(flag)).ok()?;
    String::from_utf8_lossy(&text).lines().next().map(|line| line.trim().to_owned())
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")).and_then(|rest| rest.split_once(": "));
    name.map_or_else(|| "unknown".to_owned(), |(_, name)| name.trim().to_owned())
}

impl Outcome {
    /// The result that the project stands by, and that a change is held against.
    pub fn committed() -> Result<Self> {
        Self::load(&committed_path())
    }

    /// Reads a result.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no result of cargo xtask bench", path.display()))
    }

    /// Writes it.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Where that result is.
pub fn committed_path() -> PathBuf {
    project::root().join("docs/performance.json")
}

#[cfg(test)]
mod tests {
    use super::Measured;

    #[test]
    fn a_median_needs_no_order_and_one_run() {
        let measured = |runs: &[f64]| Measured { runs: runs.to_vec(), error: None }.median();
        assert_eq!(measured(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(measured(&[]), None);
    }
}
