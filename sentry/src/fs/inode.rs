//! `Inode`: a file, whatever its file system. Calls may block on the host; none is made with a spinning lock held.

use super::acl::{Acl, Which};
use super::entries::Entries;
use super::handle::Handle;
use super::open_file::{FileOps, OpenFile, OpenFlags};
use crate::errno::Errno;
use crate::mm::Mapping;
use crate::platform::platform;
use crate::syscall::Fail;
use crate::task::Current;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicU64, Ordering};
use linker::request::{Attr, MakeArgs, SetAttr, StatFs};
use linux_raw_sys::general as raw;

/// The type bits of a mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum FileKind {
    Regular,
    Directory,
    Symlink,
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
    /// Anonymous inodes (epoll, eventfd …) have no type bits.
    Anonymous,
}

impl FileKind {
    /// The kind in `st_mode`.
    pub const fn of_mode(mode: u32) -> Self {
        match mode & raw::S_IFMT {
            raw::S_IFREG => Self::Regular,
            raw::S_IFDIR => Self::Directory,
            raw::S_IFLNK => Self::Symlink,
            raw::S_IFCHR => Self::CharDevice,
            raw::S_IFBLK => Self::BlockDevice,
            raw::S_IFIFO => Self::Fifo,
            raw::S_IFSOCK => Self::Socket,
            _ => Self::Anonymous,
        }
    }
}

/// What was learnt before this moment (monotonic, ns) is believed quietly no more.
static DOUBTED_NS: AtomicU64 = AtomicU64::new(0);

/// Has all that is believed quietly asked anew: somebody outside has a hand in it now, and may have had one just before.
pub fn doubt() {
    DOUBTED_NS.store(platform().monotonic_ns(), Ordering::Relaxed);
    super::ways::changed();
}

/// When that was last (monotonic).
pub(super) fn doubted_ns() -> u64 {
    DOUBTED_NS.load(Ordering::Relaxed)
}

/// When something was heard from outside last.
static HEARD_NS: AtomicU64 = AtomicU64::new(0);

/// A program inside may have learnt something from outside by other means than files (a frame, a socket, a stream of the host's, a
/// command): that files were changed, perhaps. Call before it can see that.
pub fn heard() {
    HEARD_NS.fetch_max(platform().monotonic_ns(), Ordering::Relaxed);
}

/// When that was last (monotonic).
pub(super) fn heard_ns() -> u64 {
    HEARD_NS.load(Ordering::Relaxed)
}

/// How long something that was learnt is believed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Trust {
    /// It is asked for each time.
    Never,
    /// For so many nanoseconds.
    For(u64),
    /// For so many nanoseconds, if nothing makes it doubtful before (`doubt`).
    Quietly(u64),
    /// Nobody else changes it.
    Always,
}

impl Trust {
    /// Whether what was learnt at `at_ns` is still believed.
    #[inline]
    pub fn holds(self, at_ns: u64) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::For(ns) => platform().monotonic_ns().saturating_sub(at_ns) < ns,
            Self::Quietly(ns) => at_ns >= doubted_ns() && Self::For(ns).holds(at_ns),
        }
    }
}

/// An `Arc` of a trait object as one of its own type (`Arc::downcast` wants `Any`).
pub trait IntoAny {
    /// The same reference.
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl<T: Any + Send + Sync> IntoAny for T {
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// A file. `lookup` and what changes directories are called by the VFS, which has checked permissions and holds the
/// directory's `SleepLock`, so that two of them on one directory do not race.
pub trait Inode: IntoAny + Send + Sync {
    /// Its kind; never changes.
    fn kind(&self) -> FileKind;
    /// Its attributes.
    fn attr(&self) -> Result<Attr, Errno>;
    /// Changes attributes (chmod, chown, utimens, truncate); permissions were checked. ctime moves.
    fn set_attr(&self, _change: &SetAttr) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }
    /// Opens it. `flags` are the caller's; permissions, O_CREAT, O_EXCL, O_DIRECTORY and O_TRUNC were dealt with by the VFS.
    fn open(self: Arc<Self>, current: &Current, flags: OpenFlags) -> Result<Arc<dyn FileOps>, Fail>;
    /// The pages of a regular file, for mmap and the page cache; ENODEV where it has none.
    fn mapping(&self) -> Result<Arc<Mapping>, Errno> {
        Err(Errno::ENODEV)
    }
    /// The entry `name` of a directory; ENOENT if there is none. Never "." or "..".
    fn lookup(&self, _name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        Err(Errno::ENOTDIR)
    }
    /// All entries of a directory, without "." and "..". For overlays on top of it.
    fn list(&self) -> Result<Arc<Entries>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// How long a looked-up entry may be kept in the dentry cache without asking again (never: /proc/PID, shared host mounts).
    /// An entry is believed as long as both its directory and the entry itself say. Answer a question that is asked again
    /// with the same `Arc` while the file is the same: the entry keeps its dentry (working directories, mounts) only then.
    fn trust(&self) -> Trust {
        Trust::Always
    }
    /// Makes a file of any type (regular, directory, FIFO, device, socket; the type is in `mode`). EEXIST if the name is there.
    fn make(&self, _name: &[u8], _args: &MakeArgs) -> Result<Arc<dyn Inode>, Errno> {
        Err(Errno::EPERM)
    }
    /// Makes a symbolic link.
    fn symlink(&self, _name: &[u8], _target: &[u8], _args: &MakeArgs) -> Result<Arc<dyn Inode>, Errno> {
        Err(Errno::EPERM)
    }
    /// Makes another name for `target`, an inode of the same file system (EXDEV otherwise).
    fn link(&self, _name: &[u8], _target: &Arc<dyn Inode>) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }
    /// Removes a name; of a directory only with `directory` (ENOTEMPTY where it is not empty).
    fn unlink(&self, _name: &[u8], _directory: bool) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }
    /// Renames `name` to `new_name` in `new_dir` (same file system, EXDEV otherwise). `flags` as for renameat2(2).
    fn rename(&self, _name: &[u8], _new_dir: &Arc<dyn Inode>, _new_name: &[u8], _flags: u32) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }
    /// Makes a regular file without a name in this directory's file system (O_TMPFILE); `link` may give it one.
    fn make_unnamed(&self, _args: &MakeArgs) -> Result<Arc<dyn Inode>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// fallocate(2): `mode` is FALLOC_FL_*; the range was checked.
    fn allocate(&self, _mode: u32, _offset: u64, _len: u64) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// It was mapped through `file`, which counts as reading it.
    fn note_mapped(&self, _file: &OpenFile) {}
    /// A page of it becomes writable through a shared mapping. Called under an address space's lock.
    fn note_written(&self) {}
    /// The seals of a memfd (F_GET_SEALS); EINVAL for anything else.
    fn seals(&self) -> Result<u32, Errno> {
        Err(Errno::EINVAL)
    }
    /// F_ADD_SEALS.
    fn add_seals(&self, _seals: u32) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }
    /// Where a FIFO's inode keeps its pipe, so that all who open it meet. `None`: opening goes to `open`.
    fn fifo_slot(&self) -> Option<&super::Slot> {
        None
    }
    /// Where a socket's inode keeps the socket bound to it.
    fn socket_slot(&self) -> Option<&super::Slot> {
        None
    }
    /// What the file is known by without its name (name_to_handle_at); `None` where files are not found by that.
    fn handle(&self) -> Option<Handle> {
        None
    }
    /// A symbolic link's target.
    fn read_link(&self, _current: &Current) -> Result<Vec<u8>, Errno> {
        Err(Errno::EINVAL)
    }
    /// Where following leads without a name (`/proc/PID/{exe,cwd,root,fd/N}`); `None`: resolve `read_link`'s text.
    fn magic_link(&self, _current: &Current) -> Option<Result<super::Path, Errno>> {
        None
    }
    /// The file system's numbers.
    fn stat_fs(&self) -> Result<StatFs, Errno>;
    /// Extended attributes: one value, or ENODATA; EOPNOTSUPP where there are none at all.
    fn get_xattr(&self, _name: &[u8]) -> Result<Vec<u8>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// Sets an extended attribute (`flags`: XATTR_CREATE, XATTR_REPLACE).
    fn set_xattr(&self, _name: &[u8], _value: &[u8], _flags: u32) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// All names, each with its NUL.
    fn list_xattr(&self) -> Result<Vec<u8>, Errno> {
        Ok(Vec::new())
    }
    /// Removes one.
    fn remove_xattr(&self, _name: &[u8]) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// An access control list; EOPNOTSUPP where there are none at all.
    fn acl(&self, _which: Which) -> Result<Option<Arc<Acl>>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// Sets or removes one, and the permissions with it.
    fn set_acl(&self, _which: Which, _acl: Option<Arc<Acl>>, _mode: Option<u32>) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// For a file system to recognise its own.
    fn as_any(&self) -> &dyn Any;
}
