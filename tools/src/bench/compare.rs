//! Two results beside each other: what got better, what got worse; and the check that nothing got worse unseen.

use super::looking::LOOKS;
use super::outcome::{Counts, Outcome};
use super::workloads::OURS;
use crate::tally::Tally;

/// Instructions repeat exactly, so a change of this part is one; workloads vary more.
const COUNTS_DIFFER: f64 = 0.01;
const WORKLOADS_DIFFER: f64 = 0.05;
/// A count may become so much worse before it fails.
const TOLERATED: f64 = 0.05;
/// Exits and the host's calls: what two whole runs, of half the operations and of all, differ by besides, however many those are. Some
/// thirty exits were seen, for a row that has none.
const CHANCE: f64 = 30.0;
/// And another in so many instructions: the machine's own ticks fall into a long operation.
const TICK: f64 = 4e6;

/// A line a figure that differs.
pub fn differences(old: &Outcome, new: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    if let (Some(old), Some(new)) = (&old.counts, &new.counts) {
        for row in &new.rows {
            let Some(before) = old.rows.iter().find(|before| before.name == row.name) else {
                lines.push(format!("new     {}", row.name));
                continue;
            };
            if let (Some(before), Some(now)) = (before.inside, row.inside) {
                lines.extend(line(&row.name, before as f64, now as f64, COUNTS_DIFFER));
            }
        }
    }
    if let (Some(old), Some(new)) = (&old.workloads, &new.workloads) {
        for row in &new.rows {
            let before = old.rows.iter().find(|before| before.name == row.name);
            let ours = |row: &super::outcome::Workload| row.peers.get(OURS)?.median();
            if let (Some(before), Some(now)) = (before.and_then(ours), ours(row)) {
                lines.extend(line(&row.name, before, now, WORKLOADS_DIFFER));
            }
        }
    }
    lines
}

fn line(name: &str, before: f64, now: f64, differ: f64) -> Option<String> {
    let change = (now - before) / before;
    let word = if now < before { "better" } else { "worse" };
    (change.abs() > differ).then(|| format!("{word:7} {name}: {before:.2} -> {now:.2} ({:+.1} %)", change * 100.0))
}

/// Holds counts against those that are committed: a test an operation.
pub fn check(committed: &Counts, now: &Counts) -> Tally {
    let mut tally = Tally::default();
    for row in &now.rows {
        let Some(before) = committed.rows.iter().find(|before| before.name == row.name) else {
            tally.fail(&row.name, "docs/performance.json has no such row: cargo xtask bench --counts --record");
            continue;
        };
        let chance = CHANCE / row.counted.max(1) as f64 + before.inside.unwrap_or(0) as f64 / TICK;
        let mut worse = Vec::new();
        let mut compare = |what: &str, before: Option<f64>, now: Option<f64>, chance: f64| match (before, now) {
            (Some(before), Some(now)) if now > before * (1.0 + TOLERATED) + chance => {
                worse.push(format!("{now} {what}, committed are {before}"));
            }
            (Some(_), None) => worse.push(format!("{what} were not measured")),
            _ => {}
        };
        compare("instructions", before.inside.map(|n| n as f64), row.inside.map(|n| n as f64), 0.0);
        compare("exits", before.exits, row.exits, chance);
        compare("calls of the host", before.host_calls, row.host_calls, chance);
        if worse.is_empty() {
            tally.pass(&row.name);
        } else {
            worse.push("if it has to be: cargo xtask bench --counts --record, in the same change".to_owned());
            tally.fail(&row.name, &worse.join("\n"));
        }
    }
    for (name, bound, cost) in LOOKS.map(|look| (look.name, look.most, look.cost(&now.looking))) {
        match cost {
            Some(cost) if cost <= bound => tally.pass(name),
            Some(cost) => tally.fail(name, &format!("{cost} instructions, at most {bound} are wanted")),
            None => tally.fail(name, "not measured, or records were lost"),
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::{check, line};
    use crate::bench::outcome::{Count, Counts, Taken};
    use std::collections::BTreeMap;

    fn counts(inside: u64, exits: f64) -> Counts {
        let taken = Taken { commit: String::new(), machine: String::new(), versions: Default::default() };
        let row = Count {
            name: "x".into(),
            native: Some(1),
            inside: Some(inside),
            exits: Some(exits),
            host_calls: None,
            counted: 100,
        };
        Counts {
            taken,
            unit: "instructions".into(),
            rows: vec![row],
            looking: looking(98),
            start: Default::default(),
            idle: Default::default(),
        }
    }

    fn looking(statistics: u64) -> BTreeMap<String, u64> {
        let figures =
            [("route", 2), ("off", 73), ("statistics", statistics), ("trace", 280), ("records", 2000), ("profile", 98)];
        figures.map(|(name, value)| (name.to_owned(), value)).into()
    }

    #[test]
    fn looking_has_bounds_of_its_own() {
        let more = Counts { looking: looking(99), ..counts(100, 0.0) };
        assert_eq!((check(&more, &counts(100, 0.0)).failed, check(&more, &more).failed), (0, 1));
    }

    #[test]
    fn five_percent_more_are_borne_and_six_are_not() {
        assert_eq!(check(&counts(100, 0.0), &counts(105, 0.0)).failed, 0);
        assert_eq!(check(&counts(100, 0.0), &counts(106, 0.0)).failed, 1);
        assert_eq!(check(&counts(100, 0.0), &counts(100, 1.0)).failed, 1);
        assert_eq!(check(&counts(4_000_000, 1.6), &counts(4_000_000, 2.6)).failed, 0);
        assert_eq!(check(&counts(4_000_000, 1.6), &counts(4_000_000, 3.0)).failed, 1);
    }

    #[test]
    fn what_a_run_differs_by_weighs_more_in_few_operations() {
        let mut few = counts(100, 2.9);
        assert_eq!(check(&counts(100, 0.0), &few).failed, 1);
        few.rows[0].counted = 10;
        assert_eq!(check(&counts(100, 0.0), &few).failed, 0);
        few.rows[0].exits = Some(3.1);
        assert_eq!(check(&counts(100, 0.0), &few).failed, 1);
    }

    #[test]
    fn what_hardly_changed_is_not_told() {
        assert_eq!(line("x", 100.0, 100.5, 0.01), None);
        assert_eq!(line("x", 100.0, 90.0, 0.01).as_deref(), Some("better  x: 100.00 -> 90.00 (-10.0 %)"));
    }
}
