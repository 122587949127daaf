//! An open file description: what descriptors point to. Holds the position and the status flags; `FileOps` does the work.

use super::async_io::Async;
use super::entries::DirSink;
use super::epoll::Watchers;
use super::fanotify;
use super::inode::Inode;
use super::inotify;
use super::io::{Sink, Source};
use super::text::Claim;
use crate::errno::Errno;
use crate::landlock::{Confined, Files};
use crate::mm::Mapping;
use crate::sync::{Lock, Rank, SleepLock};
use crate::syscall::{Fail, Fd};
use crate::task::Current;
use crate::wait::{Events, WaitQueue, Wake};
use alloc::sync::Arc;
use bitflags::bitflags;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use linker::request::OFFSET_STREAM;
use linux_raw_sys::general as raw;

bitflags! {
    /// open(2)'s flags.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    #[allow(missing_docs)]
    pub struct OpenFlags: u32 {
        const WRONLY = raw::O_WRONLY;
        const RDWR = raw::O_RDWR;
        const CREAT = raw::O_CREAT;
        const EXCL = raw::O_EXCL;
        const NOCTTY = raw::O_NOCTTY;
        const TRUNC = raw::O_TRUNC;
        const APPEND = raw::O_APPEND;
        const NONBLOCK = raw::O_NONBLOCK;
        const DSYNC = raw::O_DSYNC;
        const ASYNC = raw::FASYNC;
        const DIRECT = raw::O_DIRECT;
        const LARGEFILE = raw::O_LARGEFILE;
        const DIRECTORY = raw::O_DIRECTORY;
        const NOFOLLOW = raw::O_NOFOLLOW;
        const NOATIME = raw::O_NOATIME;
        const CLOEXEC = raw::O_CLOEXEC;
        const SYNC = raw::O_SYNC;
        const PATH = raw::O_PATH;
        const TMPFILE = raw::O_TMPFILE;
    }
}

impl OpenFlags {
    /// Whether reading is allowed.
    pub fn readable(self) -> bool {
        !self.contains(Self::PATH) && matches!(self.bits() & raw::O_ACCMODE, raw::O_RDONLY | raw::O_RDWR)
    }

    /// Access mode 3: neither reading nor writing, but who opens it must be allowed both (device drivers' ioctl).
    pub fn is_for_control(self) -> bool {
        self.bits() & raw::O_ACCMODE == raw::O_ACCMODE
    }

    /// Whether writing is allowed.
    pub fn writable(self) -> bool {
        !self.contains(Self::PATH) && matches!(self.bits() & raw::O_ACCMODE, raw::O_WRONLY | raw::O_RDWR)
    }
}

impl crate::syscall::FromArg for OpenFlags {
    fn from_arg(raw: u64) -> Result<Self, Errno> {
        // open(2) ignores unknown flags; openat2(2) refuses them itself.
        Ok(Self::from_bits_truncate(raw as u32))
    }
}

/// What a file does. The defaults are those of a file that cannot.
///
/// `read`/`write` check neither access mode nor position: `OpenFile` does. They may block (honouring `OpenFile::nonblocking`).
pub trait FileOps: Send + Sync {
    /// Reads into `sink`. `offset` counts only where `seekable`. Returns bytes, 0 at the end.
    fn read(&self, _current: &Current, _file: &OpenFile, _sink: &mut Sink<'_>, _offset: u64) -> Result<usize, Fail> {
        Err(Errno::EINVAL.into())
    }
    /// Writes from `source`. With O_APPEND a seekable file writes at its end. Returns bytes and, where seekable, the position behind them.
    fn write(
        &self,
        _current: &Current,
        _file: &OpenFile,
        _source: &mut Source<'_>,
        _offset: u64,
    ) -> Result<(usize, u64), Fail> {
        Err(Errno::EINVAL.into())
    }
    /// Whether the file has positions (otherwise lseek and pread give ESPIPE).
    fn seekable(&self) -> bool {
        false
    }
    /// Whether the position is kept elsewhere (a host file passed in shares its position with the host): `read` and `write` at
    /// the position get `OFFSET_STREAM`, and `seek` serves every whence.
    fn keeps_position(&self) -> bool {
        false
    }
    /// lseek(2) other than SEEK_SET/SEEK_CUR: SEEK_END, SEEK_DATA, SEEK_HOLE. Returns the new position.
    fn seek(&self, _file: &OpenFile, _offset: i64, _whence: u32) -> Result<u64, Errno> {
        Err(Errno::ESPIPE)
    }
    /// What is ready right now. Regular files always are.
    fn poll(&self, _file: &OpenFile) -> Events {
        Events::READABLE | Events::WRITABLE
    }
    /// poll, select and epoll_wait call this before they look, with no lock held: what only the host knows is asked for here.
    fn prepare_poll(&self, _file: &OpenFile) {}
    /// The queue that is woken when `poll` may have changed; `None`: it never does, and epoll refuses the file (EPERM).
    fn wait_queue(&self) -> Option<&WaitQueue> {
        None
    }
    /// ioctl(2).
    fn ioctl(&self, _current: &Current, _file: &OpenFile, _command: u32, _arg: u64) -> Result<u64, Fail> {
        Err(Errno::ENOTTY.into())
    }
    /// fcntl(2)'s commands that are about the kind of file (F_GETPIPE_SZ, F_SETPIPE_SZ).
    fn fcntl(&self, _current: &Current, _file: &OpenFile, _command: u32, _arg: u64) -> Result<u64, Fail> {
        Err(Errno::EBADF.into())
    }
    /// getdents: entries from `position` on.
    fn read_dir(
        &self,
        _current: &Current,
        _file: &OpenFile,
        _position: u64,
        _emit: &mut dyn DirSink,
    ) -> Result<(), Fail> {
        Err(Errno::ENOTDIR.into())
    }
    /// The pages that mmap gives at `offset`, and the place in them; `None`: those of the inode.
    fn mapping(&self, _offset: u64) -> Option<Result<(Arc<Mapping>, u64), Errno>> {
        None
    }
    /// Whether mmap gives anonymous memory instead of the file's pages (`/dev/zero`).
    fn maps_anonymous(&self) -> bool {
        false
    }
    /// fsync(2), fdatasync(2).
    fn sync(&self, _data_only: bool) -> Result<(), Fail> {
        Err(Errno::EINVAL.into())
    }
    /// A descriptor was closed (not necessarily the last); `Drop` is the last.
    fn flush(&self, _current: &Current) {}
    /// For the owner of the type to recognise it (epoll, sockets, pidfds).
    fn as_any(&self) -> &dyn Any;
}

/// An open file description.
pub struct OpenFile {
    ops: Arc<dyn FileOps>,
    flags: AtomicU32,
    position: SleepLock<u64>,
    /// The position before the read or write that holds it now.
    position_before: AtomicU64,
    inode: Arc<dyn Inode>,
    path: Option<super::Path>,
    owner: Lock<SignalOwner>,
    /// In the file's queue while O_ASYNC is set.
    asynchronous: Lock<Option<Arc<dyn Wake>>>,
    watchers: Watchers,
    /// Rights that its opener did not have (landlock).
    lacks: AtomicU32,
    /// Nobody is told of what happens to it.
    quiet: AtomicBool,
    _writing: Option<Claim>,
}

/// Who is told of readiness by signal (F_SETOWN_EX, F_SETSIG).
#[derive(Clone, Debug, Default)]
pub struct SignalOwner {
    /// F_OWNER_TID, F_OWNER_PID or F_OWNER_PGRP.
    pub kind: u32,
    /// The thread's, process's or group's number, 0 for nobody.
    pub id: u32,
    /// The signal, 0 for SIGIO without siginfo.
    pub signal: u32,
    /// Who said so: real and effective user.
    pub uid: u32,
    /// See `uid`.
    pub euid: u32,
    /// Their landlock domain, unless it is they themselves.
    pub domain: Confined,
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.watchers.file_gone(self);
        let target = self.asynchronous.lock().take();
        if let (Some(target), Some(queue)) = (target, self.ops.wait_queue()) {
            queue.remove(&target);
        }
        super::lock::file_gone(self);
        if !self.flags().contains(OpenFlags::PATH) {
            self.notify(if self.flags().writable() { raw::IN_CLOSE_WRITE } else { raw::IN_CLOSE_NOWRITE });
        }
    }
}

/// Flags that fcntl(F_SETFL) may change.
const SETTABLE: u32 = raw::O_APPEND | raw::O_NONBLOCK | raw::O_DIRECT | raw::O_NOATIME;
/// Flags that only count while opening.
const OPEN_ONLY: u32 = raw::O_CREAT | raw::O_EXCL | raw::O_NOCTTY | raw::O_TRUNC | raw::O_CLOEXEC;

impl OpenFile {
    /// A description of `ops`, at position 0. `path`: the name it was opened by; `None` for pipes, sockets and anonymous files.
    pub fn new(ops: Arc<dyn FileOps>, flags: OpenFlags, inode: Arc<dyn Inode>, path: Option<super::Path>) -> Arc<Self> {
        Self::claiming(ops, flags, inode, path, None)
    }

    /// `new` for a named file that is open for writing: it cannot be run meanwhile.
    pub fn claiming(
        ops: Arc<dyn FileOps>,
        flags: OpenFlags,
        inode: Arc<dyn Inode>,
        path: Option<super::Path>,
        writing: Option<Claim>,
    ) -> Arc<Self> {
        let flags = AtomicU32::new(flags.bits() & !OPEN_ONLY);
        let owner = Lock::new(Rank::Leaf, SignalOwner::default());
        let asynchronous = Lock::new(Rank::Leaf, None);
        let watchers = Watchers::default();
        Arc::new(Self {
            ops,
            flags,
            position: SleepLock::new(0),
            position_before: AtomicU64::new(0),
            inode,
            path,
            owner,
            asynchronous,
            watchers,
            lacks: AtomicU32::new(0),
            quiet: AtomicBool::new(false),
            _writing: writing,
        })
    }

    /// What does the work.
    pub fn ops(&self) -> &Arc<dyn FileOps> {
        &self.ops
    }

    /// The work, as a concrete type.
    pub fn downcast<T: 'static>(&self) -> Option<&T> {
        self.ops.as_any().downcast_ref()
    }

    /// The inode (fstat, locks, maps).
    pub fn inode(&self) -> &Arc<dyn Inode> {
        &self.inode
    }

    /// The name it was opened by.
    pub fn path(&self) -> Option<&super::Path> {
        self.path.as_ref()
    }

    /// The epolls that watch it.
    pub fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// Rights that it was opened without.
    #[inline]
    pub fn lacks(&self) -> Files {
        Files::from_bits_retain(self.lacks.load(Ordering::Relaxed))
    }

    /// Takes rights away, for good.
    pub(super) fn give_up(&self, rights: Files) {
        self.lacks.fetch_or(rights.bits(), Ordering::Relaxed);
    }

    /// Status flags and access mode.
    pub fn flags(&self) -> OpenFlags {
        OpenFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// Sets what F_SETFL may set.
    pub fn set_flags(&self, flags: OpenFlags) {
        let keep = self.flags.load(Ordering::Relaxed) & !SETTABLE;
        self.flags.store(keep | flags.bits() & SETTABLE, Ordering::Relaxed);
    }

    /// Turns O_ASYNC on or off, through descriptor `fd`. A file that never changes its readiness ignores it.
    pub fn set_async(self: &Arc<Self>, fd: Fd, on: bool) {
        let Some(queue) = self.ops.wait_queue() else { return };
        let new = on.then(|| Async::target(self, fd));
        if let Some(target) = &new {
            queue.add(target.clone(), Events::all(), false);
        }
        let old = core::mem::replace(&mut *self.asynchronous.lock(), new);
        if let Some(target) = old {
            queue.remove(&target);
        }
        if on {
            self.flags.fetch_or(raw::FASYNC, Ordering::Relaxed);
        } else {
            self.flags.fetch_and(!raw::FASYNC, Ordering::Relaxed);
        }
    }

    /// Whether O_NONBLOCK is set.
    pub fn nonblocking(&self) -> bool {
        self.flags().contains(OpenFlags::NONBLOCK)
    }

    /// Who gets SIGIO.
    pub fn owner(&self) -> SignalOwner {
        self.owner.lock().clone()
    }

    /// Sets who gets SIGIO.
    pub fn set_owner(&self, owner: SignalOwner) {
        let old = core::mem::replace(&mut *self.owner.lock(), owner);
        drop(old);
    }

    /// The position, for lseek and getdents. Parks while another thread reads or writes through this description.
    pub fn position(&self) -> &SleepLock<u64> {
        &self.position
    }

    /// The position as it is shown: without waiting, as the file that shows it may be this one.
    pub fn shown_position(&self) -> u64 {
        self.position.look().unwrap_or_else(|| self.position_before.load(Ordering::Relaxed))
    }

    /// read(2): at the position, which moves.
    pub fn read(&self, current: &Current, sink: &mut Sink<'_>) -> Result<usize, Fail> {
        if !self.flags().readable() {
            return Err(Errno::EBADF.into());
        }
        self.ask_to_read(current)?;
        if !self.ops.seekable() {
            return self.ops.read(current, self, sink, 0);
        }
        if self.ops.keeps_position() {
            return self.ops.read(current, self, sink, OFFSET_STREAM);
        }
        let mut position = self.position.lock();
        self.position_before.store(*position, Ordering::Relaxed);
        check_range(*position, sink.left())?;
        let bytes = self.ops.read(current, self, sink, *position)?;
        *position += bytes as u64;
        self.notify(raw::IN_ACCESS);
        Ok(bytes)
    }

    /// write(2): at the position, which moves.
    pub fn write(&self, current: &Current, source: &mut Source<'_>) -> Result<usize, Fail> {
        if !self.flags().writable() {
            return Err(Errno::EBADF.into());
        }
        if !self.ops.seekable() {
            return self.ops.write(current, self, source, 0).map(|(bytes, _)| bytes);
        }
        if self.ops.keeps_position() {
            return self.ops.write(current, self, source, OFFSET_STREAM).map(|(bytes, _)| bytes);
        }
        let mut position = self.position.lock();
        self.position_before.store(*position, Ordering::Relaxed);
        check_range(*position, source.left())?;
        let (bytes, behind) = self.ops.write(current, self, source, *position)?;
        *position = behind;
        self.notify(raw::IN_MODIFY);
        Ok(bytes)
    }

    /// pread(2).
    pub fn read_at(&self, current: &Current, sink: &mut Sink<'_>, offset: u64) -> Result<usize, Fail> {
        if !self.ops.seekable() && !self.flags().contains(OpenFlags::PATH) {
            return Err(Errno::ESPIPE.into());
        }
        if !self.flags().readable() {
            return Err(Errno::EBADF.into());
        }
        check_range(offset, sink.left())?;
        self.ask_to_read(current)?;
        let bytes = self.ops.read(current, self, sink, offset)?;
        self.notify(raw::IN_ACCESS);
        Ok(bytes)
    }

    /// pwrite(2).
    pub fn write_at(&self, current: &Current, source: &mut Source<'_>, offset: u64) -> Result<usize, Fail> {
        if !self.ops.seekable() && !self.flags().contains(OpenFlags::PATH) {
            return Err(Errno::ESPIPE.into());
        }
        if !self.flags().writable() {
            return Err(Errno::EBADF.into());
        }
        check_range(offset, source.left())?;
        let (bytes, _) = self.ops.write(current, self, source, offset)?;
        self.notify(raw::IN_MODIFY);
        Ok(bytes)
    }

    /// Tells inotify and fanotify what happened to the file, if it has a name.
    #[inline]
    pub fn notify(&self, mask: u32) {
        if let Some(path) = self.path.as_ref().filter(|_| !self.quiet.load(Ordering::Relaxed)) {
            inotify::event(path.dentry(), mask);
            fanotify::happened(path, u64::from(mask));
        }
    }

    /// Tells fanotify that a directory was read.
    pub fn was_read(&self) {
        if let Some(path) = self.path.as_ref().filter(|_| !self.quiet.load(Ordering::Relaxed)) {
            fanotify::happened(path, fanotify::abi::ACCESS);
        }
    }

    /// Nobody is to be told of what happens to it (what fanotify gives out).
    pub fn make_quiet(&self) {
        self.quiet.store(true, Ordering::Relaxed);
    }

    /// Asks fanotify's listeners whether it may be read. EPERM where one denies it.
    #[inline]
    pub fn ask_to_read(&self, current: &Current) -> Result<(), Errno> {
        match &self.path {
            Some(path) if !self.quiet.load(Ordering::Relaxed) => {
                fanotify::ask(current, path, &[fanotify::abi::ACCESS_PERM])
            }
            _ => Ok(()),
        }
    }
}

/// EINVAL for bytes beyond the largest offset there is.
#[inline]
fn check_range(offset: u64, len: usize) -> Result<(), Errno> {
    match offset.checked_add(len as u64) {
        Some(end) if i64::try_from(end).is_ok() => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}
