//! The tracer's side: attaching, looking at stopped threads, letting them go on, and what wait4 tells.

use super::{Mode, State, TRACED, begin, end};
use crate::errno::Errno;
use crate::landlock::limits::may_trace;
use crate::signal::{self, SigInfo, Signal};
use crate::task::access::may_attach;
use crate::task::{Current, ExitStatus, OUTSIDE, Task, Tid, registry};
use crate::wait::{Events, wait_on};
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::ptrace as raw;

/// How a tracee goes on.
#[derive(Clone, Copy, Debug)]
pub struct Resume {
    /// With this signal, 0 for none.
    pub signal: u32,
    /// Until when.
    pub mode: Mode,
    /// One instruction.
    pub step: bool,
}

impl Default for Resume {
    fn default() -> Self {
        Self { signal: 0, mode: Mode::Continue, step: false }
    }
}

/// What wait4 tells of a tracee.
#[derive(Clone, Copy, Debug)]
pub enum News {
    /// It is in a stop with this code.
    Stopped(u32),
    /// It ended.
    Exited(ExitStatus),
}

/// PTRACE_TRACEME: the parent traces the caller.
pub fn trace_me(current: &Current) -> Result<(), Errno> {
    let parent = current.process.parent_pid();
    let allowed = |tracer: &Task| may_trace(&tracer.creds(), &current.creds);
    let tracer = registry().process(parent).and_then(|process| process.leader());
    if parent == OUTSIDE || !tracer.is_none_or(|tracer| allowed(&tracer)) || !begin(&current.task, parent, false, 0) {
        Err(Errno::EPERM)
    } else {
        Ok(())
    }
}

/// PTRACE_ATTACH and PTRACE_SEIZE.
pub fn attach(current: &Current, tid: Tid, seize: Option<u32>) -> Result<(), Errno> {
    if let Some(options) = seize
        && options & !raw::PTRACE_O_MASK != 0
    {
        return Err(Errno::EIO);
    }
    let task = registry().task(tid).ok_or(Errno::ESRCH)?;
    let own = Arc::ptr_eq(task.process(), &current.process);
    if own || task.process().is_exiting() || !may_attach(current, &task) {
        return Err(Errno::EPERM);
    }
    if !begin(&task, current.process.pid(), seize.is_some(), seize.unwrap_or(0)) {
        return Err(Errno::EPERM);
    }
    if seize.is_none() {
        signal::send_to_task(&task, SigInfo::kill(Signal::SIGSTOP, current.process.pid().raw(), current.creds.uid));
    }
    // One that is stopped already stops again, for the tracer.
    task.wake();
    Ok(())
}

/// The caller's tracee `tid`.
fn tracee(current: &Current, tid: Tid) -> Result<Arc<Task>, Errno> {
    let mine = Some(current.process.pid());
    let found = TRACED.lock().iter().find(|task| task.tid() == tid && task.trace.tracer() == mine).cloned();
    found.ok_or(Errno::ESRCH)
}

/// Does something with what a stopped tracee published; ESRCH where it is not stopped.
pub fn stopped<T>(
    current: &Current,
    tid: Tid,
    look: impl FnOnce(&mut State) -> Result<T, Errno>,
) -> Result<(Arc<Task>, T), Errno> {
    let task = tracee(current, tid)?;
    let result = {
        let mut state = task.trace.state.lock();
        if state.stop.is_none() || state.listening || state.resume.is_some() {
            return Err(Errno::ESRCH);
        }
        look(&mut state)?
    };
    Ok((task, result))
}

/// Lets a stopped tracee go on.
pub fn resume(current: &Current, tid: Tid, how: Resume) -> Result<(), Errno> {
    if how.signal != 0 && Signal::new(how.signal).is_none() {
        return Err(Errno::EIO);
    }
    let (task, ()) = stopped(current, tid, |state| {
        state.resume = Some(how);
        Ok(())
    })?;
    task.wake();
    Ok(())
}

/// PTRACE_DETACH.
pub fn detach(current: &Current, tid: Tid, signal: u32) -> Result<(), Errno> {
    let how = Resume { signal, ..Resume::default() };
    if signal != 0 && Signal::new(signal).is_none() {
        return Err(Errno::EIO);
    }
    let (task, ()) = stopped(current, tid, |state| {
        state.resume = Some(how);
        Ok(())
    })?;
    end(&task);
    Ok(())
}

/// PTRACE_INTERRUPT: EIO for one that was not seized.
pub fn interrupt(current: &Current, tid: Tid) -> Result<(), Errno> {
    let task = tracee(current, tid)?;
    if !task.trace.is_seized() {
        return Err(Errno::EIO);
    }
    task.signals.ask_trap();
    task.wake();
    Ok(())
}

/// PTRACE_LISTEN: EIO outside of a seized thread's group stop.
pub fn listen(current: &Current, tid: Tid) -> Result<(), Errno> {
    let (task, ()) = stopped(current, tid, |state| {
        let event = state.stop.is_some_and(|stop| stop.code >> 8 == raw::PTRACE_EVENT_STOP);
        if !state.seized || !event {
            return Err(Errno::EIO);
        }
        state.listening = true;
        Ok(())
    })?;
    // A trap that is due already ends it at once.
    task.wake();
    Ok(())
}

/// A stopped tracee's vector state, which it has to save first; or `change`s it.
pub fn vector<T>(current: &Current, tid: Tid, look: impl FnOnce(&mut Vec<u8>) -> T, change: bool) -> Result<T, Errno> {
    let (task, ()) = stopped(current, tid, |state| {
        state.vector_wanted = true;
        Ok(())
    })?;
    task.wake();
    let gone = || current.task.is_doomed() || !task.trace.is_stopped();
    wait_on(&[(&task.trace.queue, Events::IN)], false, None, &gone, || {
        task.trace.state.lock().vector.is_some().then_some(())
    })
    .map_err(|_| Errno::ESRCH)?;
    stopped(current, tid, |state| {
        state.vector_changed |= change;
        state.vector.as_mut().map(look).ok_or(Errno::ESRCH)
    })
    .map(|(_, result)| result)
}

/// The threads that a process traces.
pub fn tracees_of(tracer: Tid) -> Vec<Arc<Task>> {
    TRACED.lock().iter().filter(|task| task.trace.tracer() == Some(tracer)).cloned().collect()
}

/// What wait4 has not told of a tracee yet. `keep` (WNOWAIT) leaves it untold.
pub fn news(task: &Arc<Task>, exited: bool, keep: bool) -> Option<News> {
    let found = {
        let mut state = task.trace.state.lock();
        if let Some(status) = state.exited {
            exited.then_some(News::Exited(status))
        } else if let Some(stop) = state.stop.filter(|_| !state.reported) {
            state.reported = !keep;
            Some(News::Stopped(stop.code))
        } else {
            None
        }
    };
    if let (Some(News::Exited(_)), false) = (found, keep) {
        end(task);
    }
    found
}

impl State {
    /// PTRACE_SETSIGINFO.
    pub fn set_info(&mut self, info: SigInfo) {
        if let Some(stop) = &mut self.stop {
            stop.info = Some(info);
        }
        self.stop_info = Some(info);
    }
}
