//! Whole uses: the same bundle under no sandbox and under each runtime, in turn, in one machine.
//!
//! [`drive`] runs in the machine and says each value as it comes; here they are collected.

mod bundle;
pub mod drive;
mod image;
mod peer;
mod services;
mod site;
mod uses;

pub use peer::{OURS, PEERS};

use super::bounds::{Bound, NATIVE};
use super::outcome::{Measured, Taken, Workload, Workloads, version};
use crate::build::{self, Profile};
use crate::{process, project, setup};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A figure of a workload, less of which is better.
struct Row {
    name: &'static str,
    unit: &'static str,
    bound: Bound,
}

const fn row(name: &'static str, unit: &'static str, bound: Bound) -> Row {
    Row { name, unit, bound }
}

/// All rows, in the order of the table.
const ROWS: &[Row] = &[
    row("cold start", "ms", Bound::Times(0.8, "runc")),
    row("sha256sum of 256 MiB, cold", "ms", Bound::Times(1.1, NATIVE)),
    row("sha256sum of 256 MiB, warm", "ms", Bound::Times(1.02, NATIVE)),
    row("redis PING, host network", "ns", Bound::Times(2.0, NATIVE)),
    row("redis PING, sandbox network", "ns", Bound::Times(2.5, NATIVE)),
    row("nginx under wrk", "ns", Bound::Times(2.0, NATIVE)),
    row("redis PING, loopback inside", "ns", Bound::Times(1.0, NATIVE)),
    row("fork-heavy script", "ms", Bound::Times(1.0, NATIVE)),
    row("make -j2", "ms", Bound::Times(1.1, NATIVE)),
    row("git status of 5,000 files", "ms", Bound::Times(1.2, NATIVE)),
    row("grep -r over 5,000 files", "ms", Bound::Times(1.2, NATIVE)),
    row("memory of an idle container", "KiB", Bound::Most(12.0 * 1024.0)),
    row("memory of 50 idle containers", "KiB", Bound::None),
    row("a start, 16 at once", "ms", Bound::None),
];

/// What a row of that name is held against.
pub fn bound(name: &str) -> Bound {
    ROWS.iter().find(|row| row.name == name).map_or(Bound::None, |row| row.bound)
}

/// What is run, and how often.
pub struct Wanted {
    /// Of each row and peer.
    pub runs: u32,
    /// Rows whose names contain it.
    pub only: Option<String>,
    /// On this machine's own KVM.
    pub host: bool,
}

/// What the driver says on a line of its output.
#[derive(Serialize, Deserialize)]
struct Said {
    row: String,
    peer: String,
    value: Option<f64>,
    error: Option<String>,
}

/// Runs the driver in the reference machine or here; an error of the second kind came in the middle.
pub fn measure(wanted: &Wanted) -> Result<(Workloads, Result<()>)> {
    setup::packages(setup::WORKLOADS)?;
    let ringwall = build::ringwall(Profile::Release)?;
    let root = image::prepare()?;
    let this = std::env::current_exe()?;
    let mut command = if wanted.host {
        // Mounts and networks of its own: nothing is left, and no port is anybody's.
        let mut here = Command::new("unshare");
        here.args(["--mount", "--net", "--"]).arg(&this);
        here
    } else {
        let mut vm = Command::new(&this);
        vm.args(["vm", "--docker", "--cpus", "2", "--mem", "12G", "--timeout", "14400", "--"]);
        vm.args(["unshare", "--mount", "--net", "--"]).arg(&this);
        vm
    };
    command.current_dir(project::root()).arg("bench-drive").arg("--runs").arg(wanted.runs.to_string());
    command.args(wanted.only.iter().flat_map(|only| ["--only", only]));
    command.args(wanted.host.then_some("--host"));
    if let Some(runsc) = runsc() {
        command.arg("--runsc").arg(runsc);
    }
    command.arg("--kernel-tree").arg(crate::vm::image::kernel_tree()?).arg(&ringwall).arg(root);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start the driver")?;
    let output = child.stdout.take().context("no output to read")?;
    let mut rows: Vec<Workload> = Vec::new();
    for line in BufReader::new(output).split(b'\n') {
        match serde_json::from_slice::<Said>(&line?) {
            Ok(said) => note(&mut rows, said),
            Err(error) => eprintln!("  (not understood: {error})"),
        }
    }
    let status = child.wait()?;
    let result = if status.success() { Ok(()) } else { Err(anyhow::anyhow!("the run ended with {status}")) };
    Ok((Workloads { taken: taken()?, rows }, result))
}

fn note(rows: &mut Vec<Workload>, said: Said) {
    let known = rows.iter().position(|row| row.name == said.row);
    let at = known.unwrap_or_else(|| {
        let unit = ROWS.iter().find(|row| row.name == said.row).map_or("", |row| row.unit);
        rows.push(Workload { name: said.row.clone(), unit: unit.to_owned(), peers: Default::default() });
        rows.len() - 1
    });
    let measured: &mut Measured = rows[at].peers.entry(said.peer).or_default();
    measured.runs.extend(said.value);
    if said.error.is_some() {
        measured.error = said.error;
    }
}

fn taken() -> Result<Taken> {
    let mut taken = Taken::now()?;
    let programs = ["crun", "redis-benchmark"].map(|name| (name.to_owned(), version(name, "--version")));
    taken.versions.extend(programs.into_iter().filter_map(|(name, version)| Some((name, version?))));
    if let Some(runsc) = runsc() {
        let said = version(&runsc.to_string_lossy(), "--version");
        taken.versions.extend(said.map(|version| ("runsc".to_owned(), version)));
    }
    Ok(taken)
}

/// gVisor's runtime, where somebody installed it.
fn runsc() -> Option<PathBuf> {
    process::find("runsc")
}
