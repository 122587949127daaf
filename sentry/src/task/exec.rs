//! execve(2): another program in the same process.

use super::registry::registry;
use super::user_ns::{Kind, to_shown};
use super::{Cap, Credentials, Current, rseq};
use crate::errno::Errno;
use crate::fs::{MountFlags, OpenFile, Sink};
use crate::landlock::limits::may_trace;
use crate::mm::exec::{Arguments, Identity, Image, LoadError, load};
use crate::platform::platform;
use crate::syscall::Fail;
use crate::wait::Events;
use alloc::sync::Arc;
use linux_raw_sys::general::{S_ISGID, S_ISUID, S_IXGRP};

/// Why another program does not run.
#[must_use]
pub enum Failure {
    /// The system call fails.
    Call(Fail),
    /// The old program is to be gone, and there is no new one: SIGSEGV. The errno is for messages.
    Broken(Errno),
}

/// Replaces the program by that of `file`, which was opened for execution. On success the registers are those of the new
/// program's start; a program that is broken is for the caller to end the process for.
pub fn exec(current: &mut Current, file: &Arc<OpenFile>, arguments: Arguments) -> Result<(), Failure> {
    let comm = arguments.file_name.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
    let mut creds = current.creds.clone();
    let image = load(current, file, arguments, |program| {
        creds = new_credentials(current, program)?;
        let gained = creds.euid != creds.uid || creds.egid != creds.gid;
        Ok(Identity { uid: creds.uid, euid: creds.euid, gid: creds.gid, egid: creds.egid, secure: gained })
    })
    .map_err(|error| match error {
        LoadError::Refused(errno) => Failure::Call(errno.into()),
        LoadError::Broken(errno) => Failure::Broken(errno),
    })?;
    // From here on there is no way back: a failure would kill the process.
    let before = current.task.tid();
    end_other_threads(current).map_err(Failure::Call)?;
    commit(current, image, creds, &comm);
    crate::perf::executed(&current.task);
    super::trace::executed(current, before);
    Ok(())
}

/// Whether `file`, opened for execution, begins with `#!`.
pub fn is_script(current: &Current, file: &OpenFile) -> Result<bool, Fail> {
    let mut first = [0; 2];
    let len = file.read_at(current, &mut Sink::kernel(&mut first), 0)?;
    Ok(first[..len] == *b"#!")
}

/// Makes every other thread end and takes over the process's number.
fn end_other_threads(current: &Current) -> Result<(), Fail> {
    let process = &current.process;
    let me = &current.task;
    process.end_helpers();
    for task in process.threads() {
        if !Arc::ptr_eq(&task, me) {
            task.doom();
        }
    }
    crate::wait::wait_on(&[(&process.thread_wait, Events::IN)], false, None, &|| me.is_doomed(), || {
        (process.thread_count() == 1).then_some(())
    })
    .map_err(|_| Fail::RestartAlways)?;
    if me.tid() != process.pid() {
        let replaced = registry().lock().renumber(me, process.pid());
        drop(replaced);
    }
    Ok(())
}

/// Installs the new image.
fn commit(current: &mut Current, image: Image, creds: Arc<Credentials>, comm: &[u8]) {
    platform().use_page_table(Some(image.mm.table().clone()));
    let old = core::mem::replace(&mut current.mm, image.mm);
    if Arc::strong_count(&current.files) > 1 && current.process.thread_count() == 1 {
        // CLONE_FILES ends at execve; a copy that only `/proc` looks at costs nothing.
        current.files = Arc::new(current.files.copy());
    }
    for file in current.files.take(|_, close_on_exec| close_on_exec) {
        crate::fs::close(current, file);
    }
    current.process.account_peak(&old);
    current.task.set_name(comm);
    current.process.set_executable(image.executable.path().cloned());
    current.process.set_execed();
    current.process.set_dumpable(if creds.euid == creds.uid && creds.egid == creds.gid { 1 } else { 0 });
    current.creds = creds;
    current.robust_list = 0;
    rseq::forget(current);
    current.clear_child_tid = 0;
    crate::signal::reset_for_exec(current);
    platform().reset_vector_state();
    current.regs = crate::platform::UserContext {
        rip: image.entry.raw(),
        rsp: image.stack_pointer.raw(),
        cs: current.regs.cs,
        ss: current.regs.ss,
        // Interrupts on; bit 1 is always set (Intel SDM vol. 1, 3.4.3).
        rflags: 0x202,
        // What call this is and when it came.
        vector: current.regs.vector,
        error: current.regs.error,
        ..Default::default()
    };
    platform().load_segment_bases(&current.regs);
    current.publish();
    if let Some(done) = current.vfork_done.take() {
        done.finish();
    }
    drop(old);
}

/// Credentials after execve: set-user-ID and set-group-ID bits, and the capability rules (capabilities(7)).
fn new_credentials(current: &Current, file: &OpenFile) -> Result<Arc<Credentials>, Errno> {
    let old = &current.creds;
    let attr = file.inode().attr()?;
    let honoured =
        !old.no_new_privs && !file.path().is_some_and(|path| path.mount().flags().contains(MountFlags::NOSUID));
    let mut new = (**old).clone();
    // Ids without a name in the user namespace are nobody's to become.
    let named = new.user.is_none()
        || to_shown(&new.user, Kind::User, attr.uid).is_some() && to_shown(&new.user, Kind::Group, attr.gid).is_some();
    let honoured = honoured && named;
    if honoured && attr.mode & S_ISUID != 0 {
        new.euid = attr.uid;
    }
    if honoured && attr.mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP {
        new.egid = attr.gid;
    }
    // As for Linux, it is the real ids that others are measured by.
    let gained = new.euid != old.uid || new.egid != old.gid;
    (new.suid, new.fsuid) = (new.euid, new.euid);
    (new.sgid, new.fsgid) = (new.egid, new.egid);
    exec_capabilities(&mut new, gained);
    // SECBIT_KEEP_CAPS is cleared by execve (prctl(2)).
    new.securebits &= !super::SECBIT_KEEP_CAPS;
    new.rings = new.rings.after_exec();
    Ok(Arc::new(new))
}

/// P'(ambient), P'(permitted) and P'(effective) of capabilities(7), for files without capabilities of their own.
fn exec_capabilities(creds: &mut Credentials, gained: bool) {
    let root_uid = creds.root_uid();
    let caps = &mut creds.caps;
    let root_rules = creds.securebits & super::SECBIT_NOROOT == 0;
    let root = root_rules && (creds.euid == root_uid || creds.uid == root_uid);
    if gained {
        caps.ambient = 0;
    }
    let mut of_root = if root { caps.inheritable | caps.bounding } else { 0 };
    if creds.no_new_privs {
        // Nobody gets more than he had.
        of_root &= caps.permitted;
    }
    caps.permitted = of_root | caps.ambient;
    caps.effective = if root && creds.euid == root_uid { caps.permitted } else { caps.ambient };
}

/// Whether `current` may see the inner life of `creds`' owner (ptrace(2), "access mode checking").
pub fn may_inspect(current: &Current, target: &Credentials) -> bool {
    let me = &current.creds;
    let same = [target.uid, target.euid, target.suid].iter().all(|uid| *uid == me.fsuid)
        && [target.gid, target.egid, target.sgid].iter().all(|gid| *gid == me.fsgid);
    may_trace(me, target) && (same || me.has_in(&target.user, Cap::SysPtrace))
}
