//! `stats`: the system calls of a running container.

use super::Runtime;
use super::report::seconds;
use crate::hostcalls::By;
use crate::stats::{self, Sort};
use crate::{hostcalls, report};
use anyhow::{bail, ensure};
use linker::control::{Outcome, What};
use linker::statistics::Statistics;
use std::io::Write;
use std::time::Duration;

/// Time between two looks with --watch.
const PERIOD: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub struct Args {
    /// As JSON
    #[arg(long)]
    json: bool,
    /// What comes first
    #[arg(long, value_name = "WHAT", default_value = "time")]
    sort: Sort,
    /// Of each thread, too
    #[arg(long)]
    threads: bool,
    /// Again every second, until the container ends
    #[arg(long)]
    watch: bool,
    /// Those that the sandbox's host processes make of the host, from now on
    #[arg(long, conflicts_with_all = ["threads", "watch"])]
    host: bool,
    /// How they are seen with --host
    #[arg(long, value_name = "HOW", default_value = "auto")]
    by: By,
    /// How long to count them with --host, unless the container ends or Ctrl-C comes before
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    duration: f64,
    /// Name of the container
    #[arg(value_name = "ID")]
    id: String,
}

/// Prints what was counted since the container was set up.
pub fn run(runtime: &Runtime, args: &Args) -> anyhow::Result<u8> {
    if args.host {
        return host(runtime, args);
    }
    let is_alive = || runtime.find_unlocked(&args.id).is_ok_and(|(_, status)| status.is_alive());
    let mut shown = false;
    loop {
        let statistics = match ask(runtime, &args.id, args.threads) {
            // It ended while it was asked.
            Err(_) if shown && !is_alive() => return Ok(0),
            asked => asked?,
        };
        shown = true;
        let text =
            if args.json { format!("{}\n", stats::json(&statistics)) } else { stats::table(&statistics, args.sort) };
        let clear = if args.watch && !args.json { "\x1b[H\x1b[2J" } else { "" };
        let mut out = std::io::stdout().lock();
        write!(out, "{clear}{text}")?;
        out.flush()?;
        if !args.watch {
            return Ok(0);
        }
        std::thread::sleep(PERIOD);
        if !is_alive() {
            return Ok(0);
        }
    }
}

/// Counts what the host's kernel is asked.
fn host(runtime: &Runtime, args: &Args) -> anyhow::Result<u8> {
    let duration = seconds("--duration", args.duration, 0.01)?;
    let (state, status) = runtime.find_unlocked(&args.id)?;
    ensure!(status.is_alive(), "container not running");
    ensure!(!state.in_pod, "the container is in its pod's sandbox: ask for that of the pod's first container");
    let processes = hostcalls::of_monitor(state.pid)?;
    ensure!(!processes.is_empty(), "container not running");
    let found = hostcalls::count(&processes, duration, args.by)?;
    let text = match args.json {
        true => format!("{}\n", hostcalls::json(&found)),
        false => hostcalls::table(&found, args.sort),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    if found.ended {
        report::line(&format!("the container ended after {:.1} s", found.time.as_secs_f64()));
    }
    Ok(0)
}

/// Asks a container.
pub fn ask(runtime: &Runtime, id: &str, threads: bool) -> anyhow::Result<Statistics> {
    match runtime.connect(id)?.ask(What::Statistics { container: 0, threads }, Vec::new())? {
        Outcome::Statistics(statistics) => Ok(statistics),
        Outcome::Failed { message, .. } => bail!(message),
        other => bail!("the container answers {other:?}"),
    }
}
