//! The thread that listens to the host and hands on what it hears.

use super::{commands, is_managed};
use crate::errno::Errno;
use crate::fs::heard;
use crate::platform::platform;
use crate::signal::{SigInfo, Signal, send_from_host};
use crate::task::{INIT, registry};
use crate::tty;
use alloc::boxed::Box;
use alloc::vec::Vec;
use linker::request::{Op, Request, event};

/// Starts the thread.
pub fn start_events() -> Result<(), Errno> {
    platform().spawn(false, Box::new(listen))?;
    Ok(())
}

fn listen() {
    loop {
        let request = Request { op: Op::NextEvent as u16, ..Request::default() };
        let Ok(event) = platform().host_call(request, &[], &mut []) else {
            platform().log("the host sends no events any more");
            return;
        };
        heard();
        handle(event & 0xff, event >> 8);
    }
}

/// Does what an event asks for.
pub(super) fn handle(kind: u64, value: u64) {
    match kind {
        event::SIGNAL => signal_from_host(value),
        event::WINDOW => {
            if let Some(terminal) = tty::console() {
                tty::update_window(&terminal);
            }
        }
        event::GOFER_GONE => platform().log("the gofer is gone: files of the host cannot be reached any more"),
        event::COMMAND => commands::take(value),
        _ => {}
    }
}

/// A signal to the container: to its first process. Where that is a program without a terminal of its own that somebody runs
/// in the foreground, what the host's terminal sends goes to its group, as it does without a sandbox.
fn signal_from_host(number: u64) {
    let Some(signal) = u32::try_from(number).ok().and_then(Signal::new) else { return };
    let Some(process) = registry().process(INIT) else { return };
    let typed = matches!(signal, Signal::SIGINT | Signal::SIGQUIT) && tty::console().is_none() && !is_managed();
    let receivers = if typed { registry().group(process.group()) } else { Vec::from([process]) };
    for process in receivers {
        send_from_host(&process, SigInfo::kill(signal, 0, 0));
    }
}
