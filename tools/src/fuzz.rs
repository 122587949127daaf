//! `cargo xtask fuzz`: the project's own fuzzer of system calls (`tests/fuzz`), in a sandbox whose every assertion is on.
//!
//! The guest program says once a second how far it is, and names each case before it runs. A run has failed when the sandbox ends
//! otherwise than by the program's own exit with 0, or says nothing for a while; then the seeds to look at are printed.

use crate::build::{self, Profile};
use crate::tally::Tally;
use crate::test::programs::{host_soundness, this_tool};
use crate::{process, project};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, SystemTime};

/// What to run, where and for how long.
#[derive(Args, Debug, Clone)]
pub struct FuzzArgs {
    /// Where the cases come from (default: the clock)
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// How long to go on
    #[arg(long, default_value_t = 60, value_name = "S")]
    pub seconds: u64,
    /// CPUs of the emulated machine
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub cpus: u32,
    /// On this machine's own /dev/kvm instead of the emulated one
    #[arg(long)]
    pub host: bool,
    /// In the emulated machine, which is what happens without --host
    #[arg(long, conflicts_with = "host")]
    pub vm: bool,
    /// This case alone, some times over, and which of its workers and how many calls it takes to fail
    #[arg(long, value_name = "SEED")]
    pub replay: Option<u64>,
    /// How often each call was made and how often it succeeded, at the end
    #[arg(long)]
    pub counts: bool,
}

/// A machine that says nothing for so long hangs. The guest speaks once a second.
const SILENCE: Duration = Duration::from_secs(60);
/// Of a run that failed, so many lines are shown.
const SHOWN: usize = 60;
/// How often a case is run before it counts as one that does not fail.
const TIMES: u64 = 5;
/// Memory of the sandbox: enough for the cases, little enough that one which takes all of it meets its end.
const MEMORY: &str = "1G";
/// A KVM that interprets ring 0 is that much slower.
const INTERPRETED_PATIENCE: u32 = 4;

/// `cargo xtask fuzz`.
pub fn run(args: &FuzzArgs) -> Result<u8> {
    let fuzzer = Fuzzer::build(args)?;
    if let Some(case) = args.replay {
        return fuzzer.narrow(case);
    }
    let outcome = fuzzer.run(&fuzzer.campaign(args.seed, args.seconds, args.counts))?;
    println!("{}", outcome.verdict());
    Ok(u8::from(outcome.failure.is_some()))
}

/// The stage of the full run: in the emulated machine, which makes far more calls a second than a KVM that interprets ring 0; on this
/// machine's KVM where that is a real one.
pub fn stage(seconds: u64) -> Result<Tally> {
    let args = FuzzArgs { seed: None, seconds, cpus: 2, host: false, vm: false, replay: None, counts: false };
    let mut fuzzer = Fuzzer::build(&args)?;
    let kvm = host_soundness(&fuzzer.ringwall)?;
    fuzzer.host = kvm.sound && !kvm.interpreted;
    // Boot, start and the end of the last cases are part of the time.
    let outcome = fuzzer.run(&fuzzer.campaign(commit_seed(), seconds.saturating_sub(20).max(10), false))?;
    let mut tally = Tally::default();
    match &outcome.failure {
        None => tally.pass(&format!("{} system calls of the fuzzer's", outcome.calls)),
        Some(_) => tally.fail("the fuzzer", &outcome.verdict()),
    }
    Ok(tally)
}

/// A commit is always tried with the same cases, each with others; none where there is no repository.
fn commit_seed() -> Option<u64> {
    let commit =
        process::output(Command::new("git").args(["rev-parse", "--short=15", "HEAD"]).current_dir(project::root()))
            .ok()?;
    u64::from_str_radix(String::from_utf8_lossy(&commit).trim(), 16).ok()
}

struct Fuzzer {
    ringwall: PathBuf,
    program: PathBuf,
    host: bool,
    cpus: u32,
    patience: u32,
}

struct Outcome {
    calls: u64,
    cases: VecDeque<String>,
    failure: Option<String>,
}

impl Outcome {
    fn verdict(&self) -> String {
        match &self.failure {
            None => format!("no failure in {} calls", self.calls),
            Some(why) => {
                let cases: Vec<String> =
                    self.cases.iter().map(|case| format!("  cargo xtask fuzz --replay {case}")).collect();
                format!(
                    "FAILED after {} calls; the last cases, the newest last:\n{}\n{why}",
                    self.calls,
                    cases.join("\n")
                )
            }
        }
    }
}

impl Fuzzer {
    fn build(args: &FuzzArgs) -> Result<Self> {
        let ringwall = build::ringwall(Profile::Checked)?;
        let program = guest_program()?;
        let patience = match args.host && host_soundness(&ringwall)?.interpreted {
            true => INTERPRETED_PATIENCE,
            false => 1,
        };
        Ok(Self { ringwall, program, host: args.host, cpus: args.cpus, patience })
    }

    fn campaign(&self, seed: Option<u64>, seconds: u64, counts: bool) -> Vec<String> {
        let clock = || SystemTime::UNIX_EPOCH.elapsed().map_or(1, |time| time.as_nanos() as u64 / 1000);
        let seed = seed.unwrap_or_else(clock);
        let mut words = vec!["--seed".to_owned(), seed.to_string(), "--seconds".to_owned(), seconds.to_string()];
        words.extend(counts.then(|| "--counts".to_owned()));
        words
    }

    /// Runs the guest program in a new sandbox and watches over it.
    fn run(&self, words: &[String]) -> Result<Outcome> {
        let mut command = if self.host { Command::new(&self.ringwall) } else { this_tool()? };
        if !self.host {
            command.args(["vm", "--one-thread", "--cpus", &self.cpus.to_string(), "--"]).arg(&self.ringwall);
        }
        command.args(["do", "--memory", MEMORY, "--"]).arg(&self.program).args(words);
        command.args(["--patience", &self.patience.to_string()]);
        // A group of its own, so that all of it ends when it hangs.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start the sandbox")?;
        let (sender, lines) = mpsc::channel();
        let outputs: [Option<Box<dyn std::io::Read + Send>>; 2] =
            [child.stdout.take().map(|out| Box::new(out) as _), child.stderr.take().map(|out| Box::new(out) as _)];
        for output in outputs.into_iter().flatten() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                    let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
                }
            });
        }
        drop(sender);
        let mut outcome = Outcome { calls: 0, cases: VecDeque::new(), failure: None };
        let mut last: VecDeque<String> = VecDeque::new();
        loop {
            match lines.recv_timeout(SILENCE * self.patience) {
                Ok(line) => {
                    outcome.note(&line);
                    last.push_back(line);
                    if last.len() > SHOWN {
                        last.pop_front();
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    outcome.failure = Some(format!("nothing was heard for {} s", SILENCE.as_secs()));
                    let group = nix::unistd::Pid::from_raw(child.id() as i32);
                    let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
                    break;
                }
            }
        }
        let status = child.wait()?;
        if !status.success() && outcome.failure.is_none() {
            outcome.failure = Some(format!("the sandbox ended with {status}"));
        }
        if outcome.calls == 0 && outcome.failure.is_none() {
            outcome.failure = Some("no call was made".to_owned());
        }
        if let Some(why) = &mut outcome.failure {
            // What it did last; the fuzzer's own lines were printed as they came.
            for line in last.iter().filter(|line| !line.starts_with("fuzz: ")) {
                why.push('\n');
                why.push_str(line);
            }
        }
        Ok(outcome)
    }

    /// Finds out what of a case it takes to fail: which worker, and how many calls.
    fn narrow(&self, case: u64) -> Result<u8> {
        let words = |more: &[String]| {
            let mut words = vec!["--replay".to_owned(), case.to_string(), "--times".to_owned(), TIMES.to_string()];
            words.extend(["--lanes".to_owned(), "1".to_owned()]);
            words.extend_from_slice(more);
            words
        };
        let fails = |more: &[String]| -> Result<bool> {
            println!("== {}", words(more).join(" "));
            let outcome = self.run(&words(more))?;
            println!("{}", outcome.verdict());
            Ok(outcome.failure.is_some())
        };
        if !fails(&[])? {
            println!("the case did not fail in {TIMES} runs: it may take what ran beside it (--seed), or luck");
            return Ok(0);
        }
        let mut found: Vec<String> = Vec::new();
        for worker in 0..3 {
            let only = vec!["--only".to_owned(), worker.to_string()];
            if fails(&only)? {
                found = only;
                break;
            }
        }
        let (mut enough, mut few) = (300u64, 0u64);
        while enough - few > 1 + enough / 20 {
            let middle = few.midpoint(enough);
            let mut more = found.clone();
            more.extend(["--calls".to_owned(), middle.to_string()]);
            if fails(&more)? { enough = middle } else { few = middle }
        }
        found.extend(["--calls".to_owned(), enough.to_string(), "--trace".to_owned()]);
        println!("== the end of it, with each call before it is made");
        let outcome = self.run(&words(&found))?;
        println!("{}\nfuzz {}", outcome.verdict(), words(&found).join(" "));
        Ok(u8::from(outcome.failure.is_some()))
    }
}

impl Outcome {
    /// What a line of the guest program says.
    fn note(&mut self, line: &str) {
        if let Some(case) = line.strip_prefix("fuzz: case ") {
            self.cases.push_back(case.to_owned());
            if self.cases.len() > 4 {
                self.cases.pop_front();
            }
        } else if line.starts_with("count: ") {
            println!("{line}");
        } else if let Some(rest) = line.strip_prefix("fuzz: ") {
            println!("{line}");
            let calls = rest.split(' ').zip(rest.split(' ').skip(1)).find(|(_, word)| word.starts_with("calls"));
            if let Some(calls) = calls.and_then(|(number, _)| number.parse().ok()) {
                self.calls = calls;
            }
        }
    }
}

/// Builds the guest program, linked statically so that its processes are small; returns where it is.
fn guest_program() -> Result<PathBuf> {
    let mut cargo = project::cargo();
    cargo.args(["rustc", "--quiet", "--package", "ringwall-fuzz", "--bin", "fuzz", "--profile", "host", "--"]);
    process::run(cargo.args(["-C", "target-feature=+crt-static"]))?;
    let program = project::target().join("host/fuzz");
    if !Path::new(&program).is_file() {
        bail!("the build left no {}", program.display());
    }
    Ok(program)
}
