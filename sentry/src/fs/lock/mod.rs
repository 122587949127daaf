//! File locks: POSIX record locks, open file description locks, flock(2). Advisory, as Linux's.
//!
//! One table for the sandbox, by (device, inode) of the file: `ranges` knows which ranges exclude each other. A record lock
//! belongs to a descriptor table (a process), the other two to an open file description. Waiters share one queue a table;
//! a record lock that would close a circle of waiters gets EDEADLK.

pub mod lease;
mod ranges;

use super::OpenFile;
use crate::errno::Errno;
use crate::sync::{Lock, Rank};
use crate::syscall::{Fail, UserPtr};
use crate::task::{Current, Tid};
use crate::wait::{Events, WaitQueue};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use linker::addr::UserVa;
use linux_raw_sys::general as raw;
use ranges::{Owner, Range, Ranges};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A file, as the table knows it.
type FileId = (u64, u64);

#[derive(Default)]
struct Table {
    records: BTreeMap<FileId, Ranges>,
    whole: BTreeMap<FileId, Ranges>,
    /// Who of the record lock owners waits for whom.
    waits: Vec<(Owner, Owner)>,
}

static TABLE: Lock<Table> =
    Lock::new(Rank::FileLocks, Table { records: BTreeMap::new(), whole: BTreeMap::new(), waits: Vec::new() });
static CHANGED: WaitQueue = WaitQueue::new();
/// Files with locks, so that a close without any costs one load.
static LOCKED_FILES: AtomicUsize = AtomicUsize::new(0);

impl Table {
    /// Forgets files without locks and counts the rest.
    fn settle(&mut self) {
        self.records.retain(|_, ranges| !ranges.is_empty());
        self.whole.retain(|_, ranges| !ranges.is_empty());
        LOCKED_FILES.store(self.records.len() + self.whole.len(), Ordering::SeqCst);
    }

    /// Whether `from` waiting for `to` closes a circle.
    fn closes_circle(&self, from: Owner, to: Owner) -> bool {
        let mut at = to;
        // A circle is no longer than the list of waiters.
        for _ in 0..=self.waits.len() {
            if at == from {
                return true;
            }
            match self.waits.iter().find(|(waiter, _)| *waiter == at) {
                Some((_, next)) => at = *next,
                None => return false,
            }
        }
        false
    }
}

/// struct flock.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct FlockAbi {
    kind: i16,
    whence: i16,
    pad: i32,
    start: i64,
    len: i64,
    pid: i32,
    pad2: i32,
}

const _: () = {
    assert!(size_of::<FlockAbi>() == size_of::<raw::flock>());
    assert!(core::mem::offset_of!(FlockAbi, start) == core::mem::offset_of!(raw::flock, l_start));
    assert!(core::mem::offset_of!(FlockAbi, pid) == core::mem::offset_of!(raw::flock, l_pid));
};

/// fcntl(2)'s F_GETLK, F_SETLK, F_SETLKW and their F_OFD_ forms; `arg` points to a `struct flock`.
pub fn fcntl(current: &mut Current, file: &Arc<OpenFile>, command: u32, arg: u64) -> Result<u64, Fail> {
    let at = UserPtr::<FlockAbi>::new(UserVa::new(arg));
    let mut given = at.read(current)?;
    let ofd = matches!(command, raw::F_OFD_GETLK | raw::F_OFD_SETLK | raw::F_OFD_SETLKW);
    if ofd && given.pid != 0 {
        return Err(Errno::EINVAL.into());
    }
    let owner = if ofd { Owner::of_file(file) } else { Owner::of_table(&current.files) };
    let range = range_of(current, file, &given, owner)?;
    let kind = u32::try_from(given.kind).unwrap_or(u32::MAX);
    let attr = file.inode().attr()?;
    let id = (attr.dev, attr.ino);
    if matches!(command, raw::F_GETLK | raw::F_OFD_GETLK) {
        if !matches!(kind, raw::F_RDLCK | raw::F_WRLCK) {
            return Err(Errno::EINVAL.into());
        }
        let range = Range { exclusive: kind == raw::F_WRLCK, ..range };
        let found = TABLE.lock().records.get(&id).and_then(|ranges| ranges.conflict(&range));
        match found {
            None => given.kind = raw::F_UNLCK as i16,
            Some(found) => {
                given.kind = if found.exclusive { raw::F_WRLCK } else { raw::F_RDLCK } as i16;
                given.whence = raw::SEEK_SET as i16;
                given.start = found.start as i64;
                given.len = if found.end == u64::MAX { 0 } else { (found.end - found.start) as i64 };
                given.pid = shown(current, found.pid);
            }
        }
        at.write(current, &given)?;
        return Ok(0);
    }
    let wait = matches!(command, raw::F_SETLKW | raw::F_OFD_SETLKW);
    match kind {
        raw::F_UNLCK => {
            unlock(id, &range);
            return Ok(0);
        }
        raw::F_RDLCK if file.flags().readable() => {}
        raw::F_WRLCK if file.flags().writable() => {}
        raw::F_RDLCK | raw::F_WRLCK => return Err(Errno::EBADF.into()),
        _ => return Err(Errno::EINVAL.into()),
    }
    lock_record(current, id, Range { exclusive: kind == raw::F_WRLCK, ..range }, wait)?;
    Ok(0)
}

/// The bytes that a `struct flock` means.
fn range_of(current: &Current, file: &Arc<OpenFile>, given: &FlockAbi, owner: Owner) -> Result<Range, Errno> {
    let base = match given.whence as u32 {
        raw::SEEK_SET => 0,
        raw::SEEK_CUR => *file.position().lock() as i64,
        raw::SEEK_END => i64::try_from(file.inode().attr()?.size).map_err(|_| Errno::EOVERFLOW)?,
        _ => return Err(Errno::EINVAL),
    };
    let start = base.checked_add(given.start).ok_or(Errno::EOVERFLOW)?;
    let (start, end) = match given.len {
        0 => (start, None),
        len if len > 0 => (start, Some(start.checked_add(len).ok_or(Errno::EOVERFLOW)?)),
        len => (start.checked_add(len).ok_or(Errno::EINVAL)?, Some(start)),
    };
    let start = u64::try_from(start).map_err(|_| Errno::EINVAL)?;
    let end = end.map_or(Ok(u64::MAX), |end| u64::try_from(end).map_err(|_| Errno::EINVAL))?;
    let pid = if owner.is_file() { -1 } else { current.process.pid().raw() as i32 };
    Ok(Range { start, end, exclusive: false, owner, pid })
}

/// Whose lock it is, as the caller numbers processes; -1 for an open file's.
fn shown(current: &Current, pid: i32) -> i32 {
    u32::try_from(pid).map_or(pid, |pid| current.shown(Tid::new(pid)).raw() as i32)
}

fn lock_record(current: &Current, id: FileId, range: Range, wait: bool) -> Result<(), Fail> {
    let owner = range.owner;
    let attempt = || {
        let mut table = TABLE.lock();
        table.waits.retain(|(waiter, _)| *waiter != owner);
        let ranges = table.records.entry(id).or_default();
        let Some(found) = ranges.conflict(&range) else {
            let shrunk = ranges.set(range);
            table.settle();
            return Some(Ok(shrunk));
        };
        if !wait {
            table.settle();
            return Some(Err(Errno::EAGAIN));
        }
        if !owner.is_file() && table.closes_circle(owner, found.owner) {
            return Some(Err(Errno::EDEADLK));
        }
        table.waits.push((owner, found.owner));
        None
    };
    let result = current.wait(&CHANGED, Events::IN, None, attempt);
    TABLE.lock().waits.retain(|(waiter, _)| *waiter != owner);
    // A write lock that became a read lock lets others in.
    if result?? {
        CHANGED.wake(Events::IN);
    }
    Ok(())
}

fn unlock(id: FileId, range: &Range) {
    {
        let mut table = TABLE.lock();
        if let Some(ranges) = table.records.get_mut(&id) {
            ranges.clear(range);
        }
        table.settle();
    }
    CHANGED.wake(Events::IN);
}

/// flock(2).
pub fn flock(current: &mut Current, file: &Arc<OpenFile>, operation: u32) -> Result<u64, Fail> {
    let attr = file.inode().attr()?;
    let id = (attr.dev, attr.ino);
    let owner = Owner::of_file(file);
    let whole = |exclusive| Range { start: 0, end: u64::MAX, exclusive, owner, pid: 0 };
    let exclusive = match operation & !raw::LOCK_NB {
        raw::LOCK_SH => false,
        raw::LOCK_EX => true,
        raw::LOCK_UN => {
            release(|table| {
                if let Some(ranges) = table.whole.get_mut(&id) {
                    ranges.clear(&whole(false));
                }
            });
            return Ok(0);
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    let nonblocking = operation & raw::LOCK_NB != 0;
    let attempt = || {
        let mut table = TABLE.lock();
        let ranges = table.whole.entry(id).or_default();
        if ranges.conflict(&whole(exclusive)).is_none() {
            ranges.set(whole(exclusive));
            table.settle();
            return Some(Ok(()));
        }
        // Changing the kind of a lock is not atomic (flock(2)): the old one goes first.
        ranges.clear(&whole(false));
        table.settle();
        nonblocking.then_some(Err(Errno::EAGAIN))
    };
    current.wait(&CHANGED, Events::IN, None, attempt)??;
    CHANGED.wake(Events::IN);
    Ok(0)
}

/// A process closed a descriptor of `file`: its record locks on that file go.
pub fn closed(current: &Current, file: &OpenFile) {
    if LOCKED_FILES.load(Ordering::SeqCst) == 0 {
        return;
    }
    let Ok(attr) = file.inode().attr() else { return };
    let owner = Owner::of_table(&current.files);
    release(|table| {
        if let Some(ranges) = table.records.get_mut(&(attr.dev, attr.ino)) {
            ranges.release(owner);
        }
    });
}

/// The last descriptor of an open file description is gone, and with it the description's locks.
pub fn file_gone(file: &OpenFile) {
    lease::file_gone(file);
    owner_gone(Owner::of_file(file));
}

/// The last user of a descriptor table is gone, and with it the process's record locks.
pub fn table_gone(table: &super::FdTable) {
    super::inotify::table_gone(table);
    owner_gone(Owner::of_table(table));
}

fn owner_gone(owner: Owner) {
    if LOCKED_FILES.load(Ordering::SeqCst) == 0 {
        return;
    }
    release(|table| {
        for ranges in table.records.values_mut().chain(table.whole.values_mut()) {
            ranges.release(owner);
        }
    });
}

fn release(how: impl FnOnce(&mut Table)) {
    {
        let mut table = TABLE.lock();
        how(&mut table);
        table.settle();
    }
    CHANGED.wake(Events::IN);
}
