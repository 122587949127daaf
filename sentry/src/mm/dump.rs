//! What of an address space goes into a core file.

use super::address_space::AddressSpace;
use super::vma::{Backing, Vma, VmaFlags};
use crate::fs::OpenFile;
use crate::platform::{Access, Prot, platform};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use linker::addr::UserVa;
use linker::layout::PAGE_SIZE;

/// An area, as a core file has it.
pub struct DumpArea {
    /// First byte.
    pub start: u64,
    /// Behind the last.
    pub end: u64,
    /// Permissions.
    pub prot: Prot,
    /// How many bytes from the start are in the file.
    pub dumped: u64,
    /// Pages that are not there come from somewhere.
    pub backed: bool,
    /// What is mapped, and from where.
    pub file: Option<(Arc<OpenFile>, u64)>,
}

// The bits of coredump_filter (core(5)).
const PRIVATE_ANONYMOUS: u32 = 1 << 0;
const SHARED_ANONYMOUS: u32 = 1 << 1;
const PRIVATE_FILE: u32 = 1 << 2;
const SHARED_FILE: u32 = 1 << 3;
const ELF_HEADERS: u32 = 1 << 4;

impl AddressSpace {
    /// The areas, with how much of each is dumped.
    pub fn areas_to_dump(&self, filter: u32) -> Vec<DumpArea> {
        let areas = self.areas.read();
        let of = |vma: &Vma| {
            let file = match &vma.backing {
                Backing::File(backing) => backing.file.clone().map(|file| (file, backing.offset)),
                _ => None,
            };
            let backed = !matches!(&vma.backing, Backing::Anonymous);
            DumpArea { start: vma.start, end: vma.end, prot: vma.prot, dumped: wanted(vma, filter), backed, file }
        };
        areas.iter().map(of).collect()
    }

    /// The first page in `[at, end)`, part of one area, that is there or can be fetched. What is not there costs nothing: areas may be
    /// as large as the address space.
    pub fn next_to_dump(&self, at: u64, end: u64) -> Option<u64> {
        let areas = self.areas.read();
        let vma = areas.find(at).filter(|_| at < end)?;
        let fetched = match &vma.backing {
            Backing::Anonymous => None,
            Backing::Special { .. } => Some(at),
            Backing::File(file) => {
                let offset = vma.page_index(at) * PAGE_SIZE;
                let next = if file.mapping.has_source() {
                    Some(offset).filter(|offset| *offset < file.mapping.size())
                } else {
                    file.mapping.next_data(offset)
                };
                next.map(|next| at.saturating_add(next - offset))
            }
        };
        let fetched = fetched.filter(|fetched| *fetched < end);
        self.next_present(at, fetched.unwrap_or(end)).or(fetched)
    }

    /// The first present page in `[at, end)`, looked for in steps that grow.
    fn next_present(&self, mut at: u64, end: u64) -> Option<u64> {
        let mut step = PAGE_SIZE;
        while at < end {
            let to = at.saturating_add(step).min(end);
            let mut found = None;
            self.table.scan(UserVa::new(at), UserVa::new(to), false, &mut |va, _, _| {
                found.get_or_insert(va.raw());
            });
            if found.is_some() {
                return found;
            }
            at = to;
            step = step.saturating_mul(2);
        }
        None
    }

    /// A page, whatever the program may do with it; `None` where there is none yet. One that is `backed` is fetched.
    pub fn page_to_dump(&self, at: UserVa, backed: bool) -> Option<Box<[u8]>> {
        let there = self.table.translate(at).map(|there| there.frame);
        let frame = match there {
            Some(frame) => frame,
            None if backed => self.frame_at(at, Access::Read).ok()?,
            None => return None,
        };
        let mut page = vec![0; PAGE_SIZE as usize].into_boxed_slice();
        platform().frame_read(&frame, 0, &mut page);
        Some(page)
    }
}

/// How many bytes of an area are wanted (fs/coredump.c: vma_dump_size).
fn wanted(vma: &Vma, filter: u32) -> u64 {
    let whole = vma.end - vma.start;
    let if_set = |bit: u32| if filter & bit != 0 { whole } else { 0 };
    let backing = match &vma.backing {
        // The vDSO is there for debuggers.
        Backing::Special { .. } => return whole,
        _ if vma.flags.contains(VmaFlags::DONT_DUMP) => return 0,
        Backing::Anonymous => return if_set(PRIVATE_ANONYMOUS),
        Backing::File(backing) => backing,
    };
    if vma.is_shared() {
        let named = backing.file.as_ref().and_then(|file| file.path()).is_some_and(|path| !path.dentry().is_deleted());
        return if_set(if named { SHARED_FILE } else { SHARED_ANONYMOUS });
    }
    if backing.has_copies() && filter & PRIVATE_ANONYMOUS != 0 || filter & PRIVATE_FILE != 0 {
        return whole;
    }
    // By its first page a debugger knows which program or library it was.
    if filter & ELF_HEADERS != 0 && backing.offset == 0 && vma.prot.read { PAGE_SIZE.min(whole) } else { 0 }
}
