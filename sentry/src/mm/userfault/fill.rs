//! The answers: pages that are filled in, mapped or write-protected.

use super::register::{Modes, check_range};
use super::{Userfault, raw, this_task};
use crate::errno::Errno;
use crate::mm::address_space::AddressSpace;
use crate::mm::areas::Areas;
use crate::mm::fault::zero_frame;
use crate::mm::reclaim::alloc_frame;
use crate::mm::vma::{Backing, Vma};
use crate::platform::{Access, Frame, Prot, platform};
use crate::task::Current;
use core::sync::atomic::Ordering;
use linker::addr::UserVa;
use linker::layout::{LARGE_PAGE_SIZE, PAGE_SIZE};

/// How far an answer came: bytes, or why not even one page.
pub type Filled = Result<u64, Errno>;

impl Userfault {
    /// UFFDIO_COPY: pages with the content of `source`. `protect`: they are write-protected at once.
    pub fn copy(&self, current: &Current, to: u64, source: u64, len: u64, protect: bool) -> Filled {
        self.fill(to, len, |mm, page| {
            mm.check_target(to, len, protect)?;
            let frame = alloc_frame(false)?;
            let from = UserVa::new(source.wrapping_add(page - to));
            copy_page_in(current, from, &frame)?;
            mm.place(to, len, page, Some(frame), protect)
        })
    }

    /// UFFDIO_ZEROPAGE.
    pub fn zero(&self, start: u64, len: u64) -> Filled {
        self.fill(start, len, |mm, page| mm.place(start, len, page, None, false))
    }

    /// UFFDIO_CONTINUE: maps pages of shared memory that are there.
    pub fn map_present(&self, start: u64, len: u64) -> Filled {
        self.fill(start, len, |mm, page| mm.place_cached(start, len, page))
    }

    /// Page after page, as far as it goes.
    fn fill(&self, start: u64, len: u64, mut one: impl FnMut(&AddressSpace, u64) -> Result<(), Errno>) -> Filled {
        let end = check_range(start, len)?;
        let mm = self.space()?;
        let mut at = start;
        while at < end {
            let result = if self.changing.load(Ordering::Acquire) != 0 { Err(Errno::EAGAIN) } else { one(&mm, at) };
            match result {
                Ok(()) => at += PAGE_SIZE,
                Err(errno) if at == start => return Err(errno),
                Err(_) => break,
            }
            if at.is_multiple_of(LARGE_PAGE_SIZE) {
                platform().preempt();
                if this_task().is_some_and(|task| task.is_doomed()) {
                    break;
                }
            }
        }
        Ok(at - start)
    }

    /// Whether an event is under way: EAGAIN for who would fill in.
    pub fn check_changing(&self) -> Result<(), Errno> {
        if self.changing.load(Ordering::Acquire) == 0 { Ok(()) } else { Err(Errno::EAGAIN) }
    }

    /// UFFDIO_WRITEPROTECT: protects what is mapped in `[start, start + len)`, or no longer.
    pub fn protect(&self, start: u64, len: u64, on: bool) -> Result<(), Errno> {
        let end = check_range(start, len)?;
        let mm = self.space()?;
        let areas = mm.areas.write();
        self.check_changing()?;
        let vma = target(&areas, start, len)?;
        if !vma.userfault.as_ref().is_some_and(|registered| registered.modes.contains(Modes::PROTECT)) {
            return Err(Errno::ENOENT);
        }
        if !on {
            mm.guards.remove(start, end);
            return Ok(());
        }
        // Linux leaves marks for absent pages of files; for private ones on request.
        if !vma.is_anonymous() || self.has(raw::UFFD_FEATURE_WP_UNPOPULATED) {
            mm.guards.add(start, end);
        } else {
            let (mut from, mut to) = (start, start);
            mm.table.scan(UserVa::new(start), UserVa::new(end), false, &mut |at, _, _| {
                if at.raw() != to {
                    mm.guards.add(from, to);
                    from = at.raw();
                }
                to = at.raw() + PAGE_SIZE;
            });
            mm.guards.add(from, to);
        }
        mm.table.protect(UserVa::new(start), UserVa::new(end), Prot { write: false, ..vma.prot }, true);
        Ok(())
    }
}

/// Copies a page of user memory, which may fault.
fn copy_page_in(current: &Current, from: UserVa, frame: &Frame) -> Result<(), Errno> {
    let mut done = 0;
    current.retry(Access::Read, |platform| {
        let at = UserVa::new(from.raw().wrapping_add(done as u64));
        platform.frame_from_user(frame, done, at, PAGE_SIZE as usize - done).inspect_err(|fault| done += fault.done)
    })
}

/// The area that holds all of `[start, start + len)`, if a userfaultfd answers for it.
fn target(areas: &Areas, start: u64, len: u64) -> Result<&Vma, Errno> {
    let vma = areas.find(start).filter(|vma| vma.end - start >= len && vma.userfault.is_some());
    vma.ok_or(Errno::ENOENT)
}

impl AddressSpace {
    fn check_target(&self, start: u64, len: u64, protect: bool) -> Result<(), Errno> {
        let areas = self.areas.read();
        let vma = target(&areas, start, len)?;
        let modes = vma.userfault.as_ref().map_or(Modes::empty(), |registered| registered.modes);
        if protect && !modes.contains(Modes::PROTECT) { Err(Errno::EINVAL) } else { Ok(()) }
    }

    /// Puts a frame (none: zeroes) where no page is.
    fn place(&self, start: u64, len: u64, page: u64, frame: Option<Frame>, protect: bool) -> Result<(), Errno> {
        let areas = self.areas.write();
        let vma = target(&areas, start, len)?;
        let (va, index) = (UserVa::new(page), vma.page_index(page));
        let own = frame.is_some();
        let frame = match &vma.backing {
            Backing::File(file) if vma.is_shared() => {
                let frame = frame.map_or_else(|| alloc_frame(true), Ok)?;
                file.mapping.put_new(index, &frame)?;
                frame
            }
            backing => {
                if let Backing::File(file) = backing {
                    if index >= file.mapping.size().div_ceil(PAGE_SIZE) {
                        return Err(Errno::EFAULT);
                    }
                    file.note_copy();
                }
                frame.map_or_else(|| zero_frame().map_err(|_| Errno::ENOMEM), Ok)?
            }
        };
        if self.table.translate(va).is_some() {
            return Err(Errno::EEXIST);
        }
        let write = vma.prot.write && !protect && (own || vma.is_shared());
        if protect {
            self.guards.add(page, page + PAGE_SIZE);
        } else {
            self.guards.remove(page, page + PAGE_SIZE);
        }
        self.put_page(va, frame, Prot { write, ..vma.prot })
    }

    /// Maps a page of shared memory that is there.
    fn place_cached(&self, start: u64, len: u64, page: u64) -> Result<(), Errno> {
        let areas = self.areas.write();
        let vma = target(&areas, start, len)?;
        let Backing::File(file) = &vma.backing else { return Err(Errno::EINVAL) };
        let frame = file.mapping.cached(vma.page_index(page), false).ok_or(Errno::EFAULT)?;
        let write = vma.prot.write && vma.is_shared() && !self.is_guarded(vma, page);
        self.put_page(UserVa::new(page), frame, Prot { write, ..vma.prot })
    }

    fn put_page(&self, va: UserVa, frame: Frame, prot: Prot) -> Result<(), Errno> {
        if !self.table.map_if_absent(va, frame, prot)? {
            return Err(Errno::EEXIST);
        }
        self.add_resident(1);
        Ok(())
    }
}
