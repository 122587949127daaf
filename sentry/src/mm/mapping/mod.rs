//! `Mapping`: the pages of one file, shared by everyone who reads, writes or maps it; also the file's size.
//!
//! A page is absent, being read (others who want it park) or here, clean or dirty. Without a source (`in_memory`) it is tmpfs,
//! a memfd, shared memory: absent pages read as zero. Bytes are copied with no lock held: a frame is a reference.
//! `read` and `write` serve file systems, `frame` and `cached` page faults, `truncate`, `punch_hole` and `write_back` both.
//!
//! Locks: `changes` (sleeping: write, truncate, punch_hole) → `AddressSpace` of a mapper → `pages`. A fault takes `pages` under
//! its address space's lock and maps in that; what takes pages away removes them from `pages` first and from the mappers
//! after, so no fault brings one back.

mod io;
mod pages;
#[cfg(test)]
mod tests;
mod write_back;

use super::{AddressSpace, reclaim};
use crate::errno::Errno;
use crate::platform::{Frame, NoMemory, platform};
use crate::sync::{Lock, Rank, SleepLock};
use crate::wait::{Events, WaitQueue};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use linker::layout::PAGE_SIZE;
use linker::request::MAX_SEGMENTS;
use pages::{Pages, Slot};

/// Where absent pages come from and dirty pages go: a host file. Calls block, no lock is held.
pub trait PageSource: Send + Sync {
    /// Fills `frames` (`MAX_SEGMENTS` at most, content unspecified) with the pages from `first_page` on; what lies behind the
    /// end of the file becomes zero (`zero_behind`).
    fn read_pages(&self, first_page: u64, frames: &[Frame]) -> Result<(), Errno>;
    /// Writes the first `len` bytes of `frames` from `first_page` on.
    fn write_pages(&self, first_page: u64, frames: &[Frame], len: usize) -> Result<(), Errno>;
    /// Pages to read at once when reading goes on from where it stopped.
    fn read_ahead_pages(&self) -> usize {
        MAX_SEGMENTS
    }
}

/// Who counts the pages of memory-only files: tmpfs's `size=`.
pub trait PageBudget: Send + Sync {
    /// Counts pages; ENOSPC when there are too many.
    fn charge(&self, pages: u64) -> Result<(), Errno>;
    /// Gives pages back.
    fn release(&self, pages: u64);
}

/// For a source: zeroes what `frames` hold behind the first `bytes` bytes.
pub fn zero_behind(frames: &[Frame], bytes: usize) {
    let mut used = bytes % PAGE_SIZE as usize;
    for frame in frames.iter().skip(bytes / PAGE_SIZE as usize) {
        platform().frame_zero(frame, used, PAGE_SIZE as usize - used);
        used = 0;
    }
}

/// The page cache of one file.
pub struct Mapping {
    id: u64,
    source: Option<Arc<dyn PageSource>>,
    budget: Option<Arc<dyn PageBudget>>,
    size: AtomicU64,
    pages: Lock<Pages>,
    loaded: WaitQueue,
    /// The page behind the last one read, to recognise sequential reading.
    next_read: AtomicU64,
    changes: SleepLock<()>,
    mappers: Lock<Mappers>,
    writable_maps: AtomicUsize,
    /// No more writable shared mappings (memfd's F_SEAL_WRITE).
    sealed: AtomicBool,
    /// Pages were dirtied since the last whole write-back.
    dirtied: AtomicUsize,
}

#[derive(Default)]
struct Mappers {
    spaces: Vec<Weak<AddressSpace>>,
    /// Prune the dead when there are this many.
    prune_at: usize,
}

/// Pages of a file that are in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CacheState {
    /// All of them.
    pub cached: u64,
    /// Those that are newer than the source.
    pub dirty: u64,
}

/// Why a page of a file cannot be mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageError {
    /// It lies behind the end of the file.
    BeyondEnd,
    /// It could not be read, or there is no room (ENOSPC) for it.
    Source(Errno),
    /// No memory.
    NoMemory,
}

impl From<NoMemory> for PageError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

impl From<PageError> for Errno {
    fn from(error: PageError) -> Self {
        match error {
            PageError::BeyondEnd => Self::EIO,
            PageError::Source(errno) => errno,
            PageError::NoMemory => Self::ENOMEM,
        }
    }
}

/// The pages of a file that are here, up to its end.
pub(in crate::mm) struct Cached<'a> {
    pages: &'a Pages,
    end: u64,
}

impl<'a> Cached<'a> {
    /// Whether the page is here.
    #[inline]
    pub(in crate::mm) fn holds(&self, index: u64) -> bool {
        index < self.end && self.pages.get(index).frame().is_some()
    }

    /// The pages from `first` on, by position, as far as they are here.
    #[inline]
    pub(in crate::mm) fn frames(&self, first: u64) -> impl Fn(usize) -> Option<&'a Frame> {
        let together = self.pages.together(first, self.end);
        move |n| match together.get(n) {
            Some(slot) => slot.frame(),
            None if first + (n as u64) < self.end => self.pages.get(first + n as u64).frame(),
            None => None,
        }
    }
}

impl Mapping {
    /// The cache of a file that `source` reads and writes, `size` bytes long now.
    pub fn new(source: Arc<dyn PageSource>, size: u64) -> Arc<Self> {
        let mapping = Arc::new(Self::with(Some(source), None, size));
        reclaim::register(&mapping);
        mapping
    }

    /// A file that lives here alone.
    pub fn in_memory(size: u64, budget: Option<Arc<dyn PageBudget>>) -> Arc<Self> {
        Arc::new(Self::with(None, budget, size))
    }

    fn with(source: Option<Arc<dyn PageSource>>, budget: Option<Arc<dyn PageBudget>>, size: u64) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            source,
            budget,
            size: AtomicU64::new(size),
            pages: Lock::new(Rank::Mapping, Pages::default()),
            loaded: WaitQueue::new(),
            next_read: AtomicU64::new(0),
            changes: SleepLock::new(()),
            mappers: Lock::new(Rank::Leaf, Mappers::default()),
            writable_maps: AtomicUsize::new(0),
            sealed: AtomicBool::new(false),
            dirtied: AtomicUsize::new(0),
        }
    }

    /// A number that no other mapping has or had: shared futexes are keyed by it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The file's size in bytes.
    #[inline]
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Takes note that the source's size is now `size` (a shared host file changed). To change a file use `truncate`.
    pub fn note_size(&self, size: u64) {
        self.size.store(size, Ordering::Release);
    }

    /// Pages that are in memory.
    pub fn cached_pages(&self) -> u64 {
        self.pages.lock().count
    }

    /// What is in memory of the pages `first..=last`.
    pub fn cache_state(&self, first: u64, last: u64) -> CacheState {
        let mut state = CacheState::default();
        self.pages.lock().for_each(first, last.saturating_add(1), |_, slot| {
            state.cached += u64::from(slot.frame().is_some());
            state.dirty += u64::from(matches!(slot, Slot::Dirty(_)));
            true
        });
        state
    }

    /// Whether it has a source.
    pub fn has_source(&self) -> bool {
        self.source.is_some()
    }

    /// Shared mappings that may write (memfd seals, ETXTBSY).
    pub fn writable_maps(&self) -> usize {
        self.writable_maps.load(Ordering::SeqCst)
    }

    /// Refuses writable shared mappings from now on; EBUSY while there is one.
    pub fn seal(&self) -> Result<(), Errno> {
        let before = self.sealed.swap(true, Ordering::SeqCst);
        if self.writable_maps() == 0 {
            return Ok(());
        }
        self.sealed.store(before, Ordering::SeqCst);
        Err(Errno::EBUSY)
    }

    /// Refuses writable shared mappings from now on; those that are there stay.
    pub fn seal_future(&self) {
        self.sealed.store(true, Ordering::SeqCst);
    }

    /// Whether it is sealed.
    pub fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::SeqCst)
    }

    pub(in crate::mm) fn count_writable(&self, more: bool) {
        if more {
            self.writable_maps.fetch_add(1, Ordering::SeqCst);
        } else {
            self.writable_maps.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn pages_of(size: u64) -> u64 {
        size.div_ceil(PAGE_SIZE)
    }

    /// The page if it is here: for faults, under the address space's lock. `for_write` marks it dirty.
    #[inline]
    pub(in crate::mm) fn cached(&self, index: u64, for_write: bool) -> Option<Frame> {
        if index >= Self::pages_of(self.size()) {
            return None;
        }
        let mut pages = self.pages.lock();
        if for_write && self.source.is_some() {
            let frame = pages.get(index).frame()?.clone();
            pages.slot(index).mark_dirty();
            self.dirtied.store(1, Ordering::Relaxed);
            return Some(frame);
        }
        pages.get(index).frame().cloned()
    }

    /// Calls `f` with a view of the pages that are here, under the lock: for faults and mincore.
    #[inline]
    pub(in crate::mm) fn look<R>(&self, f: impl FnOnce(&Cached<'_>) -> R) -> R {
        let end = Self::pages_of(self.size());
        f(&Cached { pages: &self.pages.lock(), end })
    }

    /// The page, read or made if it is not here. Blocks; no lock is held. `for_write` marks it dirty.
    pub fn frame(&self, index: u64, for_write: bool) -> Result<Frame, PageError> {
        if index >= Self::pages_of(self.size()) {
            return Err(PageError::BeyondEnd);
        }
        // Faults jump about: read around rather than ahead.
        const AROUND: u64 = 64;
        let first = index / AROUND * AROUND;
        let frame = self.load(index, first, AROUND)?;
        if for_write && self.source.is_some() {
            self.mark_dirty(index);
        }
        Ok(frame)
    }

    /// Drops up to `want` clean pages that nobody else uses; returns how many. For memory reclaim.
    pub(in crate::mm) fn drop_unused(&self, want: u64) -> u64 {
        let mut left = want;
        let gone = self.pages.lock().remove(0, u64::MAX, |slot| match slot {
            Slot::Clean(frame) if left > 0 && platform().frame_references(frame) == 1 => {
                left -= 1;
                true
            }
            _ => false,
        });
        gone.len() as u64
    }

    fn mark_dirty(&self, index: u64) {
        self.pages.lock().slot(index).mark_dirty();
        self.dirtied.store(1, Ordering::Relaxed);
    }

    /// The page `index`; if it is absent, it is read together with its absent neighbours in `[first, first + count)`.
    fn load(&self, index: u64, first: u64, count: u64) -> Result<Frame, PageError> {
        let mut range = (first, first.saturating_add(count));
        loop {
            let mut pages = self.pages.lock();
            match pages.get(index) {
                Slot::Clean(frame) | Slot::Dirty(frame) => return Ok(frame.clone()),
                Slot::Loading(_) => {
                    drop(pages);
                    self.wait_loaded(index);
                    continue;
                }
                Slot::Absent => {}
            }
            let Some(source) = &self.source else {
                drop(pages);
                return self.make_zero(index);
            };
            // The run of absent pages around `index`, inside the range and the file.
            let limit = range.1.min(Self::pages_of(self.size())).max(index + 1);
            let lowest = range.0.max(index.saturating_sub(MAX_SEGMENTS as u64 / 2)).min(index);
            let begin = pages.absent_before(index, lowest);
            let (end, loader) = pages.begin_load(begin, limit.min(begin + MAX_SEGMENTS as u64));
            drop(pages);
            let result = Self::read_run(&**source, begin, end);
            let mut unused = Vec::new();
            let mut wanted = None;
            let mut pages = self.pages.lock();
            let failed = match result {
                Ok(frames) => {
                    wanted = frames.get((index - begin) as usize).cloned();
                    unused = pages.end_load(begin, loader, frames);
                    None
                }
                Err(error) => {
                    pages.forget_load(begin, end, loader);
                    Some(error)
                }
            };
            drop(pages);
            drop(unused);
            self.loaded.wake(Events::IN);
            match (failed, wanted) {
                (Some(error), _) if end - begin == 1 => return Err(error),
                // A neighbour may be to blame: once more without them.
                (Some(_), _) => range = (index, index + 1),
                (None, Some(frame)) => return Ok(frame),
                (None, None) => {}
            }
        }
    }

    fn read_run(source: &dyn PageSource, begin: u64, end: u64) -> Result<Vec<Frame>, PageError> {
        reclaim::make_room(end - begin);
        let mut frames = Vec::with_capacity((end - begin) as usize);
        reclaim::with_room(|| platform().alloc_frames((end - begin) as usize, &mut frames))?;
        source.read_pages(begin, &frames).map_err(PageError::Source)?;
        Ok(frames)
    }

    /// A zero page of a memory-only file.
    fn make_zero(&self, index: u64) -> Result<Frame, PageError> {
        self.charge(1).map_err(PageError::Source)?;
        let made = reclaim::alloc_frame(true);
        let mut pages = self.pages.lock();
        let result = match (pages.get(index).frame(), made) {
            (Some(other), _) => Ok((other.clone(), false)),
            (None, Ok(frame)) => {
                pages.put(index, Slot::Clean(frame.clone()));
                Ok((frame, true))
            }
            (None, Err(NoMemory)) => Err(PageError::NoMemory),
        };
        drop(pages);
        if !matches!(result, Ok((_, true))) {
            self.uncharge(1);
        }
        result.map(|(frame, _)| frame)
    }

    fn wait_loaded(&self, index: u64) {
        crate::wait::wait_on(&[(&self.loaded, Events::IN)], false, None, &|| false, || {
            (!matches!(self.pages.lock().get(index), Slot::Loading(_))).then_some(())
        })
        .unwrap_or(());
    }

    fn charge(&self, pages: u64) -> Result<(), Errno> {
        self.budget.as_ref().map_or(Ok(()), |budget| budget.charge(pages))
    }

    fn uncharge(&self, pages: u64) {
        if let Some(budget) = &self.budget {
            budget.release(pages);
        }
    }

    // Who maps it.

    /// Remembers that `space` maps pages of this file.
    pub(in crate::mm) fn add_mapper(&self, space: &Arc<AddressSpace>) {
        let mut dead = Vec::new();
        let mut mappers = self.mappers.lock();
        if mappers.spaces.last().is_some_and(|last| core::ptr::eq(last.as_ptr(), Arc::as_ptr(space))) {
            return;
        }
        if mappers.spaces.len() >= mappers.prune_at {
            let (live, gone) = core::mem::take(&mut mappers.spaces).into_iter().partition(|s| s.strong_count() > 0);
            mappers.spaces = live;
            dead = gone;
            mappers.prune_at = mappers.spaces.len() * 2 + 8;
        }
        mappers.spaces.push(Arc::downgrade(space));
        drop(mappers);
        drop(dead);
    }

    /// Calls `f` for each address space that (perhaps) maps pages of this file, with no lock held. A fork copies pages under
    /// its parent's lock and registers the child before it releases it, so a child that `f` on the parent missed is in the
    /// list by then: look again until nobody new is there.
    fn for_each_mapper(&self, f: impl Fn(&AddressSpace)) {
        let mut done: Vec<Arc<AddressSpace>> = Vec::new();
        loop {
            let mut new: Vec<Arc<AddressSpace>> = self.mappers.lock().spaces.iter().filter_map(Weak::upgrade).collect();
            new.sort_unstable_by_key(Arc::as_ptr);
            new.dedup_by_key(|space| Arc::as_ptr(space));
            new.retain(|space| done.binary_search_by_key(&Arc::as_ptr(space), Arc::as_ptr).is_err());
            if new.is_empty() {
                return;
            }
            for space in &new {
                f(space);
            }
            done.append(&mut new);
            done.sort_unstable_by_key(Arc::as_ptr);
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let pages = self.pages.get_mut().count;
        self.uncharge(pages);
    }
}
