//! `create`.

use super::Runtime;
use super::global::FileAccess;
use crate::cli::format_trace;
use crate::container::create::{self, Options};
use crate::container::state::State;
use crate::spec::oci::{self, Bundle};
use crate::spec::seccomp;
use crate::{notice, process, report};
use anyhow::{Context, ensure};
use linker::spec::{MountKind, TraceFilter};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The first descriptor that is no standard stream.
const FIRST_PRESERVED: u32 = 3;
/// As many as go along with a command, beside the standard streams.
pub const MAX_PRESERVED: usize = notice::MAX_FILES - FIRST_PRESERVED as usize;

#[derive(clap::Args)]
#[group(id = "create")]
pub struct Args {
    /// The bundle: the directory of config.json
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    pub bundle: PathBuf,
    /// Where the pid of the process that stands for the container is written
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Unix socket that gets the master of the container's terminal
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// Descriptors beside the standard streams that the program gets, from 3 on
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub preserve_fds: u32,
    /// No effect: there is no root of the host's to pivot from
    #[arg(long)]
    pub no_pivot: bool,
    /// No effect: there is no keyring of the host's to join
    #[arg(long)]
    pub no_new_keyring: bool,
    /// Name of the container
    #[arg(value_name = "ID")]
    pub id: String,
}

/// Creates the container.
pub fn run(runtime: &Runtime, args: &Args) -> anyhow::Result<u8> {
    set_up(runtime, args, false, "create").context("ringwall create failed")?;
    Ok(0)
}

/// For `create` and `run`. `own_terminal`: a terminal is the caller's, not one that goes to a socket.
pub fn set_up(runtime: &Runtime, args: &Args, own_terminal: bool, verb: &str) -> anyhow::Result<State> {
    crate::container::state::check_id(&args.id)?;
    let descriptors = preserved(args.preserve_fds)?;
    let directory = absolute(&args.bundle)?;
    let mut bundle = oci::load(&directory)?;
    adjust(runtime, &mut bundle)?;
    let options = Options {
        root: &runtime.root,
        id: &args.id,
        bundle: &directory,
        pid_file: args.pid_file.as_deref(),
        console_socket: args.console_socket.as_deref(),
        own_terminal,
        network: runtime.network,
        descriptors,
        vcpus: runtime.vcpus,
        systemd: runtime.systemd,
        log: runtime.debug_log(verb, &args.id)?,
        strace: strace(runtime, verb, &args.id)?,
    };
    Ok(create::create(options, bundle)?)
}

/// `--strace`: which calls, and where to.
fn strace(runtime: &Runtime, verb: &str, id: &str) -> anyhow::Result<Option<(TraceFilter, OwnedFd)>> {
    let (Some(filter), Some(log)) = (&runtime.strace, runtime.strace_log(verb, id)?) else { return Ok(None) };
    Ok(Some((filter.clone(), format_trace::start(log.try_clone()?)?)))
}

/// `--preserve-fds`: what the caller left open from 3 on.
pub fn preserved(count: u32) -> anyhow::Result<Vec<OwnedFd>> {
    ensure!(count as usize <= MAX_PRESERVED, "--preserve-fds {count}: {MAX_PRESERVED} at most");
    let missing =
        |number: u32| format!("unable to stat preserved-fd {} (of {count}): not open", number - FIRST_PRESERVED);
    let taken = (FIRST_PRESERVED..).take(count as usize);
    taken.map(|number| process::inherited(number).with_context(|| missing(number))).collect()
}

/// The bundle's path as it was named, but absolute and without detours that a link could lead astray.
fn absolute(bundle: &Path) -> anyhow::Result<PathBuf> {
    std::fs::canonicalize(bundle).with_context(|| format!("--bundle {}", bundle.display()))
}

/// What the command line says beside the bundle.
fn adjust(runtime: &Runtime, bundle: &mut Bundle) -> anyhow::Result<()> {
    bundle.spec.debug = runtime.debug;
    bundle.spec.statistics = runtime.statistics;
    let profile = bundle.config.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    if let (true, Some(profile)) = (runtime.oci_seccomp, profile) {
        let compiled = seccomp::compile(&runtime.root, profile)?;
        compiled.warnings.iter().for_each(|warning| report::line(&format!("warning: {warning}")));
        bundle.spec.seccomp = Some(compiled.spec);
    }
    bundle.spec.overrides = runtime.overrides.clone().check(runtime.strict).map_err(anyhow::Error::msg)?;
    if let Some(root) = bundle.spec.mounts.first_mut()
        && let MountKind::Host { exclusive, overlay, .. } = &mut root.kind
    {
        *overlay = runtime.overlay;
        *exclusive = runtime.file_access == FileAccess::Exclusive;
    }
    if let (true, Some(export)) = (runtime.overlay, bundle.exports.first_mut()) {
        export.writable = false;
    }
    Ok(())
}
