//! System calls of a traced thread: the stops before and behind, and single steps over them.

use super::Mode;
use super::stop::{Kind, call_stop, clear_step, settle_step};
use crate::errno::Errno;
use crate::signal::{self, SigInfo, Signal};
use crate::syscall::{Fail, SysResult};
use crate::task::Current;
use linux_raw_sys::general::TRAP_BRKPT;

/// What a tracer sees of a call that will be made again (include/linux/errno.h: ERESTARTSYS and its kin, never user space's).
const RESTART: i64 = -512;
const RESTART_ALWAYS: i64 = -513;
const RESTART_UNLESS_HANDLED: i64 = -514;
const RESTART_WITH: i64 = -516;

/// What `rax` says of an interrupted call while a tracer looks; `None` where the call is not to be made again.
pub fn restart_code(fail: &Fail) -> Option<u64> {
    let code = match fail {
        Fail::Restart => RESTART,
        Fail::RestartAlways => RESTART_ALWAYS,
        Fail::RestartUnlessHandled => RESTART_UNLESS_HANDLED,
        Fail::RestartWith(_) => RESTART_WITH,
        _ => return None,
    };
    Some(code as u64)
}

/// Whether `rax` says that a call is to be made again.
pub fn is_restart(rax: u64) -> bool {
    (RESTART_WITH..=RESTART).contains(&(rax as i64))
}

/// Makes the call in the registers, with the tracer's stops around it.
pub fn serve_traced(current: &mut Current, serve: fn(&mut Current) -> SysResult) -> SysResult {
    let number = current.regs.rax;
    current.signal.call = Some(number);
    clear_step(current);
    let mode = current.task.trace.mode();
    let stepped = current.signal.step;
    let mut skip = false;
    if mode != Mode::Continue {
        current.regs.rax = Errno::ENOSYS.to_ret();
        skip = mode == Mode::Emulate;
        call_stop(current, Kind::Entry);
        match current.signal.call.filter(|number| (*number as i64) >= 0) {
            Some(number) if !skip => current.regs.rax = number,
            _ => skip = true,
        }
        if current.task.is_doomed() {
            return Err(Fail::RestartAlways);
        }
    }
    // A call that is not made leaves in `rax` what the tracer put there.
    let result = if skip { Ok(current.regs.rax) } else { serve(current) };
    match &result {
        Ok(value) => current.regs.rax = *value,
        Err(Fail::Errno(errno)) => current.regs.rax = errno.to_ret(),
        Err(Fail::NoReturn) => {}
        Err(Fail::Exit(_)) => return result,
        Err(fail) => current.regs.rax = restart_code(fail).unwrap_or(current.regs.rax),
    }
    let traced = current.task.trace.is_traced();
    // What the tracer said last counts: in a stop within the call it may have asked for this one.
    if traced && current.task.trace.mode() == Mode::Syscall {
        call_stop(current, Kind::Exit);
    } else if traced && stepped && current.signal.step {
        signal::force_fault(current, SigInfo::fault(Signal::SIGTRAP, TRAP_BRKPT, current.regs.rip));
    }
    settle_step(current);
    match result {
        Err(fail) if restart_code(&fail).is_some() => Err(fail),
        _ => {
            current.signal.call = None;
            Err(Fail::NoReturn)
        }
    }
}
