//! fanotify(7): what happens to open files, told with a descriptor of each, and asked before it happens.
//!
//! `OpenFile` calls `happened` for what inotify is told too, and `ask` before a file is opened or read; without any group in
//! the sandbox each costs a load. A `Group` is what a descriptor stands for: its marks say which files, mounts and file systems
//! it wants to know of, its queue holds events until they are read. Who asks waits for an answer that is written.
//!
//! Locks: `GROUPS` and a group's `state` (both Rank::Notify, never nested).

pub mod abi;
mod file;
mod group;
mod mark;

pub use file::{Options, open_group};
pub use group::{Group, MAX_GROUPS, MAX_MARKS, MAX_QUEUED};
pub use mark::{Change, Kind, Target};

use super::inode::FileKind;
use super::path::Path;
use crate::errno::Errno;
use crate::sync::{Lock, Rank};
use crate::task::Current;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

static GROUPS: Lock<Vec<Weak<Group>>> = Lock::new(Rank::Notify, Vec::new());
static COUNT: AtomicUsize = AtomicUsize::new(0);

fn add(group: &Arc<Group>) {
    let mut groups = GROUPS.lock();
    groups.push(Arc::downgrade(group));
    COUNT.store(groups.len(), Ordering::SeqCst);
}

fn remove(group: &Arc<Group>) {
    let mut groups = GROUPS.lock();
    let gone: Vec<_> = groups.extract_if(.., |other| core::ptr::eq(other.as_ptr(), Arc::as_ptr(group))).collect();
    COUNT.store(groups.len(), Ordering::SeqCst);
    drop(groups);
    drop(gone);
}

/// Those that want to know of it, who decides first in front.
fn interested(place: &Path, events: u64) -> Vec<(Arc<Group>, u64)> {
    let directory = match place.inode().kind() {
        FileKind::Regular => false,
        FileKind::Directory => true,
        _ => return Vec::new(),
    };
    let Ok(attr) = place.inode().attr() else { return Vec::new() };
    let parent = place.dentry().parent().filter(|_| !place.dentry().is_unnamed());
    let parent = parent.and_then(|parent| parent.inode().attr().ok()).map(|attr| (attr.dev, attr.ino));
    let seen = mark::Seen { inode: (attr.dev, attr.ino), parent, mount: place.mount().id(), directory };
    let mut groups: Vec<Arc<Group>> = GROUPS.lock().iter().filter_map(Weak::upgrade).collect();
    groups.sort_by_key(|group| core::cmp::Reverse(group.class()));
    let wanted = groups.into_iter().map(|group| {
        let wanted = group.wanted(&seen, events);
        (group, wanted)
    });
    wanted.filter(|(_, events)| *events != 0).collect()
}

/// Tells of what happened to an open file.
#[inline]
pub fn happened(place: &Path, events: u64) {
    if COUNT.load(Ordering::Relaxed) != 0 {
        tell(place, events);
    }
}

#[cold]
fn tell(place: &Path, events: u64) {
    for (group, events) in interested(place, events) {
        group.tell(place, events);
    }
}

/// Asks whether it may happen, each question alone; EPERM where somebody denies it.
#[inline]
pub fn ask(current: &Current, place: &Path, questions: &[u64]) -> Result<(), Errno> {
    if COUNT.load(Ordering::Relaxed) == 0 { Ok(()) } else { put(current, place, questions) }
}

#[cold]
fn put(current: &Current, place: &Path, questions: &[u64]) -> Result<(), Errno> {
    for question in questions {
        for (group, question) in interested(place, *question) {
            group.ask(current, place, question)?;
        }
    }
    Ok(())
}
