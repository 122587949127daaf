//! Directory notification (fcntl(2): F_NOTIFY): inotify's forerunner. A signal says that something happened in a directory,
//! once or (DN_MULTISHOT) each time, and not what.
//!
//! A watch belongs to a descriptor table and an open directory. Lock: `WATCHES` (Rank::Notify); signals are sent when it is free.

use super::table::FileId;
use crate::errno::Errno;
use crate::fs::async_io;
use crate::fs::{FdTable, FileKind, OpenFile};
use crate::sync::{Lock, Rank};
use crate::syscall::Fd;
use crate::task::Current;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use linux_raw_sys::general as raw;

struct Watch {
    directory: FileId,
    file: Weak<OpenFile>,
    /// The descriptor table, as an address.
    table: usize,
    fd: i32,
    /// DN_*.
    what: u32,
}

static WATCHES: Lock<Vec<Watch>> = Lock::new(Rank::Notify, Vec::new());
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Whether there is any.
#[inline]
pub fn any() -> bool {
    COUNT.load(Ordering::SeqCst) != 0
}

fn address(table: &FdTable) -> usize {
    core::ptr::from_ref(table).addr()
}

/// F_NOTIFY: `what` is added to what the directory is watched for; nothing ends the watch.
pub fn watch(current: &Current, file: &Arc<OpenFile>, fd: Fd, what: u32) -> Result<(), Errno> {
    let table = address(&current.files);
    if what & !raw::DN_MULTISHOT == 0 {
        forget(|watch| watch.table == table && core::ptr::eq(watch.file.as_ptr(), Arc::as_ptr(file)));
        return Ok(());
    }
    if file.inode().kind() != FileKind::Directory {
        return Err(Errno::ENOTDIR);
    }
    let attr = file.inode().attr()?;
    async_io::own(current, file);
    let mut watches = WATCHES.lock();
    let own = |watch: &&mut Watch| watch.table == table && core::ptr::eq(watch.file.as_ptr(), Arc::as_ptr(file));
    match watches.iter_mut().find(own) {
        Some(watch) => watch.what |= what,
        None => {
            let directory = (attr.dev, attr.ino);
            watches.push(Watch { directory, file: Arc::downgrade(file), table, fd: fd.raw(), what });
        }
    }
    COUNT.store(watches.len(), Ordering::SeqCst);
    Ok(())
}

fn forget(which: impl Fn(&Watch) -> bool) {
    let gone: Vec<Watch> = {
        let mut watches = WATCHES.lock();
        let gone = watches.extract_if(.., |watch| which(watch)).collect();
        COUNT.store(watches.len(), Ordering::SeqCst);
        gone
    };
    drop(gone);
}

/// A process closed a descriptor of `file`.
pub fn closed(table: &FdTable, file: &OpenFile) {
    if any() {
        let table = address(table);
        forget(|watch| watch.table == table && core::ptr::eq(watch.file.as_ptr(), file));
    }
}

/// A descriptor table is gone.
pub fn table_gone(table: &FdTable) {
    if any() {
        let table = address(table);
        forget(|watch| watch.table == table);
    }
}

/// What DN_* an event of inotify's is; a rename within a directory is one more.
fn meaning(mask: u32) -> u32 {
    let rows = [
        (raw::IN_ACCESS, raw::DN_ACCESS),
        (raw::IN_MODIFY, raw::DN_MODIFY),
        (raw::IN_ATTRIB, raw::DN_ATTRIB),
        (raw::IN_CREATE | raw::IN_MOVED_TO, raw::DN_CREATE),
        (raw::IN_DELETE | raw::IN_MOVED_FROM, raw::DN_DELETE),
    ];
    rows.into_iter().filter(|(event, _)| mask & event != 0).fold(0, |what, (_, word)| what | word)
}

/// Something (IN_*) happened to the directory or in it.
pub(super) fn deliver(directory: FileId, mask: u32) {
    tell(directory, meaning(mask));
}

/// A name in the directory was renamed.
pub(super) fn renamed(directory: FileId) {
    tell(directory, raw::DN_RENAME);
}

fn tell(directory: FileId, what: u32) {
    let mut told: Vec<(Arc<OpenFile>, i32)> = Vec::new();
    let gone: Vec<Watch> = {
        let mut watches = WATCHES.lock();
        let wants = |watch: &Watch| watch.directory == directory && watch.what & what != 0;
        told.extend(
            watches.iter().filter(|watch| wants(watch)).filter_map(|watch| Some((watch.file.upgrade()?, watch.fd))),
        );
        let gone = watches.extract_if(.., |watch| wants(watch) && watch.what & raw::DN_MULTISHOT == 0).collect();
        COUNT.store(watches.len(), Ordering::SeqCst);
        gone
    };
    for (file, fd) in &told {
        async_io::tell(&file.owner(), raw::POLL_MSG, *fd);
    }
    drop(gone);
}
