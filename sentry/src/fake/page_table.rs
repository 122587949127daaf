//! A page table as a map.

use crate::platform::{Access, Frame, NoMemory, PageTable, Prot, Translation, platform};
use linker::addr::UserVa;
use linker::layout::{LARGE_PAGE_SIZE, PAGE_SIZE};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::vec::Vec;

struct Entry {
    frame: Frame,
    prot: Prot,
    dirty: bool,
}

/// Entries by page address.
#[derive(Default)]
pub(super) struct FakeTable {
    entries: Mutex<BTreeMap<u64, Entry>>,
}

fn allows(prot: Prot, access: Access) -> bool {
    // x86: whatever is mapped for user mode at all can be read.
    match access {
        Access::Read => prot.read || prot.write || prot.execute,
        Access::Write => prot.write,
        Access::Execute => prot.execute,
    }
}

fn aligned(start: UserVa, end: UserVa) -> core::ops::Range<u64> {
    assert!(start.is_page_aligned() && end.is_page_aligned(), "{start:?}..{end:?} is not page-aligned");
    assert!(end.raw() <= linker::layout::USER_END, "{end:?} is not in the user half");
    start.raw()..end.raw().max(start.raw())
}

fn small(va: UserVa) -> u64 {
    aligned(va, UserVa::new(va.raw() + PAGE_SIZE)).start
}

impl FakeTable {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<u64, Entry>> {
        self.entries.lock().expect("page table")
    }

    /// The frame at `va` if it may be accessed so; marks a write.
    pub(super) fn access(&self, va: UserVa, access: Access) -> Option<Frame> {
        let mut entries = self.entries();
        let entry = entries.get_mut(&va.page_floor().raw()).filter(|entry| allows(entry.prot, access))?;
        entry.dirty |= access == Access::Write;
        Some(entry.frame.clone())
    }
}

impl PageTable for FakeTable {
    fn map(&self, va: UserVa, frame: Frame, prot: Prot) -> Result<(), NoMemory> {
        let old = self.entries().insert(small(va), Entry { frame, prot, dirty: false });
        drop(old);
        Ok(())
    }

    fn map_large_zeroed(&self, va: UserVa, prot: Prot) -> Result<bool, NoMemory> {
        assert!(va.raw().is_multiple_of(LARGE_PAGE_SIZE), "{va:?} is not 2 MiB-aligned");
        let range = aligned(va, UserVa::new(va.raw() + LARGE_PAGE_SIZE));
        if !super::machine().large_pages() || self.entries().range(range.clone()).next().is_some() {
            return Ok(false);
        }
        for page in range.step_by(PAGE_SIZE as usize) {
            self.map(UserVa::new(page), platform().alloc_frame(true)?, prot)?;
        }
        Ok(true)
    }

    fn map_if_absent(&self, va: UserVa, frame: Frame, prot: Prot) -> Result<bool, NoMemory> {
        let mut entries = self.entries();
        if entries.contains_key(&small(va)) {
            return Ok(false);
        }
        entries.insert(small(va), Entry { frame, prot, dirty: false });
        Ok(true)
    }

    fn map_zeroed(&self, va: UserVa, most: usize, prot: Prot) -> Result<usize, NoMemory> {
        let below = va.raw().checked_sub(PAGE_SIZE).and_then(|below| self.translate(UserVa::new(below)));
        let most = if below.is_some_and(|below| below.prot.write) { most } else { 1 };
        for mapped in 0..most {
            let at = UserVa::new(va.raw() + mapped as u64 * PAGE_SIZE);
            if mapped > 0 && at.raw().is_multiple_of(LARGE_PAGE_SIZE)
                || !self.map_if_absent(at, platform().alloc_frame(true)?, prot)?
            {
                return Ok(mapped);
            }
        }
        Ok(most)
    }

    fn map_run<'a>(
        &self,
        va: UserVa,
        count: usize,
        prot: Prot,
        frame: &mut dyn FnMut(usize) -> Option<&'a Frame>,
    ) -> Result<usize, NoMemory> {
        let end = va.raw() + count as u64 * PAGE_SIZE;
        assert!(count > 0 && va.raw() / LARGE_PAGE_SIZE == (end - 1) / LARGE_PAGE_SIZE, "a run over a 2 MiB boundary");
        let mut mapped = 0;
        for (n, at) in (va.raw()..end).step_by(PAGE_SIZE as usize).enumerate() {
            if self.translate(UserVa::new(at)).is_none()
                && let Some(frame) = frame(n)
            {
                mapped += usize::from(self.map_if_absent(UserVa::new(at), frame.clone(), prot)?);
            }
        }
        Ok(mapped)
    }

    fn unmap(&self, start: UserVa, end: UserVa) -> usize {
        let range = aligned(start, end);
        let gone: Vec<Entry> = {
            let mut entries = self.entries();
            let pages: Vec<u64> = entries.range(range).map(|(page, _)| *page).collect();
            pages.iter().filter_map(|page| entries.remove(page)).collect()
        };
        gone.len()
    }

    fn protect(&self, start: UserVa, end: UserVa, prot: Prot, cow: bool) {
        for (_, entry) in self.entries().range_mut(aligned(start, end)) {
            entry.prot = Prot { write: prot.write && (!cow || entry.prot.write), ..prot };
        }
    }

    fn translate(&self, va: UserVa) -> Option<Translation> {
        let entries = self.entries();
        let entry = entries.get(&va.page_floor().raw())?;
        Some(Translation { frame: entry.frame.clone(), prot: entry.prot, dirty: entry.dirty })
    }

    fn reclaim_exclusive(&self, va: UserVa, prot: Prot) -> bool {
        let mut entries = self.entries();
        match entries.get_mut(&va.page_floor().raw()) {
            Some(entry) if platform().frame_references(&entry.frame) == 1 => {
                entry.prot = prot;
                true
            }
            _ => false,
        }
    }

    fn fork_into(&self, child: &dyn PageTable, start: UserVa, end: UserVa, cow: bool) -> Result<usize, NoMemory> {
        let child = child.as_any().downcast_ref::<Self>().expect("a fake page table");
        let mut copied = 0;
        for (page, entry) in self.entries().range_mut(aligned(start, end)) {
            entry.prot.write &= !cow;
            let copy = Entry { frame: entry.frame.clone(), prot: entry.prot, dirty: entry.dirty };
            child.entries().insert(*page, copy);
            copied += 1;
        }
        Ok(copied)
    }

    fn relocate(&self, from: UserVa, to: UserVa, len: u64) -> Result<(), NoMemory> {
        let range = aligned(from, UserVa::new(from.raw() + len));
        let target = aligned(to, UserVa::new(to.raw() + len));
        let mut entries = self.entries();
        assert!(entries.range(target.clone()).next().is_none(), "the target of a move is not empty");
        let pages: Vec<u64> = entries.range(range.clone()).map(|(page, _)| *page).collect();
        for page in pages {
            if let Some(entry) = entries.remove(&page) {
                entries.insert(page - range.start + target.start, entry);
            }
        }
        Ok(())
    }

    fn scan(&self, start: UserVa, end: UserVa, clean: bool, f: &mut dyn FnMut(UserVa, u64, bool)) {
        let mut entries = self.entries();
        for (page, entry) in entries.range_mut(aligned(start, end)) {
            f(UserVa::new(*page), entry.frame.pfn(), entry.dirty);
            entry.dirty &= !clean;
        }
    }

    fn as_any(&self) -> &dyn core::any::Any {
        self
    }
}
