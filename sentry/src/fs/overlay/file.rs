//! An open regular file of an overlay. Also one opened before the file was copied up reads what is written after.

use super::OverlayInode;
use crate::errno::Errno;
use crate::fs::regular::seek_mapping;
use crate::fs::{FileOps, Inode, OpenFile, Sink, Source};
use crate::syscall::Fail;
use crate::task::Current;
use alloc::sync::Arc;
use core::any::Any;

/// An open regular file.
pub(super) struct OverlayFile {
    inode: Arc<OverlayInode>,
}

impl OverlayFile {
    pub fn new(inode: Arc<OverlayInode>) -> Self {
        Self { inode }
    }
}

impl FileOps for OverlayFile {
    fn read(&self, _: &Current, file: &OpenFile, sink: &mut Sink<'_>, offset: u64) -> Result<usize, Fail> {
        match self.inode.data() {
            Some(upper) => upper.read(file, sink, offset),
            None => Ok(self.inode.mapping()?.read(sink, offset)?),
        }
    }

    fn write(
        &self,
        current: &Current,
        file: &OpenFile,
        source: &mut Source<'_>,
        offset: u64,
    ) -> Result<(usize, u64), Fail> {
        self.inode.data().ok_or(Errno::EIO)?.write(current, file, source, offset)
    }

    fn seekable(&self) -> bool {
        true
    }

    fn seek(&self, _: &OpenFile, offset: i64, whence: u32) -> Result<u64, Errno> {
        seek_mapping(&*self.inode.mapping()?, offset, whence)
    }

    fn sync(&self, _: bool) -> Result<(), Fail> {
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
