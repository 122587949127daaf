//! What concerns all threads of a process: stopping, continuing, ending; and what the parent hears of it.

use super::action::{ActionFlags, SigAction};
use super::info::{ChildCode, ChildInfo, SigInfo};
use super::number::{Signal, SignalSet};
use super::send::{Wakes, retarget, send_to_process};
use super::state::{Group, Stop, StopChange};
use crate::platform::platform;
use crate::task::{Current, Process, Task, registry, trace};
use crate::wait::Events;
use alloc::sync::Arc;

/// The first thing a new thread does: a signal or stop that came while it was being made concerns it too.
pub fn thread_started(task: &Task) {
    let group = task.process().signals.lock();
    task.signals.recalculate(&group);
}

/// A thread begins to end: it takes no signal any more, and what it would have taken goes to its siblings.
pub fn thread_exiting(task: &Task) {
    let process = task.process();
    let completed = {
        let mut group = process.signals.lock();
        let stopping = {
            let mut own = task.signals.lock();
            own.exiting = true;
            let count = own.pending.len();
            own.pending.clear();
            process.signals.count(count, 0);
            core::mem::take(&mut own.stop_pending)
        };
        stopping && participate(&mut group)
    };
    if completed {
        notify_stopped(process);
    }
    retarget(process, task, task.signals.mask().complement());
}

/// Stops the process on `signal` and parks the thread until it continues or ends.
pub(super) fn stop_group(current: &mut Current, signal: Signal) {
    let threads = current.process.threads();
    let mut wakes = Wakes::default();
    {
        let mut group = current.process.signals.lock();
        current.task.signals.set_trapped(false);
        if group.stop.is_none() {
            let mut remaining = 0;
            for task in &threads {
                let mut own = task.signals.lock();
                if !own.exiting {
                    own.stop_pending = true;
                    remaining += 1;
                    drop(own);
                    wakes.flag(task);
                }
            }
            group.stop = Some(Stop { signal, remaining });
        }
    }
    wakes.run();
    park_while_stopped(current);
}

/// Takes part in a group stop, if there is one: parks until it is over.
pub(super) fn park_while_stopped(current: &mut Current) {
    let process = current.process.clone();
    loop {
        let traced = current.task.trace.is_traced();
        let (completed, signal) = {
            let mut group = process.signals.lock();
            let asked = core::mem::take(&mut current.task.signals.lock().stop_pending);
            let stop = group.stop.filter(|_| !current.task.is_doomed() && !current.task.signals.trapped());
            current.task.signals.set_stopped(stop.is_some());
            let completed = asked && participate(&mut group);
            let Some(stop) = stop else { return };
            current.task.signals.set_trapped(traced);
            (completed, stop.signal)
        };
        if completed {
            notify_stopped(&process);
        }
        if traced {
            trace::group_stop(current, signal);
            continue;
        }
        platform().park(None);
    }
}

/// One more thread has stopped. True if it was the last: the parent has to hear of it.
fn participate(group: &mut Group) -> bool {
    let Some(stop) = &mut group.stop else { return false };
    let already = stop.remaining == 0;
    stop.remaining = stop.remaining.saturating_sub(1);
    if already || stop.remaining != 0 {
        return false;
    }
    group.report = Some(StopChange::Stopped(stop.signal));
    true
}

/// SIGCONT was sent: ends a stop; the group lock is held. The parent is told by the first thread that runs.
pub(super) fn resume(group: &mut Group, threads: &[Arc<Task>], wakes: &mut Wakes) {
    let Some(stop) = group.stop.take() else { return };
    if stop.remaining == 0 {
        group.report = Some(StopChange::Continued);
        group.notify_continued = true;
    }
    for task in threads {
        task.signals.lock().stop_pending = false;
        task.signals.set_stopped(task.trace.is_stopped());
        task.signals.set_trapped(false);
        if task.trace.is_seized() {
            task.signals.ask_trap();
        }
        wakes.flag(task);
    }
}

/// Tells the parent, if it was not told yet, that the process continued.
pub(super) fn notify_continued(process: &Arc<Process>) {
    if core::mem::take(&mut process.signals.lock().notify_continued) {
        notify_parent(process, ChildCode::Continued, Signal::SIGCONT);
    }
}

fn notify_stopped(process: &Arc<Process>) {
    let signal = process.signals.lock().stop.map(|stop| stop.signal);
    notify_parent(process, ChildCode::Stopped, signal.unwrap_or(Signal::SIGSTOP));
}

/// SIGCHLD for a stop or a continuation, and a wake-up for wait4.
fn notify_parent(process: &Arc<Process>, code: ChildCode, signal: Signal) {
    let Some(parent) = registry().process(process.parent_pid()) else { return };
    let action = parent.signals.action(Signal::SIGCHLD);
    if action.handler != SigAction::IGNORE && !action.flags().contains(ActionFlags::NOCLDSTOP) {
        let uid = process.leader().map_or(0, |task| task.creds().uid);
        // A signal's number fits: there are 64.
        let child = ChildInfo::new(
            code,
            registry().shown(process.pid(), parent.space()),
            uid,
            signal.number() as i32,
            &process.usage(),
        );
        send_to_process(&parent, SigInfo::child(Signal::SIGCHLD, &child));
    }
    parent.child_wait.wake(Events::IN);
}

/// Whether a stop signal of the terminal may stop the process: not where nobody of its session is left to continue it.
pub(super) fn may_stop(process: &Process, signal: Signal) -> bool {
    let by_terminal = SignalSet::of(&[Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU]);
    !by_terminal.contains(signal) || !registry().lock().is_orphaned(process.group(), None)
}
