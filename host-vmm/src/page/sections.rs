//! The parts of the page, in order.

use super::Page;
use super::advice::advice;
use super::html::{bytes, count, escape, time};
use super::samples::rate;
use super::svg::{self, Bar, Timeline};
use crate::stats::latency::{Latency, ns};
use crate::stats::{errno_name, name, returns_bytes};
use linker::statistics::{CallStatistics, Statistics};
use linux_raw_sys::errno::ENOSYS;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Bars in a chart, and histograms.
const MOST_BARS: usize = 15;
const MOST_HISTOGRAMS: usize = 9;
/// Areas of the timeline, beside that of all others.
const MOST_AREAS: usize = 5;
/// Threads that are shown.
const MOST_THREADS: usize = 50;

fn sum(calls: &[CallStatistics], of: impl Fn(&CallStatistics) -> u64) -> u64 {
    calls.iter().fold(0, |sum, row| sum.saturating_add(of(row)))
}

/// Those of which there is anything, most first.
fn most(calls: &[CallStatistics], of: fn(&CallStatistics) -> u64) -> Vec<&CallStatistics> {
    let mut rows: Vec<_> = calls.iter().filter(|row| of(row) != 0).collect();
    rows.sort_by_key(|row| (Reverse(of(row)), row.number));
    rows
}

fn percent(part: u64, whole: u64) -> String {
    format!("{:.1} %", part as f64 * 100.0 / whole.max(1) as f64)
}

fn figure(caption: &str, svg: &str) -> String {
    format!("<figure><figcaption>{}</figcaption>{svg}</figure>\n", escape(caption))
}

pub fn head(page: &Page<'_>) -> String {
    let Statistics { calls, counted_ns, ticks_per_ms, .. } = page.samples.last();
    let failed = sum(calls, |row| row.errors.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count)));
    let tiles = [
        (count(sum(calls, |row| row.count)), "calls"),
        (count(calls.len() as u64), "different ones"),
        (time(ns(sum(calls, |row| row.ticks), *ticks_per_ms)), "in calls, waiting included, all threads"),
        (count(failed), "failed"),
        (count(sum(calls, |row| row.exits)), "exits for them"),
        (time(*counted_ns), "counted for"),
    ];
    let tiles: String =
        tiles.iter().map(|(value, what)| format!("<li><b>{}</b>{}</li>", escape(value), escape(what))).collect();
    let machine = page.machine;
    let ended = if page.ended { "; it has ended" } else { "" };
    format!(
        "<h1>{}</h1><p class=\"note\">System calls as ringwall {} served them{ended}. {}; {}; KVM {}.</p>\
         <ul class=\"tiles\">{tiles}</ul>\n",
        escape(page.title),
        env!("CARGO_PKG_VERSION"),
        escape(&machine.cpu),
        escape(&machine.kernel),
        escape(machine.kvm),
    )
}

pub fn advised(page: &Page<'_>) -> String {
    let lines: String =
        advice(page.samples.last(), page.uses).iter().map(|line| format!("<li>{}</li>", escape(line))).collect();
    let looked = match (page.uses.records, page.uses.lost) {
        (0, _) => "No single calls were looked at, so files are not named.".into(),
        (records, 0) => format!("Files are named from {} calls that were looked at.", count(records)),
        (records, lost) => {
            format!(
                "Files are named from {} calls that were looked at; {} more came too fast.",
                count(records),
                count(lost)
            )
        }
    };
    format!("<h2>What stands out</h2><ul class=\"advice\">{lines}</ul><p class=\"note\">{looked}</p>\n")
}

fn bars(page: &Page<'_>, title: &str, of: fn(&CallStatistics) -> u64, text: impl Fn(u64) -> String) -> String {
    let calls = &page.samples.last().calls;
    let all = sum(calls, of);
    let bars: Vec<Bar> = most(calls, of)
        .into_iter()
        .take(MOST_BARS)
        .map(|row| Bar {
            name: name(row.number),
            value: of(row) as f64,
            text: format!("{} ({})", text(of(row)), percent(of(row), all)),
        })
        .collect();
    match bars.is_empty() {
        true => format!("<h2>{title}</h2><p class=\"note\">None.</p>\n"),
        false => format!("<h2>{title}</h2>{}\n", svg::bars(title, &bars)),
    }
}

pub fn by_count(page: &Page<'_>) -> String {
    bars(page, "Calls by count", |row| row.count, count)
}

pub fn by_time(page: &Page<'_>) -> String {
    let ticks_per_ms = page.samples.last().ticks_per_ms;
    bars(page, "Calls by time, waiting included", |row| row.ticks, |ticks| time(ns(ticks, ticks_per_ms)))
}

pub fn exits(page: &Page<'_>) -> String {
    bars(page, "Exits from the virtual machine, by the call they were for", |row| row.exits, count)
}

/// Rates over time, the calls that were made most often told apart.
pub fn over_time(page: &Page<'_>) -> String {
    let samples = page.samples.all();
    let pairs = || samples.iter().zip(samples.iter().skip(1));
    let start = samples.first().map_or(0.0, |sample| sample.at.as_secs_f64());
    let seconds: Vec<f64> = pairs().map(|(_, after)| after.at.as_secs_f64() - start).collect();
    if seconds.is_empty() {
        return "<h2>Over time</h2><p class=\"note\">Too short a time.</p>\n".into();
    }
    let mut during: Vec<(u64, u32)> = match (samples.first(), samples.last()) {
        (Some(first), Some(last)) => {
            let before = |number| first.calls.get(number).copied().unwrap_or(0);
            last.calls.iter().map(|(number, count)| (count.saturating_sub(before(number)), *number)).collect()
        }
        _ => Vec::new(),
    };
    during.sort_by_key(|(count, number)| (Reverse(*count), *number));
    let shown: Vec<u32> =
        during.iter().filter(|(count, _)| *count != 0).take(MOST_AREAS).map(|(_, call)| *call).collect();
    let of = |number: u32| {
        let rates = pairs()
            .map(|(before, after)| rate(before, after, |sample| sample.calls.get(&number).copied().unwrap_or(0)));
        rates.collect::<Vec<f64>>()
    };
    let mut series: Vec<(String, Vec<f64>)> = shown.iter().map(|number| (name(*number), of(*number))).collect();
    let others = pairs().map(|(before, after)| {
        let all = |sample: &super::samples::Sample| {
            let others = sample.calls.iter().filter(|(number, _)| !shown.contains(number));
            others.fold(0u64, |sum, (_, count)| sum.saturating_add(*count))
        };
        rate(before, after, all)
    });
    series.push(("others".into(), others.collect()));
    let single = |caption: &str, of: fn(&super::samples::Sample) -> u64| {
        let values = pairs().map(|(before, after)| rate(before, after, of)).collect();
        let shown = Timeline { seconds: seconds.clone(), series: vec![(caption.into(), values)] };
        figure(&format!("{caption} a second"), &svg::timeline(caption, &shown))
    };
    let calls = svg::timeline("calls a second", &Timeline { seconds: seconds.clone(), series });
    let (failed, exits) = (single("failed", |sample| sample.errors), single("exits", |sample| sample.exits));
    format!("<h2>Over time</h2>{}{failed}{exits}\n", figure("calls a second", &calls))
}

pub fn latencies(page: &Page<'_>) -> String {
    let Statistics { calls, ticks_per_ms, .. } = page.samples.last();
    let mut grid = String::new();
    for row in most(calls, |row| row.ticks).into_iter().take(MOST_HISTOGRAMS) {
        let Some(latency) = Latency::of(&row.histogram, *ticks_per_ms) else { continue };
        let marks = [("p50", latency.at(50.0)), ("p99", latency.at(99.0))];
        let call = name(row.number);
        grid += &figure(
            &format!("{call}, {} calls", count(row.count)),
            &svg::histogram(&format!("how long {call} takes"), &latency.range(), &marks),
        );
    }
    format!(
        "<h2>How long they take</h2><p class=\"note\">Columns are powers of two of the time stamp counter's ticks.</p><div class=\"grid\">{grid}</div>\n"
    )
}

/// By errno, with the calls that gave it; what is not served first.
pub fn errors(page: &Page<'_>) -> String {
    let calls = &page.samples.last().calls;
    let mut by_errno: BTreeMap<u16, (u64, Vec<(u64, u32)>)> = BTreeMap::new();
    for row in calls {
        for (errno, times) in &row.errors {
            let entry = by_errno.entry(*errno).or_default();
            entry.0 = entry.0.saturating_add(*times);
            entry.1.push((*times, row.number));
        }
    }
    let mut found: Vec<_> = by_errno.into_iter().collect();
    found.sort_by_key(|(errno, (times, _))| (Reverse(u32::from(*errno) == ENOSYS), Reverse(*times)));
    if found.is_empty() {
        return "<h2>Errors and ENOSYS</h2><p class=\"note\">None.</p>\n".into();
    }
    let bars: Vec<Bar> = found
        .into_iter()
        .take(MOST_BARS)
        .map(|(errno, (times, mut calls))| {
            calls.sort_by_key(|(times, _)| Reverse(*times));
            let names: Vec<String> = calls.iter().take(3).map(|(_, number)| name(*number)).collect();
            Bar {
                name: errno_name(errno),
                value: times as f64,
                text: format!("{}: {}{}", count(times), names.join(", "), if calls.len() > 3 { " …" } else { "" }),
            }
        })
        .collect();
    format!("<h2>Errors and ENOSYS</h2>{}\n", svg::bars("errors by errno", &bars))
}

pub fn table(page: &Page<'_>) -> String {
    let Statistics { calls, ticks_per_ms, .. } = page.samples.last();
    let mut text = String::from(
        "<h2>All calls</h2><div class=\"scroll\"><table><tr><th>calls</th><th>time</th><th>p50</th><th>p99</th><th>longest</th>\
         <th>exits</th><th>bytes</th><th>call, errors</th></tr>\n",
    );
    for row in most(calls, |row| row.count) {
        let latency = Latency::of(&row.histogram, *ticks_per_ms);
        let at = |percent| {
            latency.as_ref().map_or_else(|| "-".into(), |latency| format!("&lt; {}", time(latency.at(percent))))
        };
        let errors: String =
            row.errors.iter().map(|(errno, times)| format!(", {} {}", errno_name(*errno), count(*times))).collect();
        let _ = writeln!(
            text,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}{}</td></tr>",
            count(row.count),
            time(ns(row.ticks, *ticks_per_ms)),
            at(50.0),
            at(99.0),
            at(100.0),
            count(row.exits),
            if returns_bytes(row.number) { bytes(row.returned) } else { "-".into() },
            escape(&name(row.number)),
            escape(&errors),
        );
    }
    text + "</table></div>\n"
}

pub fn threads(page: &Page<'_>) -> String {
    let Statistics { threads, ticks_per_ms, .. } = page.samples.last();
    let mut threads: Vec<_> = threads.iter().collect();
    if threads.is_empty() {
        return String::new();
    }
    threads.sort_by_key(|thread| Reverse(sum(&thread.calls, |row| row.count)));
    let mut text = String::from(
        "<h2>Threads that ran at the end</h2><div class=\"scroll\"><table><tr><th>thread</th><th>process</th><th>calls</th>\
         <th>time</th><th>name, most frequent calls</th></tr>\n",
    );
    for thread in threads.into_iter().take(MOST_THREADS) {
        let frequent: Vec<String> =
            most(&thread.calls, |row| row.count).into_iter().take(3).map(|row| name(row.number)).collect();
        let _ = writeln!(
            text,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}: {}</td></tr>",
            thread.tid,
            thread.pid,
            count(sum(&thread.calls, |row| row.count)),
            time(ns(sum(&thread.calls, |row| row.ticks), *ticks_per_ms)),
            escape(&String::from_utf8_lossy(&thread.name)),
            escape(&frequent.join(", ")),
        );
    }
    text + "</table></div>\n"
}
