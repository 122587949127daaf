//! Names of signals, sets of them, and wait statuses.

use linux_raw_sys::general;

/// A signal as kill(2) takes it.
pub(super) fn name(signal: i32) -> String {
    match short(signal) {
        Some(short) => format!("SIG{short}"),
        None => signal.to_string(),
    }
}

/// A set of signals; a set of most of them is shown by those that it lacks.
pub(super) fn set(mask: u64) -> String {
    // As strace: two thirds.
    let inverted = mask.count_ones() >= u64::BITS * 2 / 3;
    let mask = if inverted { !mask } else { mask };
    let members: Vec<String> = (1..=64).filter(|signal| mask >> (signal - 1) & 1 != 0).filter_map(short).collect();
    format!("{}[{}]", if inverted { "~" } else { "" }, members.join(" "))
}

/// A wait status, in the terms of wait(2)'s macros.
pub(super) fn wait_status(status: i32) -> String {
    match Status::of(status) {
        Status::Exited(code) => format!("{{WIFEXITED(s) && WEXITSTATUS(s) == {code}}}"),
        Status::Killed { signal, core } => {
            let core = if core { " && WCOREDUMP(s)" } else { "" };
            format!("{{WIFSIGNALED(s) && WTERMSIG(s) == {}{core}}}", name(signal))
        }
        Status::Stopped(signal) => format!("{{WIFSTOPPED(s) && WSTOPSIG(s) == {}}}", name(signal)),
        Status::Continued => "{WIFCONTINUED(s)}".to_owned(),
    }
}

/// What a wait status says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Status {
    /// It exited with that code.
    Exited(i32),
    /// A signal killed it.
    Killed { signal: i32, core: bool },
    /// A signal stopped it.
    Stopped(i32),
    /// It goes on.
    Continued,
}

impl Status {
    pub(super) fn of(status: i32) -> Self {
        if libc::WIFEXITED(status) {
            Self::Exited(libc::WEXITSTATUS(status))
        } else if libc::WIFSTOPPED(status) {
            Self::Stopped(libc::WSTOPSIG(status))
        } else if libc::WIFCONTINUED(status) {
            Self::Continued
        } else {
            Self::Killed { signal: libc::WTERMSIG(status), core: libc::WCOREDUMP(status) }
        }
    }
}

/// The name without "SIG".
fn short(signal: i32) -> Option<String> {
    let number = u32::try_from(signal).ok().filter(|number| (1..=general::_NSIG).contains(number))?;
    Some(match number.checked_sub(general::SIGRTMIN) {
        Some(0) => "RTMIN".to_owned(),
        Some(above) => format!("RT_{above}"),
        None => nix::sys::signal::Signal::try_from(signal).ok()?.as_str().strip_prefix("SIG")?.to_owned(),
    })
}
