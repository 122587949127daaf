//! Has tests run on one side, in batches, and loses none: when a sandbox ends or hangs, that is the running test's
//! outcome, and the rest of the batch goes on in a new one.

use super::record::{Outcome, Record};
use super::suite::{Suite, Test};
use anyhow::{Context, Result};
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Under this machine's own Linux.
    Native,
    /// Under ringwall.
    Inside,
}

/// What both sides have in common.
pub struct Sides {
    /// Whose tests.
    pub suite: Suite,
    /// The installed build.
    pub path: PathBuf,
    /// The binary.
    pub ringwall: PathBuf,
    /// Seconds a test.
    pub limit_s: u64,
    /// Tests a start.
    pub batch: usize,
    /// Keep the tests from harming this machine: in namespaces of their own, without the clock, modules and the like.
    pub confined: bool,
    /// Where what they print is kept.
    pub logs: Option<PathBuf>,
}

/// How a test went on a side.
#[derive(Clone, Debug)]
pub struct Run {
    /// How it ended.
    pub outcome: Outcome,
    /// What it printed.
    pub said: Vec<String>,
    /// How long it took.
    pub took_ms: u64,
}

/// Capabilities that reach past any namespace. Neither side has them, if one could do harm with them.
const HARMFUL: &str =
    "-sys_time,-sys_boot,-sys_module,-sys_rawio,-syslog,-wake_alarm,-mac_admin,-mac_override,-audit_control";

/// A process namespace shows itself, and nothing of the machine's settings can be written.
const CONFINE: &str = "mount -t proc proc /proc && mount -o bind /proc/sys /proc/sys && \
                       mount -o remount,bind,ro /proc/sys && exec \"$@\"";

/// Seconds beyond the tests' own limit in which a sandbox starts, or the driver ends a test that is too late.
const GRACE_S: u64 = 90;

impl Sides {
    /// Runs the tests, `batch` of them a start.
    pub fn run(&self, side: Side, tests: &[Test], batch: usize) -> Result<HashMap<String, Run>> {
        let mut runs = HashMap::new();
        for tests in tests.chunks(batch) {
            let mut left: Vec<&str> = tests.iter().map(|test| test.name.as_str()).collect();
            while !left.is_empty() {
                let done = self.start_and_follow(side, &left, &mut runs)?;
                left.drain(..done);
            }
        }
        Ok(runs)
    }

    /// One start: runs tests until all are through, or one took the sandbox with it. Returns how many there is something to say of.
    fn start_and_follow(&self, side: Side, tests: &[&str], runs: &mut HashMap<String, Run>) -> Result<usize> {
        let mut child = self.command(side, tests)?.spawn().context("cannot start the driver")?;
        let lines = lines_of(&mut child);
        let mut done = 0;
        let mut said = Vec::new();
        let outcome = loop {
            let line = match lines.recv_timeout(Duration::from_secs(self.limit_s + GRACE_S)) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => break Outcome::Hung,
                Err(RecvTimeoutError::Disconnected) => break Outcome::Lost,
            };
            match line.parse() {
                Ok(Record::Begin(_)) => said.clear(),
                Ok(Record::Said(line)) => said.push(line),
                Ok(Record::End(name, outcome, took_ms)) => {
                    done += 1;
                    self.keep(side, &name, Run { outcome, said: std::mem::take(&mut said), took_ms }, runs)?;
                }
                // What the sandbox itself has to say.
                Err(()) => said.push(line),
            }
        };
        child.kill()?;
        child.wait()?;
        if let Some(name) = tests.get(done) {
            done += 1;
            self.keep(side, name, Run { outcome, said, took_ms: 0 }, runs)?;
        }
        Ok(done)
    }

    fn keep(&self, side: Side, name: &str, run: Run, runs: &mut HashMap<String, Run>) -> Result<()> {
        if let Some(logs) = &self.logs {
            let extension = if side == Side::Native { "native" } else { "inside" };
            let file = logs.join(format!("{}.{extension}", name.replace('/', ",")));
            fs::create_dir_all(logs)?;
            fs::write(&file, format!("{}\n{}\n", run.said.join("\n"), run.outcome))?;
        }
        if side == Side::Inside || !run.outcome.passed() {
            println!(
                "   {name}: {}{} ({} ms)",
                if side == Side::Native { "natively " } else { "" },
                run.outcome,
                run.took_ms
            );
        }
        runs.insert(name.into(), run);
        Ok(())
    }

    fn command(&self, side: Side, tests: &[&str]) -> Result<Command> {
        let mut words: Vec<String> = Vec::new();
        if side == Side::Inside {
            words.extend([self.ringwall.to_string_lossy().into_owned(), "do".into(), "--".into()]);
        } else if self.confined {
            words.extend(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc"].map(String::from));
            words.extend(["sh", "-c", CONFINE, "sh"].map(String::from));
        }
        if self.confined {
            words.extend(["setpriv".into(), format!("--bounding-set={HARMFUL}"), "--".into()]);
        }
        words.push(std::env::current_exe()?.to_string_lossy().into_owned());
        words.extend(
            ["ltp-drive", self.suite.name(), &self.path.to_string_lossy(), &self.limit_s.to_string()].map(String::from),
        );
        words.extend(tests.iter().map(|&name| name.into()));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }
}

/// Both streams' lines as they come; disconnected when both have ended.
fn lines_of(child: &mut Child) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    let out = child.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>);
    let err = child.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>);
    for stream in out.into_iter().chain(err) {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                let text = String::from_utf8_lossy(&line);
                if sender.send(text.trim_end_matches('\n').into()).is_err() {
                    break;
                }
                line.clear();
            }
        });
    }
    lines
}
