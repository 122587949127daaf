//! mmap, munmap, mprotect and brk: changes of the areas.

use super::Mapping;
use super::address_space::{AddressSpace, Bounds};
use super::areas::{Areas, MIN_ADDRESS, STACK_GAP, max_areas};
use super::userfault::tell;
use super::vma::{Backing, FileBacking, Vma, VmaFlags};
use crate::errno::Errno;
use crate::fs::OpenFile;
use crate::platform::{Access, Frame, Prot, platform};
use alloc::sync::Arc;
use alloc::vec::Vec;
use linker::addr::UserVa;
use linker::layout::{LARGE_PAGE_SIZE, PAGE_SIZE, USER_END};

/// Where a mapping goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Anywhere, there if that is free (0: anywhere).
    Hint(u64),
    /// There, in place of what is there.
    Fixed(u64),
    /// There, if that is free.
    FixedFree(u64),
    /// In the lowest 2 GiB (MAP_32BIT).
    Low,
}

/// What is mapped.
#[derive(Clone)]
pub enum Object {
    /// Private zero pages.
    Anonymous,
    /// A file from an offset on, or shared memory (no file, a name for `/proc/PID/maps`).
    File {
        /// Its pages.
        mapping: Arc<Mapping>,
        /// The open file.
        file: Option<Arc<OpenFile>>,
        /// The name where there is no file.
        name: Option<Arc<[u8]>>,
        /// Page-aligned.
        offset: u64,
    },
    /// Frames of the sentry's.
    Special(&'static str, Arc<[Frame]>),
}

/// A mapping to be made.
#[derive(Clone)]
pub struct MapRequest {
    /// Where.
    pub place: Place,
    /// Bytes; a multiple of the page size, not 0.
    pub len: u64,
    /// What it allows.
    pub prot: Prot,
    /// What mprotect may make it allow.
    pub may: Prot,
    /// What.
    pub object: Object,
    /// MAP_SHARED.
    pub shared: bool,
    /// MAP_GROWSDOWN.
    pub grows_down: bool,
    /// MAP_NORESERVE.
    pub no_reserve: bool,
    /// MAP_LOCKED.
    pub locked: bool,
    /// MAP_STACK: small pages.
    pub stack: bool,
}

/// Everything allowed.
pub const ALL: Prot = Prot { read: true, write: true, execute: true };

impl MapRequest {
    /// Private anonymous memory.
    pub fn anonymous(place: Place, len: u64, prot: Prot) -> Self {
        Self {
            place,
            len,
            prot,
            may: ALL,
            object: Object::Anonymous,
            shared: false,
            grows_down: false,
            no_reserve: false,
            locked: false,
            stack: false,
        }
    }

    /// A private mapping of a file.
    pub fn private_file(place: Place, len: u64, prot: Prot, file: &Arc<OpenFile>, offset: u64) -> Result<Self, Errno> {
        let mapping = file.inode().mapping()?;
        let object = Object::File { mapping, file: Some(file.clone()), name: None, offset };
        Ok(Self { object, ..Self::anonymous(place, len, prot) })
    }
}

/// Lowest and end of what MAP_32BIT gives, as Linux's `find_start_end`.
const LOW_START: u64 = 0x4000_0000;
const LOW_END: u64 = 0x8000_0000;

impl AddressSpace {
    /// Makes a mapping; returns its address.
    pub fn map(self: &Arc<Self>, request: &MapRequest, bounds: &Bounds) -> Result<UserVa, Errno> {
        let len = request.len;
        if len == 0 || !len.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        if len > USER_END {
            return Err(Errno::ENOMEM);
        }
        let (mut gone, mut notices) = (Vec::new(), Vec::new());
        let mut areas = self.areas.write();
        if areas.len() >= max_areas() {
            return Err(Errno::ENOMEM);
        }
        let start = choose(&areas, request)?;
        let replaces = matches!(request.place, Place::Fixed(_));
        if replaces {
            areas.check_unsealed(start, start + len)?;
        }
        let vma = new_area(&areas, request, start);
        // What is replaced does not count against the limits.
        let freed: u64 = if replaces { overlap(&areas, start, start + len, |_| true) } else { 0 };
        let freed_data = if replaces { overlap(&areas, start, start + len, Vma::is_data) } else { 0 };
        may_grow(
            &areas,
            vma.pages().saturating_sub(freed),
            vma.is_data().then_some(vma.pages().saturating_sub(freed_data)),
            bounds,
        )?;
        if vma.flags.contains(VmaFlags::LOCKED) && areas.locked_pages.saturating_add(vma.pages()) > bounds.locked_pages
        {
            return Err(Errno::EAGAIN);
        }
        if vma.is_data() && !request.no_reserve {
            may_commit(vma.pages())?;
        }
        if replaces {
            (gone, notices) = self.cut_out(&mut areas, start, start + len);
        }
        let populate = vma.flags.contains(VmaFlags::LOCKED) && !vma.flags.contains(VmaFlags::LOCK_ON_FAULT);
        if let Backing::File(file) = &vma.backing {
            file.mapping.add_mapper(self);
        }
        areas.insert(vma);
        if request.place == Place::Hint(0) {
            areas.note_placed(start, len);
        }
        let spare = areas.merge(start, start + len);
        drop(areas);
        drop((gone, spare));
        tell(notices);
        if populate {
            self.populate(start, start + len);
        }
        Ok(UserVa::new(start))
    }

    /// A free range of `len` bytes, where a mapping without a hint would go.
    pub(in crate::mm) fn free_range(&self, len: u64) -> Option<u64> {
        let areas = self.areas.read();
        areas.free_below(areas.layout.mmap_base, len, false)
    }

    /// Brings the pages of `[start, end)` in, as far as that goes: for writing where private and writable.
    pub fn populate(&self, start: u64, end: u64) {
        let mut at = start;
        while at < end {
            let access = {
                let areas = self.areas.read();
                let Some(vma) = areas.find(at) else { return };
                if vma.prot.write && !vma.is_shared() {
                    Access::Write
                } else if vma.accessible() {
                    Access::Read
                } else {
                    return;
                }
            };
            if self.fault(UserVa::new(at), access).is_err() {
                return;
            }
            at += PAGE_SIZE;
            if at.is_multiple_of(LARGE_PAGE_SIZE) {
                // A long way: others may want to run.
                platform().preempt();
            }
        }
    }

    /// Removes what is mapped in `[start, start + len)`.
    pub fn unmap(&self, start: UserVa, len: u64) -> Result<(), Errno> {
        let start = start.raw();
        if !start.is_multiple_of(PAGE_SIZE) || len == 0 || start > USER_END || len > USER_END - start {
            return Err(Errno::EINVAL);
        }
        let end = start + len.next_multiple_of(PAGE_SIZE);
        let mut areas = self.areas.write();
        areas.check_unsealed(start, end)?;
        // Cutting a hole makes one more area.
        if areas.len() >= max_areas() && areas.find(start).is_some_and(|vma| vma.start < start && vma.end > end) {
            return Err(Errno::ENOMEM);
        }
        let (gone, notices) = self.cut_out(&mut areas, start, end);
        drop(areas);
        drop(gone);
        tell(notices);
        Ok(())
    }

    /// Changes what `[start, end)` allows. `grows`: PROT_GROWSDOWN, the change begins at the start of the stack area.
    pub fn protect(&self, start: u64, end: u64, prot: Prot, grows: bool, bounds: &Bounds) -> Result<(), Errno> {
        let mut areas = self.areas.write();
        let mut start = start;
        if grows {
            let vma = areas.find_above(start).filter(|vma| vma.start < end).ok_or(Errno::ENOMEM)?;
            if !vma.grows_down() {
                return Err(Errno::EINVAL);
            }
            start = vma.start;
        }
        if areas.len() + 2 > max_areas() {
            return Err(Errno::ENOMEM);
        }
        // As Linux: what comes before a gap or a forbidden area is changed, then the call fails.
        let mut at = start;
        let mut result = Ok(());
        let mut more_data = 0;
        for vma in areas.overlapping(start, end) {
            if vma.start > at {
                result = Err(Errno::ENOMEM);
                break;
            }
            let excess = |wanted: bool, may: bool| wanted && !may;
            if excess(prot.read, vma.may.read)
                || excess(prot.write, vma.may.write)
                || excess(prot.execute, vma.may.execute)
            {
                result = Err(Errno::EACCES);
                break;
            }
            if vma.is_sealed() {
                result = Err(Errno::EPERM);
                break;
            }
            if prot.write && !vma.prot.write && !vma.is_shared() && !vma.grows_down() {
                let pages = (vma.end.min(end) - vma.start.max(start)) / PAGE_SIZE;
                if !vma.flags.contains(VmaFlags::NO_RESERVE) && may_commit(pages).is_err() {
                    result = Err(Errno::ENOMEM);
                    break;
                }
                more_data += pages;
                if may_grow(&areas, 0, Some(more_data), bounds).is_err() {
                    result = Err(Errno::ENOMEM);
                    break;
                }
            }
            at = vma.end.min(end);
        }
        if at < end && result.is_ok() {
            result = Err(Errno::ENOMEM);
        }
        let spare = if at > start { self.change_prot(&mut areas, start, at, prot) } else { Vec::new() };
        drop(areas);
        drop(spare);
        result
    }

    fn change_prot(&self, areas: &mut Areas, start: u64, end: u64, prot: Prot) -> Vec<Vma> {
        areas.change(start, end, |vma| {
            if vma.prot != prot {
                vma.prot = prot;
                let (from, to) = (UserVa::new(vma.start), UserVa::new(vma.end));
                self.table.protect(from, to, prot, vma.copies_on_write());
            }
        })
    }

    /// brk(2): the new end of the heap, or the old one where it cannot be had.
    pub fn set_brk(self: &Arc<Self>, wanted: u64, bounds: &Bounds) -> u64 {
        let mut areas = self.areas.write();
        let layout = areas.layout;
        let old = layout.brk;
        if wanted < layout.start_brk || wanted > USER_END - PAGE_SIZE {
            return old;
        }
        let data = (wanted - layout.start_brk).saturating_add(layout.end_data.saturating_sub(layout.start_data));
        if data > bounds.data {
            return old;
        }
        let (old_end, new_end) = (old.next_multiple_of(PAGE_SIZE), wanted.next_multiple_of(PAGE_SIZE));
        let (mut gone, mut notices) = (Vec::new(), Vec::new());
        let mut locked = false;
        if new_end < old_end {
            if areas.check_unsealed(new_end, old_end).is_err() {
                return old;
            }
            (gone, notices) = self.cut_out(&mut areas, new_end, old_end);
        } else if new_end > old_end {
            let len = new_end - old_end;
            let request =
                MapRequest::anonymous(Place::Fixed(old_end), len, Prot { read: true, write: true, execute: false });
            let vma = new_area(&areas, &request, old_end);
            locked = vma.flags.contains(VmaFlags::LOCKED);
            let refused = !areas.is_free(old_end, len + PAGE_SIZE)
                || areas.len() >= max_areas()
                || may_grow(&areas, vma.pages(), Some(vma.pages()), bounds).is_err()
                || may_commit(vma.pages()).is_err()
                || locked && areas.locked_pages.saturating_add(vma.pages()) > bounds.locked_pages;
            if refused {
                return old;
            }
            areas.insert(vma);
            gone = areas.merge(old_end, new_end);
        }
        areas.layout.brk = wanted;
        drop(areas);
        drop(gone);
        tell(notices);
        if locked {
            self.populate(old_end, new_end);
        }
        wanted
    }
}

/// Pages of areas in `[start, end)` that `pick` names.
fn overlap(areas: &Areas, start: u64, end: u64, pick: impl Fn(&Vma) -> bool) -> u64 {
    let picked = areas.overlapping(start, end).filter(|vma| pick(vma));
    picked.map(|vma| (vma.end.min(end) - vma.start.max(start)) / PAGE_SIZE).sum()
}

/// ENOMEM where that many more pages (`data`: of these, private and writable) would exceed RLIMIT_AS or RLIMIT_DATA.
pub(in crate::mm) fn may_grow(areas: &Areas, pages: u64, data: Option<u64>, bounds: &Bounds) -> Result<(), Errno> {
    let too_much = areas.total_pages.saturating_add(pages) > bounds.total_pages
        || data.is_some_and(|data| areas.data_pages.saturating_add(data) > bounds.data / PAGE_SIZE);
    if too_much { Err(Errno::ENOMEM) } else { Ok(()) }
}

/// Linux's default overcommit heuristic: only what obviously never fits is refused.
pub fn may_commit(pages: u64) -> Result<(), Errno> {
    if pages > crate::settings::commit_pages() { Err(Errno::ENOMEM) } else { Ok(()) }
}

fn new_area(areas: &Areas, request: &MapRequest, start: u64) -> Vma {
    let mut flags = areas.future;
    flags.set(VmaFlags::SHARED, request.shared);
    flags.set(VmaFlags::GROWS_DOWN, request.grows_down);
    flags.set(VmaFlags::NO_RESERVE, request.no_reserve);
    flags.set(VmaFlags::NO_HUGE, request.stack);
    if request.locked {
        flags |= VmaFlags::LOCKED;
    }
    let backing = match &request.object {
        Object::Anonymous => Backing::Anonymous,
        Object::File { mapping, file, name, offset } => {
            let writable = request.shared && request.may.write;
            Backing::File(FileBacking::new(mapping.clone(), file.clone(), name.clone(), *offset, writable))
        }
        Object::Special(name, frames) => {
            flags = VmaFlags::DONT_EXPAND;
            Backing::Special { name, frames: frames.clone(), first: 0 }
        }
    };
    Vma { start, end: start + request.len, prot: request.prot, may: request.may, flags, backing, userfault: None }
}

/// The address for a new mapping.
fn choose(areas: &Areas, request: &MapRequest) -> Result<u64, Errno> {
    let len = request.len;
    let fixed = |at: u64| {
        if !at.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        if at > USER_END - len {
            return Err(Errno::ENOMEM);
        }
        if at < MIN_ADDRESS { Err(Errno::EPERM) } else { Ok(at) }
    };
    match request.place {
        Place::Fixed(at) => fixed(at),
        Place::FixedFree(at) => {
            let at = fixed(at)?;
            if areas.overlapping(at, at + len).next().is_some() { Err(Errno::EEXIST) } else { Ok(at) }
        }
        Place::Low => areas.free_above(LOW_START, LOW_END, len).ok_or(Errno::ENOMEM),
        Place::Hint(hint) => {
            let hint = hint / PAGE_SIZE * PAGE_SIZE;
            let below = areas.before(hint).map_or(0, |vma| vma.end);
            let room = if request.grows_down { STACK_GAP } else { 0 };
            if hint >= MIN_ADDRESS && areas.is_free(hint, len) && below.saturating_add(room) <= hint {
                return Ok(hint);
            }
            let large = matches!(request.object, Object::Anonymous) && !request.stack && !request.grows_down;
            let top = areas.layout.mmap_base;
            let found = areas.free_below(top, len, large).or_else(|| areas.free_below(top, len, false));
            // Bottom-up, as a last resort, as Linux: from a third of the user half on.
            found.or_else(|| areas.free_above(USER_END / 3 / PAGE_SIZE * PAGE_SIZE, USER_END, len)).ok_or(Errno::ENOMEM)
        }
    }
}
