//! `ringwall do`: a program on this system's files, which stay as they are.

use crate::gofer::Export;
use crate::launch::{self, Launch};
use crate::{net, spec};
use linker::boot::BootFlags;
use std::ffi::OsString;
use std::path::Path;

#[derive(clap::Args)]
pub struct Args {
    /// vCPUs (default: the CPUs this process may use)
    #[arg(long, value_name = "N")]
    vcpus: Option<usize>,
    /// Memory of the sandbox, as in 512M or 2G (default: half of the host's)
    #[arg(long, value_name = "SIZE", value_parser = spec::parse_size)]
    memory: Option<u64>,
    /// What is beside loopback
    #[arg(long, value_name = "MODE", default_value = "none")]
    network: spec::Network,
    /// Show what the sentry does not support and, on a failure, registers
    #[arg(long)]
    debug: bool,
    /// Say at the end how many system calls were served inside and how often the host was needed
    #[arg(long)]
    stats: bool,
    /// Single system calls changed, as in '{"epoll_pwait2":{"action":"enosys"}}'
    #[arg(long, value_name = "JSON", value_parser = spec::parse_overrides)]
    syscalls: Option<spec::Overrides>,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Runs the program.
pub fn run(args: Args) -> anyhow::Result<u8> {
    let memory_bytes = args.memory.unwrap_or_else(spec::default_memory);
    let mut start = spec::host::build(args.command, memory_bytes)?;
    start.debug = args.debug;
    start.overrides = args.syscalls.unwrap_or_default().0;
    let taken = args.network.take_over(&net::name_servers(Path::new("/"), Path::new("/etc/resolv.conf")))?;
    start.network = taken.spec;
    let launch = Launch {
        spec: start,
        exports: vec![Export { path: "/".into(), writable: false }],
        cpus: args.vcpus.unwrap_or_else(spec::default_cpus),
        memory_bytes,
        flags: if args.stats { BootFlags::STATISTICS } else { BootFlags::empty() },
        files: taken.sockets,
        pod: false,
        background: None,
    };
    Ok(launch::run(launch)?)
}
