//! A task's loop: user mode, trap, what the trap asks for, pending signals, round again.

use super::{Current, ExitStatus, exit, oom, rseq, trace};
use crate::observe;
use crate::platform::{Trap, platform};
use crate::signal::{self, AfterSignals};
use crate::syscall::{Fail, dispatch};
use alloc::sync::Arc;

/// Runs the calling kernel thread's task until it ends.
pub fn run(mut current: Current) {
    platform().use_page_table(Some(Arc::clone(current.mm.table())));
    // The maker may not have come to this yet, and a waker needs it.
    current.task.set_thread(platform().current_thread());
    signal::thread_started(&current.task);
    rseq::started(&current);
    if current.interrupted()
        && let Some(status) = before_user(&mut current, None)
    {
        return exit::exit_thread(current, status);
    }
    let (platform, clock) = (platform(), platform().clock());
    let calls = observe::thread_started(&current.task);
    let counted = calls.as_deref();
    let status = loop {
        let interrupted = match platform.run_user(&mut current.regs) {
            Trap::Syscall => {
                let (number, came) = (current.regs.rax, current.regs.error);
                match dispatch::dispatch(&mut current) {
                    Ok(value) => {
                        current.regs.rax = value;
                        if let Some(calls) = counted {
                            calls.succeeded(number, clock().wrapping_sub(current.regs.error), value);
                        }
                        None
                    }
                    Err(fail) => {
                        if let Some(calls) = counted {
                            calls.failed(number, clock().wrapping_sub(came), &fail);
                        }
                        match fail {
                            Fail::Errno(errno) => {
                                current.regs.rax = errno.to_ret();
                                None
                            }
                            Fail::NoReturn => None,
                            Fail::Exit(status) => break status,
                            fail => Some((number, fail)),
                        }
                    }
                }
            }
            trap => {
                other_trap(&mut current, trap);
                None
            }
        };
        if (current.interrupted() || interrupted.is_some())
            && let Some(status) = before_user(&mut current, interrupted)
        {
            break status;
        }
    };
    drop(calls);
    exit::exit_thread(current, status);
}

/// Page faults, other exceptions, interrupts.
fn other_trap(current: &mut Current, trap: Trap) {
    match trap {
        Trap::PageFault { address, access, present } => {
            current.task.count_fault();
            if let Err(fault) = current.mm.user_fault(current, address, access, present) {
                signal::memory_fault(current, address, access, present, fault);
            }
        }
        Trap::Exception { vector } => signal::exception(current, vector),
        Trap::Interrupt => platform().preempt(),
        Trap::MemoryLow => oom::make_room(current),
        Trap::Moved => rseq::moved(current),
        Trap::Syscall => {}
    }
}

/// Delivers signals and restarts the call they interrupted. `Some`: the thread ends with this status.
#[cold]
fn before_user(current: &mut Current, interrupted: Option<(u64, Fail)>) -> Option<ExitStatus> {
    if current.task.is_doomed() {
        if let Some((number, fail)) = &interrupted {
            // A core file shows the call that it was in.
            current.signal.call = Some(*number);
            current.regs.rax = trace::restart_code(fail).unwrap_or(current.regs.rax);
        }
        return Some(current.process.ending().unwrap_or(ExitStatus::Code(0)));
    }
    match signal::deliver_pending(current, interrupted) {
        AfterSignals::Continue => {
            current.task.is_doomed().then(|| current.process.ending().unwrap_or(ExitStatus::Code(0)))
        }
        AfterSignals::Exit(status) => Some(exit::end_process(&current.process, status)),
    }
}
