//! A sandbox's counters over time.

use linker::statistics::Statistics;
use std::collections::BTreeMap;
use std::time::Duration;

/// More samples are of no use to the eye; then every second one goes.
const MOST: usize = 400;

/// One look.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Since the first.
    pub at: Duration,
    /// How often each call was made so far, by number.
    pub calls: BTreeMap<u32, u64>,
    /// How often the machine was left for calls so far.
    pub exits: u64,
    /// Calls that failed so far.
    pub errors: u64,
}

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    all: Vec<Sample>,
    last: Statistics,
    thinned: u32,
}

impl Samples {
    /// With a look at what had called nothing yet.
    pub fn from_the_start() -> Self {
        Self { all: vec![Sample::default()], ..Self::default() }
    }

    /// Takes a look.
    pub fn take(&mut self, at: Duration, found: Statistics) {
        let failed =
            found.calls.iter().flat_map(|row| &row.errors).fold(0u64, |sum, error| sum.saturating_add(error.1));
        self.all.push(Sample {
            at,
            calls: found.calls.iter().map(|row| (row.number, row.count)).collect(),
            exits: found.calls.iter().fold(0u64, |sum, row| sum.saturating_add(row.exits)),
            errors: failed,
        });
        self.last = found;
        if self.all.len() > MOST {
            let last = self.all.len() - 1;
            let mut index = 0;
            self.all.retain(|_| {
                index += 1;
                (index - 1_usize).is_multiple_of(2) || index - 1 == last
            });
            self.thinned += 1;
        }
    }

    /// All looks, in order.
    pub fn all(&self) -> &[Sample] {
        &self.all
    }

    /// What was found last.
    pub fn last(&self) -> &Statistics {
        &self.last
    }

    /// How many times as long as at first a look may be after the one before, now.
    pub fn stretch(&self) -> u32 {
        1 << self.thinned.min(20)
    }

    /// Whether there was any look that found something to show.
    pub fn is_empty(&self) -> bool {
        self.last.ticks_per_ms == 0
    }
}

/// What came between two looks, each a second. Counters that went back count as nothing.
pub fn rate(before: &Sample, after: &Sample, of: impl Fn(&Sample) -> u64) -> f64 {
    let seconds = after.at.saturating_sub(before.at).as_secs_f64();
    of(after).saturating_sub(of(before)) as f64 / seconds.max(1e-3)
}

#[cfg(test)]
mod tests {
    use super::{Sample, Samples, rate};
    use linker::statistics::{CallStatistics, Statistics};
    use std::time::Duration;

    fn found(count: u64) -> Statistics {
        let row = CallStatistics { number: 0, count, errors: vec![(2, count / 2)], ..CallStatistics::default() };
        Statistics { ticks_per_ms: 1, calls: vec![row], ..Statistics::default() }
    }

    #[test]
    fn a_long_time_is_thinned_and_keeps_its_ends() {
        let mut samples = Samples::from_the_start();
        assert!(samples.is_empty());
        for second in 1..=2_000 {
            samples.take(Duration::from_secs(second), found(second * 10));
        }
        let all = samples.all();
        assert!(all.len() <= super::MOST && samples.stretch() > 1, "{}", all.len());
        assert_eq!((all[0].at.as_secs(), all[all.len() - 1].at.as_secs()), (0, 2_000));
        assert!(
            all.windows(2)
                .all(|pair| rate(&pair[0], &pair[1], |sample| sample.calls.get(&0).copied().unwrap_or(0)) == 10.0)
        );
    }

    #[test]
    fn a_rate_is_of_its_interval() {
        let mut samples = Samples::default();
        samples.take(Duration::ZERO, found(0));
        samples.take(Duration::from_secs(2), found(8));
        let [first, second] = samples.all() else { panic!("two") };
        assert_eq!(rate(first, second, |sample| sample.errors), 2.0);
        assert_eq!(rate(second, &Sample::default(), |sample| sample.errors), 0.0);
    }
}
