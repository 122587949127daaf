//! `trace`: the system calls of a running container, as they are made.

use super::Runtime;
use crate::cli::format_trace::{self, Form, FormArgs};
use crate::spec::SyscallList;
use anyhow::{Context, bail};
use linker::control::{Outcome, What};
use linker::spec::TraceFilter;
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::File;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    /// Of this process alone, by its number inside
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// These calls alone, as in openat,read
    #[arg(long, value_name = "LIST")]
    syscalls: Option<SyscallList>,
    /// Those that fail alone
    #[arg(long)]
    failed: bool,
    #[command(flatten)]
    form: FormArgs,
    /// Where to, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Name of the container
    #[arg(value_name = "ID")]
    id: String,
}

/// Prints calls until the container ends, or this command does.
pub fn run(runtime: &Runtime, args: &Args) -> anyhow::Result<u8> {
    let output: File = match &args.output {
        Some(path) => File::create(path).with_context(|| format!("--output {}", path.display()))?,
        None => rustix::io::dup(rustix::stdio::stdout())?.into(),
    };
    let mut connection = runtime.connect(&args.id)?;
    let (input, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    let numbers = args.syscalls.clone().map_or_else(Vec::new, |list| list.0);
    let filter = TraceFilter { numbers, pid: args.pid, failed: args.failed };
    match connection.ask(What::Trace { container: 0, filter, output: 0 }, vec![theirs])? {
        Outcome::Done => {}
        Outcome::Failed { message, .. } => bail!(message),
        other => bail!("the container answers {other:?}"),
    }
    format_trace::copy(input.into(), output, &Form::of(&args.form))?;
    Ok(0)
}
