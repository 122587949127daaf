//! What is seen of system calls: counters of each thread (`calls`), and records for whoever asks (`trace`). A thread that ends
//! leaves its counters to its container's (`ENDED`), and their memory to the next thread (`SPARE`). Locks: all leaves.

mod calls;
pub mod trace;

pub use calls::Calls;

use crate::control::{self, container_of};
use crate::errno::Errno;
use crate::fs::host::client::File;
use crate::platform::platform;
use crate::sync::{Lock, Rank};
use crate::task::{Task, registry};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use linker::control::{MAX_MESSAGE, Report};
use linker::spec::StartSpec;
use linker::statistics::{CallStatistics, Statistics, ThreadStatistics};

/// Counters that are kept for threads to come.
const SPARES: usize = 16;
/// Rows of single threads in one answer, which has to fit in a message: they are encoded in less than 128 bytes.
const THREAD_ROWS: usize = MAX_MESSAGE / 256;

static ON: AtomicBool = AtomicBool::new(false);
/// Whether the calls are reported at the end of the first container.
static AT_END: AtomicBool = AtomicBool::new(false);
static SINCE_NS: AtomicU64 = AtomicU64::new(0);
/// What threads that have ended did, by container and number.
static ENDED: Lock<BTreeMap<u32, BTreeMap<u32, CallStatistics>>> = Lock::new(Rank::Leaf, BTreeMap::new());
static SPARE: Lock<Vec<Arc<Calls>>> = Lock::new(Rank::Leaf, Vec::new());

/// Takes over what is to be seen.
pub fn init(spec: &StartSpec) -> Result<(), Errno> {
    ON.store(spec.statistics, Ordering::Relaxed);
    AT_END.store(spec.calls_at_end, Ordering::Relaxed);
    SINCE_NS.store(platform().monotonic_ns(), Ordering::Relaxed);
    match &spec.trace {
        Some((filter, handle)) => trace::attach(control::FIRST, filter, File::adopt(*handle)),
        None => Ok(()),
    }
}

/// The calling thread begins to make system calls: its counters, or nobody's where calls are not counted.
pub fn thread_started(task: &Task) -> Arc<Calls> {
    if !ON.load(Ordering::Relaxed) {
        return Calls::nobody();
    }
    // Not in one: the lock would be held while memory is made.
    let spare = SPARE.lock().pop();
    let calls = spare.unwrap_or_default();
    calls.skip_exits();
    task.set_calls(Some(calls.clone()));
    calls
}

/// The thread makes no more system calls.
pub fn thread_gone(task: &Task) {
    let Some(calls) = task.set_calls(None) else { return };
    let container = container_of(task.process());
    let errors = calls.take_errors();
    calls.move_to(ENDED.lock().entry(container).or_default(), errors);
    // Somebody may be reading it; then it is not used again.
    if Arc::strong_count(&calls) == 1 {
        let mut spare = SPARE.lock();
        if spare.len() < SPARES {
            spare.push(calls);
        }
    }
}

/// A container is gone, and nobody will ask for what it did.
pub fn forget(container: u32) {
    trace::forget(container);
    let old = ENDED.lock().remove(&container);
    drop(old);
}

/// The first container ends: whoever wanted to know what it called is told.
pub fn finish() {
    trace::finish();
    if AT_END.load(Ordering::Relaxed) {
        control::report(&Report::Calls(statistics(control::FIRST, true)));
    }
}

/// The calls of a container, and of its threads that run where `threads` says so.
pub fn statistics(container: u32, threads: bool) -> Statistics {
    let mut totals = ENDED.lock().get(&container).cloned().unwrap_or_default();
    let (mut single, mut room) = (Vec::new(), THREAD_ROWS);
    for process in registry().processes() {
        if container_of(&process) != container {
            continue;
        }
        for task in process.threads() {
            let Some(calls) = task.calls() else { continue };
            let mut rows = calls.read();
            rows.retain(|row| row.count != 0);
            for row in &rows {
                add(&mut totals, row);
            }
            if threads && rows.len() <= room {
                room -= rows.len();
                for row in &mut rows {
                    row.histogram.clear();
                }
                let name = task.name().into_iter().take_while(|byte| *byte != 0).collect();
                let (tid, pid) = (task.shown_tid().raw(), process.shown_pid().raw());
                single.push(ThreadStatistics { tid, pid, name, calls: rows });
            }
        }
    }
    Statistics {
        ticks_per_ms: platform().ticks_per_ms(),
        counted_ns: platform().monotonic_ns().saturating_sub(SINCE_NS.load(Ordering::Relaxed)),
        calls: totals.into_values().filter(|row| row.count != 0).map(trimmed).collect(),
        threads: single,
    }
}

/// Without the zeroes at the end of its histogram.
fn trimmed(mut row: CallStatistics) -> CallStatistics {
    let used = row.histogram.iter().rposition(|count| *count != 0).map_or(0, |last| last + 1);
    row.histogram.truncate(used);
    row
}

/// Adds a row to the one of its number.
fn add(totals: &mut BTreeMap<u32, CallStatistics>, row: &CallStatistics) {
    if row.count == 0 {
        return;
    }
    let total = totals.entry(row.number).or_default();
    total.number = row.number;
    total.count = total.count.wrapping_add(row.count);
    total.ticks = total.ticks.wrapping_add(row.ticks);
    total.returned = total.returned.wrapping_add(row.returned);
    total.exits = total.exits.wrapping_add(row.exits);
    if total.histogram.len() < row.histogram.len() {
        total.histogram.resize(row.histogram.len(), 0);
    }
    for (sum, bucket) in total.histogram.iter_mut().zip(&row.histogram) {
        *sum = sum.wrapping_add(*bucket);
    }
    for (errno, count) in &row.errors {
        calls::add_error(total, *errno, *count);
    }
}

#[cfg(test)]
mod tests {
    use super::add;
    use linker::statistics::CallStatistics;
    use std::collections::BTreeMap;

    #[test]
    fn rows_of_one_number_are_added_up() {
        let mut totals = BTreeMap::new();
        let row = |histogram: &[u64], errors: &[(u16, u64)]| CallStatistics {
            number: 3,
            count: 2,
            ticks: 10,
            returned: 4,
            exits: 1,
            histogram: histogram.into(),
            errors: errors.into(),
        };
        add(&mut totals, &row(&[1, 1], &[(9, 1)]));
        add(&mut totals, &row(&[0, 0, 2], &[(9, 1), (4, 1)]));
        add(&mut totals, &CallStatistics { number: 7, ..CallStatistics::default() });
        assert_eq!(totals.len(), 1);
        let sum = &totals[&3];
        assert_eq!((sum.count, sum.ticks, sum.returned, sum.exits), (4, 20, 8, 2));
        assert_eq!((&sum.histogram[..], &sum.errors[..]), (&[1, 1, 2][..], &[(9, 2), (4, 1)][..]));
    }
}
