//! The table for people, in the manner of strace -c.

use super::latency::{self, Latency};
use super::{errno_name, name, returns_bytes};
use clap::ValueEnum;
use linker::statistics::{CallStatistics, Statistics};
use std::cmp::Reverse;
use std::fmt::Write;

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// What took longest.
    Time,
    /// What was called most often.
    Count,
    /// What left the machine most often.
    Exits,
    /// By name.
    Name,
}

/// A line a call, with a total; of each thread, where there are some.
pub fn table(found: &Statistics, sort: Sort) -> String {
    let mut text = String::new();
    rows(&mut text, &found.calls, found.ticks_per_ms, sort);
    for thread in &found.threads {
        let thread_name = String::from_utf8_lossy(&thread.name);
        let _ = writeln!(text, "\nthread {} of process {}: {}", thread.tid, thread.pid, thread_name.escape_debug());
        rows(&mut text, &thread.calls, found.ticks_per_ms, sort);
    }
    text
}

fn rows(text: &mut String, calls: &[CallStatistics], ticks_per_ms: u64, sort: Sort) {
    let mut calls: Vec<&CallStatistics> = calls.iter().collect();
    match sort {
        Sort::Time => calls.sort_by_key(|row| Reverse(row.ticks)),
        Sort::Count => calls.sort_by_key(|row| Reverse(row.count)),
        Sort::Exits => calls.sort_by_key(|row| Reverse(row.exits)),
        Sort::Name => calls.sort_by_key(|row| name(row.number)),
    }
    let sum = |of: fn(&CallStatistics) -> u64| calls.iter().fold(0u64, |sum, row| sum.saturating_add(of(row)));
    let (ticks, count, exits) = (sum(|row| row.ticks), sum(|row| row.count), sum(|row| row.exits));
    let _ = writeln!(text, "% time     seconds      calls   exits    median       p99      bytes  call, errors");
    for row in calls {
        let share = row.ticks as f64 * 100.0 / ticks.max(1) as f64;
        let latency = Latency::of(&row.histogram, ticks_per_ms);
        let at = |percent| latency.as_ref().map_or_else(|| "-".into(), |latency| time(latency.at(percent)));
        let bytes = if returns_bytes(row.number) { row.returned.to_string() } else { "-".into() };
        let _ = writeln!(
            text,
            "{share:6.2} {:11.6} {:10} {:7} {:>9} {:>9} {bytes:>10}  {}{}",
            seconds(row.ticks, ticks_per_ms),
            row.count,
            row.exits,
            at(50.0),
            at(99.0),
            name(row.number),
            errors(row),
        );
    }
    let total = seconds(ticks, ticks_per_ms);
    let _ = writeln!(text, "100.00 {total:11.6} {count:10} {exits:7} {:>9} {:>9} {:>10}  total", "", "", "");
}

fn seconds(ticks: u64, ticks_per_ms: u64) -> f64 {
    latency::ns(ticks, ticks_per_ms) as f64 / 1e9
}

/// A time that is the end of a bucket: three digits are more than it says.
fn time(ns: u64) -> String {
    match ns {
        0..10_000 => format!("<{ns}ns"),
        10_000..10_000_000 => format!("<{}us", ns / 1_000),
        10_000_000..10_000_000_000 => format!("<{}ms", ns / 1_000_000),
        _ => format!("<{}s", ns / 1_000_000_000),
    }
}

fn errors(row: &CallStatistics) -> String {
    let mut errors = row.errors.clone();
    errors.sort_by_key(|(errno, count)| (Reverse(*count), *errno));
    errors.iter().map(|(errno, count)| format!(", {} {count}", errno_name(*errno))).collect()
}

#[cfg(test)]
mod tests {
    use super::{Sort, table};
    use linker::statistics::{CallStatistics, Statistics, ThreadStatistics};

    fn found() -> Statistics {
        let row = |number, count, ticks| CallStatistics {
            number,
            count,
            ticks,
            histogram: vec![0, 0, 0, 0, 0, 0, 0, count],
            errors: if number == 0 { vec![(11, 2)] } else { Vec::new() },
            ..CallStatistics::default()
        };
        let calls = vec![row(0, 10, 3_000), row(39, 100, 1_000)];
        let threads = vec![ThreadStatistics { tid: 2, pid: 1, name: b"a\x1bb".into(), calls: vec![row(39, 1, 7)] }];
        Statistics { ticks_per_ms: 1_000_000, counted_ns: 1, calls, threads }
    }

    #[test]
    fn the_order_is_what_was_asked_for() {
        let names = |sort| {
            let text = table(&found(), sort);
            let lines = text.lines().skip(1).take(2);
            lines
                .map(|line| line.split_whitespace().nth(7).unwrap().trim_end_matches(',').to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names(Sort::Time),
            ["read", "getppid"][..].iter().map(|name| name.replace("getppid", "getpid")).collect::<Vec<_>>()
        );
        assert_eq!(names(Sort::Count), ["getpid", "read"]);
    }

    #[test]
    fn shares_errors_and_threads_are_shown() {
        let text = table(&found(), Sort::Time);
        assert!(text.contains(" 75.00    0.000003         10       0    <256ns"), "{text}");
        assert!(text.contains("read, EAGAIN 2"), "{text}");
        assert!(text.contains("100.00    0.000004        110"), "{text}");
        assert!(text.contains("thread 2 of process 1: a\\u{1b}b"), "{text}");
    }
}
