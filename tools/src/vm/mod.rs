//! `cargo xtask vm`: one command in an emulated machine that has a `/dev/kvm`.
//!
//! [`image`] makes kernel and initramfs, [`qemu`] boots the reference (AMD) machine, [`relay`] joins its ports to our
//! own stdin, stdout and stderr; [`bochs`] boots the Intel one with what [`pack`] collects. `guest/` holds what runs
//! inside.

mod bochs;
mod command;
mod cpio;
pub mod hold;
pub mod image;
mod pack;
mod qemu;
mod relay;
mod session;

use anyhow::{Result, bail};
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;

/// What machine to boot and what to run in it.
#[derive(Args, Debug)]
pub struct VmArgs {
    /// How many CPUs the machine has
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub cpus: u32,
    /// How much memory the machine has, as QEMU writes it
    #[arg(long, default_value = "4G", value_name = "SIZE")]
    pub mem: String,
    /// One instruction is one nanosecond of guest time: rdtsc counts instructions (one CPU)
    #[arg(long)]
    pub icount: bool,
    /// End the machine after this many seconds, with exit code 124
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// The emulated Intel machine; as --packed, and with an empty stdin
    #[arg(long)]
    pub intel: bool,
    /// Load what Docker needs of the kernel, and keep temporary files where its overlays can lie
    #[arg(long)]
    pub docker: bool,
    /// Instead of the host's files, only CMD and what it needs, in memory: no I/O disturbs what is counted
    #[arg(long)]
    pub packed: bool,
    /// One more file, directory or program to pack
    #[arg(long, value_name = "PATH")]
    pub with: Vec<PathBuf>,
    /// The CPUs take turns on one thread: slower, and without what QEMU does wrong when they run at once (docs/testing.md)
    #[arg(long)]
    pub one_thread: bool,
    /// The processor does not claim fast string instructions, which QEMU executes byte by byte, so that Linux and C libraries leave them alone (docs/testing.md)
    #[arg(long)]
    pub no_erms: bool,
    /// Listen here for orders to QEMU's monitor, to look into a machine that hangs (`socat - UNIX:PATH`, then `info registers -a`)
    #[arg(long, value_name = "PATH")]
    pub monitor: Option<PathBuf>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// Exit code of a machine that was ended by `--timeout`, as timeout(1) has it.
const TIMED_OUT: u8 = 124;

/// Runs the command and returns its exit code.
pub fn run(args: &VmArgs) -> Result<u8> {
    if !args.with.is_empty() && !args.intel && !args.packed {
        bail!("--with belongs to --intel or --packed: the machine has all of the host's files");
    }
    if args.docker && (args.intel || args.packed) {
        bail!("--docker needs the host's files; leave out --intel and --packed");
    }
    if args.monitor.is_some() && args.intel {
        bail!("--monitor is QEMU's; leave out --intel");
    }
    if args.no_erms && args.intel {
        bail!("--no-erms is for QEMU's machine; leave out --intel");
    }
    if args.intel { bochs::run(args) } else { qemu::run(args) }
}
