//! How threads and processes end: exit(2), exit_group(2), fatal signals, and what they leave behind.

use super::pid_ns::{self, PidNs};
use super::registry::{INIT, OUTSIDE, Tables, registry};
use super::{Current, ExitStatus, Process, Task, futex, trace};
use crate::control;
use crate::observe;
use crate::perf;
use crate::platform::platform;
use crate::signal::{self, SigInfo, Signal};
use crate::wait::Events;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Makes every thread of `process` end with `status` (exit_group, a fatal signal), unless it already ends otherwise.
/// Returns the status that holds.
pub fn end_process(process: &Process, status: ExitStatus) -> ExitStatus {
    let (holds, threads) = process.begin_end(status);
    for task in threads {
        task.doom();
    }
    holds
}

/// Ends the calling thread. The kernel thread returns to the platform afterwards.
pub fn exit_thread(mut current: Current, status: ExitStatus) {
    if let Some(dump) = current.process.dump_to_join(current.task.tid()) {
        dump.leave(&mut current);
    }
    trace::exiting(&mut current, status);
    observe::trace::thread_gone(&mut current, status.wait_status().cast_unsigned());
    signal::thread_exiting(&current.task);
    futex::exit_robust_list(&current);
    clear_child_tid(&mut current);
    let task = current.task.clone();
    let process = current.process.clone();
    process.account_peak(&current.mm);
    release(current);
    process.account_thread(&task.usage());
    perf::thread_gone(&task);
    observe::thread_gone(&task);
    match process.remove_thread(task.tid(), status) {
        None => {
            trace::thread_gone(&task, status, false);
            // The leader's number stays: it is the process's.
            if task.tid() != process.pid() {
                drop(registry().lock().remove_task(task.tid()));
            }
            process.thread_wait.wake(Events::IN);
        }
        Some(status) => {
            process.end_helpers();
            trace::tracer_gone(&process);
            exit_process(&process, &task, status);
        }
    }
}

/// `set_tid_address`: 0 at the address, and a futex wake, where others still share the memory.
fn clear_child_tid(current: &mut Current) {
    let at = core::mem::take(&mut current.clear_child_tid);
    if at != 0 && Arc::strong_count(&current.mm) > 2 {
        let address = linker::addr::UserVa::new(at);
        if current.copy_out(address, &0u32.to_ne_bytes()).is_ok() {
            futex::wake_private_and_shared(current, address, 1);
        }
    }
}

/// Lets go of memory, descriptors and directories before the end becomes visible.
fn release(current: Current) {
    let Current { task, mm, files, fs, creds, vfork_done, .. } = current;
    platform().use_page_table(None);
    task.publish(super::Published { mm: None, files: None, fs: None, creds });
    drop(mm);
    if let Some(done) = vfork_done {
        done.finish();
    }
    drop(files);
    drop(fs);
}

/// The last thread is gone: hand children over, tell the parent, become a zombie (or vanish).
fn exit_process(process: &Arc<Process>, task: &Arc<Task>, status: ExitStatus) {
    let last = task.tid();
    if process.pid() == INIT {
        control::end_container(process, status);
    }
    if let Some(space) = process.space()
        && space.init() == Some(process.pid())
    {
        end_namespace(process, space);
    }
    process.set_executable(None);
    process.timers.clear();
    crate::ipc::sem::process_gone(process.pid());
    let mut hang_up = Vec::new();
    let mut adopted_zombies = false;
    let (parent, reaper) = {
        let mut tables = registry().lock();
        if last != process.pid() {
            drop(tables.remove_task(last));
        }
        let reaper = tables.reaper_of(process);
        let children = tables.reparent(process.pid(), reaper);
        for child in &children {
            adopted_zombies |= child.is_exited();
            note_if_newly_orphaned(&tables, child, process, process, &mut hang_up);
        }
        if let Some(parent) = tables.process(process.parent_pid()) {
            note_if_newly_orphaned(&tables, process, &parent, process, &mut hang_up);
        }
        for child in children {
            signal_parent_death(&child);
        }
        process.set_exited(status);
        (tables.process(process.parent_pid()), tables.process(reaper))
    };
    if process.is_session_leader() {
        crate::tty::session_leader_exit(process);
    }
    for member in hang_up {
        signal::send_to_process(&member, SigInfo::kernel(Signal::SIGHUP));
        signal::send_to_process(&member, SigInfo::kernel(Signal::SIGCONT));
    }
    trace::thread_gone(task, status, true);
    process.exit_wait.wake(Events::READABLE);
    process.signals.queue().wake(Events::READABLE);
    if let Some(parent) = parent {
        tell_parent(process, &parent, status);
    }
    if let (true, Some(reaper)) = (adopted_zombies, &reaper) {
        reap_ignored_children(reaper);
        reaper.child_wait.wake(Events::IN);
    }
    if process.parent_pid() == OUTSIDE {
        // Its parent is the host, which hears of it; nobody inside waits for it.
        control::process_ended(process, status);
        if let Some(init) = registry().process(INIT) {
            reap(process, Some(&init));
        }
    }
    control::ENDED.wake(Events::IN);
}

/// The first process of a namespace of numbers is gone: so are all others in it, before anybody hears of it.
fn end_namespace(process: &Arc<Process>, space: &Arc<PidNs>) {
    space.close();
    let within = Some(space.clone());
    let others = || {
        let mut all = registry().processes();
        all.retain(|other| other.pid() != process.pid() && pid_ns::is_within(other.space(), &within));
        all
    };
    for other in others() {
        signal::send_from_host(&other, SigInfo::kernel(Signal::SIGKILL));
    }
    let over = || {
        let all = others();
        for zombie in all.iter().filter(|other| other.is_exited() && other.parent_pid() == process.pid()) {
            reap(zombie, Some(process));
        }
        all.iter().all(|other| other.is_exited()).then_some(())
    };
    let _ = crate::wait::wait_on(&[(&control::ENDED, Events::IN)], false, None, &|| false, over);
}

/// PR_SET_PDEATHSIG of a child whose parent is gone.
fn signal_parent_death(child: &Process) {
    for task in child.threads() {
        let number = task.parent_death_signal.load(core::sync::atomic::Ordering::Relaxed);
        if let Some(signal) = Signal::new(number) {
            signal::send_to_task(&task, SigInfo::kernel(signal));
        }
    }
}

/// Collects the members of `member`'s group if the end of `gone` just orphaned it and it has stopped members (POSIX: SIGHUP,
/// then SIGCONT). Only the bond between `member` and `parent`, of another group in the same session, can have kept it from that.
fn note_if_newly_orphaned(
    tables: &Tables,
    member: &Process,
    parent: &Process,
    gone: &Process,
    hang_up: &mut Vec<Arc<Process>>,
) {
    let group = member.group();
    let was_bond = parent.group() != group && parent.session() == member.session();
    if !was_bond || !tables.is_orphaned(group, Some(gone.pid())) {
        return;
    }
    let others = || tables.all().filter(|other| other.group() == group && other.pid() != gone.pid());
    if others().any(|other| other.signals.is_stopped()) {
        hang_up.extend(others().cloned());
    }
}

/// SIGCHLD and wake-up for the parent; a child nobody wants to hear of is reaped at once.
fn tell_parent(process: &Arc<Process>, parent: &Arc<Process>, status: ExitStatus) {
    let automatic = process.exit_signal() == Signal::SIGCHLD.number() && parent.signals.ignores_children();
    if automatic {
        reap(process, None);
    }
    if let Some(number) = Signal::new(process.exit_signal()) {
        let uid = process.last_uid();
        let pid = registry().shown(process.pid(), parent.space());
        signal::send_to_process(parent, SigInfo::child_exit(number, pid, uid, status, &process.usage()));
    }
    parent.child_wait.wake(Events::IN);
}

/// Reaps the zombies among the children of a process that ignores SIGCHLD.
fn reap_ignored_children(parent: &Arc<Process>) {
    if !parent.signals.ignores_children() {
        return;
    }
    let children: Vec<_> = registry().lock().children(parent.pid()).to_vec();
    for child in children.iter().filter(|child| child.is_exited()) {
        reap(child, None);
    }
}

/// Removes a zombie; what it used goes to the account of whoever waited for it. False when somebody else was quicker.
pub(super) fn reap(process: &Arc<Process>, waiter: Option<&Process>) -> bool {
    let (entry, task) = {
        let mut tables = registry().lock();
        let entry = tables.remove_process(process.pid());
        (entry, tables.remove_task(process.pid()))
    };
    let reaped = entry.is_some();
    if let Some(parent) = waiter.filter(|_| reaped) {
        let mut usage = process.usage();
        usage.add(&process.children_usage());
        parent.account_child(&usage);
    }
    drop((entry, task));
    reaped
}
