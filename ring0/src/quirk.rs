//! What a PVM-backed KVM does differently: ring 0 is interpreted, ring 3 runs natively under the host kernel's tables.
//! Everything that depends on it is decided here, from what the host's self-test put into the boot page.
//!
//! - SYSCALL arrives as #PF with CR2 = RIP = LSTAR, still at CPL 3, with RCX and R11 as SYSCALL leaves them; IRET goes back.
//! - Vector state of ring 3 cannot be saved or loaded by ring 0; the host does it (`PORT_VECTOR_SWAP`).
//! - Many instructions do not exist in ring 0 (fences, XSAVE, STAC, RDTSCP …), whatever CPUID says: the features that need
//!   them are left alone (`mask_features`), and nothing else here uses them.
//! - Ring 3 sees the host's TSC and segment limits, so the vDSO tells the time only if the guest's TSC is the host's, and never the CPU.

use crate::features::Features;
use crate::idt::PAGE_FAULT;
use crate::percpu::attention;
use crate::run;
use crate::sched::SLICE_NS;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use linker::boot::{BootFlags, BootInfo, Quirks};
use sentry::platform::UserContext;

static QUIRKS: AtomicU32 = AtomicU32::new(0);

static HOST_TSC: AtomicBool = AtomicBool::new(false);

/// Takes over what the host found.
pub fn init(boot: &BootInfo) {
    QUIRKS.store(boot.quirks, Ordering::Relaxed);
    HOST_TSC.store(BootFlags::from_bits_retain(boot.flags).contains(BootFlags::HOST_TSC), Ordering::Relaxed);
}

fn has(quirk: Quirks) -> bool {
    Quirks::from_bits_retain(QUIRKS.load(Ordering::Relaxed)).contains(quirk)
}

/// Takes away the features that ring 0 cannot use, or that do nothing, where it is interpreted.
pub fn mask_features(features: Features) -> Features {
    if !has(Quirks::SYSCALL_AS_FAULT) {
        return features;
    }
    let Features { fsgsbase, x2apic, tsc_deadline, .. } = features;
    Features { fsgsbase, x2apic, tsc_deadline, ..Features::default() }
}

/// `PerCpu::attention` bits that are always set.
pub fn standing_attention() -> u32 {
    if has(Quirks::SYSCALL_AS_FAULT) { attention::IRET } else { 0 }
}

/// The host switches vector state.
pub fn host_switches_vectors() -> bool {
    has(Quirks::HOST_VECTOR_SWITCH)
}

/// A thread that others wait behind may run this long. Where a switch and the calls around it take a millisecond, slices of
/// the usual length would be spent on switching.
pub fn slice_ns() -> u64 {
    if switches_are_dear() { 10 * SLICE_NS } else { SLICE_NS }
}

/// A thread whose time has come waits for the end of the running one's slice; for the same reason.
pub fn switches_are_dear() -> bool {
    has(Quirks::SYSCALL_AS_FAULT)
}

/// The vDSO can trust RDTSC.
pub fn user_sees_our_tsc() -> bool {
    !has(Quirks::SYSCALL_AS_FAULT) || HOST_TSC.load(Ordering::Relaxed)
}

/// The vDSO can trust LSL.
pub fn user_sees_our_segments() -> bool {
    !has(Quirks::SYSCALL_AS_FAULT)
}

/// Whether this page fault is a SYSCALL; makes the context look as the SYSCALL entry leaves it then.
pub fn fault_is_syscall(context: &mut UserContext, address: u64) -> bool {
    let entry = run::entry();
    // The error code says what the host's tables have at that address, so it says nothing here.
    let is_syscall = has(Quirks::SYSCALL_AS_FAULT)
        && context.vector == u64::from(PAGE_FAULT)
        && context.rip == entry
        && address == entry;
    if is_syscall {
        context.rip = context.rcx;
        context.rflags = context.r11;
    }
    is_syscall
}
