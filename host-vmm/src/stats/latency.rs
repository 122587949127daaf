//! Times out of a histogram of ticks.

use linker::statistics::BUCKETS;

/// How long calls took.
pub struct Latency<'a> {
    histogram: &'a [u64],
    count: u64,
    ticks_per_ms: u64,
}

/// Ticks in ns.
pub fn ns(ticks: u64, ticks_per_ms: u64) -> u64 {
    u64::try_from(u128::from(ticks) * 1_000_000 / u128::from(ticks_per_ms.max(1))).unwrap_or(u64::MAX)
}

impl<'a> Latency<'a> {
    /// None where there was no call.
    pub fn of(histogram: &'a [u64], ticks_per_ms: u64) -> Option<Self> {
        let histogram = histogram.get(..histogram.len().min(BUCKETS))?;
        let count = histogram.iter().fold(0u64, |sum, bucket| sum.saturating_add(*bucket));
        (count != 0).then_some(Self { histogram, count, ticks_per_ms })
    }

    /// The time below which `percent` of the calls were, in ns: the upper end of the bucket that holds it.
    pub fn at(&self, percent: f64) -> u64 {
        let wanted = (self.count as f64 * percent / 100.0).ceil().max(1.0) as u64;
        let mut seen = 0u64;
        for (bucket, count) in self.histogram.iter().enumerate() {
            seen = seen.saturating_add(*count);
            if seen >= wanted {
                return self.end(bucket);
            }
        }
        self.end(self.histogram.len().saturating_sub(1))
    }

    /// The upper end of each bucket that has calls, in ns, and how many.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.histogram
            .iter()
            .enumerate()
            .filter(|(_, count)| **count != 0)
            .map(|(bucket, count)| (self.end(bucket), *count))
    }

    /// The same from the first to the last that has calls, with those in between that have none.
    pub fn range(&self) -> Vec<(u64, u64)> {
        let first = self.histogram.iter().position(|count| *count != 0).unwrap_or(0);
        let last = self.histogram.iter().rposition(|count| *count != 0).unwrap_or(0);
        let buckets = self.histogram.iter().enumerate().skip(first).take(last - first + 1);
        buckets.map(|(bucket, count)| (self.end(bucket), *count)).collect()
    }

    fn end(&self, bucket: usize) -> u64 {
        ns(2u64 << bucket.min(62), self.ticks_per_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::{Latency, ns};

    #[test]
    fn a_percentile_is_the_end_of_its_bucket() {
        let mut histogram = [0; 12];
        (histogram[7], histogram[11]) = (99, 1);
        let latency = Latency::of(&histogram, 1_000_000).unwrap();
        assert_eq!((latency.at(50.0), latency.at(99.0), latency.at(100.0)), (256, 256, 4096));
        assert_eq!(latency.buckets().collect::<Vec<_>>(), [(256, 99), (4096, 1)]);
        assert_eq!(latency.range(), [(256, 99), (512, 0), (1024, 0), (2048, 0), (4096, 1)]);
        assert!(Latency::of(&[0, 0], 1).is_none());
    }

    #[test]
    fn nothing_overflows() {
        assert_eq!(ns(u64::MAX, 0), u64::MAX);
        let latency = Latency::of(&[u64::MAX, u64::MAX], 0);
        assert!(latency.is_some_and(|latency| latency.at(100.0) > 0));
    }
}
