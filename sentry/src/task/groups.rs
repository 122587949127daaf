//! Process groups and sessions: setpgid(2), setsid(2).

use super::registry::registry;
use super::{Current, Tid};
use crate::errno::Errno;

/// Puts process `pid` (0: the caller) in `group` (0: its own number).
pub fn set_group(current: &Current, pid: Tid, group: Tid) -> Result<(), Errno> {
    let me = &current.process;
    let pid = if pid.raw() == 0 { me.pid() } else { pid };
    let group = if group.raw() == 0 { pid } else { group };
    if (group.raw() as i32) < 0 {
        return Err(Errno::EINVAL);
    }
    let tables = registry().lock();
    let process = tables.process(pid).ok_or(Errno::ESRCH)?;
    if pid != me.pid() {
        if process.parent_pid() != me.pid() {
            return Err(Errno::ESRCH);
        }
        if process.session() != me.session() {
            return Err(Errno::EPERM);
        }
        if process.has_execed() {
            return Err(Errno::EACCES);
        }
    }
    if process.is_session_leader() {
        return Err(Errno::EPERM);
    }
    let exists = group == pid || tables.all().any(|other| other.group() == group && other.session() == me.session());
    if !exists {
        return Err(Errno::EPERM);
    }
    process.set_group(group, process.session());
    Ok(())
}

/// The group of `pid` (0: the caller).
pub fn group_of(current: &Current, pid: Tid) -> Result<Tid, Errno> {
    if pid.raw() == 0 {
        return Ok(current.process.group());
    }
    registry().task(pid).map(|task| task.process().group()).ok_or(Errno::ESRCH)
}

/// The session of `pid` (0: the caller).
pub fn session_of(current: &Current, pid: Tid) -> Result<Tid, Errno> {
    if pid.raw() == 0 {
        return Ok(current.process.session());
    }
    registry().task(pid).map(|task| task.process().session()).ok_or(Errno::ESRCH)
}

/// Makes the caller the leader of a new session and group, without a controlling terminal.
pub fn new_session(current: &Current) -> Result<Tid, Errno> {
    let me = &current.process;
    let tables = registry().lock();
    if tables.all().any(|process| process.group() == me.pid()) {
        return Err(Errno::EPERM);
    }
    me.set_group(me.pid(), me.pid());
    drop(tables);
    Ok(me.pid())
}
