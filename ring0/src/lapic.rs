//! The local APIC: x2APIC where CPUID offers it, else its page of registers, mapped uncached. Timer by TSC deadline where
//! offered, else one-shot counts of a rate measured once.

use crate::features::features;
use crate::paging::kernel;
use crate::percpu::cpu;
use crate::x86::{rdmsr, rdtsc, wrmsr};
use core::sync::atomic::{AtomicU64, Ordering};
use linker::addr::GuestPa;
use linker::layout::{DEVICES, VECTOR_SPURIOUS, VECTOR_TIMER};

// Registers (Intel SDM vol. 3, table 11-1), as offsets in the page; their MSRs are `X2APIC + offset / 16`.
const ID: u32 = 0x20;
const EOI: u32 = 0xb0;
const SPURIOUS: u32 = 0xf0;
const ICR: u32 = 0x300;
const ICR_HIGH: u32 = 0x310;
const LVT_TIMER: u32 = 0x320;
const INITIAL_COUNT: u32 = 0x380;
const CURRENT_COUNT: u32 = 0x390;
const DIVIDE: u32 = 0x3e0;

const X2APIC: u32 = 0x800;
const APIC_BASE: u32 = 0x1b;
const APIC_BASE_X2APIC: u64 = 1 << 10;
const APIC_BASE_ENABLE: u64 = 1 << 11;
const TSC_DEADLINE: u32 = 0x6e0;
/// Where every LAPIC's page of registers is.
const PAGE: GuestPa = GuestPa::new(0xfee0_0000);

const SOFTWARE_ENABLE: u64 = 1 << 8;
const LVT_MASKED: u64 = 1 << 16;
const LVT_TSC_DEADLINE: u64 = 2 << 17;
const DIVIDE_BY_1: u64 = 0b1011;
const ICR_BUSY: u64 = 1 << 12;

/// LAPIC timer ticks for 2^20 TSC ticks; 0 with TSC deadlines.
static TIMER_RATE: AtomicU64 = AtomicU64::new(0);

/// Maps the registers where they are needed. Once.
pub fn init_once() {
    if !features().x2apic {
        kernel::map_device(DEVICES, PAGE);
    }
}

/// Turns this CPU's LAPIC on, with the timer off.
pub fn init() {
    let x2apic = if features().x2apic { APIC_BASE_X2APIC } else { 0 };
    // SAFETY: every 64-bit CPU has this register; the page stays where it is.
    unsafe { wrmsr(APIC_BASE, rdmsr(APIC_BASE) | APIC_BASE_ENABLE | x2apic) };
    let id = if features().x2apic { read(ID) } else { read(ID) >> 24 };
    cpu().apic_id.store(id as u32, Ordering::Relaxed);
    write(SPURIOUS, SOFTWARE_ENABLE | u64::from(VECTOR_SPURIOUS));
    if features().tsc_deadline {
        write(LVT_TIMER, LVT_TSC_DEADLINE | u64::from(VECTOR_TIMER));
    } else {
        write(DIVIDE, DIVIDE_BY_1);
        if TIMER_RATE.load(Ordering::Relaxed) == 0 {
            TIMER_RATE.store(measure().max(1), Ordering::Relaxed);
        }
        write(LVT_TIMER, u64::from(VECTOR_TIMER));
    }
}

/// Ticks of the timer for 2^20 of the TSC.
fn measure() -> u64 {
    write(LVT_TIMER, LVT_MASKED | u64::from(VECTOR_TIMER));
    write(INITIAL_COUNT, u64::from(u32::MAX));
    let (start, count) = (rdtsc(), read(CURRENT_COUNT));
    while rdtsc() - start < 1 << 20 {
        core::hint::spin_loop();
    }
    let (end, left) = (rdtsc(), read(CURRENT_COUNT));
    write(INITIAL_COUNT, 0);
    ((count - left) << 20) / (end - start)
}

/// Sets the timer to go off when the TSC reaches `tsc`.
pub fn set_timer(tsc: u64) {
    if features().tsc_deadline {
        // SAFETY: the register exists where the feature does; 0 would turn the timer off.
        unsafe { wrmsr(TSC_DEADLINE, tsc.max(1)) };
    } else {
        let ticks = (u128::from(tsc.saturating_sub(rdtsc())) * u128::from(TIMER_RATE.load(Ordering::Relaxed))) >> 20;
        write(INITIAL_COUNT, u64::try_from(ticks).unwrap_or(u64::MAX).clamp(1, u64::from(u32::MAX)));
    }
}

/// Acknowledges the interrupt being served.
#[inline]
pub fn end_of_interrupt() {
    write(EOI, 0);
}

/// Sends an interrupt to the CPU with this LAPIC number.
pub fn send(apic_id: u32, vector: u8) {
    if features().x2apic {
        write(ICR, u64::from(apic_id) << 32 | u64::from(vector));
    } else {
        while read(ICR) & ICR_BUSY != 0 {
            core::hint::spin_loop();
        }
        write(ICR_HIGH, u64::from(apic_id) << 24);
        write(ICR, u64::from(vector));
    }
}

fn read(register: u32) -> u64 {
    if features().x2apic {
        // SAFETY: x2APIC mode is on, and the register is one of the above.
        unsafe { rdmsr(X2APIC + register / 16) }
    } else {
        // SAFETY: `init_once` has mapped the page.
        u64::from(unsafe { core::ptr::read_volatile((DEVICES.raw() + u64::from(register)) as *const u32) })
    }
}

fn write(register: u32, value: u64) {
    if features().x2apic {
        // SAFETY: as in `read`; the values written are ones that the register takes.
        unsafe { wrmsr(X2APIC + register / 16, value) };
    } else {
        // SAFETY: as in `read`.
        unsafe { core::ptr::write_volatile((DEVICES.raw() + u64::from(register)) as *mut u32, value as u32) };
    }
}
