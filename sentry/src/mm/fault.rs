//! Page faults: making a page present for an access that its area allows.

use super::Mapping;
use super::address_space::{AddressSpace, MemoryFault};
use super::areas::STACK_GAP;
use super::mapping::PageError;
use super::reclaim::{alloc_frame, with_room};
use super::userfault::Userfault;
use super::vma::{Backing, FileBacking, Vma, VmaFlags};
use crate::platform::{Access, Frame, Prot, Translation, platform};
use crate::task::Current;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use linker::addr::UserVa;
use linker::layout::{LARGE_PAGE_SIZE, PAGE_SIZE, USER_END};
use linux_raw_sys::general::UFFD_PAGEFAULT_FLAG_MINOR;

/// Pages around a faulting one that are mapped with it if they are cached.
const AROUND: u64 = 16;
/// Pages that a fault in anonymous memory makes where its program writes upwards. Python's start has 1,063 pages written or read:
/// with 8, half of its faults are left, for 9 % more pages; with 16, 42 % for 14 %.
const AHEAD: usize = 8;
/// A private file mapping of at most this size is taken for a program's data, of which most pages are written soon: Python writes
/// 300 of its 318 pages before it runs a line.
const DATA_SEGMENT: u64 = 4 << 20;

/// How a look at a fault under the lock ended.
enum Step {
    Done,
    /// An entry is there after all: look at it.
    Present,
    /// The file's page is not cached: read it, then look again.
    Read(Arc<Mapping>, u64),
    /// A page has to be copied, which needs the lock alone.
    Copy,
    /// Nothing is mapped there; a stack above may grow.
    Grow,
    /// A userfaultfd has to be asked, and with which flags.
    Ask((Arc<Userfault>, u32)),
}

/// The page of zeroes that reads of untouched memory see.
pub(in crate::mm) fn zero_frame() -> Result<Frame, MemoryFault> {
    static ZERO: spin::Once<Frame> = spin::Once::new();
    ZERO.try_call_once(|| alloc_frame(true)).cloned().map_err(MemoryFault::from)
}

impl AddressSpace {
    /// Makes the page at `address` present for an `access` of the kernel's. May block (file pages, userfaultfds). Called with
    /// no lock held.
    pub fn fault(&self, address: UserVa, access: Access) -> Result<(), MemoryFault> {
        self.bring_in(address, access, false, None)
    }

    /// The same for an access of the program's own, by what the CPU says whether an entry is `present`: a signal ends its wait for
    /// a userfaultfd, and it tries again.
    pub fn user_fault(
        &self,
        current: &Current,
        address: UserVa,
        access: Access,
        present: bool,
    ) -> Result<(), MemoryFault> {
        self.bring_in(address, access, !present, Some(current))
    }

    fn bring_in(
        &self,
        address: UserVa,
        access: Access,
        mut absent: bool,
        user: Option<&Current>,
    ) -> Result<(), MemoryFault> {
        let page = address.page_floor().raw();
        if page >= USER_END {
            return Err(MemoryFault::NotMapped);
        }
        // A page of shared memory that this fault made is nobody's to ask about.
        let mut made = false;
        loop {
            let step = {
                let areas = self.areas.read();
                match areas.find(page) {
                    None => Step::Grow,
                    Some(vma) if !vma.allows(access) => return Err(MemoryFault::NotAllowed),
                    Some(vma) => match self.wanting(vma, page, access) {
                        Some(question) if !made || question.1 & UFFD_PAGEFAULT_FLAG_MINOR == 0 => Step::Ask(question),
                        _ => self.resolve(vma, page, access, absent)?,
                    },
                }
            };
            match step {
                Step::Done => return Ok(()),
                Step::Present => absent = false,
                Step::Read(mapping, index) => {
                    mapping.frame(index, access == Access::Write).map_err(|error| match error {
                        PageError::BeyondEnd | PageError::Source(_) => MemoryFault::BeyondEnd,
                        PageError::NoMemory => MemoryFault::OutOfMemory,
                    })?;
                    made = true;
                    if let Some(calls) = user.and_then(|current| current.task.calls()) {
                        calls.skip_exits();
                    }
                }
                Step::Copy => self.copy_page(page)?,
                Step::Grow => self.grow_stack(page)?,
                Step::Ask(question) => {
                    self.ask(question, address, access, user)?;
                    if user.is_some() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Looks at one fault; the areas are being read. `absent`: the CPU saw no entry, so most likely there is none.
    fn resolve(&self, vma: &Vma, page: u64, access: Access, absent: bool) -> Result<Step, MemoryFault> {
        let va = UserVa::new(page);
        if !absent && let Some(there) = self.table.translate(va) {
            return self.resolve_present(vma, page, access, there);
        }
        // A page that is write-protected before it is there comes in read-only, and the write faults again.
        let access = if access == Access::Write && self.is_guarded(vma, page) { Access::Read } else { access };
        match &vma.backing {
            Backing::Anonymous => self.map_anonymous(vma, va, access),
            Backing::File(file) if vma.is_shared() => self.map_shared(vma, file, page, access),
            Backing::File(file) => self.map_private(vma, file, page, access),
            Backing::Special { frames, .. } => {
                let frame = frames.get(vma.page_index(page) as usize).ok_or(MemoryFault::BeyondEnd)?;
                // Everybody's frame: never writable, whatever mprotect said. A write comes back and gets a copy.
                self.add_page(va, frame.clone(), Prot { write: false, ..vma.prot })
            }
        }
    }

    /// Adds a page where none is. Where one is, and the CPU did not see it, another thread was quicker, or the entry allows nothing.
    #[inline]
    fn add_page(&self, va: UserVa, frame: Frame, prot: Prot) -> Result<Step, MemoryFault> {
        let added = self.table.map_if_absent(va, frame, prot)?;
        Ok(self.added(usize::from(added)))
    }

    /// Counts pages that were added; none at all: something was there.
    #[inline]
    fn added(&self, pages: usize) -> Step {
        self.add_resident(pages as u64);
        if pages == 0 { Step::Present } else { Step::Done }
    }

    fn map_anonymous(&self, vma: &Vma, va: UserVa, access: Access) -> Result<Step, MemoryFault> {
        if access != Access::Write {
            return self.add_page(va, zero_frame()?, Prot { write: false, ..vma.prot });
        }
        let block = va.raw() / LARGE_PAGE_SIZE * LARGE_PAGE_SIZE;
        if vma.start <= block
            && block + LARGE_PAGE_SIZE <= vma.end
            && !vma.flags.intersects(VmaFlags::NO_HUGE | VmaFlags::GROWS_DOWN)
            && self.table.map_large_zeroed(UserVa::new(block), vma.prot) == Ok(true)
        {
            return Ok(self.added((LARGE_PAGE_SIZE / PAGE_SIZE) as usize));
        }
        // Whoever counts the pages, one by one, gets one. Another area's page below says nothing.
        let alone = va.raw() == vma.start
            || vma.userfault.is_some()
            || vma.flags.intersects(VmaFlags::RANDOM | VmaFlags::NO_HUGE);
        let most = if alone { 1 } else { AHEAD.min(((vma.end - va.raw()) / PAGE_SIZE) as usize) };
        Ok(self.added(with_room(|| self.table.map_zeroed(va, most, vma.prot))?))
    }

    fn map_shared(&self, vma: &Vma, file: &FileBacking, page: u64, access: Access) -> Result<Step, MemoryFault> {
        if access == Access::Write {
            let index = vma.page_index(page);
            let Some(frame) = file.mapping.cached(index, true) else {
                return Ok(Step::Read(file.mapping.clone(), index));
            };
            file.note_written();
            return self.add_page(UserVa::new(page), frame, vma.prot);
        }
        // A page with a source stays read-only until it is marked dirty by a write fault.
        let free = !file.mapping.has_source() && !self.is_guarded(vma, page);
        self.map_cached(vma, file, page, Prot { write: vma.prot.write && free, ..vma.prot })
    }

    fn map_private(&self, vma: &Vma, file: &FileBacking, page: u64, access: Access) -> Result<Step, MemoryFault> {
        if access != Access::Write {
            return self.map_cached(vma, file, page, Prot { write: false, ..vma.prot });
        }
        let index = vma.page_index(page);
        let Some(frame) = file.mapping.cached(index, false) else {
            return Ok(Step::Read(file.mapping.clone(), index));
        };
        let copy = alloc_frame(false)?;
        platform().frame_copy(&frame, &copy);
        file.note_copy();
        self.add_page(UserVa::new(page), copy, vma.prot)
    }

    /// Maps a page of a file, and cached neighbours too: they will be wanted soon, and a fault costs more.
    fn map_cached(&self, vma: &Vma, file: &FileBacking, page: u64, prot: Prot) -> Result<Step, MemoryFault> {
        let alone = vma.flags.contains(VmaFlags::RANDOM) || vma.is_watched();
        let window = if alone { PAGE_SIZE } else { AROUND * PAGE_SIZE };
        let start = (page / window * window).max(vma.start);
        let end = (page / window * window).saturating_add(window).min(vma.end);
        let (first, count) = (vma.page_index(start), (end - start) / PAGE_SIZE);
        let index = vma.page_index(page);
        let mapped = file.mapping.look(|cached| {
            cached
                .holds(index)
                .then(|| self.table.map_run(UserVa::new(start), count as usize, prot, &mut cached.frames(first)))
        });
        match mapped {
            None => Ok(Step::Read(file.mapping.clone(), index)),
            Some(pages) => Ok(self.added(pages?)),
        }
    }

    /// A page is there, but its entry does not allow the access (or another thread was quicker).
    fn resolve_present(&self, vma: &Vma, page: u64, access: Access, there: Translation) -> Result<Step, MemoryFault> {
        let va = UserVa::new(page);
        let allowed = match access {
            Access::Read => there.prot != super::vma::NONE,
            Access::Write => there.prot.write,
            Access::Execute => there.prot.execute,
        };
        if allowed {
            return Ok(Step::Done);
        }
        let next = UserVa::new(page + PAGE_SIZE);
        if access != Access::Write {
            self.table.protect(va, next, vma.prot, vma.copies_on_write());
            return Ok(Step::Done);
        }
        match &vma.backing {
            Backing::File(file) if vma.is_shared() => match file.mapping.cached(vma.page_index(page), true) {
                Some(frame) if frame == there.frame => {
                    file.note_written();
                    self.table.protect(va, next, vma.prot, false);
                    Ok(Step::Done)
                }
                // The file was truncated: what took the page away is about to unmap it here.
                _ => Err(MemoryFault::BeyondEnd),
            },
            _ => {
                drop(there);
                Ok(if self.table.reclaim_exclusive(va, vma.prot) { Step::Done } else { Step::Copy })
            }
        }
    }

    /// Gives a private page a frame of its own. Alone: two threads that both copied would lose what the first one wrote.
    fn copy_page(&self, page: u64) -> Result<(), MemoryFault> {
        let va = UserVa::new(page);
        let areas = self.areas.write();
        let Some(vma) = areas.find(page).filter(|vma| vma.prot.write && !vma.is_shared()) else { return Ok(()) };
        let Some(there) = self.table.translate(va).filter(|there| !there.prot.write) else { return Ok(()) };
        if self.is_guarded(vma, page) {
            return Ok(());
        }
        let copy = if there.frame == zero_frame()? {
            alloc_frame(true)?
        } else {
            let copy = alloc_frame(false)?;
            platform().frame_copy(&there.frame, &copy);
            copy
        };
        self.table.map(va, copy, vma.prot)?;
        if let Backing::File(file) = &vma.backing {
            file.note_copy();
            self.copy_around(vma, file, page)?;
        }
        Ok(())
    }

    /// A page of a program's data was copied: so are its neighbours, as far as they are still the file's own.
    fn copy_around(&self, vma: &Vma, file: &FileBacking, page: u64) -> Result<(), MemoryFault> {
        if vma.end - vma.start > DATA_SEGMENT
            || vma.is_watched()
            || vma.flags.intersects(VmaFlags::RANDOM | VmaFlags::NO_HUGE)
        {
            return Ok(());
        }
        const WINDOW: u64 = AHEAD as u64 * PAGE_SIZE;
        let start = (page / WINDOW * WINDOW).max(vma.start);
        let end = (page / WINDOW * WINDOW).saturating_add(WINDOW).min(vma.end);
        for page in (start..end).step_by(PAGE_SIZE as usize) {
            let va = UserVa::new(page);
            let Some(there) = self.table.translate(va).filter(|there| !there.prot.write) else { continue };
            if file.mapping.cached(vma.page_index(page), false).is_some_and(|cached| cached == there.frame) {
                let copy = alloc_frame(false)?;
                platform().frame_copy(&there.frame, &copy);
                self.table.map(va, copy, vma.prot)?;
            }
        }
        Ok(())
    }

    /// Writes within one private page, whatever its area allows, through a frame of its own.
    pub(in crate::mm) fn force_private(&self, at: UserVa, bytes: &[u8]) -> Result<(), MemoryFault> {
        let va = at.page_floor();
        loop {
            self.fault(va, Access::Read)?;
            let areas = self.areas.write();
            let vma = areas.find(va.raw()).ok_or(MemoryFault::NotMapped)?;
            if vma.is_shared() {
                return Err(MemoryFault::NotAllowed);
            }
            let Some(there) = self.table.translate(va) else { continue };
            // Its own already: the entry's reference and this one.
            let frame = if platform().frame_references(&there.frame) == 2 {
                there.frame
            } else {
                let copy = alloc_frame(false)?;
                platform().frame_copy(&there.frame, &copy);
                if let Backing::File(file) = &vma.backing {
                    file.note_copy();
                }
                self.table.map(va, copy.clone(), Prot { write: false, ..vma.prot })?;
                copy
            };
            platform().frame_write(&frame, at.page_offset() as usize, bytes);
            return Ok(());
        }
    }

    /// Grows the stack above `page` down to it, within RLIMIT_STACK and away from what lies below.
    fn grow_stack(&self, page: u64) -> Result<(), MemoryFault> {
        let mut areas = self.areas.write();
        let Some(vma) = areas.find_above(page).filter(|vma| vma.grows_down() || vma.start <= page) else {
            return Err(MemoryFault::NotMapped);
        };
        if vma.start <= page {
            // Another thread was quicker.
            return Ok(());
        }
        let (start, size) = (vma.start, vma.end - page);
        if size > self.stack_limit.load(Ordering::Relaxed) {
            return Err(MemoryFault::NotMapped);
        }
        let below = areas.before(start);
        if below.is_some_and(|vma| !vma.grows_down() && vma.accessible() && page.saturating_sub(vma.end) < STACK_GAP) {
            return Err(MemoryFault::NotMapped);
        }
        areas.grow_down(start, page);
        Ok(())
    }
}
