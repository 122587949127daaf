//! devpts: `/dev/pts` with `ptmx` and a node for each pseudo-terminal.

use super::device::{PTMX, PTS_MAJOR};
use super::master::PtyMaster;
use super::session;
use super::terminal::{FarSide, Terminal};
use crate::errno::Errno;
use crate::fs::entries::DirSink;
use crate::fs::{FileKind, FileOps, Inode, OpenFile, OpenFlags, Trust, next_device};
use crate::platform::platform;
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::task::Current;
use crate::time::Timespec;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use linker::request::{Attr, SetAttr, StatFs, Time};
use linux_raw_sys::general as raw;

/// Pseudo-terminals at most (`/proc/sys/kernel/pty/max`).
const MAX: u32 = 4096;
/// Inode numbers, as Linux gives them.
const ROOT_INO: u64 = 1;
const PTMX_INO: u64 = 2;
const FIRST_INO: u64 = 3;

/// Mount options (Documentation/filesystems/devpts.rst).
#[derive(Clone, Copy)]
struct Options {
    uid: Option<u32>,
    gid: Option<u32>,
    mode: u32,
    ptmx_mode: u32,
    max: u32,
}

impl Options {
    /// EINVAL for what is not understood.
    fn parse(text: &str) -> Result<Self, Errno> {
        let mut options = Self { uid: None, gid: None, mode: 0o600, ptmx_mode: 0, max: MAX };
        let octal = |value: &str| u32::from_str_radix(value, 8).map(|mode| mode & 0o7777).map_err(|_| Errno::EINVAL);
        let number = |value: &str| value.parse::<u32>().map_err(|_| Errno::EINVAL);
        for option in text.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("uid", value)) => options.uid = Some(number(value)?),
                Some(("gid", value)) => options.gid = Some(number(value)?),
                Some(("mode", value)) => options.mode = octal(value)?,
                Some(("ptmxmode", value)) => options.ptmx_mode = octal(value)?,
                Some(("max", value)) => options.max = number(value)?.min(MAX),
                None if option == "newinstance" => {}
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(options)
    }
}

/// One devpts.
pub struct DevPts {
    device: u64,
    options: Options,
    nodes: Lock<BTreeMap<u32, Arc<Node>>>,
    ptmx: Lock<Attr>,
    root: Attr,
}

/// The instance that device numbers refer to: the first one mounted.
static DEFAULT: Lock<Option<Weak<DevPts>>> = Lock::new(Rank::Leaf, None);

pub(super) fn default_instance() -> Option<Arc<DevPts>> {
    DEFAULT.lock().as_ref().and_then(Weak::upgrade)
}

/// A new devpts; its root directory.
pub fn new(options: &str) -> Result<Arc<dyn Inode>, Errno> {
    let options = Options::parse(options)?;
    let device = next_device();
    let time = now();
    let attr = Attr { dev: device, blksize: 1024, atime: time, mtime: time, ctime: time, ..Attr::default() };
    let devpts = Arc::new(DevPts {
        device,
        options,
        nodes: Lock::new(Rank::FileSystem, BTreeMap::new()),
        ptmx: Lock::new(
            Rank::Leaf,
            Attr { ino: PTMX_INO, mode: raw::S_IFCHR | options.ptmx_mode, nlink: 1, rdev: PTMX, ..attr },
        ),
        root: Attr { ino: ROOT_INO, mode: raw::S_IFDIR | 0o755, nlink: 2, ..attr },
    });
    let mut default = DEFAULT.lock();
    if default.as_ref().and_then(Weak::upgrade).is_none() {
        *default = Some(Arc::downgrade(&devpts));
    }
    drop(default);
    Ok(Arc::new(Root { ptmx: Arc::new(Ptmx(devpts.clone())), devpts }))
}

impl DevPts {
    /// A new terminal with a number of its own; ENOSPC where there is none left.
    pub(super) fn add(self: &Arc<Self>, current: &Current, far: FarSide) -> Result<Arc<Terminal>, Errno> {
        let mut nodes = self.nodes.lock();
        let number = (0..self.options.max).find(|number| !nodes.contains_key(number)).ok_or(Errno::ENOSPC)?;
        let time = now();
        let attr = Attr {
            dev: self.device,
            ino: FIRST_INO + u64::from(number),
            mode: raw::S_IFCHR | self.options.mode,
            nlink: 1,
            uid: self.options.uid.unwrap_or(current.creds.fsuid),
            gid: self.options.gid.unwrap_or(current.creds.fsgid),
            blksize: 1024,
            rdev: u64::from(PTS_MAJOR) << 32 | u64::from(number),
            atime: time,
            mtime: time,
            ctime: time,
            ..Attr::default()
        };
        let terminal = Terminal::new(number, far);
        let node = Node { devpts: self.clone(), terminal: terminal.clone(), attr: Lock::new(Rank::Leaf, attr) };
        nodes.insert(number, Arc::new(node));
        Ok(terminal)
    }

    /// The terminal is gone, and its name with it.
    pub(super) fn remove(&self, number: u32) {
        let node = self.nodes.lock().remove(&number);
        drop(node);
    }

    fn node(&self, number: u32) -> Option<Arc<Node>> {
        self.nodes.lock().get(&number).cloned()
    }

    fn stat_fs(&self) -> StatFs {
        let kind = u64::from(raw::DEVPTS_SUPER_MAGIC);
        StatFs { kind, bsize: 4096, namelen: u64::from(raw::NAME_MAX), ..StatFs::default() }
    }
}

/// Opens `ptmx`: a new pseudo-terminal.
pub(super) fn open_master(
    current: &Current,
    devpts: &Arc<DevPts>,
    _flags: OpenFlags,
) -> Result<Arc<dyn FileOps>, Fail> {
    let terminal = devpts.add(current, FarSide::Master)?;
    Ok(PtyMaster::new(terminal, devpts.clone()))
}

/// Opens a terminal by its number. EIO while it is locked or when its far side is gone.
pub(super) fn open_number(
    current: &Current,
    devpts: &DevPts,
    number: u32,
    flags: OpenFlags,
) -> Result<Arc<dyn FileOps>, Fail> {
    let terminal = devpts.node(number).ok_or(Errno::EIO)?.terminal.clone();
    let file = terminal.open(current)?;
    if !flags.contains(OpenFlags::NOCTTY) && flags.readable() {
        session::adopt(current, &terminal);
    }
    Ok(file)
}

fn now() -> Time {
    let now = Timespec::from_ns(platform().realtime_ns());
    Time { sec: now.sec, nsec: now.nsec }
}

/// Applies a chmod, chown or utimens.
fn change_attr(attr: &mut Attr, change: &SetAttr) -> Result<(), Errno> {
    if change.valid & SetAttr::SIZE != 0 {
        return Err(Errno::EINVAL);
    }
    if change.valid & SetAttr::MODE != 0 {
        attr.mode = attr.mode & raw::S_IFMT | change.mode & !raw::S_IFMT;
    }
    if change.valid & SetAttr::UID != 0 {
        attr.uid = change.uid;
    }
    if change.valid & SetAttr::GID != 0 {
        attr.gid = change.gid;
    }
    if change.valid & SetAttr::ATIME != 0 {
        attr.atime = change.atime;
    }
    if change.valid & SetAttr::MTIME != 0 {
        attr.mtime = change.mtime;
    }
    attr.ctime = now();
    Ok(())
}

/// The directory.
struct Root {
    devpts: Arc<DevPts>,
    ptmx: Arc<Ptmx>,
}

impl Inode for Root {
    fn kind(&self) -> FileKind {
        FileKind::Directory
    }

    fn attr(&self) -> Result<Attr, Errno> {
        Ok(self.devpts.root)
    }

    fn open(self: Arc<Self>, _current: &Current, _flags: OpenFlags) -> Result<Arc<dyn FileOps>, Fail> {
        Ok(Arc::new(Listing(self.devpts.clone())))
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        if name == b"ptmx" {
            return Ok(self.ptmx.clone());
        }
        let text = core::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
        let number = text.parse::<u32>().ok().filter(|number| alloc::format!("{number}") == text);
        let node: Arc<dyn Inode> = number.and_then(|number| self.devpts.node(number)).ok_or(Errno::ENOENT)?;
        Ok(node)
    }

    /// Names come and go with their terminals.
    fn trust(&self) -> Trust {
        Trust::Never
    }

    fn stat_fs(&self) -> Result<StatFs, Errno> {
        Ok(self.devpts.stat_fs())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `ptmx`.
struct Ptmx(Arc<DevPts>);

impl Inode for Ptmx {
    fn kind(&self) -> FileKind {
        FileKind::CharDevice
    }

    fn attr(&self) -> Result<Attr, Errno> {
        Ok(*self.0.ptmx.lock())
    }

    fn set_attr(&self, change: &SetAttr) -> Result<(), Errno> {
        change_attr(&mut self.0.ptmx.lock(), change)
    }

    fn open(self: Arc<Self>, current: &Current, flags: OpenFlags) -> Result<Arc<dyn FileOps>, Fail> {
        open_master(current, &self.0, flags)
    }

    fn stat_fs(&self) -> Result<StatFs, Errno> {
        Ok(self.0.stat_fs())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A terminal's node.
struct Node {
    devpts: Arc<DevPts>,
    terminal: Arc<Terminal>,
    attr: Lock<Attr>,
}

impl Inode for Node {
    fn kind(&self) -> FileKind {
        FileKind::CharDevice
    }

    fn attr(&self) -> Result<Attr, Errno> {
        Ok(*self.attr.lock())
    }

    fn set_attr(&self, change: &SetAttr) -> Result<(), Errno> {
        change_attr(&mut self.attr.lock(), change)
    }

    fn open(self: Arc<Self>, current: &Current, flags: OpenFlags) -> Result<Arc<dyn FileOps>, Fail> {
        open_number(current, &self.devpts, self.terminal.number(), flags)
    }

    fn stat_fs(&self) -> Result<StatFs, Errno> {
        Ok(self.devpts.stat_fs())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The directory, open.
struct Listing(Arc<DevPts>);

impl FileOps for Listing {
    fn seekable(&self) -> bool {
        true
    }

    fn read_dir(
        &self,
        _current: &Current,
        _file: &OpenFile,
        position: u64,
        emit: &mut dyn DirSink,
    ) -> Result<(), Fail> {
        let (directory, device) = (raw::DT_DIR as u8, raw::DT_CHR as u8);
        let fixed: [(u64, u8, &[u8]); 3] =
            [(ROOT_INO, directory, b"."), (ROOT_INO, directory, b".."), (PTMX_INO, device, b"ptmx")];
        let mut next = position;
        for (ino, kind, name) in fixed.into_iter().skip(usize::try_from(position).unwrap_or(usize::MAX)) {
            next += 1;
            if !emit.put(ino, kind, name, next) {
                return Ok(());
            }
        }
        // Behind the fixed entries the position is a terminal's number, moved by their count.
        const FIXED: u64 = 3;
        let from = next.saturating_sub(FIXED);
        let numbers: Vec<u32> =
            self.0.nodes.lock().keys().copied().filter(|number| u64::from(*number) >= from).collect();
        for number in numbers {
            let name = alloc::format!("{number}");
            let ino = FIRST_INO + u64::from(number);
            if !emit.put(ino, device, name.as_bytes(), FIXED + u64::from(number) + 1) {
                break;
            }
        }
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
