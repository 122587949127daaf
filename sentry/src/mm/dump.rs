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
