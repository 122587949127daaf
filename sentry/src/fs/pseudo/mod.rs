//! Files that are made up when they are read: what proc, sysfs and cgroup2 have in common.
//!
//! A tree is a table of `Item`s, each with a name, a mode and functions that say what it is; functions get the reader and a
//! context `C` (a task for `/proc/PID`, nothing elsewhere). `Node` is the inode of one item in one context; the same item in the
//! same context is the same inode while somebody holds it (`PseudoFs::intern`). `file` is what opening gives.

mod file;

use super::handle::{Form, Handle};
use super::{FileKind, FileOps, Inode, OpenFlags, Path, Trust, mount::next_device};
use crate::errno::Errno;
use crate::platform::platform;
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::task::Current;
use crate::wait::{Events, WaitQueue};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicU64, Ordering};
use file::{Directory, Snapshot};
use hashbrown::HashMap;
use linker::request::{Attr, SetAttr, StatFs, Time};
use linux_raw_sys::general as raw;

/// What the functions of a tree are told besides the reader.
pub trait Context: Clone + Send + Sync + 'static {
    /// Whether what exists in this context stays: names need not be looked up again.
    const PERMANENT: bool;

    /// User and group of the files.
    fn owner(&self) -> (u32, u32) {
        (0, 0)
    }

    /// Errors that every access gets: the task is gone.
    fn check(&self) -> Result<(), Errno> {
        Ok(())
    }
}

/// The context of what is about the system as a whole.
#[derive(Clone, Copy)]
pub struct Global;

impl Context for Global {
    const PERMANENT: bool = true;
}

/// A file's whole content.
pub type Read<C> = fn(&Current, &C) -> Result<Vec<u8>, Errno>;
/// What a write of these bytes does.
pub type Write<C> = fn(&Current, &C, &[u8]) -> Result<(), Errno>;
/// A directory's further entries: name and `DT_*`.
pub type List<C> = fn(&Current, &C) -> Result<Vec<(Vec<u8>, u32)>, Errno>;
/// One of the further entries.
pub type Find<C> = fn(&Arc<PseudoFs>, u64, &C, &[u8]) -> Result<Arc<dyn Inode>, Errno>;

/// One name of a tree.
pub struct Item<C: 'static> {
    /// Its name.
    pub name: &'static str,
    /// Permissions.
    pub mode: u32,
    /// What it is.
    pub what: What<C>,
}

/// What an item is.
pub enum What<C: 'static> {
    /// A directory with these entries.
    Directory(&'static [Item<C>]),
    /// A directory with entries that come and go, besides fixed ones: what lists them, what finds one by name.
    Dynamic(&'static [Item<C>], List<C>, Find<C>),
    /// A file to read.
    File(Read<C>),
    /// A file to read that asks when it is opened whether the opener may (ptrace access).
    Guarded(fn(&Current, &C) -> Result<(), Errno>, Read<C>),
    /// A file to read and write.
    Writable(Read<C>, Write<C>),
    /// A file to read whose changes poll(2) reports, as POLLPRI and POLLERR.
    Watched(Read<C>, &'static Changes),
    /// A symbolic link's text.
    Link(Read<C>),
    /// A link that leads to a place, whatever its text.
    Magic(fn(&Current, &C) -> Result<Path, Errno>),
    /// A file with a mind of its own.
    Special(fn(&Current, &C, OpenFlags) -> Result<Arc<dyn FileOps>, Fail>),
}

/// Counts the changes of what a file shows.
pub struct Changes {
    count: AtomicU64,
    queue: WaitQueue,
}

impl Changes {
    /// None so far.
    pub const fn new() -> Self {
        Self { count: AtomicU64::new(0), queue: WaitQueue::new() }
    }

    /// There was one. Call without spinning locks.
    pub fn add(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.queue.wake(Events::PRI | Events::ERR);
    }
}

/// `name` with a table below it.
pub const fn directory<C>(name: &'static str, items: &'static [Item<C>]) -> Item<C> {
    Item { name, mode: 0o555, what: What::Directory(items) }
}

/// `name` for all to read.
pub const fn file<C>(name: &'static str, read: Read<C>) -> Item<C> {
    Item { name, mode: 0o444, what: What::File(read) }
}

/// A symbolic link.
pub const fn link<C>(name: &'static str, text: Read<C>) -> Item<C> {
    Item { name, mode: 0o777, what: What::Link(text) }
}

/// One mounted pseudo file system.
pub struct PseudoFs {
    device: u64,
    magic: u32,
    nodes: Lock<Nodes>,
}

#[derive(Default)]
struct Nodes {
    map: HashMap<u64, Weak<dyn Inode>>,
    sweep_at: usize,
}

/// Inode number of the root, as proc has it.
const ROOT_INO: u64 = 1;

impl PseudoFs {
    /// A new one; its root directory, which is `item` with `context`.
    pub fn root<C: Context>(magic: u32, item: &'static Item<C>, context: C) -> Arc<dyn Inode> {
        let nodes = Lock::new(Rank::FileSystem, Nodes { map: HashMap::new(), sweep_at: 256 });
        let fs = Arc::new(Self { device: next_device(), magic, nodes });
        Arc::new(Node::new(fs, item, context, ROOT_INO))
    }

    /// The inode `ino`, made by `make` unless it is there.
    pub fn intern(&self, ino: u64, make: impl FnOnce() -> Arc<dyn Inode>) -> Arc<dyn Inode> {
        if let Some(inode) = self.nodes.lock().map.get(&ino).and_then(Weak::upgrade) {
            return inode;
        }
        let new = make();
        let mut dead = Vec::new();
        let mut nodes = self.nodes.lock();
        if let Some(other) = nodes.map.get(&ino).and_then(Weak::upgrade) {
            drop(nodes);
            return other;
        }
        nodes.map.insert(ino, Arc::downgrade(&new));
        if nodes.map.len() >= nodes.sweep_at {
            dead.extend(nodes.map.extract_if(|_, node| node.strong_count() == 0));
            nodes.sweep_at = (nodes.map.len() * 2).max(256);
        }
        drop(nodes);
        drop(dead);
        new
    }

    /// The inode of `item` in `context`, an entry of directory `parent`. `salt` tells namesakes apart that follow each other.
    pub fn node<C: Context>(
        self: &Arc<Self>,
        item: &'static Item<C>,
        context: &C,
        parent: u64,
        name: &[u8],
        salt: u64,
    ) -> Arc<dyn Inode> {
        let ino = number(parent, name, salt);
        self.intern(ino, || Arc::new(Node::new(self.clone(), item, context.clone(), ino)))
    }

    /// Attributes of a file made now.
    pub fn attr(&self, ino: u64, mode: u32, owner: (u32, u32), made: Time) -> Attr {
        Attr {
            dev: self.device,
            ino,
            mode,
            nlink: if FileKind::of_mode(mode) == FileKind::Directory { 2 } else { 1 },
            uid: owner.0,
            gid: owner.1,
            blksize: 1024,
            atime: made,
            mtime: made,
            ctime: made,
            ..Attr::default()
        }
    }

    /// The file system's numbers.
    pub fn stat_fs(&self) -> StatFs {
        StatFs { kind: u64::from(self.magic), bsize: 4096, namelen: u64::from(raw::NAME_MAX), ..StatFs::default() }
    }
}

/// An inode number for `name` in directory `parent` (FNV-1a), in the range where Linux has its dynamic ones.
pub fn number(parent: u64, name: &[u8], salt: u64) -> u64 {
    let bytes = parent.to_le_bytes().into_iter().chain(salt.to_le_bytes()).chain(name.iter().copied());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    0xf000_0000 | (hash ^ hash >> 32) & 0x0fff_ffff
}

/// Now, as file times have it.
pub fn now() -> Time {
    let ns = platform().realtime_ns();
    Time { sec: (ns / 1_000_000_000) as i64, nsec: (ns % 1_000_000_000) as i64 }
}

/// One file of a tree.
pub struct Node<C: 'static> {
    fs: Arc<PseudoFs>,
    item: &'static Item<C>,
    context: C,
    ino: u64,
    made: Time,
}

impl<C: Context> Node<C> {
    /// The context of `inode`, if it is `item`.
    pub fn context_of(inode: &dyn Inode, item: &'static Item<C>) -> Option<C> {
        let node = inode.as_any().downcast_ref::<Self>()?;
        core::ptr::eq(node.item, item).then(|| node.context.clone())
    }

    fn new(fs: Arc<PseudoFs>, item: &'static Item<C>, context: C, ino: u64) -> Self {
        Self { fs, item, context, ino, made: now() }
    }

    fn entries(&self) -> &'static [Item<C>] {
        match self.item.what {
            What::Directory(items) | What::Dynamic(items, ..) => items,
            _ => &[],
        }
    }

    /// The whole content now.
    fn content(&self, current: &Current) -> Result<Vec<u8>, Errno> {
        self.context.check()?;
        match self.item.what {
            What::File(read) | What::Guarded(_, read) | What::Writable(read, _) | What::Watched(read, _) => {
                read(current, &self.context)
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn changes(&self) -> Option<&'static Changes> {
        match self.item.what {
            What::Watched(_, changes) => Some(changes),
            _ => None,
        }
    }

    fn store(&self, current: &Current, bytes: &[u8]) -> Result<(), Errno> {
        self.context.check()?;
        match self.item.what {
            What::Writable(_, write) => write(current, &self.context, bytes),
            _ => Err(Errno::EPERM),
        }
    }

    /// All entries: number, type, name.
    fn list(&self, current: &Current) -> Result<Vec<(u64, u32, Vec<u8>)>, Errno> {
        self.context.check()?;
        let fixed = self.entries().iter();
        let mut all: Vec<_> = fixed
            .map(|item| {
                let name = item.name.as_bytes();
                (number(self.ino, name, 0), kind_of(&item.what).1, name.to_vec())
            })
            .collect();
        if let What::Dynamic(_, list, _) = self.item.what {
            let more = list(current, &self.context)?.into_iter();
            all.extend(more.map(|(name, kind)| (number(self.ino, &name, 0), kind, name)));
        }
        Ok(all)
    }
}

/// Kind of an item, and its `DT_*`.
fn kind_of<C>(what: &What<C>) -> (FileKind, u32) {
    match what {
        What::Directory(..) | What::Dynamic(..) => (FileKind::Directory, raw::DT_DIR),
        What::Link(_) | What::Magic(_) => (FileKind::Symlink, raw::DT_LNK),
        _ => (FileKind::Regular, raw::DT_REG),
    }
}

impl<C: Context> Inode for Node<C> {
    fn kind(&self) -> FileKind {
        kind_of(&self.item.what).0
    }

    fn attr(&self) -> Result<Attr, Errno> {
        let kind = match self.kind() {
            FileKind::Directory => raw::S_IFDIR,
            FileKind::Symlink => raw::S_IFLNK,
            _ => raw::S_IFREG,
        };
        Ok(self.fs.attr(self.ino, kind | self.item.mode, self.context.owner(), self.made))
    }

    fn set_attr(&self, change: &SetAttr) -> Result<(), Errno> {
        // O_TRUNC of a file whose content is made up: nothing to do.
        if change.valid == SetAttr::SIZE && self.kind() == FileKind::Regular { Ok(()) } else { Err(Errno::EPERM) }
    }

    fn open(self: Arc<Self>, current: &Current, flags: OpenFlags) -> Result<Arc<dyn FileOps>, Fail> {
        self.context.check()?;
        match self.item.what {
            What::Directory(..) | What::Dynamic(..) => Ok(Arc::new(Directory::new(self))),
            What::Link(_) | What::Magic(_) => Err(Errno::ELOOP.into()),
            What::Special(open) => open(current, &self.context, flags),
            What::Guarded(guard, _) => {
                guard(current, &self.context)?;
                Ok(Arc::new(Snapshot::new(self)))
            }
            What::File(_) | What::Writable(..) | What::Watched(..) => Ok(Arc::new(Snapshot::new(self))),
        }
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        if self.kind() != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        self.context.check().map_err(|_| Errno::ENOENT)?;
        if let Some(item) = self.entries().iter().find(|item| item.name.as_bytes() == name) {
            return Ok(self.fs.node(item, &self.context, self.ino, name, 0));
        }
        match self.item.what {
            What::Dynamic(_, _, find) => find(&self.fs, self.ino, &self.context, name),
            _ => Err(Errno::ENOENT),
        }
    }

    fn trust(&self) -> Trust {
        // What hangs on a task goes with it; what comes and goes is asked for again.
        if !matches!(self.item.what, What::Dynamic(..)) && C::PERMANENT { Trust::Always } else { Trust::Never }
    }

    fn handle(&self) -> Option<Handle> {
        // Programs know a control group by its number. Of others Linux gives none.
        (self.fs.magic == raw::CGROUP2_SUPER_MAGIC).then_some(Handle {
            form: Form::Number,
            number: self.ino,
            generation: 0,
        })
    }

    fn read_link(&self, current: &Current) -> Result<Vec<u8>, Errno> {
        self.context.check().map_err(|_| Errno::ENOENT)?;
        match self.item.what {
            What::Link(text) => text(current, &self.context),
            What::Magic(place) => Ok(place(current, &self.context)?.absolute(&current.fs.root())),
            _ => Err(Errno::EINVAL),
        }
    }

    fn magic_link(&self, current: &Current) -> Option<Result<Path, Errno>> {
        match self.item.what {
            What::Magic(place) => Some(self.context.check().and_then(|()| place(current, &self.context))),
            _ => None,
        }
    }

    fn stat_fs(&self) -> Result<StatFs, Errno> {
        Ok(self.fs.stat_fs())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
