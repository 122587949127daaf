//! `cargo xtask …`: builds, boots, tests and checks ringwall.
//!
//! One verb, one module. A verb that needs a Debian package or a kernel image asks [`setup`] for it,
//! so a fresh clone needs no step before the first useful command.

#![forbid(unsafe_code)]

mod bench;
mod build;
mod demo;
mod docs;
mod fuzz;
mod lint;
mod ltp;
mod process;
mod project;
mod setup;
mod tally;
mod test;
mod vm;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Exit code for failures of the tool itself, apart from those of the command it runs.
const TOOL_FAILED: u8 = 125;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, boots, tests and checks ringwall")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what the other verbs need (each of them does so for itself, too)
    Setup,
    /// Build target/release/ringwall, the ring-0 blob inside it
    Build(build::BuildArgs),
    /// Measure what things cost, natively, inside, and under other runtimes
    Bench(bench::BenchArgs),
    /// What runs the workloads of `bench` in the machine
    #[command(hide = true)]
    BenchDrive(bench::DriveArgs),
    /// Run a shell session, Python and nginx inside ringwall, and say what it took
    Demo,
    /// Make the pages of docs/ that are generated
    Docs,
    /// Make system calls at random inside a sandbox, and see that it bears them
    Fuzz(fuzz::FuzzArgs),
    /// Check format, warnings, machine code, fences and sizes
    Lint,
    /// Run the Linux Test Project's tests natively and inside, and say which differ
    Ltp(ltp::LtpArgs),
    /// What runs those tests, on either side
    #[command(hide = true)]
    LtpDrive(ltp::DriveArgs),
    /// Run all tests, or those of one part
    Test {
        /// Only this part
        part: Option<test::Part>,
        /// Only stages with this in their names
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
    },
    /// Run a command in the emulated reference machine, which has a /dev/kvm
    Vm(vm::VmArgs),
    /// What the emulated machine runs beside the command: holds a VM until it is killed
    #[command(hide = true)]
    HoldKvm,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().verb {
        Verb::Setup => setup::everything().map(|()| 0),
        Verb::Build(args) => build::run(args).map(|()| 0),
        Verb::Bench(args) => bench::run(&args).map(|()| 0),
        Verb::BenchDrive(args) => bench::drive(&args).map(|()| 0),
        Verb::Demo => demo::run(),
        Verb::Docs => docs::run().map(|()| 0),
        Verb::Fuzz(args) => fuzz::run(&args),
        Verb::Lint => lint::run().map(|tally| {
            println!("{tally}");
            tally.exit_code()
        }),
        Verb::Ltp(args) => ltp::run(&args),
        Verb::LtpDrive(args) => ltp::drive(&args),
        Verb::Test { part, only } => test::run(part, only.as_deref()),
        Verb::Vm(args) => vm::run(&args),
        Verb::HoldKvm => vm::hold::run(),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(TOOL_FAILED)
        }
    }
}
