//! What a file system of the host's knows of how it is read, and of what we do to its files meanwhile.
//!
//! What is told ahead (`ahead`) is void when something that we did may have changed it: the file was `touch`ed or, where it is not
//! known which file that was, all is `void`. A `Stamp` says when that would count, seen from the question.
//!
//! Locks (Rank::Leaf) are held for a look only.

use crate::sync::{Lock, Rank};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use hashbrown::HashMap;
use linker::layout::PAGE_SIZE;

/// Directories that keep what they were told.
const DIRECTORIES: usize = 32;
/// Files that were touched, before everything that was told is void.
const TOUCHED: usize = 1024;
/// Content that comes along of a file at most.
const CONTENT: usize = PAGE_SIZE as usize;
/// How `Reader::reading` moves, and from where on content is wanted.
const READ: u32 = 4;
const READING: u32 = 16;
const MOST_READING: u32 = 64;
/// Names to take along in a new directory at most.
const MOST_START: u32 = 64;
/// An answer about a shared tree is believed as long as so many questions take.
const QUESTIONS: u64 = 64;
/// But so long at least, and at most.
const FRESH_NS: u64 = 1_000_000;
const MOST_FRESH_NS: u64 = 250_000_000;

/// A file by device and inode number.
pub type Key = (u64, u64);

/// What a file system knows of how it is read.
pub struct Reader {
    /// Names to take along in a directory that is new: what others were told was used so far.
    start: AtomicU32,
    /// How likely a small file that was looked up is to be read.
    reading: AtomicU32,
    /// One was looked up, and nothing has been read since.
    unread: AtomicBool,
    /// What a question takes, ns: the least of late.
    trip_ns: AtomicU64,
    /// Told and not used yet, or on the way.
    pending: Arc<AtomicUsize>,
    /// Counts what we did to files.
    touches: AtomicU64,
    /// Counts `void`.
    voids: AtomicU64,
    /// `touches` when a file was touched last.
    touched: Lock<HashMap<Key, u64>>,
    /// Directories that were told something, the newest last.
    recent: Lock<VecDeque<Key>>,
}

/// When something was asked, as far as our own doing goes.
#[derive(Clone, Copy)]
pub struct Stamp {
    touches: u64,
    voids: u64,
    /// Monotonic.
    pub ns: u64,
}

/// Counts as pending as long as it lives.
pub struct Pending(Arc<AtomicUsize>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Reader {
    pub fn new() -> Self {
        Self {
            start: AtomicU32::new(1),
            reading: AtomicU32::new(0),
            unread: AtomicBool::new(false),
            trip_ns: AtomicU64::new(0),
            pending: Arc::default(),
            touches: AtomicU64::new(0),
            voids: AtomicU64::new(0),
            touched: Lock::new(Rank::Leaf, HashMap::new()),
            recent: Lock::new(Rank::Leaf, VecDeque::new()),
        }
    }

    /// Something is asked from `ns` on.
    pub fn stamp(&self, ns: u64) -> Stamp {
        if self.pending.fetch_add(1, Ordering::SeqCst) == 0 {
            let old = core::mem::take(&mut *self.touched.lock());
            drop(old);
        }
        // Only now: what is touched from here on is noted.
        let stamp =
            Stamp { touches: self.touches.load(Ordering::SeqCst), voids: self.voids.load(Ordering::SeqCst), ns };
        self.pending.fetch_sub(1, Ordering::SeqCst);
        stamp
    }

    /// For something that will be told.
    pub fn pending(&self) -> Pending {
        self.pending.fetch_add(1, Ordering::SeqCst);
        Pending(self.pending.clone())
    }

    /// We did something to the file: what is asked from now on tells of it.
    pub fn touch(&self, key: Key) {
        if self.pending.load(Ordering::SeqCst) == 0 {
            return;
        }
        let now = self.touches.fetch_add(1, Ordering::SeqCst) + 1;
        let mut touched = self.touched.lock();
        touched.insert(key, now);
        let old = if touched.len() > TOUCHED { core::mem::take(&mut *touched) } else { HashMap::new() };
        drop(touched);
        if !old.is_empty() {
            self.void();
        }
    }

    /// We did something, and do not know to which files.
    pub fn void(&self) {
        self.voids.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether nothing that we did has changed the file since.
    pub fn holds(&self, stamp: Stamp, key: Key) -> bool {
        self.voids.load(Ordering::SeqCst) == stamp.voids
            && self.touched.lock().get(&key).is_none_or(|touched| *touched <= stamp.touches)
    }

    /// A question took so long.
    pub fn took(&self, ns: u64) {
        let least = self.trip_ns.load(Ordering::Relaxed);
        let most = if least == 0 { u64::MAX } else { least + least / 16 + 1 };
        self.trip_ns.store(ns.min(most), Ordering::Relaxed);
    }

    /// How long answers of a shared tree are believed, ns.
    pub fn fresh_ns(&self) -> u64 {
        (self.trip_ns.load(Ordering::Relaxed) * QUESTIONS).clamp(FRESH_NS, MOST_FRESH_NS)
    }

    /// Content to ask for.
    pub fn content(&self) -> usize {
        if self.reading.load(Ordering::Relaxed) >= READING { CONTENT } else { 0 }
    }

    /// A small file was looked up. That the one before it was not read speaks against reading.
    pub fn looked_up(&self, size: u64) {
        if size <= CONTENT as u64 && self.unread.swap(true, Ordering::Relaxed) {
            self.reading.store(self.reading.load(Ordering::Relaxed) / 2, Ordering::Relaxed);
        }
    }

    /// A file is read from its beginning: the one that was looked up last, probably.
    pub fn read(&self) {
        if self.unread.load(Ordering::Relaxed) && self.unread.swap(false, Ordering::Relaxed) {
            let reading = self.reading.load(Ordering::Relaxed);
            self.reading.store((reading + READ).min(MOST_READING), Ordering::Relaxed);
        }
    }

    /// Names to take along in a directory that is new.
    pub fn start(&self) -> u32 {
        self.start.load(Ordering::Relaxed)
    }

    /// The same, for a directory about which nothing else is known.
    pub fn take_start(&self) -> u32 {
        let start = self.start();
        self.start.store((start - start / 4).max(1), Ordering::Relaxed);
        start
    }

    /// What was told was used, or was not.
    pub fn judge(&self, good: bool) {
        let start = self.start.load(Ordering::Relaxed);
        self.start.store(if good { (start * 4).min(MOST_START) } else { (start / 4).max(1) }, Ordering::Relaxed);
    }

    /// A directory is told something. Returns one that has to forget what it was told.
    pub fn note(&self, directory: Key) -> Option<Key> {
        let mut recent = self.recent.lock();
        if recent.back() == Some(&directory) {
            return None;
        }
        if let Some(at) = recent.iter().position(|key| *key == directory) {
            recent.remove(at);
        }
        recent.push_back(directory);
        if recent.len() > DIRECTORIES { recent.pop_front() } else { None }
    }

    /// All directories that were told something, which forget it.
    pub fn take_recent(&self) -> VecDeque<Key> {
        core::mem::take(&mut *self.recent.lock())
    }
}
