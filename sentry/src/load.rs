//! How busy the sandbox is: CPU time in all, and load averages. Nothing ticks for them: they are brought up to date when
//! somebody looks, from the CPU time used since the last look, so an idle sandbox stays idle.

use crate::platform::platform;
use crate::sync::{Lock, Rank};
use crate::task::{Usage, registry};

/// Fractional bits of a load average (Linux, include/linux/sched/loadavg.h: FSHIFT).
pub const SHIFT: u32 = 11;
const ONE: u64 = 1 << SHIFT;
/// Time between two of Linux's samples (LOAD_FREQ).
const PERIOD_NS: u64 = 5_000_000_000;
/// e^(-5s/1min), e^(-5s/5min), e^(-5s/15min) in units of `ONE` (EXP_1, EXP_5, EXP_15).
const DECAY: [u64; 3] = [1884, 2014, 2037];

#[derive(Default)]
struct Averages {
    at_ns: u64,
    busy_ns: u64,
    loads: [u64; 3],
}

static AVERAGES: Lock<Averages> = Lock::new(Rank::Leaf, Averages { at_ns: 0, busy_ns: 0, loads: [0; 3] });

/// CPU time and faults of everything that runs or ran.
pub fn total() -> Usage {
    let mut total = Usage::default();
    for process in registry().processes() {
        total.add(&process.usage());
        total.add(&process.children_usage());
    }
    total
}

/// Time since the sandbox started, ns.
pub fn uptime_ns() -> u64 {
    platform().monotonic_ns().saturating_sub(platform().boot_info().monotonic_ns)
}

/// The load averages of 1, 5 and 15 minutes, with `SHIFT` fractional bits.
pub fn averages() -> [u64; 3] {
    let usage = total();
    let (now, busy) = (uptime_ns(), usage.user_ns.saturating_add(usage.system_ns));
    let mut averages = AVERAGES.lock();
    let passed = now.saturating_sub(averages.at_ns);
    let periods = passed / PERIOD_NS;
    if periods > 0 {
        let used = u128::from(busy.saturating_sub(averages.busy_ns));
        let active = u64::try_from(used * u128::from(ONE) / u128::from(passed)).unwrap_or(u64::MAX >> 16);
        for (load, decay) in averages.loads.iter_mut().zip(DECAY) {
            let rest = power(decay, periods);
            *load = (*load * rest + active.min(1 << 24) * (ONE - rest)) >> SHIFT;
        }
        (averages.at_ns, averages.busy_ns) = (now, busy);
    }
    averages.loads
}

/// `base` to the `exponent`th, both base and result in units of `ONE`, by squaring.
fn power(mut base: u64, mut exponent: u64) -> u64 {
    let mut result = ONE;
    while exponent > 0 {
        if exponent & 1 != 0 {
            result = (result * base) >> SHIFT;
        }
        base = (base * base) >> SHIFT;
        exponent >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::{DECAY, ONE, power};

    #[test]
    fn load_decays_to_a_third_in_its_own_period() {
        // e^-1 = 0.368: twelve samples of 5 s make the minute.
        let rest = power(DECAY[0], 12) * 1000 / ONE;
        assert!((350..380).contains(&rest), "{rest}");
        assert_eq!(power(DECAY[2], 0), ONE);
        assert_eq!(power(DECAY[0], 100_000), 0);
    }
}
