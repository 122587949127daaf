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
//! A container of a pod has no sandbox of its own: its monitor talks to that of the pod's first container as it would to a sandbox process.
//!
//! It has one thread and no locks. What comes from the sandbox process may be anything; it is decoded, looked up and passed on.

use crate::container::pod::Members;
use crate::container::setup::Setup;
use crate::container::signals;
use crate::container::witness::Witness;
use crate::container::{Error, call};
use crate::idle::Quiet;
use crate::launch::{self, Launch, Launched};
use crate::notice::Notice;
use crate::parent::{Child, ended, tell_violation};
use crate::{pin, report};
use linker::control::{Answer, Command, Outcome, Report, Target, What};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketFlags};
use rustix::process::{WaitId, WaitIdOptions};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

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

/// Who does the container's work.
#[derive(Debug)]
enum Work {
    /// A sandbox of its own.
    Own { sandbox: Child, gofer: Child, gofer_ended: bool },
    /// The sandbox of its pod.
    Pod(Joined),
}

/// The way to the pod that a container is in.
#[derive(Debug)]
pub struct Joined {
    /// To the monitor of the pod's first container.
    pub socket: OwnedFd,
    /// The command that sets the container up, until that is answered.
    pub creating: Option<u64>,
    /// Commands that were sent.
    pub commands: u64,
    /// The container's terminal.
    pub terminal: Option<OwnedFd>,
    /// The pod, or the container in it, is gone.
    pub gone: bool,
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
    work: Work,
    members: Members,
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
    /// The sandbox closed its end: what it said before is still there to be read, and nothing comes after. Its process ends some
    /// time later, when Linux has taken the VM apart, and that is a signal.
    hung_up: bool,
    quiet: Quiet,
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
    let exports = launch.exports.len() as u32;
    let Launched { sandbox, gofer, calls } = launch::start(launch)?;
    if parts.oom_score_adj.is_some() {
        let _ = std::fs::write("/proc/self/oom_score_adj", own.trim());
    }
    let work = Work::Own { sandbox, gofer, gofer_ended: false };
    stay(parts, signals, work, Members::new(calls, exports), witness)
}

/// Minds a container of a pod, which was sent there, to its end. Returns only when it did not come to be.
pub fn run_joined(parts: Parts, joined: Joined) -> Error {
    let started = signals::take()
        .map_err(|errno| call("signalfd")(Errno::from_raw_os_error(errno as i32)))
        .and_then(|signals| stay(parts, signals, Work::Pod(joined), Members::new(None, 0), None));
    match started {
        Ok(mut monitor) => monitor.mind(),
        Err(error) => error,
    }
}

/// Gives up what a monitor does not need.
fn stay(
    parts: Parts,
    signals: SignalFd,
    work: Work,
    members: Members,
    witness: Option<Witness>,
) -> Result<Monitor, Error> {
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty())
        .map_err(call("/dev/null"))?;
    let _ = rustix::stdio::dup2_stdin(&null);
    let _ = rustix::stdio::dup2_stdout(&null);
    pin::monitor().map_err(launch::Error::from)?;
    let next_command = match &work {
        Work::Own { .. } => 0,
        Work::Pod(joined) => joined.commands,
    };
    Ok(Monitor {
        signals,
        listener: parts.listener,
        setup: Some(parts.setup),
        work,
        members,
        clients: Vec::new(),
        next_client: 0,
        asked: BTreeMap::new(),
        next_command,
        started: false,
        status: None,
        killed: false,
        deadline: None,
        witness,
        failure: None,
        hung_up: false,
        quiet: Quiet::default(),
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
            if let Work::Own { gofer, gofer_ended, .. } = &mut self.work
                && !*gofer_ended
                && ended(gofer).is_some()
            {
                *gofer_ended = true;
                tell_violation(gofer);
            }
            if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                self.deadline = None;
                self.kill_sandbox();
            }
            let over = match &self.work {
                Work::Own { sandbox, .. } => ended(sandbox),
                Work::Pod(joined) => (joined.gone || self.status.is_some()).then_some(report::FAILURE),
            };
            if let Some(code) = over {
                self.end(code);
            }
        }
    }

    /// The way to whoever does the work.
    fn control(&self) -> &OwnedFd {
        match &self.work {
            Work::Own { sandbox, .. } => &sandbox.control,
            Work::Pod(joined) => &joined.socket,
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&mut self) {
        let mut polled = vec![PollFd::new(&self.signals, PollFlags::IN), PollFd::new(&self.listener, PollFlags::IN)];
        polled.extend(self.setup.iter().map(|socket| PollFd::new(socket, PollFlags::IN)));
        polled.extend(self.clients.iter().map(|client| PollFd::new(&client.socket, PollFlags::IN)));
        // Last, as it is not always there.
        polled.extend((!self.hung_up).then(|| PollFd::new(self.control(), PollFlags::IN)));
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok()).or(self.quiet.timeout());
        let events = rustix::event::poll(&mut polled, left.as_ref());
        let hung_up = !self.hung_up && polled.last().is_some_and(|control| control.revents().contains(PollFlags::HUP));
        drop(polled);
        self.hung_up |= hung_up;
        match events {
            Ok(events) => self.quiet.waited(events),
            Err(Errno::INTR) => {}
            // Out of memory, at worst: not at full speed then.
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }

    fn hear_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            match Signal::try_from(info.ssi_signo as i32) {
                Ok(Signal::SIGCHLD) | Err(_) => {}
                Ok(Signal::SIGWINCH) => self.window(),
                Ok(signal) => self.signal_first(signal as u8),
            }
        }
    }

    /// A signal that arrived here, for the container's first process.
    fn signal_first(&mut self, signal: u8) {
        match self.started {
            // A sandbox that takes no more notices has many signals already.
            true => match &self.work {
                Work::Own { sandbox, .. } => drop(Notice::Signal(signal).send(&sandbox.control)),
                Work::Pod(_) => self.send_signal(signal),
            },
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

    fn kill_sandbox(&mut self) {
        match &self.work {
            Work::Own { sandbox, .. } => {
                let _ = rustix::process::kill_process(sandbox.pid, rustix::process::Signal::KILL);
            }
            Work::Pod(_) => self.send_signal(Signal::SIGKILL as u8),
        }
    }

    fn send_signal(&mut self, signal: u8) {
        let what = What::Signal { container: FIRST_CONTAINER, to: Target::First, signal };
        let _ = self.command(what, Vec::new(), Vec::new());
    }

    /// The terminal changed its size.
    fn window(&mut self) {
        match &self.work {
            Work::Own { sandbox, .. } => drop(Notice::Window.send(&sandbox.control)),
            Work::Pod(joined) => {
                let size = joined.terminal.as_ref().and_then(|terminal| rustix::termios::tcgetwinsize(terminal).ok());
                let Some(size) = size.map(|size| (size.ws_row, size.ws_col)) else { return };
                let _ = self.command(What::Resize { container: FIRST_CONTAINER, pid: 0, size }, Vec::new(), Vec::new());
            }
        }
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
        // Nobody wakes us again for what is left after the last round.
        let round = if self.hung_up { usize::MAX } else { MAX_ROUND };
        for _ in 0..round {
            match (Notice::receive(self.control()), &mut self.work) {
                (Ok(Some(Notice::Answer(bytes))), _) => self.answered(&bytes),
                (Ok(Some(Notice::Report(bytes))), _) => self.reported(&bytes),
                (Ok(Some(Notice::Violation(number))), Work::Own { sandbox, .. }) => {
                    crate::parent::say_violation(sandbox, number);
                }
                (Ok(Some(_)), _) | (Err(Errno::INTR), _) => {}
                (Err(Errno::AGAIN), _) | (_, Work::Own { .. }) => return,
                (_, Work::Pod(joined)) => {
                    joined.gone = true;
                    return;
                }
            }
        }
    }

    fn answered(&mut self, bytes: &[u8]) {
        let Ok(answer) = Answer::decode(bytes) else { return };
        if let Work::Pod(joined) = &mut self.work
            && joined.creating == Some(answer.id)
        {
            joined.creating = None;
            return self.joined(answer.outcome);
        }
        let Some((number, id)) = self.asked.remove(&answer.id) else { return };
        let member = self.members.of_client(number);
        if let Some(container) = self.members.created(answer.id) {
            match answer.outcome {
                Outcome::Failed { .. } => self.forget_member(container),
                // Who wanted it is gone.
                _ if !self.clients.iter().any(|client| client.number == number) => self.delete_member(container),
                _ => {}
            }
        }
        let started = match answer.outcome {
            Outcome::Started { pid } => Some(pid),
            _ => None,
        };
        let answer = Answer { id, outcome: answer.outcome };
        match (self.clients.iter_mut().find(|client| client.number == number), answer.encode()) {
            (Some(client), Ok(bytes)) => {
                // A container's monitor knows its programs itself.
                client.process = started.filter(|_| member.is_none()).or(client.process);
                let _ = Notice::Answer(bytes).send(&client.socket);
            }
            // Who asked for the program is gone: so is the program.
            _ => started.into_iter().for_each(|pid| self.kill_process(pid)),
        }
    }

    /// The pod answered what was sent to it as the container.
    fn joined(&mut self, outcome: Outcome) {
        match (outcome, &mut self.work, &self.setup) {
            (Outcome::Done, _, Some(socket)) => drop(Setup::Waiting.send(socket)),
            (Outcome::Failed { code, message, .. }, Work::Pod(joined), _) => {
                self.failure = Some((code, message));
                joined.gone = true;
            }
            (_, Work::Pod(joined), _) => joined.gone = true,
            _ => {}
        }
    }

    /// What is said of a further container of the pod goes to its own monitor.
    fn member_ended(&mut self, container: u32, pid: u32, status: u32) {
        let number = self.members.client(container);
        let client = self.clients.iter().find(|client| Some(client.number) == number);
        let said = Report::Exited { container: FIRST_CONTAINER, pid, status };
        if let (Some(client), Ok(bytes)) = (client, said.encode()) {
            let _ = Notice::Report(bytes).send(&client.socket);
        }
        if pid == 0 {
            self.forget_member(container);
        }
    }

    fn delete_member(&mut self, container: u32) {
        let _ = self.command(What::Delete { container }, Vec::new(), Vec::new());
    }

    fn forget_member(&mut self, container: u32) {
        if let Work::Own { gofer, .. } = &self.work {
            self.members.remove(container, &gofer.control);
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
            Ok(Report::Exited { container, pid, status }) => self.member_ended(container, pid, status),
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
                    // A container's monitor: the container goes with it.
                    if let Some(container) = self.members.of_client(client.number) {
                        self.delete_member(container);
                    }
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
        Notice::Command(bytes, files).send(self.control()).map(|()| id)
    }

    fn commanded(&mut self, number: u64, bytes: &[u8], mut files: Vec<OwnedFd>) {
        let Ok(Command { id, mut descriptors, mut what }) = Command::decode(bytes) else { return };
        let member = self.members.of_client(number);
        if let What::Create { .. } = what {
            let added = match &self.work {
                Work::Own { gofer, .. } => self.members.add(number, &mut what, &mut files, &gofer.control),
                Work::Pod(_) => Err(Errno::OPNOTSUPP),
            };
            descriptors.truncate(files.len());
            let sent = added.and_then(|container| {
                let sent = self.command(what, descriptors, files);
                match sent {
                    Ok(own) => self.members.creating(container, own),
                    Err(_) => self.forget_member(container),
                }
                sent
            });
            return self.sent(number, id, sent);
        }
        *what.container() = member.unwrap_or(FIRST_CONTAINER);
        if member.is_some() {
            let sent = self.command(what, descriptors, files);
            return self.sent(number, id, sent);
        }
        let sent = match what {
            What::Signal { to: Target::First | Target::All, signal, .. } if !self.started => {
                self.signal_unstarted(signal);
                return self.answer(number, id, Outcome::Done);
            }
            what => {
                let starts = matches!(what, What::Start { .. });
                let kills = matches!(what, What::Signal { to: Target::All | Target::First, signal: 9, .. });
                let sent = self.command(what, descriptors, files);
                self.started |= starts && sent.is_ok();
                if kills {
                    self.killing();
                }
                sent
            }
        };
        self.sent(number, id, sent);
    }

    /// Remembers who asked, or says why nobody was asked.
    fn sent(&mut self, number: u64, id: u64, sent: Result<u64, Errno>) {
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
        if let Work::Own { gofer, gofer_ended: false, .. } = &self.work {
            let _ = rustix::process::kill_process(gofer.pid, rustix::process::Signal::KILL);
            let _ = rustix::process::waitid(WaitId::Pid(gofer.pid), WaitIdOptions::EXITED);
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
            None if self.killed || matches!(self.work, Work::Pod(_)) => signals::end_like(KILLED),
            None => signals::end_like(u32::from(code) << 8),
        }
    }
}
