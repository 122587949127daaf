//! `run`: create, start, wait, delete.

use super::{Runtime, create, delete, start};
use crate::cli::format_trace;
use crate::container::signals;
use crate::container::state::Directory;
use crate::idle::{self, Quiet};
use crate::parent::RawTerminal;
use crate::spec;
use anyhow::Context;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, WaitId, WaitIdOptions};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    create: create::Args,
    /// Return as soon as it runs
    #[arg(long, short)]
    detach: bool,
    /// Do not delete the container when it has ended
    #[arg(long)]
    keep: bool,
    /// vCPUs (default: the CPUs the container may use)
    #[arg(long, value_name = "N")]
    vcpus: Option<usize>,
    /// What the container has beside loopback
    #[arg(long, value_name = "MODE")]
    network: Option<spec::Network>,
    /// Show what the sentry does not support and, on a failure, registers
    #[arg(long)]
    debug: bool,
    /// Single system calls changed, as in '{"epoll_pwait2":{"action":"enosys"}}', or @FILE with that
    #[arg(long, value_name = "JSON")]
    syscalls: Option<spec::Overrides>,
}

/// Runs the bundle.
pub fn run(runtime: &Runtime, args: &Args) -> anyhow::Result<u8> {
    let runtime = Runtime {
        root: runtime.root.clone(),
        debug: runtime.debug || args.debug,
        network: args.network.unwrap_or(runtime.network),
        vcpus: args.vcpus.or(runtime.vcpus),
        overrides: args.syscalls.clone().unwrap_or_else(|| runtime.overrides.clone()),
        ..runtime.clone()
    };
    foreground(&runtime, args).context("ringwall run failed")
}

fn foreground(runtime: &Runtime, args: &Args) -> anyhow::Result<u8> {
    let own_terminal = !args.detach && args.create.console_socket.is_none() && is_terminal();
    // Before anything is forked, so that none is lost.
    let signals = signals::take()?;
    let mut state = create::set_up(runtime, &args.create, own_terminal, "run")?;
    let terminal = state.process.as_ref().and_then(|process| process.terminal()).unwrap_or(false);
    let raw = if own_terminal && terminal { RawTerminal::enter().ok() } else { None };
    let directory = Directory::open(&runtime.root, &args.create.id)?;
    if let Err(error) = start::go(&directory, &mut state) {
        drop(directory);
        delete::force(runtime, &args.create.id)?;
        return Err(error);
    }
    if args.detach {
        return Ok(0);
    }
    drop(directory);
    // While it runs: at its end, when the cgroup is removed, everybody would wait for them.
    state.cgroup.release_kernel_threads();
    let status = wait(&signals, state.pid);
    drop(raw);
    if !args.keep {
        let directory = Directory::open(&runtime.root, &args.create.id)?;
        delete::remove(directory, &state)?;
        format_trace::finish();
    }
    signals::end_like(status)
}

fn is_terminal() -> bool {
    rustix::termios::isatty(rustix::stdio::stdin()) && rustix::termios::isatty(rustix::stdio::stdout())
}

/// Passes signals on until the monitor ends; returns its status.
fn wait(signals: &SignalFd, monitor: i32) -> u32 {
    const KILLED: u32 = 9;
    let Some(pid) = Pid::from_raw(monitor) else { return KILLED };
    idle::learn();
    let mut quiet = Quiet::default();
    loop {
        let events = rustix::event::poll(&mut [PollFd::new(signals, PollFlags::IN)], quiet.timeout().as_ref());
        quiet.waited(events.unwrap_or(1));
        while let Ok(Some(info)) = signals.read_signal() {
            if info.ssi_signo as i32 != Signal::SIGCHLD as i32
                && let Some(signal) = rustix::process::Signal::from_named_raw(info.ssi_signo as i32)
            {
                let _ = rustix::process::kill_process(pid, signal);
            }
        }
        match rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Ok(Some(status)) => {
                let signal = status.terminating_signal().unwrap_or(0) as u32;
                return status.exit_status().map_or(signal, |code| (code as u32) << 8);
            }
            Err(_) => return KILLED,
        }
    }
}
