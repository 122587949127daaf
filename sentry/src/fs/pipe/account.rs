//! Pages of pipes by user: `/proc/sys/fs/pipe-user-pages-soft` and `-hard`.

use super::PIPE_BUF;
use crate::errno::Errno;
use crate::sync::{Lock, Rank};
use crate::task::{Cap, Current};
use alloc::collections::BTreeMap;
use core::sync::atomic::{AtomicU32, Ordering};

/// Pages of a user without privilege, beyond which its new pipes are small; 0 for no limit.
pub static SOFT: AtomicU32 = AtomicU32::new(16_384);
/// Pages beyond which it gets none; 0 for no limit.
pub static HARD: AtomicU32 = AtomicU32::new(0);

/// Pages of a pipe for who has too many (include/linux/pipe_fs_i.h: PIPE_MIN_DEF_BUFFERS).
const SMALL: usize = 2;

/// What each user's pipes may hold, in pages.
static PAGES: Lock<BTreeMap<u32, usize>> = Lock::new(Rank::Leaf, BTreeMap::new());

/// A pipe's part of what its user has.
pub(super) struct Share {
    uid: u32,
    pages: usize,
}

impl Share {
    /// For a new pipe of the caller's, as large as it may be. ENFILE beyond the hard limit.
    pub(super) fn new(current: &Current, bytes: usize) -> Result<Self, Errno> {
        let mut share = Self { uid: current.creds.uid, pages: 0 };
        let free = is_privileged(current);
        if share.resize(bytes / PIPE_BUF) > limit(&SOFT) && !free {
            share.resize(SMALL);
        }
        if share.resize(share.pages) > limit(&HARD) && !free { Err(Errno::ENFILE) } else { Ok(share) }
    }

    /// Its capacity in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.pages * PIPE_BUF
    }

    /// Makes the pipe larger or smaller. EPERM where it would grow beyond a limit.
    pub(super) fn change(&mut self, current: &Current, bytes: usize) -> Result<(), Errno> {
        let (before, pages) = (self.pages, bytes / PIPE_BUF);
        let all = self.resize(pages);
        if pages > before && all > limit(&SOFT).min(limit(&HARD)) && !is_privileged(current) {
            self.resize(before);
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    /// Counts that many instead; returns what the user has then.
    fn resize(&mut self, pages: usize) -> usize {
        let mut users = PAGES.lock();
        let all = users.get(&self.uid).map_or(0, |all| all.saturating_sub(self.pages)).saturating_add(pages);
        if all == 0 {
            users.remove(&self.uid);
        } else {
            users.insert(self.uid, all);
        }
        self.pages = pages;
        all
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.resize(0);
    }
}

fn limit(pages: &AtomicU32) -> usize {
    match pages.load(Ordering::Relaxed) {
        0 => usize::MAX,
        pages => pages as usize,
    }
}

fn is_privileged(current: &Current) -> bool {
    current.creds.has(Cap::SysResource) || current.creds.has(Cap::SysAdmin)
}
