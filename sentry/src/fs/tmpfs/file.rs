//! An open regular file in memory.

use super::inode::TmpInode;
use crate::errno::Errno;
use crate::fs::regular::{seek_mapping, wants_access_time, write_mapping};
use crate::fs::{FileOps, OpenFile, Sink, Source};
use crate::syscall::Fail;
use crate::task::{Cap, Current};
use alloc::sync::Arc;
use core::any::Any;
use linux_raw_sys::general as raw;

/// An open regular file.
pub(super) struct TmpFile {
    inode: Arc<TmpInode>,
}

impl TmpFile {
    pub fn new(inode: Arc<TmpInode>) -> Self {
        Self { inode }
    }
}

impl TmpInode {
    /// Reads as an open file does.
    pub fn read(&self, file: &OpenFile, sink: &mut Sink<'_>, offset: u64) -> Result<usize, Fail> {
        let bytes = self.pages()?.read(sink, offset)?;
        self.read_through(file);
        Ok(bytes)
    }

    /// Moves atime, if reading through `file` does.
    pub fn read_through(&self, file: &OpenFile) {
        let (atime, mtime, ctime) = self.with_meta(|meta| (meta.atime, meta.mtime, meta.ctime));
        if wants_access_time(file, atime, mtime, ctime) {
            self.accessed();
        }
    }

    /// Writes as an open file does.
    pub fn write(
        &self,
        current: &Current,
        file: &OpenFile,
        source: &mut Source<'_>,
        offset: u64,
    ) -> Result<(usize, u64), Fail> {
        let mapping = self.pages()?;
        if self.has_seal(raw::F_SEAL_WRITE | raw::F_SEAL_FUTURE_WRITE) {
            return Err(Errno::EPERM.into());
        }
        if self.has_seal(raw::F_SEAL_GROW) {
            let room = mapping.size().saturating_sub(offset);
            if room == 0 && source.left() > 0 {
                return Err(Errno::EPERM.into());
            }
            source.limit(usize::try_from(room).unwrap_or(usize::MAX));
        }
        let result = write_mapping(current, file, mapping, source, offset)?;
        if result.0 > 0 {
            self.written(current.creds.has(Cap::Fsetid));
        }
        Ok(result)
    }
}

impl FileOps for TmpFile {
    fn read(&self, _: &Current, file: &OpenFile, sink: &mut Sink<'_>, offset: u64) -> Result<usize, Fail> {
        self.inode.read(file, sink, offset)
    }

    fn write(
        &self,
        current: &Current,
        file: &OpenFile,
        source: &mut Source<'_>,
        offset: u64,
    ) -> Result<(usize, u64), Fail> {
        self.inode.write(current, file, source, offset)
    }

    fn seekable(&self) -> bool {
        true
    }

    fn seek(&self, _: &OpenFile, offset: i64, whence: u32) -> Result<u64, Errno> {
        seek_mapping(self.inode.pages()?, offset, whence)
    }

    fn sync(&self, _: bool) -> Result<(), Fail> {
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
