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
use drive::Place;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

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
enum Said {
    /// A workload is run under a peer.
    Begun { place: Place, row: String, peer: String },
    /// What came of it.
    Value { row: String, peer: String, value: Option<f64>, error: Option<String> },
}

/// Machines that may end in the middle: the run goes on in another one.
const MACHINES: u32 = 8;
/// A driver that says nothing for so long is taken to stand still with its machine. The longest of its steps, two attempts of a peer
/// that takes its time, ends before; fifty containers take two minutes, where a start takes two seconds.
const SILENCE: Duration = Duration::from_secs(600);

/// Runs the driver in the reference machine or here; an error of the second kind came in the middle.
pub fn measure(wanted: &Wanted) -> Result<(Workloads, Result<()>)> {
    setup::packages(setup::WORKLOADS)?;
    let ringwall = build::ringwall(Profile::Release)?;
    let root = image::prepare()?;
    let mut rows: Vec<Workload> = Vec::new();
    let mut after = None;
    let mut result = Ok(());
    for machine in 1..=MACHINES {
        let mut command = driver(wanted)?;
        if let Some(after) = after {
            command.arg("--after").arg(serde_json::to_string(&after)?);
        }
        for peer in PEERS.iter().filter(|peer| cannot_run(&rows, peer)) {
            command.args(["--without", peer]);
        }
        command.arg("--kernel-tree").arg(crate::vm::image::kernel_tree()?).arg(&ringwall).arg(&root);
        let mut running = None;
        let status = listen(&mut command, &mut rows, &mut running, SILENCE)?;
        let Some((place, row, peer)) = running.filter(|_| !status.success()) else {
            result = if status.success() { Ok(()) } else { Err(anyhow::anyhow!("the run ended with {status}")) };
            break;
        };
        let error = format!("the machine ended with {status} meanwhile");
        eprintln!("bench: {row}, {peer}: {error}");
        note(&mut rows, row, peer, None, Some(error.clone()));
        result = Err(anyhow::anyhow!("{error}, as {machine} before"));
        after = Some(place);
    }
    // They came in the order in which they do no harm to each other.
    rows.sort_by_key(|row| ROWS.iter().position(|known| known.name == row.name));
    Ok((Workloads { taken: taken()?, rows }, result))
}

/// The driver's command but for what it works on.
fn driver(wanted: &Wanted) -> Result<Command> {
    let this = std::env::current_exe()?;
    let mut command = if wanted.host {
        // Mounts and networks of its own: nothing is left, and no port is anybody's.
        let mut here = Command::new("unshare");
        here.args(["--mount", "--net", "--"]).arg(&this);
        here
    } else {
        let mut vm = Command::new(&this);
        vm.args(["vm", "--docker", "--no-erms", "--cpus", "2", "--mem", "12G", "--timeout", "14400", "--"]);
        vm.args(["unshare", "--mount", "--net", "--"]).arg(&this);
        vm
    };
    command.current_dir(project::root()).arg("bench-drive").arg("--runs").arg(wanted.runs.to_string());
    command.args(wanted.only.iter().flat_map(|only| ["--only", only]));
    command.args(wanted.host.then_some("--host"));
    if let Some(runsc) = runsc() {
        command.arg("--runsc").arg(runsc);
    }
    Ok(command)
}

/// Collects what a driver says; `running`: what it had begun and said nothing of when it ended.
fn listen(
    command: &mut Command,
    rows: &mut Vec<Workload>,
    running: &mut Option<(Place, String, String)>,
    silence: Duration,
) -> Result<ExitStatus> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start the driver")?;
    let output = child.stdout.take().context("no output to read")?;
    let (lines, said) = mpsc::channel();
    std::thread::spawn(move || BufReader::new(output).split(b'\n').try_for_each(|line| lines.send(line)));
    loop {
        let line = match said.recv_timeout(silence) {
            Ok(line) => line?,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                eprintln!("bench: nothing was said for {} s; the machine is ended", silence.as_secs());
                // It takes the emulator with it.
                child.kill().context("cannot end the driver")?;
                break;
            }
        };
        match serde_json::from_slice(&line) {
            Ok(Said::Begun { place, row, peer }) => *running = Some((place, row, peer)),
            Ok(Said::Value { row, peer, value, error }) => {
                *running = None;
                note(rows, row, peer, value, error);
            }
            Err(error) => eprintln!("  (not understood: {error})"),
        }
    }
    Ok(child.wait()?)
}

/// Whether a driver found that the peer starts nothing.
fn cannot_run(rows: &[Workload], peer: &str) -> bool {
    let errors = rows.iter().filter_map(|row| row.peers.get(peer)?.error.as_ref());
    errors.into_iter().any(|error| error.starts_with(drive::NOTHING))
}

fn note(rows: &mut Vec<Workload>, name: String, peer: String, value: Option<f64>, error: Option<String>) {
    let known = rows.iter().position(|row| row.name == name);
    let at = known.unwrap_or_else(|| {
        let unit = ROWS.iter().find(|row| row.name == name).map_or("", |row| row.unit);
        rows.push(Workload { name, unit: unit.to_owned(), peers: Default::default() });
        rows.len() - 1
    });
    let measured: &mut Measured = rows[at].peers.entry(peer).or_default();
    measured.runs.extend(value);
    if error.is_some() {
        measured.error = error;
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

#[cfg(test)]
mod tests {
    use super::listen;
    use std::process::Command;
    use std::time::Duration;

    #[test]
    fn a_silent_driver_is_ended_and_what_it_had_begun_is_known() {
        let mut driver = Command::new("sh");
        driver.args(["-c", r#"echo '{"Begun":{"place":[1,2,3],"row":"a","peer":"b"}}'; exec sleep 1000"#]);
        let (mut rows, mut running) = (Vec::new(), None);
        let status = listen(&mut driver, &mut rows, &mut running, Duration::from_secs(1)).expect("it was listened to");
        assert!(!status.success());
        assert!(matches!(running, Some((_, row, peer)) if row == "a" && peer == "b"));
    }
}
