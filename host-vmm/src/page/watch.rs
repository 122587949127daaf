//! Looks at a sandbox while it runs: its counters every so often, and records of some calls. Whose it is (a container's monitor, or
//! this process's own child) is the caller's business.

use super::samples::Samples;
use super::uses::{RECORDED, Uses};
use crate::notice::Notice;
use crate::parent::{Child, Watcher, say_violation};
use crate::trace::record::Reader;
use linker::control::{Answer, Command, Outcome, Report, What};
use linker::spec::TraceFilter;
use linker::statistics::Statistics;
use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// So many records say enough of a program; then nobody listens any more, and none are written.
const MOST_RECORDS: u64 = 200_000;
/// Bytes read at once, and so many times in a row.
const CHUNK: usize = 64 << 10;
const ROUND: usize = 16;

/// Somebody who looks.
#[derive(Debug)]
pub struct Watch {
    interval: Duration,
    started: Instant,
    next: Instant,
    samples: Samples,
    uses: Uses,
    records: Option<(File, Reader)>,
    /// The command that has not been answered.
    asked: Option<u64>,
    commands: u64,
    /// Nothing more comes from the sandbox.
    silent: bool,
}

impl Watch {
    /// Begins now; `samples` may know what was before.
    pub fn new(interval: Duration, samples: Samples) -> Self {
        Self {
            interval,
            started: Instant::now(),
            next: Instant::now(),
            samples,
            uses: Uses::default(),
            records: None,
            asked: None,
            commands: 0,
            silent: false,
        }
    }

    /// Where a sandbox is to write its records, and which.
    pub fn listen(&mut self) -> anyhow::Result<(TraceFilter, OwnedFd)> {
        let (input, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&input, OFlags::NONBLOCK)?;
        self.records = Some((input.into(), Reader::default()));
        let numbers = RECORDED.map(|call| call.id().cast_unsigned()).to_vec();
        Ok((TraceFilter { numbers, ..TraceFilter::default() }, theirs))
    }

    /// Takes the records that have come. Those of a sandbox that writes nonsense are not listened to any more.
    pub fn hear(&mut self) {
        let mut chunk = vec![0; CHUNK];
        for _ in 0..ROUND {
            let Some((input, reader)) = &mut self.records else { return };
            let len = match input.read(&mut chunk) {
                Ok(len @ 1..) => len,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Ok(0) | Err(_) => {
                    self.records = None;
                    return;
                }
            };
            reader.feed(chunk.get(..len).unwrap_or_default());
            loop {
                match reader.record() {
                    Ok(Some(record)) => self.uses.take(&record),
                    Ok(None) => break,
                    Err(_) => {
                        self.records = None;
                        return;
                    }
                }
            }
            if self.uses.records >= MOST_RECORDS {
                self.records = None;
            }
        }
    }

    /// Takes the counters as they are now; the next look is an interval later.
    pub fn sample(&mut self, found: Statistics) {
        self.samples.take(self.started.elapsed(), found);
        self.next = Instant::now() + self.interval * self.samples.stretch();
    }

    /// When the next look is due.
    pub fn due(&self) -> Instant {
        self.next
    }

    /// How long it has looked.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The pipe of records, as long as it is listened to.
    pub fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.records.as_ref().map(|(input, _)| input.as_fd())
    }

    /// What was found.
    pub fn found(&self) -> (&Samples, &Uses) {
        (&self.samples, &self.uses)
    }

    fn heard(&mut self, notice: Notice, sandbox: &Child) {
        match notice {
            Notice::Answer(bytes) => {
                let Ok(answer) = Answer::decode(&bytes) else { return };
                if self.asked == Some(answer.id) {
                    self.asked = None;
                    if let Outcome::Statistics(found) = answer.outcome {
                        self.sample(found);
                    }
                }
            }
            Notice::Report(bytes) => {
                if let Ok(Report::Calls(found)) = Report::decode(&bytes) {
                    self.sample(found);
                }
            }
            Notice::Violation(number) => say_violation(sandbox, number),
            _ => {}
        }
    }
}

impl Watcher for Watch {
    fn descriptors<'a>(&'a self, sandbox: &'a Child) -> Vec<BorrowedFd<'a>> {
        let control = (!self.silent).then(|| sandbox.control.as_fd());
        self.pipe().into_iter().chain(control).collect()
    }

    fn next(&self) -> Option<Instant> {
        // One question at a time: a sandbox that is slow to answer is not asked faster.
        (self.asked.is_none() && !self.silent).then_some(self.next)
    }

    fn look(&mut self, sandbox: &Child) {
        self.hear();
        while !self.silent {
            match Notice::receive(&sandbox.control) {
                Ok(Some(notice)) => self.heard(notice, sandbox),
                Err(rustix::io::Errno::AGAIN) => break,
                _ => self.silent = true,
            }
        }
        if !self.silent && self.asked.is_none() && Instant::now() >= self.next {
            let what = What::Statistics { container: 0, threads: true };
            let command = Command { id: self.commands, descriptors: Vec::new(), what };
            let sent =
                command.encode().is_ok_and(|bytes| Notice::Command(bytes, Vec::new()).send(&sandbox.control).is_ok());
            self.next = Instant::now() + self.interval;
            if sent {
                self.asked = Some(self.commands);
                self.commands += 1;
            }
        }
    }
}
