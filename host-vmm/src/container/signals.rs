//! Signals: their names on a command line, those a process passes on, and ending by one.

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::process::DumpableBehavior;

/// Signals that a process which stands for a container, or for a program in one, passes on. Left out are those that nobody can
/// block, SIGCHLD, and those that tell of a fault of the process's own.
fn passed_on() -> impl Iterator<Item = Signal> {
    let own = [
        Signal::SIGKILL,
        Signal::SIGSTOP,
        Signal::SIGCHLD,
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGILL,
        Signal::SIGFPE,
        Signal::SIGTRAP,
        Signal::SIGABRT,
        Signal::SIGSYS,
        Signal::SIGPIPE,
    ];
    Signal::iterator().filter(move |signal| !own.contains(signal))
}

/// Blocks the signals that are passed on, and SIGCHLD, and makes a descriptor to read them from.
pub fn take() -> Result<SignalFd, nix::Error> {
    let mut set = SigSet::empty();
    passed_on().chain([Signal::SIGCHLD]).for_each(|signal| set.add(signal));
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// Ends this process as a program ended whose status, as wait(2) gives it, is this.
pub fn end_like(status: u32) -> ! {
    let signal = (status & 0x7f) as i32;
    if signal == 0 {
        crate::process::exit_now((status >> 8) as u8);
    }
    // The container's fault is no reason for a core of the runtime's.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Ok(signal) = Signal::try_from(signal) {
        let set = SigSet::from(signal);
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        set_action(signal, &default);
        let _ = nix::sys::signal::raise(signal);
        let _ = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None);
    }
    // A real-time signal, or one that ends nobody here.
    crate::process::exit_now(u8::try_from(128 + signal).unwrap_or(u8::MAX))
}

fn set_action(signal: Signal, action: &SigAction) {
    if signal != Signal::SIGKILL {
        crate::process::set_signal_action(signal, action);
    }
}

/// Reads a signal from a command line: a number, or a name with or without SIG.
pub fn parse(text: &str) -> Option<u8> {
    /// The C library keeps two real-time signals for itself.
    const FIRST_REAL_TIME: i32 = 34;
    const LAST: i32 = 64;
    if let Ok(number) = text.parse::<u8>() {
        return (1..=LAST as u8).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Ok(signal) = format!("SIG{name}").parse::<Signal>() {
        return Some(signal as u8);
    }
    let (base, rest) = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => (FIRST_REAL_TIME, rest),
        (_, Some(rest)) => (LAST, rest),
        _ => return if name == "CLD" { Some(Signal::SIGCHLD as u8) } else { None },
    };
    let offset = if rest.is_empty() { 0 } else { rest.parse::<i8>().ok()? };
    let number = base + i32::from(offset);
    (FIRST_REAL_TIME..=LAST).contains(&number).then_some(number as u8)
}

/// Whether a signal ends a process that does nothing about it.
pub fn is_fatal(signal: u8) -> bool {
    let harmless = [
        Signal::SIGCHLD,
        Signal::SIGCONT,
        Signal::SIGSTOP,
        Signal::SIGTSTP,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
        Signal::SIGURG,
        Signal::SIGWINCH,
    ];
    !harmless.iter().any(|known| *known as u8 == signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        assert_eq!(parse("TERM"), Some(15));
        assert_eq!(parse("SIGKILL"), Some(9));
        assert_eq!(parse("sigusr1"), Some(10));
        assert_eq!(parse("37"), Some(37));
        assert_eq!(parse("RTMIN+3"), Some(37));
        assert_eq!(parse("SIGRTMAX-1"), Some(63));
        for wrong in ["0", "65", "", "WHAT", "RTMIN+99", "-9", "RTMAX+1"] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }
}
