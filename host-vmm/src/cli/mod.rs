//! The command line: one file a verb.

mod do_;
mod run;
mod seccomp;
mod syscalls;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "ringwall", version, about = "Runs Linux programs in a KVM virtual machine that has no Linux in it")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a program on this system's files, which it sees but cannot change
    Do(do_::Args),
    /// Run an OCI bundle in the foreground
    Run(run::Args),
    /// List the system calls that are served inside
    Syscalls(syscalls::Args),
    /// Show what the pinned processes may ask of the host
    Seccomp(seccomp::Args),
}

/// Runs the command line. Returns the exit code.
pub fn run() -> anyhow::Result<u8> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return Ok(if error.use_stderr() { crate::report::FAILURE } else { 0 });
        }
    };
    match cli.verb {
        Verb::Do(args) => do_::run(args),
        Verb::Run(args) => run::run(args),
        Verb::Syscalls(args) => syscalls::run(&args),
        Verb::Seccomp(args) => seccomp::run(&args),
    }
}
