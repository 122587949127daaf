//! Who may look into a thread or take hold of it: ptrace(2), "Ptrace access mode checking".

use super::user_ns::same;
use super::{Cap, Current, Task};
use crate::landlock::limits::may_trace;
use alloc::sync::Arc;

/// Whether `current` may attach to `task`, copy its memory and its descriptors (PTRACE_MODE_ATTACH_REALCREDS).
pub fn may_attach(current: &Current, task: &Task) -> bool {
    let (mine, theirs) = (&current.creds, task.creds());
    if Arc::ptr_eq(task.process(), &current.process) {
        return true;
    }
    if !may_trace(mine, &theirs) {
        return false;
    }
    if mine.has_in(&theirs.user, Cap::SysPtrace) {
        return true;
    }
    [theirs.uid, theirs.euid, theirs.suid] == [mine.uid; 3]
        && [theirs.gid, theirs.egid, theirs.sgid] == [mine.gid; 3]
        && same(&theirs.user, &mine.user)
        && theirs.caps.permitted & !mine.caps.permitted == 0
        && task.process().dumpable() == 1
}
