//! `format-trace`: records of system calls in, text out. A process of its own beside a sandbox that was started with --strace, so
//! that nothing of that runs in those that are pinned; it ends when the sandbox does.

use crate::trace::format::{self, Options};
use crate::trace::json::json;
use crate::trace::record::{Reader, Record};
use anyhow::Context;
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Those who format what this process's sandboxes write.
static STARTED: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// Bytes read at once.
const CHUNK: usize = 64 << 10;

/// How records are shown.
#[derive(clap::Args, Clone, Debug)]
pub struct FormArgs {
    /// As JSON, an object a line
    #[arg(long)]
    json: bool,
    /// Without the time of day
    #[arg(long)]
    no_time: bool,
    /// Without how long each took
    #[arg(long)]
    no_duration: bool,
}

/// The same, decided.
#[derive(Clone, Debug)]
pub struct Form {
    json: bool,
    options: Options,
}

impl Form {
    /// From the command line.
    pub fn of(args: &FormArgs) -> Self {
        let options = Options { pid: true, time: !args.no_time, duration: !args.no_duration };
        Self { json: args.json, options }
    }

    fn show(&self, record: &Record) -> String {
        if self.json { json(record).to_string() } else { format::line(record, &self.options) }
    }
}

/// Formats standard input.
pub fn run(args: &FormArgs) -> anyhow::Result<u8> {
    let input = rustix::io::dup(rustix::stdio::stdin())?;
    let output = rustix::io::dup(rustix::stdio::stdout())?;
    copy(input.into(), output.into(), &Form::of(args))?;
    Ok(0)
}

/// Copies records from `input` to `output` as text, until either ends. A reader that goes is no error.
pub fn copy(mut input: File, mut output: File, form: &Form) -> anyhow::Result<()> {
    let mut reader = Reader::default();
    let mut chunk = vec![0; CHUNK];
    loop {
        let len = match input.read(&mut chunk) {
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("records"),
        };
        reader.feed(chunk.get(..len).unwrap_or_default());
        let mut text = String::new();
        while let Some(record) = reader.record()? {
            text.push_str(&form.show(&record));
            text.push('\n');
        }
        match output.write_all(text.as_bytes()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            written => written.context("trace")?,
        }
        if len == 0 {
            return Ok(reader.finish()?);
        }
    }
}

/// Starts who formats records to `log`; returns where a sandbox has to write them.
pub fn start(log: OwnedFd) -> anyhow::Result<OwnedFd> {
    let (input, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    let mut child = Command::new("/proc/self/exe");
    child.arg("format-trace").stdin(Stdio::from(input)).stdout(Stdio::from(log));
    let child = child.spawn().context("format-trace")?;
    STARTED.lock().unwrap_or_else(PoisonError::into_inner).push(child);
    Ok(theirs)
}

/// Waits until all that a sandbox which has ended wrote is formatted. Who does not outlive the sandbox does not call this.
pub fn finish() {
    for mut child in STARTED.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        // It is nobody's any more if it cannot be waited for.
        let _ = child.wait();
    }
}
