//! The workloads that run to their end: each returns the values of its rows, of one run under one peer.

use super::peer::Network;
use super::services;
use super::site::Site;
use anyhow::{Context, Result, bail};
use std::time::Instant;

/// A workload: the names of its rows, how often it runs at most, and how.
pub struct Use {
    /// Its rows.
    pub rows: &'static [&'static str],
    /// More runs tell nothing more.
    pub most: u32,
    /// One run.
    pub run: fn(&Site, &str) -> Result<Vec<f64>>,
}

const fn workload(rows: &'static [&'static str], run: fn(&Site, &str) -> Result<Vec<f64>>) -> Use {
    Use { rows, most: u32::MAX, run }
}

/// All of them. The first shows whether a peer can run at all.
pub const USES: &[Use] = &[
    workload(&["cold start"], cold_start),
    workload(&["sha256sum of 256 MiB, cold", "sha256sum of 256 MiB, warm"], sha256sum),
    workload(&["fork-heavy script"], |site, peer| inside(site, peer, FORKS)),
    workload(&["make -j2"], |site, peer| inside(site, peer, MAKE)),
    workload(&["git status of 5,000 files", "grep -r over 5,000 files"], |site, peer| inside(site, peer, GIT)),
    workload(&["memory of an idle container"], |site, peer| services::memory(site, peer, 1)),
    // Half an hour for what hardly varies, if it ran as often as the others.
    Use { rows: &["memory of 50 idle containers"], most: 1, run: |site, peer| services::memory(site, peer, 50) },
    workload(&["a start, 16 at once"], services::starts),
    // Last: the emulated machine may take harm from thousands of exits a second (docs/testing.md), and what is measured after that too.
    workload(&["redis PING, loopback inside"], redis_inside),
    workload(&["redis PING, host network"], |site, peer| services::redis(site, peer, Network::Host)),
    workload(&["redis PING, sandbox network"], |site, peer| services::redis(site, peer, Network::Sandbox)),
    workload(&["nginx under wrk"], services::nginx),
];

/// `took COMMAND…` says how long it took, in microseconds.
const TOOK: &str =
    "took() { local start=${EPOCHREALTIME/./}; \"$@\" || exit; echo \"@took $((${EPOCHREALTIME/./} - start))\"; }\n";

const FORKS: &str = "forks() { local i; for ((i = 0; i < 150; i++)); do x=$(echo \"$i\" | cat); /bin/true; [[ $x == \"$i\" ]] || exit; done; }\ntook forks";
const MAKE: &str = "cd /src && make() { command make -s -j2; } && took make && ./program >/dev/null";
const GIT: &str = "cd /data/tree && export GIT_OPTIONAL_LOCKS=0 GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=* && \
                   status() { [[ -z $(git status --porcelain) ]]; } && search() { [[ $(grep -r needle . --exclude-dir=.git | wc -l) == 5000 ]]; } && \
                   took status && took search";

/// From the runtime's start to its end; the program prints a line.
fn cold_start(site: &Site, peer: &str) -> Result<Vec<f64>> {
    let place = site.place(peer, Network::Sandbox, "exec echo here")?;
    let start = Instant::now();
    let said = place.output();
    let took = start.elapsed();
    place.clear()?;
    match said?.trim() {
        "here" => Ok(vec![took.as_secs_f64() * 1e3]),
        other => bail!("it said {other:?}"),
    }
}

fn sha256sum(site: &Site, peer: &str) -> Result<Vec<f64>> {
    site.make_cold()?;
    inside(site, peer, "took sha256sum /data/large; took sha256sum /data/large")
}

/// Server and client in one container.
fn redis_inside(site: &Site, peer: &str) -> Result<Vec<f64>> {
    let script = format!(
        "{} & until redis-cli ping >/dev/null 2>&1; do sleep 0.1; done; {}; kill %1; wait",
        services::REDIS,
        services::PING
    );
    let place = site.place(peer, Network::Sandbox, &script)?;
    let said = place.output();
    place.clear()?;
    Ok(vec![services::nanoseconds(&said?)?])
}

/// A script in which `took` stands before what is measured.
fn inside(site: &Site, peer: &str, script: &str) -> Result<Vec<f64>> {
    let place = site.place(peer, Network::Sandbox, &format!("{TOOK}{script}"))?;
    let said = place.output();
    place.clear()?;
    let said = said?;
    let took = said.lines().filter_map(|line| line.strip_prefix("@took "));
    let values: Vec<f64> =
        took.map(|value| Ok(value.trim().parse::<f64>().context("no number")? / 1e3)).collect::<Result<_>>()?;
    if values.is_empty() {
        bail!("it said nothing of the time it took: {said:?}");
    }
    Ok(values)
}
