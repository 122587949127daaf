//! Leases (fcntl(2): F_SETLEASE): who holds one is told by a signal when somebody opens or truncates the file in a way that
//! does not go with it, and has a while to give it up. Whoever wants the file waits so long, and no longer.
//!
//! One table for the sandbox, by (device, inode); a lease belongs to an open file description. While there are none, an open
//! pays one load. Lock: `LEASES` (Rank::FileLocks); signals are sent when it is free.

use super::FileId;
use crate::errno::Errno;
use crate::fs::async_io;
use crate::fs::{FileKind, Inode, OpenFile, text};
use crate::platform::platform;
use crate::sync::{Lock, Rank};
use crate::syscall::{Fail, Fd};
use crate::task::{Cap, Current, registry};
use crate::time::NS_PER_SEC;
use crate::wait::{Events, WaitError, WaitQueue};
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use linux_raw_sys::general as raw;

/// Whether leases are given (`/proc/sys/fs/leases-enable`).
pub static ENABLED: AtomicU32 = AtomicU32::new(1);
/// Seconds that a holder has to give a lease up, 0 for ever (`lease-break-time`).
pub static BREAK_TIME: AtomicU32 = AtomicU32::new(45);

struct Lease {
    file: Weak<OpenFile>,
    /// The descriptor by which it was taken: `si_fd`.
    fd: i32,
    /// F_RDLCK or F_WRLCK.
    kind: u32,
    /// What it is to become, and when it does by itself.
    breaking: Option<(u32, u64)>,
}

static LEASES: Lock<BTreeMap<FileId, Vec<Lease>>> = Lock::new(Rank::FileLocks, BTreeMap::new());
/// Files with leases.
static FILES: AtomicUsize = AtomicUsize::new(0);
static CHANGED: WaitQueue = WaitQueue::new();

type Table = BTreeMap<FileId, Vec<Lease>>;

fn settle(table: &mut Table) {
    table.retain(|_, leases| !leases.is_empty());
    FILES.store(table.len(), Ordering::SeqCst);
}

impl Lease {
    fn is_of(&self, file: &OpenFile) -> bool {
        core::ptr::eq(self.file.as_ptr(), file)
    }

    /// Whether an open that writes, or one that only reads, does not go with it.
    fn conflicts(&self, writes: bool) -> bool {
        writes || self.kind == raw::F_WRLCK
    }

    fn target(&self) -> u32 {
        self.breaking.map_or(self.kind, |(target, _)| target)
    }
}

/// F_GETLEASE: what the description's lease is, or is becoming.
pub fn get(file: &OpenFile) -> Result<u64, Errno> {
    let id = id(&**file.inode())?;
    let table = LEASES.lock();
    let lease = table.get(&id).and_then(|leases| leases.iter().find(|lease| lease.is_of(file)));
    Ok(u64::from(lease.map_or(raw::F_UNLCK, Lease::target)))
}

fn id(inode: &dyn Inode) -> Result<FileId, Errno> {
    inode.attr().map(|attr| (attr.dev, attr.ino))
}

/// F_SETLEASE.
pub fn set(current: &Current, file: &Arc<OpenFile>, fd: Fd, kind: u32) -> Result<(), Errno> {
    if kind == raw::F_UNLCK {
        return give_up(file);
    }
    if !matches!(kind, raw::F_RDLCK | raw::F_WRLCK) {
        return Err(Errno::EINVAL);
    }
    let attr = file.inode().attr()?;
    if attr.uid != current.creds.fsuid && !current.creds.has(Cap::Lease) {
        return Err(Errno::EACCES);
    }
    if file.inode().kind() != FileKind::Regular || ENABLED.load(Ordering::Relaxed) == 0 {
        return Err(Errno::EINVAL);
    }
    if text::writers(file.inode()) > isize::from(kind == raw::F_WRLCK && file.flags().writable()) {
        return Err(Errno::EAGAIN);
    }
    if kind == raw::F_WRLCK && is_open_elsewhere(file) {
        return Err(Errno::EAGAIN);
    }
    {
        let mut table = LEASES.lock();
        let leases = table.entry((attr.dev, attr.ino)).or_default();
        let in_the_way =
            leases.iter().any(|lease| !lease.is_of(file) && (kind == raw::F_WRLCK || lease.target() == raw::F_UNLCK));
        if in_the_way {
            // Somebody else has one, so the entry is no empty one.
            return Err(Errno::EAGAIN);
        }
        match leases.iter_mut().find(|lease| lease.is_of(file)) {
            Some(lease) => (lease.kind, lease.breaking) = (kind, None),
            None => leases.push(Lease { file: Arc::downgrade(file), fd: fd.raw(), kind, breaking: None }),
        }
        settle(&mut table);
    }
    async_io::own(current, file);
    CHANGED.wake(Events::IN);
    Ok(())
}

fn give_up(file: &OpenFile) -> Result<(), Errno> {
    let id = id(&**file.inode())?;
    let gone = {
        let mut table = LEASES.lock();
        let gone = table.get_mut(&id).map(|leases| remove(leases, |lease| lease.is_of(file))).unwrap_or_default();
        settle(&mut table);
        gone
    };
    if gone.is_empty() {
        return Err(Errno::EAGAIN);
    }
    CHANGED.wake(Events::IN);
    Ok(())
}

fn remove(leases: &mut Vec<Lease>, which: impl Fn(&Lease) -> bool) -> Vec<Lease> {
    leases.extract_if(.., |lease| which(lease)).collect()
}

/// Whether another description of the same file is open in any process.
fn is_open_elsewhere(file: &Arc<OpenFile>) -> bool {
    let tables = registry().processes().into_iter().flat_map(|process| process.threads());
    let tables: Vec<_> = tables.filter_map(|task| task.published().files).collect();
    let other = |open: &Arc<OpenFile>| {
        !Arc::ptr_eq(open, file)
            && !open.flags().contains(crate::fs::OpenFlags::PATH)
            && Arc::ptr_eq(open.inode(), file.inode())
    };
    tables.iter().any(|table| table.numbers().into_iter().filter_map(|fd| table.get(fd).ok()).any(|open| other(&open)))
}

/// Somebody opens or truncates the file: waits until all leases that do not go with that are given up. EAGAIN instead with
/// `nonblocking`; their holders are told all the same.
#[inline]
pub fn wait_for(current: &Current, inode: &Arc<dyn Inode>, writes: bool, nonblocking: bool) -> Result<(), Fail> {
    if FILES.load(Ordering::SeqCst) == 0 || inode.kind() != FileKind::Regular {
        return Ok(());
    }
    break_leases(current, id(&**inode)?, writes, nonblocking)
}

#[cold]
fn break_leases(current: &Current, id: FileId, writes: bool, nonblocking: bool) -> Result<(), Fail> {
    let target = if writes { raw::F_UNLCK } else { raw::F_RDLCK };
    loop {
        let (told, deadline) = begin(id, writes, target);
        for (file, fd) in &told {
            async_io::tell(&file.owner(), raw::POLL_MSG, *fd);
        }
        drop(told);
        if !conflict(id, writes) {
            return Ok(());
        }
        if nonblocking {
            return Err(Errno::EAGAIN.into());
        }
        let free = || (!conflict(id, writes)).then_some(());
        match current.wait(&CHANGED, Events::IN, deadline, free) {
            Ok(()) => return Ok(()),
            // Time is up: the next round takes them away.
            Err(WaitError::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn conflict(id: FileId, writes: bool) -> bool {
    LEASES.lock().get(&id).is_some_and(|leases| leases.iter().any(|lease| lease.conflicts(writes)))
}

/// Marks what is to be broken, ends what had its time; whom to tell, and when to look again.
fn begin(id: FileId, writes: bool, target: u32) -> (Vec<(Arc<OpenFile>, i32)>, Option<u64>) {
    let now = platform().monotonic_ns();
    let time = u64::from(BREAK_TIME.load(Ordering::Relaxed)) * NS_PER_SEC;
    let deadline = if time == 0 { u64::MAX } else { now.saturating_add(time) };
    let mut told = Vec::new();
    let mut first = u64::MAX;
    let gone = {
        let mut table = LEASES.lock();
        let Some(leases) = table.get_mut(&id) else { return (told, None) };
        let over = |lease: &Lease| lease.breaking.is_some_and(|(_, deadline)| deadline <= now);
        for lease in leases.iter_mut().filter(|lease| over(lease) && lease.target() == raw::F_RDLCK) {
            (lease.kind, lease.breaking) = (raw::F_RDLCK, None);
        }
        let gone = remove(leases, over);
        for lease in leases.iter_mut().filter(|lease| lease.conflicts(writes)) {
            // One that is to go altogether is not asked again, nor one that is to become less by a reader.
            if lease.target() != raw::F_UNLCK && (writes || lease.breaking.is_none()) {
                lease.breaking = Some((target, deadline));
                told.extend(lease.file.upgrade().map(|file| (file, lease.fd)));
            }
            first = lease.breaking.map_or(first, |(_, deadline)| first.min(deadline));
        }
        settle(&mut table);
        gone
    };
    if !gone.is_empty() {
        CHANGED.wake(Events::IN);
    }
    (told, (first != u64::MAX).then_some(first))
}

/// An open file description is gone, and its lease with it.
pub(super) fn file_gone(file: &OpenFile) {
    if FILES.load(Ordering::SeqCst) == 0 {
        return;
    }
    let gone: Vec<Lease> = {
        let mut table = LEASES.lock();
        let gone = table.values_mut().flat_map(|leases| remove(leases, |lease| lease.is_of(file))).collect();
        settle(&mut table);
        gone
    };
    if !gone.is_empty() {
        CHANGED.wake(Events::IN);
    }
}
