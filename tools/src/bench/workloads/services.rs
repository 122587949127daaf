//! The workloads with containers that go on: servers under load from outside, idle ones, many at once.

use super::peer::Network;
use super::site::{Place, Site};
use crate::process;
use anyhow::{Context, Result, bail};
use std::collections::HashSet;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A server that writes nothing.
pub const REDIS: &str =
    "redis-server --bind 0.0.0.0 --protected-mode no --save '' --appendonly no --loglevel warning >/dev/null";
/// Its load: one line of figures.
pub const PING: &str = "redis-benchmark -t ping_mbulk -P 16 -n 50000 --csv";
const NGINX: &str = "printf 'daemon off; events {} http { access_log off; server { listen 8080; location / { return 200 \"hello\\\\n\"; } } }' >/tmp/conf && \
                     exec nginx -c /tmp/conf";

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);
/// Containers started at once.
const AT_ONCE: usize = 16;

/// redis, asked from outside; nanoseconds a request.
pub fn redis(site: &Site, peer: &str, network: Network) -> Result<Vec<f64>> {
    let script = format!("exec {REDIS}");
    let place = site.place(peer, network, &script)?;
    serve(place, 6379, |address| {
        let words: Vec<&str> = PING.split(' ').collect();
        let mut load = Command::new("timeout");
        load.args(["-k", "5", "120"]).args(words).args(["-h", address]);
        nanoseconds(&String::from_utf8_lossy(&process::output(&mut load)?))
    })
}

/// nginx under wrk, from outside; nanoseconds a request.
pub fn nginx(site: &Site, peer: &str) -> Result<Vec<f64>> {
    let place = site.place(peer, Network::Sandbox, NGINX)?;
    serve(place, 8080, |address| {
        let mut load = Command::new("timeout");
        load.args(["-k", "5", "60", "wrk", "-t", "1", "-c", "16", "-d", "10s", &format!("http://{address}:8080/")]);
        let said = process::output(&mut load)?;
        let said = String::from_utf8_lossy(&said);
        if said.contains("Non-2xx") {
            bail!("some answers were errors: {said}");
        }
        let rate = said.lines().find_map(|line| line.strip_prefix("Requests/sec:")).context("wrk gave no figure")?;
        Ok(1e9 / rate.trim().parse::<f64>().context("wrk gave no number")?)
    })
}

/// Starts the server, waits until it listens, puts it under load, ends it.
fn serve(place: Place, port: u16, load: impl Fn(&str) -> Result<f64>) -> Result<Vec<f64>> {
    let mut server = place.start()?;
    let result = wait(&mut server, &place.address, port).and_then(|()| load(&place.address));
    // What was asked of a server that went away says nothing of it.
    let ended = server.try_wait()?;
    let result = match ended {
        Some(status) => result.and_then(|_| bail!("the server ended with {status} under its load")),
        None => result,
    };
    let said = place.log();
    place.end(server)?;
    place.clear()?;
    match result {
        Ok(value) => Ok(vec![value]),
        Err(error) if said.is_empty() => Err(error),
        Err(error) => Err(error.context(said)),
    }
}

fn wait(server: &mut Child, address: &str, port: u16) -> Result<()> {
    let address = SocketAddr::new(address.parse()?, port);
    let start = Instant::now();
    while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
        if let Some(status) = server.try_wait()? {
            bail!("the server ended with {status}");
        }
        if start.elapsed() > PATIENCE {
            bail!("the server did not listen within {} s", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// What redis-benchmark's figures mean for one request.
pub fn nanoseconds(csv: &str) -> Result<f64> {
    let line =
        csv.lines().find(|line| line.starts_with("\"PING_MBULK\"")).with_context(|| format!("no figure in {csv:?}"))?;
    let rate = line.split(',').nth(1).context("no second column")?.trim_matches('"');
    Ok(1e9 / rate.parse::<f64>().with_context(|| format!("no number in {line}"))?)
}

/// Memory of so many containers whose program sleeps: all host processes that came with them, but the program.
pub fn memory(site: &Site, peer: &str, count: usize) -> Result<Vec<f64>> {
    let before = processes();
    let mut running = Vec::new();
    let mut started = Ok(());
    for _ in 0..count {
        started = (|| {
            let place = site.place(peer, Network::Sandbox, "echo here; exec sleep 1000")?;
            let child = place.start()?;
            running.push((place, child));
            let (place, child) = running.last_mut().context("just pushed")?;
            let start = Instant::now();
            while place.log() != "here" {
                if start.elapsed() > PATIENCE || child.try_wait()?.is_some() {
                    bail!("it did not start: {}", place.log());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        })();
        if started.is_err() {
            break;
        }
    }
    // What a start leaves to do is done.
    std::thread::sleep(Duration::from_secs(3));
    let sum = processes().difference(&before).filter_map(|process| proportional(*process)).sum::<u64>();
    for (place, child) in running {
        place.end(child)?;
        place.clear()?;
    }
    started?;
    Ok(vec![sum as f64])
}

fn processes() -> HashSet<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The proportional share of memory in KiB; nothing of the program that sleeps, of its shell and of what watches over its time.
fn proportional(process: u32) -> Option<u64> {
    let folder = format!("/proc/{process}");
    let name = fs::read_to_string(format!("{folder}/comm")).ok()?;
    if ["sleep", "bash", "timeout"].contains(&name.trim()) {
        return None;
    }
    let text = fs::read_to_string(format!("{folder}/smaps_rollup")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Pss:"))?.trim().trim_end_matches(" kB").parse().ok()
}

/// Starts some containers at once; milliseconds for each.
pub fn starts(site: &Site, peer: &str) -> Result<Vec<f64>> {
    let mut places = Vec::new();
    for _ in 0..AT_ONCE {
        places.push(site.place(peer, Network::Sandbox, "exec true")?);
    }
    let start = Instant::now();
    let children: Vec<Result<Child>> = places.iter().map(Place::start).collect();
    let mut result = Ok(());
    for child in children {
        let status = child.and_then(|mut child| Ok(child.wait()?));
        result = match (result, status) {
            (Ok(()), Ok(status)) if !status.success() => Err(anyhow::anyhow!("one ended with {status}")),
            (Ok(()), Err(error)) => Err(error),
            (result, _) => result,
        };
    }
    let took = start.elapsed();
    let said: Vec<String> = places.iter().map(Place::log).filter(|said| !said.is_empty()).collect();
    for place in places {
        place.clear()?;
    }
    result.with_context(|| said.join("; "))?;
    Ok(vec![took.as_secs_f64() * 1e3 / AT_ONCE as f64])
}

#[cfg(test)]
mod tests {
    use super::nanoseconds;

    #[test]
    fn requests_a_second_become_time_a_request() {
        let csv = "\"test\",\"rps\",\"avg_latency_ms\"\n\"PING_MBULK\",\"250000.00\",\"0.1\"\n";
        assert_eq!(nanoseconds(csv).ok(), Some(4000.0));
        assert!(nanoseconds("Could not connect").is_err());
    }
}
