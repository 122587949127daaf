//! An open regular file of the host. Data goes through the page cache; writes go on to the host at once.

use super::inode::HostInode;
use crate::errno::Errno;
use crate::fs::{FileOps, Inode, OpenFile, OpenFlags, Sink, Source};
use crate::syscall::Fail;
use crate::task::Current;
use alloc::sync::Arc;
use alloc::vec;
use core::any::Any;
use linker::layout::PAGE_SIZE;
use linux_raw_sys::general as raw;

/// Bytes that one append moves: what is shorter is one piece in the file, whoever else appends.
const APPEND_BYTES: usize = 1 << 20;

/// The description's view of a regular file.
pub struct HostFile {
    inode: Arc<HostInode>,
}

impl Drop for HostFile {
    fn drop(&mut self) {
        if let Some((data, _)) = self.inode.data() {
            data.leave(!self.inode.shared());
        }
    }
}

impl HostFile {
    pub(super) fn new(inode: Arc<HostInode>, flags: OpenFlags) -> Result<Self, Errno> {
        let (data, _) = inode.data().ok_or(Errno::EIO)?;
        if flags.writable() {
            // The host has its own say in this: a read-only tree, an immutable file, ETXTBSY.
            data.writer()?;
        }
        if !inode.exclusive() {
            inode.revalidate()?;
        }
        data.enter();
        Ok(Self { inode })
    }

    /// Writes at the end of a file that others may make longer meanwhile: the host knows where that is. Returns the bytes, and
    /// the position behind them.
    fn append(&self, source: &mut Source<'_>, max: u64) -> Result<(usize, u64), Fail> {
        let (data, mapping) = self.inode.data().ok_or(Errno::EIO)?;
        mapping.write_back(0, u64::MAX)?;
        let file = data.writer()?;
        let mut total = 0;
        while source.left() > 0 {
            self.inode.revalidate()?;
            let room = usize::try_from(max.saturating_sub(mapping.size())).unwrap_or(usize::MAX);
            if room == 0 {
                if total > 0 { break } else { return Err(Errno::EFBIG.into()) }
            }
            let chunk = match source.take_vec(APPEND_BYTES.min(room)) {
                Ok(chunk) => chunk,
                Err(_) if total > 0 => break,
                Err(errno) => return Err(errno.into()),
            };
            let written = file.append(&chunk);
            self.inode.expire();
            total += written?;
            if chunk.len() < APPEND_BYTES.min(room) {
                break;
            }
        }
        self.inode.revalidate()?;
        Ok((total, mapping.size()))
    }

    /// Reads a file that has no size but may have content (what file systems like the host's /proc do).
    fn read_unsized(&self, sink: &mut Sink<'_>, offset: u64) -> Result<usize, Errno> {
        let (data, _) = self.inode.data().ok_or(Errno::EIO)?;
        let mut buffer = vec![0; sink.left().min(16 * PAGE_SIZE as usize)];
        let read = data.reader()?.read(offset, &mut buffer)?;
        buffer.truncate(read);
        sink.put(&buffer)
    }
}

impl FileOps for HostFile {
    fn read(&self, _current: &Current, _file: &OpenFile, sink: &mut Sink<'_>, offset: u64) -> Result<usize, Fail> {
        let (_, mapping) = self.inode.data().ok_or(Errno::EIO)?;
        if offset == 0 {
            self.inode.fs.reader.read();
        }
        if !self.inode.exclusive() && offset.saturating_add(sink.left() as u64) > mapping.size() {
            self.inode.revalidate()?;
            if mapping.size() == 0 {
                return Ok(self.read_unsized(sink, offset)?);
            }
        }
        Ok(mapping.read(sink, offset)?)
    }

    fn write(
        &self,
        current: &Current,
        file: &OpenFile,
        source: &mut Source<'_>,
        offset: u64,
    ) -> Result<(usize, u64), Fail> {
        let (_, mapping) = self.inode.data().ok_or(Errno::EIO)?;
        let flags = file.flags();
        let append = flags.contains(OpenFlags::APPEND);
        let max = current.process.soft_limit(raw::RLIMIT_FSIZE).min(i64::MAX as u64);
        if append && self.inode.shared() {
            return self.append(source, max);
        }
        if append && !self.inode.exclusive() {
            self.inode.revalidate()?;
        }
        let (written, behind) = mapping.write(source, (!append).then_some(offset), max)?;
        if written > 0 {
            self.inode.expire();
            mapping.write_back(behind - written as u64, behind)?;
            // What was asked while the host wrote tells of neither before nor after.
            self.inode.expire();
            if flags.intersects(OpenFlags::SYNC | OpenFlags::DSYNC) {
                self.sync(!flags.contains(OpenFlags::SYNC))?;
            }
        }
        Ok((written, behind))
    }

    fn seekable(&self) -> bool {
        true
    }

    fn seek(&self, _file: &OpenFile, offset: i64, whence: u32) -> Result<u64, Errno> {
        let (data, mapping) = self.inode.data().ok_or(Errno::EIO)?;
        match whence {
            raw::SEEK_END => {
                let size = self.inode.attr()?.size;
                size.checked_add_signed(offset).filter(|at| i64::try_from(*at).is_ok()).ok_or(Errno::EINVAL)
            }
            raw::SEEK_DATA | raw::SEEK_HOLE => {
                mapping.write_back(0, u64::MAX)?;
                data.reader()?.seek(offset, whence)
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn sync(&self, data_only: bool) -> Result<(), Fail> {
        let (data, mapping) = self.inode.data().ok_or(Errno::EIO)?;
        mapping.write_back(0, u64::MAX)?;
        match data.opened_writer() {
            Some(file) => Ok(file.sync(data_only)?),
            // Nothing was written from here.
            None => Ok(()),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
