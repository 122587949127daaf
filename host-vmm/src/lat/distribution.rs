//! Times as a distribution.

use crate::page::html::time;
use linker::probe::Parts as Probed;
use serde::{Deserialize, Serialize};

/// What is said of many times, in ns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Distribution {
    /// How many.
    pub count: u64,
    /// The shortest.
    pub min_ns: u64,
    /// Half of them took no longer.
    pub p50_ns: u64,
    /// All but one in a hundred took no longer.
    pub p99_ns: u64,
    /// All but one in a thousand.
    pub p999_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

impl Distribution {
    /// Of these, without what measuring itself takes; `None` where there are none.
    pub fn of(mut times_ns: Vec<u64>, overhead_ns: u64) -> Option<Self> {
        times_ns.sort_unstable();
        let last = times_ns.len().checked_sub(1)?;
        let at = |per_mille: usize| {
            let index = (times_ns.len() * per_mille).div_ceil(1000).saturating_sub(1);
            times_ns.get(index.min(last)).map_or(0, |time| time.saturating_sub(overhead_ns))
        };
        Some(Self {
            count: times_ns.len() as u64,
            min_ns: at(0),
            p50_ns: at(500),
            p99_ns: at(990),
            p999_ns: at(999),
            max_ns: at(1000),
        })
    }

    /// All that is said, in order.
    pub fn values(&self) -> [u64; 5] {
        [self.min_ns, self.p50_ns, self.p99_ns, self.p999_ns, self.max_ns]
    }
}

/// Where a call is, of which the kernel says how long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// From the first instruction of the kernel until the registers are saved.
    pub entry: Distribution,
    /// From there to the handler.
    pub dispatch: Distribution,
    /// The handler.
    pub handler: Distribution,
    /// From its end to the last instruction: statistics, signals, registers.
    pub exit: Distribution,
}

impl Parts {
    /// Of what the sandbox said after each time; `None` where it never saw a call to its end. Where one time is several calls, their
    /// parts are added up.
    pub fn of(probed: &[Probed]) -> Option<Self> {
        let of = |part: fn(&Probed) -> u64| {
            let ns = |parts: &Probed| {
                let ns = u128::from(part(parts)) * 1_000_000 / u128::from(parts.ticks_per_ms.max(1));
                u64::try_from(ns).unwrap_or(u64::MAX)
            };
            Distribution::of(probed.iter().filter(|parts| parts.calls != 0).map(ns).collect(), 0)
        };
        Some(Self {
            entry: of(|parts| parts.entry)?,
            dispatch: of(|parts| parts.dispatch)?,
            handler: of(|parts| parts.handler)?,
            exit: of(|parts| parts.exit)?,
        })
    }

    /// In words, the median of each.
    pub fn words(&self) -> String {
        let parts =
            [("entry", &self.entry), ("dispatch", &self.dispatch), ("handler", &self.handler), ("exit", &self.exit)];
        parts.map(|(name, times)| format!("{name} {}", time(times.p50_ns))).join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::{Distribution, Parts, Probed};

    #[test]
    fn parts_are_of_the_times_whose_calls_were_seen_to_the_end() {
        let probed =
            |calls, entry| Probed { calls, entry, dispatch: 4, handler: 40, exit: 10, ticks_per_ms: 2_000_000 };
        let parts = Parts::of(&[probed(1, 20), probed(0, 9_000_000), probed(2, 30)]).expect("parts");
        assert_eq!((parts.entry.count, parts.entry.min_ns, parts.entry.max_ns), (2, 10, 15));
        assert_eq!(parts.words(), "entry 10 ns, dispatch 2 ns, handler 20 ns, exit 5 ns");
        assert_eq!(Parts::of(&[probed(0, 1)]), None);
        assert_eq!(Parts::of(&[]), None);
    }

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let found = Distribution::of((1..=1000).rev().collect(), 0).expect("times");
        assert_eq!((found.count, found.values()), (1000, [1, 500, 990, 999, 1000]));
        assert_eq!(Distribution::of(vec![7], 3).expect("a time").values(), [4; 5]);
        assert_eq!(Distribution::of(vec![7], 9).expect("a time").values(), [0; 5]);
        assert_eq!(Distribution::of(Vec::new(), 0), None);
    }
}
