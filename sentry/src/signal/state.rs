//! Where signals are kept: `ProcessSignals`, `TaskSignals`, and `ThreadSignalState`, which only the thread itself sees.
//!
//! Everything mutable of one process's signals, its threads' pending sets included, changes under the process's group lock.
//! Lock order: actions, group, a thread's set (a second lock of the group's rank). Wake-ups happen after all are released.

use super::action::{ActionFlags, Actions, SigAction};
use super::number::{Signal, SignalSet};
use super::pending::Pending;
use crate::sync::{Lock, LockGuard, Rank};
use crate::syscall::SysResult;
use crate::task::Current;
use crate::wait::WaitQueue;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Signal state of one thread that others may see and change.
pub struct TaskSignals {
    /// The one word that the system-call path looks at: `DELIVERABLE` and so on. Set by anybody, cleared by the thread itself only.
    attention: AtomicU32,
    /// Parked because the process is stopped.
    stopped: AtomicBool,
    /// A tracer wants it to stop (PTRACE_INTERRUPT).
    trap: AtomicBool,
    /// It told its tracer of the present group stop, and was let go.
    trapped: AtomicBool,
    /// Blocked signals. Written by the thread itself, under the group lock.
    mask: AtomicU64,
    pending: Lock<TaskPending>,
}

/// `TaskSignals::attention`: an unblocked signal is pending, or the thread must stop.
const DELIVERABLE: u32 = 1;
/// It must end as soon as it can.
const DOOMED: u32 = 2;
/// A tracer may have changed its registers in the middle of a call.
const CHANGED: u32 = 4;

/// The part under lock.
#[derive(Default)]
pub(super) struct TaskPending {
    pub(super) pending: Pending,
    /// The mask that sigtimedwait replaces while it waits: what it waits for is blocked all the same, so not ignored.
    pub(super) real_mask: Option<SignalSet>,
    /// Asked to take part in a group stop, and has not yet.
    pub(super) stop_pending: bool,
    /// The thread ends: it takes no signal any more.
    pub(super) exiting: bool,
}

impl Default for TaskSignals {
    fn default() -> Self {
        Self::new(SignalSet::EMPTY)
    }
}

impl TaskSignals {
    /// The state of a new thread, with an inherited mask.
    pub fn new(mask: SignalSet) -> Self {
        Self {
            attention: AtomicU32::new(0),
            stopped: AtomicBool::new(false),
            trap: AtomicBool::new(false),
            trapped: AtomicBool::new(false),
            mask: AtomicU64::new(mask.bits()),
            pending: Lock::new(Rank::SignalQueue, TaskPending::default()),
        }
    }

    /// The state of a thread that this one makes: its mask, nothing pending.
    pub fn for_child(&self) -> Self {
        Self::new(self.mask())
    }

    /// Whether anything at all is to be seen to before the thread goes back to its program.
    #[inline]
    pub fn needs_attention(&self) -> bool {
        self.attention.load(Ordering::Acquire) != 0
    }

    /// Whether an unblocked signal is pending, for the thread or its process, or the thread must stop.
    #[inline]
    pub fn deliverable(&self) -> bool {
        self.attention.load(Ordering::Acquire) & DELIVERABLE != 0
    }

    /// Whether the thread must end as soon as it can.
    #[inline]
    pub fn is_doomed(&self) -> bool {
        self.attention.load(Ordering::Acquire) & DOOMED != 0
    }

    /// Whether the thread must look at its signals, or end: what ends interruptible waits.
    #[inline]
    pub fn interrupts(&self) -> bool {
        self.attention.load(Ordering::Acquire) & (DELIVERABLE | DOOMED) != 0
    }

    /// Makes the thread end as soon as it can. Whoever calls this wakes it afterwards.
    pub fn doom(&self) {
        self.attention.fetch_or(DOOMED, Ordering::AcqRel);
    }

    /// The registers are others than those with which the program made its call. By the thread itself.
    pub fn set_changed(&self) {
        self.attention.fetch_or(CHANGED, Ordering::Relaxed);
    }

    /// The program goes on with all registers as they are now. By the thread itself.
    pub fn clear_changed(&self) {
        self.attention.fetch_and(!CHANGED, Ordering::Relaxed);
    }

    /// What the thread blocks.
    #[inline]
    pub fn mask(&self) -> SignalSet {
        SignalSet::from_bits(self.mask.load(Ordering::Relaxed))
    }

    /// Whether the thread is stopped by job control (state T).
    pub fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Signals pending for the thread alone.
    pub fn pending(&self) -> SignalSet {
        self.pending.lock().pending.set()
    }

    /// Whether it told its tracer of the present group stop: until it is traced no more, that stop does not concern it.
    pub(super) fn trapped(&self) -> bool {
        self.trapped.load(Ordering::Relaxed)
    }

    pub(super) fn set_trapped(&self, trapped: bool) {
        self.trapped.store(trapped, Ordering::Relaxed);
    }

    /// Asks for a stop that only a tracer sees. Whoever calls this wakes the thread afterwards.
    pub fn ask_trap(&self) {
        self.trap.store(true, Ordering::Release);
        self.flag();
    }

    /// Whether such a stop is due, once.
    pub fn take_trap(&self) -> bool {
        self.trap.swap(false, Ordering::AcqRel)
    }

    /// Nobody traces the thread any more: a stop of its process concerns it again.
    pub fn untrap(&self) {
        self.set_trapped(false);
        self.trap.store(false, Ordering::Release);
        self.flag();
    }

    pub(crate) fn set_stopped(&self, stopped: bool) {
        self.stopped.store(stopped, Ordering::Relaxed);
    }

    /// Sets the mask; the group lock is held.
    pub(super) fn store_mask(&self, mask: SignalSet) {
        self.mask.store(mask.blockable().bits(), Ordering::Relaxed);
    }

    /// Asks the thread to look at its signals. Whoever calls this wakes the thread afterwards.
    pub(super) fn flag(&self) {
        self.attention.fetch_or(DELIVERABLE, Ordering::AcqRel);
    }

    /// The part under lock; the group lock is held.
    pub(super) fn lock(&self) -> LockGuard<'_, TaskPending> {
        self.pending.lock_second()
    }

    /// Makes the flag say what is so. Called by the thread itself, with the group lock held.
    pub(super) fn recalculate(&self, group: &Group) {
        let own = self.lock();
        let pending = own.pending.set().union(group.pending.set());
        let due = !pending.minus(self.mask()).is_empty()
            || own.stop_pending
            || group.stop.is_some() && !self.trapped()
            || self.trap.load(Ordering::Acquire)
            || group.notify_continued;
        if due {
            self.flag();
        } else {
            self.attention.fetch_and(!DELIVERABLE, Ordering::AcqRel);
        }
    }
}

/// Signal state of a process.
pub struct ProcessSignals {
    actions: Lock<Arc<Actions>>,
    group: Lock<Group>,
    /// Instances queued for the process and its threads.
    queued: AtomicUsize,
    queue: WaitQueue,
}

/// The part under lock.
#[derive(Default)]
pub(super) struct Group {
    pub(super) pending: Pending,
    /// A group stop that is under way or complete.
    pub(super) stop: Option<Stop>,
    /// A thread has to tell the parent that the process continued (or that it had stopped before that).
    pub(super) notify_continued: bool,
    /// What wait4 has not seen yet.
    pub(super) report: Option<StopChange>,
    /// Ignores signals whose default action would end it: the first process of a PID namespace.
    pub(super) unkillable: bool,
    /// Where the search for a thread to take the next signal begins.
    pub(super) next_thread: usize,
}

/// A group stop.
#[derive(Clone, Copy)]
pub(super) struct Stop {
    pub(super) signal: Signal,
    /// Threads that have yet to stop.
    pub(super) remaining: usize,
}

/// What wait4 reports of a process that has not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopChange {
    /// It stopped on this signal.
    Stopped(Signal),
    /// It continued.
    Continued,
}

impl Default for ProcessSignals {
    fn default() -> Self {
        Self::new(Arc::new(Actions::default()))
    }
}

impl ProcessSignals {
    /// The state of a new process with these actions: shared (CLONE_SIGHAND) or a duplicate (fork).
    pub fn new(actions: Arc<Actions>) -> Self {
        Self {
            actions: Lock::new(Rank::SignalActions, actions),
            group: Lock::new(Rank::SignalQueue, Group::default()),
            queued: AtomicUsize::new(0),
            queue: WaitQueue::new(),
        }
    }

    /// The actions.
    pub fn actions(&self) -> Arc<Actions> {
        self.actions.lock().clone()
    }

    /// What the process does with `signal`.
    pub fn action(&self, signal: Signal) -> SigAction {
        self.actions().get(signal)
    }

    /// The state of a forked process: its actions are shared (CLONE_SIGHAND), or a copy, or all default (CLONE_CLEAR_SIGHAND).
    pub fn for_child(&self, share: bool, clear: bool) -> Self {
        let actions = self.actions();
        Self::new(match (share, clear) {
            (true, _) => actions,
            (false, true) => Arc::new(actions.for_exec()),
            (false, false) => Arc::new(actions.duplicate()),
        })
    }

    /// execve: handlers are gone, and the table is the process's own again.
    pub(super) fn reset_for_exec(&self) {
        let fresh = Arc::new(self.actions().for_exec());
        let old = core::mem::replace(&mut *self.actions.lock(), fresh);
        drop(old);
    }

    /// Whether children that end leave no zombie: SIGCHLD is ignored, or its action has SA_NOCLDWAIT.
    pub fn ignores_children(&self) -> bool {
        let action = self.action(Signal::SIGCHLD);
        action.handler == SigAction::IGNORE || action.flags().contains(ActionFlags::NOCLDWAIT)
    }

    /// Signals pending for the process as a whole.
    pub fn pending(&self) -> SignalSet {
        self.group.lock().pending.set()
    }

    /// Woken whenever a signal becomes pending, blocked or not: signalfd.
    pub fn queue(&self) -> &WaitQueue {
        &self.queue
    }

    /// Instances queued now: `SigQ` of `/proc/PID/status`.
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Makes the process deaf to signals whose default action would end it, as the first of a PID namespace is.
    pub fn set_unkillable(&self, unkillable: bool) {
        self.group.lock().unkillable = unkillable;
    }

    /// Whether the process is stopped by job control.
    pub fn is_stopped(&self) -> bool {
        self.group.lock().stop.is_some_and(|stop| stop.remaining == 0)
    }

    /// The signal on which the process stopped or is stopping.
    pub fn stop_signal(&self) -> Option<Signal> {
        self.group.lock().stop.map(|stop| stop.signal)
    }

    /// What waitpid(WUNTRACED, WCONTINUED) reports: the stop or the continuation that it has not reported yet.
    /// `keep` (WNOWAIT) leaves it unreported.
    pub fn take_stop_change(&self, stopped: bool, continued: bool, keep: bool) -> Option<StopChange> {
        let mut group = self.group.lock();
        let report = group.report?;
        let wanted = if report == StopChange::Continued { continued } else { stopped };
        if !wanted {
            return None;
        }
        if !keep {
            group.report = None;
        }
        Some(report)
    }

    pub(super) fn lock(&self) -> LockGuard<'_, Group> {
        self.group.lock()
    }

    /// Moves the count of queued instances from `before` to `after`.
    pub(super) fn count(&self, before: usize, after: usize) {
        self.queued.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }
}

/// What `restart_syscall` goes on with.
pub type RestartBlock = Box<dyn FnOnce(&mut Current) -> SysResult + Send>;

/// Signal state that only the thread itself touches.
#[derive(Default)]
pub struct ThreadSignalState {
    /// sigaltstack(2).
    pub(super) alternate: super::stack::AlternateStack,
    /// The mask to go back to after the call (sigsuspend, ppoll …), or after the handler that ends it.
    pub(super) saved_mask: Option<SignalSet>,
    /// The rest of an interrupted sleep.
    pub(super) restart: Option<RestartBlock>,
    /// The last fault, for handlers' contexts.
    pub(super) last_fault: FaultRecord,
    /// A tracer wants one instruction at a time.
    pub(crate) step: bool,
    /// The number of the system call it is in, as a tracer sees it.
    pub(crate) call: Option<u64>,
    /// Where a vector state is on its way to or from a frame. Kept, so that a handler costs no block of the heap.
    pub(super) vector: Vec<u8>,
}

impl ThreadSignalState {
    /// The state of a thread made by clone(2). `keep_stack`: without CLONE_VM (or with CLONE_VFORK) the child has its parent's
    /// alternate stack.
    pub fn for_child(&self, keep_stack: bool) -> Self {
        let alternate = if keep_stack { self.alternate } else { Default::default() };
        Self { alternate, ..Default::default() }
    }

    /// What restart_syscall goes on with, once.
    pub fn take_restart(&mut self) -> Option<RestartBlock> {
        self.restart.take()
    }

    /// execve: no alternate stack, no interrupted call.
    pub(super) fn reset_for_exec(&mut self) {
        *self = Self { saved_mask: self.saved_mask, step: self.step, call: self.call, ..Default::default() };
    }
}

/// `trapno`, `err` and `cr2` of a handler's context.
#[derive(Clone, Copy, Default)]
pub(super) struct FaultRecord {
    pub(super) vector: u64,
    pub(super) error: u64,
    pub(super) address: u64,
}
