//! The command line: one file a verb.

mod do_;
mod doctor;
pub mod format_trace;
mod generated;
mod install;
mod lat;
mod oci;
mod seccomp;
mod syscalls;

use clap::{Parser, Subcommand, error::ErrorKind};

#[derive(Parser)]
#[command(name = "ringwall", version, about = "Runs Linux programs in a KVM virtual machine that has no Linux in it")]
struct Cli {
    #[command(flatten)]
    global: oci::Global,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    #[command(flatten)]
    Oci(Box<oci::Verb>),
    /// Run a program on this system's files, which it sees but cannot change
    Do(do_::Args),
    /// Say whether this machine's KVM is sound, of which kind it is, and what things cost here
    Doctor,
    /// Enter ringwall as a runtime into Docker's configuration
    Install(install::InstallArgs),
    /// Take it out again
    Uninstall(install::Args),
    /// Print completions for a shell
    Completion(generated::CompletionArgs),
    /// Print the manual page
    Manual,
    /// List the system calls that are served inside
    Syscalls(syscalls::Args),
    /// Show what the pinned processes may ask of the host
    Seccomp(seccomp::Args),
    /// Measure what system calls cost here, natively and inside
    Lat(lat::Args),
    /// What measures, on either side
    #[command(hide = true)]
    LatMeasure(lat::MeasureArgs),
    /// Format the records of a sandbox that was started with --strace
    #[command(hide = true)]
    FormatTrace(format_trace::FormArgs),
}

/// Runs the command line. Returns the exit code.
pub fn run() -> anyhow::Result<u8> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            if error.use_stderr() && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
                let text = error.render().to_string();
                let mut lines = text.lines();
                let first = lines.next().unwrap_or_default().trim_start_matches("error: ");
                // What is missing stands in the lines below.
                let rest = if first.ends_with(':') { lines.next().unwrap_or_default().trim() } else { "" };
                anyhow::bail!("{} (see ringwall --help)", format!("{first} {rest}").trim_end());
            }
            let _ = error.print();
            return Ok(if error.use_stderr() { crate::report::FAILURE } else { 0 });
        }
    };
    match cli.verb {
        Verb::Do(args) => do_::run(args),
        Verb::Doctor => doctor::run(),
        Verb::Completion(args) => generated::completion(&args),
        Verb::Manual => generated::manual(),
        Verb::Install(args) => install::install(&args),
        Verb::Uninstall(args) => install::uninstall(&args),
        Verb::Oci(verb) => Ok(run_oci(&cli.global, *verb)),
        Verb::Syscalls(args) => syscalls::run(&args),
        Verb::Seccomp(args) => seccomp::run(&args),
        Verb::Lat(args) => lat::run(&args),
        Verb::LatMeasure(args) => lat::measure(&args),
        Verb::FormatTrace(args) => format_trace::run(&args),
    }
}

/// The number behind `--preserve-fds`, which has to be known before anything is opened, and so before the command line is read.
pub fn preserved() -> u32 {
    let mut args = std::env::args_os().skip(1);
    while let Some(arg) = args.next() {
        let Some(rest) = arg.to_str().and_then(|arg| arg.strip_prefix("--preserve-fds")) else { continue };
        let count = match rest.strip_prefix('=') {
            Some(count) => count.parse().ok(),
            None => args.next().and_then(|count| count.to_str()?.parse().ok()),
        };
        return count.unwrap_or(0);
    }
    0
}

/// Runs a verb of an OCI runtime, with runc's exit codes, and errors where runc has them.
fn run_oci(global: &oci::Global, verb: oci::Verb) -> u8 {
    let failure = if verb.name() == "exec" { 255 } else { 1 };
    match global.check().and_then(|runtime| verb.run(&runtime)) {
        Ok(code) => code,
        Err(error) => {
            global.say(&format!("{error:#}"));
            failure
        }
    }
}
