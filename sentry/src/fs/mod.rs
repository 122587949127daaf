//! The virtual file system: descriptors, open files, inodes, paths, mounts and the file systems behind them.
//!
//! `fd_table` → `open_file` (position, flags) → `FileOps` (what read and write do) ; names go `walk` → `Path` (`Mount`, `Dentry`) → `Inode`.

mod context;
mod create;
mod dentry;
pub mod device;
mod fd_table;
pub mod host;
mod inode;
mod io;
mod mount;
mod open;
mod open_file;
mod path;
mod permission;
mod special;
mod walk;

pub use context::FsContext;
pub use create::{link, make, make_mount_point, rename, symlink, unlink};
pub use dentry::Dentry;
pub use fd_table::FdTable;
pub use inode::{FileKind, Inode};
pub use io::{Sink, Source};
pub use mount::{FsInfo, Mount, MountFlags, Namespace, bind_at, mount_at, move_mount, unmount};
pub use open::{open, open_at, open_exec, open_exec_at, open_how};
pub use open_file::{DirSink, FileOps, OpenFile, OpenFlags};
pub use path::Path;
pub use permission::{May, may_remove, owner_or_capable, permission};
pub use special::{PathOnly, Slot};
pub use walk::{LastKind, LookupFlags, Parent, lookup, lookup_as, lookup_parent};
