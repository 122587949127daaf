//! What tracers hear of their tracees' lives: clone, execve, exit; and what becomes of tracees whose tracer ends.

use super::stop::{event_stop, tell_tracer};
use super::{TRACED, begin, end};
use crate::signal::{self, SigInfo, Signal};
use crate::task::clone::CloneFlags;
use crate::task::{Current, ExitStatus, Process, Task, Tid, exit};
use crate::wait::Events;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::ptrace as raw;

/// The event of a clone with these flags, where the tracer asked for it.
pub fn clone_event(current: &Current, flags: CloneFlags, exit_signal: u32) -> Option<u32> {
    let trace = &current.task.trace;
    if !trace.is_traced() || flags.contains(CloneFlags::UNTRACED) {
        return None;
    }
    let (event, option) = if flags.contains(CloneFlags::VFORK) {
        (raw::PTRACE_EVENT_VFORK, raw::PTRACE_O_TRACEVFORK)
    } else if exit_signal != Signal::SIGCHLD.number() {
        (raw::PTRACE_EVENT_CLONE, raw::PTRACE_O_TRACECLONE)
    } else {
        (raw::PTRACE_EVENT_FORK, raw::PTRACE_O_TRACEFORK)
    };
    trace.has_option(option).then_some(event)
}

/// A new thread that the tracer wants to have too. Called before it runs.
pub fn cloned(current: &Current, child: &Arc<Task>, flags: CloneFlags, event: Option<u32>) {
    let trace = &current.task.trace;
    let wanted = event.is_some() || flags.contains(CloneFlags::PTRACE) && !flags.contains(CloneFlags::UNTRACED);
    let Some(tracer) = trace.tracer().filter(|_| wanted) else { return };
    let (seized, options) = {
        let state = trace.state.lock();
        (state.seized, state.options)
    };
    if begin(child, tracer, seized, options) {
        if seized {
            child.signals.ask_trap();
        } else {
            signal::send_to_task(child, SigInfo::kill(Signal::SIGSTOP, 0, 0));
        }
    }
}

/// A vfork child let go of its parent's memory.
pub fn vfork_done(current: &mut Current, child: Tid) {
    if current.task.trace.has_option(raw::PTRACE_O_TRACEVFORKDONE) {
        event_stop(current, raw::PTRACE_EVENT_VFORK_DONE, u64::from(child.raw()));
    }
}

/// execve succeeded; the thread had this number before.
pub fn executed(current: &mut Current, before: Tid) {
    // The first thread of before, whose number this one has now.
    for other in super::tracees_in(&current.process) {
        if other.tid() == current.task.tid() && !Arc::ptr_eq(&other, &current.task) {
            end(&other);
        }
    }
    let trace = &current.task.trace;
    if trace.has_option(raw::PTRACE_O_TRACEEXEC) {
        event_stop(current, raw::PTRACE_EVENT_EXEC, u64::from(before.raw()));
    } else if trace.is_traced() && !trace.is_seized() {
        let info = SigInfo::kill(Signal::SIGTRAP, current.process.pid().raw(), current.creds.uid);
        signal::send_to_task(&current.task.clone(), info);
    }
}

/// The thread is about to end.
pub fn exiting(current: &mut Current, status: ExitStatus) {
    if current.task.trace.has_option(raw::PTRACE_O_TRACEEXIT) {
        let status = current.process.ending().unwrap_or(status);
        event_stop(current, raw::PTRACE_EVENT_EXIT, status.wait_status() as u64);
    }
}

/// A thread is gone, and with its process's last thread the first one, too. Their tracer has to hear of it, unless it is the
/// parent, which hears of the process.
pub fn thread_gone(task: &Arc<Task>, status: ExitStatus, last: bool) {
    if TRACED.lock().is_empty() {
        return;
    }
    let process = task.process();
    let is_leader = |task: &Arc<Task>| task.tid() == process.pid();
    let concerned: Vec<Arc<Task>> = TRACED.lock().iter().filter(|other| same(other, task, last)).cloned().collect();
    for other in concerned {
        if is_leader(&other) && !last {
            // Until the others are gone, too, it is the process that lives.
            continue;
        }
        if is_leader(&other) && other.trace.tracer() == Some(process.parent_pid()) {
            end(&other);
            continue;
        }
        let status = if is_leader(&other) { process.ending().unwrap_or(status) } else { status };
        {
            let mut state = other.trace.state.lock();
            (state.exited, state.stop) = (Some(status), None);
        }
        tell_tracer(&other, 0);
    }
}

fn same(other: &Arc<Task>, task: &Arc<Task>, last: bool) -> bool {
    Arc::ptr_eq(other, task)
        || last && Arc::ptr_eq(other.process(), task.process()) && other.tid() == task.process().pid()
}

/// The tracer has heard of the end of `task`.
pub fn forget_dead(task: &Arc<Task>) {
    end(task);
}

/// A process ended: what it traced is free, or dies where it asked for that.
pub fn tracer_gone(process: &Process) {
    let tracees: Vec<Arc<Task>> =
        TRACED.lock().iter().filter(|task| task.trace.tracer() == Some(process.pid())).cloned().collect();
    for task in tracees {
        let kill = task.trace.has_option(raw::PTRACE_O_EXITKILL);
        end(&task);
        if kill {
            let number = Signal::SIGKILL.number() as u8;
            exit::end_process(task.process(), ExitStatus::Signal { number, core: false });
        }
        task.process().thread_wait.wake(Events::IN);
    }
}
