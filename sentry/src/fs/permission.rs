//! Who may do what with a file: mode bits, ownership and the capabilities that override them.

use super::acl::Which;
use super::inode::{FileKind, Inode};
use crate::errno::Errno;
use crate::task::{Cap, Credentials};
use bitflags::bitflags;
use linker::request::Attr;
use linux_raw_sys::general as raw;

bitflags! {
    /// What is to be done with a file, in access(2)'s bits.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    #[allow(missing_docs)]
    pub struct May: u32 {
        const READ = raw::R_OK;
        const WRITE = raw::W_OK;
        const EXEC = raw::X_OK;
    }
}

/// EACCES unless `creds` (by fsuid, fsgid, groups, capabilities) may do all of `wanted` with `inode`.
pub fn permission(creds: &Credentials, inode: &dyn Inode, wanted: May) -> Result<(), Errno> {
    let directory = inode.kind() == FileKind::Directory;
    // The common case of a privileged look-up asks for no attributes.
    if creds.has(Cap::DacOverride) && (directory || !wanted.contains(May::EXEC)) {
        return Ok(());
    }
    if directory && !wanted.contains(May::WRITE) && creds.has(Cap::DacReadSearch) {
        return Ok(());
    }
    let attr = inode.attr()?;
    if mode_allows(creds, inode, &attr, wanted) {
        return Ok(());
    }
    if (directory || !wanted.contains(May::EXEC) || attr.mode & 0o111 != 0) && holds(creds, Cap::DacOverride, &attr) {
        return Ok(());
    }
    let reads = if directory { !wanted.contains(May::WRITE) } else { wanted == May::READ };
    if reads && holds(creds, Cap::DacReadSearch, &attr) {
        return Ok(());
    }
    Err(Errno::EACCES)
}

fn mode_allows(creds: &Credentials, inode: &dyn Inode, attr: &Attr, wanted: May) -> bool {
    let own = creds.fsuid == attr.uid;
    // The group's bits are the mask of a list: without any of them it gives nobody anything.
    if !own
        && attr.mode & raw::S_IRWXG != 0
        && let Ok(Some(acl)) = inode.acl(Which::Access)
    {
        return acl.allows(creds, attr, wanted);
    }
    let bits = if own {
        attr.mode >> 6
    } else if creds.in_group(attr.gid) {
        attr.mode >> 3
    } else {
        attr.mode
    };
    wanted.bits() & !bits == 0
}

/// Whether the capability holds over a file with these attributes.
pub fn holds(creds: &Credentials, cap: Cap, attr: &Attr) -> bool {
    creds.has_over(cap, attr.uid, attr.gid)
}

/// Whether `creds` own the file or may act as its owner.
pub fn owner_or_capable(creds: &Credentials, attr: &Attr) -> bool {
    creds.fsuid == attr.uid || holds(creds, Cap::Fowner, attr)
}

/// EPERM (EACCES without write access) unless `creds` may remove `child` from `dir`: the sticky bit's rule.
pub fn may_remove(creds: &Credentials, dir: &dyn Inode, child: &dyn Inode) -> Result<(), Errno> {
    permission(creds, dir, May::WRITE | May::EXEC)?;
    if creds.has(Cap::Fowner) {
        return Ok(());
    }
    let dir = dir.attr()?;
    if dir.mode & raw::S_ISVTX == 0 || dir.uid == creds.fsuid || owner_or_capable(creds, &child.attr()?) {
        return Ok(());
    }
    Err(Errno::EPERM)
}
