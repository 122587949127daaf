//! memfd_create(2): files in memory without a name.

use super::dentry::Dentry;
use super::open::open_unnamed_at;
use super::open_file::{OpenFile, OpenFlags};
use super::path::Path;
use super::tmpfs::{Options, TmpFs, TmpInode};
use super::{Inode, mount};
use crate::syscall::Fail;
use crate::task::Current;
use alloc::sync::Arc;
use linker::request::MakeArgs;
use linux_raw_sys::general as raw;

/// Bytes of a name at most: what NAME_MAX leaves behind "memfd:".
pub const MAX_NAME: usize = raw::NAME_MAX as usize - 6;
/// The seals there are.
pub const ALL_SEALS: u32 = raw::F_SEAL_SEAL
    | raw::F_SEAL_SHRINK
    | raw::F_SEAL_GROW
    | raw::F_SEAL_WRITE
    | raw::F_SEAL_FUTURE_WRITE
    | raw::F_SEAL_EXEC;

/// The file system of all files in memory that have no name. (Shared memory without a name may be kept here as well.)
pub fn unnamed_files() -> &'static Arc<TmpFs> {
    static FS: spin::Once<Arc<TmpFs>> = spin::Once::new();
    FS.call_once(|| TmpFs::new(&Options::unlimited()))
}

/// A new memfd, open for reading and writing. `flags`: MFD_*.
pub fn create(current: &Current, name: &[u8], flags: u32) -> Result<Arc<OpenFile>, Fail> {
    let noexec = flags & raw::MFD_NOEXEC_SEAL != 0;
    let mode = raw::S_IFREG | if noexec { 0o666 } else { 0o777 };
    let creds = &current.creds;
    let args = MakeArgs { mode, uid: creds.fsuid, gid: creds.fsgid, ..MakeArgs::default() };
    let inode = TmpInode::new(unnamed_files(), &args)?;
    if noexec {
        inode.allow_seals(raw::F_SEAL_EXEC);
    } else if flags & raw::MFD_ALLOW_SEALING != 0 {
        inode.allow_seals(0);
    }
    let mut label = b"/memfd:".to_vec();
    label.extend_from_slice(name);
    let inode: Arc<dyn Inode> = inode;
    let place = Path::new(mount::internal_mount(), Dentry::unnamed(None, inode, &label));
    open_unnamed_at(current, &place, OpenFlags::RDWR | OpenFlags::LARGEFILE)
}
