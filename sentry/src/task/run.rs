//! A task's loop: user mode, trap, what the trap asks for, pending signals, round again. The platform has system calls served
//! by [`serve`], on the thread's kernel stack, and goes back to the program itself where nothing else is to be done.

use super::{Current, ExitStatus, exit, oom, rseq, trace};
use crate::observe;
use crate::platform::{Trap, platform};
use crate::signal::{self, AfterSignals};
use crate::syscall::{Fail, dispatch};
use alloc::sync::Arc;

/// What there is to do after a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Next {
    /// The program goes on with the registers it had, but for RAX.
    Resume = 0,
    /// The program goes on with what the context says.
    Reload = 1,
    /// The thread is over: `Current::ended`.
    End = 2,
}

/// How far a system call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Its handler is known, and called next.
    Begun,
    /// Its handler has returned.
    Ended,
}

/// The end of a system call, in two registers.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// What RAX is to be, for [`Next::Resume`].
    pub value: u64,
    /// What comes next.
    pub next: Next,
}

/// Where a thread's `Current` lives. The platform's stack pointer is in its registers while it saves them; a machine that delivers an
/// interrupt twice (docs/testing.md) then writes to what is below, which is nothing.
#[repr(C)]
struct Seat {
    below: [u64; 16],
    current: Current,
}

/// Runs the calling kernel thread's task until it ends.
pub fn run(current: Current) {
    let mut seat = Seat { below: [0; 16], current };
    // Nothing of it may be optimized away.
    core::hint::black_box(&mut seat);
    let status = run_until_end(&mut seat.current);
    exit::exit_thread(seat.current, status);
}

/// The loop itself.
fn run_until_end(current: &mut Current) -> ExitStatus {
    platform().use_page_table(Some(Arc::clone(current.mm.table())));
    // The maker may not have come to this yet, and a waker needs it.
    current.task.set_thread(platform().current_thread());
    signal::thread_started(&current.task);
    rseq::started(current);
    if current.interrupted()
        && let Some(status) = before_user(current, None)
    {
        return status;
    }
    current.calls = observe::thread_started(&current.task);
    let platform = platform();
    loop {
        let trap = platform.run_user(current);
        if let Some(status) = current.ended.take() {
            return status;
        }
        other_trap(current, trap);
        if current.task.signals.needs_attention()
            && let Some(status) = before_user(current, None)
        {
            return status;
        }
    }
}

/// Serves the system call that the context's registers ask for. For platforms, on behalf of `run_user`: `clock` is
/// `Platform::clock`, and where calls are counted, the context says when this one came. `at` is told how far it is.
#[inline(always)]
pub fn serve<const COUNTED: bool>(current: &mut Current, clock: impl Fn() -> u64, at: impl Fn(Point)) -> Served {
    let answer = dispatch::dispatch(current, at);
    if answer.failed {
        return failed::<COUNTED>(current, clock);
    }
    let value = answer.value;
    if COUNTED {
        let ticks = ticks(current, clock);
        if !current.calls.quickly(current.regs.vector, ticks, value) {
            return slow(current, ticks, value);
        }
    }
    if current.task.signals.needs_attention() {
        return attend(current, value);
    }
    Served { value, next: Next::Resume }
}

/// How long the call has taken: nothing takes no time, and the half tick too much costs an instruction less.
#[inline(always)]
fn ticks(current: &Current, clock: impl Fn() -> u64) -> u64 {
    clock().wrapping_sub(current.regs.error) | 1
}

/// A call that is not one of the quick ones, or the first of its number.
#[inline(never)]
fn slow(current: &mut Current, ticks: u64, value: u64) -> Served {
    current.calls.succeeded(current.regs.vector, ticks, value);
    if current.task.signals.needs_attention() {
        return attend(current, value);
    }
    Served { value, next: Next::Resume }
}

/// Something is to be seen to after a call that was served.
#[cold]
fn attend(current: &mut Current, value: u64) -> Served {
    current.regs.rax = value;
    leave(current, None)
}

/// A call that failed, or that returns nothing.
#[inline(never)]
fn failed<const COUNTED: bool>(current: &mut Current, clock: impl Fn() -> u64) -> Served {
    let fail = core::mem::replace(&mut current.fail, Fail::NoReturn);
    if COUNTED {
        current.calls.failed(current.regs.vector, ticks(current, clock), &fail);
    }
    match fail {
        Fail::Errno(errno) if !current.task.signals.needs_attention() => {
            Served { value: errno.to_ret(), next: Next::Resume }
        }
        fail => unfinished(current, fail),
    }
}

/// A call that is not simply over.
fn unfinished(current: &mut Current, fail: Fail) -> Served {
    match fail {
        Fail::Errno(errno) => attend(current, errno.to_ret()),
        Fail::NoReturn => leave(current, None),
        Fail::Exit(status) => end(current, status),
        fail => {
            let number = current.regs.vector;
            leave(current, Some((number, fail)))
        }
    }
}

/// The context says what the program goes on with, once signals have been seen to.
fn leave(current: &mut Current, interrupted: Option<(u64, Fail)>) -> Served {
    if (interrupted.is_some() || current.task.signals.needs_attention())
        && let Some(status) = before_user(current, interrupted)
    {
        return end(current, status);
    }
    Served { value: 0, next: Next::Reload }
}

fn end(current: &mut Current, status: ExitStatus) -> Served {
    current.ended = Some(status);
    Served { value: 0, next: Next::End }
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
        Trap::Syscall | Trap::Ended => {}
    }
}

/// Delivers signals and restarts the call they interrupted. `Some`: the thread ends with this status.
#[cold]
fn before_user(current: &mut Current, interrupted: Option<(u64, Fail)>) -> Option<ExitStatus> {
    current.task.signals.clear_changed();
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
