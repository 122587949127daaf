//! Page-table entries, and where in the tables an address is looked up.

use crate::frame::direct;
use core::sync::atomic::AtomicU64;
use linker::layout::PAGE_SIZE;
use sentry::platform::Prot;
use x86_64::structures::paging::PageTableFlags;

/// Entries of a table.
pub const ENTRIES: usize = 512;
/// The CPU may use the entry.
pub const PRESENT: u64 = PageTableFlags::PRESENT.bits();
/// Writable.
pub const WRITABLE: u64 = PageTableFlags::WRITABLE.bits();
/// For ring 3.
pub const USER: u64 = PageTableFlags::USER_ACCESSIBLE.bits();
/// Uncached (with `WRITE_THROUGH`).
pub const NO_CACHE: u64 = PageTableFlags::NO_CACHE.bits() | PageTableFlags::WRITE_THROUGH.bits();
/// Set by the CPU.
pub const DIRTY: u64 = PageTableFlags::DIRTY.bits();
/// A 2 MiB page, in a table of level 1.
pub const LARGE: u64 = PageTableFlags::HUGE_PAGE.bits();
/// Kept when CR3 is written.
pub const GLOBAL: u64 = PageTableFlags::GLOBAL.bits();
/// Ours: the entry owns a frame, although it allows nothing (PROT_NONE) and so is not `PRESENT`.
pub const HELD: u64 = PageTableFlags::BIT_10.bits();
/// Not executable.
pub const NO_EXECUTE: u64 = PageTableFlags::NO_EXECUTE.bits();
/// The frame's address.
pub const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Bytes that an entry of a table of this level maps (0: 4 KiB, 3: the root's 512 GiB).
pub const fn span(level: u32) -> u64 {
    PAGE_SIZE << (9 * level)
}

/// The entry for `va` in a table of this level.
pub const fn index(va: u64, level: u32) -> usize {
    (va >> (12 + 9 * level)) as usize % ENTRIES
}

/// Frame number in an entry.
pub const fn pfn(entry: u64) -> u64 {
    (entry & ADDRESS) / PAGE_SIZE
}

/// Whether the entry owns a frame.
pub const fn is_mapped(entry: u64) -> bool {
    entry & (PRESENT | HELD) != 0
}

/// A user entry's flags for what a mapping allows.
pub const fn flags(prot: Prot) -> u64 {
    if !(prot.read || prot.write || prot.execute) {
        return HELD | NO_EXECUTE;
    }
    let write = if prot.write { WRITABLE } else { 0 };
    let execute = if prot.execute { 0 } else { NO_EXECUTE };
    PRESENT | USER | write | execute
}

/// What an entry allows.
pub const fn prot(entry: u64) -> Prot {
    let present = entry & PRESENT != 0;
    Prot { read: present, write: present && entry & WRITABLE != 0, execute: present && entry & NO_EXECUTE == 0 }
}

/// The entries of the table in frame `pfn`.
///
/// # Safety
/// The frame is a page table, and stays one while the reference is used. The CPU sets bits in it, hence the atomics.
pub unsafe fn table<'a>(pfn: u64) -> &'a [AtomicU64; ENTRIES] {
    // SAFETY: passed on to the caller; any 512 words are valid entries.
    unsafe { &*direct::<[AtomicU64; ENTRIES]>(pfn * PAGE_SIZE) }
}
