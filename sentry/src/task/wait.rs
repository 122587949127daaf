//! Waiting for children: wait4(2), waitid(2).

use super::registry::registry;
use super::trace::{self, News};
use super::{Current, ExitStatus, Process, Task, Tid, Usage, exit};
use crate::errno::Errno;
use crate::signal::StopChange;
use crate::syscall::Fail;
use crate::wait::Events;
use alloc::sync::Arc;
use bitflags::bitflags;
use linux_raw_sys::general as raw;

bitflags! {
    /// Options of wait4 and waitid.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    #[allow(missing_docs)]
    pub struct WaitOptions: u32 {
        const NOHANG = raw::WNOHANG;
        const UNTRACED = raw::WUNTRACED;
        const EXITED = raw::WEXITED;
        const CONTINUED = raw::WCONTINUED;
        const NOWAIT = raw::WNOWAIT;
        const NOTHREAD = raw::__WNOTHREAD;
        const ALL = raw::__WALL;
        const CLONE = raw::__WCLONE;
    }
}
crate::flags_from_arg!(WaitOptions, EINVAL);

/// Which children.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// Any.
    Any,
    /// The one with this number.
    Pid(Tid),
    /// Those in this group.
    Group(Tid),
}

/// What a child did.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// It ended.
    Exited(ExitStatus),
    /// It stopped by this signal.
    Stopped(u8),
    /// It goes on.
    Continued,
    /// It is a tracee in a stop with this code.
    Trapped(u32),
}

/// A child's news.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// The child, as its parent calls it.
    pub pid: Tid,
    /// Its real user.
    pub uid: u32,
    /// What it did.
    pub change: Change,
    /// What it used.
    pub usage: Usage,
}

/// Waits for news of a child. `None` with WNOHANG when there is none; ECHILD when there is no such child.
pub fn wait(current: &Current, which: Which, options: WaitOptions) -> Result<Option<Report>, Fail> {
    let process = &current.process;
    let found = current.wait(&process.child_wait, Events::IN, None, || match poll(process, which, options) {
        Ok(None) if !options.contains(WaitOptions::NOHANG) => None,
        result => Some(result),
    });
    Ok(found??)
}

/// Looks once.
fn poll(parent: &Process, which: Which, options: WaitOptions) -> Result<Option<Report>, Errno> {
    let children = registry().lock().children(parent.pid()).to_vec();
    let mut any = false;
    for tracee in trace::tracees_of(parent.pid()).iter().filter(|task| matches_tracee(task, parent, which)) {
        any = true;
        let keep = options.contains(WaitOptions::NOWAIT);
        if let Some(news) = trace::news(tracee, options.contains(WaitOptions::EXITED), keep) {
            let change = match news {
                News::Stopped(code) => Change::Trapped(code),
                News::Exited(status) => Change::Exited(status),
            };
            let uid = tracee.creds().uid;
            let pid = registry().shown(tracee.tid(), parent.space());
            return Ok(Some(Report { pid, uid, change, usage: tracee.usage() }));
        }
    }
    for child in children.iter().filter(|child| matches(child, parent, which, options)) {
        any = true;
        if let Some(report) = news(child, parent, options) {
            return Ok(Some(report));
        }
    }
    if any { Ok(None) } else { Err(Errno::ECHILD) }
}

fn matches_tracee(task: &Task, parent: &Process, which: Which) -> bool {
    match which {
        Which::Any => true,
        Which::Pid(pid) => task.tid() == pid,
        Which::Group(group) if group.raw() == 0 => task.process().group() == parent.group(),
        Which::Group(group) => task.process().group() == group,
    }
}

fn matches(child: &Process, parent: &Process, which: Which, options: WaitOptions) -> bool {
    // A "clone child" tells its parent of its end by something else than SIGCHLD (wait(2), __WCLONE).
    let clone_child = child.exit_signal() != crate::signal::Signal::SIGCHLD.number();
    if !options.contains(WaitOptions::ALL) && clone_child != options.contains(WaitOptions::CLONE) {
        return false;
    }
    match which {
        Which::Any => true,
        Which::Pid(pid) => child.pid() == pid,
        Which::Group(group) if group.raw() == 0 => child.group() == parent.group(),
        Which::Group(group) => child.group() == group,
    }
}

fn news(child: &Arc<Process>, parent: &Process, options: WaitOptions) -> Option<Report> {
    let keep = options.contains(WaitOptions::NOWAIT);
    // Before it is reaped, and its number gone.
    let pid = registry().shown(child.pid(), parent.space());
    let report = |change| Report { pid, uid: child.last_uid(), change, usage: child.usage() };
    if let Some(status) = child.exited() {
        let wanted = options.contains(WaitOptions::EXITED);
        return (wanted && (keep || exit::reap(child, Some(parent)))).then(|| report(Change::Exited(status)));
    }
    let mine = |task: Arc<Task>| task.trace.tracer() == Some(parent.pid());
    let traced = child.leader().is_some_and(mine);
    match child.signals.take_stop_change(
        options.contains(WaitOptions::UNTRACED) && !traced,
        options.contains(WaitOptions::CONTINUED),
        keep,
    )? {
        StopChange::Stopped(signal) => Some(report(Change::Stopped(signal.number() as u8))),
        StopChange::Continued => Some(report(Change::Continued)),
    }
}
