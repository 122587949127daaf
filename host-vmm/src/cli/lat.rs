//! `ringwall lat`: what system calls cost here, natively and inside.

use crate::lat::{self, ROWS, Side};
use crate::machine::Machine;
use crate::page::file;
use anyhow::{Context, ensure};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

#[derive(clap::Args)]
pub struct Args {
    /// These alone, as in getppid,read
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = name)]
    calls: Vec<String>,
    /// How often each is made, on each side, unless that takes more than three seconds
    #[arg(short = 'n', value_name = "N", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    count: u32,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Draw the distributions into a file
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
    /// The CPU that both sides are kept on (default: the last one)
    #[arg(long, value_name = "NUMBER")]
    cpu: Option<usize>,
}

/// What measures, on either side.
#[derive(clap::Args)]
pub struct MeasureArgs {
    #[arg(long, value_delimiter = ',')]
    calls: Vec<String>,
    #[arg(short = 'n')]
    count: u32,
    #[arg(long)]
    probed: bool,
}

fn name(text: &str) -> Result<String, String> {
    let known = || ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(" ");
    match ROWS.iter().any(|row| row.name == text) {
        true => Ok(text.into()),
        false => Err(format!("{text:?} is not measured; these are: {}", known())),
    }
}

/// Measures on both sides and says what came of it.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    if let Some(path) = &args.svg {
        file::check(path)?;
    }
    lat::pin(args.cpu.map_or_else(last_cpu, Ok)?)?;
    let machine = Machine::here();
    let native = side(args, &[], false)?;
    let inside = side(args, &["do", "--vcpus", "1", "--"], false)?;
    // To look costs as well: the times above are of calls that nobody looked into.
    let probed = side(args, &["do", "--vcpus", "1", "--probe-calls", "--"], true)?;
    let compared = lat::compare(&native, &inside, &probed);
    if let Some(path) = &args.svg {
        file::write(path, lat::chart(&machine, &compared).as_bytes())?;
    }
    let text = match args.json {
        true => format!("{}\n", lat::json(&machine, &native, &inside, &compared)),
        false => lat::table(&machine, &compared),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(0)
}

/// The first is often the one that interrupts come to.
fn last_cpu() -> anyhow::Result<usize> {
    let set = rustix::thread::sched_getaffinity(None).context("the CPUs of this process")?;
    (0..rustix::thread::CpuSet::MAX_CPU).rev().find(|cpu| set.is_set(*cpu)).context("no CPU")
}

/// Runs the measuring program: this one, by itself or behind `before`.
fn side(args: &Args, before: &[&str], probed: bool) -> anyhow::Result<Side> {
    let program = std::env::current_exe().context("this program's own file")?;
    let mut command = Command::new(&program);
    command.args(before);
    if !before.is_empty() {
        command.arg(&program);
    }
    command.args(["lat-measure", "-n", &args.count.to_string()]);
    if !args.calls.is_empty() {
        command.args(["--calls", &args.calls.join(",")]);
    }
    if probed {
        command.arg("--probed");
    }
    let where_ = if before.is_empty() { "natively" } else { "inside" };
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("the measuring program")?;
    ensure!(output.status.success(), "measuring {where_} ended with {}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("what was measured {where_}"))
}

/// The hidden verb.
pub fn measure(args: &MeasureArgs) -> anyhow::Result<u8> {
    let side = lat::measure(&args.calls, args.count, args.probed)?;
    std::io::stdout().lock().write_all(serde_json::to_string(&side)?.as_bytes())?;
    Ok(0)
}
