//! `UserPageTable`: one address space's tables. An entry owns a reference to its frame; a large page owns one to each of
//! its 512 frames, so splitting it changes no count.
//!
//! One lock a table. A CPU that loads the table sets its bit in `active` before it writes CR3, so that whoever clears an
//! entry and then looks at `active` knows every CPU that may still hold the translation. Frames are released only after
//! the flush; tables of the lowest level too.

use super::entry::{
    ADDRESS, DIRTY, ENTRIES, HELD, LARGE, PRESENT, USER, WRITABLE, flags, index, is_mapped, pfn, prot, span, table,
};
use super::kernel;
use super::leaf::{Chunk, chunks};
use crate::frame;
use crate::ipi;
use crate::lock::Lock;
use crate::percpu::cpu;
use crate::x86;
use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::{AtomicU64, Ordering};
use linker::addr::UserVa;
use linker::layout::{LARGE_PAGE_SIZE, PAGE_SIZE, USER_END};
use sentry::platform::{Frame, NoMemory, PageTable, Prot, Translation};

/// Flushing more pages than this one by one costs more than dropping everything.
const FLUSH_ONE_BY_ONE: usize = 16;
const TABLE_FLAGS: u64 = PRESENT | WRITABLE | USER;

/// A user address space's page tables.
pub struct UserPageTable {
    root: u64,
    lock: Lock<()>,
    /// CPUs whose CR3 holds this table.
    active: AtomicU64,
}

impl UserPageTable {
    /// An empty table with the kernel half in place.
    pub fn new() -> Result<Arc<Self>, NoMemory> {
        let root = frame::alloc_table(true)?;
        // SAFETY: just allocated as a table, and freed only by `drop`.
        kernel::copy_kernel_half(unsafe { table(root) });
        Ok(Arc::new(Self { root, lock: Lock::new(()), active: AtomicU64::new(0) }))
    }

    /// The table behind the sentry's handle.
    ///
    /// # Panics
    /// When the handle is of another implementation: a bug of the sentry.
    pub fn from_dyn(handle: Arc<dyn PageTable>) -> Arc<Self> {
        assert!(handle.as_any().is::<Self>(), "page table of another platform");
        // SAFETY: the type was checked, and the pointer came out of an `Arc` of that type.
        unsafe { Arc::from_raw(Arc::into_raw(handle).cast::<Self>()) }
    }

    /// Puts the table into this CPU's CR3.
    pub fn activate(&self) {
        self.active.fetch_or(1 << cpu().number.get(), Ordering::SeqCst);
        // SAFETY: the table has the kernel half, and `PerCpu::loaded` keeps it alive.
        unsafe { x86::set_cr3(self.root * PAGE_SIZE) };
    }

    /// This CPU has put something else into CR3.
    pub fn deactivate(&self) {
        self.active.fetch_and(!(1 << cpu().number.get()), Ordering::SeqCst);
    }

    /// The entry for `va` on the lowest level, if its table exists and `va` is not in a large page; with the large entry otherwise.
    pub(super) fn find(&self, va: u64) -> Found<'_> {
        // SAFETY: tables of this address space are freed only under the lock, which the caller holds, or by `drop`.
        let mut entries = unsafe { table(self.root) };
        for level in [3, 2, 1] {
            let slot = &entries[index(va, level)];
            let entry = slot.load(Ordering::Relaxed);
            if level == 1 && entry & LARGE != 0 {
                return Found::Large(slot);
            }
            if entry & PRESENT == 0 {
                return Found::Nothing(level);
            }
            // SAFETY: as above.
            entries = unsafe { table(pfn(entry)) };
        }
        Found::Small(&entries[index(va, 0)])
    }

    /// The slot for `va` in a table of level 1 (2 MiB an entry), making the tables above.
    pub(super) fn make_directory(&self, va: u64) -> Result<&AtomicU64, NoMemory> {
        // SAFETY: as in `find`.
        let mut entries = unsafe { table(self.root) };
        for level in [3, 2] {
            let slot = &entries[index(va, level)];
            if slot.load(Ordering::Relaxed) & PRESENT == 0 {
                slot.store((frame::alloc_table(true)? * PAGE_SIZE) | TABLE_FLAGS, Ordering::Release);
            }
            // SAFETY: as in `find`.
            entries = unsafe { table(pfn(slot.load(Ordering::Relaxed))) };
        }
        Ok(&entries[index(va, 1)])
    }

    /// The table of the lowest level for `va`, making it as needed; `None`: a large page is there.
    fn leaf(&self, va: u64) -> Result<Option<&[AtomicU64; ENTRIES]>, NoMemory> {
        let slot = self.make_directory(va)?;
        let mut entry = slot.load(Ordering::Relaxed);
        if !is_mapped(entry) {
            entry = (frame::alloc_table(true)? * PAGE_SIZE) | TABLE_FLAGS;
            slot.store(entry, Ordering::Release);
        } else if entry & LARGE != 0 {
            return Ok(None);
        }
        // SAFETY: as in `find`.
        Ok(Some(unsafe { table(pfn(entry)) }))
    }

    /// The slot for `va` on the lowest level, making tables and splitting a large page as needed.
    fn make(&self, va: u64) -> Result<&AtomicU64, NoMemory> {
        let slot = self.make_directory(va)?;
        let entry = slot.load(Ordering::Relaxed);
        if !is_mapped(entry) {
            slot.store((frame::alloc_table(true)? * PAGE_SIZE) | TABLE_FLAGS, Ordering::Release);
        } else if entry & LARGE != 0 {
            self.split(va, slot);
        }
        // SAFETY: as in `find`.
        let entries: &[AtomicU64; ENTRIES] = unsafe { table(pfn(slot.load(Ordering::Relaxed))) };
        Ok(&entries[index(va, 0)])
    }

    /// Replaces a large page by a table of 512 small ones with the same rights.
    pub(super) fn split(&self, va: u64, slot: &AtomicU64) {
        let small = frame::alloc_table_from_reserve();
        // SAFETY: just allocated as a table.
        let entries: &[AtomicU64; ENTRIES] = unsafe { table(small) };
        let mut large = slot.load(Ordering::Relaxed);
        loop {
            for (page, entry) in entries.iter().enumerate() {
                entry.store((large & !LARGE) + page as u64 * PAGE_SIZE, Ordering::Relaxed);
            }
            // The CPU may set the accessed and dirty bits meanwhile.
            match slot.compare_exchange(large, (small * PAGE_SIZE) | TABLE_FLAGS, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => large = now,
            }
        }
        self.flush(&[va]);
    }

    /// Drops the translations of these pages on every CPU that may have them.
    pub(super) fn flush(&self, pages: &[u64]) {
        let this = 1 << cpu().number.get();
        let active = self.active.load(Ordering::SeqCst);
        if active & this != 0 {
            pages.iter().for_each(|&va| x86::invlpg(va));
        }
        ipi::flush_others(active & !this);
    }

    /// Drops all translations of this address space, everywhere.
    pub(super) fn flush_all(&self) {
        let this = 1 << cpu().number.get();
        let active = self.active.load(Ordering::SeqCst);
        if active & this != 0 {
            // SAFETY: the same root again.
            unsafe { x86::set_cr3(x86::cr3()) };
        }
        ipi::flush_others(active & !this);
    }

    /// Drops the translations of a range, everywhere.
    pub(super) fn flush_range(&self, start: u64, end: u64) {
        let pages = ((end - start) / PAGE_SIZE) as usize;
        if pages > FLUSH_ONE_BY_ONE {
            return self.flush_all();
        }
        let mut list = [0; FLUSH_ONE_BY_ONE];
        for (page, va) in list.iter_mut().zip((start..end).step_by(PAGE_SIZE as usize)) {
            *page = va;
        }
        self.flush(&list[..pages]);
    }
}

/// What `find` found.
pub(super) enum Found<'a> {
    /// No table of the level below this one.
    Nothing(u32),
    /// The entry of a large page.
    Large(&'a AtomicU64),
    /// The entry of the lowest level; it may map nothing.
    Small(&'a AtomicU64),
}

impl PageTable for UserPageTable {
    fn map(&self, va: UserVa, frame: Frame, prot: Prot) -> Result<(), NoMemory> {
        let va = checked(va);
        let _tables = self.lock.lock();
        let slot = self.make(va)?;
        let old = slot.swap(new_entry(frame, prot), Ordering::AcqRel);
        if is_mapped(old) {
            if old & PRESENT != 0 {
                self.flush(&[va]);
            }
            frame::put(pfn(old));
        }
        Ok(())
    }

    fn map_large_zeroed(&self, va: UserVa, prot: Prot) -> Result<bool, NoMemory> {
        let va = checked(va);
        assert!(va.is_multiple_of(LARGE_PAGE_SIZE) && va + LARGE_PAGE_SIZE <= USER_END, "large page at {va:#x}");
        let _tables = self.lock.lock();
        let slot = self.make_directory(va)?;
        if slot.load(Ordering::Relaxed) != 0 || flags(prot) & PRESENT == 0 {
            return Ok(false);
        }
        let Some(first) = frame::alloc_user_large() else { return Ok(false) };
        slot.store((first * PAGE_SIZE) | flags(prot) | LARGE, Ordering::Release);
        Ok(true)
    }

    fn map_if_absent(&self, va: UserVa, frame: Frame, prot: Prot) -> Result<bool, NoMemory> {
        let va = checked(va);
        let _tables = self.lock.lock();
        let Some(entries) = self.leaf(va)? else { return Ok(false) };
        let slot = &entries[index(va, 0)];
        if is_mapped(slot.load(Ordering::Relaxed)) {
            return Ok(false);
        }
        slot.store(new_entry(frame, prot), Ordering::Release);
        Ok(true)
    }

    fn map_zeroed(&self, va: UserVa, most: usize, prot: Prot) -> Result<usize, NoMemory> {
        let va = checked(va);
        let _tables = self.lock.lock();
        let Some(entries) = self.leaf(va)? else { return Ok(0) };
        super::fill::zeroed(entries, index(va, 0), most, prot)
    }

    fn map_run<'a>(
        &self,
        va: UserVa,
        count: usize,
        prot: Prot,
        frame: &mut dyn FnMut(usize) -> Option<&'a Frame>,
    ) -> Result<usize, NoMemory> {
        let va = checked(va);
        let _tables = self.lock.lock();
        let Some(entries) = self.leaf(va)? else { return Ok(0) };
        Ok(super::fill::run(&entries[index(va, 0)..][..count], prot, frame))
    }

    fn unmap(&self, start: UserVa, end: UserVa) -> usize {
        let (start, end) = checked_range(start, end);
        let _tables = self.lock.lock();
        chunks(self, start, end).map(|chunk| self.unmap_chunk(&chunk)).sum()
    }

    fn protect(&self, start: UserVa, end: UserVa, prot: Prot, cow: bool) {
        let (start, end) = checked_range(start, end);
        let _tables = self.lock.lock();
        let mut lowered = false;
        for chunk in chunks(self, start, end) {
            lowered |= self.protect_chunk(&chunk, prot, cow);
        }
        if lowered {
            self.flush_range(start, end);
        }
    }

    fn translate(&self, va: UserVa) -> Option<Translation> {
        let va = va.raw();
        if va >= USER_END {
            return None;
        }
        let _tables = self.lock.lock();
        let (entry, offset) = match self.find(va) {
            Found::Nothing(_) => return None,
            Found::Large(slot) => (slot.load(Ordering::Relaxed), index(va, 0) as u64),
            Found::Small(slot) => (slot.load(Ordering::Relaxed), 0),
        };
        if !is_mapped(entry) {
            return None;
        }
        let number = pfn(entry) + offset;
        frame::get(number);
        Some(Translation { frame: Frame::adopt(number), prot: prot(entry), dirty: entry & DIRTY != 0 })
    }

    fn reclaim_exclusive(&self, va: UserVa, prot: Prot) -> bool {
        let va = checked(va);
        let _tables = self.lock.lock();
        if let Found::Large(slot) = self.find(va) {
            self.split(va, slot);
        }
        let Found::Small(slot) = self.find(va) else { return false };
        let mut old = slot.load(Ordering::Relaxed);
        loop {
            if !is_mapped(old) || frame::references(pfn(old)) != 1 {
                return false;
            }
            match slot.compare_exchange(old, old & (ADDRESS | DIRTY) | flags(prot), Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => old = now,
            }
        }
    }

    fn fork_into(&self, child: &dyn PageTable, start: UserVa, end: UserVa, cow: bool) -> Result<usize, NoMemory> {
        let (start, end) = checked_range(start, end);
        let child = child.as_any().downcast_ref::<Self>().expect("page table of another platform");
        let _tables = self.lock.lock();
        let _child = child.lock.lock();
        let mut pages = 0;
        let mut lowered = false;
        let result = chunks(self, start, end).try_for_each(|chunk| {
            pages += self.fork_chunk(child, &chunk, cow, &mut lowered)?;
            Ok(())
        });
        if lowered {
            self.flush_range(start, end);
        }
        result.map(|()| pages)
    }

    fn relocate(&self, from: UserVa, to: UserVa, len: u64) -> Result<(), NoMemory> {
        let (start, end) = checked_range(from, UserVa::new(from.raw().saturating_add(len)));
        let (target, _) = checked_range(to, UserVa::new(to.raw().saturating_add(len)));
        let _tables = self.lock.lock();
        // Every table that may be missing is made first, so that running out of memory moves nothing.
        for chunk in chunks(self, start, end) {
            if let Found::Large(slot) = self.find(chunk.start) {
                self.split(chunk.start, slot);
            }
            self.make(chunk.start - start + target)?;
            self.make(chunk.end - PAGE_SIZE - start + target)?;
        }
        for chunk in chunks(self, start, end) {
            for va in (chunk.start..chunk.end).step_by(PAGE_SIZE as usize) {
                let Found::Small(slot) = self.find(va) else { continue };
                let entry = slot.swap(0, Ordering::AcqRel);
                if is_mapped(entry) {
                    let old = self.make(va - start + target)?.swap(entry, Ordering::AcqRel);
                    assert!(!is_mapped(old), "relocation onto a mapped page");
                }
            }
        }
        self.flush_range(start, end);
        Ok(())
    }

    fn scan(&self, start: UserVa, end: UserVa, clean: bool, f: &mut dyn FnMut(UserVa, u64, bool)) {
        let (start, end) = checked_range(start, end);
        let _tables = self.lock.lock();
        let mut cleaned = false;
        for chunk in chunks(self, start, end) {
            cleaned |= self.scan_chunk(&chunk, clean, f);
        }
        if cleaned {
            self.flush_range(start, end);
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for UserPageTable {
    fn drop(&mut self) {
        assert!(self.active.load(Ordering::SeqCst) == 0, "an active page table is dropped");
        free_tables(self.root, 3, kernel::KERNEL_HALF);
    }
}

/// Frees a table with all that it maps and the tables below it. No CPU has it loaded, so there is nothing to flush.
fn free_tables(number: u64, level: u32, entries: usize) {
    // SAFETY: the address space is being dropped, so nobody else uses or frees its tables.
    for slot in unsafe { table(number) }.iter().take(entries) {
        let entry = slot.load(Ordering::Relaxed);
        if entry == 0 {
            continue;
        }
        match level {
            0 if is_mapped(entry) => frame::put(pfn(entry)),
            0 => {}
            1 if entry & LARGE != 0 => (pfn(entry)..pfn(entry) + ENTRIES as u64).for_each(frame::put),
            _ => free_tables(pfn(entry), level - 1, ENTRIES),
        }
    }
    frame::free_table(number);
}

fn new_entry(frame: Frame, prot: Prot) -> u64 {
    let number = frame.into_pfn();
    frame::check_user(number);
    (number * PAGE_SIZE) | flags(prot)
}

fn checked(va: UserVa) -> u64 {
    assert!(va.is_page_aligned() && va.raw() < USER_END, "not a user page: {va:?}");
    va.raw()
}

fn checked_range(start: UserVa, end: UserVa) -> (u64, u64) {
    let aligned = start.is_page_aligned() && end.is_page_aligned();
    assert!(aligned && start <= end && end.raw() <= USER_END, "not a user range: {start:?} to {end:?}");
    (start.raw(), end.raw())
}

const _: () = assert!(span(1) == LARGE_PAGE_SIZE && HELD & ADDRESS == 0);

impl Chunk {
    /// Whether the chunk is all of its 2 MiB.
    pub(super) fn is_whole(&self) -> bool {
        self.end - self.start == LARGE_PAGE_SIZE
    }
}
