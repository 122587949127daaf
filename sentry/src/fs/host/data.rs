//! A regular file's data: descriptors of the host, opened when data is wanted, and the page cache's source.

use super::client::{File, Node};
use super::reader::changed_shared;
use crate::errno::Errno;
use crate::mm::{PageSource, zero_behind};
use crate::platform::Frame;
use crate::sync::{Lock, Rank};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};
use linker::layout::PAGE_SIZE;
use linux_raw_sys::general as raw;

/// Files that nobody has open and whose descriptors are kept anyway (they may be mapped, or opened again soon).
const IDLE: usize = 128;

static IDLE_DATA: Lock<VecDeque<Arc<Data>>> = Lock::new(Rank::Leaf, VecDeque::new());

/// The data of one regular file.
pub struct Data {
    node: Arc<Node>,
    files: Lock<Files>,
    /// Open file descriptions.
    users: AtomicUsize,
}

#[derive(Default)]
struct Files {
    read: Option<Arc<File>>,
    write: Option<Arc<File>>,
}

impl Data {
    /// The data of `node`; `file` is a descriptor that may read and write, where there is one already.
    pub fn new(node: Arc<Node>, file: Option<File>) -> Arc<Self> {
        let file = file.map(Arc::new);
        let files = Files { read: file.clone(), write: file };
        Arc::new(Self { node, files: Lock::new(Rank::Leaf, files), users: AtomicUsize::new(0) })
    }

    /// A descriptor to read from.
    pub fn reader(&self) -> Result<Arc<File>, Errno> {
        if let Some(file) = self.files.lock().read.clone() {
            return Ok(file);
        }
        let file = Arc::new(self.node.open(raw::O_RDONLY)?);
        Ok(self.files.lock().read.get_or_insert(file).clone())
    }

    /// A descriptor to write to.
    pub fn writer(&self) -> Result<Arc<File>, Errno> {
        if let Some(file) = self.files.lock().write.clone() {
            return Ok(file);
        }
        let (file, reads) = match self.node.open(raw::O_RDWR) {
            Ok(file) => (Arc::new(file), true),
            // Readable by nobody, but writable.
            Err(Errno::EACCES) => (Arc::new(self.node.open(raw::O_WRONLY)?), false),
            Err(errno) => return Err(errno),
        };
        let mut files = self.files.lock();
        let old = if reads { files.read.replace(file.clone()) } else { None };
        let file = files.write.get_or_insert(file).clone();
        drop(files);
        drop(old);
        Ok(file)
    }

    /// The descriptor to write to, where one was opened.
    pub fn opened_writer(&self) -> Option<Arc<File>> {
        self.files.lock().write.clone()
    }

    /// One more open file description.
    pub fn enter(&self) {
        self.users.fetch_add(1, Ordering::Relaxed);
    }

    /// One less. Descriptors of a file that nobody has open are kept for a while (`keep`) or closed.
    pub fn leave(self: &Arc<Self>, keep: bool) {
        if self.users.fetch_sub(1, Ordering::Relaxed) != 1 {
            return;
        }
        if !keep {
            self.close();
            return;
        }
        let over = {
            let mut idle = IDLE_DATA.lock();
            if idle.iter().any(|data| Arc::ptr_eq(data, self)) {
                return;
            }
            idle.push_back(self.clone());
            if idle.len() > IDLE { idle.pop_front() } else { None }
        };
        if let Some(data) = over.filter(|data| data.users.load(Ordering::Relaxed) == 0) {
            data.close();
        }
    }

    fn close(&self) {
        let files = core::mem::take(&mut *self.files.lock());
        drop(files);
    }
}

/// Closes what nobody has open.
pub(super) fn close_idle() {
    let idle = core::mem::take(&mut *IDLE_DATA.lock());
    for data in idle.iter().filter(|data| data.users.load(Ordering::Relaxed) == 0) {
        data.close();
    }
}

impl PageSource for Data {
    fn read_pages(&self, first_page: u64, frames: &[Frame]) -> Result<(), Errno> {
        let file = self.reader()?;
        let mut done = 0;
        let mut rest = frames;
        while !rest.is_empty() {
            let read = file.read_frames(first_page * PAGE_SIZE + done as u64, rest)?;
            done += read;
            // Only the end of the file cuts a read inside a page.
            if read == 0 || read % PAGE_SIZE as usize != 0 {
                break;
            }
            rest = frames.get(done / PAGE_SIZE as usize..).unwrap_or_default();
        }
        zero_behind(frames, done);
        Ok(())
    }

    fn write_pages(&self, first_page: u64, frames: &[Frame], len: usize) -> Result<(), Errno> {
        changed_shared();
        let file = self.writer()?;
        let mut done = 0;
        while done < len {
            let (skipped, skip) = (done / PAGE_SIZE as usize, done % PAGE_SIZE as usize);
            let rest = frames.get(skipped..).unwrap_or_default();
            let offset = first_page * PAGE_SIZE + done as u64;
            match file.write_frames(offset, rest, skip, len - done)? {
                0 => return Err(Errno::EIO),
                written => done += written,
            }
        }
        Ok(())
    }
}
