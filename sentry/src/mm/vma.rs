//! One area of an address space: a range of pages with the same permissions and the same backing.

use super::Mapping;
use super::userfault::{Modes, Registration};
use crate::fs::OpenFile;
use crate::platform::{Access, Frame, Prot};
use alloc::sync::Arc;
use bitflags::bitflags;
use core::sync::atomic::{AtomicBool, Ordering};
use linker::layout::PAGE_SIZE;

bitflags! {
    /// What is special about an area.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(in crate::mm) struct VmaFlags: u32 {
        /// MAP_SHARED.
        const SHARED = 1 << 0;
        /// Grows towards lower addresses: a stack.
        const GROWS_DOWN = 1 << 1;
        const LOCKED = 1 << 2;
        /// Locked pages come in when they are touched (MLOCK_ONFAULT).
        const LOCK_ON_FAULT = 1 << 3;
        const NO_RESERVE = 1 << 4;
        const DONT_FORK = 1 << 5;
        const WIPE_ON_FORK = 1 << 6;
        const DONT_DUMP = 1 << 7;
        const HUGE = 1 << 8;
        const NO_HUGE = 1 << 9;
        const SEQUENTIAL = 1 << 10;
        const RANDOM = 1 << 11;
        const MERGEABLE = 1 << 12;
        /// mremap may not grow it (vDSO).
        const DONT_EXPAND = 1 << 13;
        /// mbind's mode, a number, and whether it named the node.
        const POLICY_MODE = 7 << 14;
        const POLICY_NODE = 1 << 17;
        /// Nothing about it changes any more (mseal).
        const SEALED = 1 << 18;
    }
}

/// No permission.
pub(in crate::mm) const NONE: Prot = Prot { read: false, write: false, execute: false };

/// Where an area's pages come from.
#[derive(Clone)]
pub(in crate::mm) enum Backing {
    /// Private zero pages.
    Anonymous,
    /// A file's pages, or shared memory.
    File(FileBacking),
    /// Fixed frames of the sentry's: vDSO and its data.
    Special {
        /// `[vdso]`, `[vvar]`.
        name: &'static str,
        /// From the area's start on.
        frames: Arc<[Frame]>,
        /// Index in `frames` of the area's first page.
        first: u64,
    },
}

/// A mapped part of a file.
pub(in crate::mm) struct FileBacking {
    pub(in crate::mm) mapping: Arc<Mapping>,
    /// The open file, for `/proc/PID/maps`; none for shared anonymous memory.
    pub(in crate::mm) file: Option<Arc<OpenFile>>,
    /// What `/proc/PID/maps` says where there is no open file.
    pub(in crate::mm) name: Option<Arc<[u8]>>,
    /// File offset of the area's start, page-aligned.
    pub(in crate::mm) offset: u64,
    /// It counts as a writable mapping of the file.
    counted: bool,
    /// Some of a private mapping's pages may be copies: fork has to copy entries.
    copied: AtomicBool,
}

impl FileBacking {
    /// A page is about to be written: the file's times move.
    pub(in crate::mm) fn note_written(&self) {
        if let Some(file) = &self.file {
            file.inode().note_written();
        }
    }

    pub(in crate::mm) fn new(
        mapping: Arc<Mapping>,
        file: Option<Arc<OpenFile>>,
        name: Option<Arc<[u8]>>,
        offset: u64,
        writable: bool,
    ) -> Self {
        if writable {
            mapping.count_writable(true);
        }
        Self { mapping, file, name, offset, counted: writable, copied: AtomicBool::new(false) }
    }

    /// Takes note that a page was copied.
    pub(in crate::mm) fn note_copy(&self) {
        self.copied.store(true, Ordering::Relaxed);
    }

    pub(in crate::mm) fn has_copies(&self) -> bool {
        self.copied.load(Ordering::Relaxed)
    }

    pub(in crate::mm) fn same_object(&self, other: &Self) -> bool {
        let file = match (&self.file, &other.file) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        file && Arc::ptr_eq(&self.mapping, &other.mapping)
    }
}

impl Clone for FileBacking {
    fn clone(&self) -> Self {
        let copy = Self::new(self.mapping.clone(), self.file.clone(), self.name.clone(), self.offset, self.counted);
        copy.copied.store(self.has_copies(), Ordering::Relaxed);
        copy
    }
}

impl Drop for FileBacking {
    fn drop(&mut self) {
        if self.counted {
            self.mapping.count_writable(false);
        }
    }
}

/// An area, `[start, end)`, page-aligned.
#[derive(Clone)]
pub(in crate::mm) struct Vma {
    pub(in crate::mm) start: u64,
    pub(in crate::mm) end: u64,
    pub(in crate::mm) prot: Prot,
    /// What mprotect may allow.
    pub(in crate::mm) may: Prot,
    pub(in crate::mm) flags: VmaFlags,
    pub(in crate::mm) backing: Backing,
    /// The userfaultfd that answers for it.
    pub(in crate::mm) userfault: Option<Registration>,
}

impl Vma {
    pub(in crate::mm) fn len(&self) -> u64 {
        self.end - self.start
    }

    pub(in crate::mm) fn pages(&self) -> u64 {
        self.len() / PAGE_SIZE
    }

    pub(in crate::mm) fn is_shared(&self) -> bool {
        self.flags.contains(VmaFlags::SHARED)
    }

    pub(in crate::mm) fn grows_down(&self) -> bool {
        self.flags.contains(VmaFlags::GROWS_DOWN)
    }

    pub(in crate::mm) fn is_anonymous(&self) -> bool {
        matches!(self.backing, Backing::Anonymous)
    }

    /// Whether its pages may be written to only by copying (so that a page-table entry loses write permission when in doubt).
    pub(in crate::mm) fn copies_on_write(&self) -> bool {
        if self.is_protected() {
            return true;
        }
        match &self.backing {
            Backing::Anonymous => true,
            // A shared page with a source is writable only once it is marked dirty.
            Backing::File(file) => !self.is_shared() || file.mapping.has_source(),
            Backing::Special { .. } => true,
        }
    }

    /// Whether a userfaultfd may write-protect its pages.
    fn is_protected(&self) -> bool {
        self.userfault.as_ref().is_some_and(|registered| registered.modes.contains(Modes::PROTECT))
    }

    /// Whether a userfaultfd wants each page's first use to be seen.
    pub(in crate::mm) fn is_watched(&self) -> bool {
        let watched = Modes::PROTECT | Modes::MINOR;
        self.userfault.as_ref().is_some_and(|registered| registered.modes.intersects(watched))
    }

    /// Whether it counts towards RLIMIT_DATA.
    pub(in crate::mm) fn is_data(&self) -> bool {
        self.prot.write && !self.is_shared() && !self.grows_down()
    }

    pub(in crate::mm) fn accessible(&self) -> bool {
        self.prot != NONE
    }

    pub(in crate::mm) fn allows(&self, access: Access) -> bool {
        // x86 has no write-only and (without protection keys) no execute-only pages.
        match access {
            Access::Read => self.accessible(),
            Access::Write => self.prot.write,
            Access::Execute => self.prot.execute,
        }
    }

    /// The page of the file (or of the frames) that is at `at`.
    pub(in crate::mm) fn page_index(&self, at: u64) -> u64 {
        let within = (at - self.start) / PAGE_SIZE;
        match &self.backing {
            Backing::Anonymous => at / PAGE_SIZE,
            Backing::File(file) => file.offset / PAGE_SIZE + within,
            Backing::Special { first, .. } => first + within,
        }
    }

    /// Moves the start up or down, and the place in the backing with it.
    fn move_start(&mut self, start: u64) {
        let (old, new) = (self.start, start);
        match &mut self.backing {
            Backing::Anonymous => {}
            Backing::File(file) => file.offset = file.offset.wrapping_add(new).wrapping_sub(old),
            Backing::Special { first, .. } => {
                *first = first.wrapping_add(new / PAGE_SIZE).wrapping_sub(old / PAGE_SIZE)
            }
        }
        self.start = new;
    }

    /// Cuts it at `at`; returns the upper part.
    pub(in crate::mm) fn split(&mut self, at: u64) -> Self {
        let mut upper = self.clone();
        upper.move_start(at);
        self.end = at;
        upper
    }

    /// The same content at another place.
    pub(in crate::mm) fn moved(&self, start: u64, len: u64) -> Self {
        let mut copy = self.clone();
        copy.start = start;
        copy.end = start + len;
        copy
    }

    /// Whether `next`, which begins where this one ends, is its continuation.
    pub(in crate::mm) fn continues_in(&self, next: &Self) -> bool {
        self.end == next.start
            && self.prot == next.prot
            && self.may == next.may
            && self.flags == next.flags
            && self.userfault == next.userfault
            && match (&self.backing, &next.backing) {
                (Backing::Anonymous, Backing::Anonymous) => true,
                (Backing::File(a), Backing::File(b)) => {
                    a.same_object(b) && a.offset.checked_add(self.len()) == Some(b.offset)
                }
                _ => false,
            }
    }

    /// Takes over what is to be known of `next`, which it merges with.
    pub(in crate::mm) fn absorb(&mut self, next: &Self) {
        self.end = next.end;
        if let (Backing::File(file), Backing::File(other)) = (&self.backing, &next.backing)
            && other.has_copies()
        {
            file.note_copy();
        }
    }

    /// Grows down to `start` (a stack).
    pub(in crate::mm) fn grow_down(&mut self, start: u64) {
        self.move_start(start);
    }
}
