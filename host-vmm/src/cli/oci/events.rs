//! `events`.

use super::Runtime;
use crate::container::client::Connection;
use crate::container::status::Status;
use anyhow::bail;
use linker::control::{Outcome, Usage, What};
use serde_json::json;
use std::io::Write;
use std::time::Duration;

#[derive(clap::Args)]
pub struct Args {
    /// Once
    #[arg(long)]
    stats: bool,
    /// Time between two, as in 5s or 500ms
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_interval)]
    interval: Duration,
    /// Name of the container
    #[arg(value_name = "ID")]
    id: String,
}

/// How often the host is asked whether it killed something for want of memory.
const LOOK: Duration = Duration::from_millis(200);

fn parse_interval(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match text.get(number.len()..) {
        Some("ms") => 0.001,
        Some("s" | "") => 1.0,
        Some("m") => 60.0,
        Some("h") => 3600.0,
        _ => return Err(format!("{text:?} is no time")),
    };
    let seconds = number.parse::<f64>().map_err(|_| format!("{text:?} is no time"))? * scale;
    match Duration::try_from_secs_f64(seconds) {
        Ok(interval) if !interval.is_zero() => Ok(interval),
        _ => Err("duration interval must be greater than 0".into()),
    }
}

/// Prints events until the container ends, or the usage once.
pub fn run(runtime: &Runtime, args: &Args) -> anyhow::Result<u8> {
    let (_, status) = runtime.find_unlocked(&args.id)?;
    if !status.is_alive() {
        bail!("container with id {} is not running", args.id);
    }
    if args.stats {
        print(runtime, &args.id)?;
        return Ok(0);
    }
    let mut since = Duration::ZERO;
    let mut kills = None;
    loop {
        let Ok((state, status)) = runtime.find_unlocked(&args.id) else { return Ok(0) };
        if !status.is_alive() {
            return Ok(0);
        }
        let now = state.cgroup.oom_kills();
        if kills.replace(now).is_some_and(|before| before < now) {
            emit(&json!({"type": "oom", "id": args.id}))?;
        }
        if since >= args.interval {
            since = Duration::ZERO;
            if status != Status::Paused {
                print(runtime, &args.id)?;
            }
        }
        let step = LOOK.min(args.interval);
        std::thread::sleep(step);
        since += step;
    }
}

fn emit(event: &serde_json::Value) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{event}")?;
    Ok(out.flush()?)
}

fn print(runtime: &Runtime, id: &str) -> anyhow::Result<()> {
    let found = runtime.find(id)?;
    let usage: Option<Usage> = match found.status {
        Status::Paused => None,
        _ => match Connection::open(&found.directory)?.ask(What::Usage { container: 0 }, Vec::new()) {
            Ok(Outcome::Usage(usage)) => Some(usage),
            _ => None,
        },
    };
    emit(&json!({"type": "stats", "id": id, "data": found.state.cgroup.usage(usage.as_ref(), None)}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_units() {
        assert_eq!(parse_interval("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_interval("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_interval("1.5m"), Ok(Duration::from_secs(90)));
        assert!(parse_interval("0s").is_err() && parse_interval("5x").is_err() && parse_interval("-1s").is_err());
    }
}
