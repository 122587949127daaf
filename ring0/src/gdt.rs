//! Segments, in Linux's layout: SYSCALL and SYSRET derive selectors by offsets, and a PVM-backed KVM runs ring 3 with the
//! host kernel's own table, which has this layout.

use crate::percpu::PerCpu;
use core::arch::asm;
use x86_64::VirtAddr;
use x86_64::structures::gdt::DescriptorFlags;
use x86_64::structures::tss::TaskStateSegment;

/// Kernel code.
pub const KERNEL_CS: u16 = 0x10;
/// Kernel data and stack.
pub const KERNEL_SS: u16 = 0x18;
/// 32-bit user code, also the base from which SYSRET derives the next two.
pub const USER_CS32: u16 = 0x23;
/// User data and stack.
pub const USER_SS: u16 = 0x2b;
/// 64-bit user code.
pub const USER_CS: u16 = 0x33;
const TSS: u16 = 0x40;

/// IST index of #DF.
pub const IST_DOUBLE_FAULT: u8 = 1;
/// IST index of NMI.
pub const IST_NMI: u8 = 2;
/// IST index of #MC.
pub const IST_MACHINE_CHECK: u8 = 3;

/// Descriptors of one CPU's table.
pub const GDT_ENTRIES: usize = 16;

const _: () = assert!(linker::vdso::CPU_SELECTOR as usize / 8 < GDT_ENTRIES);

/// Fills and loads this CPU's GDT and TSS. GS base is lost: the caller sets it afterwards.
pub fn load(cpu: &'static PerCpu, ist_tops: [u64; 3]) {
    let gdt = cpu.gdt.get();
    let tss = cpu.tss.get();
    // SAFETY: only the CPU itself refers to its tables, and it has not loaded them yet.
    unsafe {
        *tss = TaskStateSegment::new();
        for (slot, top) in ist_tops.into_iter().enumerate() {
            (*tss).interrupt_stack_table[slot] = VirtAddr::new(top);
        }
        let mut table = [0; GDT_ENTRIES];
        table[usize::from(KERNEL_CS / 8)] = DescriptorFlags::KERNEL_CODE64.bits();
        table[usize::from(KERNEL_SS / 8)] = DescriptorFlags::KERNEL_DATA.bits();
        table[usize::from(USER_CS32 / 8)] = DescriptorFlags::USER_CODE32.bits();
        table[usize::from(USER_SS / 8)] = DescriptorFlags::USER_DATA.bits();
        table[usize::from(USER_CS / 8)] = DescriptorFlags::USER_CODE64.bits();
        let [low, high] = tss_descriptor(tss as u64);
        table[usize::from(TSS / 8)] = low;
        table[usize::from(TSS / 8) + 1] = high;
        table[usize::from(linker::vdso::CPU_SELECTOR / 8)] = cpu_number_segment(cpu.number.get());
        *gdt = table;
    }
    let pointer = Pointer { limit: (GDT_ENTRIES * 8 - 1) as u16, base: gdt as u64 };
    // SAFETY: the table lives as long as the kernel and holds the selectors loaded here; the far return reloads CS and
    // comes back to the next line; null FS, GS, DS and ES are what 64-bit code runs with.
    unsafe {
        asm!(
            "lgdt [{pointer}]",
            "push {cs}",
            "lea {scratch}, [rip + 2f]",
            "push {scratch}",
            "retfq",
            "2:",
            "mov ss, {ss:e}",
            "xor {scratch:e}, {scratch:e}",
            "mov ds, {scratch:e}",
            "mov es, {scratch:e}",
            "mov fs, {scratch:e}",
            "mov gs, {scratch:e}",
            "lldt {scratch:x}",
            "ltr {tss:x}",
            pointer = in(reg) &pointer,
            cs = const KERNEL_CS,
            ss = in(reg) u32::from(KERNEL_SS),
            tss = in(reg) u32::from(TSS),
            scratch = out(reg) _,
        );
    }
}

/// Operand of LGDT and LIDT.
#[repr(C, packed)]
pub struct Pointer {
    /// Bytes of the table, less one.
    pub limit: u16,
    /// Its address.
    pub base: u64,
}

/// An available 64-bit TSS (Intel SDM vol. 3, 7.2.3).
fn tss_descriptor(address: u64) -> [u64; 2] {
    let limit = (size_of::<TaskStateSegment>() - 1) as u64;
    let low = limit | (address & 0xff_ffff) << 16 | 0x89 << 40 | (address >> 24 & 0xff) << 56;
    [low, address >> 32]
}

/// A read-only data segment for ring 3 whose limit is the CPU's number: what LSL reads in the vDSO.
fn cpu_number_segment(cpu: usize) -> u64 {
    let flags = DescriptorFlags::USER_SEGMENT
        | DescriptorFlags::PRESENT
        | DescriptorFlags::DPL_RING_3
        | DescriptorFlags::ACCESSED
        | DescriptorFlags::DEFAULT_SIZE;
    flags.bits() | cpu as u64 & 0xffff
}
