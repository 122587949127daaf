//! Ends: of processes that the host started, and of the container.

use super::{FIRST, STARTED, container, container_of, forget, is_managed, report};
use crate::observe;
use crate::platform::platform;
use crate::signal::Signal;
use crate::task::{ExitStatus, OUTSIDE, Process, Tid, exit, registry};
use crate::wait::{Events, WaitQueue, wait_on};
use linker::control::Report;

/// How long the end of a container waits for processes that do not die: those that wait for the host.
const PATIENCE_NS: u64 = 10_000_000_000;

/// Woken when a process has ended.
pub static ENDED: WaitQueue = WaitQueue::new();

/// The first process is over: all others are killed, as at the end of a pid namespace; then the host is told, and the sandbox ends.
pub fn end_container(first: &Process, status: ExitStatus) -> ! {
    let others = registry().lock().close();
    let others = || others.iter().filter(|process| process.pid() != first.pid());
    for process in others() {
        exit::end_process(process, ExitStatus::Signal { number: Signal::SIGKILL.number() as u8, core: false });
    }
    let deadline = platform().monotonic_ns().saturating_add(PATIENCE_NS);
    let _ = wait_on(&[(&ENDED, Events::IN)], false, Some(deadline), &|| false, || {
        // Those that the host started are not gone before it has heard of their end.
        let heard = |process: &Process| process.parent_pid() != OUTSIDE || registry().process(process.pid()).is_none();
        others().all(|process| process.is_exited() && heard(process)).then_some(())
    });
    // Whoever watches sees the end before the sandbox goes.
    observe::finish();
    if is_managed() {
        report_end(FIRST, Tid::new(0), status);
    }
    platform().exit(status.port_status())
}

/// A process whose parent is the host has ended.
pub fn process_ended(process: &Process, status: ExitStatus) {
    let terminal = STARTED.lock().remove(&process.pid());
    drop(terminal);
    let number = container_of(process);
    if number != FIRST && container(number).is_some_and(|container| container.init == process.pid()) {
        // The files go before the host hears of the end, and takes them away.
        forget(number);
        return report_end(number, Tid::new(0), status);
    }
    report_end(number, process.pid(), status);
}

/// A process was killed for want of memory. Blocks.
pub fn out_of_memory() {
    if is_managed() {
        report(&Report::OutOfMemory { container: FIRST });
    }
}

fn report_end(container: u32, pid: Tid, status: ExitStatus) {
    report(&Report::Exited { container, pid: pid.raw(), status: status.wait_status().cast_unsigned() });
}
