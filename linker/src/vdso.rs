//! The page that the vDSO reads: clock parameters, guarded by a sequence counter. ring0 writes, every process maps it read-only.

use core::sync::atomic::{AtomicU32, AtomicU64};

/// Clock parameters. A reader takes `sequence` (odd: retry), reads, and takes it again (changed: retry).
/// `ns(clock) = base_ns + ((rdtsc - tsc_base) * mult >> shift)`.
#[repr(C)]
#[derive(Debug, Default)]
pub struct VdsoData {
    /// Odd while being written.
    pub sequence: AtomicU32,
    /// `mode::*` bits: what the vDSO may answer by itself; anything else is left to the system call.
    pub mode: AtomicU32,
    /// Right shift of the product.
    pub shift: AtomicU32,
    /// Explicit padding.
    pub pad: AtomicU32,
    /// Nanoseconds a TSC tick, scaled by 2^shift.
    pub mult: AtomicU64,
    /// TSC that the bases belong to.
    pub tsc_base: AtomicU64,
    /// CLOCK_MONOTONIC at `tsc_base`, ns.
    pub monotonic_ns: AtomicU64,
    /// CLOCK_REALTIME at `tsc_base`, ns.
    pub realtime_ns: AtomicU64,
    /// CLOCK_BOOTTIME minus CLOCK_MONOTONIC, ns.
    pub boottime_offset_ns: AtomicU64,
}

/// `VdsoData::mode` bits.
pub mod mode {
    /// The TSC of user mode is the one that the parameters are about.
    pub const CLOCKS: u32 = 1 << 0;
    /// The limit of segment `CPU_SELECTOR` is the CPU's number.
    pub const CPU_IN_SEGMENT: u32 = 1 << 1;
}

/// Selector of the segment whose limit is the CPU's number (Linux's `__CPUNODE_SEG`).
pub const CPU_SELECTOR: u16 = 0x7b;
