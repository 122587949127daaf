//! Talking to a container: commands to its monitor, and what comes back.

use crate::container::state::Directory;
use crate::container::{Error, call, said};
use crate::notice::Notice;
use linker::control::{Answer, Command, Outcome, Report, What};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long an answer may take. Nothing a container is asked takes long; where ring 0 is interpreted, seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection to a monitor.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    next: u64,
}

/// What was said at the other end.
#[derive(Debug)]
pub enum Said {
    /// An answer.
    Answer(Answer),
    /// A program that was started by this connection ended, with this wait status.
    Exited(u32),
    /// The container ended.
    Gone,
}

/// Makes the socket on which a container's monitor listens.
pub fn listen(directory: &Directory) -> Result<OwnedFd, Error> {
    let socket = socket()?;
    let path = directory.socket_path();
    let address = SocketAddrUnix::new(path.as_str()).map_err(call("control socket"))?;
    rustix::net::bind(&socket, &address).map_err(call("control socket"))?;
    rustix::net::listen(&socket, 128).map_err(call("control socket"))?;
    Ok(socket)
}

fn socket() -> Result<OwnedFd, Error> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).map_err(call("socket"))
}

impl Connection {
    /// Connects to a container's monitor.
    pub fn open(directory: &Directory) -> Result<Self, Error> {
        let socket = socket()?;
        let path = directory.socket_path();
        let address = SocketAddrUnix::new(path.as_str()).map_err(call("control socket"))?;
        let end = Instant::now() + PATIENCE;
        loop {
            match rustix::net::connect(&socket, &address) {
                Ok(()) => break,
                Err(Errno::INTR) => {}
                // Many verbs at once.
                Err(Errno::AGAIN) if Instant::now() < end => std::thread::sleep(Duration::from_millis(10)),
                Err(Errno::CONNREFUSED | Errno::NOENT) => return Err(said("container not running")),
                Err(errno) => return Err(call("control socket")(errno)),
            }
        }
        Ok(Self { socket, next: 0 })
    }

    /// Sends a command without waiting for its answer.
    pub fn tell(&mut self, what: What, files: Vec<OwnedFd>) -> Result<u64, Error> {
        let id = self.next;
        self.next += 1;
        // The sandbox process cannot ask how they were opened.
        let descriptors =
            files.iter().map(|file| rustix::fs::fcntl_getfl(file).map_or(0, |flags| flags.bits())).collect();
        let bytes = Command { id, descriptors, what }.encode().map_err(|error| said(error.to_string()))?;
        Notice::Command(bytes, files).send(&self.socket).map_err(|errno| match errno {
            Errno::PIPE | Errno::CONNRESET => said("container not running"),
            Errno::MSGSIZE => said("too long for one command: the arguments and the environment together"),
            errno => call("control socket")(errno),
        })?;
        Ok(id)
    }

    /// Sends a command and waits for its answer.
    pub fn ask(&mut self, what: What, files: Vec<OwnedFd>) -> Result<Outcome, Error> {
        let id = self.tell(what, files)?;
        let end = Instant::now() + PATIENCE;
        loop {
            match self.wait(Some(end))? {
                None => return Err(said("the container does not answer")),
                Some(Said::Answer(answer)) if answer.id == id => return Ok(answer.outcome),
                Some(Said::Gone) => return Err(said("container not running")),
                Some(_) => {}
            }
        }
    }

    /// Waits until the program ends that this connection started; `None` when that takes longer than `limit`.
    pub fn wait_exit(&self, limit: Option<Duration>) -> Result<Option<u32>, Error> {
        let end = limit.map(|limit| Instant::now() + limit);
        loop {
            match self.wait(end)? {
                None => return Ok(None),
                Some(Said::Exited(status)) => return Ok(Some(status)),
                Some(Said::Gone) => return Err(said("the container ended")),
                Some(Said::Answer(_)) => {}
            }
        }
    }

    /// Waits until something is said, or until `end`.
    fn wait(&self, end: Option<Instant>) -> Result<Option<Said>, Error> {
        loop {
            if let Some(said) = self.hear() {
                return Ok(Some(said));
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            let mut polled = [PollFd::new(&self.socket, PollFlags::IN)];
            match rustix::event::poll(&mut polled, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(call("poll")(errno)),
            }
        }
    }

    /// As `ask`, for commands that need nothing but to be done.
    pub fn done(&mut self, what: What) -> Result<(), Error> {
        match self.ask(what, Vec::new())? {
            Outcome::Done => Ok(()),
            Outcome::Failed { message, .. } => Err(said(message)),
            other => Err(said(format!("the container answers {other:?}"))),
        }
    }

    /// What was said, if anything was.
    pub fn hear(&self) -> Option<Said> {
        match Notice::receive(&self.socket) {
            Ok(Some(Notice::Answer(bytes))) => Answer::decode(&bytes).ok().map(Said::Answer),
            Ok(Some(Notice::Report(bytes))) => match Report::decode(&bytes) {
                Ok(Report::Exited { status, .. }) => Some(Said::Exited(status)),
                _ => None,
            },
            Err(Errno::AGAIN | Errno::INTR) => None,
            _ => Some(Said::Gone),
        }
    }
}

impl From<Connection> for OwnedFd {
    fn from(connection: Connection) -> Self {
        connection.socket
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
