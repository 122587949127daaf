//! madvise, msync, mincore and the mlock family: what programs say about memory they have.

use super::Mapping;
use super::address_space::{AddressSpace, Bounds, MemoryFault};
use super::userfault::{Notice, tell};
use super::vma::{Backing, Vma, VmaFlags};
use crate::errno::Errno;
use crate::platform::Access;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linker::addr::UserVa;
use linker::layout::PAGE_SIZE;
use linux_raw_sys::general as raw;

/// A part of a file that is mapped: from and to in bytes of the file.
type FilePart = (Arc<Mapping>, u64, u64);

impl AddressSpace {
    /// madvise(2) on `[start, end)`, not empty. Advice that Linux does not know either is EINVAL.
    pub fn advise(&self, start: u64, end: u64, advice: u32) -> Result<(), Errno> {
        match self.advice_ends(start, end, advice) {
            None => self.advise_unsealed(start, end, advice),
            Some(sealed) if sealed == start => Err(Errno::EPERM),
            // What comes before has had it by then, gap or not.
            Some(sealed) => match self.advise_unsealed(start, sealed, advice) {
                Ok(()) | Err(Errno::ENOMEM) => Err(Errno::EPERM),
                other => other,
            },
        }
    }

    fn advise_unsealed(&self, start: u64, end: u64, advice: u32) -> Result<(), Errno> {
        match advice {
            raw::MADV_NORMAL => self.set_flags(start, end, VmaFlags::empty(), VmaFlags::SEQUENTIAL | VmaFlags::RANDOM),
            raw::MADV_SEQUENTIAL => self.set_flags(start, end, VmaFlags::SEQUENTIAL, VmaFlags::RANDOM),
            raw::MADV_RANDOM => self.set_flags(start, end, VmaFlags::RANDOM, VmaFlags::SEQUENTIAL),
            raw::MADV_DONTFORK => self.set_flags(start, end, VmaFlags::DONT_FORK, VmaFlags::empty()),
            raw::MADV_DOFORK => self.set_flags(start, end, VmaFlags::empty(), VmaFlags::DONT_FORK),
            raw::MADV_DONTDUMP => self.set_flags(start, end, VmaFlags::DONT_DUMP, VmaFlags::empty()),
            raw::MADV_DODUMP => self.set_flags(start, end, VmaFlags::empty(), VmaFlags::DONT_DUMP),
            raw::MADV_HUGEPAGE => self.set_flags(start, end, VmaFlags::HUGE, VmaFlags::NO_HUGE),
            raw::MADV_NOHUGEPAGE => self.set_flags(start, end, VmaFlags::NO_HUGE, VmaFlags::HUGE),
            raw::MADV_MERGEABLE => self.set_flags(start, end, VmaFlags::MERGEABLE, VmaFlags::empty()),
            raw::MADV_UNMERGEABLE => self.set_flags(start, end, VmaFlags::empty(), VmaFlags::MERGEABLE),
            raw::MADV_WIPEONFORK => {
                if self.any(start, end, |vma| !vma.is_anonymous()) {
                    return Err(Errno::EINVAL);
                }
                self.set_flags(start, end, VmaFlags::WIPE_ON_FORK, VmaFlags::empty())
            }
            raw::MADV_KEEPONFORK => self.set_flags(start, end, VmaFlags::empty(), VmaFlags::WIPE_ON_FORK),
            raw::MADV_DONTNEED => self.discard(start, end, false),
            raw::MADV_DONTNEED_LOCKED => self.discard(start, end, true),
            raw::MADV_FREE => {
                if self.any(start, end, |vma| !vma.is_anonymous()) {
                    return Err(Errno::EINVAL);
                }
                // Pages that were written to and are not needed: gone at once is one of the times Linux may choose.
                self.discard(start, end, false)
            }
            raw::MADV_REMOVE => self.punch(start, end),
            raw::MADV_WILLNEED => self.covered(start, end),
            raw::MADV_COLD | raw::MADV_PAGEOUT => {
                if self.any(start, end, |vma| vma.flags.contains(VmaFlags::LOCKED)) {
                    return Err(Errno::EINVAL);
                }
                self.covered(start, end)
            }
            raw::MADV_POPULATE_READ => self.populate_or_fail(start, end, Access::Read),
            raw::MADV_POPULATE_WRITE => self.populate_or_fail(start, end, Access::Write),
            _ => Err(Errno::EINVAL),
        }
    }

    fn any(&self, start: u64, end: u64, pick: impl Fn(&Vma) -> bool) -> bool {
        self.areas.read().overlapping(start, end).any(pick)
    }

    /// ENOMEM where part of the range is not mapped.
    fn covered(&self, start: u64, end: u64) -> Result<(), Errno> {
        if self.areas.read().covers(start, end) { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// Changes flags of what is mapped; ENOMEM in the end where part of the range is not.
    fn set_flags(&self, start: u64, end: u64, on: VmaFlags, off: VmaFlags) -> Result<(), Errno> {
        let mut areas = self.areas.write();
        let covered = areas.covers(start, end);
        let spare = areas.change(start, end, |vma| {
            vma.flags -= off;
            vma.flags |= on;
        });
        drop(areas);
        drop(spare);
        if covered { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// MADV_DONTNEED: private pages become zero or the file's again; shared ones are only unmapped.
    fn discard(&self, start: u64, end: u64, locked_too: bool) -> Result<(), Errno> {
        if self.any(start, end, |vma| vma.flags.contains(VmaFlags::LOCKED) && !locked_too) {
            return Err(Errno::EINVAL);
        }
        self.tell_removed(start, end);
        let areas = self.areas.write();
        let covered = areas.covers(start, end);
        for vma in areas.overlapping(start, end) {
            let (start, end) = (vma.start.max(start), vma.end.min(end));
            if vma.is_anonymous() { self.drop_pages(start, end) } else { self.drop_mapped(start, end) }
        }
        if covered { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// Tells the userfaultfds of what is about to be emptied.
    fn tell_removed(&self, start: u64, end: u64) {
        let areas = self.areas.read();
        let removed = areas.overlapping(start, end).filter_map(|vma| Notice::removed(vma, start, end));
        let notices: Vec<Notice> = removed.collect();
        drop(areas);
        tell(notices);
    }

    /// The mapped parts of files in `[start, end)` that `pick` names; ENOMEM in the end where part of the range is not mapped.
    fn file_parts(&self, start: u64, end: u64, pick: impl Fn(&Vma) -> bool) -> (Vec<FilePart>, Result<(), Errno>) {
        let areas = self.areas.read();
        let mut parts = Vec::new();
        for vma in areas.overlapping(start, end).filter(|vma| pick(vma)) {
            if let Backing::File(file) = &vma.backing {
                let from = file.offset + (vma.start.max(start) - vma.start);
                parts.push((file.mapping.clone(), from, from + (vma.end.min(end) - vma.start.max(start))));
            }
        }
        let covered = areas.covers(start, end);
        (parts, if covered { Ok(()) } else { Err(Errno::ENOMEM) })
    }

    /// MADV_REMOVE: punches holes in shared memory.
    fn punch(&self, start: u64, end: u64) -> Result<(), Errno> {
        if self.any(start, end, |vma| vma.flags.contains(VmaFlags::LOCKED)) {
            return Err(Errno::EINVAL);
        }
        let fit = |vma: &Vma| vma.is_shared() && vma.may.write && matches!(&vma.backing, Backing::File(_));
        if self.any(start, end, |vma| !matches!(&vma.backing, Backing::File(_))) {
            return Err(Errno::EINVAL);
        }
        if self.any(start, end, |vma| !fit(vma)) {
            return Err(Errno::EACCES);
        }
        let (parts, covered) = self.file_parts(start, end, fit);
        self.tell_removed(start, end);
        if parts.iter().any(|(mapping, _, _)| mapping.has_source()) {
            return Err(Errno::EOPNOTSUPP);
        }
        for (mapping, from, to) in parts {
            mapping.punch_hole(from, to);
        }
        covered
    }

    fn populate_or_fail(&self, start: u64, end: u64, access: Access) -> Result<(), Errno> {
        let mut at = start;
        while at < end {
            self.fault(UserVa::new(at), access).map_err(|fault| match fault {
                MemoryFault::NotMapped | MemoryFault::OutOfMemory => Errno::ENOMEM,
                MemoryFault::NotAllowed => Errno::EINVAL,
                MemoryFault::BeyondEnd => Errno::EFAULT,
            })?;
            at += PAGE_SIZE;
        }
        Ok(())
    }

    /// msync(2): writes the shared files in `[start, end)` back, with `wait`; `invalidate` fails on locked areas.
    pub fn sync(&self, start: u64, end: u64, wait: bool, invalidate: bool) -> Result<(), Errno> {
        if invalidate && self.any(start, end, |vma| vma.flags.contains(VmaFlags::LOCKED)) {
            return Err(Errno::EBUSY);
        }
        let (parts, covered) = self.file_parts(start, end, Vma::is_shared);
        if wait {
            for (mapping, from, to) in parts {
                mapping.write_back(from, to)?;
            }
        }
        covered
    }

    /// mincore(2): one byte a page, bit 0 for resident. ENOMEM where part of the range is not mapped.
    pub fn in_core(&self, start: u64, pages: usize) -> Result<Vec<u8>, Errno> {
        let end =
            (pages as u64).checked_mul(PAGE_SIZE).and_then(|bytes| start.checked_add(bytes)).ok_or(Errno::ENOMEM)?;
        self.covered(start, end)?;
        let mut resident = alloc::vec![0; pages];
        self.table.scan(UserVa::new(start), UserVa::new(end), false, &mut |at, _, _| {
            if let Some(byte) = resident.get_mut(((at.raw() - start) / PAGE_SIZE) as usize) {
                *byte = 1;
            }
        });
        let (parts, _) = {
            let areas = self.areas.read();
            let mut parts = Vec::new();
            for vma in areas.overlapping(start, end) {
                if let Backing::File(file) = &vma.backing {
                    let at = vma.start.max(start);
                    parts.push((file.mapping.clone(), vma.page_index(at), at, vma.end.min(end)));
                }
            }
            (parts, ())
        };
        for (mapping, first, from, to) in parts {
            let bytes = resident
                .iter_mut()
                .skip(((from - start) / PAGE_SIZE) as usize)
                .take(((to - from) / PAGE_SIZE) as usize);
            mapping.look(|cached| {
                for (index, byte) in (first..).zip(bytes) {
                    *byte |= u8::from(cached.holds(index));
                }
            });
        }
        Ok(resident)
    }

    /// mlock(2), mlock2(2): locks `[start, end)` and brings it in, unless `on_fault`.
    pub fn lock_pages(&self, start: u64, end: u64, on_fault: bool, bounds: &Bounds) -> Result<(), Errno> {
        let mut areas = self.areas.write();
        let already: u64 = areas
            .overlapping(start, end)
            .filter(|vma| vma.flags.contains(VmaFlags::LOCKED))
            .map(|vma| (vma.end.min(end) - vma.start.max(start)) / PAGE_SIZE)
            .sum();
        let wanted = (end - start) / PAGE_SIZE - already;
        if areas.locked_pages.saturating_add(wanted) > bounds.locked_pages {
            return Err(Errno::ENOMEM);
        }
        let covered = areas.covers(start, end);
        let spare = areas.change(start, end, |vma| {
            vma.flags |= VmaFlags::LOCKED;
            vma.flags.set(VmaFlags::LOCK_ON_FAULT, on_fault);
        });
        drop(areas);
        drop(spare);
        if !covered {
            return Err(Errno::ENOMEM);
        }
        if !on_fault {
            self.populate(start, end);
        }
        Ok(())
    }

    /// munlock(2).
    pub fn unlock_pages(&self, start: u64, end: u64) -> Result<(), Errno> {
        self.set_flags(start, end, VmaFlags::empty(), VmaFlags::LOCKED | VmaFlags::LOCK_ON_FAULT)
    }

    /// mlockall(2) with `MCL_*` flags, or munlockall(2) with none.
    pub fn lock_all(&self, flags: u32, bounds: &Bounds) -> Result<(), Errno> {
        let mut areas = self.areas.write();
        let (now, on_fault) = (flags & raw::MCL_CURRENT != 0, flags & raw::MCL_ONFAULT != 0);
        if now && areas.total_pages > bounds.locked_pages {
            return Err(Errno::ENOMEM);
        }
        let mut lock = VmaFlags::LOCKED;
        lock.set(VmaFlags::LOCK_ON_FAULT, on_fault);
        areas.future = if flags & raw::MCL_FUTURE != 0 { lock } else { VmaFlags::empty() };
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        let mut spare = Vec::new();
        if now || flags == 0 {
            spare = areas.change(0, linker::layout::USER_END, |vma| {
                vma.flags -= VmaFlags::LOCKED | VmaFlags::LOCK_ON_FAULT;
                if now && !vma.flags.contains(VmaFlags::DONT_EXPAND) {
                    vma.flags |= lock;
                }
            });
        }
        if now && !on_fault {
            ranges.extend(areas.iter().map(|vma| (vma.start, vma.end)));
        }
        drop(areas);
        drop(spare);
        for (start, end) in ranges {
            self.populate(start, end);
        }
        Ok(())
    }
}
