//! What `/proc/PID/{maps,smaps}` shows of an address space.

use super::address_space::AddressSpace;
use super::userfault::Modes;
use super::vma::{Backing, Vma, VmaFlags};
use crate::fs::OpenFile;
use crate::platform::{Prot, platform};
use alloc::sync::Arc;
use alloc::vec::Vec;
use linker::addr::UserVa;
use linker::layout::PAGE_SIZE;

/// One line of maps.
pub struct AreaReport {
    /// First byte.
    pub start: u64,
    /// Behind the last byte.
    pub end: u64,
    /// Permissions.
    pub prot: Prot,
    /// 's' rather than 'p'.
    pub shared: bool,
    /// Offset in the file, 0 without one.
    pub offset: u64,
    /// The mapped file: device, inode number and name are its.
    pub file: Option<Arc<OpenFile>>,
    /// `[heap]`, `[stack]`, `[vdso]`, `[vvar]`, or shared memory's name; empty for plain anonymous memory.
    pub name: Vec<u8>,
    /// VmFlags, as two-letter words in Linux's order.
    pub flags: Vec<&'static str>,
    locked: bool,
}

/// Pages of one area, by kind, for smaps.
#[derive(Clone, Copy, Debug, Default)]
pub struct AreaPages {
    /// Present.
    pub resident: u64,
    /// Of these: the only reference is here.
    pub private_clean: u64,
    /// Of these: the only reference is here, written to.
    pub private_dirty: u64,
    /// Shared with others.
    pub shared_clean: u64,
    /// Shared with others, written to.
    pub shared_dirty: u64,
    /// Not of a file.
    pub anonymous: u64,
    /// Locked.
    pub locked: u64,
    /// Sum of each page divided by its references, in bytes.
    pub proportional_bytes: u64,
}

/// What is at one page's place.
#[derive(Clone, Copy, Default, Debug)]
pub struct PageState {
    /// The number of the frame that is there.
    pub frame: Option<u64>,
    /// The page is a file's, or shared.
    pub of_file: bool,
    /// Nobody else has it mapped.
    pub alone: bool,
}

impl AddressSpace {
    /// What is at each of the `count` pages from `start` on.
    pub fn page_states(&self, start: u64, count: usize) -> Vec<PageState> {
        let end = start + count as u64 * PAGE_SIZE;
        let mut states = alloc::vec![PageState::default(); count];
        let mut present = Vec::new();
        let areas = self.areas.read();
        for vma in areas.overlapping(start, end) {
            let (from, to) = (UserVa::new(vma.start.max(start)), UserVa::new(vma.end.min(end)));
            self.table.scan(from, to, false, &mut |at, frame, _| present.push((at, frame)));
            for (at, frame) in present.drain(..) {
                let Some(there) = self.table.translate(at) else { continue };
                let Some(state) = states.get_mut(((at.raw() - start) / PAGE_SIZE) as usize) else { continue };
                // What is in a file's cache is the file's; a copy of it is not. One reference is `there`'s own.
                let cached = match &vma.backing {
                    Backing::File(file) => file.mapping.cached(vma.page_index(at.raw()), false),
                    _ => None,
                };
                let of_file = cached.is_some_and(|cached| cached == there.frame);
                let others = 1 + u32::from(of_file);
                let alone = platform().frame_references(&there.frame).saturating_sub(others) <= 1;
                *state = PageState { frame: Some(frame), of_file, alone };
            }
        }
        states
    }

    /// The areas, by address.
    pub fn report(&self) -> Vec<AreaReport> {
        let areas = self.areas.read();
        let layout = areas.layout;
        areas
            .iter()
            .map(|vma| {
                let (mut offset, mut file, mut name) = (0, None, Vec::new());
                match &vma.backing {
                    Backing::File(backing) => {
                        offset = backing.offset;
                        file = backing.file.clone();
                        name.extend(backing.name.iter().flat_map(|name| name.iter().copied()));
                    }
                    Backing::Special { name: special, .. } => name.extend_from_slice(special.as_bytes()),
                    Backing::Anonymous
                        if vma.start <= layout.brk && vma.end >= layout.start_brk && layout.brk > layout.start_brk =>
                    {
                        name.extend_from_slice(b"[heap]");
                    }
                    Backing::Anonymous if vma.start <= layout.start_stack && vma.end >= layout.start_stack => {
                        name.extend_from_slice(b"[stack]");
                    }
                    Backing::Anonymous => {}
                }
                AreaReport {
                    start: vma.start,
                    end: vma.end,
                    prot: vma.prot,
                    shared: vma.is_shared(),
                    offset,
                    file,
                    name,
                    flags: words(vma),
                    locked: vma.flags.contains(VmaFlags::LOCKED),
                }
            })
            .collect()
    }

    /// What is present of an area.
    pub fn count_pages(&self, area: &AreaReport) -> AreaPages {
        let mut pages = AreaPages::default();
        let mut seen = Vec::new();
        self.table
            .scan(UserVa::new(area.start), UserVa::new(area.end), false, &mut |at, _, dirty| seen.push((at, dirty)));
        for (at, dirty) in seen {
            let Some(there) = self.table.translate(at) else { continue };
            // One reference is `there`'s own.
            let references = u64::from(platform().frame_references(&there.frame)).saturating_sub(1).max(1);
            // A file's page in the cache counts the cache too.
            let users =
                if area.file.is_some() && !there.prot.write { references.saturating_sub(1).max(1) } else { references };
            pages.resident += 1;
            pages.proportional_bytes += PAGE_SIZE / users;
            let kind = match (users > 1, dirty) {
                (false, false) => &mut pages.private_clean,
                (false, true) => &mut pages.private_dirty,
                (true, false) => &mut pages.shared_clean,
                (true, true) => &mut pages.shared_dirty,
            };
            *kind += 1;
            pages.anonymous += u64::from(area.file.is_none() && !area.shared);
            pages.locked += u64::from(area.locked);
        }
        pages
    }
}

/// The words of smaps' VmFlags line (proc(5)).
fn words(vma: &Vma) -> Vec<&'static str> {
    let table = [
        (vma.prot.read, "rd"),
        (vma.prot.write, "wr"),
        (vma.prot.execute, "ex"),
        (vma.is_shared(), "sh"),
        (vma.may.read, "mr"),
        (vma.may.write, "mw"),
        (vma.may.execute, "me"),
        (vma.is_shared(), "ms"),
        (vma.grows_down(), "gd"),
        (answered(vma, Modes::MISSING), "um"),
        (answered(vma, Modes::PROTECT), "uw"),
        (vma.flags.contains(VmaFlags::LOCKED), "lo"),
        (vma.flags.contains(VmaFlags::SEQUENTIAL), "sr"),
        (vma.flags.contains(VmaFlags::RANDOM), "rr"),
        (vma.flags.contains(VmaFlags::DONT_FORK), "dc"),
        (vma.flags.contains(VmaFlags::DONT_EXPAND), "de"),
        (vma.is_data() && !vma.flags.contains(VmaFlags::NO_RESERVE), "ac"),
        (vma.flags.contains(VmaFlags::NO_RESERVE), "nr"),
        (vma.flags.contains(VmaFlags::WIPE_ON_FORK), "wf"),
        (vma.flags.contains(VmaFlags::DONT_DUMP), "dd"),
        (vma.flags.contains(VmaFlags::HUGE), "hg"),
        (vma.flags.contains(VmaFlags::NO_HUGE), "nh"),
        (vma.flags.contains(VmaFlags::MERGEABLE), "mg"),
        (answered(vma, Modes::MINOR), "ui"),
        (vma.is_sealed(), "sl"),
    ];
    table.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect()
}

/// Whether a userfaultfd answers for that.
fn answered(vma: &Vma, mode: Modes) -> bool {
    vma.userfault.as_ref().is_some_and(|registered| registered.modes.contains(mode))
}

#[cfg(test)]
mod tests {
    use crate::fake::{current, write_user};
    use crate::mm::{Bounds, MapRequest, Mapping, Object, Place};
    use crate::platform::Prot;
    use crate::task::Limits;
    use alloc::vec::Vec;
    use linker::addr::UserVa;

    #[test]
    fn a_page_is_a_file_s_until_it_is_copied_and_shared_once_a_child_has_it() {
        let current = current();
        let (at, page) = (0x4000_0000, 4096);
        let prot = Prot { read: true, write: true, execute: false };
        let object = Object::File { mapping: Mapping::in_memory(2 * page, None), file: None, name: None, offset: 0 };
        let file = MapRequest { object, ..MapRequest::anonymous(Place::Fixed(at), 2 * page, prot) };
        let bounds = Bounds::new(&Limits::default(), true);
        current.mm.map(&file, &bounds).unwrap();
        current.mm.map(&MapRequest::anonymous(Place::Fixed(at + 2 * page), 2 * page, prot), &bounds).unwrap();
        crate::fake::read_user(&current, UserVa::new(at), 1);
        write_user(&current, UserVa::new(at + page), b"x");
        write_user(&current, UserVa::new(at + 2 * page), b"x");
        let states = || -> Vec<(bool, bool, bool)> {
            let states = current.mm.page_states(at, 5);
            states.iter().map(|state| (state.frame.is_some(), state.of_file, state.alone)).collect()
        };
        let nothing = (false, false, false);
        assert_eq!(states(), [(true, true, true), (true, false, true), (true, false, true), nothing, nothing]);
        let _child = current.mm.fork().unwrap();
        assert_eq!(states()[1..3], [(true, false, false); 2]);
    }
}
