//! Work on runs of small pages: a range is cut at 2 MiB boundaries, and each piece is one table of the lowest level (or one
//! large page) to loop over. Callers hold the page table's lock.

use super::entry::{
    ADDRESS, DIRTY, ENTRIES, HELD, LARGE, PRESENT, USER, WRITABLE, flags, index, is_mapped, pfn, span, table,
};
use super::table::{Found, UserPageTable};
use crate::frame;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU64, Ordering};
use linker::addr::UserVa;
use linker::layout::{LARGE_PAGE_SIZE, PAGE_SIZE};
use sentry::platform::{NoMemory, Prot};

/// A piece of a range that lies within one 2 MiB block in which something may be mapped.
pub(super) struct Chunk {
    pub(super) start: u64,
    pub(super) end: u64,
}

/// The pieces of `[start, end)`, leaving out what has no tables.
pub(super) fn chunks(tables: &UserPageTable, start: u64, end: u64) -> impl Iterator<Item = Chunk> {
    let mut at = start;
    core::iter::from_fn(move || {
        while at < end {
            let missing = match tables.find(at) {
                Found::Nothing(level) => level,
                Found::Large(_) | Found::Small(_) => {
                    let chunk = Chunk { start: at, end: end.min((at / LARGE_PAGE_SIZE + 1) * LARGE_PAGE_SIZE) };
                    at = chunk.end;
                    return Some(chunk);
                }
            };
            at = (at / span(missing) + 1) * span(missing);
        }
        None
    })
}

impl UserPageTable {
    /// The lowest-level entries of a chunk. A large page that is only partly concerned is split first.
    fn entries(&self, chunk: &Chunk) -> Entries<'_> {
        match self.find(chunk.start) {
            Found::Nothing(_) => Entries::Nothing,
            Found::Large(slot) if chunk.is_whole() => Entries::Large(slot),
            Found::Large(slot) => {
                self.split(chunk.start, slot);
                self.entries(chunk)
            }
            Found::Small(_) => {
                let slot = self.make_directory(chunk.start).expect("the tables above exist");
                // SAFETY: tables of this address space are freed only under the lock, which the caller holds.
                let all: &[AtomicU64; ENTRIES] = unsafe { table(pfn(slot.load(Ordering::Relaxed))) };
                Entries::Small { slot, some: &all[index(chunk.start, 0)..=index(chunk.end - 1, 0)] }
            }
        }
    }

    pub(super) fn unmap_chunk(&self, chunk: &Chunk) -> usize {
        match self.entries(chunk) {
            Entries::Nothing => 0,
            Entries::Large(slot) => {
                let old = slot.swap(0, Ordering::AcqRel);
                self.flush(&[chunk.start]);
                (pfn(old)..pfn(old) + ENTRIES as u64).for_each(frame::put);
                ENTRIES
            }
            Entries::Small { slot, some } => {
                let mut gone: [MaybeUninit<u64>; ENTRIES] = [MaybeUninit::uninit(); ENTRIES];
                let mut count = 0;
                for entry in some {
                    if !is_mapped(entry.load(Ordering::Relaxed)) {
                        continue;
                    }
                    gone[count].write(entry.swap(0, Ordering::AcqRel));
                    count += 1;
                }
                let whole = chunk.is_whole();
                let lowest = pfn(slot.load(Ordering::Relaxed));
                if whole {
                    slot.store(0, Ordering::Release);
                }
                if count != 0 || whole {
                    self.flush_range(chunk.start, chunk.end);
                }
                for entry in &gone[..count] {
                    // SAFETY: the first `count` entries were written.
                    frame::put(pfn(unsafe { entry.assume_init() }));
                }
                if whole {
                    frame::free_table(lowest);
                }
                count
            }
        }
    }

    /// Returns whether something was taken away, so that a flush is due.
    pub(super) fn protect_chunk(&self, chunk: &Chunk, prot: Prot, cow: bool) -> bool {
        let (some, large) = match self.entries(chunk) {
            Entries::Nothing => return false,
            Entries::Large(slot) if flags(prot) & PRESENT == 0 => {
                self.split(chunk.start, slot);
                return self.protect_chunk(chunk, prot, cow);
            }
            Entries::Large(slot) => (core::slice::from_ref(slot), LARGE),
            Entries::Small { some, .. } => (some, 0),
        };
        let mut lowered = false;
        for slot in some {
            let mut old = slot.load(Ordering::Relaxed);
            while is_mapped(old) {
                let mut new = old & (ADDRESS | DIRTY) | flags(prot) | large;
                if cow && old & WRITABLE == 0 {
                    new &= !WRITABLE;
                }
                match slot.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed) {
                    Ok(_) => {
                        lowered |= old & PRESENT != 0 && new != old;
                        break;
                    }
                    Err(now) => old = now,
                }
            }
        }
        lowered
    }

    pub(super) fn fork_chunk(
        &self,
        child: &Self,
        chunk: &Chunk,
        cow: bool,
        lowered: &mut bool,
    ) -> Result<usize, NoMemory> {
        let target = child.make_directory(chunk.start)?;
        let some = match self.entries(chunk) {
            Entries::Nothing => return Ok(0),
            Entries::Large(slot) => {
                let entry = lower(slot, cow, lowered);
                (pfn(entry)..pfn(entry) + ENTRIES as u64).for_each(frame::get);
                let old = target.swap(entry & !DIRTY, Ordering::AcqRel);
                assert!(old == 0, "fork onto a mapped page");
                return Ok(ENTRIES);
            }
            Entries::Small { some, .. } => some,
        };
        if target.load(Ordering::Relaxed) & PRESENT == 0 {
            let fresh = frame::alloc_table(!chunk.is_whole())?;
            if chunk.is_whole() {
                // SAFETY: just allocated as a table; every entry is written below, before anyone can look.
                let to: &[AtomicU64; ENTRIES] = unsafe { table(fresh) };
                let pages = copy_entries(some, to, cow, lowered);
                target.store((fresh * PAGE_SIZE) | PRESENT | WRITABLE | USER, Ordering::Release);
                return Ok(pages);
            }
            target.store((fresh * PAGE_SIZE) | PRESENT | WRITABLE | USER, Ordering::Release);
        }
        // SAFETY: the child's lock is held.
        let to: &[AtomicU64; ENTRIES] = unsafe { table(pfn(target.load(Ordering::Relaxed))) };
        Ok(copy_entries(some, &to[index(chunk.start, 0)..], cow, lowered))
    }

    /// Returns whether a dirty bit was cleared.
    pub(super) fn scan_chunk(&self, chunk: &Chunk, clean: bool, f: &mut dyn FnMut(UserVa, u64, bool)) -> bool {
        let some = match self.entries(chunk) {
            Entries::Nothing => return false,
            Entries::Large(slot) => {
                let entry = if clean { slot.fetch_and(!DIRTY, Ordering::AcqRel) } else { slot.load(Ordering::Relaxed) };
                for page in 0..ENTRIES as u64 {
                    f(UserVa::new(chunk.start + page * PAGE_SIZE), pfn(entry) + page, entry & DIRTY != 0);
                }
                return clean && entry & DIRTY != 0;
            }
            Entries::Small { some, .. } => some,
        };
        let mut cleaned = false;
        for (page, slot) in some.iter().enumerate() {
            let mut entry = slot.load(Ordering::Relaxed);
            if !is_mapped(entry) {
                continue;
            }
            if clean && entry & DIRTY != 0 {
                entry = slot.fetch_and(!DIRTY, Ordering::AcqRel);
                cleaned = true;
            }
            f(UserVa::new(chunk.start + page as u64 * PAGE_SIZE), pfn(entry), entry & DIRTY != 0);
        }
        cleaned
    }
}

/// What `UserPageTable::entries` found.
enum Entries<'a> {
    Nothing,
    Large(&'a AtomicU64),
    Small { slot: &'a AtomicU64, some: &'a [AtomicU64] },
}

/// Takes write permission from an entry for COW; returns the entry as it is to be copied.
#[inline]
fn lower(slot: &AtomicU64, cow: bool, lowered: &mut bool) -> u64 {
    let entry = slot.load(Ordering::Relaxed);
    if cow && entry & WRITABLE != 0 {
        *lowered = true;
        return slot.fetch_and(!WRITABLE, Ordering::AcqRel) & !WRITABLE;
    }
    entry
}

/// Copies entries with a reference each; entries that map nothing are written as zero.
fn copy_entries(from: &[AtomicU64], to: &[AtomicU64], cow: bool, lowered: &mut bool) -> usize {
    let mut pages = 0;
    for (from, to) in from.iter().zip(to) {
        let entry = lower(from, cow, lowered);
        if entry & (PRESENT | HELD) == 0 {
            to.store(0, Ordering::Relaxed);
            continue;
        }
        frame::get(pfn(entry));
        to.store(entry & !DIRTY, Ordering::Relaxed);
        pages += 1;
    }
    pages
}
