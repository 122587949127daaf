//! The interrupt descriptor table, shared by all CPUs: one stub a vector that the machine can raise, a spurious stub elsewhere.

use crate::asm::trap::{STUB_BYTES, STUBS, spurious_stub, trap_stubs};
use crate::gdt::{IST_DOUBLE_FAULT, IST_MACHINE_CHECK, IST_NMI, KERNEL_CS, Pointer};
use core::arch::asm;
use spin::Once;

/// Non-maskable interrupt.
pub const NMI: u8 = 2;
/// Breakpoint.
pub const BREAKPOINT: u8 = 3;
/// INTO, which only 32-bit code has.
pub const OVERFLOW: u8 = 4;
/// Double fault.
pub const DOUBLE_FAULT: u8 = 8;
/// General protection fault.
pub const GENERAL_PROTECTION: u8 = 13;
/// Page fault.
pub const PAGE_FAULT: u8 = 14;
/// Machine check.
pub const MACHINE_CHECK: u8 = 18;
/// First vector that is not an exception.
pub const FIRST_INTERRUPT: u8 = 32;

/// A 64-bit interrupt gate (Intel SDM vol. 3, 6.14.1).
#[derive(Clone, Copy)]
#[repr(C)]
struct Gate {
    low: u64,
    high: u64,
}

impl Gate {
    fn new(handler: u64, ist: u8, dpl: u64) -> Self {
        let kind = 0x8e | dpl << 5;
        let low = handler & 0xffff
            | u64::from(KERNEL_CS) << 16
            | u64::from(ist) << 32
            | kind << 40
            | (handler >> 16 & 0xffff) << 48;
        Self { low, high: handler >> 32 }
    }
}

static TABLE: Once<[Gate; 256]> = Once::new();

/// Loads the table on this CPU.
pub fn load() {
    let table = TABLE.call_once(build);
    let pointer = Pointer { limit: (size_of_val(table) - 1) as u16, base: table.as_ptr() as u64 };
    // SAFETY: the table is static, and each gate leads to a stub that keeps the interrupted code's registers.
    unsafe { asm!("lidt [{}]", in(reg) &pointer, options(readonly, nostack, preserves_flags)) }
}

fn build() -> [Gate; 256] {
    let mut table = [Gate::new(spurious_stub as *const () as u64, 0, 0); 256];
    let stubs = trap_stubs as *const () as u64;
    for (vector, gate) in table.iter_mut().enumerate().take(STUBS) {
        let ist = match vector as u8 {
            DOUBLE_FAULT => IST_DOUBLE_FAULT,
            NMI => IST_NMI,
            MACHINE_CHECK => IST_MACHINE_CHECK,
            _ => 0,
        };
        // User code may raise the two exceptions that have an instruction of their own.
        let dpl = if matches!(vector as u8, BREAKPOINT | OVERFLOW) { 3 } else { 0 };
        *gate = Gate::new(stubs + (vector * STUB_BYTES) as u64, ist, dpl);
    }
    table
}
