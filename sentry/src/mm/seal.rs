//! mseal(2): areas that stay as they are until the program ends.

use super::address_space::AddressSpace;
use super::areas::Areas;
use super::vma::{Vma, VmaFlags};
use crate::errno::Errno;
use linux_raw_sys::general as raw;

impl Vma {
    pub(in crate::mm) fn is_sealed(&self) -> bool {
        self.flags.contains(VmaFlags::SEALED)
    }
}

impl Areas {
    /// EPERM where something in `[start, end)` is sealed.
    #[inline]
    pub(in crate::mm) fn check_unsealed(&self, start: u64, end: u64) -> Result<(), Errno> {
        if self.any_sealed && self.overlapping(start, end).any(Vma::is_sealed) { Err(Errno::EPERM) } else { Ok(()) }
    }
}

impl AddressSpace {
    /// Seals `[start, end)`, for good. ENOMEM, and nothing is done, where part of it is not mapped.
    pub fn seal(&self, start: u64, end: u64) -> Result<(), Errno> {
        let mut areas = self.areas.write();
        if !areas.covers(start, end) {
            return Err(Errno::ENOMEM);
        }
        areas.any_sealed = true;
        let spare = areas.change(start, end, |vma| vma.flags |= VmaFlags::SEALED);
        drop(areas);
        drop(spare);
        Ok(())
    }

    /// Where advice that loses what is in memory has to stop: at private memory that is sealed and may only be read.
    pub(in crate::mm) fn advice_ends(&self, start: u64, end: u64, advice: u32) -> Option<u64> {
        let loses = matches!(
            advice,
            raw::MADV_DONTNEED
                | raw::MADV_DONTNEED_LOCKED
                | raw::MADV_FREE
                | raw::MADV_REMOVE
                | raw::MADV_DONTFORK
                | raw::MADV_WIPEONFORK
        );
        let areas = self.areas.read();
        if !loses || !areas.any_sealed {
            return None;
        }
        let kept = |vma: &&Vma| vma.is_sealed() && vma.is_anonymous() && !vma.prot.write;
        areas.overlapping(start, end).find(kept).map(|vma| vma.start.max(start))
    }
}

#[cfg(test)]
mod tests {
    use crate::errno::Errno;
    use crate::fake::{current, read_user, write_user};
    use crate::mm::{Bounds, MapRequest, Move, Place};
    use crate::platform::Prot;
    use crate::task::{Current, Limits};
    use linker::addr::UserVa;
    use linux_raw_sys::general as raw;

    const PAGE: u64 = 4096;
    const AT: u64 = 0x4000_0000;
    const RW: Prot = Prot { read: true, write: true, execute: false };
    const RO: Prot = Prot { read: true, write: false, execute: false };

    fn bounds() -> Bounds {
        Bounds::new(&Limits::default(), true)
    }

    fn map(current: &Current, place: Place, pages: u64) -> Result<UserVa, Errno> {
        current.mm.map(&MapRequest::anonymous(place, pages * PAGE, RW), &bounds())
    }

    // Every answer here is Linux 6.18's.

    #[test]
    fn what_is_sealed_can_be_neither_unmapped_nor_replaced_nor_moved() {
        let current = current();
        map(&current, Place::Fixed(AT), 8).unwrap();
        current.mm.seal(AT + 2 * PAGE, AT + 4 * PAGE).unwrap();
        let refused = Err(Errno::EPERM);
        assert_eq!(current.mm.unmap(UserVa::new(AT), 8 * PAGE), refused);
        assert_eq!(map(&current, Place::Fixed(AT + 3 * PAGE), 2).map(drop), refused);
        assert_eq!(map(&current, Place::FixedFree(AT + 3 * PAGE), 2).map(drop), Err(Errno::EEXIST));
        for (from, new, how) in [(2, 1, Move::Never), (2, 4, Move::Anywhere), (2, 2, Move::Never), (1, 1, Move::Never)]
        {
            let moved = current.mm.remap(AT + from * PAGE, 2 * PAGE, new * PAGE, how, false, &bounds());
            assert_eq!(moved.map(drop), refused, "{from} {new}");
        }
        let onto = current.mm.remap(AT, PAGE, PAGE, Move::To(AT + 2 * PAGE), false, &bounds());
        assert_eq!(onto.map(drop), refused);
        write_user(&current, UserVa::new(AT), b"all");
        write_user(&current, UserVa::new(AT + 7 * PAGE), b"here");
    }

    #[test]
    fn protection_changes_up_to_what_is_sealed() {
        let current = current();
        map(&current, Place::Fixed(AT), 6).unwrap();
        current.mm.seal(AT + 2 * PAGE, AT + 4 * PAGE).unwrap();
        let protect =
            |from: u64, to: u64, prot| current.mm.protect(AT + from * PAGE, AT + to * PAGE, prot, false, &bounds());
        assert_eq!(protect(2, 3, RW), Err(Errno::EPERM));
        assert_eq!(protect(0, 6, RO), Err(Errno::EPERM));
        let writable: alloc::vec::Vec<bool> =
            current.mm.report().iter().filter(|area| area.start >= AT).map(|area| area.prot.write).collect();
        assert_eq!(writable, [false, true, true]);
    }

    #[test]
    fn advice_loses_nothing_that_is_sealed_and_read_only() {
        let current = current();
        map(&current, Place::Fixed(AT), 3).unwrap();
        for page in 0..3 {
            write_user(&current, UserVa::new(AT + page * PAGE), b"x");
        }
        current.mm.protect(AT + PAGE, AT + 2 * PAGE, RO, false, &bounds()).unwrap();
        current.mm.seal(AT + PAGE, AT + 3 * PAGE).unwrap();
        let first = |page| read_user(&current, UserVa::new(AT + page * PAGE), 1);
        assert_eq!(current.mm.advise(AT, AT + 3 * PAGE, raw::MADV_DONTNEED), Err(Errno::EPERM));
        assert_eq!([first(0), first(1), first(2)], [b"\0", b"x", b"x"]);
        assert_eq!(current.mm.advise(AT + PAGE, AT + 2 * PAGE, raw::MADV_RANDOM), Ok(()));
        assert_eq!(current.mm.advise(AT + 2 * PAGE, AT + 3 * PAGE, raw::MADV_DONTNEED), Ok(()));
        assert_eq!(first(2), b"\0");
    }

    #[test]
    fn only_what_is_mapped_is_sealed() {
        let current = current();
        map(&current, Place::Fixed(AT), 2).unwrap();
        assert_eq!(current.mm.seal(AT + PAGE, AT + 3 * PAGE), Err(Errno::ENOMEM));
        assert_eq!(current.mm.unmap(UserVa::new(AT), 2 * PAGE), Ok(()));
        map(&current, Place::Fixed(AT), 1).unwrap();
        current.mm.seal(AT, AT + PAGE).unwrap();
        assert_eq!(
            current.mm.fork().unwrap().unmap(UserVa::new(AT), PAGE),
            Err(Errno::EPERM),
            "a child's stays sealed"
        );
        let heap = current.mm.set_brk(0, &bounds());
        assert_eq!(current.mm.set_brk(heap + 4 * PAGE, &bounds()), heap + 4 * PAGE);
        current.mm.seal(heap.next_multiple_of(PAGE), heap.next_multiple_of(PAGE) + PAGE).unwrap();
        assert_eq!(current.mm.set_brk(heap, &bounds()), heap + 4 * PAGE);
    }
}
