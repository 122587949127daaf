//! O_ASYNC: a signal when a file may be ready (fcntl(2): F_SETOWN, F_SETSIG; SIGIO).

use super::open_file::{OpenFile, SignalOwner};
use crate::landlock::{Confined, limits};
use crate::signal::{self, SigInfo, Signal};
use crate::syscall::Fd;
use crate::task::{Current, Process, Task, Tid, registry};
use crate::wait::{Events, Wake};
use alloc::sync::{Arc, Weak};
use linux_raw_sys::general as raw;

/// What a file with O_ASYNC has in its wait queue.
pub(super) struct Async {
    file: Weak<OpenFile>,
    /// The descriptor by which O_ASYNC was set: `si_fd`.
    fd: i32,
}

impl Async {
    pub(super) fn target(file: &Arc<OpenFile>, fd: Fd) -> Arc<dyn Wake> {
        Arc::new(Self { file: Arc::downgrade(file), fd: fd.raw() })
    }
}

impl Wake for Async {
    fn wake(&self, events: Events) -> bool {
        let Some(file) = self.file.upgrade() else { return false };
        let (code, band) = kind(events);
        send(&file.owner(), code, band.bits().into(), self.fd);
        true
    }
}

/// Whoever has no owner for `file` yet is its owner now: what F_SETLEASE and F_NOTIFY do.
pub(super) fn own(current: &Current, file: &OpenFile) {
    let owner = file.owner();
    if owner.id == 0 {
        let (uid, euid) = (current.creds.uid, current.creds.euid);
        let id = current.process.pid().raw();
        let domain = Confined::default();
        file.set_owner(SignalOwner { kind: raw::F_OWNER_PID, id, uid, euid, domain, ..owner });
    }
}

/// Tells the owner of a message about descriptor `fd` (`code`: POLL_MSG).
pub(super) fn tell(owner: &SignalOwner, code: u32, fd: i32) {
    send(owner, code, u64::from(Events::READABLE.bits()) | u64::from(raw::POLLMSG), fd);
}

fn send(owner: &SignalOwner, code: u32, band: u64, fd: i32) {
    if owner.id == 0 {
        return;
    }
    let Some(info) = info(owner, code, band, fd) else { return };
    let may = |task: &Task| may_signal(owner, task);
    let send = |process: &Arc<Process>| {
        if process.leader().is_some_and(|task| may(&task)) {
            signal::send_to_process(process, info);
        }
    };
    match owner.kind {
        raw::F_OWNER_TID => {
            if let Some(task) = registry().task(Tid::new(owner.id)).filter(|task| may(task)) {
                signal::send_to_task(&task, info);
            }
        }
        raw::F_OWNER_PGRP => registry().group(Tid::new(owner.id)).iter().for_each(send),
        _ => registry().process(Tid::new(owner.id)).iter().for_each(send),
    }
}

/// POLL_* and the poll bits that stand for it (fs/fcntl.c: band_table).
fn kind(events: Events) -> (u32, Events) {
    if events.intersects(Events::HUP) {
        (raw::POLL_HUP, Events::HUP | Events::ERR)
    } else if events.intersects(Events::ERR) {
        (raw::POLL_ERR, Events::ERR)
    } else if events.intersects(Events::READABLE) {
        (raw::POLL_IN, Events::READABLE)
    } else if events.intersects(Events::PRI) {
        (raw::POLL_PRI, Events::PRI | Events::RDBAND)
    } else {
        (raw::POLL_OUT, Events::WRITABLE | Events::WRBAND)
    }
}

/// Plain SIGIO says nothing; a signal that was chosen says what happened to which descriptor.
fn info(owner: &SignalOwner, code: u32, band: u64, fd: i32) -> Option<SigInfo> {
    match owner.signal {
        0 => Some(SigInfo::kernel(Signal::SIGIO)),
        number => Some(SigInfo::poll(Signal::new(number)?, code, band, fd)),
    }
}

/// Whoever set the owner must be allowed to signal it (fs/fcntl.c: sigio_perm).
fn may_signal(owner: &SignalOwner, task: &Task) -> bool {
    let creds = task.creds();
    let theirs = [creds.suid, creds.uid];
    let allowed = owner.euid == 0 || theirs.contains(&owner.euid) || theirs.contains(&owner.uid);
    allowed && limits::may_signal(&owner.domain, &creds)
}
