//! Dirty pages to their source.

use super::{Mapping, Slot};
use crate::errno::Errno;
use crate::platform::Frame;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use linker::layout::PAGE_SIZE;
use linker::request::MAX_SEGMENTS;

impl Mapping {
    /// Whether anything was dirtied since the last whole `write_back`.
    pub fn is_dirty(&self) -> bool {
        self.dirtied.load(Ordering::Relaxed) != 0
    }

    /// Writes the dirty pages of `[start, end)` (bytes) to the source. A page that fails stays dirty.
    pub fn write_back(&self, start: u64, end: u64) -> Result<(), Errno> {
        let Some(source) = &self.source else { return Ok(()) };
        if !self.is_dirty() {
            return Ok(());
        }
        if start == 0 && end >= self.size() {
            self.dirtied.store(0, Ordering::Relaxed);
        }
        let mut at = start / PAGE_SIZE;
        let last = end.div_ceil(PAGE_SIZE);
        loop {
            let Some((first, count)) = self.next_dirty(at, last) else { return Ok(()) };
            // Clean first, then write-protect, then write: a store through a mapping either comes before the protection, and
            // is written now, or faults and makes the page dirty again.
            let frames = self.clean(first, count);
            self.for_each_mapper(|space| space.protect_file(self, first, first + count));
            let bytes = self.size().saturating_sub(first * PAGE_SIZE).min(frames.len() as u64 * PAGE_SIZE);
            let written = if bytes == 0 { Ok(()) } else { source.write_pages(first, &frames, bytes as usize) };
            if let Err(errno) = written {
                for index in first..first + frames.len() as u64 {
                    self.mark_dirty(index);
                }
                return Err(errno);
            }
            at = first + (frames.len() as u64).max(1);
        }
    }

    /// The next run of dirty pages in `[from, end)`.
    fn next_dirty(&self, from: u64, end: u64) -> Option<(u64, u64)> {
        let mut run: Option<(u64, u64)> = None;
        self.pages.lock().for_each(from, end, |index, slot| {
            let dirty = matches!(slot, Slot::Dirty(_));
            match &mut run {
                None if dirty => run = Some((index, 1)),
                None => {}
                Some((first, count)) if dirty && index == *first + *count && *count < MAX_SEGMENTS as u64 => {
                    *count += 1
                }
                Some(_) => return false,
            }
            true
        });
        run
    }

    /// Marks pages clean, up to the first that is not here any more; returns them.
    fn clean(&self, first: u64, count: u64) -> Vec<Frame> {
        let mut frames = Vec::new();
        let mut pages = self.pages.lock();
        for index in first..first + count {
            let Some(frame) = pages.get(index).frame().cloned() else { break };
            pages.slot(index).mark_clean();
            frames.push(frame);
        }
        frames
    }
}
