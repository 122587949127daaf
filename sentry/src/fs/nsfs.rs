//! nsfs: namespaces as files. `/proc/PID/ns/*` lead here; a descriptor or a mount keeps a namespace alive, and setns(2) enters it.

use super::inode::{FileKind, Inode};
use super::open_file::{FileOps, OpenFile, OpenFlags};
use super::path::Path;
use crate::errno::Errno;
use crate::syscall::{Fail, UserPtr};
use crate::task::spaces::Namespace;
use crate::task::{Cap, Current, pid_ns, user_ns};
use alloc::sync::Arc;
use core::any::Any;
use linker::addr::UserVa;
use linker::request::{Attr, SetAttr, StatFs};
use linux_raw_sys::general as raw;

/// The file system's device number (major 0), as Linux hands them out at boot.
const DEVICE: u64 = 4;
/// linux/nsfs.h: _IO(0xb7, 1) and so on; nobody exports them.
const NS_GET_USERNS: u32 = 0xb701;
const NS_GET_PARENT: u32 = 0xb702;
const NS_GET_NSTYPE: u32 = 0xb703;
const NS_GET_OWNER_UID: u32 = 0xb704;

/// A namespace's file.
struct NsInode(Namespace);

/// A namespace's open file.
pub struct NsFile(Namespace);

/// The place of a namespace's file.
pub fn place(namespace: Namespace) -> Path {
    let label = namespace.label();
    Path::detached(Arc::new(NsInode(namespace)), label.as_bytes())
}

/// Whether `inode` is a namespace's file.
pub(super) fn is_file(inode: &Arc<dyn Inode>) -> bool {
    inode.as_any().is::<NsInode>()
}

impl NsFile {
    /// The namespace behind `file`, if it is one's.
    pub fn of(file: &OpenFile) -> Option<&Namespace> {
        file.downcast::<Self>().map(|file| &file.0)
    }

    fn give(current: &Current, namespace: Namespace) -> Result<u64, Fail> {
        let place = place(namespace.clone());
        let file = OpenFile::new(Arc::new(Self(namespace)), OpenFlags::empty(), place.inode().clone(), Some(place));
        Ok(current.add_file(file, true)?.raw() as u64)
    }
}

impl Inode for NsInode {
    fn kind(&self) -> FileKind {
        FileKind::Regular
    }

    fn attr(&self) -> Result<Attr, Errno> {
        let ino = u64::from(self.0.number());
        Ok(Attr { dev: DEVICE, ino, mode: raw::S_IFREG | 0o444, nlink: 1, blksize: 4096, ..Attr::default() })
    }

    fn set_attr(&self, _: &SetAttr) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn open(self: Arc<Self>, _: &Current, flags: OpenFlags) -> Result<Arc<dyn FileOps>, Fail> {
        if flags.writable() {
            return Err(Errno::EPERM.into());
        }
        Ok(Arc::new(NsFile(self.0.clone())))
    }

    fn stat_fs(&self) -> Result<StatFs, Errno> {
        // NSFS_MAGIC (linux/magic.h).
        let kind = u64::from(raw::NSFS_MAGIC);
        Ok(StatFs { kind, bsize: 4096, namelen: u64::from(raw::NAME_MAX), ..StatFs::default() })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl FileOps for NsFile {
    fn ioctl(&self, current: &Current, _: &OpenFile, command: u32, arg: u64) -> Result<u64, Fail> {
        match command {
            NS_GET_USERNS | NS_GET_PARENT => {
                let wanted =
                    if command == NS_GET_USERNS { Namespace::User(self.0.owner()) } else { self.0.parent()? };
                if command == NS_GET_USERNS && matches!(self.0, Namespace::User(None)) {
                    return Err(Errno::EPERM.into());
                }
                // Only what is around or in one's own is shown.
                if let Namespace::User(space) = &wanted
                    && !user_ns::same(space, &current.creds.user)
                    && !current.creds.has_in(space, Cap::SysAdmin)
                {
                    return Err(Errno::EPERM.into());
                }
                if let Namespace::Pid(space) = &wanted
                    && !pid_ns::is_within(space, current.process.space())
                {
                    return Err(Errno::EPERM.into());
                }
                Self::give(current, wanted)
            }
            NS_GET_NSTYPE => Ok(self.0.kind().bits()),
            NS_GET_OWNER_UID => match &self.0 {
                Namespace::User(space) => {
                    let uid = space.as_ref().map_or(0, |ns| ns.owner_uid());
                    UserPtr::<u32>::new(UserVa::new(arg)).write(current, &current.creds.shown_uid(uid))?;
                    Ok(0)
                }
                _ => Err(Errno::EINVAL.into()),
            },
            _ => Err(Errno::ENOTTY.into()),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
