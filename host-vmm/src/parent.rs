//! The parent: the process the caller started. It forwards signals to the sandbox, minds the terminal, and ends as the
//! program inside ends.

use crate::idle::Quiet;
use crate::notice::Notice;
use crate::report;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions};
use rustix::termios::{OptionalActions, Termios};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Instant;

/// Signals that are passed on to the container's first process.
const FORWARDED: [Signal; 9] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGCONT,
    Signal::SIGWINCH,
];

/// Blocks the forwarded signals and SIGCHLD, before anything is forked: none is lost, and in the children, which inherit the
/// mask, a Ctrl-C meant for the program inside ends nothing. What the caller has us ignore (nohup) stays ignored.
pub fn block_signals() -> Result<SignalFd, nix::Error> {
    let mut set = SigSet::empty();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = ignored_signals(&status);
    let wanted = FORWARDED.into_iter().filter(|signal| ignored >> (*signal as u32 - 1) & 1 == 0);
    wanted.chain([Signal::SIGCHLD]).for_each(|signal| set.add(signal));
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// The set of ignored signals, of proc_pid_status(5): to a blocked signal Linux does not apply that it is ignored.
fn ignored_signals(status: &str) -> u64 {
    let field = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    field.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0)
}

/// A terminal in raw mode; dropping it puts it back.
#[derive(Debug)]
pub struct RawTerminal(Termios);

impl RawTerminal {
    /// Puts standard input's terminal into raw mode.
    pub fn enter() -> Result<Self, Errno> {
        let before = rustix::termios::tcgetattr(rustix::stdio::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &self.0);
    }
}

/// A child of the parent.
#[derive(Debug)]
pub struct Child {
    /// Its process.
    pub pid: Pid,
    /// Its name in messages.
    pub name: &'static str,
    /// The parent's end of its control socket.
    pub control: OwnedFd,
    /// The network namespace it is in, to be kept until it has ended (see `pin::empty_network`).
    pub _network: Option<OwnedFd>,
}

/// Somebody who looks at the sandbox while the parent waits for its end, and reads what it says on its control socket.
pub trait Watcher {
    /// What wakes it.
    fn descriptors<'a>(&'a self, sandbox: &'a Child) -> Vec<BorrowedFd<'a>>;
    /// When it is to be woken at the latest.
    fn next(&self) -> Option<Instant>;
    /// It is woken; and once more when the sandbox has ended.
    fn look(&mut self, sandbox: &Child);
}

/// Waits until the sandbox process ends and returns the exit code for the caller.
pub fn mind(signals: SignalFd, sandbox: &Child, gofer: Option<&Child>, mut watcher: Option<&mut dyn Watcher>) -> u8 {
    let mut gofer_ended = gofer.is_none();
    let mut quiet = Quiet::default();
    loop {
        match wait(&signals, sandbox, watcher.as_deref(), &quiet) {
            Ok(events) => quiet.waited(events),
            Err(Errno::INTR) => {}
            Err(errno) => {
                report::line(&format!("waiting for the sandbox: {errno}"));
                return report::FAILURE;
            }
        }
        if let Some(watcher) = &mut watcher {
            watcher.look(sandbox);
        }
        while let Ok(Some(info)) = signals.read_signal() {
            match Signal::try_from(info.ssi_signo as i32) {
                Ok(Signal::SIGCHLD) | Err(_) => {}
                // A sandbox that is gone needs no notices.
                Ok(Signal::SIGWINCH) => drop(Notice::Window.send(&sandbox.control)),
                Ok(signal) => drop(Notice::Signal(signal as u8).send(&sandbox.control)),
            }
        }
        if let (Some(child), false) = (gofer, gofer_ended)
            && let Some(code) = ended(child)
        {
            gofer_ended = true;
            if code == report::FAILURE {
                tell_violation(child);
            }
        }
        if let Some(code) = ended(sandbox) {
            if let Some(watcher) = &mut watcher {
                watcher.look(sandbox);
            }
            tell_violation(sandbox);
            // Nothing of a sandbox is left when its parent ends.
            if let (Some(gofer), false) = (gofer, gofer_ended) {
                let _ = rustix::process::kill_process(gofer.pid, rustix::process::Signal::KILL);
                let _ = rustix::process::waitid(WaitId::Pid(gofer.pid), WaitIdOptions::EXITED);
            }
            return code;
        }
    }
}

/// Sleeps until there is a signal (the end of a child is one), or something for the watcher.
fn wait(signals: &SignalFd, sandbox: &Child, watcher: Option<&dyn Watcher>, quiet: &Quiet) -> Result<usize, Errno> {
    let mut polled = vec![PollFd::new(signals, PollFlags::IN)];
    let mut timeout = quiet.timeout();
    if let Some(watcher) = watcher {
        let more = watcher.descriptors(sandbox).into_iter();
        polled.extend(more.map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN)));
        let left = watcher.next().map(|next| next.saturating_duration_since(Instant::now()));
        timeout = left.and_then(|left| Timespec::try_from(left).ok()).or(timeout);
    }
    rustix::event::poll(&mut polled, timeout.as_ref())
}

/// The exit code of a child that has ended.
pub fn ended(child: &Child) -> Option<u8> {
    match rustix::process::waitid(WaitId::Pid(child.pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
        Ok(None) | Err(Errno::INTR) => None,
        Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Some(code as u8),
            (None, signal) => {
                report::line(&format!("the {} was killed by signal {}", child.name, signal.unwrap_or_default()));
                Some(report::FAILURE)
            }
        },
        Err(_) => Some(report::FAILURE),
    }
}

/// Names the system call that a child was ended for, if it was.
pub fn tell_violation(child: &Child) {
    while let Ok(Some(notice)) = Notice::receive(&child.control) {
        if let Notice::Violation(number) = notice {
            say_violation(child, number);
        }
    }
}

/// Names a system call that a child was ended for.
pub fn say_violation(child: &Child, number: u16) {
    let name = syscalls::Sysno::new(number.into()).map_or("unknown", |call| call.name());
    report::line(&format!("the {} made system call {name} ({number}), which its filter refuses", child.name));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status() {
        let set = ignored_signals("SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000440\n");
        assert_eq!(set, 1 << (Signal::SIGHUP as u32 - 1) | 1 << (Signal::SIGPIPE as u32 - 1));
        assert_eq!(ignored_signals(""), 0);
    }
}
