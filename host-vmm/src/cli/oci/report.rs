//! `report`: what a running container calls, as a page.

use super::Runtime;
use crate::machine::Machine;
use crate::page::samples::Samples;
use crate::page::watch::Watch;
use crate::page::{Page, file};
use crate::report;
use anyhow::{bail, ensure};
use linker::control::{Outcome, What};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub struct Args {
    /// The page
    #[arg(long, short, value_name = "FILE.html")]
    output: PathBuf,
    /// How long to look, unless the container ends or Ctrl-C comes before
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    duration: f64,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 0.25)]
    interval: f64,
    /// Look at the counters alone, not at single calls, which costs the program some time and names files
    #[arg(long)]
    no_trace: bool,
    /// Name of the container
    #[arg(value_name = "ID")]
    id: String,
}

/// Seconds that make sense.
pub fn seconds(option: &str, value: f64, least: f64) -> anyhow::Result<Duration> {
    ensure!(value.is_finite() && (least..=1e6).contains(&value), "{option} {value}: {least} to 1000000 seconds");
    Ok(Duration::from_secs_f64(value))
}

/// Looks, and writes the page.
pub fn run(runtime: &Runtime, args: &Args) -> anyhow::Result<u8> {
    let duration = seconds("--duration", args.duration, 0.0)?;
    let interval = seconds("--interval", args.interval, 0.01)?;
    file::check(&args.output)?;
    let mut watch = Watch::new(interval, Samples::default());
    let ended = look(runtime, args, &mut watch, duration)?;
    let (samples, uses) = watch.found();
    let page = Page { title: &args.id, machine: &Machine::here(), samples, uses, ended };
    file::write(&args.output, page.render().as_bytes())?;
    if ended {
        let seconds = watch.elapsed().as_secs_f64();
        report::line(&format!(
            "the container ended after {seconds:.1} s: the page has what it did until the last look"
        ));
    }
    Ok(0)
}

/// Looks for so long; whether the container ended meanwhile. An error where it did so before it could be asked once.
fn look(runtime: &Runtime, args: &Args, watch: &mut Watch, duration: Duration) -> anyhow::Result<bool> {
    let signals = interrupts()?;
    let mut connection = runtime.connect(&args.id)?;
    let mut ask = |what, files| match connection.ask(what, files)? {
        Outcome::Failed { message, .. } => bail!(message),
        outcome => Ok(outcome),
    };
    if !args.no_trace {
        let (filter, theirs) = watch.listen()?;
        ask(What::Trace { container: 0, filter, output: 0 }, vec![theirs])?;
    }
    let end = Instant::now() + duration;
    let mut over = false;
    loop {
        match ask(What::Statistics { container: 0, threads: true }, Vec::new()) {
            Ok(Outcome::Statistics(found)) => watch.sample(found),
            Ok(other) => bail!("the container answers {other:?}"),
            Err(error) if watch.found().0.is_empty() => return Err(error),
            Err(_) => return Ok(true),
        }
        if over {
            return Ok(false);
        }
        over = !wait(watch, &signals, end)?;
    }
}

/// Waits until the next look is due, and takes records meanwhile. False when that was the last one.
fn wait(watch: &mut Watch, signals: &SignalFd, end: Instant) -> anyhow::Result<bool> {
    let until = watch.due().min(end);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(until < end);
        }
        let timeout = Timespec::try_from(left)?;
        let mut polled = vec![PollFd::new(signals, PollFlags::IN)];
        polled.extend(watch.pipe().map(|pipe| PollFd::from_borrowed_fd(pipe, PollFlags::IN)));
        match rustix::event::poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if polled.first().is_some_and(|signals| !signals.revents().is_empty()) {
            return Ok(false);
        }
        drop(polled);
        watch.hear();
    }
}

/// Ctrl-C and its like end the looking, not the report.
fn interrupts() -> anyhow::Result<SignalFd> {
    let mut set = SigSet::empty();
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().for_each(|signal| set.add(signal));
    set.thread_block()?;
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}
