//! mremap and remap_file_pages: growing, shrinking and moving areas.

use super::address_space::{AddressSpace, Bounds};
use super::areas::{Areas, max_areas};
use super::map::{MapRequest, Object, Place, may_commit, may_grow};
use super::userfault::{Notice, tell};
use super::vma::{Backing, Vma, VmaFlags};
use crate::errno::Errno;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linker::addr::UserVa;
use linker::layout::{PAGE_SIZE, USER_END};
use linux_raw_sys::general::UFFD_FEATURE_EVENT_REMAP;

/// How an area may move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Move {
    /// It may not.
    Never,
    /// Where it cannot grow in place (MREMAP_MAYMOVE).
    Anywhere,
    /// To this address (MREMAP_FIXED), in place of what is there.
    To(u64),
}

/// What a change leaves for when the lock is released: areas to drop, userfaultfds to tell.
#[derive(Default)]
struct Gone {
    areas: Vec<Vma>,
    notices: Vec<Notice>,
    /// To be told last: what was unmapped at the old place.
    late: Vec<Notice>,
}

impl AddressSpace {
    /// mremap(2). `keep`: MREMAP_DONTUNMAP, the old area stays, empty. Lengths are as given.
    pub fn remap(
        self: &Arc<Self>,
        old: u64,
        old_len: u64,
        new_len: u64,
        how: Move,
        keep: bool,
        bounds: &Bounds,
    ) -> Result<UserVa, Errno> {
        let round = |len: u64| len.checked_next_multiple_of(PAGE_SIZE).filter(|len| *len <= USER_END);
        let (Some(old_len), Some(new_len)) = (round(old_len), round(new_len)) else { return Err(Errno::EINVAL) };
        if !old.is_multiple_of(PAGE_SIZE) || new_len == 0 {
            return Err(Errno::EINVAL);
        }
        if old > USER_END || old_len > USER_END - old {
            return Err(Errno::EFAULT);
        }
        if let Move::To(to) = how {
            let inside = to % PAGE_SIZE == 0 && to <= USER_END - new_len && to >= super::areas::MIN_ADDRESS;
            if !inside || to < old + old_len && old < to + new_len {
                return Err(Errno::EINVAL);
            }
        }
        let mut gone = Gone::default();
        let mut areas = self.areas.write();
        let result = self.remap_locked(&mut areas, old, old_len, new_len, how, keep, bounds, &mut gone);
        drop(areas);
        drop(gone.areas);
        tell(gone.notices);
        tell(gone.late);
        let (at, populate) = result?;
        if let Some((start, end)) = populate {
            self.populate(start, end);
        }
        Ok(UserVa::new(at))
    }

    /// remap_file_pages(2): page `page` of what is mapped shared at `start`, and those after it, in place of what `[start, start + len)`
    /// shows; from then on an area of its own, as in Linux since 4.0. EINVAL unless one shared object covers all of it.
    pub fn remap_pages(self: &Arc<Self>, start: u64, len: u64, page: u64, bounds: &Bounds) -> Result<(), Errno> {
        let offset =
            page.checked_mul(PAGE_SIZE).filter(|at| at.checked_add(len).is_some_and(|end| end <= i64::MAX as u64));
        let request = {
            let areas = self.areas.read();
            let first = areas.find(start).filter(|vma| vma.is_shared()).ok_or(Errno::EINVAL)?;
            let end = start.checked_add(len).ok_or(Errno::EINVAL)?;
            let Backing::File(file) = &first.backing else { return Err(Errno::EINVAL) };
            let same = |vma: &Vma| {
                let object = matches!(&vma.backing, Backing::File(other) if file.same_object(other));
                object && vma.flags == first.flags && vma.prot == first.prot && vma.may == first.may
            };
            if !areas.covers(start, end) || !areas.overlapping(start, end).all(same) {
                return Err(Errno::EINVAL);
            }
            let object = Object::File {
                mapping: file.mapping.clone(),
                file: file.file.clone(),
                name: file.name.clone(),
                offset: offset.ok_or(Errno::EOVERFLOW)?,
            };
            MapRequest {
                may: first.may,
                object,
                shared: true,
                locked: first.flags.contains(VmaFlags::LOCKED),
                ..MapRequest::anonymous(Place::Fixed(start), len, first.prot)
            }
        };
        self.map(&request, bounds).map(drop)
    }

    #[allow(clippy::too_many_arguments)]
    fn remap_locked(
        self: &Arc<Self>,
        areas: &mut Areas,
        old: u64,
        old_len: u64,
        new_len: u64,
        how: Move,
        keep: bool,
        bounds: &Bounds,
        gone: &mut Gone,
    ) -> Result<(u64, Option<(u64, u64)>), Errno> {
        let mut old_len = old_len;
        let vma = areas.find(old).ok_or(Errno::EFAULT)?;
        if old_len == 0 && !vma.is_shared() {
            return Err(Errno::EINVAL);
        }
        areas.check_unsealed(old, old + old_len.max(1))?;
        if let Move::To(to) = how {
            if areas.len() + 3 >= max_areas() {
                return Err(Errno::ENOMEM);
            }
            areas.check_unsealed(to, to + new_len)?;
            let (cut, early) = self.cut_out(areas, to, to + new_len);
            gone.areas.extend(cut);
            gone.notices.extend(early);
        }
        if old_len > new_len {
            let (cut, late) = self.cut_out(areas, old + new_len, old + old_len);
            gone.areas.extend(cut);
            gone.late.extend(late);
            old_len = new_len;
        }
        if old_len == new_len && !matches!(how, Move::To(_)) && !keep {
            return Ok((old, None));
        }
        let vma = areas.find(old).ok_or(Errno::EFAULT)?;
        if vma.end - old < old_len {
            return Err(Errno::EFAULT);
        }
        let locked = vma.flags.contains(VmaFlags::LOCKED);
        let more = (new_len - old_len) / PAGE_SIZE;
        if more > 0 {
            if vma.flags.contains(VmaFlags::DONT_EXPAND) {
                return Err(Errno::EFAULT);
            }
            if let Backing::File(file) = &vma.backing {
                file.offset.checked_add(old - vma.start).and_then(|at| at.checked_add(new_len)).ok_or(Errno::EINVAL)?;
            }
            if locked && areas.locked_pages.saturating_add(more) > bounds.locked_pages {
                return Err(Errno::EAGAIN);
            }
            may_grow(areas, more, vma.is_data().then_some(more), bounds)?;
            if vma.is_data() && !vma.flags.contains(VmaFlags::NO_RESERVE) {
                may_commit(more)?;
            }
        }
        let grown = (old + old_len, old + new_len);
        let in_place = how != Move::Never || more > 0;
        if in_place
            && !matches!(how, Move::To(_))
            && !keep
            && old_len > 0
            && vma.end == old + old_len
            && areas.is_free(grown.0, more * PAGE_SIZE)
        {
            let mut tail = vma.clone();
            let whole = tail.split(old);
            areas.insert(whole_tail(&whole, grown.0, grown.1));
            gone.areas.extend(areas.merge(grown.0, grown.1));
            return Ok((old, locked.then_some(grown)));
        }
        let to = match how {
            Move::Never => return Err(Errno::ENOMEM),
            Move::To(to) => to,
            Move::Anywhere => {
                let top = areas.layout.mmap_base;
                areas
                    .free_below(top, new_len, vma.is_anonymous())
                    .or_else(|| areas.free_below(top, new_len, false))
                    .ok_or(Errno::ENOMEM)?
            }
        };
        self.move_area(areas, old, old_len, to, new_len, keep, gone)?;
        Ok((to, (locked && more > 0).then_some((to + old_len, to + new_len))))
    }

    /// Moves `[old, old + old_len)`, which lies in one area, to `to`, and lets it grow there.
    #[allow(clippy::too_many_arguments)]
    fn move_area(
        self: &Arc<Self>,
        areas: &mut Areas,
        old: u64,
        old_len: u64,
        to: u64,
        new_len: u64,
        keep: bool,
        gone: &mut Gone,
    ) -> Result<(), Errno> {
        let mut moved = {
            let vma = areas.find(old).ok_or(Errno::EFAULT)?;
            let mut lower = vma.clone();
            if lower.start < old { lower.split(old) } else { lower }
        }
        .moved(to, new_len);
        if let Backing::File(file) = &moved.backing {
            file.mapping.add_mapper(self);
        }
        gone.notices.extend(Notice::moved(&moved, old, to, old_len));
        let guarded = self.guards.within(old, old + old_len);
        self.guards.remove(old, old + old_len);
        if !moved.userfault.as_ref().is_some_and(|registered| registered.by.has(UFFD_FEATURE_EVENT_REMAP)) {
            moved.userfault = None;
        }
        if moved.userfault.is_some() {
            guarded.iter().for_each(|(start, end)| self.guards.add(start - old + to, end - old + to));
        }
        if old_len > 0 {
            self.table.relocate(UserVa::new(old), UserVa::new(to), old_len)?;
            if keep {
                // The old area stays, without its pages, and is not locked any more.
                gone.areas.extend(areas.change(old, old + old_len, |vma| {
                    vma.flags -= VmaFlags::LOCKED | VmaFlags::LOCK_ON_FAULT;
                }));
            } else {
                let left = areas.remove(old, old + old_len);
                gone.late.extend(Notice::unmapped(&left, old, old + old_len));
                gone.areas.extend(left);
            }
        }
        moved.flags -= VmaFlags::GROWS_DOWN;
        areas.insert(moved);
        gone.areas.extend(areas.merge(to, to + new_len));
        Ok(())
    }
}

/// The continuation `[start, end)` of an area that ends at `start`.
fn whole_tail(vma: &Vma, start: u64, end: u64) -> Vma {
    let mut longer = vma.moved(vma.start, end - vma.start);
    longer.split(start)
}
