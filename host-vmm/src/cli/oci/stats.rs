//! `stats`: the system calls of a running container.

use super::Runtime;
use crate::stats::{self, Sort};
use anyhow::bail;
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
    /// Name of the container
    #[arg(value_name = "ID")]
    id: String,
}

/// Prints what was counted since the container was set up.
pub fn run(runtime: &Runtime, args: &Args) -> anyhow::Result<u8> {
    loop {
        let statistics = ask(runtime, &args.id, args.threads)?;
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
        if !runtime.find_unlocked(&args.id).is_ok_and(|(_, status)| status.is_alive()) {
            return Ok(0);
        }
    }
}

/// Asks a container.
pub fn ask(runtime: &Runtime, id: &str, threads: bool) -> anyhow::Result<Statistics> {
    match runtime.connect(id)?.ask(What::Statistics { container: 0, threads }, Vec::new())? {
        Outcome::Statistics(statistics) => Ok(statistics),
        Outcome::Failed { message, .. } => bail!(message),
        other => bail!("the container answers {other:?}"),
    }
}
