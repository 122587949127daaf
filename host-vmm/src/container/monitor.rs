//! The monitor: the host process that stands for a container. Its pid is the one that `create` reports; it lives as long as the
//! container, passes on the signals it gets, carries the verbs' commands to the sandbox process and the answers back, and ends as
//! the container's first process ended.
//!
//! ```text
//! create ── Setup messages ─┐
//! start, exec, kill … ──────┤ monitor ── Notice ── sandbox process ── sentry
//!           <id>/control    │    └────────────── gofer
//! ```
//!
//! It has one thread and no locks. What comes from the sandbox process may be anything; it is decoded, looked up and passed on.

use crate::container::signals;
use crate::container::witness::Witness;
use crate::container::{Error, call, said};
use crate::launch::{self, Launch, Launched};
use crate::notice::Notice;
use crate::parent::{Child, ended, tell_violation};
use crate::{pin, report};
use linker::control::{Answer, Command, Outcome, Report, Target, What};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags};
use rustix::process::{WaitId, WaitIdOptions};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// What the monitor and `create` say to each other, in this order.
#[derive(Debug, Serialize, Deserialize)]
pub enum Setup {
    /// Monitor: the namespaces are there.
    Ready,
    /// `create`: the hooks ran; start the sandbox.
    Go,
    /// Monitor: the container is set up.
    Waiting,
    /// Monitor, instead of either: it failed, and ends.
    Failed {
        /// As in `Outcome::Failed`.
        code: u8,
        /// What and why.
        message: String,
    },
    /// `create`: the container is recorded; stay. Without it the monitor ends with `create`.
    Stay,
}

/// Longest `Setup`, in bytes.
const MAX_SETUP: usize = 64 << 10;
/// How long a container that was killed may take to say so itself; then its sandbox is.
const GRACE: Duration = Duration::from_secs(3);
/// Verbs that talk to a container at a time.
const MAX_CLIENTS: usize = 1024;
/// Messages taken from one side in a row.
const MAX_ROUND: usize = 64;
/// Wait status of what SIGKILL ended.
const KILLED: u32 = 9;
/// The container that the start specification set up.
const FIRST_CONTAINER: u32 = 0;

impl Setup {
    /// Sends it.
    pub fn send(&self, socket: impl AsFd) -> Result<(), Error> {
        let mut bytes = serde_json::to_vec(self).map_err(|error| said(error.to_string()))?;
        if bytes.len() > MAX_SETUP {
            bytes = serde_json::to_vec(&Self::Failed {
                code: report::FAILURE,
                message: "a message too long to tell".into(),
            })
            .map_err(|error| said(error.to_string()))?;
        }
        rustix::net::send(socket, &bytes, SendFlags::NOSIGNAL).map(drop).map_err(call("create and the monitor"))
    }

    /// Waits for one; `None` when the other side is gone.
    pub fn receive(socket: impl AsFd) -> Option<Self> {
        let mut bytes = vec![0; MAX_SETUP];
        let (received, _) =
            rustix::io::retry_on_intr(|| rustix::net::recv(&socket, &mut bytes, RecvFlags::empty())).ok()?;
        serde_json::from_slice(bytes.get(..received)?).ok()
    }
}

/// What a monitor starts with.
#[derive(Debug)]
pub struct Parts {
    /// Where verbs connect.
    pub listener: OwnedFd,
    /// To `create`.
    pub setup: OwnedFd,
    /// `oom_score_adj` of the processes that do the container's work.
    pub oom_score_adj: Option<i32>,
    /// Limit of the cgroup's memory, in bytes.
    pub memory_limit: Option<u64>,
}

/// A connected verb.
#[derive(Debug)]
struct Client {
    number: u64,
    socket: OwnedFd,
    /// The program it started, by its number inside.
    process: Option<u32>,
}

#[derive(Debug)]
struct Monitor {
    signals: SignalFd,
    listener: OwnedFd,
    /// To `create`, until that says `Stay`.
    setup: Option<OwnedFd>,
    sandbox: Child,
    gofer: Child,
    gofer_ended: bool,
    clients: Vec<Client>,
    next_client: u64,
    /// Commands at the sandbox: by their number there, the client and its own number.
    asked: BTreeMap<u64, (u64, u64)>,
    next_command: u64,
    /// The first process was let go.
    started: bool,
    /// How the first process ended, as the sandbox told or as it was made to.
    status: Option<u32>,
    /// The first process, or all, were sent SIGKILL.
    killed: bool,
    /// When the sandbox is killed if it has not ended.
    deadline: Option<Instant>,
    /// Makes the cgroup tell that memory ran out.
    witness: Option<Witness>,
    /// Why setting up failed, as far as was told.
    failure: Option<(u8, String)>,
}

/// Starts the sandbox and minds it to its end. Returns only when it did not come to be.
pub fn run(parts: Parts, launch: Launch) -> Error {
    match start(parts, launch) {
        Ok(mut monitor) => monitor.mind(),
        Err(error) => error,
    }
}

fn start(parts: Parts, launch: Launch) -> Result<Monitor, Error> {
    let signals = signals::take().map_err(|errno| call("signalfd")(Errno::from_raw_os_error(errno as i32)))?;
    // The children inherit it. The monitor itself is the last that should go for want of memory.
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    if let Some(score) = parts.oom_score_adj {
        std::fs::write("/proc/self/oom_score_adj", score.to_string())
            .map_err(|error| Error::Io(format!("process.oomScoreAdj {score}"), error))?;
    }
    let witness = parts.memory_limit.map(Witness::start).transpose()?;
    let Launched { sandbox, gofer } = launch::start(launch)?;
    if parts.oom_score_adj.is_some() {
        let _ = std::fs::write("/proc/self/oom_score_adj", own.trim());
    }
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty())
        .map_err(call("/dev/null"))?;
    let _ = rustix::stdio::dup2_stdin(&null);
    let _ = rustix::stdio::dup2_stdout(&null);
    pin::monitor().map_err(launch::Error::from)?;
    Ok(Monitor {
        signals,
        listener: parts.listener,
        setup: Some(parts.setup),
        sandbox,
        gofer,
        gofer_ended: false,
        clients: Vec::new(),
        next_client: 0,
        asked: BTreeMap::new(),
        next_command: 0,
        started: false,
        status: None,
        killed: false,
        deadline: None,
        witness,
        failure: None,
    })
}

impl Monitor {
    fn mind(&mut self) -> ! {
        loop {
            self.wait();
            self.hear_signals();
            self.hear_create();
            self.hear_sandbox();
            self.hear_clients();
            self.accept();
            if !self.gofer_ended && ended(&self.gofer).is_some() {
                self.gofer_ended = true;
                tell_violation(&self.gofer);
            }
            if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                self.deadline = None;
                self.kill_sandbox();
            }
            if let Some(code) = ended(&self.sandbox) {
                self.end(code);
            }
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&self) {
        let mut polled = vec![
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.sandbox.control, PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
        ];
        polled.extend(self.setup.iter().map(|socket| PollFd::new(socket, PollFlags::IN)));
        polled.extend(self.clients.iter().map(|client| PollFd::new(&client.socket, PollFlags::IN)));
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match rustix::event::poll(&mut polled, left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            // Out of memory, at worst: not at full speed then.
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }

    fn hear_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            match Signal::try_from(info.ssi_signo as i32) {
                Ok(Signal::SIGCHLD) | Err(_) => {}
                Ok(Signal::SIGWINCH) => drop(Notice::Window.send(&self.sandbox.control)),
                Ok(signal) => self.signal_first(signal as u8),
            }
        }
    }

    /// A signal that arrived here, for the container's first process.
    fn signal_first(&mut self, signal: u8) {
        match self.started {
            // A sandbox that takes no more notices has many signals already.
            true => drop(Notice::Signal(signal).send(&self.sandbox.control)),
            false => self.signal_unstarted(signal),
        }
    }

    /// What waits for `start` has no handlers.
    fn signal_unstarted(&mut self, signal: u8) {
        if signals::is_fatal(signal) {
            self.status = Some(signal.into());
            self.kill_sandbox();
        }
    }

    /// Whatever the sandbox does about a SIGKILL, it will not be there for long.
    fn killing(&mut self) {
        self.killed = true;
        self.deadline.get_or_insert_with(|| Instant::now() + GRACE);
    }

    fn kill_sandbox(&self) {
        let _ = rustix::process::kill_process(self.sandbox.pid, rustix::process::Signal::KILL);
    }

    fn hear_create(&mut self) {
        let Some(socket) = &self.setup else { return };
        let mut bytes = [0; 64];
        match rustix::net::recv(socket, &mut bytes, RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Ok((received, _)) if received > 0 => match serde_json::from_slice(bytes.get(..received).unwrap_or(&[])) {
                Ok(Setup::Stay) => self.setup = None,
                _ => self.abandon(),
            },
            // `create` ended early, and nobody knows of this container.
            _ => self.abandon(),
        }
    }

    fn abandon(&mut self) {
        self.setup = None;
        self.status = Some(KILLED);
        self.kill_sandbox();
    }

    fn hear_sandbox(&mut self) {
        for _ in 0..MAX_ROUND {
            match Notice::receive(&self.sandbox.control) {
                Ok(Some(Notice::Answer(bytes))) => self.answered(&bytes),
                Ok(Some(Notice::Report(bytes))) => self.reported(&bytes),
                Ok(Some(Notice::Violation(number))) => crate::parent::say_violation(&self.sandbox, number),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn answered(&mut self, bytes: &[u8]) {
        let Ok(answer) = Answer::decode(bytes) else { return };
        let Some((number, id)) = self.asked.remove(&answer.id) else { return };
        let started = match answer.outcome {
            Outcome::Started { pid } => Some(pid),
            _ => None,
        };
        let answer = Answer { id, outcome: answer.outcome };
        match (self.clients.iter_mut().find(|client| client.number == number), answer.encode()) {
            (Some(client), Ok(bytes)) => {
                client.process = started.or(client.process);
                let _ = Notice::Answer(bytes).send(&client.socket);
            }
            // Who asked for the program is gone: so is the program.
            _ => started.into_iter().for_each(|pid| self.kill_process(pid)),
        }
    }

    fn reported(&mut self, bytes: &[u8]) {
        match Report::decode(bytes) {
            Ok(Report::Waiting) => {
                if let Some(socket) = &self.setup {
                    let _ = Setup::Waiting.send(socket);
                }
            }
            Ok(Report::OutOfMemory { .. }) => self.witness.iter_mut().for_each(Witness::tell),
            Ok(Report::Failed { code, message }) => self.failure = Some((code, message)),
            Ok(Report::Exited { container: FIRST_CONTAINER, pid: 0, status }) => {
                self.status.get_or_insert(status);
            }
            Ok(Report::Exited { container: FIRST_CONTAINER, pid, .. }) => {
                if let Some(client) = self.clients.iter_mut().find(|client| client.process == Some(pid)) {
                    client.process = None;
                    let _ = Notice::Report(bytes.to_vec()).send(&client.socket);
                }
            }
            _ => {}
        }
    }

    fn hear_clients(&mut self) {
        let mut index = 0;
        while let Some(client) = self.clients.get(index) {
            match Notice::receive(&client.socket) {
                Ok(Some(Notice::Command(bytes, files))) => {
                    let number = client.number;
                    self.commanded(number, &bytes, files);
                }
                Err(Errno::AGAIN | Errno::INTR) => index += 1,
                // Gone, or no verb of ours.
                _ => {
                    let client = self.clients.swap_remove(index);
                    client.process.into_iter().for_each(|pid| self.kill_process(pid));
                }
            }
        }
    }

    fn kill_process(&mut self, pid: u32) {
        let what = What::Signal { container: FIRST_CONTAINER, to: Target::Pid(pid), signal: Signal::SIGKILL as u8 };
        let _ = self.command(what, Vec::new(), Vec::new());
    }

    /// Sends a command to the sandbox, and says under which number.
    fn command(&mut self, what: What, descriptors: Vec<u32>, files: Vec<OwnedFd>) -> Result<u64, Errno> {
        let id = self.next_command;
        self.next_command += 1;
        let bytes = Command { id, descriptors, what }.encode().map_err(|_| Errno::MSGSIZE)?;
        Notice::Command(bytes, files).send(&self.sandbox.control).map(|()| id)
    }

    fn commanded(&mut self, number: u64, bytes: &[u8], files: Vec<OwnedFd>) {
        let Ok(Command { id, descriptors, what }) = Command::decode(bytes) else { return };
        let sent = match what {
            What::Signal { container: FIRST_CONTAINER, to: Target::First | Target::All, signal } if !self.started => {
                self.signal_unstarted(signal);
                return self.answer(number, id, Outcome::Done);
            }
            what => {
                let starts = matches!(what, What::Start { container: FIRST_CONTAINER });
                let kills = matches!(what, What::Signal { to: Target::All | Target::First, signal: 9, .. });
                let sent = self.command(what, descriptors, files);
                self.started |= starts && sent.is_ok();
                if kills {
                    self.killing();
                }
                sent
            }
        };
        match sent {
            Ok(own) => drop(self.asked.insert(own, (number, id))),
            Err(errno) => {
                let message = format!("the sandbox takes no commands: {errno}");
                let outcome = Outcome::Failed { code: report::FAILURE, errno: errno.raw_os_error(), message };
                self.answer(number, id, outcome);
            }
        }
    }

    fn answer(&self, number: u64, id: u64, outcome: Outcome) {
        let client = self.clients.iter().find(|client| client.number == number);
        if let (Some(client), Ok(bytes)) = (client, (Answer { id, outcome }).encode()) {
            let _ = Notice::Answer(bytes).send(&client.socket);
        }
    }

    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while let Ok(socket) = rustix::net::accept_with(&self.listener, flags) {
            if self.clients.len() < MAX_CLIENTS {
                self.clients.push(Client { number: self.next_client, socket, process: None });
                self.next_client += 1;
            }
        }
    }

    /// The sandbox ended: tells who waits for it, and ends likewise.
    fn end(&mut self, code: u8) -> ! {
        self.hear_sandbox();
        if !self.gofer_ended {
            let _ = rustix::process::kill_process(self.gofer.pid, rustix::process::Signal::KILL);
            let _ = rustix::process::waitid(WaitId::Pid(self.gofer.pid), WaitIdOptions::EXITED);
        }
        if let Some(socket) = &self.setup {
            let (code, message) = match self.failure.take() {
                Some(failure) => failure,
                None => (code, "the sandbox ended while it was set up".into()),
            };
            let _ = Setup::Failed { code, message }.send(socket);
        }
        // Whatever else ran inside was killed with it.
        for client in &self.clients {
            if let Some(pid) = client.process {
                let exited = Report::Exited { container: FIRST_CONTAINER, pid, status: KILLED };
                if let Ok(bytes) = exited.encode() {
                    let _ = Notice::Report(bytes).send(&client.socket);
                }
            }
        }
        if let Some(witness) = self.witness.take() {
            witness.finish();
        }
        match self.status {
            Some(status) => signals::end_like(status),
            None if self.killed => signals::end_like(KILLED),
            None => signals::end_like(u32::from(code) << 8),
        }
    }
}
