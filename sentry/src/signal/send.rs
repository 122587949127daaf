//! Sending: who gets a signal, whether it is kept, and whom it wakes.

use super::action::{ActionTable, SigAction};
use super::info::SigInfo;
use super::number::{DefaultAction, Signal, SignalSet};
use super::pending::Queued;
use super::state::Group;
use crate::errno::Errno;
use crate::task::{Current, ExitStatus, Process, Task, Tid, pid_ns, registry};
use crate::wait::Events;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general as raw;

/// Sends to one thread.
pub fn send_to_task(task: &Arc<Task>, info: SigInfo) {
    let _ = try_send(task.process(), Some(task), info);
}

/// Sends to a process: one of its threads takes it.
pub fn send_to_process(process: &Arc<Process>, info: SigInfo) {
    let _ = try_send(process, None, info);
}

/// Sends to a thread of a process, or to the process; false where the signal vanished at once. EAGAIN where RLIMIT_SIGPENDING is reached and the details matter.
pub fn try_send(process: &Arc<Process>, task: Option<&Arc<Task>>, info: SigInfo) -> Result<bool, Errno> {
    send(process, task, info, false)
}

/// Sends as `current` does: what the sender is called is the receiver's way to call it, and from around the receiver's namespace
/// even its first process dies of SIGKILL.
pub fn send_by(
    current: &Current,
    process: &Arc<Process>,
    task: Option<&Arc<Task>>,
    info: SigInfo,
) -> Result<(), Errno> {
    let (mine, theirs) = (current.process.space(), process.space());
    let outside = !pid_ns::same(mine, theirs) && pid_ns::is_within(theirs, mine);
    let mut info = info;
    if (info.code() == raw::SI_USER as i32 || info.code() == raw::SI_TKILL)
        && info.pid_uid().0 == current.process.pid().raw()
    {
        let uid = process.leader().map_or(info.pid_uid().1, |task| task.creds().shown_uid(info.pid_uid().1));
        info.set_sender(registry().shown(current.process.pid(), theirs).raw(), uid);
    }
    send(process, task, info, outside).map(drop)
}

/// Sends to a process from outside the container: even the first process dies of SIGKILL and stops on SIGSTOP.
pub fn send_from_host(process: &Arc<Process>, info: SigInfo) {
    let _ = send(process, None, info, true);
}

/// Sends to every process of a group, whoever asks (terminals). ESRCH where there is none.
pub fn send_to_group(group: Tid, info: SigInfo) -> Result<(), Errno> {
    let processes = registry().group(group);
    if processes.is_empty() {
        return Err(Errno::ESRCH);
    }
    for process in &processes {
        send_to_process(process, info);
    }
    Ok(())
}

/// Whom to wake once the locks are released.
#[derive(Default)]
pub(super) struct Wakes {
    tasks: Vec<Arc<Task>>,
}

impl Wakes {
    /// Asks `task` to look at its signals.
    pub(super) fn flag(&mut self, task: &Arc<Task>) {
        task.signals.flag();
        self.tasks.push(task.clone());
    }

    /// Wakes them. Call without locks.
    pub(super) fn run(self) {
        for task in self.tasks {
            task.wake();
        }
    }
}

/// What became of a signal.
enum Sent {
    /// It vanished, or is pending already.
    Nothing,
    /// It is pending.
    Pending,
    /// It ends the process.
    Fatal,
}

fn send(process: &Arc<Process>, task: Option<&Arc<Task>>, info: SigInfo, outside: bool) -> Result<bool, Errno> {
    if process.is_exiting() {
        return Ok(false);
    }
    let threads = process.threads();
    let actions = process.signals.actions();
    let mut wakes = Wakes::default();
    let outcome = {
        let table = actions.lock();
        let mut group = process.signals.lock();
        send_locked(process, &table, &mut group, &threads, task, &info, outside, &mut wakes)
    };
    wakes.run();
    match outcome? {
        Sent::Nothing => return Ok(false),
        Sent::Pending => process.signals.queue().wake(Events::READABLE),
        Sent::Fatal => {
            end_by(process, info.signal());
        }
    }
    Ok(true)
}

#[allow(clippy::too_many_arguments)]
fn send_locked(
    process: &Process,
    table: &ActionTable,
    group: &mut Group,
    threads: &[Arc<Task>],
    task: Option<&Arc<Task>>,
    info: &SigInfo,
    outside: bool,
    wakes: &mut Wakes,
) -> Result<Sent, Errno> {
    let signal = info.signal();
    prepare(process, group, threads, signal, wakes);
    let looked_at = task.or_else(|| threads.first());
    if looked_at.is_some_and(|task| ignored(table, group, task, signal, outside)) {
        return Ok(Sent::Nothing);
    }
    match enqueue(process, group, task, info) {
        Queued::Refused => return Err(Errno::EAGAIN),
        Queued::Already => return Ok(Sent::Nothing),
        Queued::Yes | Queued::WithoutInfo => {}
    }
    let target = match task {
        Some(task) => Some(task).filter(|task| wants(task, signal)),
        None => choose(group, process, threads, signal),
    };
    let Some(target) = target else { return Ok(Sent::Pending) };
    let waited_for = target.signals.lock().real_mask.is_some_and(|mask| mask.contains(signal));
    let traced = signal != Signal::SIGKILL && target.trace.is_traced();
    let fatal = !traced
        && table.get(signal).handler == SigAction::DEFAULT
        && signal.default_action() == DefaultAction::Terminate
        && (!group.unkillable || outside)
        && !waited_for;
    if fatal {
        return Ok(Sent::Fatal);
    }
    wakes.flag(target);
    Ok(Sent::Pending)
}

/// Ends the process by a signal. Call without locks.
pub(super) fn end_by(process: &Process, signal: Signal) -> ExitStatus {
    // A signal's number fits: there are 64.
    let (status, threads) = process.begin_end(ExitStatus::Signal { number: signal.number() as u8, core: false });
    for task in threads {
        task.doom();
    }
    status
}

/// What sending does even where the signal is ignored or blocked: SIGCONT and the stop signals undo each other.
fn prepare(process: &Process, group: &mut Group, threads: &[Arc<Task>], signal: Signal, wakes: &mut Wakes) {
    if SignalSet::STOPS.contains(signal) {
        flush(process, group, threads, SignalSet::of(&[Signal::SIGCONT]));
    } else if signal == Signal::SIGCONT {
        flush(process, group, threads, SignalSet::STOPS);
        super::stop::resume(group, threads, wakes);
    }
}

/// Forgets pending instances of `signals` everywhere in the process.
pub(super) fn flush(process: &Process, group: &mut Group, threads: &[Arc<Task>], signals: SignalSet) {
    let before = group.pending.len();
    group.pending.flush(signals);
    process.signals.count(before, group.pending.len());
    for task in threads {
        let mut own = task.signals.lock();
        let before = own.pending.len();
        own.pending.flush(signals);
        process.signals.count(before, own.pending.len());
    }
}

/// Whether the signal vanishes here and now. A blocked signal is kept: the action may change before it is unblocked.
fn ignored(table: &ActionTable, group: &Group, task: &Task, signal: Signal, outside: bool) -> bool {
    let real_mask = task.signals.lock().real_mask.unwrap_or_default();
    let traced = signal != Signal::SIGKILL && task.trace.is_traced();
    if traced || task.signals.mask().union(real_mask).contains(signal) {
        return false;
    }
    let action = table.get(signal);
    let spared = group.unkillable
        && action.handler == SigAction::DEFAULT
        && !(outside && SignalSet::UNBLOCKABLE.contains(signal));
    spared || action.ignores(signal)
}

fn enqueue(process: &Process, group: &mut Group, task: Option<&Arc<Task>>, info: &SigInfo) -> Queued {
    // A timer has its own instance; everything else counts.
    let room =
        info.code() == raw::SI_TIMER || (process.signals.queued() as u64) < process.soft_limit(raw::RLIMIT_SIGPENDING);
    let add = |pending: &mut super::pending::Pending| {
        let before = pending.len();
        let outcome = pending.add(info, room);
        process.signals.count(before, pending.len());
        outcome
    };
    match task {
        Some(task) => add(&mut task.signals.lock().pending),
        None => add(&mut group.pending),
    }
}

/// The main thread if it can, else the next in turn that can.
fn choose<'a>(group: &mut Group, process: &Process, threads: &'a [Arc<Task>], signal: Signal) -> Option<&'a Arc<Task>> {
    let main = threads.iter().find(|task| task.tid() == process.pid()).filter(|task| wants(task, signal));
    if main.is_some() {
        return main;
    }
    let start = group.next_thread;
    let found = (0..threads.len())
        .map(|step| start.wrapping_add(step) % threads.len())
        .find(|index| threads.get(*index).is_some_and(|task| wants(task, signal)))?;
    group.next_thread = found;
    threads.get(found)
}

/// Whether a thread can take the signal now. A stopped one looks at all of its signals when it continues.
fn wants(task: &Task, signal: Signal) -> bool {
    let exiting = task.signals.lock().exiting;
    !exiting && (signal == Signal::SIGKILL || !task.signals.mask().contains(signal) && !task.signals.stopped())
}

/// After a thread blocked signals (or ends): gives what is pending for the process to threads that can still take it.
pub(super) fn retarget(process: &Process, leaving: &Task, newly_blocked: SignalSet) {
    let threads = process.threads();
    let mut wakes = Wakes::default();
    {
        let group = process.signals.lock();
        let mut orphaned = group.pending.set().intersection(newly_blocked);
        for task in threads.iter().filter(|task| task.tid() != leaving.tid()) {
            if orphaned.is_empty() {
                break;
            }
            let takes = orphaned.minus(task.signals.mask());
            if !takes.is_empty() && !task.signals.lock().exiting {
                orphaned = orphaned.minus(takes);
                wakes.flag(task);
            }
        }
    }
    wakes.run();
}
