//! Giving file pages back when memory runs short. Only clean pages that nobody maps or copies go: they can be read again.
//!
//! Lock: the list of caches (a leaf); each cache's pages are looked at after it is released. May be called with an address
//! space locked, not with a mapping.

use super::Mapping;
use crate::platform::{Frame, NoMemory, platform};
use crate::sync::{Lock, Rank};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

/// Pages to give back at a time.
const BATCH: u64 = 1024;

struct Caches {
    list: Vec<Weak<Mapping>>,
    /// Where the next round begins.
    hand: usize,
    prune_at: usize,
}

static CACHES: Lock<Caches> = Lock::new(Rank::Leaf, Caches { list: Vec::new(), hand: 0, prune_at: 64 });

/// Remembers a cache whose pages can be read again.
pub(in crate::mm) fn register(mapping: &Arc<Mapping>) {
    let mut caches = CACHES.lock();
    let mut dead = Vec::new();
    if caches.list.len() >= caches.prune_at {
        let (live, gone) = core::mem::take(&mut caches.list).into_iter().partition(|cache| cache.strong_count() > 0);
        caches.list = live;
        dead = gone;
        caches.prune_at = caches.list.len() * 2 + 64;
    }
    caches.list.push(Arc::downgrade(mapping));
    drop(caches);
    drop(dead);
}

/// A frame; where there is none, caches are made to give some back.
#[inline]
pub(in crate::mm) fn alloc_frame(zeroed: bool) -> Result<Frame, NoMemory> {
    with_room(|| platform().alloc_frame(zeroed))
}

/// What `take` takes; where there is no memory, caches are made to give some back, and it tries again.
#[inline]
pub(in crate::mm) fn with_room<T>(mut take: impl FnMut() -> Result<T, NoMemory>) -> Result<T, NoMemory> {
    match take() {
        Err(NoMemory) if shrink(BATCH) > 0 => take(),
        result => result,
    }
}

/// Keeps a sixteenth of memory free of caches before `pages` more are read in.
pub(in crate::mm) fn make_room(pages: u64) {
    let memory = platform().memory_info();
    if memory.free_pages < memory.total_pages / 16 + pages {
        shrink(BATCH.max(pages));
    }
}

/// Pages that could be had: free ones, but for what is kept for other things (a sixteenth), and those in caches.
pub(in crate::mm) fn available() -> u64 {
    let memory = platform().memory_info();
    (memory.free_pages + cached_pages()).saturating_sub(memory.total_pages / 16)
}

/// Gives back some pages of caches; how many.
pub fn give_back() -> u64 {
    shrink(BATCH)
}

/// Gives back all pages that nobody uses and that can be read again; how many.
pub fn drop_caches() -> u64 {
    shrink(u64::MAX)
}

/// Gives back up to `want` pages, cache after cache; returns how many.
#[cold]
fn shrink(want: u64) -> u64 {
    let mut given = 0;
    let rounds = CACHES.lock().list.len();
    for _ in 0..rounds {
        if given >= want {
            break;
        }
        let next = {
            let mut caches = CACHES.lock();
            caches.hand = if caches.hand + 1 < caches.list.len() { caches.hand + 1 } else { 0 };
            caches.list.get(caches.hand).and_then(Weak::upgrade)
        };
        if let Some(cache) = next {
            given += cache.drop_unused(want - given);
        }
    }
    given
}

/// Pages in all caches (`Cached` of /proc/meminfo).
pub fn cached_pages() -> u64 {
    let caches: Vec<Arc<Mapping>> = CACHES.lock().list.iter().filter_map(Weak::upgrade).collect();
    caches.iter().map(|cache| cache.cached_pages()).sum()
}
