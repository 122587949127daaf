//! `ringwall seccomp list`: the names that the filters let through.

use crate::pin::{gofer_rows, host_rows, monitor_rows, sandbox_rows};
use clap::{Subcommand, ValueEnum};
use std::collections::BTreeSet;
use std::io::Write;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// One name a line
    List {
        /// Which process
        #[arg(default_value = "sandbox")]
        process: Process,
        /// What each is for, and for which arguments, beside the name
        #[arg(long)]
        why: bool,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Process {
    Sandbox,
    /// The sandbox process with --network=host
    SandboxHost,
    Gofer,
    Monitor,
}

/// Prints the list.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let Action::List { process, why } = &args.action;
    let rows = match process {
        Process::Sandbox => sandbox_rows::ROWS.to_vec(),
        Process::SandboxHost => [sandbox_rows::ROWS, host_rows::ROWS].concat(),
        Process::Gofer => gofer_rows::ROWS.to_vec(),
        Process::Monitor => monitor_rows::ROWS.to_vec(),
    };
    let mut out = std::io::stdout().lock();
    if *why {
        for row in &rows {
            writeln!(out, "{:<16} {}", row.call.name(), row.why)?;
        }
        return Ok(0);
    }
    let names: BTreeSet<&str> = rows.iter().map(|row| row.call.name()).collect();
    for name in names {
        writeln!(out, "{name}")?;
    }
    Ok(0)
}
