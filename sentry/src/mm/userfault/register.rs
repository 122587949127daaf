//! Which areas a userfaultfd answers for.

use super::{Userfault, raw};
use crate::errno::Errno;
use crate::mm::address_space::AddressSpace;
use crate::mm::areas::{Areas, MIN_ADDRESS};
use crate::mm::vma::{Backing, Vma};
use crate::platform::{Frame, Translation, platform};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bitflags::bitflags;
use linker::addr::UserVa;
use linker::layout::{PAGE_SIZE, USER_END};

bitflags! {
    /// What it is asked for: UFFDIO_REGISTER_MODE_*.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Modes: u32 {
        /// Pages that are nowhere.
        const MISSING = raw::UFFDIO_REGISTER_MODE_MISSING;
        /// Writes to pages that it protects.
        const PROTECT = raw::UFFDIO_REGISTER_MODE_WP;
        /// Pages of shared memory that are not mapped here.
        const MINOR = raw::UFFDIO_REGISTER_MODE_MINOR;
    }
}

/// Of an area: who answers for it, and for what.
#[derive(Clone)]
pub(in crate::mm) struct Registration {
    pub(in crate::mm) by: Arc<Userfault>,
    pub(in crate::mm) modes: Modes,
}

impl PartialEq for Registration {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.by, &other.by) && self.modes == other.modes
    }
}

/// EINVAL for what is no range of pages that could be mapped. Returns its end.
pub fn check_range(start: u64, len: u64) -> Result<u64, Errno> {
    let aligned = start.is_multiple_of(PAGE_SIZE) && len.is_multiple_of(PAGE_SIZE);
    if !aligned || len == 0 || !(MIN_ADDRESS..USER_END).contains(&start) || len > USER_END - start {
        return Err(Errno::EINVAL);
    }
    Ok(start + len)
}

/// Whether there is a way to answer for such an area: private anonymous and shared memory, tmpfs.
fn can_be_answered(vma: &Vma, modes: Modes) -> bool {
    match &vma.backing {
        Backing::Anonymous => !modes.contains(Modes::MINOR),
        Backing::File(file) => {
            !file.mapping.has_source() && file.file.as_ref().is_none_or(|file| file.ops().mapping(0).is_none())
        }
        Backing::Special { .. } => false,
    }
}

/// The areas of `[start, end)`; ENOMEM where nothing is mapped from there on, EINVAL where nothing is in between.
fn found(areas: &Areas, start: u64, end: u64) -> Result<impl Iterator<Item = &Vma>, Errno> {
    let first = areas.find_above(start).ok_or(Errno::ENOMEM)?;
    if first.start >= end { Err(Errno::EINVAL) } else { Ok(areas.overlapping(start, end)) }
}

impl Userfault {
    /// UFFDIO_REGISTER: answers for what is mapped in `[start, start + len)`.
    pub fn register(self: &Arc<Self>, start: u64, len: u64, modes: Modes) -> Result<(), Errno> {
        let end = check_range(start, len)?;
        let mm = self.space().map_err(|_| Errno::ENOMEM)?;
        let mut areas = mm.areas.write();
        for vma in found(&areas, start, end)? {
            if !can_be_answered(vma, modes) {
                return Err(Errno::EINVAL);
            }
            if !vma.may.write {
                return Err(Errno::EPERM);
            }
            if vma.userfault.as_ref().is_some_and(|other| !Arc::ptr_eq(&other.by, self)) {
                return Err(Errno::EBUSY);
            }
        }
        for vma in found(&areas, start, end)?.filter(|vma| matches!(vma.backing, Backing::Anonymous)) {
            drop_untouched(&mm, vma.start.max(start), vma.end.min(end));
        }
        let spare = areas.change(start, end, |vma| {
            let had = vma.userfault.as_ref().map_or(Modes::empty(), |registered| registered.modes);
            if !had.contains(modes) {
                vma.userfault = Some(Registration { by: self.clone(), modes });
            }
        });
        drop(areas);
        drop(spare);
        Ok(())
    }

    /// UFFDIO_UNREGISTER: nobody answers for what is mapped there any more; who waits goes on.
    pub fn unregister(&self, start: u64, len: u64) -> Result<(), Errno> {
        let end = check_range(start, len)?;
        let mm = self.space().map_err(|_| Errno::ENOMEM)?;
        let mut areas = mm.areas.write();
        for vma in found(&areas, start, end)? {
            let modes = vma.userfault.as_ref().map_or(Modes::empty(), |registered| registered.modes);
            if !can_be_answered(vma, modes) {
                return Err(Errno::EINVAL);
            }
        }
        let (spare, gone) = clear(&mm, &mut areas, start, end);
        drop(areas);
        drop(spare);
        // As Linux: who waits for write protection to end has to be woken by hand.
        for (registered, start, end) in gone.into_iter().filter(|(had, ..)| had.modes.contains(Modes::MISSING)) {
            registered.by.wake(start, end);
        }
        Ok(())
    }
}

/// Takes away the pages that a fault made beside the one that was wanted, and that nobody has touched since: the userfaultfd is to be
/// asked about them.
fn drop_untouched(mm: &AddressSpace, start: u64, end: u64) {
    let mut clean = Vec::new();
    mm.table.scan(UserVa::new(start), UserVa::new(end), false, &mut |va, _, dirty| {
        clean.extend((!dirty).then_some(va));
    });
    for va in clean {
        // What the kernel wrote, by way of the frame, shows in the content alone.
        let untouched = |there: Translation| there.prot.write && !there.dirty && is_zero(&there.frame);
        if mm.table.translate(va).is_some_and(untouched) {
            mm.drop_mapped(va.raw(), va.raw() + PAGE_SIZE);
        }
    }
}

fn is_zero(frame: &Frame) -> bool {
    let mut bytes = [0; 512];
    (0..PAGE_SIZE as usize).step_by(bytes.len()).all(|offset| {
        platform().frame_read(frame, offset, &mut bytes);
        bytes.iter().all(|&byte| byte == 0)
    })
}

/// Takes the registrations of `[start, end)` away.
fn clear(mm: &AddressSpace, areas: &mut Areas, start: u64, end: u64) -> (Vec<Vma>, Vec<(Registration, u64, u64)>) {
    let mut gone = Vec::new();
    let spare = areas.change(start, end, |vma| {
        mm.guards.remove(vma.start, vma.end);
        gone.extend(vma.userfault.take().map(|registered| (registered, vma.start, vma.end)));
    });
    (spare, gone)
}
