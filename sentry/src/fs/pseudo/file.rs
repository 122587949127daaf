//! Open pseudo files: a snapshot of the content, taken when reading starts; and listings.

use super::{Context, Node};
use crate::errno::Errno;
use crate::fs::entries::DirSink;
use crate::fs::regular::{FIRST_ENTRY, emit_dots};
use crate::fs::{FileOps, OpenFile, Sink, Source};
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::task::Current;
use crate::wait::{Events, WaitQueue};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicU64, Ordering};

/// Bytes that one write may bring.
const WRITE_LIMIT: usize = 64 << 10;

/// An open file. The content is made when it is read from its start, and stays until it is read from the start again.
pub(super) struct Snapshot<C: 'static> {
    node: Arc<Node<C>>,
    content: Lock<Option<Arc<Vec<u8>>>>,
    /// Changes that poll has reported.
    reported: AtomicU64,
}

impl<C: Context> Snapshot<C> {
    pub(super) fn new(node: Arc<Node<C>>) -> Self {
        let changes = node.changes().map_or(0, |changes| changes.count.load(Ordering::SeqCst));
        Self { node, content: Lock::new(Rank::Leaf, None), reported: AtomicU64::new(changes) }
    }
}

impl<C: Context> FileOps for Snapshot<C> {
    fn read(&self, current: &Current, _file: &OpenFile, sink: &mut Sink<'_>, offset: u64) -> Result<usize, Fail> {
        let known = self.content.lock().clone().filter(|_| offset != 0);
        let content = match known {
            Some(content) => content,
            None => {
                let content = Arc::new(self.node.content(current)?);
                let old = self.content.lock().replace(content.clone());
                drop(old);
                content
            }
        };
        let rest = usize::try_from(offset).ok().and_then(|offset| content.get(offset..)).unwrap_or_default();
        Ok(sink.put(rest)?)
    }

    fn write(
        &self,
        current: &Current,
        _file: &OpenFile,
        source: &mut Source<'_>,
        offset: u64,
    ) -> Result<(usize, u64), Fail> {
        let bytes = source.take_vec(WRITE_LIMIT)?;
        self.node.store(current, &bytes)?;
        Ok((bytes.len(), offset.saturating_add(bytes.len() as u64)))
    }

    fn seekable(&self) -> bool {
        true
    }

    fn seek(&self, _file: &OpenFile, _offset: i64, _whence: u32) -> Result<u64, Errno> {
        // There is no end to seek from: the size is 0, the content is not there yet (as Linux's seq_lseek).
        Err(Errno::EINVAL)
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        let mut events = Events::READABLE | Events::WRITABLE;
        if let Some(changes) = self.node.changes() {
            let count = changes.count.load(Ordering::SeqCst);
            events = Events::READABLE;
            // Each is reported once.
            if self.reported.swap(count, Ordering::SeqCst) != count {
                events |= Events::PRI | Events::ERR;
            }
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        self.node.changes().map(|changes| &changes.queue)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open directory: what was there when listing began.
pub(super) struct Directory<C: 'static> {
    node: Arc<Node<C>>,
    #[allow(clippy::type_complexity)]
    entries: Lock<Option<Arc<Vec<(u64, u32, Vec<u8>)>>>>,
}

impl<C: Context> Directory<C> {
    pub(super) fn new(node: Arc<Node<C>>) -> Self {
        Self { node, entries: Lock::new(Rank::Leaf, None) }
    }
}

impl<C: Context> FileOps for Directory<C> {
    fn seekable(&self) -> bool {
        true
    }

    fn read_dir(&self, current: &Current, file: &OpenFile, position: u64, emit: &mut dyn DirSink) -> Result<(), Fail> {
        let known = self.entries.lock().clone().filter(|_| position != 0);
        let entries = match known {
            Some(entries) => entries,
            None => {
                let entries = Arc::new(self.node.list(current)?);
                let old = self.entries.lock().replace(entries.clone());
                drop(old);
                entries
            }
        };
        if !emit_dots(file, position, emit) {
            return Ok(());
        }
        let skip = usize::try_from(position.saturating_sub(FIRST_ENTRY)).unwrap_or(usize::MAX);
        for (next, (ino, kind, name)) in (FIRST_ENTRY + 1..).zip(entries.iter()).skip(skip) {
            if !emit.put(*ino, *kind as u8, name, next) {
                break;
            }
        }
        Ok(())
    }

    fn sync(&self, _data_only: bool) -> Result<(), Fail> {
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
