//! Measures on one side: pinned to a CPU, warmed, each call by itself.

use super::calls::{Call, ROWS, Row};
use super::distribution::{Distribution, Parts};
use crate::process;
use anyhow::{Context, ensure};
use linker::probe::Parts as Probed;
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// A call takes no longer than this in all, on each side: where calls are slow, fewer are made.
const LONGEST: Duration = Duration::from_secs(3);
/// Before they count: as many as a tenth of those that do, and for no longer than this.
const WARM: Duration = Duration::from_millis(300);

/// What was measured on one side.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    /// What two looks at the clock take, which is taken off.
    pub overhead_ns: u64,
    /// By call.
    pub calls: Vec<Measured>,
}

/// A call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// As in `ROWS`.
    pub name: String,
    /// How long.
    #[serde(flatten)]
    pub times: Distribution,
    /// Of which in which part of the kernel; where that was looked at, and calls went the short way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<Parts>,
}

/// Measures the calls of these names, all where there are none, each so often; in a sandbox that is `probed`, their parts as well.
pub fn measure(names: &[String], count: u32, probed: bool) -> anyhow::Result<Side> {
    pin(sched_getcpu())?;
    let (overhead, _) = times(&mut (Box::new(|| Ok(())) as Call), count.max(1000), false)?;
    let overhead_ns = Distribution::of(overhead, 0).map_or(0, |times| times.p50_ns);
    let wanted = |row: &&Row| names.is_empty() || names.iter().any(|name| name == row.name);
    let one = |row: &Row| {
        let mut call = (row.prepare)().with_context(|| row.name)?;
        let (times, parts) = times(&mut call, count, probed).with_context(|| row.name)?;
        let times = Distribution::of(times, overhead_ns).with_context(|| row.name)?;
        Ok(Measured { name: row.name.into(), times, parts: Parts::of(&parts) })
    };
    let calls = ROWS.iter().filter(wanted).map(one).collect::<anyhow::Result<_>>()?;
    Ok(Side { overhead_ns, calls })
}

/// Keeps this thread, and those and the processes that it starts from now on, on one CPU.
pub fn pin(cpu: usize) -> anyhow::Result<()> {
    ensure!(cpu < CpuSet::MAX_CPU, "CPU {cpu}: more than are known");
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("pinning to CPU {cpu}"))
}

/// How long each time took, and, where the sandbox is `probed`, its parts.
fn times(call: &mut Call, count: u32, probed: bool) -> anyhow::Result<(Vec<u64>, Vec<Probed>)> {
    let warm = Instant::now();
    for _ in 0..count / 10 {
        call()?;
        if warm.elapsed() > WARM {
            break;
        }
    }
    let mut times = Vec::with_capacity(count as usize);
    let mut parts = Vec::new();
    if probed {
        // Of what was before.
        process::take_parts()?;
    }
    let begin = Instant::now();
    for _ in 0..count {
        let before = Instant::now();
        call()?;
        let after = Instant::now();
        times.push(u64::try_from((after - before).as_nanos()).unwrap_or(u64::MAX));
        if probed {
            parts.push(process::take_parts()?);
        }
        if after - begin > LONGEST {
            break;
        }
    }
    Ok((times, parts))
}

#[cfg(test)]
mod tests {
    use super::super::calls::ROWS;
    use super::times;

    #[test]
    fn every_call_can_be_made() {
        for row in ROWS.iter().filter(|row| row.name != "fork") {
            let mut call = (row.prepare)().unwrap_or_else(|errno| panic!("{}: {errno}", row.name));
            let (times, parts) = times(&mut call, 20, false).unwrap_or_else(|error| panic!("{}: {error:#}", row.name));
            assert_eq!((times.len(), parts.len()), (20, 0), "{}", row.name);
        }
    }
}
