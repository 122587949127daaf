//! Delivery: what a thread does with its signals before it returns to user mode.

use super::action::{ActionFlags, SigAction};
use super::frame;
use super::info::SigInfo;
use super::number::{DefaultAction, SignalSet};
use super::send::end_by;
use super::{force, stop};
use crate::coredump;
use crate::errno::Errno;
use crate::syscall::Fail;
use crate::task::{Current, ExitStatus, Task, rseq, trace};
use linux_raw_sys::general as raw;

/// Where the thread goes after its signals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AfterSignals {
    /// On, to user mode: into a handler or back to where it was.
    Continue,
    /// Out: the thread ends, and this is what its process's end looks like.
    Exit(ExitStatus),
}

/// The length of the SYSCALL instruction: how far to go back for a call to be made again.
const SYSCALL_BYTES: u64 = 2;

/// What one look at the pending signals found.
enum Next {
    Nothing,
    Again,
    Exit(ExitStatus),
    Handle(SigInfo, SigAction),
}

/// Delivers every pending signal. Called before each return to user mode where `TaskSignals::deliverable`, and with a call's
/// number and `Fail::Restart…`, whatever that says.
pub fn deliver_pending(current: &mut Current, interrupted: Option<(u64, Fail)>) -> AfterSignals {
    let mut interrupted = interrupted;
    show_interrupted(current, interrupted.as_ref());
    loop {
        let step = next(current);
        if interrupted.is_some() && current.task.trace.is_traced() && current.signal.call.is_none() {
            // The tracer took the thread elsewhere.
            interrupted = None;
        }
        match step {
            Next::Nothing => break,
            Next::Again => {}
            Next::Exit(status) => return AfterSignals::Exit(status),
            Next::Handle(info, action) => {
                if let Some((number, fail)) = interrupted.take() {
                    settle_for_handler(current, number, fail, action.flags());
                }
                handle(current, &info, &action);
            }
        }
    }
    if let Some((number, fail)) = interrupted {
        restart(current, number, fail);
    } else if let Some(number) = current.signal.call.filter(|_| trace::is_restart(current.regs.rax)) {
        // A tracer put back the registers of a call that it had found interrupted.
        restart(current, number, Fail::Restart);
    }
    current.signal.call = None;
    trace::settle_step(current);
    if let Some(mask) = current.signal.saved_mask.take() {
        // The call that replaced the mask is over and no handler did it: what the old mask lets through is looked at now.
        super::set_mask(current, mask);
        if current.task.signals.deliverable() {
            return deliver_pending(current, None);
        }
    }
    AfterSignals::Continue
}

/// A tracer sees the call that was interrupted, and that it is to be made again.
fn show_interrupted(current: &mut Current, interrupted: Option<&(u64, Fail)>) {
    if let Some((number, fail)) = interrupted
        && current.task.trace.is_traced()
        && let Some(code) = trace::restart_code(fail)
    {
        current.signal.call = Some(*number);
        current.regs.rax = code;
    }
}

/// Takes one signal and does what needs no handler.
fn next(current: &mut Current) -> Next {
    let process = current.process.clone();
    if current.task.is_doomed() {
        return Next::Exit(process.ending().unwrap_or(ExitStatus::Code(0)));
    }
    stop::notify_continued(&process);
    trace::wanted_stop(current);
    stop::park_while_stopped(current);
    let actions = process.signals.actions();
    let info = {
        let mut group = process.signals.lock();
        let wanted = current.task.signals.mask().complement();
        let taken = take(&current.task, &mut group, wanted);
        let Some(info) = taken else {
            current.task.signals.recalculate(&group);
            let stopped = group.stop.is_some() && !current.task.signals.trapped();
            let again = stopped || group.notify_continued || current.task.is_doomed();
            return if again { Next::Again } else { Next::Nothing };
        };
        info
    };
    let Some(info) = trace::signal_stop(current, settle_timer(&process, info)) else { return Next::Again };
    let signal = info.signal();
    let action = {
        let mut table = actions.lock();
        let action = table.get(signal);
        if action.handler != SigAction::DEFAULT && action.flags().contains(ActionFlags::RESETHAND) {
            table.set(signal, SigAction { handler: SigAction::DEFAULT, ..action });
        }
        action
    };
    match action.handler {
        SigAction::IGNORE => Next::Again,
        SigAction::DEFAULT => default_action(current, &info),
        _ => Next::Handle(info, action),
    }
}

/// The most urgent signal: the thread's own faults, its other signals, the process's.
pub(super) fn take(task: &Task, group: &mut super::state::Group, wanted: SignalSet) -> Option<SigInfo> {
    let counted = &task.process().signals;
    {
        let mut own = task.signals.lock();
        let before = own.pending.len();
        let info = own.pending.take_synchronous(wanted).or_else(|| own.pending.take(wanted));
        counted.count(before, own.pending.len());
        if info.is_some() {
            return info;
        }
    }
    let before = group.pending.len();
    let info = group.pending.take(wanted);
    counted.count(before, group.pending.len());
    info
}

/// A timer counts what it missed until its signal is taken.
pub(super) fn settle_timer(process: &crate::task::Process, info: SigInfo) -> SigInfo {
    if info.code() == raw::SI_TIMER { process.timers.signal_taken(info) } else { info }
}

fn default_action(current: &mut Current, info: &SigInfo) -> Next {
    let signal = info.signal();
    let action = signal.default_action();
    if matches!(action, DefaultAction::Ignore | DefaultAction::Continue) {
        return Next::Again;
    }
    if current.process.signals.lock().unkillable && !SignalSet::UNBLOCKABLE.contains(signal) {
        return Next::Again;
    }
    if action == DefaultAction::Stop {
        if stop::may_stop(&current.process, signal) {
            stop::stop_group(current, signal);
        }
        return Next::Again;
    }
    if action == DefaultAction::Core
        && let Some(status) = coredump::write(current, info)
    {
        return Next::Exit(status);
    }
    Next::Exit(end_by(&current.process, signal))
}

/// Enters a handler; where its frame cannot be built the thread gets SIGSEGV, and no handler for that one if it was that one.
fn handle(current: &mut Current, info: &SigInfo, action: &SigAction) {
    let saved = current.signal.saved_mask.take().unwrap_or_else(|| current.task.signals.mask());
    let signal = info.signal();
    if rseq::interrupted(current).is_err() {
        force::force_after_bad_frame(current, signal);
        return;
    }
    if frame::enter(current, info, action, saved).is_err() {
        force::force_after_bad_frame(current, signal);
        return;
    }
    let mut mask = current.task.signals.mask().union(action.mask());
    if !action.flags().contains(ActionFlags::NODEFER) {
        mask = mask.with(signal);
    }
    super::set_mask(current, mask);
    current.signal.alternate.auto_disarm();
}

/// An interrupted call's end, when a handler runs.
fn settle_for_handler(current: &mut Current, number: u64, fail: Fail, flags: ActionFlags) {
    let again = match fail {
        Fail::RestartAlways => true,
        Fail::Restart => flags.contains(ActionFlags::RESTART),
        Fail::RestartUnlessHandled | Fail::RestartWith(_) => false,
        _ => return,
    };
    if again {
        current.regs.rax = number;
        current.regs.rip = current.regs.rip.wrapping_sub(SYSCALL_BYTES);
    } else {
        current.regs.rax = Errno::EINTR.to_ret();
    }
}

/// An interrupted call's end, when none does: it is made again.
fn restart(current: &mut Current, number: u64, fail: Fail) {
    match fail {
        Fail::Restart | Fail::RestartAlways | Fail::RestartUnlessHandled => current.regs.rax = number,
        Fail::RestartWith(block) => {
            current.signal.restart = Some(block);
            current.regs.rax = u64::from(raw::__NR_restart_syscall);
        }
        _ => return,
    }
    current.regs.rip = current.regs.rip.wrapping_sub(SYSCALL_BYTES);
}
