//! Lists of CPUs and memory nodes, as cpuset(7) writes them: `0-2,7`.

use std::ops::RangeInclusive;

/// Numbers are below this.
const MOST: usize = 8192;

/// The ranges of a list, in its order. `None` where it is none.
pub fn parse(list: &str) -> Option<Vec<RangeInclusive<usize>>> {
    list.split(',').map(str::trim).filter(|part| !part.is_empty()).map(range).collect()
}

fn range(part: &str) -> Option<RangeInclusive<usize>> {
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && last < MOST).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn lists_are_ranges() {
        assert_eq!(parse("0-2, 7"), Some(vec![0..=2, 7..=7]));
        assert_eq!(parse(""), Some(vec![]));
        for wrong in ["a", "3-1", "1-2-3", "8192", "-1"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
