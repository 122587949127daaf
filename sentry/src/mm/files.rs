//! The other direction: from a file's pages to where they are mapped here. Called by `Mapping`, with no lock held.

use super::Mapping;
use super::address_space::{AddressSpace, MemoryFault};
use super::vma::{Backing, Vma};
use crate::platform::{Frame, Prot};
use alloc::vec::Vec;
use linker::addr::UserVa;
use linker::layout::PAGE_SIZE;

/// Where pages `[first, end)` of `mapping` are in an area.
fn part(vma: &Vma, mapping: &Mapping, first: u64, end: u64) -> Option<(u64, u64)> {
    let Backing::File(file) = &vma.backing else { return None };
    if !core::ptr::eq(&*file.mapping, mapping) {
        return None;
    }
    let begin = file.offset / PAGE_SIZE;
    let (from, to) = (first.max(begin), end.min(begin + vma.pages()));
    (from < to).then(|| (vma.start + (from - begin) * PAGE_SIZE, vma.start + (to - begin) * PAGE_SIZE))
}

impl AddressSpace {
    /// Takes pages `[first, end)` of a file out of every mapping of it here. Private copies go too with `copies` (truncation);
    /// otherwise only those of the frames `gone` (sorted by frame number).
    pub(in crate::mm) fn unmap_file(&self, mapping: &Mapping, first: u64, end: u64, copies: bool, gone: &[u64]) {
        let areas = self.areas.write();
        for vma in areas.iter() {
            let Some((start, end)) = part(vma, mapping, first, end) else { continue };
            if vma.is_shared() || copies {
                self.drop_pages(start, end);
                continue;
            }
            let mut pages = Vec::new();
            self.table.scan(UserVa::new(start), UserVa::new(end), false, &mut |at, pfn, _| {
                if gone.binary_search(&pfn).is_ok() {
                    pages.push(at.raw());
                }
            });
            for page in pages {
                self.drop_pages(page, page + PAGE_SIZE);
            }
        }
    }

    /// Takes write permission from pages `[first, end)` of a file in every shared mapping of it here (write-back).
    pub(in crate::mm) fn protect_file(&self, mapping: &Mapping, first: u64, end: u64) {
        let areas = self.areas.write();
        for vma in areas.iter().filter(|vma| vma.is_shared() && vma.prot.write) {
            if let Some((start, end)) = part(vma, mapping, first, end) {
                let prot = Prot { write: false, ..vma.prot };
                self.table.protect(UserVa::new(start), UserVa::new(end), prot, true);
            }
        }
    }

    /// What a shared futex at `address` is keyed by: the shared object's number and the offset in it; `None` for private memory.
    pub fn shared_place(&self, address: UserVa) -> Result<Option<(u64, u64)>, MemoryFault> {
        let areas = self.areas.read();
        let vma = areas.find(address.raw()).ok_or(MemoryFault::NotMapped)?;
        match &vma.backing {
            Backing::File(file) if vma.is_shared() => {
                Ok(Some((file.mapping.id(), file.offset + (address.raw() - vma.start))))
            }
            _ => Ok(None),
        }
    }
}

/// The frame numbers of removed pages, sorted for `unmap_file`.
pub(in crate::mm) fn numbers(gone: &[(u64, Frame)]) -> Vec<u64> {
    let mut numbers: Vec<u64> = gone.iter().map(|(_, frame)| frame.pfn()).collect();
    numbers.sort_unstable();
    numbers
}
