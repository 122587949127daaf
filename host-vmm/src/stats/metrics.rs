//! The counters as OpenMetrics text, for a scraper (the OpenMetrics specification, 1.0).

use super::latency::{Latency, ns};
use super::{errno_name, name, returns_bytes};
use linker::statistics::{CallStatistics, Statistics};
use std::fmt::Write;

/// A family: its name, its kind, what it is, and its samples of one call.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: fn(&mut String, &str, &CallStatistics, u64),
}

const FAMILIES: [Family; 4] = [
    Family {
        name: "ringwall_syscall_duration_seconds",
        kind: "histogram",
        help: "How long system calls took, waiting included.",
        samples: durations,
    },
    Family {
        name: "ringwall_syscall_errors",
        kind: "counter",
        help: "System calls that failed, by errno.",
        samples: errors,
    },
    Family {
        name: "ringwall_syscall_exits",
        kind: "counter",
        help: "How often the virtual machine was left for system calls.",
        samples: |text, labels, row, _| sample(text, "ringwall_syscall_exits_total", labels, row.exits),
    },
    Family {
        name: "ringwall_syscall_bytes",
        kind: "counter",
        help: "Bytes that system calls returned.",
        samples: |text, labels, row, _| {
            if returns_bytes(row.number) {
                sample(text, "ringwall_syscall_bytes_total", labels, row.returned);
            }
        },
    },
];

/// The counters of some containers, by name.
pub fn metrics(found: &[(String, Statistics)]) -> String {
    let mut text = String::new();
    for family in &FAMILIES {
        let Family { name: family_name, kind, help, samples } = family;
        let _ = writeln!(text, "# TYPE {family_name} {kind}\n# HELP {family_name} {help}");
        for (id, statistics) in found {
            for row in &statistics.calls {
                let labels = format!("id=\"{}\",syscall=\"{}\"", escape(id), name(row.number));
                samples(&mut text, &labels, row, statistics.ticks_per_ms);
            }
        }
    }
    text.push_str("# EOF\n");
    text
}

fn durations(text: &mut String, labels: &str, row: &CallStatistics, ticks_per_ms: u64) {
    const NAME: &str = "ringwall_syscall_duration_seconds";
    let mut below = 0u64;
    if let Some(latency) = Latency::of(&row.histogram, ticks_per_ms) {
        for (end_ns, count) in latency.buckets() {
            below = below.saturating_add(count);
            let _ = writeln!(text, "{NAME}_bucket{{{labels},le=\"{}\"}} {below}", seconds(end_ns));
        }
    }
    let _ = writeln!(text, "{NAME}_bucket{{{labels},le=\"+Inf\"}} {}", row.count.max(below));
    let _ = writeln!(text, "{NAME}_sum{{{labels}}} {}", seconds(ns(row.ticks, ticks_per_ms)));
    sample(text, &format!("{NAME}_count"), labels, row.count.max(below));
}

fn errors(text: &mut String, labels: &str, row: &CallStatistics, _: u64) {
    for (errno, count) in &row.errors {
        let labels = format!("{labels},errno=\"{}\"", errno_name(*errno));
        sample(text, "ringwall_syscall_errors_total", &labels, *count);
    }
}

fn sample(text: &mut String, name: &str, labels: &str, value: u64) {
    let _ = writeln!(text, "{name}{{{labels}}} {value}");
}

fn seconds(ns: u64) -> String {
    format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::metrics;
    use linker::statistics::{CallStatistics, Statistics};

    #[test]
    fn a_histogram_is_cumulative_and_every_family_is_named_once() {
        let row = CallStatistics {
            number: 0,
            count: 3,
            ticks: 1_500,
            returned: 9,
            exits: 1,
            histogram: vec![0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 1],
            errors: vec![(11, 1)],
        };
        let statistics = Statistics { ticks_per_ms: 1_000_000, calls: vec![row], ..Statistics::default() };
        let text = metrics(&[("a\"b".into(), statistics)]);
        for line in [
            "ringwall_syscall_duration_seconds_bucket{id=\"a\\\"b\",syscall=\"read\",le=\"0.000000256\"} 2",
            "ringwall_syscall_duration_seconds_bucket{id=\"a\\\"b\",syscall=\"read\",le=\"0.000002048\"} 3",
            "ringwall_syscall_duration_seconds_bucket{id=\"a\\\"b\",syscall=\"read\",le=\"+Inf\"} 3",
            "ringwall_syscall_duration_seconds_sum{id=\"a\\\"b\",syscall=\"read\"} 0.000001500",
            "ringwall_syscall_errors_total{id=\"a\\\"b\",syscall=\"read\",errno=\"EAGAIN\"} 1",
            "ringwall_syscall_bytes_total{id=\"a\\\"b\",syscall=\"read\"} 9",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
        assert_eq!(text.lines().filter(|line| line.starts_with("# TYPE")).count(), 4);
        assert!(text.ends_with("\n# EOF\n"));
    }
}
