//! Namespaces of a program's own: unshare, setns.

use super::Fd;
use super::table::{Level, Row, arg, finish, row};
use crate::errno::Errno;
use crate::fs::nsfs::NsFile;
use crate::fs::pidfd::PidFd;
use crate::task::access::may_attach;
use crate::task::clone::CloneFlags;
use crate::task::{Current, spaces};
use syscalls::Sysno;

/// unshare(2).
pub fn unshare(current: &mut Current, flags: u32) -> Result<(), Errno> {
    let mut flags = CloneFlags::from_bits(u64::from(flags)).ok_or(Errno::EINVAL)?;
    let known = CloneFlags::NAMESPACES
        | CloneFlags::THREAD
        | CloneFlags::FS
        | CloneFlags::SIGHAND
        | CloneFlags::VM
        | CloneFlags::FILES
        | CloneFlags::SYSVSEM;
    if !known.contains(flags) {
        return Err(Errno::EINVAL);
    }
    if flags.contains(CloneFlags::NEWUSER) {
        flags |= CloneFlags::THREAD | CloneFlags::FS;
    }
    let alone = CloneFlags::THREAD | CloneFlags::SIGHAND | CloneFlags::VM;
    if flags.intersects(alone) && current.process.thread_count() > 1 || flags.contains(CloneFlags::NEWTIME) {
        return Err(Errno::EINVAL);
    }
    spaces::unshare(current, flags)
}

/// setns(2): by a namespace's file, or by a pidfd into the namespaces of that process.
pub fn setns(current: &mut Current, fd: Fd, flags: u32) -> Result<(), Errno> {
    let file = current.file(fd)?;
    let flags = CloneFlags::from_bits_retain(u64::from(flags));
    if let Some(namespace) = NsFile::of(&file) {
        if !flags.is_empty() && flags != namespace.kind() {
            return Err(Errno::EINVAL);
        }
        return namespace.clone().enter(current);
    }
    let task = PidFd::of(&file).map_err(|_| Errno::EINVAL)?.task()?;
    if flags.is_empty() || !CloneFlags::NAMESPACES.contains(flags) {
        return Err(Errno::EINVAL);
    }
    if !may_attach(current, &task) {
        return Err(Errno::EPERM);
    }
    // The user namespace first: its capabilities may be what allows the others.
    let order = [
        CloneFlags::NEWUSER,
        CloneFlags::NEWNS,
        CloneFlags::NEWUTS,
        CloneFlags::NEWIPC,
        CloneFlags::NEWPID,
        CloneFlags::NEWCGROUP,
        CloneFlags::NEWNET,
        CloneFlags::NEWTIME,
    ];
    let wanted = order.into_iter().filter(|kind| flags.contains(*kind));
    let wanted: alloc::vec::Vec<_> = wanted.map(|kind| spaces::of(&task, kind, false)).collect::<Result<_, _>>()?;
    let before = (current.creds.clone(), current.task.spaces());
    for namespace in wanted {
        if let Err(errno) = namespace.enter(current) {
            // All or nothing. Mounts come before what can still fail only where that fails for want of privilege.
            current.creds = before.0;
            current.task.set_spaces(before.1);
            current.publish();
            return Err(errno);
        }
    }
    Ok(())
}

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row!(unshare = unshare(1), Partial, "no time namespaces: EINVAL"),
    row!(setns = setns(2), Partial, "a pidfd's namespaces are entered one by one: mounts stay entered where a later one is refused"),
];
