//! ptrace(2): who traces whom, and what a tracer is told and may change.
//!
//! A tracee stops by itself (`stop`): it publishes its registers in its `Trace`, tells the tracer, and parks. The tracer works on
//! what was published; the tracee takes it back when it is resumed. Vector state is fetched only when it is asked for. A tracer is
//! a process here, whichever of its threads asks.
//!
//! Nothing here costs an untraced sandbox anything: the system-call path looks at one flag for everything that is rare
//! (`syscall::policy`), the rest is on paths that signals take. Locks: all are leaves.

mod events;
mod stop;
mod syscall;
#[cfg(test)]
mod tests;
mod tracer;

pub use events::{clone_event, cloned, executed, exiting, forget_dead, thread_gone, tracer_gone, vfork_done};
pub(crate) use stop::clear_step;
pub use stop::{Kind, Stop, event_stop, filter_stop, group_stop, settle_step, signal_stop, wanted_stop};
pub use syscall::{is_restart, restart_code, serve_traced};
pub use tracer::{
    News, Resume, attach, detach, interrupt, listen, news, resume, stopped, trace_me, tracees_of, vector,
};

use super::{ExitStatus, Process, Task, Tid};
use crate::platform::UserContext;
use crate::signal::SigInfo;
use crate::sync::{Lock, Rank};
use crate::syscall::policy;
use crate::wait::WaitQueue;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// Every thread that is traced, and those that ended and whose tracers have not heard of it.
static TRACED: Lock<Vec<Arc<Task>>> = Lock::new(Rank::Deferred, Vec::new());

/// What a tracee does until its next stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Mode {
    /// Runs.
    Continue = 0,
    /// Stops before and after the next system call.
    Syscall = 1,
    /// Stops before the next system call, which is not made.
    Emulate = 2,
}

/// A thread's side of ptrace.
pub struct Trace {
    /// The tracer's process, 0 for none.
    tracer: AtomicU32,
    mode: AtomicU8,
    state: Lock<State>,
    /// Woken when the tracee did what the tracer waits for.
    queue: WaitQueue,
}

/// What tracer and tracee hand each other.
#[derive(Default)]
pub struct State {
    /// PTRACE_O_*.
    pub options: u32,
    /// PTRACE_SEIZE rather than PTRACE_ATTACH or PTRACE_TRACEME.
    pub seized: bool,
    /// The stop it is in.
    pub stop: Option<Stop>,
    /// wait4 has told of the stop.
    pub reported: bool,
    /// PTRACE_LISTEN: the stop lasts, but the tracer is done with it.
    pub listening: bool,
    /// PTRACE_GETEVENTMSG.
    pub message: u64,
    /// The registers in the stop.
    pub regs: UserContext,
    /// The number of the system call it is in.
    pub call: Option<u64>,
    vector: Option<Vec<u8>>,
    vector_wanted: bool,
    vector_changed: bool,
    resume: Option<Resume>,
    exited: Option<ExitStatus>,
    /// PTRACE_SETSIGINFO.
    stop_info: Option<SigInfo>,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            tracer: AtomicU32::new(0),
            mode: AtomicU8::new(Mode::Continue as u8),
            state: Lock::new(Rank::Leaf, State::default()),
            queue: WaitQueue::new(),
        }
    }
}

impl Trace {
    /// Whether anyone traces the thread.
    #[inline]
    pub fn is_traced(&self) -> bool {
        self.tracer.load(Ordering::Acquire) != 0
    }

    /// The tracer's process.
    pub fn tracer(&self) -> Option<Tid> {
        Some(self.tracer.load(Ordering::Acquire)).filter(|pid| *pid != 0).map(Tid::new)
    }

    /// Whether it is in a stop.
    pub fn is_stopped(&self) -> bool {
        self.state.lock().stop.is_some()
    }

    /// Whether it was seized.
    pub fn is_seized(&self) -> bool {
        self.is_traced() && self.state.lock().seized
    }

    /// Whether an option is set.
    pub fn has_option(&self, option: u32) -> bool {
        self.is_traced() && self.state.lock().options & option != 0
    }

    fn mode(&self) -> Mode {
        match self.mode.load(Ordering::Relaxed) {
            1 => Mode::Syscall,
            2 => Mode::Emulate,
            _ => Mode::Continue,
        }
    }

    fn set_mode(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::Relaxed);
    }
}

/// The traced threads of a process.
fn tracees_in(process: &Arc<Process>) -> Vec<Arc<Task>> {
    TRACED.lock().iter().filter(|task| Arc::ptr_eq(task.process(), process)).cloned().collect()
}

/// Makes `tracer` the tracer of a thread that has none.
fn begin(task: &Arc<Task>, tracer: Tid, seized: bool, options: u32) -> bool {
    let free = task.trace.tracer.compare_exchange(0, tracer.raw(), Ordering::AcqRel, Ordering::Relaxed).is_ok();
    if free {
        {
            let mut state = task.trace.state.lock();
            let old = core::mem::replace(&mut *state, State { seized, options, ..State::default() });
            if old.stop.is_some() || old.resume.is_some() {
                // It has not left the stop that its last tracer found it in: it goes on with what that one made of it.
                let Resume { signal, .. } = old.resume.unwrap_or_default();
                state.resume = Some(Resume { signal, ..Resume::default() });
                (state.regs, state.call, state.stop_info) = (old.regs, old.call, old.stop_info);
                (state.vector, state.vector_changed) = (old.vector, old.vector_changed);
            }
        }
        TRACED.lock().push(task.clone());
        policy::set_tracing(true);
    }
    free
}

/// Ends it. The tracee goes on by itself.
fn end(task: &Arc<Task>) {
    task.trace.tracer.store(0, Ordering::Release);
    task.trace.set_mode(Mode::Continue);
    let gone = {
        let mut traced = TRACED.lock();
        let gone = traced.iter().position(|other| Arc::ptr_eq(other, task)).map(|index| traced.swap_remove(index));
        policy::set_tracing(!traced.is_empty());
        gone
    };
    drop(gone);
    task.signals.untrap();
    task.wake();
}
