//! `cargo xtask ltp PATH`: the Linux Test Project's tests, natively and inside, with a list of those that differ.
//!
//! PATH is an installed build: [`suite`] reads which tests it has. [`side`] has them run, in batches, by [`drive`], which
//! is this very tool started natively and in sandboxes and which speaks [`record`]s. [`known`] is the checked-in list,
//! [`report`] the table. Linux is the oracle: what does not pass natively is not run inside.

mod drive;
mod known;
mod record;
mod report;
mod side;
mod suite;

use crate::build::{self, Profile};
use crate::project;
use crate::test::programs::this_tool;
use anyhow::{Context, Result, bail};
use clap::Args;
use known::Known;
use report::{Pair, Report};
use side::{Side, Sides};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;
use suite::{Suite, Test};

pub use drive::{DriveArgs, run as drive};

/// Which tests, where and how long.
#[derive(Args, Debug)]
pub struct LtpArgs {
    /// Where a build of LTP was installed (its `runtest` or `conformance` is here or below)
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Which of its suites
    #[arg(long, value_enum, default_value_t = Suite::Syscalls)]
    suite: Suite,
    /// Only tests whose name contains this (several: any of them); `=NAME` is that one test
    #[arg(long, value_name = "WORD")]
    filter: Vec<String>,
    /// Only the tests on the checked-in list: which of its entries are stale?
    #[arg(long)]
    listed: bool,
    /// Only one part of the tests, as in 2/5
    #[arg(long, value_name = "K/N", value_parser = slice)]
    slice: Option<(usize, usize)>,
    /// On this machine and its own /dev/kvm, without the capabilities that could harm it, instead of in the emulated reference
    #[arg(long)]
    host: bool,
    /// How many CPUs the emulated machine has
    #[arg(long, default_value_t = 2, value_name = "N")]
    cpus: u32,
    /// Seconds that a test may take
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    limit: u64,
    /// How many tests share a sandbox
    #[arg(long, default_value_t = 25, value_name = "N")]
    batch: usize,
    /// Do not run again, alone, what fails unexpectedly
    #[arg(long)]
    once: bool,
    /// Keep what the tests say on both sides here (with --host)
    #[arg(long, value_name = "DIRECTORY")]
    logs: Option<PathBuf>,
    /// This binary, instead of one built from this tree
    #[arg(long, value_name = "FILE")]
    ringwall: Option<PathBuf>,
    /// What this tool tells itself in the emulated machine: all is built, and nothing can be harmed
    #[arg(long, hide = true)]
    in_machine: bool,
}

/// Runs them, prints the table, and fails where it differs from the checked-in list.
pub fn run(args: &LtpArgs) -> Result<u8> {
    let path = args.path.canonicalize().with_context(|| format!("no {}", args.path.display()))?;
    if !args.host && !args.in_machine {
        if args.ringwall.is_none() {
            build::ringwall(Profile::Release)?;
        }
        return in_reference(args);
    }
    let ringwall = match &args.ringwall {
        Some(file) => file.clone(),
        None if args.in_machine => project::target().join("release/ringwall"),
        None => build::ringwall(Profile::Release)?,
    };
    let known = Known::read(args.suite)?;
    let tests = chosen(args, args.suite.tests(&path)?, &known);
    if tests.is_empty() {
        bail!("no test was chosen");
    }
    let sides = Sides {
        suite: args.suite,
        path,
        ringwall,
        limit_s: args.limit,
        batch: args.batch.max(1),
        confined: !args.in_machine,
        logs: args.logs.clone(),
    };
    let report = compare(&sides, &tests, &known, args.once)?;
    report.print(&known);
    Ok(report.exit_code(&known))
}

/// Both sides; unless `once`, what unexpectedly fails gets a second chance in a sandbox of its own, undisturbed.
fn compare(sides: &Sides, tests: &[Test], known: &Known, once: bool) -> Result<Report> {
    let mut report = Report::default();
    println!("== {} tests natively", tests.len());
    let native = sides.run(Side::Native, tests, sides.batch)?;
    let passed: Vec<Test> =
        tests.iter().filter(|test| native.get(&test.name).is_some_and(|run| run.outcome.passed())).cloned().collect();
    println!("== {} of them passed, and run inside", passed.len());
    let mut inside = sides.run(Side::Inside, &passed, sides.batch)?;
    if !once {
        let unexpected = |test: &&Test| {
            !known.contains(&test.name) && !inside.get(&test.name).is_some_and(|run| run.outcome.passed())
        };
        let again: Vec<Test> = passed.iter().filter(unexpected).cloned().collect();
        println!("== {} of them failed unexpectedly, and run alone", again.len());
        inside.extend(sides.run(Side::Inside, &again, 1)?);
    }
    for test in tests {
        let Some(native) = native.get(&test.name).cloned() else { continue };
        report.pairs.push(Pair { name: test.name.clone(), native, inside: inside.remove(&test.name) });
    }
    Ok(report)
}

fn chosen(args: &LtpArgs, tests: Vec<Test>, known: &Known) -> Vec<Test> {
    let wanted = |test: &Test| {
        let name = test.name.as_str();
        let filtered = args.filter.is_empty()
            || args.filter.iter().any(|word| match word.strip_prefix('=') {
                Some(whole) => name == whole,
                None => name.contains(word.as_str()),
            });
        filtered && (!args.listed || known.contains(name))
    };
    let (part, parts) = args.slice.unwrap_or((1, 1));
    let tests: Vec<Test> = tests.into_iter().filter(wanted).collect();
    let size = tests.len().div_ceil(parts).max(1);
    tests.into_iter().skip((part - 1) * size).take(size).collect()
}

/// The same, by this tool in the emulated machine.
fn in_reference(args: &LtpArgs) -> Result<u8> {
    if args.logs.is_some() {
        bail!("--logs needs --host: what the emulated machine writes is gone with it");
    }
    let mut machine = this_tool()?;
    machine.args(["vm", "--cpus", &args.cpus.to_string(), "--"]).arg(std::env::current_exe()?);
    // Word for word what we were told.
    machine.args(std::env::args_os().skip(1)).arg("--in-machine");
    machine.current_dir(std::env::current_dir()?);
    let start = Instant::now();
    let mut machine = machine.stdout(Stdio::piped()).spawn().context("cannot start this tool")?;
    let mut reported_s = 0;
    for line in machine.stdout.take().into_iter().flat_map(|lines| BufReader::new(lines).lines()) {
        let line = line?;
        reported_s = line.strip_prefix(report::TOOK).and_then(|text| text.parse().ok()).unwrap_or(reported_s);
        println!("{line}");
    }
    let status = machine.wait()?;
    if is_too_fast(reported_s, start.elapsed().as_secs()) {
        bail!(
            "void: the machine counted {reported_s} s where {} passed, so its limits of time meant nothing",
            start.elapsed().as_secs()
        );
    }
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(crate::TOOL_FAILED))
}

/// Tests run one after the other, so together they cannot take longer than the machine ran. Seen on a busy host: a machine that
/// calibrated its clock wrongly at boot, and ended tests on both sides long before their time.
fn is_too_fast(reported_s: u64, passed_s: u64) -> bool {
    reported_s > passed_s + passed_s / 5 + 60
}

fn slice(text: &str) -> Result<(usize, usize), String> {
    let parsed = text.split_once('/').and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)));
    parsed.filter(|&(part, parts)| part >= 1 && part <= parts).ok_or_else(|| format!("{text} is not like 2/5"))
}

#[cfg(test)]
mod tests {
    use super::{is_too_fast, slice};

    #[test]
    fn a_clock_that_runs_away_is_noticed() {
        assert!(is_too_fast(5323, 400));
        assert!(!is_too_fast(551, 817));
    }

    #[test]
    fn a_slice_is_one_of_its_parts() {
        assert_eq!(slice("2/5"), Ok((2, 5)));
        assert!(slice("6/5").is_err());
        assert!(slice("0/5").is_err());
        assert!(slice("2").is_err());
    }
}
