//! What a thread itself does about its signals: masks, actions, waiting.

use super::action::SigAction;
use super::deliver::{settle_timer, take};
use super::info::SigInfo;
use super::number::{Signal, SignalSet};
use super::stack::StackT;
use super::{force, frame, send};
use crate::errno::Errno;
use crate::platform::platform;
use crate::syscall::Fail;
use crate::task::{Current, Process, Task};
use linux_raw_sys::general::MINSIGSTKSZ;

/// Replaces the running thread's mask.
pub fn set_mask(current: &mut Current, mask: SignalSet) {
    let task = &current.task;
    let process = &current.process;
    let (mask, old) = (mask.blockable(), task.signals.mask());
    let orphaned = {
        let group = process.signals.lock();
        task.signals.store_mask(mask);
        task.signals.recalculate(&group);
        !group.pending.set().intersection(mask.minus(old)).is_empty()
    };
    if orphaned {
        send::retarget(process, task, mask.minus(old));
    }
}

/// Replaces the mask of a thread that a tracer holds stopped.
pub fn set_mask_of(task: &Task, mask: SignalSet) {
    let group = task.process().signals.lock();
    task.signals.store_mask(mask.blockable());
    drop(group);
    // It looks again before it goes on.
    task.signals.flag();
}

/// Replaces the mask for the length of one call (ppoll, pselect, epoll_pwait). `restore_mask` ends it.
pub fn set_temporary_mask(current: &mut Current, mask: SignalSet) {
    let old = current.task.signals.mask();
    current.signal.saved_mask = Some(old);
    set_mask(current, mask);
}

/// Ends what `set_temporary_mask` began. `interrupted`: the call ends with EINTR or a restart; the signal then is delivered under
/// the temporary mask, and the old one comes back after its handler.
pub fn restore_mask(current: &mut Current, interrupted: bool) {
    if !interrupted && let Some(mask) = current.signal.saved_mask.take() {
        set_mask(current, mask);
    }
}

/// sigsuspend(2): waits under `mask` until a handler has run.
pub fn suspend(current: &mut Current, mask: SignalSet) -> Fail {
    set_temporary_mask(current, mask);
    wait_forever(current)
}

/// pause(2).
pub fn wait_forever(current: &mut Current) -> Fail {
    while !current.interrupted() {
        platform().park(None);
    }
    Fail::RestartUnlessHandled
}

/// What is pending for a thread, its process's signals included.
pub fn pending_for(task: &Task) -> SignalSet {
    task.signals.pending().union(task.process().signals.pending())
}

/// Takes a pending signal of `wanted` out, blocked or not: signalfd.
pub fn dequeue(task: &Task, wanted: SignalSet) -> Option<SigInfo> {
    let process = task.process();
    let info = {
        let mut group = process.signals.lock();
        take(task, &mut group, wanted)
    };
    info.map(|info| settle_timer(process, info))
}

/// sigtimedwait(2): takes a signal of `wanted`, waiting until `deadline_ns` for it. EAGAIN then, EINTR after another's handler.
pub fn dequeue_wait(current: &mut Current, wanted: SignalSet, deadline_ns: Option<u64>) -> Result<SigInfo, Errno> {
    let wanted = wanted.blockable();
    let task = current.task.clone();
    if let Some(info) = dequeue(&task, wanted) {
        return Ok(info);
    }
    if deadline_ns.is_some_and(|deadline| platform().monotonic_ns() >= deadline) {
        return Err(Errno::EAGAIN);
    }
    // While it waits the thread lets the wanted signals through, so that senders wake it; they count as blocked all the same.
    let real = task.signals.mask();
    task.signals_waiting(Some(real), real.minus(wanted));
    let interrupted = loop {
        if current.interrupted() {
            break true;
        }
        if deadline_ns.is_some_and(|deadline| platform().monotonic_ns() >= deadline) {
            break false;
        }
        platform().park(deadline_ns);
    };
    task.signals_waiting(None, real);
    let found = dequeue(&task, wanted);
    refresh(&task);
    found.ok_or(if interrupted { Errno::EINTR } else { Errno::EAGAIN })
}

impl Task {
    /// Begins or ends a sigtimedwait.
    fn signals_waiting(&self, real: Option<SignalSet>, mask: SignalSet) {
        let group = self.process().signals.lock();
        self.signals.lock().real_mask = real;
        self.signals.store_mask(mask);
        self.signals.recalculate(&group);
    }
}

fn refresh(task: &Task) {
    let group = task.process().signals.lock();
    task.signals.recalculate(&group);
}

/// sigaction(2): replaces an action and returns the old one. What becomes ignored is not pending any more.
pub fn set_action(process: &Process, signal: Signal, new: Option<SigAction>) -> Result<SigAction, Errno> {
    if new.is_some() && SignalSet::UNBLOCKABLE.contains(signal) {
        return Err(Errno::EINVAL);
    }
    let actions = process.signals.actions();
    let threads = process.threads();
    let mut table = actions.lock();
    let old = table.get(signal);
    if let Some(mut new) = new {
        new.flags = new.flags().bits();
        new.mask = new.mask().blockable().bits();
        table.set(signal, new);
        if new.ignores(signal) {
            let mut group = process.signals.lock();
            send::flush(process, &mut group, &threads, SignalSet::of(&[signal]));
        }
    }
    Ok(old)
}

/// sigaltstack(2): replaces the alternate stack and returns what was there.
pub fn set_alternate_stack(current: &mut Current, new: Option<&StackT>) -> Result<StackT, Errno> {
    let sp = current.regs.rsp;
    let old = current.signal.alternate.report(sp);
    if let Some(new) = new {
        current.signal.alternate.set(new, sp, u64::from(MINSIGSTKSZ))?;
    }
    Ok(old)
}

/// rt_sigreturn(2).
pub fn return_from_handler(current: &mut Current) -> Fail {
    if frame::leave(current).is_err() {
        force::force_fault(current, SigInfo::kernel(Signal::SIGSEGV));
    }
    Fail::NoReturn
}

/// execve: handlers go back to the default, the alternate stack and what was to be restarted are gone. Mask and pending stay.
pub fn reset_for_exec(current: &mut Current) {
    current.process.signals.reset_for_exec();
    current.process.timers.reset_for_exec();
    current.signal.reset_for_exec();
}
