//! What a file system of the host's knows of how it is read, and of what we and others do to its files meanwhile.
//!
//! Of a shared tree, what was told is believed for a few questions' time, and for longer while nothing has come to light since: no file
//! was seen that changed after it, and nothing was heard from outside (`fs::heard`) that the program could have learnt of a change by.
//!
//! What is told ahead (`ahead`) is void when something that we did may have changed it: the file was `touch`ed or, where it is not
//! known which file that was, all is `void`. A `Stamp` says when that would count, seen from the question.
//!
//! Locks (Rank::Leaf) are held for a look only.

use crate::fs::inode::{heard, heard_ns};
use crate::platform::platform;
use crate::sync::{Lock, Rank};
use crate::time::NS_PER_SEC;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use hashbrown::HashMap;
use linker::layout::PAGE_SIZE;
use linker::request::Time;

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
/// And so long while nothing has come to light.
const CALM_NS: u64 = 100_000_000;
/// A file's times are those of the host's last tick, which may be so long ago (100 Hz).
const TICK_NS: u64 = 10_000_000;

/// Shared trees that are attached.
static SHARED: AtomicUsize = AtomicUsize::new(0);

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
    /// Up to here (monotonic) files were seen to have changed.
    changed_ns: AtomicU64,
    /// Whether others change the tree at any time.
    shared: bool,
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

impl Drop for Reader {
    fn drop(&mut self) {
        SHARED.fetch_sub(usize::from(self.shared), Ordering::Relaxed);
    }
}

/// We changed files of some shared tree. Others may have the same files in them.
pub fn changed_shared() {
    if SHARED.load(Ordering::Relaxed) > 1 {
        heard();
    }
}

impl Reader {
    /// `shared`: whether others change the tree at any time.
    pub fn new(shared: bool) -> Self {
        SHARED.fetch_add(usize::from(shared), Ordering::Relaxed);
        Self {
            start: AtomicU32::new(1),
            reading: AtomicU32::new(0),
            unread: AtomicBool::new(false),
            trip_ns: AtomicU64::new(0),
            changed_ns: AtomicU64::new(0),
            shared,
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
        self.changed();
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
        self.changed();
        self.voids.fetch_add(1, Ordering::SeqCst);
    }

    fn changed(&self) {
        if self.shared {
            changed_shared();
        }
    }

    /// A file's `ctime` was told: others' files may have changed along with it, and the program may go by that.
    pub fn saw(&self, ctime: Time) {
        if !self.shared {
            return;
        }
        let changed = (ctime.sec.max(0) as u64).saturating_mul(NS_PER_SEC).saturating_add(ctime.nsec.max(0) as u64);
        let age = platform().realtime_ns().saturating_sub(changed);
        if age < CALM_NS + TICK_NS {
            let until = platform().monotonic_ns().saturating_sub(age) + TICK_NS;
            self.changed_ns.fetch_max(until, Ordering::Relaxed);
        }
    }

    /// A file that was there is not any more.
    pub fn missed(&self) {
        self.changed_ns.fetch_max(platform().monotonic_ns(), Ordering::Relaxed);
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

    /// What was told of a shared tree from this moment on (monotonic, ns) is believed.
    pub fn believed_ns(&self) -> u64 {
        let now = platform().monotonic_ns();
        let fresh = (self.trip_ns.load(Ordering::Relaxed) * QUESTIONS).clamp(FRESH_NS, MOST_FRESH_NS);
        let calm = now.saturating_sub(CALM_NS).max(self.changed_ns.load(Ordering::Relaxed)).max(heard_ns());
        now.saturating_sub(fresh).min(calm) + 1
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
