//! Every fixed address of the guest, once. Feeds `ring0.ld`, ring0 and the VMM; the assertions prove that no two regions overlap.

use crate::addr::{GuestPa, KernelVa};

/// Bytes in a small page.
pub const PAGE_SIZE: u64 = 4096;
/// Bytes in a large (PD-level) page.
pub const LARGE_PAGE_SIZE: u64 = 2 << 20;

/// vCPUs at most.
pub const MAX_CPUS: usize = 64;

// Guest-physical memory, from below.

/// The boot page (`boot::BootInfo`).
pub const BOOT_INFO: GuestPa = GuestPa::new(0x1000);
/// The page that ring0 writes the panic record to (`boot::PanicRecord`), so that the host needs no parsing of a log.
pub const PANIC_RECORD: GuestPa = GuestPa::new(0x2000);
/// The page that ring0 writes its counts to at the end (`boot::ExitRecord`).
pub const EXIT_RECORD: GuestPa = GuestPa::new(0x3000);
/// The request rings, `ring::RING_BYTES` for each of `MAX_CPUS` vCPUs.
pub const RINGS: GuestPa = GuestPa::new(0x10_0000);
/// End of the request rings.
pub const RINGS_END: GuestPa = GuestPa::new(RINGS.raw() + MAX_CPUS as u64 * crate::ring::RING_BYTES);
/// Where the kernel image is loaded. What follows it (page tables, start specification) is placed by the VMM and
/// described in the boot page.
pub const KERNEL_IMAGE: GuestPa = GuestPa::new(0x40_0000);
/// End of the low RAM region at most; above it lie the LAPIC and I/O APIC windows.
pub const LOW_RAM_END: GuestPa = GuestPa::new(0xC000_0000);
/// Start of the high RAM region.
pub const HIGH_RAM_START: GuestPa = GuestPa::new(0x1_0000_0000);

/// Bytes of ring 0's table of frames for one frame.
pub const FRAME_META_BYTES: u64 = 8;

/// First and last byte (exclusive) of ring 0's table of frames, in RAM that is free from `free` on and reaches up to `ram_end`. It
/// ends where a large page begins, so that the memory that is used first is some that the host can back by a large one.
pub const fn frame_table(free: u64, ram_end: u64) -> (u64, u64) {
    let bytes = (ram_end / PAGE_SIZE * FRAME_META_BYTES).next_multiple_of(PAGE_SIZE);
    let end = (free.next_multiple_of(PAGE_SIZE) + bytes).next_multiple_of(LARGE_PAGE_SIZE);
    (end - bytes, end)
}

// Virtual memory.

/// First address that user memory may not reach (Linux's `TASK_SIZE_MAX` with 4-level paging).
pub const USER_END: u64 = 0x7fff_ffff_f000;
/// Direct map of all guest-physical memory: `DIRECT_MAP + pa`.
pub const DIRECT_MAP: KernelVa = KernelVa::new(0xffff_8880_0000_0000);
/// Bytes of guest-physical memory that the direct map can hold.
pub const DIRECT_MAP_BYTES: u64 = 1 << 44;
/// Kernel stacks, each below a guard page.
pub const KERNEL_STACKS: KernelVa = KernelVa::new(0xffff_c900_0000_0000);
/// Bytes set aside for kernel stacks.
pub const KERNEL_STACKS_BYTES: u64 = 1 << 39;
/// Heap blocks that are larger than a block of frames: contiguous here only.
pub const KERNEL_VMALLOC: KernelVa = KernelVa::new(0xffff_c980_0000_0000);
/// Bytes set aside for them: one root entry.
pub const KERNEL_VMALLOC_BYTES: u64 = 1 << 39;
/// Device registers that ring0 maps for itself, uncached (the LAPIC of a CPU without x2APIC).
pub const DEVICES: KernelVa = KernelVa::new(0xffff_fe00_0000_0000);
/// Virtual address of the kernel image: `KERNEL_BASE + pa` (the top 2 GiB, for `code-model=kernel`).
pub const KERNEL_BASE: KernelVa = KernelVa::new(0xffff_ffff_8000_0000);

const _: () = {
    assert!(BOOT_INFO.raw() + PAGE_SIZE <= PANIC_RECORD.raw());
    assert!(PANIC_RECORD.raw() + PAGE_SIZE <= EXIT_RECORD.raw());
    assert!(EXIT_RECORD.raw() + PAGE_SIZE <= RINGS.raw());
    assert!(RINGS_END.raw() <= KERNEL_IMAGE.raw());
    assert!(KERNEL_IMAGE.raw() < LOW_RAM_END.raw());
    assert!(LOW_RAM_END.raw() < HIGH_RAM_START.raw());
    assert!(DIRECT_MAP.raw() + DIRECT_MAP_BYTES <= KERNEL_STACKS.raw());
    assert!(KERNEL_STACKS.raw() + KERNEL_STACKS_BYTES <= KERNEL_VMALLOC.raw());
    assert!(KERNEL_VMALLOC.raw().is_multiple_of(KERNEL_VMALLOC_BYTES));
    assert!(KERNEL_VMALLOC.raw() + KERNEL_VMALLOC_BYTES <= DEVICES.raw());
    assert!(DEVICES.raw() + LARGE_PAGE_SIZE <= KERNEL_BASE.raw());
    assert!(KERNEL_IMAGE.raw().is_multiple_of(LARGE_PAGE_SIZE));
};

// Doorbells: I/O ports the guest writes to. The value written is the vCPU's number unless said otherwise.

/// "Serve this vCPU's ring now, on this thread, and come back when it is empty." Used when nothing else could run here.
pub const PORT_DOORBELL_SYNC: u16 = 0x510;
/// "A worker should serve this ring." Wired to an eventfd; never returns to the VMM's run loop.
pub const PORT_DOORBELL_ASYNC: u16 = 0x514;
/// "The sandbox is over." The value is the exit status: the program's code (0–255), or 256 + signal number.
pub const PORT_EXIT: u16 = 0x518;
/// "ring0 panicked": the record is in `PANIC_RECORD`.
pub const PORT_PANIC: u16 = 0x51C;
/// One byte of early console output, for the host's stderr. Only before the rings are up and on the way to a panic.
pub const PORT_DEBUG: u16 = 0x520;
/// PVM quirk: swap the vector state of ring 3. The 32-bit value is the vCPU's number; the operands are in the vCPU's
/// `boot::VectorSwap` record in its ring page.
pub const PORT_VECTOR_SWAP: u16 = 0x524;
/// Self-test and measurement: an exit that does nothing.
pub const PORT_NOTHING: u16 = 0x528;

/// Interrupt vector of the LAPIC timer.
pub const VECTOR_TIMER: u8 = 0x40;
/// Interrupt vector of a reschedule IPI.
pub const VECTOR_RESCHEDULE: u8 = 0x41;
/// Interrupt vector of a TLB shootdown IPI.
pub const VECTOR_SHOOTDOWN: u8 = 0x42;
/// Interrupt vector that the host raises (an MSI) when completions wait and the guest sleeps.
pub const VECTOR_HOST: u8 = 0x43;
/// LAPIC spurious vector.
pub const VECTOR_SPURIOUS: u8 = 0xff;
