//! `cargo xtask test`: every test there is, as a table of stages.
//!
//! A stage counts what it ran. The last line is the sum, and the exit code is honest.

mod cli;
mod engines;
mod facts;
pub mod lifecycle;
mod network;
pub mod programs;
mod watching;

use crate::tally::Tally;
use crate::{bench, fuzz, lint, project};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Where a stage runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// On the host, without a virtual machine
    Unit,
    /// In the emulated machines
    Vm,
    /// On the host's own /dev/kvm, where there is a sound one
    Kvm,
    /// Stages that have not had a clean run on a quiet machine yet, and are no part of a full run until they have (docs/limits.md)
    More,
}

struct Stage {
    part: Part,
    name: &'static str,
    run: fn(&Budget) -> Result<Tally>,
}

const STAGES: &[Stage] = &[
    Stage { part: Part::Unit, name: "lint", run: |_| lint::run() },
    Stage { part: Part::Unit, name: "unit tests", run: unit_tests },
    Stage { part: Part::Vm, name: "self-test in the emulated reference", run: programs::self_test },
    Stage { part: Part::Vm, name: "costs in instructions", run: bench::check },
    Stage { part: Part::Vm, name: "facts in the emulated reference", run: facts::in_reference },
    Stage { part: Part::Vm, name: "the fuzzer of system calls", run: |budget| fuzz::stage(budget.at_most(300)?) },
    Stage { part: Part::More, name: "network in the emulated reference", run: network::in_reference },
    Stage { part: Part::Vm, name: "programs in the emulated reference", run: programs::in_reference },
    Stage { part: Part::More, name: "life cycles in the emulated reference", run: lifecycle::in_reference },
    Stage { part: Part::More, name: "pods in the emulated reference", run: lifecycle::pods_in_reference },
    Stage {
        part: Part::More,
        name: "what containers cost and leave behind, in the emulated reference",
        run: lifecycle::scale_in_reference,
    },
    Stage { part: Part::Vm, name: "programs in the emulated Intel reference", run: programs::in_intel_reference },
    Stage { part: Part::More, name: "the command line, end to end", run: cli::run },
    Stage { part: Part::Kvm, name: "programs on this machine's KVM", run: programs::on_host },
    // Once in three runs nothing of it ended within its time (docs/limits.md): until that is understood it decides nothing.
    Stage { part: Part::More, name: "watching containers, in the emulated reference", run: watching::in_reference },
    Stage { part: Part::More, name: "life cycles on this machine's KVM", run: lifecycle::on_host },
    Stage { part: Part::More, name: "Docker in the emulated reference", run: engines::docker_in_reference },
    Stage {
        part: Part::More,
        name: "containerd and podman in the emulated reference",
        run: engines::others_in_reference,
    },
    Stage { part: Part::More, name: "Docker on this machine's KVM", run: engines::docker_on_host },
    Stage { part: Part::More, name: "containerd and podman on this machine's KVM", run: engines::others_on_host },
];

/// All stages together, on two cores and a fresh clone, take no longer than this.
const MOST_SECONDS: u64 = 38 * 60;

/// The time that is left for a stage.
#[derive(Debug)]
pub struct Budget {
    end: Option<Instant>,
}

impl Budget {
    /// Seconds for a stage that should take `at_most` that many, for a command line; none left is an error.
    pub fn seconds(&self, at_most: u64) -> Result<String> {
        Ok(self.at_most(at_most)?.to_string())
    }

    /// The same as a number.
    fn at_most(&self, at_most: u64) -> Result<u64> {
        let left = self.end.map_or(u64::MAX, |end| end.saturating_duration_since(Instant::now()).as_secs());
        if left == 0 {
            bail!("the stages before took all of {MOST_SECONDS} s");
        }
        Ok(left.min(at_most))
    }

    /// Whether everything has to fit into the time of a CI run; a part that was asked for has the time it takes.
    fn is_limited(&self) -> bool {
        self.end.is_some()
    }
}

/// Runs the stages of a part, or all but `Part::More`; or those of them, or of all, with `only` in their names.
pub fn run(part: Option<Part>, only: Option<&str>) -> Result<u8> {
    let end = (part.is_none() && only.is_none()).then(|| Instant::now() + Duration::from_secs(MOST_SECONDS));
    let budget = Budget { end };
    let mut sum = Tally::default();
    let mut took = Vec::new();
    let wanted = |stage: &&Stage| {
        part.map_or(stage.part != Part::More || only.is_some(), |part| part == stage.part)
            && only.is_none_or(|only| stage.name.contains(only))
    };
    if !STAGES.iter().any(|stage| wanted(&stage)) {
        bail!("no stage has {:?} in its name", only.unwrap_or_default());
    }
    for stage in STAGES.iter().filter(wanted) {
        println!("== {}", stage.name);
        let start = Instant::now();
        let tally = (stage.run)(&budget).unwrap_or_else(|error| {
            let mut tally = Tally::default();
            tally.fail(stage.name, &format!("{error:#}"));
            tally
        });
        let seconds = start.elapsed().as_secs();
        println!("== {}: {tally} ({seconds} s)", stage.name);
        took.push((stage.name, tally.to_string(), seconds));
        sum.add(tally);
    }
    // Once more: who sees only the end of a log sees why.
    if !sum.said.is_empty() {
        println!("== what failed");
        sum.said.iter().for_each(|line| println!("{line}"));
    }
    // All in one place: what a change made slow, or a stage that counts less than it did.
    for (name, tally, seconds) in took {
        println!("{seconds:>5} s  {name}: {tally}");
    }
    println!("{sum}");
    Ok(sum.exit_code())
}

fn unit_tests(_: &Budget) -> Result<Tally> {
    counted(project::cargo().args(["test", "--workspace", "--exclude", "ring0", "--no-fail-fast"]), cargo_result)
}

/// `test result: ok. 12 passed; 0 failed; …`
fn cargo_result(line: &str) -> Option<Tally> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut words = counts.split(' ');
    let passed = words.next()?.parse().ok()?;
    let failed = words.nth(1)?.parse().ok()?;
    Some(Tally { passed, failed, ..Tally::default() })
}

/// Runs a program whose output has counts in it; adds them up while passing the output on.
fn counted(command: &mut Command, count: fn(&str) -> Option<Tally>) -> Result<Tally> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start it")?;
    let mut sum = Tally::default();
    let (mut counts, mut of_failure) = (0, false);
    let output = child.stdout.take().context("no output to read")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        let part = count(&line);
        // A failure, by name where cargo tells of it, and the indented lines that follow.
        of_failure = match &part {
            Some(part) => part.failed > 0,
            None => {
                line.ends_with(" ... FAILED") || line.contains("panicked at") || of_failure && line.starts_with("  ")
            }
        };
        if of_failure {
            sum.said.push(line.to_string());
        }
        if let Some(part) = part {
            sum.add(part);
            counts += 1;
        }
    }
    let status = child.wait()?;
    if counts == 0 {
        bail!("it ended with {status} and counted nothing");
    }
    if !status.success() && sum.failed == 0 {
        // It broke down beside its tests, which must not look like a pass.
        sum.fail("the whole run", &status.to_string());
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::cargo_result;
    use crate::tally::Tally;

    #[test]
    fn counts_are_read_from_cargo() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(cargo_result(line), Some(Tally { passed: 12, failed: 3, ..Tally::default() }));
        assert_eq!(cargo_result("running 3 tests"), None);
    }
}
