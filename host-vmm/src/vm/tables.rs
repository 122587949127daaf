//! The page tables the guest starts on: the image at `KERNEL_BASE` in 4 KiB pages, write xor execute; all RAM at
//! `DIRECT_MAP`, never executable, in the largest pages there are; nothing below.

use crate::vm::image::Image;
use crate::vm::{Error, Memory};
use linker::layout::{DIRECT_MAP, KERNEL_BASE, LARGE_PAGE_SIZE, PAGE_SIZE};
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryRegion};

// Bits of an entry: Intel SDM vol. 3, table 5-20.
const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const LARGE: u64 = 1 << 7;
const GLOBAL: u64 = 1 << 8;
const NO_EXECUTE: u64 = 1 << 63;
const LEAF: u64 = PRESENT | ACCESSED | GLOBAL;

/// Bytes a PDPT-level page maps.
const GIANT_PAGE_SIZE: u64 = 1 << 30;

/// Finished tables.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// Guest-physical address of the top level, for CR3.
    pub root: u64,
    /// First byte behind the tables.
    pub end: u64,
}

struct Builder<'a> {
    memory: &'a Memory,
    root: u64,
    next: u64,
}

/// Builds the tables right behind the image.
pub fn build(memory: &Memory, image: &Image<'_>, giant_pages: bool) -> Result<Tables, Error> {
    let root = image.span().1;
    let mut builder = Builder { memory, root, next: root + PAGE_SIZE };
    for segment in image.segments() {
        let mut flags = LEAF;
        if segment.write {
            flags |= WRITABLE | DIRTY;
        }
        if !segment.execute {
            flags |= NO_EXECUTE;
        }
        for offset in (0..segment.len).step_by(PAGE_SIZE as usize) {
            let pa = segment.pa + offset;
            builder.map(KERNEL_BASE.raw() + pa, pa | flags, 1)?;
        }
    }
    for region in memory.iter() {
        let (mut pa, end) = (region.start_addr().raw_value(), region.start_addr().raw_value() + region.len());
        while pa < end {
            let giant = giant_pages && pa % GIANT_PAGE_SIZE == 0 && end - pa >= GIANT_PAGE_SIZE;
            let (level, size) = if giant { (3, GIANT_PAGE_SIZE) } else { (2, LARGE_PAGE_SIZE) };
            builder.map(DIRECT_MAP.raw() + pa, pa | LEAF | WRITABLE | DIRTY | LARGE | NO_EXECUTE, level)?;
            pa += size;
        }
    }
    Ok(Tables { root, end: builder.next })
}

impl Builder<'_> {
    /// Writes `entry` at `level` (1: page table, 2: directory, 3: pointers), making the tables above it.
    fn map(&mut self, va: u64, entry: u64, level: u32) -> Result<(), Error> {
        let mut table = self.root;
        for above in (level + 1..=4).rev() {
            let slot = slot(table, va, above);
            let found: u64 = self.memory.read_obj(slot)?;
            table = if found & PRESENT != 0 {
                found & 0x000f_ffff_ffff_f000
            } else {
                let new = self.next;
                self.next += PAGE_SIZE;
                self.memory.write_obj(new | PRESENT | WRITABLE | ACCESSED, slot)?;
                new
            };
        }
        self.memory.write_obj(entry, slot(table, va, level))?;
        Ok(())
    }
}

/// Where the entry for `va` is in a table of this level.
fn slot(table: u64, va: u64, level: u32) -> GuestAddress {
    GuestAddress(table + (va >> (12 + 9 * (level - 1)) & 0x1ff) * 8)
}
