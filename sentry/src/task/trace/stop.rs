//! The tracee's side: stopping, and going on.

use super::{Resume, State};
use crate::errno::Errno;
use crate::platform::platform;
use crate::signal::{self, ActionFlags, ChildCode, ChildInfo, SigAction, SigInfo, Signal};
use crate::task::{Current, Task, registry};
use crate::wait::Events;
use alloc::sync::Arc;
use alloc::vec;
use linker::layout::USER_END;
use linux_raw_sys::ptrace as raw;

/// RFLAGS.TF: a trap after the next instruction (Intel SDM vol. 1, 3.4.3).
const TRAP_FLAG: u64 = 1 << 8;

/// What kind of stop it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A signal is about to be delivered; the tracer may change it.
    Signal,
    /// The process stopped.
    Group,
    /// PTRACE_EVENT_*.
    Event,
    /// A filter of system calls asks the tracer (PTRACE_EVENT_SECCOMP).
    Filter,
    /// Before a system call.
    Entry,
    /// Behind it.
    Exit,
}

/// A stop.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    /// What wait4 tells: a signal, and the event above it.
    pub code: u32,
    /// Its kind.
    pub kind: Kind,
    /// PTRACE_GETSIGINFO; none in a group stop.
    pub info: Option<SigInfo>,
}

impl Stop {
    /// A stop that is no signal's; its siginfo says the code.
    fn of(current: &Current, kind: Kind, code: u32) -> Self {
        let signal = Signal::new(code & 0x7f).unwrap_or(Signal::SIGTRAP);
        let info = SigInfo::trap(signal, code as i32, current.process.pid().raw(), current.creds.uid);
        Self { code, kind, info: Some(info) }
    }
}

/// Stops for the tracer until it resumes the thread; returns the signal to go on with, 0 for none. At once where nobody traces.
/// `deaf`: only SIGKILL ends the stop early, not the process's end.
fn stop(current: &mut Current, stop: Stop, message: u64, deaf: bool) -> u32 {
    let task = current.task.clone();
    platform().sync_segment_bases(&mut current.regs);
    if current.signal.step {
        current.regs.rflags &= !TRAP_FLAG;
    }
    {
        let mut state = task.trace.state.lock();
        if !task.trace.is_traced() {
            return stop.code & 0x7f;
        }
        state.stop = Some(stop);
        state.reported = false;
        state.listening = false;
        state.resume = None;
        state.regs = current.regs;
        state.call = current.signal.call;
        state.message = message;
        (state.vector, state.vector_wanted, state.vector_changed) = (None, false, false);
    }
    task.signals.set_stopped(true);
    tell_tracer(&task, stop.code);
    let resume = park(current, &task, deaf);
    task.signals.set_stopped(false);
    let (regs, call, vector) = {
        let mut state = task.trace.state.lock();
        state.stop = None;
        let vector = state.vector.take().filter(|_| state.vector_changed);
        (state.regs, state.call, vector)
    };
    take_back(current, &regs);
    current.signal.call = call;
    if let Some(vector) = vector {
        let _ = platform().load_vector_state(&vector);
    }
    task.trace.set_mode(resume.mode);
    current.signal.step = resume.step;
    resume.signal
}

/// What the tracer made of the registers. The platform sees to it that they are a program's.
fn take_back(current: &mut Current, regs: &crate::platform::UserContext) {
    let bases = (current.regs.fs_base, current.regs.gs_base);
    current.regs = *regs;
    current.task.signals.set_changed();
    if (regs.fs_base, regs.gs_base) != bases && regs.fs_base < USER_END && regs.gs_base < USER_END {
        platform().load_segment_bases(&current.regs);
    }
}

fn park(current: &Current, task: &Arc<Task>, deaf: bool) -> Resume {
    let killed = || {
        let ending = || current.process.ending();
        let by_kill = |status| matches!(status, crate::task::ExitStatus::Signal { .. });
        task.is_doomed() && (!deaf || ending().is_some_and(by_kill))
    };
    loop {
        // Before the state's lock: it looks behind the process's. Who ends us unparks us, so what comes later is seen.
        let killed = killed();
        let (wanted, again) = {
            let mut state = task.trace.state.lock();
            if let Some(resume) = state.resume.take() {
                return resume;
            }
            if killed || !task.trace.is_traced() {
                return Resume::default();
            }
            (state.vector_wanted && state.vector.is_none(), state.listening && task.signals.take_trap())
        };
        if wanted {
            let mut bytes = vec![0; platform().vector_state_size()];
            platform().save_vector_state(&mut bytes);
            task.trace.state.lock().vector = Some(bytes);
            task.trace.queue.wake(Events::IN);
            continue;
        }
        if again {
            // PTRACE_LISTEN ends by an event: the process continued, or the tracer wants it back.
            let code = group_code(current);
            let renew = |state: &mut State| {
                let info = SigInfo::trap(Signal::SIGTRAP, code as i32, current.process.pid().raw(), current.creds.uid);
                state.stop = Some(Stop { code, kind: Kind::Event, info: Some(info) });
                (state.reported, state.listening) = (false, false);
            };
            renew(&mut task.trace.state.lock());
            tell_tracer(task, code);
            continue;
        }
        platform().park(None);
    }
}

/// PTRACE_EVENT_STOP's code: the signal that stopped the process, or SIGTRAP where it is not stopped.
fn group_code(current: &Current) -> u32 {
    let signal = current.process.signals.stop_signal().unwrap_or(Signal::SIGTRAP);
    signal.number() | raw::PTRACE_EVENT_STOP << 8
}

/// SIGCHLD and a wake-up for the tracer.
pub(super) fn tell_tracer(task: &Arc<Task>, code: u32) {
    let Some(tracer) = task.trace.tracer().and_then(|pid| registry().process(pid)) else { return };
    let action = tracer.signals.action(Signal::SIGCHLD);
    if action.handler != SigAction::IGNORE && !action.flags().contains(ActionFlags::NOCLDSTOP) {
        let status = (code & 0x7f) as i32;
        let child = ChildInfo::new(ChildCode::Trapped, task.tid(), task.creds().uid, status, &task.usage());
        signal::send_to_process(&tracer, SigInfo::child(Signal::SIGCHLD, &child));
    }
    tracer.child_wait.wake(Events::IN);
}

/// A signal is about to be delivered: the tracer decides what becomes of it. `None`: nothing.
pub fn signal_stop(current: &mut Current, info: SigInfo) -> Option<SigInfo> {
    let signal = info.signal();
    if !current.task.trace.is_traced() || signal == Signal::SIGKILL {
        return Some(info);
    }
    let number = stop(current, Stop { code: signal.number(), kind: Kind::Signal, info: Some(info) }, 0, false);
    let signal = Signal::new(number)?;
    let changed = current.task.trace.state.lock().stop_info.take();
    let info = changed.unwrap_or(info);
    if info.signal() == signal {
        return Some(info);
    }
    let tracer = current.task.trace.tracer().and_then(|pid| registry().process(pid));
    let uid = tracer.as_ref().map_or(0, |tracer| tracer.last_uid());
    Some(SigInfo::kill(signal, tracer.map_or(0, |tracer| tracer.pid().raw()), uid))
}

/// The process stopped on `signal`, and this thread takes part.
pub fn group_stop(current: &mut Current, signal: Signal) {
    if current.task.trace.is_seized() {
        let code = signal.number() | raw::PTRACE_EVENT_STOP << 8;
        let what = Stop::of(current, Kind::Group, code);
        stop(current, what, 0, false);
    } else {
        stop(current, Stop { code: signal.number(), kind: Kind::Group, info: None }, 0, false);
    }
}

/// PTRACE_INTERRUPT, a seized child's start, a seized process's continuation: if one is due, stops.
pub fn wanted_stop(current: &mut Current) {
    if current.task.signals.take_trap() && current.task.trace.is_traced() {
        let what = Stop::of(current, Kind::Event, group_code(current));
        stop(current, what, 0, false);
    }
}

/// PTRACE_EVENT_*.
pub fn event_stop(current: &mut Current, event: u32, message: u64) {
    let what = Stop::of(current, Kind::Event, Signal::SIGTRAP.number() | event << 8);
    stop(current, what, message, event == raw::PTRACE_EVENT_EXIT);
}

/// A filter leaves the call to a tracer, and says `data`. False where none wants to know; otherwise it has decided: the call's
/// number is in `current.signal.call`, and `rax` is what the program gets if that is none.
pub fn filter_stop(current: &mut Current, data: u16) -> bool {
    if !current.task.trace.has_option(raw::PTRACE_O_TRACESECCOMP) {
        return false;
    }
    current.signal.call = Some(current.regs.rax);
    current.regs.rax = Errno::ENOSYS.to_ret();
    let what = Stop::of(current, Kind::Filter, Signal::SIGTRAP.number() | raw::PTRACE_EVENT_SECCOMP << 8);
    stop(current, what, u64::from(data), false);
    true
}

/// Before or behind a system call.
pub(super) fn call_stop(current: &mut Current, kind: Kind) {
    let good = if current.task.trace.has_option(raw::PTRACE_O_TRACESYSGOOD) { 0x80 } else { 0 };
    let what = Stop::of(current, kind, Signal::SIGTRAP.number() | good);
    let message =
        if kind == Kind::Entry { raw::PTRACE_EVENTMSG_SYSCALL_ENTRY } else { raw::PTRACE_EVENTMSG_SYSCALL_EXIT };
    let number = stop(current, what, u64::from(message), false);
    if let Some(signal) = Signal::new(number) {
        let info = SigInfo::kill(signal, current.task.trace.tracer().map_or(0, |pid| pid.raw()), 0);
        signal::send_to_task(&current.task.clone(), info);
    }
}

/// Before user mode: a single step traps after one instruction.
pub fn settle_step(current: &mut Current) {
    if current.signal.step {
        current.regs.rflags |= TRAP_FLAG;
    }
}

/// A system call, or the trap of the step, is there: the flag is not the program's.
pub(crate) fn clear_step(current: &mut Current) {
    if current.signal.step {
        current.regs.rflags &= !TRAP_FLAG;
        current.regs.r11 &= !TRAP_FLAG;
    }
}
