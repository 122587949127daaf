//! What file systems do with a mapping: read, write, truncate, punch holes, look for data.

use super::super::{files::numbers, reclaim};
use super::{Mapping, PageError, Slot, zero_behind};
use crate::errno::Errno;
use crate::fs::{Sink, Source};
use crate::platform::{Frame, platform};
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use linker::layout::PAGE_SIZE;

const PAGE: usize = PAGE_SIZE as usize;
/// Pages read at once when nothing speaks for a sequential reader.
const RANDOM_PAGES: u64 = 4;
/// Pages read at once for a little of a file's beginning: all of most files, and not much more than a program's headers, of which
/// page faults then bring what runs.
const FIRST_PAGES: u64 = 16;

impl Mapping {
    /// Reads from `offset` on, up to the end of the file. Returns bytes; an error only where none could be read.
    pub fn read(&self, sink: &mut Sink<'_>, offset: u64) -> Result<usize, Errno> {
        let mut at = offset;
        let mut done = 0;
        while sink.left() > 0 {
            let size = self.size();
            if at >= size {
                break;
            }
            let index = at / PAGE_SIZE;
            let within = (at % PAGE_SIZE) as usize;
            let len = (PAGE - within).min(sink.left()).min(usize::try_from(size - at).unwrap_or(usize::MAX));
            let cached = self.pages.lock().get(index).frame().cloned();
            let put = match cached {
                Some(frame) => sink.put_frame(&frame, within, len),
                None if self.source.is_none() => sink.put_zeros(len),
                None => match self.read_ahead(index, sink.left()) {
                    Ok(frame) => sink.put_frame(&frame, within, len),
                    Err(error) => Err(error.into()),
                },
            };
            match put {
                Ok(put) => {
                    at += put as u64;
                    done += put;
                    if put < len {
                        break;
                    }
                }
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        self.next_read.store(at / PAGE_SIZE, Ordering::Relaxed);
        Ok(done)
    }

    /// Takes all that the source contains, where it is known already and no page of it is here. `still`, asked while nobody writes to
    /// or truncates the file, says whether it is true.
    pub fn offer(&self, content: &[u8], still: impl FnOnce() -> bool) {
        let mut frames = Vec::new();
        if platform().alloc_frames(content.len().div_ceil(PAGE), &mut frames).is_err() {
            return;
        }
        for (frame, bytes) in frames.iter().zip(content.chunks(PAGE)) {
            platform().frame_write(frame, 0, bytes);
        }
        zero_behind(&frames, content.len());
        let _turn = self.changes.lock();
        if self.size() != content.len() as u64 || !still() {
            return;
        }
        let mut pages = self.pages.lock();
        for (index, frame) in (0..).zip(&frames) {
            pages.put(index, Slot::Clean(frame.clone()));
        }
    }

    /// Reads an absent page, with what a reader of `left` bytes needs and, if it reads on from where the last one stopped,
    /// what it will need.
    fn read_ahead(&self, index: u64, left: usize) -> Result<Frame, PageError> {
        let needed = (left as u64).div_ceil(PAGE_SIZE) + 1;
        let sequential = needed > RANDOM_PAGES || index > 0 && index == self.next_read.load(Ordering::Relaxed);
        let ahead = match index {
            _ if sequential => self.source.as_ref().map_or(1, |s| s.read_ahead_pages() as u64),
            0 => FIRST_PAGES,
            _ => RANDOM_PAGES,
        };
        self.load(index, index, needed.max(ahead))
    }

    /// Writes at `offset`, or at the end (`None`: O_APPEND); the file grows as needed. `max` is a size it may not grow beyond
    /// (EFBIG when nothing fits below). Returns bytes and the position behind them; an error only where nothing was written.
    /// Writers of one file take turns.
    pub fn write(&self, source: &mut Source<'_>, offset: Option<u64>, max: u64) -> Result<(usize, u64), Errno> {
        let _turn = self.changes.lock();
        let start = offset.unwrap_or_else(|| self.size());
        if source.left() == 0 {
            return Ok((0, start));
        }
        if start >= max {
            return Err(Errno::EFBIG);
        }
        source.limit(usize::try_from(max - start).unwrap_or(usize::MAX));
        let mut at = start;
        while source.left() > 0 {
            match self.write_page(source, at) {
                Ok(0) => break,
                Ok(len) => {
                    at += len as u64;
                    self.size.fetch_max(at, Ordering::AcqRel);
                }
                Err(_) if at > start => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(((at - start) as usize, at))
    }

    /// Writes up to the end of one page.
    fn write_page(&self, source: &mut Source<'_>, at: u64) -> Result<usize, Errno> {
        let index = at / PAGE_SIZE;
        let within = (at % PAGE_SIZE) as usize;
        let len = (PAGE - within).min(source.left());
        let old = self.size();
        let cached = self.pages.lock().get(index).frame().cloned();
        let here = match cached {
            Some(frame) => Some(frame),
            // What lies behind the end, and a hole in memory, is zero; a page that is overwritten whole need not be read.
            None if self.source.is_none() || index * PAGE_SIZE >= old || len == PAGE => None,
            None => Some(self.load(index, index, 1)?),
        };
        if let Some(frame) = here {
            let taken = source.take_frame(&frame, within, len)?;
            self.finish_write(index, &frame);
            return Ok(taken);
        }
        let whole = len == PAGE;
        let fresh = reclaim::alloc_frame(!whole)?;
        let taken = source.take_frame(&fresh, within, len)?;
        if whole && taken < PAGE {
            // The source ended in a fault: what was not overwritten keeps its old content.
            if self.source.is_some() && index * PAGE_SIZE < old {
                let frame = self.load(index, index, 1)?;
                copy_part(&fresh, &frame, 0, taken);
                self.finish_write(index, &frame);
                return Ok(taken);
            }
            platform().frame_zero(&fresh, taken, PAGE - taken);
        }
        self.insert_written(index, fresh, within, taken)?;
        Ok(taken)
    }

    /// Marks a page dirty, or puts it back if it was dropped while it was written to (by memory reclaim).
    fn finish_write(&self, index: u64, frame: &Frame) {
        if self.source.is_none() {
            return;
        }
        let mut pages = self.pages.lock();
        pages.put(index, Slot::Dirty(frame.clone()));
        pages.slot(index).mark_dirty();
        drop(pages);
        self.dirtied.store(1, Ordering::Relaxed);
    }

    /// Adds a page that was written outside; where another came in meanwhile (a fault), the bytes are copied there.
    fn insert_written(&self, index: u64, fresh: Frame, within: usize, len: usize) -> Result<(), Errno> {
        self.charge(1)?;
        let dirty = self.source.is_some();
        let mut pages = self.pages.lock();
        let other = pages.get(index).frame().cloned();
        if other.is_none() {
            pages.put(index, if dirty { Slot::Dirty(fresh) } else { Slot::Clean(fresh) });
            drop(pages);
            self.loaded.wake(crate::wait::Events::IN);
        } else if let Some(other) = other {
            drop(pages);
            self.uncharge(1);
            copy_part(&fresh, &other, within, len);
            self.finish_write(index, &other);
        }
        if dirty {
            self.dirtied.store(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Puts a page of a memory-only file where none is: EEXIST where one is, EFAULT behind the end.
    pub(in crate::mm) fn put_new(&self, index: u64, frame: &Frame) -> Result<(), Errno> {
        if index >= Self::pages_of(self.size()) {
            return Err(Errno::EFAULT);
        }
        self.charge(1).map_err(|_| Errno::ENOMEM)?;
        if !self.pages.lock().put(index, Slot::Clean(frame.clone())) {
            self.uncharge(1);
            return Err(Errno::EEXIST);
        }
        Ok(())
    }

    /// Sets the size: pages behind it go, from everyone who maps them too; the rest of the last page becomes zero.
    /// (A source's own size is the file system's to change.)
    pub fn truncate(&self, size: u64) {
        let _turn = self.changes.lock();
        let old = self.size.swap(size, Ordering::AcqRel);
        let edge = old.min(size);
        if !edge.is_multiple_of(PAGE_SIZE) {
            self.zero_cached(edge, edge.next_multiple_of(PAGE_SIZE));
        }
        if size < old {
            self.remove(size.div_ceil(PAGE_SIZE), u64::MAX / PAGE_SIZE, true);
        }
    }

    /// Makes `[start, end)` read as zero and gives its pages back. (A source's own file is the file system's to change.)
    pub fn punch_hole(&self, start: u64, end: u64) {
        let _turn = self.changes.lock();
        let end = end.min(self.size().next_multiple_of(PAGE_SIZE));
        let (first, last) = (start.div_ceil(PAGE_SIZE), end / PAGE_SIZE);
        if start >= end {
            return;
        }
        if first > last {
            self.zero_cached(start, end);
            return;
        }
        self.zero_cached(start, first * PAGE_SIZE);
        self.zero_cached(last * PAGE_SIZE, end);
        self.remove(first, last, false);
    }

    /// Makes sure that memory-only pages `[start, end)` exist (fallocate). ENOSPC, and nothing is made, where there is no room for all:
    /// neither in the file system nor in memory. (Memory that others take meanwhile may still be missing half-way.)
    pub fn allocate(&self, start: u64, end: u64) -> Result<(), Errno> {
        if self.source.is_some() {
            return Ok(());
        }
        let (first, last) = (start / PAGE_SIZE, end.div_ceil(PAGE_SIZE));
        let mut missing = last.saturating_sub(first);
        self.pages.lock().for_each(first, last, |_, slot| {
            missing = missing.saturating_sub(u64::from(slot.frame().is_some()));
            true
        });
        if missing > reclaim::available() {
            return Err(Errno::ENOSPC);
        }
        self.charge(missing)?;
        self.uncharge(missing);
        for index in first..last {
            if self.pages.lock().get(index).frame().is_none() {
                self.make_zero(index)?;
            }
        }
        Ok(())
    }

    /// Forgets clean pages (or all): the source has changed under the cache. They go from everyone who maps them shared.
    pub fn invalidate(&self, dirty_too: bool) {
        if self.source.is_none() {
            return;
        }
        let gone = self.pages.lock().remove(0, u64::MAX, |slot| dirty_too || !matches!(slot, Slot::Dirty(_)));
        self.loaded.wake(crate::wait::Events::IN);
        let numbers = numbers(&gone);
        self.for_each_mapper(|space| space.unmap_file(self, 0, u64::MAX / PAGE_SIZE, false, &numbers));
        drop(gone);
    }

    /// Removes pages `[first, end)`, from the cache first and from mappers after; private copies there go too with `copies`.
    fn remove(&self, first: u64, end: u64, copies: bool) {
        let gone = self.pages.lock().remove(first, end, |_| true);
        self.uncharge(gone.len() as u64);
        self.loaded.wake(crate::wait::Events::IN);
        let numbers = numbers(&gone);
        self.for_each_mapper(|space| space.unmap_file(self, first, end, copies, &numbers));
        drop(gone);
    }

    /// Zeroes `[start, end)`, which lies in one page, if that page is here.
    fn zero_cached(&self, start: u64, end: u64) {
        let index = start / PAGE_SIZE;
        let cached = self.pages.lock().get(index).frame().cloned();
        if let Some(frame) = cached.filter(|_| start < end) {
            platform().frame_zero(&frame, (start % PAGE_SIZE) as usize, (end - start) as usize);
            self.finish_write(index, &frame);
        }
    }

    /// SEEK_DATA in a memory-only file: the next byte at or behind `offset` that may not be a hole.
    pub fn next_data(&self, offset: u64) -> Option<u64> {
        let size = self.size();
        let mut found = None;
        self.pages.lock().for_each(offset / PAGE_SIZE, size.div_ceil(PAGE_SIZE), |index, _| {
            found = Some((index * PAGE_SIZE).max(offset));
            false
        });
        found.filter(|at| *at < size)
    }

    /// SEEK_HOLE in a memory-only file: the next byte at or behind `offset` that is in a hole; the end counts as one.
    pub fn next_hole(&self, offset: u64) -> Option<u64> {
        let size = self.size();
        if offset >= size {
            return None;
        }
        let mut index = offset / PAGE_SIZE;
        let pages = self.pages.lock();
        while index * PAGE_SIZE < size && pages.get(index).frame().is_some() {
            index += 1;
        }
        Some((index * PAGE_SIZE).max(offset).min(size))
    }
}

/// Copies `len` bytes at `at` from one frame to another.
fn copy_part(from: &Frame, to: &Frame, at: usize, len: usize) {
    if at == 0 && len == PAGE {
        platform().frame_copy(from, to);
        return;
    }
    let mut bytes: Vec<u8> = alloc::vec![0; len];
    platform().frame_read(from, at, &mut bytes);
    platform().frame_write(to, at, &bytes);
}
