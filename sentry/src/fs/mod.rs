//! The virtual file system: descriptors, open files, inodes, paths, mounts and the file systems behind them.
//!
//! `fd_table` → `open_file` (position, flags) → `FileOps` (what read and write do) ; names go `path` → `Dentry` → `Inode`.

pub mod anon;
mod fd_table;
mod inode;
mod io;
mod open_file;
pub mod pipe;

pub use fd_table::FdTable;
pub use inode::{FileKind, Inode};
pub use io::{Sink, Source};
pub use open_file::{DirSink, FileOps, OpenFile, OpenFlags};

/// A thread's root, working directory and umask; shared with CLONE_FS.
pub struct FsContext {}

/// A place in the mount tree: a mount and a dentry.
#[derive(Clone)]
pub struct Path {}
