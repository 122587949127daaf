//! Job control: who may read from a terminal and change it.

use super::session;
use super::terminal::Terminal;
use crate::errno::Errno;
use crate::signal::{SigAction, SigInfo, Signal, send_to_group};
use crate::syscall::Fail;
use crate::task::{Current, registry};
use alloc::sync::Arc;

/// Before a read: a background process is stopped, or gets EIO where it cannot be.
pub(super) fn check_read(current: &Current, terminal: &Arc<Terminal>) -> Result<(), Fail> {
    check_change(current, terminal, Signal::SIGTTIN)
}

/// Before a change (and, with TOSTOP, a write) by a background process of the terminal's session.
pub(super) fn check_change(current: &Current, terminal: &Arc<Terminal>, signal: Signal) -> Result<(), Fail> {
    if !session::controls(terminal, current) {
        return Ok(());
    }
    let group = current.process.group();
    let foreground = terminal.lock().foreground;
    if foreground.is_none_or(|foreground| foreground == group) {
        return Ok(());
    }
    let ignored = current.task.signals.mask().contains(signal)
        || current.process.signals.action(signal).handler == SigAction::IGNORE;
    if ignored {
        // Who ignores SIGTTOU may write; nothing allows to read.
        return if signal == Signal::SIGTTIN { Err(Errno::EIO.into()) } else { Ok(()) };
    }
    if registry().lock().is_orphaned(group, None) {
        return Err(Errno::EIO.into());
    }
    let _ = send_to_group(group, SigInfo::kernel(signal));
    Err(Fail::Restart)
}
