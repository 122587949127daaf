//! A task's places and descriptors: cwd, root, exe, fd, fdinfo.

use super::{Subject, access};
use crate::errno::Errno;
use crate::fs::anon::AnonInode;
use crate::fs::inotify::Inotify;
use crate::fs::pidfd::PidFd;
use crate::fs::pseudo::{Context, Item, PseudoFs, What};
use crate::fs::{FdTable, FsContext, Inode, OpenFile, Path};
use crate::syscall::Fd;
use crate::task::Current;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general as raw;

fn context(current: &Current, subject: &Subject) -> Result<Arc<FsContext>, Errno> {
    access::may_read(current, subject)?;
    subject.task()?.published().fs.ok_or(Errno::ENOENT)
}

/// `/proc/PID/cwd`.
pub fn cwd(current: &Current, subject: &Subject) -> Result<Path, Errno> {
    Ok(context(current, subject)?.cwd())
}

/// `/proc/PID/root`.
pub fn root(current: &Current, subject: &Subject) -> Result<Path, Errno> {
    Ok(context(current, subject)?.root())
}

/// `/proc/PID/exe`.
pub fn exe(current: &Current, subject: &Subject) -> Result<Path, Errno> {
    // A zombie has none.
    access::may_read(current, subject).map_err(|errno| if errno == Errno::ESRCH { Errno::ENOENT } else { errno })?;
    subject.process()?.executable().ok_or(Errno::ENOENT)
}

/// One descriptor of a task.
#[derive(Clone)]
struct Descriptor {
    subject: Subject,
    fd: Fd,
}

impl Descriptor {
    fn table(&self) -> Result<Arc<FdTable>, Errno> {
        self.subject.task()?.published().files.ok_or(Errno::ENOENT)
    }

    fn file(&self) -> Result<Arc<OpenFile>, Errno> {
        self.table()?.get(self.fd).map_err(|_| Errno::ENOENT)
    }
}

impl Context for Descriptor {
    const PERMANENT: bool = false;

    fn owner(&self) -> (u32, u32) {
        self.subject.owner()
    }

    fn check(&self) -> Result<(), Errno> {
        self.subject.check()?;
        self.file().map(drop)
    }
}

fn numbers(current: &Current, subject: &Subject, kind: u32) -> Result<Vec<(Vec<u8>, u32)>, Errno> {
    access::may_read(current, subject)?;
    let Some(files) = subject.task()?.published().files else { return Ok(Vec::new()) };
    Ok(files.numbers().into_iter().map(|fd| (format!("{}", fd.raw()).into_bytes(), kind)).collect())
}

/// The names in `/proc/PID/fd`.
pub fn list(current: &Current, subject: &Subject) -> Result<Vec<(Vec<u8>, u32)>, Errno> {
    numbers(current, subject, raw::DT_LNK)
}

/// The names in `/proc/PID/fdinfo`.
pub fn list_info(current: &Current, subject: &Subject) -> Result<Vec<(Vec<u8>, u32)>, Errno> {
    numbers(current, subject, raw::DT_REG)
}

fn descriptor(subject: &Subject, name: &[u8]) -> Result<Descriptor, Errno> {
    let text = core::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) || text.len() > 1 && text.starts_with('0') {
        return Err(Errno::ENOENT);
    }
    let fd = Fd::new(text.parse().map_err(|_| Errno::ENOENT)?);
    let descriptor = Descriptor { subject: subject.clone(), fd };
    descriptor.check()?;
    Ok(descriptor)
}

/// Links by what the descriptor may do: their mode says it.
static LINKS: [Item<Descriptor>; 4] = {
    const fn item(mode: u32) -> Item<Descriptor> {
        Item { name: "", mode, what: What::Magic(target) }
    }
    [item(0o100), item(0o500), item(0o300), item(0o700)]
};

/// `/proc/PID/fd/N`.
pub fn find(fs: &Arc<PseudoFs>, parent: u64, subject: &Subject, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
    let descriptor = descriptor(subject, name)?;
    let flags = descriptor.file()?.flags();
    let index = usize::from(flags.readable()) | usize::from(flags.writable()) << 1;
    let item = LINKS.get(index).ok_or(Errno::ENOENT)?;
    Ok(fs.node(item, &descriptor, parent, name, index as u64))
}

static INFO: Item<Descriptor> = Item { name: "", mode: 0o444, what: What::File(info) };

/// `/proc/PID/fdinfo/N`.
pub fn find_info(fs: &Arc<PseudoFs>, parent: u64, subject: &Subject, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
    Ok(fs.node(&INFO, &descriptor(subject, name)?, parent, name, 0))
}

fn target(current: &Current, descriptor: &Descriptor) -> Result<Path, Errno> {
    access::may_read(current, &descriptor.subject)?;
    let file = descriptor.file()?;
    if let Some(path) = file.path() {
        return Ok(path.clone());
    }
    let inode = file.inode();
    let label = inode.as_any().downcast_ref::<AnonInode>().map(AnonInode::display_name);
    Ok(Path::detached(inode.clone(), &label.unwrap_or_else(|| b"anon_inode:[unknown]".to_vec())))
}

fn info(current: &Current, descriptor: &Descriptor) -> Result<Vec<u8>, Errno> {
    access::may_read(current, &descriptor.subject)?;
    let file = descriptor.file()?;
    let cloexec = descriptor.table()?.close_on_exec(descriptor.fd).unwrap_or(false);
    let flags = file.flags().bits() | if cloexec { raw::O_CLOEXEC } else { 0 } | raw::O_LARGEFILE;
    let position = if file.ops().seekable() && !file.ops().keeps_position() { file.shown_position() } else { 0 };
    let mount = file.path().map_or(0, |path| path.mount().id());
    let ino = file.inode().attr().map_or(0, |attr| attr.ino);
    let extra = match Inotify::of(&file) {
        Ok(inotify) => inotify.info(),
        Err(_) => file.downcast::<PidFd>().map(PidFd::info).unwrap_or_default(),
    };
    let general = format!("pos:\t{position}\nflags:\t0{flags:o}\nmnt_id:\t{mount}\nino:\t{ino}\n");
    Ok([general.into_bytes(), extra].concat())
}
