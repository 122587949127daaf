//! What a program that runs on pipes printed, and how it ended.

use crate::PATIENCE;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The end of a program, and its output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// As a shell's `$?`: the exit code, or 128 + signal.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Outcome {
    /// Panics unless ringwall itself failed as it must: with 125, and one line that contains `part`.
    pub fn assert_refused(&self, part: &str) {
        self.assert_failed(125, "ringwall: ", part);
    }

    /// The same for the verbs that runc has, too, whose failures look like runc's.
    pub fn assert_refused_like_runc(&self, part: &str) {
        self.assert_failed(1, "time=\"", part);
    }

    fn assert_failed(&self, code: i32, start: &str, part: &str) {
        let lines: Vec<&str> = self.stderr.lines().collect();
        let said = matches!(lines[..], [line] if line.starts_with(start) && line.contains(part));
        assert!(self.code == code && said && self.stdout.is_empty(), "{code} and {part:?} in one line: {self:?}");
    }
}

/// As a shell's `$?`.
pub fn code(status: ExitStatus) -> i32 {
    status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

/// Runs it with an empty stdin.
pub fn outcome(command: &mut Command) -> Outcome {
    outcome_with(command, b"")
}

/// Runs it with `input` on its stdin.
pub fn outcome_with(command: &mut Command, input: &[u8]) -> Outcome {
    let mut child = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let feeder = thread::spawn(move || {
        // A program may end before it has read everything.
        let _ = stdin.write_all(&input);
    });
    let status = wait(&mut child);
    let text = |reader: thread::JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&reader.join().expect("a reader does not panic")).into_owned()
    };
    let outcome = Outcome { code: code(status), stdout: text(stdout), stderr: text(stderr) };
    feeder.join().expect("the feeder does not panic");
    outcome
}

/// Starts it.
pub fn start(command: &mut Command) -> Child {
    command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"))
}

/// Waits for its end; a program that hangs is killed, and fails the test.
pub fn wait(child: &mut Child) -> ExitStatus {
    wait_within(child, PATIENCE).unwrap_or_else(|| {
        let _ = child.kill();
        let _ = child.wait();
        panic!("the program still ran after {PATIENCE:?}")
    })
}

/// Waits for its end so long.
pub fn wait_within(child: &mut Child, time: Duration) -> Option<ExitStatus> {
    let end = Instant::now() + time;
    loop {
        match child.try_wait().expect("a child of ours") {
            Some(status) => return Some(status),
            None if Instant::now() > end => return None,
            None => thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn collect(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    let mut stream = stream.expect("piped");
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        bytes
    })
}
