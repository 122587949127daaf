//! `ps`.

use super::Runtime;
use super::list::Format;
use crate::container::client::Connection;
use crate::container::process_table;
use crate::container::status::Status;
use anyhow::{Context, bail};
use linker::control::{Outcome, What};
use std::io::Write;
use std::process::Command;

#[derive(clap::Args)]
pub struct Args {
    /// How
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Name of the container
    #[arg(value_name = "ID")]
    id: String,
    /// Options of ps(1) (default: -ef)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    options: Vec<String>,
}

/// Shows the processes inside by host pids: those of stand-ins with their command lines (see `process_table`).
pub fn run(runtime: &Runtime, args: &Args) -> anyhow::Result<u8> {
    let found = runtime.find(&args.id)?;
    if !found.status.is_alive() {
        bail!("container not running");
    }
    let pids = match found.status {
        // What does not run cannot be asked; its host processes are there.
        Status::Paused => found.state.cgroup.processes(),
        _ => match Connection::open(&found.directory)?.ask(What::Processes { container: 0 }, Vec::new())? {
            Outcome::Processes(processes) => process_table::show(&found.state, &processes)?,
            Outcome::Failed { message, .. } => bail!(message),
            other => bail!("the container answers {other:?}"),
        },
    };
    let mut out = std::io::stdout().lock();
    if let Format::Json = args.format {
        write!(out, "{}", serde_json::to_string(&pids)?)?;
        return Ok(0);
    }
    let options: Vec<String> = if args.options.is_empty() { vec!["-ef".into()] } else { args.options.clone() };
    let printed = Command::new("ps").args(&options).output().context("ps")?;
    if !printed.status.success() {
        bail!("ps: {}", String::from_utf8_lossy(&printed.stderr).trim());
    }
    let text = String::from_utf8_lossy(&printed.stdout);
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    let column = head.split_whitespace().position(|name| name == "PID").context("ps: no PID column")?;
    writeln!(out, "{head}")?;
    for line in lines {
        let pid: Option<i32> = line.split_whitespace().nth(column).and_then(|pid| pid.parse().ok());
        if pid.is_some_and(|pid| pids.contains(&pid)) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(0)
}
