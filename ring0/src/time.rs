//! Clocks: the TSC scaled by what the host says its rate is, from the host's clocks at boot. The same numbers are in the
//! vDSO's data page; `CLOCK_REALTIME` can be stepped, `CLOCK_MONOTONIC` never.

use crate::vdso;
use crate::x86::rdtsc;
use core::sync::atomic::{AtomicU64, Ordering};
use linker::boot::BootInfo;

/// Fraction bits of the two factors.
pub const SHIFT: u32 = 32;

static NS_PER_TICK: AtomicU64 = AtomicU64::new(0);
static TICKS_PER_NS: AtomicU64 = AtomicU64::new(0);
static TSC_BASE: AtomicU64 = AtomicU64::new(0);
static MONOTONIC_BASE: AtomicU64 = AtomicU64::new(0);
static REALTIME_BASE: AtomicU64 = AtomicU64::new(0);

const KHZ_TO_NS: u64 = 1_000_000;

/// Takes over the host's clocks. `first_tsc`: the TSC when the kernel was entered.
pub fn init(boot: &BootInfo, first_tsc: u64) {
    let khz = u64::from(boot.tsc_khz.max(1));
    NS_PER_TICK.store((KHZ_TO_NS << SHIFT) / khz, Ordering::Relaxed);
    TICKS_PER_NS.store((khz << SHIFT) / KHZ_TO_NS, Ordering::Relaxed);
    TSC_BASE.store(if boot.tsc_base != 0 { boot.tsc_base } else { first_tsc }, Ordering::Relaxed);
    MONOTONIC_BASE.store(boot.monotonic_ns, Ordering::Relaxed);
    REALTIME_BASE.store(boot.realtime_ns, Ordering::Relaxed);
}

/// What the vDSO needs: factor, TSC base, monotonic base, realtime base.
pub fn parameters() -> [u64; 4] {
    [&NS_PER_TICK, &TSC_BASE, &MONOTONIC_BASE, &REALTIME_BASE].map(|value| value.load(Ordering::Relaxed))
}

fn scale(value: u64, factor: &AtomicU64) -> u64 {
    ((u128::from(value) * u128::from(factor.load(Ordering::Relaxed))) >> SHIFT) as u64
}

/// A number of TSC ticks in ns.
pub fn ticks_to_ns(ticks: u64) -> u64 {
    scale(ticks, &NS_PER_TICK)
}

/// A time in TSC ticks.
pub fn ns_to_ticks(ns: u64) -> u64 {
    scale(ns, &TICKS_PER_NS)
}

fn since_base_ns() -> u64 {
    ticks_to_ns(rdtsc().saturating_sub(TSC_BASE.load(Ordering::Relaxed)))
}

/// CLOCK_MONOTONIC.
pub fn monotonic_ns() -> u64 {
    MONOTONIC_BASE.load(Ordering::Relaxed) + since_base_ns()
}

/// CLOCK_REALTIME.
pub fn realtime_ns() -> u64 {
    REALTIME_BASE.load(Ordering::Relaxed).wrapping_add(since_base_ns())
}

/// Steps CLOCK_REALTIME.
pub fn set_realtime_ns(ns: u64) {
    REALTIME_BASE.store(ns.wrapping_sub(since_base_ns()), Ordering::Relaxed);
    vdso::publish();
}

/// The TSC value at or just after this time of CLOCK_MONOTONIC.
pub fn tsc_at(monotonic_ns: u64) -> u64 {
    let ns = monotonic_ns.saturating_sub(MONOTONIC_BASE.load(Ordering::Relaxed));
    TSC_BASE.load(Ordering::Relaxed).saturating_add(ns_to_ticks(ns)).saturating_add(1)
}
