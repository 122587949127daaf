//! What stands out in the figures, in words: each rule looks at one thing, and says the figures that it goes by.

use super::html::{bytes, count, time};
use super::uses::Uses;
use crate::stats::latency::{Latency, ns};
use crate::stats::{errno_name, name, returns_bytes};
use linker::statistics::{CallStatistics, Statistics};
use linux_raw_sys::errno;
use std::cmp::Reverse;
use syscalls::Sysno;

/// Fewer calls than this are nobody's trouble.
const FEW: u64 = 50;
/// A share of the time, in percent, that is worth words.
const WORTH: u64 = 10;
/// A length up to which the call itself costs more than its bytes.
const SMALL: u64 = 16 << 10;

/// Calls that last as long as nothing happens: their time says nothing of their cost.
const WAITING: [Sysno; 32] = [
    Sysno::futex,
    Sysno::poll,
    Sysno::ppoll,
    Sysno::select,
    Sysno::pselect6,
    Sysno::epoll_wait,
    Sysno::epoll_pwait,
    Sysno::epoll_pwait2,
    Sysno::nanosleep,
    Sysno::clock_nanosleep,
    Sysno::pause,
    Sysno::wait4,
    Sysno::waitid,
    Sysno::rt_sigtimedwait,
    Sysno::rt_sigsuspend,
    Sysno::accept,
    Sysno::accept4,
    Sysno::connect,
    Sysno::recvfrom,
    Sysno::recvmsg,
    Sysno::recvmmsg,
    Sysno::flock,
    Sysno::vfork,
    Sysno::io_getevents,
    Sysno::io_uring_enter,
    Sysno::semop,
    Sysno::semtimedop,
    Sysno::msgrcv,
    Sysno::mq_timedreceive,
    Sysno::exit,
    Sysno::exit_group,
    Sysno::restart_syscall,
];

/// Calls that only ask, whose answers a program can keep or get from the vDSO.
const ASKING: [(Sysno, &str); 7] = [
    (Sysno::clock_gettime, "the vDSO answers it without a call: the program goes round it"),
    (Sysno::gettimeofday, "the vDSO answers it without a call: the program goes round it"),
    (Sysno::time, "the vDSO answers it without a call: the program goes round it"),
    (Sysno::getpid, "the answer does not change: ask once"),
    (Sysno::getuid, "the answer seldom changes: ask once"),
    (Sysno::sched_yield, "a program that yields in a loop is waiting: a futex waits without a CPU"),
    (Sysno::getrusage, "it is asked for all the time"),
];

/// The advice, the weightiest first; one line says so where there is none.
pub fn advice(found: &Statistics, uses: &Uses) -> Vec<String> {
    let busy: Vec<(&CallStatistics, u64)> =
        found.calls.iter().filter(|row| !is_waiting(row)).map(|row| (row, busy_ns(row, found.ticks_per_ms))).collect();
    let mut lines = time_goes(&busy, uses);
    lines.extend(exits_go(found));
    lines.extend(not_served(found));
    lines.extend(fail(found, uses));
    lines.extend(ask_often(found));
    lines.extend(long_tails(&busy, found.ticks_per_ms));
    if lines.is_empty() {
        lines.push(
            "Nothing stands out: no call takes much of the time, fails often or leaves the machine often.".into(),
        );
    }
    lines
}

fn is_waiting(row: &CallStatistics) -> bool {
    WAITING.iter().any(|call| call.id().cast_unsigned() == row.number)
}

/// How long a call took without the waiting of those that wait now and then, as reads of a pipe do: what takes longer than nine in
/// ten counts as one of these.
fn busy_ns(row: &CallStatistics, ticks_per_ms: u64) -> u64 {
    let all = ns(row.ticks, ticks_per_ms);
    let usual = Latency::of(&row.histogram, ticks_per_ms).map(|latency| latency.at(90.0).saturating_mul(row.count));
    usual.map_or(all, |usual| all.min(usual))
}

fn share(part: u64, whole: u64) -> u64 {
    u64::try_from(u128::from(part) * 100 / u128::from(whole.max(1))).unwrap_or(100)
}

/// Where the time goes that was not waited.
fn time_goes(busy: &[(&CallStatistics, u64)], uses: &Uses) -> Vec<String> {
    let whole_ns = busy.iter().fold(0u64, |sum, (_, ns)| sum.saturating_add(*ns));
    let mut rows: Vec<_> = busy.iter().filter(|(row, ns)| row.count >= FEW && share(*ns, whole_ns) >= WORTH).collect();
    rows.sort_by_key(|(_, ns)| Reverse(*ns));
    let line = |row: &CallStatistics, busy_ns: u64| {
        let percent = share(busy_ns, whole_ns);
        let whole = format!(
            "{percent} % of the time in calls that do not wait is {} × {} ({})",
            count(row.count),
            name(row.number),
            time(busy_ns),
        );
        let files = uses.of(row.number);
        let all_ns = files.iter().fold(0u64, |sum, (_, one)| sum.saturating_add(one.ns));
        let (file, length) = match files.first() {
            Some((file, one)) if share(one.ns, all_ns) >= 50 => {
                let of = one.length().map_or(String::new(), |length| format!(", {} each", bytes(length)));
                (
                    format!(": of those that were looked at, {} % of the time on {file:?}{of}", share(one.ns, all_ns)),
                    one.length(),
                )
            }
            _ => (String::new(), None),
        };
        let mean = returns_bytes(row.number).then(|| row.returned / row.count.max(1));
        let advice = match length.or(mean) {
            Some(length @ 1..=SMALL) if returns_bytes(row.number) => {
                format!(
                    ". At about {} a call, the calls cost more than the bytes: a larger buffer makes fewer of them.",
                    bytes(length)
                )
            }
            _ => ".".into(),
        };
        format!("{whole}{file}{advice}")
    };
    rows.into_iter().take(3).map(|(row, ns)| line(row, *ns)).collect()
}

/// Which call leaves the machine.
fn exits_go(found: &Statistics) -> Option<String> {
    let all = found.calls.iter().fold(0u64, |sum, row| sum.saturating_add(row.exits));
    let row = found.calls.iter().max_by_key(|row| row.exits)?;
    (row.exits >= FEW && share(row.exits, all) >= 40).then(|| {
        format!(
            "{} % of the {} exits from the virtual machine are made for {}, {:.1} a call: what it asks for is not in memory inside.",
            share(row.exits, all),
            count(all),
            name(row.number),
            row.exits as f64 / row.count.max(1) as f64
        )
    })
}

/// What is not there.
fn not_served(found: &Statistics) -> Option<String> {
    let missing: Vec<String> = found
        .calls
        .iter()
        .filter_map(|row| {
            let times = failures(row, errno::ENOSYS);
            (times != 0).then(|| format!("{} ({} ×)", name(row.number), count(times)))
        })
        .collect();
    (!missing.is_empty()).then(|| {
        format!(
            "Answered with ENOSYS, as on a kernel that does not have them: {}. Programs mostly do without; one that fails \
             after such a call needs it.",
            missing.join(", ")
        )
    })
}

fn failures(row: &CallStatistics, errno: u32) -> u64 {
    row.errors
        .iter()
        .filter(|(found, _)| u32::from(*found) == errno)
        .fold(0u64, |sum, (_, count)| sum.saturating_add(*count))
}

/// What mostly fails.
fn fail(found: &Statistics, uses: &Uses) -> Vec<String> {
    let line = |row: &CallStatistics| {
        let (errno, times) = *row.errors.iter().filter(|(errno, _)| *errno != 0).max_by_key(|(_, count)| *count)?;
        if times < FEW || share(times, row.count) < 30 || u32::from(errno) == errno::ENOSYS {
            return None;
        }
        let why = match u32::from(errno) {
            errno::EAGAIN => " It is called before there is anything: waiting for readiness makes fewer calls.",
            errno::ENOENT => {
                " It looks along a path of places: a shorter path, or what it looks for in its first place, makes fewer calls."
            }
            errno::ETIMEDOUT => " It waits with a timeout, again and again.",
            _ => "",
        };
        let example = uses.of(row.number).into_iter().max_by_key(|(_, one)| one.failed);
        let example =
            example.filter(|(_, one)| one.failed != 0).map_or(String::new(), |(file, _)| format!(", as on {file:?}"));
        let (name, errno) = (name(row.number), errno_name(errno));
        Some(format!("{} % of {} × {name} fail with {errno}{example}.{why}", share(times, row.count), count(row.count)))
    };
    found.calls.iter().filter_map(line).take(4).collect()
}

/// What is asked again and again.
fn ask_often(found: &Statistics) -> Vec<String> {
    let all = found.calls.iter().fold(0u64, |sum, row| sum.saturating_add(row.count));
    let asked = ASKING.iter().filter_map(|(call, why)| {
        let row = found.calls.iter().find(|row| row.number == call.id().cast_unsigned())?;
        (row.count >= FEW && share(row.count, all) >= WORTH)
            .then(|| format!("{} % of all calls are {}: {why}.", share(row.count, all), call.name()))
    });
    asked.collect()
}

/// Calls that are mostly quick, and sometimes not at all.
fn long_tails(busy: &[(&CallStatistics, u64)], ticks_per_ms: u64) -> Option<String> {
    const RATIO: u64 = 256;
    const SLOW_NS: u64 = 1_000_000;
    let tails = busy.iter().filter(|(row, _)| row.count >= 10 * FEW).filter_map(|(row, _)| {
        let latency = Latency::of(&row.histogram, ticks_per_ms)?;
        let (usual, slow) = (latency.at(50.0), latency.at(99.0));
        (slow >= SLOW_NS && slow / usual.max(1) >= RATIO).then_some((slow, usual, row.number))
    });
    let (slow, usual, number) = tails.max()?;
    Some(format!(
        "{} is uneven: half of them take less than {}, one in a hundred up to {} or more. The slow ones wait for the host, or for another thread.",
        name(number),
        time(usual),
        time(slow)
    ))
}

#[cfg(test)]
mod tests {
    use super::super::uses::{Uses, tests::call};
    use super::advice;
    use linker::statistics::{CallStatistics, Statistics};
    use syscalls::Sysno;

    fn row(call: Sysno, count: u64, ticks: u64) -> CallStatistics {
        CallStatistics { number: call.id().cast_unsigned(), count, ticks, ..CallStatistics::default() }
    }

    #[test]
    fn a_few_long_waits_are_not_the_time_that_calls_take() {
        // A hundred quick ones, and two that waited.
        let mut histogram = vec![0; 31];
        (histogram[9], histogram[30]) = (100, 2);
        let read = CallStatistics { histogram, ..row(Sysno::read, 102, 1 << 32) };
        let text = of(vec![read, row(Sysno::openat, 1_000, 1_000_000)], &Uses::default());
        assert!(text.starts_with("90 % of the time in calls that do not wait is 1,000 × openat"), "{text}");
    }

    fn of(calls: Vec<CallStatistics>, uses: &Uses) -> String {
        advice(&Statistics { ticks_per_ms: 1_000_000, calls, ..Statistics::default() }, uses).join("\n")
    }

    #[test]
    fn small_reads_of_one_file_are_named() {
        let mut uses = Uses::default();
        uses.take(&call(1, Sysno::openat, [0; 6], Some((1, "/var/lib/data")), 3));
        (0..9).for_each(|_| uses.take(&call(1, Sysno::read, [3, 0, 4096, 0, 0, 0], None, 4096)));
        let read = CallStatistics { returned: 1_000 << 12, ..row(Sysno::read, 1_000, 430) };
        let text = of(vec![read, row(Sysno::openat, 1_000, 570), row(Sysno::futex, 10, 1 << 40)], &uses);
        assert!(text.contains("43 % of the time in calls that do not wait is 1,000 × read"), "{text}");
        assert!(text.contains("100 % of the time on \"/var/lib/data\", 4 KiB each"), "{text}");
        assert!(text.contains("a larger buffer") && !text.contains("futex"), "{text}");
    }

    #[test]
    fn failures_exits_and_missing_calls_are_named() {
        let open = CallStatistics { errors: vec![(2, 90)], ..row(Sysno::openat, 100, 1) };
        let stat = CallStatistics { exits: 400, ..row(Sysno::newfstatat, 200, 1) };
        let missing = CallStatistics { errors: vec![(38, 3)], ..row(Sysno::bpf, 3, 1) };
        let text = of(vec![open, stat, missing, row(Sysno::getpid, 900, 1)], &Uses::default());
        for part in [
            "90 % of 100 × openat fail with ENOENT.",
            "100 % of the 400 exits from the virtual machine are made for newfstatat, 2.0 a call",
            "bpf (3 ×)",
            "74 % of all calls are getpid",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn figures_that_make_no_sense_make_no_advice() {
        assert!(of(Vec::new(), &Uses::default()).starts_with("Nothing stands out"));
        let broken = CallStatistics {
            number: u32::MAX,
            count: u64::MAX,
            ticks: u64::MAX,
            exits: u64::MAX,
            histogram: vec![u64::MAX; 99],
            errors: vec![(u16::MAX, u64::MAX), (38, u64::MAX), (38, u64::MAX)],
            ..CallStatistics::default()
        };
        let _ = of(vec![broken.clone(), broken], &Uses::default());
    }
}
