//! The page tables the guest starts on: the image at `KERNEL_BASE` in 4 KiB pages, write xor execute; all RAM at
//! `DIRECT_MAP`, never executable, in the largest pages there are; nothing below.

use crate::vm::image::Image;
use crate::vm::{Error, Memory};
use linker::layout::{DIRECT_MAP, KERNEL_BASE, LARGE_PAGE_SIZE, PAGE_SIZE};
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryRegion};
use zerocopy::IntoBytes;

// Bits of an entry: Intel SDM vol. 3, table 5-20.
const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const LARGE: u64 = 1 << 7;
const GLOBAL: u64 = 1 << 8;
const NO_EXECUTE: u64 = 1 << 63;
/// Where the next table or the page is.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const LEAF: u64 = PRESENT | ACCESSED | GLOBAL;

/// Bytes a PDPT-level page maps.
const GIANT_PAGE_SIZE: u64 = 1 << 30;

/// Tables that there is room for at first: those of the image and of the direct map of some GiB.
const FIRST_TABLES: usize = 32;

/// One table.
type Table = [u64; 512];

/// The tables, each where `root` and its position say; in our own memory until they are written.
#[derive(Debug)]
pub struct Tables {
    /// Guest-physical address of the top level, for CR3.
    pub root: u64,
    tables: Vec<Table>,
}

/// Builds the tables right behind the image.
pub fn build(memory: &Memory, image: &Image, giant_pages: bool) -> Tables {
    let root = image.span().1;
    // Rather too many at once than copied again and again.
    let mut list = Vec::with_capacity(FIRST_TABLES);
    list.push([0; 512]);
    let mut tables = Tables { root, tables: list };
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
            tables.map(KERNEL_BASE.raw() + pa, pa | flags, 1);
        }
    }
    for region in memory.iter() {
        let (mut pa, end) = (region.start_addr().raw_value(), region.start_addr().raw_value() + region.len());
        while pa < end {
            let giant = giant_pages && pa % GIANT_PAGE_SIZE == 0 && end - pa >= GIANT_PAGE_SIZE;
            let (level, size) = if giant { (3, GIANT_PAGE_SIZE) } else { (2, LARGE_PAGE_SIZE) };
            tables.map(DIRECT_MAP.raw() + pa, pa | LEAF | WRITABLE | DIRTY | LARGE | NO_EXECUTE, level);
            pa += size;
        }
    }
    tables
}

impl Tables {
    /// First byte behind the tables.
    pub fn end(&self) -> u64 {
        self.address(self.tables.len())
    }

    /// Copies them into guest memory.
    pub fn write(&self, memory: &Memory) -> Result<(), Error> {
        Ok(memory.write_slice(self.tables.as_bytes(), GuestAddress(self.root))?)
    }

    /// Writes `entry` at `level` (1: page table, 2: directory, 3: pointers), making the tables above it.
    fn map(&mut self, va: u64, entry: u64, level: u32) {
        let mut table = 0;
        for above in (level + 1..=4).rev() {
            let found = self.tables[table][slot(va, above)];
            table = if found & PRESENT != 0 {
                ((found & ADDRESS) - self.root) as usize / PAGE_SIZE as usize
            } else {
                let new = self.tables.len();
                self.tables.push([0; 512]);
                self.tables[table][slot(va, above)] = self.address(new) | PRESENT | WRITABLE | ACCESSED;
                new
            };
        }
        self.tables[table][slot(va, level)] = entry;
    }

    /// Guest-physical address of a table.
    fn address(&self, table: usize) -> u64 {
        self.root + table as u64 * PAGE_SIZE
    }
}

/// Where the entry for `va` is in a table of this level.
fn slot(va: u64, level: u32) -> usize {
    (va >> (12 + 9 * (level - 1)) & 0x1ff) as usize
}
