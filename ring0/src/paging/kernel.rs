//! The kernel half: the VMM's root table with the image and the direct map, to which ring0 adds stacks and devices. All
//! root entries it will ever need are made at boot, so that user roots can copy them and never look again.

use super::entry::{ADDRESS, ENTRIES, GLOBAL, LARGE, NO_CACHE, NO_EXECUTE, PRESENT, WRITABLE, index, pfn, table};
use crate::frame;
use crate::lock::Lock;
use crate::vmalloc;
use crate::x86;
use core::sync::atomic::{AtomicU64, Ordering};
use linker::addr::{GuestPa, KernelVa};
use linker::layout::{DEVICES, DIRECT_MAP, DIRECT_MAP_BYTES, KERNEL_BASE, KERNEL_STACKS, KERNEL_VMALLOC, PAGE_SIZE};
use sentry::platform::NoMemory;

/// First root entry of the kernel half.
pub const KERNEL_HALF: usize = ENTRIES / 2;
const ROOT_LEVEL: u32 = 3;

static ROOT: AtomicU64 = AtomicU64::new(0);
static TABLES: Lock<()> = Lock::new(());

/// Takes over the root that is active, and makes the root entries that are missing.
pub fn init() {
    ROOT.store(x86::cr3() & ADDRESS, Ordering::Relaxed);
    for area in [KERNEL_STACKS, KERNEL_VMALLOC, DEVICES] {
        let entry = &root_table()[index(area.raw(), ROOT_LEVEL)];
        if entry.load(Ordering::Relaxed) & PRESENT == 0 {
            let pfn = frame::alloc_table(true).expect("memory is empty at boot");
            entry.store((pfn * PAGE_SIZE) | PRESENT | WRITABLE, Ordering::Release);
        }
    }
}

/// Physical address of the kernel's own root, which maps no user memory.
pub fn root() -> u64 {
    ROOT.load(Ordering::Relaxed)
}

fn root_table() -> &'static [AtomicU64; ENTRIES] {
    // SAFETY: the VMM made this table, and nobody frees it.
    unsafe { table(pfn(root())) }
}

/// Gives a new user root the kernel half.
pub fn copy_kernel_half(to: &[AtomicU64; ENTRIES]) {
    for (to, from) in to.iter().zip(root_table()).skip(KERNEL_HALF) {
        to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// Maps one frame of kernel data, for good.
pub fn map(va: KernelVa, frame: u64) -> Result<(), NoMemory> {
    map_with(va, (frame * PAGE_SIZE) | PRESENT | WRITABLE | GLOBAL | NO_EXECUTE)
}

/// Maps a page of device registers.
pub fn map_device(va: KernelVa, pa: GuestPa) {
    map_with(va, pa.raw() | PRESENT | WRITABLE | GLOBAL | NO_EXECUTE | NO_CACHE).expect("memory is empty at boot");
}

/// Maps one frame of kernel data until `disable` and `take`; not global, so that a reload of CR3 forgets it.
pub fn map_for_now(va: KernelVa, frame: u64) -> Result<(), NoMemory> {
    map_with(va, (frame * PAGE_SIZE) | PRESENT | WRITABLE | NO_EXECUTE)
}

/// Takes what `map_for_now` mapped out of use; CPUs may know it until they have flushed.
pub fn disable(va: KernelVa) {
    last_entry(va.raw()).expect("it was mapped").fetch_and(!PRESENT, Ordering::AcqRel);
}

/// The frame behind a page that was disabled; nothing is there any more.
pub fn take(va: KernelVa) -> u64 {
    pfn(last_entry(va.raw()).expect("it was mapped").swap(0, Ordering::AcqRel))
}

/// Forgets translations that are not global, on this CPU.
pub fn flush_here() {
    // SAFETY: the same root again: only cached translations are dropped.
    unsafe { x86::set_cr3(x86::cr3()) };
}

fn map_with(va: KernelVa, entry: u64) -> Result<(), NoMemory> {
    let _tables = TABLES.lock();
    let mut entries = root_table();
    for level in [3, 2, 1] {
        let slot = &entries[index(va.raw(), level)];
        if slot.load(Ordering::Relaxed) & PRESENT == 0 {
            let pfn = frame::alloc_table(true)?;
            slot.store((pfn * PAGE_SIZE) | PRESENT | WRITABLE, Ordering::Release);
        }
        // SAFETY: kernel tables are never freed.
        entries = unsafe { table(pfn(slot.load(Ordering::Relaxed))) };
    }
    entries[index(va.raw(), 0)].store(entry, Ordering::Release);
    Ok(())
}

/// The physical address behind a kernel address; what follows it is contiguous to the end of its object (heap block,
/// static, or stack). `None` for anything that is not mapped there.
pub fn physical(va: u64) -> Option<GuestPa> {
    let direct = DIRECT_MAP.raw()..DIRECT_MAP.raw() + DIRECT_MAP_BYTES;
    if direct.contains(&va) {
        return Some(GuestPa::new(va - DIRECT_MAP.raw()));
    }
    if va >= KERNEL_BASE.raw() {
        return Some(GuestPa::new(va - KERNEL_BASE.raw()));
    }
    if vmalloc::contains(va) {
        return None;
    }
    let entry = last_entry(va)?.load(Ordering::Relaxed);
    (entry & PRESENT != 0).then(|| GuestPa::new((entry & ADDRESS) + va % PAGE_SIZE))
}

/// The entry of the lowest level for an address; `None` where the tables do not reach so far down.
fn last_entry(va: u64) -> Option<&'static AtomicU64> {
    let mut entries = root_table();
    for level in [3, 2, 1] {
        let entry = entries[index(va, level)].load(Ordering::Relaxed);
        if entry & PRESENT == 0 || entry & LARGE != 0 {
            return None;
        }
        // SAFETY: kernel tables are never freed.
        entries = unsafe { table(pfn(entry)) };
    }
    Some(&entries[index(va, 0)])
}
