//! Who may look into a task (ptrace(2), "Ptrace access mode checking"; PTRACE_MODE_READ with file-system ids).

use super::Subject;
use crate::errno::Errno;
use crate::landlock::limits::may_trace;
use crate::task::{Cap, Current};

/// EACCES unless `current` may see the subject's memory, files and links.
pub fn may_read(current: &Current, subject: &Subject) -> Result<(), Errno> {
    let process = subject.process()?;
    if process.pid() == current.process.pid() {
        return Ok(());
    }
    let Ok(task) = subject.task() else { return Err(Errno::ESRCH) };
    if !may_trace(&current.creds, &task.creds()) {
        return Err(Errno::EACCES);
    }
    if current.creds.has_in(&task.creds().user, Cap::SysPtrace) {
        return Ok(());
    }
    let (own, its) = (&current.creds, task.creds());
    let same_user = [its.uid, its.euid, its.suid].iter().all(|uid| *uid == own.fsuid);
    let same_group = [its.gid, its.egid, its.sgid].iter().all(|gid| *gid == own.fsgid);
    let no_more_capable = its.caps.permitted & !own.caps.permitted == 0;
    if same_user && same_group && no_more_capable && process.dumpable() == 1 { Ok(()) } else { Err(Errno::EACCES) }
}
