//! inotify(7): what happens to watched files and directories.
//!
//! The VFS calls `event` (about a file, also told to watchers of its directory) and `child_event` (about a name in a directory);
//! without any watch in the sandbox each costs two loads. `table` knows which instances watch which file; an `Inotify` holds the
//! events until they are read.
//!
//! Locks: `table` (Rank::Notify), then an instance's (Rank::Leaf).

mod directory;
mod instance;
mod table;

pub use directory::{closed, table_gone, watch as watch_directory};
pub use instance::{Inotify, MAX_INSTANCES, MAX_QUEUED, MAX_WATCHES};

use super::{Dentry, Inode};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use linux_raw_sys::general::{
    IN_ATTRIB, IN_DELETE, IN_DELETE_SELF, IN_ISDIR, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO,
};

/// Whether anybody wants to know anything.
#[inline]
fn any() -> bool {
    table::any() || directory::any()
}

/// Something (`mask`: one of IN_*) happened to the file behind `dentry`.
#[inline]
pub fn event(dentry: &Arc<Dentry>, mask: u32) {
    if any() {
        file_event(dentry, mask);
    }
}

/// Something happened to the name `name` in directory `dir`. `cookie` joins the two halves of a rename, 0 otherwise.
#[inline]
pub fn child_event(dir: &Arc<Dentry>, name: &[u8], mask: u32, cookie: u32, directory: bool) {
    if any() {
        let mask = if directory { mask | IN_ISDIR } else { mask };
        table::deliver(&**dir.inode(), mask, cookie, name);
    }
}

/// The number of a file's names changed.
pub fn links_changed(inode: &Arc<dyn Inode>) {
    if any() {
        table::deliver(&**inode, IN_ATTRIB, 0, b"");
    }
}

/// `name` in `dir` is gone; `child` was behind it.
pub fn removed(dir: &Arc<Dentry>, name: &[u8], child: &Arc<Dentry>) {
    if !any() {
        return;
    }
    let inode = child.inode();
    let gone = child.is_directory() || inode.attr().is_ok_and(|attr| attr.nlink == 0);
    if !child.is_directory() {
        table::deliver(&**inode, IN_ATTRIB, 0, b"");
    }
    if gone {
        table::deliver(&**inode, IN_DELETE_SELF, 0, b"");
    }
    child_event(dir, name, IN_DELETE, 0, child.is_directory());
}

/// `child` moved from one directory and name to another.
pub fn moved(from: (&Arc<Dentry>, &[u8]), to: (&Arc<Dentry>, &[u8]), child: &Arc<Dentry>) {
    if !any() {
        return;
    }
    static NEXT_COOKIE: AtomicU32 = AtomicU32::new(1);
    // The cookie joins the two halves.
    let cookie = NEXT_COOKIE.fetch_add(1, Ordering::Relaxed);
    child_event(from.0, from.1, IN_MOVED_FROM, cookie, child.is_directory());
    child_event(to.0, to.1, IN_MOVED_TO, cookie, child.is_directory());
    if directory::any()
        && Arc::ptr_eq(from.0, to.0)
        && let Ok(attr) = from.0.inode().attr()
    {
        directory::renamed((attr.dev, attr.ino));
    }
    table::deliver(&**child.inode(), IN_MOVE_SELF, 0, b"");
}

#[cold]
fn file_event(dentry: &Arc<Dentry>, mask: u32) {
    let mask = if dentry.is_directory() { mask | IN_ISDIR } else { mask };
    if let Some(parent) = dentry.parent()
        && !dentry.is_unnamed()
    {
        // A file that is still open has its last name until it is closed.
        table::deliver_of(&**parent.inode(), mask, 0, &dentry.name(), dentry.is_deleted());
    }
    table::deliver(&**dentry.inode(), mask, 0, b"");
}
