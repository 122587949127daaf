//! Which instances watch which file.

use super::directory;
use super::instance::Inotify;
use crate::errno::Errno;
use crate::fs::Inode;
use crate::sync::{Lock, Rank};
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use linux_raw_sys::general as raw;

/// A file: device and inode.
pub type FileId = (u64, u64);

/// One instance's interest in one file.
struct Watch {
    instance: Weak<Inotify>,
    number: i32,
    mask: u32,
}

static TABLE: Lock<BTreeMap<FileId, Vec<Watch>>> = Lock::new(Rank::Notify, BTreeMap::new());
/// Files with watches.
static WATCHED: AtomicUsize = AtomicUsize::new(0);

/// Whether there is any watch at all.
#[inline]
pub fn any() -> bool {
    WATCHED.load(Ordering::SeqCst) != 0
}

/// Adds or changes the watch of `instance` on `inode`; its number.
pub fn add(instance: &Arc<Inotify>, inode: &dyn Inode, mask: u32) -> Result<i32, Errno> {
    let attr = inode.attr()?;
    let id = (attr.dev, attr.ino);
    let mut table = TABLE.lock();
    let watches = table.entry(id).or_default();
    let interest = mask & (raw::IN_ALL_EVENTS | raw::IN_ONESHOT | raw::IN_EXCL_UNLINK);
    let own = core::ptr::from_ref::<Inotify>(instance);
    let number = match watches.iter_mut().find(|watch| core::ptr::eq(watch.instance.as_ptr(), own)) {
        Some(_) if mask & raw::IN_MASK_CREATE != 0 => Err(Errno::EEXIST),
        Some(watch) => {
            watch.mask = if mask & raw::IN_MASK_ADD != 0 { watch.mask | interest } else { interest };
            Ok(watch.number)
        }
        None => instance.new_number(id).inspect(|number| {
            watches.push(Watch { instance: Arc::downgrade(instance), number: *number, mask: interest });
        }),
    };
    if watches.is_empty() {
        table.remove(&id);
    }
    WATCHED.store(table.len(), Ordering::SeqCst);
    number
}

/// Takes a watch out.
pub fn remove(instance: &Inotify, id: FileId) {
    let mut table = TABLE.lock();
    if let Some(watches) = table.get_mut(&id) {
        watches.retain(|watch| !core::ptr::eq(watch.instance.as_ptr(), instance));
        if watches.is_empty() {
            table.remove(&id);
        }
    }
    WATCHED.store(table.len(), Ordering::SeqCst);
}

/// The mask of a watch.
pub fn mask_of(instance: &Inotify, id: FileId) -> u32 {
    let table = TABLE.lock();
    let mut watches = table.get(&id).into_iter().flatten();
    watches.find(|watch| core::ptr::eq(watch.instance.as_ptr(), instance)).map_or(0, |watch| watch.mask)
}

/// Tells everyone who watches `inode` for `mask`.
pub fn deliver(inode: &dyn Inode, mask: u32, cookie: u32, name: &[u8]) {
    deliver_of(inode, mask, cookie, name, false);
}

/// `deliver`, of a name that is `unlinked` already: not to those with IN_EXCL_UNLINK.
pub fn deliver_of(inode: &dyn Inode, mask: u32, cookie: u32, name: &[u8], unlinked: bool) {
    let Ok(attr) = inode.attr() else { return };
    let id = (attr.dev, attr.ino);
    // What happens to a file itself is nothing to who watches its directory.
    if directory::any() && (!name.is_empty() || mask & raw::IN_ISDIR != 0) {
        directory::deliver(id, mask);
    }
    let mut told: Vec<(Arc<Inotify>, i32, bool)> = Vec::new();
    {
        let mut table = TABLE.lock();
        let Some(watches) = table.get_mut(&id) else { return };
        let wants = |watch: &&mut Watch| {
            watch.mask & mask & raw::IN_ALL_EVENTS != 0 && !(unlinked && watch.mask & raw::IN_EXCL_UNLINK != 0)
        };
        for watch in watches.iter_mut().filter(wants) {
            if let Some(instance) = watch.instance.upgrade() {
                told.push((instance, watch.number, watch.mask & raw::IN_ONESHOT != 0));
            }
        }
    }
    let gone = mask & raw::IN_DELETE_SELF != 0;
    for (instance, number, once) in told {
        instance.push(number, mask, cookie, name);
        if once || gone {
            instance.forget(number);
        }
    }
}
