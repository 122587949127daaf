//! Copying up: attributes, bytes and extended attributes, each when it is first changed.

use super::OverlayInode;
use crate::errno::Errno;
use crate::fs::regular::MAX_FILE_SIZE;
use crate::fs::tmpfs::TmpInode;
use crate::fs::{FileKind, Inode, Sink, Source};
use alloc::sync::Arc;
use alloc::vec;
use core::sync::atomic::Ordering;
use linker::request::MakeArgs;

/// Bytes copied at once.
const CHUNK: usize = 256 * 1024;

impl OverlayInode {
    /// The upper file with the attributes, copied up if they are not there yet.
    pub(super) fn copy_attributes(&self) -> Result<&Arc<TmpInode>, Errno> {
        if let Some(upper) = self.upper.get() {
            return Ok(upper);
        }
        let _copying = self.copying.lock();
        self.copy_attributes_locked()
    }

    fn copy_attributes_locked(&self) -> Result<&Arc<TmpInode>, Errno> {
        if let Some(upper) = self.upper.get() {
            return Ok(upper);
        }
        let attr = self.lower.as_ref().ok_or(Errno::EIO)?.attr()?;
        let args = MakeArgs { mode: attr.mode, uid: attr.uid, gid: attr.gid, pad: 0, rdev: attr.rdev };
        let upper = TmpInode::new(&self.fs.upper, &args)?;
        upper.set_times(attr.atime, attr.mtime, attr.ctime);
        self.fs.keep(self.key);
        Ok(self.upper.call_once(|| upper))
    }

    /// Makes the first `len` bytes (or as many as there are) the upper file's, if it has none yet; with the rest of the file
    /// gone where `len` is less than all. `len` is `u64::MAX` for a copy, the new size for a truncation.
    pub(super) fn copy_data(&self, len: u64) -> Result<(), Errno> {
        if self.has_data.load(Ordering::Acquire) || self.kind() != FileKind::Regular {
            return Ok(());
        }
        let _copying = self.copying.lock();
        if self.has_data.load(Ordering::Acquire) {
            return Ok(());
        }
        let upper = self.copy_attributes_locked()?;
        let lower = self.lower.as_ref().ok_or(Errno::EIO)?;
        let size = lower.attr()?.size;
        if let Err(errno) = copy_bytes(&**lower, upper, size.min(len), size) {
            // What was copied before the failure goes; the lower file stays what is read.
            upper.pages()?.truncate(0);
            return Err(errno);
        }
        self.has_data.store(true, Ordering::Release);
        Ok(())
    }

    /// The upper file with the extended attributes, copied up if they are not there yet.
    pub(super) fn copy_xattrs(&self) -> Result<&Arc<TmpInode>, Errno> {
        let upper = self.copy_attributes()?;
        if self.has_xattrs.load(Ordering::Acquire) {
            return Ok(upper);
        }
        let _copying = self.copying.lock();
        if !self.has_xattrs.load(Ordering::Acquire) {
            let lower = self.lower.as_ref().ok_or(Errno::EIO)?;
            let names = match lower.list_xattr() {
                Err(Errno::EOPNOTSUPP) => Ok(vec![]),
                names => names,
            }?;
            let ctime = upper.attr()?.ctime;
            for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
                upper.set_xattr(name, &lower.get_xattr(name)?, 0)?;
            }
            let attr = upper.attr()?;
            upper.set_times(attr.atime, attr.mtime, ctime);
            self.has_xattrs.store(true, Ordering::Release);
        }
        Ok(upper)
    }
}

/// Copies the first `len` bytes; the new file is `len` bytes long, or `size` where all are copied. Blocks of zeroes become holes.
fn copy_bytes(lower: &dyn Inode, upper: &TmpInode, len: u64, size: u64) -> Result<(), Errno> {
    let to = upper.pages()?;
    if len > 0 {
        let from = lower.mapping()?;
        let mut buffer = vec![0; CHUNK.min(usize::try_from(len).unwrap_or(CHUNK))];
        let mut at = 0;
        while at < len {
            let want = buffer.len().min(usize::try_from(len - at).unwrap_or(usize::MAX));
            let bytes = from.read(&mut Sink::kernel(&mut buffer[..want]), at)?;
            if bytes == 0 {
                break;
            }
            let chunk = &buffer[..bytes];
            if chunk.iter().any(|byte| *byte != 0) {
                let (written, _) = to.write(&mut Source::kernel(chunk), Some(at), MAX_FILE_SIZE)?;
                if written < bytes {
                    return Err(Errno::ENOSPC);
                }
            }
            at += bytes as u64;
        }
    }
    to.truncate(len.min(size));
    Ok(())
}
