//! `ringwall run`: an OCI bundle, in the foreground.

use crate::launch::{self, Launch};
use crate::spec;
use anyhow::ensure;
use linker::boot::BootFlags;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    /// The bundle: the directory of config.json
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// vCPUs (default: the CPUs this process may use)
    #[arg(long, value_name = "N")]
    vcpus: Option<usize>,
    /// What is beside loopback
    #[arg(long, value_name = "MODE", default_value = "none")]
    network: spec::Network,
    /// Show what the sentry does not support and, on a failure, registers
    #[arg(long)]
    debug: bool,
    /// Single system calls changed, as in '{"epoll_pwait2":{"action":"enosys"}}'
    #[arg(long, value_name = "JSON", value_parser = spec::parse_overrides)]
    syscalls: Option<spec::Overrides>,
    /// Name of the container
    #[arg(value_name = "ID")]
    id: String,
}

/// Runs the bundle.
pub fn run(args: Args) -> anyhow::Result<u8> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    let name = &args.id;
    ensure!(!name.is_empty() && name.chars().all(allowed), "container name {name:?}: letters, digits and _ + - . only");
    let mut bundle = spec::oci::load(&args.bundle)?;
    if bundle.spec.terminal {
        let both = rustix::termios::isatty(rustix::stdio::stdin()) && rustix::termios::isatty(rustix::stdio::stdout());
        ensure!(both, "config.json: process.terminal: standard input and output are no terminal");
    }
    let memory_bytes = bundle.memory_bytes.unwrap_or_else(spec::default_memory);
    bundle.spec.memory_bytes = memory_bytes;
    bundle.spec.debug = args.debug;
    bundle.spec.overrides = args.syscalls.unwrap_or_default().0;
    let taken = args.network.take_over()?;
    bundle.spec.network = taken.spec;
    let launch = Launch {
        spec: bundle.spec,
        exports: bundle.exports,
        cpus: args.vcpus.unwrap_or_else(spec::default_cpus),
        memory_bytes,
        flags: BootFlags::empty(),
        sockets: taken.sockets,
    };
    Ok(launch::run(launch)?)
}
