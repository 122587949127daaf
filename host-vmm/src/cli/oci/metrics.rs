//! `metrics`: the system calls of containers, for a scraper.

use super::Runtime;
use super::stats::ask;
use crate::container::state;
use crate::container::status::Status;
use crate::report;
use crate::stats;
use linker::statistics::Statistics;
use std::io::Write;

#[derive(clap::Args)]
pub struct Args {
    /// Names of containers (default: all that run)
    #[arg(value_name = "ID")]
    ids: Vec<String>,
}

/// Prints OpenMetrics text.
pub fn run(runtime: &Runtime, args: &Args) -> anyhow::Result<u8> {
    let found = if args.ids.is_empty() { running(runtime)? } else { named(runtime, &args.ids)? };
    std::io::stdout().lock().write_all(stats::metrics(&found).as_bytes())?;
    Ok(0)
}

fn named(runtime: &Runtime, ids: &[String]) -> anyhow::Result<Vec<(String, Statistics)>> {
    ids.iter().map(|id| Ok((id.clone(), ask(runtime, id, false)?))).collect()
}

/// All that run and answer. One that ends meanwhile is no reason to hear nothing of the others.
pub fn running(runtime: &Runtime) -> anyhow::Result<Vec<(String, Statistics)>> {
    let mut found = Vec::new();
    for id in state::all(&runtime.root)? {
        if !runtime.find_unlocked(&id).is_ok_and(|(_, status)| matches!(status, Status::Running | Status::Created)) {
            continue;
        }
        match ask(runtime, &id, false) {
            Ok(statistics) => found.push((id, statistics)),
            Err(error) => report::line(&format!("{id}: {error:#}")),
        }
    }
    Ok(found)
}
