//! The virtual file system: descriptors, open files, inodes, paths, mounts and the file systems behind them.
//!
//! `fd_table` → `open_file` (position, flags) → `FileOps` (what read and write do) ; names go `walk` → `Path` (`Mount`, `Dentry`) → `Inode`.

pub mod acl;
pub mod aio;
pub mod anon;
mod async_io;
pub mod attr;
pub mod configuration;
mod context;
pub mod copy;
mod create;
mod dentry;
pub mod detached;
pub mod dev;
pub mod device;
pub mod entries;
pub mod epoll;
pub mod eventfd;
pub mod fanotify;
mod fd_table;
mod file_system;
pub mod handle;
pub mod host;
mod inode;
pub mod inotify;
mod io;
pub mod lock;
pub mod memfd;
mod mount;
mod mount_namespace;
mod mqueue;
pub mod nsfs;
mod open;
mod open_file;
pub mod overlay;
mod path;
mod permission;
pub mod pidfd;
pub mod pipe;
pub mod poll;
pub mod proc;
pub mod propagation;
mod pseudo;
pub mod regular;
pub mod signalfd;
mod special;
pub mod statmount;
pub mod stdio;
pub mod sys;
#[cfg(test)]
pub(crate) mod tests;
pub mod text;
pub mod timerfd;
pub mod tmpfs;
mod types;
pub mod userfaultfd;
mod walk;
mod ways;

pub use context::FsContext;
pub use create::{link, make, make_mount_point, rename, symlink, unlink};
pub use dentry::Dentry;
pub use fd_table::{FdTable, MOST_DESCRIPTORS};
pub use inode::{FileKind, Inode, IntoAny, Trust, doubt, heard};
pub use io::{Sink, Source};
pub use mount::{
    FsInfo, MOUNT_CHANGES, Mount, MountFlags, Namespace, bind_at, change_propagation, is_internal, mount_at,
    next_device, unmount,
};
pub use open::{open, open_at, open_exec, open_exec_at, open_found, open_how};
pub use open_file::{FileOps, OpenFile, OpenFlags, SignalOwner};
pub use path::Path;
pub use permission::{May, may_remove, owner_or_capable, permission};
pub use special::{PathOnly, Slot};
pub use types::{FILE_SYSTEMS, new_file_system};
pub use walk::{LastKind, LookupFlags, Parent, lookup, lookup_as, lookup_parent};
pub use ways::Ways;

use crate::task::Current;
use alloc::sync::Arc;

/// What closing a descriptor of `file` does beyond dropping it: also for exec's close-on-exec and exit.
pub fn close(current: &Current, file: Arc<OpenFile>) {
    file.ops().flush(current);
    inotify::closed(&current.files, &file);
    lock::closed(current, &file);
}
