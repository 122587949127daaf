//! Times as a distribution.

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

#[cfg(test)]
mod tests {
    use super::Distribution;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let found = Distribution::of((1..=1000).rev().collect(), 0).expect("times");
        assert_eq!((found.count, found.values()), (1000, [1, 500, 990, 999, 1000]));
        assert_eq!(Distribution::of(vec![7], 3).expect("a time").values(), [4; 5]);
        assert_eq!(Distribution::of(vec![7], 9).expect("a time").values(), [0; 5]);
        assert_eq!(Distribution::of(Vec::new(), 0), None);
    }
}
