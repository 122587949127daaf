//! `exec`: one more program in a container, and the host process that stands for it: it passes signals on, and ends as the
//! program ends. When it is killed, so is the program.

use crate::container::client::{Connection, Said};
use crate::container::create::{explain, write_pid_file};
use crate::container::signals;
use crate::container::state::State;
use crate::container::{Error, call, console, said};
use crate::parent::RawTerminal;
use crate::spec::oci_process;
use crate::{process, report};
use linker::control::{Outcome, Target, What};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use oci_spec::runtime::Process;
use rustix::event::{PollFd, PollFlags};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// What to run, and how.
#[derive(Debug)]
pub struct Options<'a> {
    /// The program.
    pub process: &'a Process,
    /// Return as soon as it runs.
    pub detach: bool,
    /// Where the pid of the process that stands for it is written.
    pub pid_file: Option<&'a Path>,
    /// Where a terminal's master is sent.
    pub console_socket: Option<&'a Path>,
    /// What it gets beside the standard streams, from 3 on.
    pub descriptors: Vec<OwnedFd>,
}

/// The container, as its own monitor knows it, in a pod as well.
const CONTAINER: u32 = 0;
/// Longest message about a failure, in bytes.
const MAX_MESSAGE: usize = 16 << 10;

/// Runs a program. Returns when it was started, if `detach`, and otherwise only if it was not.
pub fn run(mut connection: Connection, state: &State, options: &Options<'_>) -> Result<(), Error> {
    let mut spec = oci_process::convert(options.process).map_err(|error| said(error.to_string()))?;
    spec.personality = state.personality;
    let terminal = options.process.terminal().unwrap_or(false);
    if terminal && options.detach && options.console_socket.is_none() {
        return Err(said("cannot allocate tty if ringwall will detach without setting console socket"));
    }
    if options.console_socket.is_some() && !terminal {
        return Err(said("cannot use console socket if ringwall will not detach or allocate tty"));
    }
    let size = options.process.console_size();
    let size = size.and_then(|size| Some((size.height().try_into().ok()?, size.width().try_into().ok()?)));
    let console = options.console_socket.map(|path| console::open(path, size)).transpose()?;
    let what = What::Exec {
        container: CONTAINER,
        process: Box::new(spec),
        stdio: [Some(0), Some(1), Some(2)],
        descriptors: (3..).take(options.descriptors.len()).collect(),
        terminal,
    };

    if !options.detach {
        let signals = take_signals()?;
        let _raw = if terminal && console.is_none() { RawTerminal::enter().ok() } else { None };
        let mut stand_in = start(&mut connection, state, options, what, console)?;
        if let Some(path) = options.pid_file {
            write_pid_file(path, rustix::process::getpid().as_raw_nonzero().get())?;
        }
        let status = stand_in.mind(&mut connection, &signals);
        drop(_raw);
        signals::end_like(status);
    }

    let kind = SocketType::SEQPACKET;
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).map_err(call("socketpair"))?;
    let child = process::fork_child(|| {
        let signals = match take_signals() {
            Ok(signals) => signals,
            Err(_) => return report::FAILURE,
        };
        if console.is_none() {
            let _ = rustix::process::setsid();
        }
        let started = console.as_ref().map_or(Ok(()), console::control).and_then(|()| {
            let console = console.as_ref().map(|console| console.try_clone()).transpose();
            let console = console.map_err(|error| Error::Io("dup".into(), error))?;
            start(&mut connection, state, options, what.clone(), console)
        });
        let message = started.as_ref().map_or_else(|error| error.to_string(), |_| String::new());
        let message = message.as_bytes().get(..MAX_MESSAGE).unwrap_or(message.as_bytes());
        // A byte before the message: an empty one would look like the end.
        let _ = rustix::net::send(&theirs, &[&[0], message].concat(), SendFlags::NOSIGNAL);
        match started {
            Err(_) => report::FAILURE,
            Ok(mut stand_in) => {
                process::close_all_but(&[signals.as_fd(), connection.as_fd(), stand_in.stream.as_fd()]);
                if let Err(error) = crate::pin::stand_in() {
                    report::line(&error.to_string());
                    return report::FAILURE;
                }
                let status = stand_in.mind(&mut connection, &signals);
                signals::end_like(status)
            }
        }
    })
    .map_err(call("fork"))?;
    drop(theirs);
    let mut bytes = vec![0; MAX_MESSAGE + 1];
    let received = rustix::io::retry_on_intr(|| rustix::net::recv(&ours, &mut bytes, RecvFlags::empty()));
    match received.ok().and_then(|(received, _)| bytes.get(1..received)) {
        Some([]) => match options.pid_file {
            Some(path) => write_pid_file(path, child.as_raw_nonzero().get()),
            None => Ok(()),
        },
        Some(message) => Err(said(String::from_utf8_lossy(message))),
        None => Err(said("the process that stands for the program ended early")),
    }
}

fn take_signals() -> Result<SignalFd, Error> {
    signals::take().map_err(|errno| call("signalfd")(Errno::from_raw_os_error(errno as i32)))
}

/// A program that was started.
#[derive(Debug)]
struct StandIn {
    /// Its number inside.
    pid: u32,
    /// Its terminal, or nothing of interest.
    stream: OwnedFd,
    terminal: bool,
}

/// Starts the program and lets go of its streams.
fn start(
    connection: &mut Connection,
    state: &State,
    options: &Options<'_>,
    what: What,
    console: Option<OwnedFd>,
) -> Result<StandIn, Error> {
    let dup = |fd: &dyn AsFd| fcntl_dupfd_cloexec(fd.as_fd(), 3).map_err(call("dup"));
    let (stdin, stdout, stderr) = (rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr());
    let mut files = match &console {
        Some(console) => vec![dup(console)?, dup(console)?, dup(console)?],
        None => vec![dup(&stdin)?, dup(&stdout)?, dup(&stderr)?],
    };
    for more in &options.descriptors {
        files.push(dup(more)?);
    }
    state.cgroup.enter(rustix::process::getpid().as_raw_nonzero().get())?;
    let terminal = options.process.terminal().unwrap_or(false);
    let pid = match connection.ask(what, files)? {
        Outcome::Started { pid } => pid,
        Outcome::Failed { code, message, .. } => {
            let program = options.process.args().as_ref().and_then(|args| args.first());
            let why = explain(code, &message, program.map(String::as_str));
            return Err(said(format!("unable to start container process: {why}")));
        }
        other => return Err(said(format!("the container answers {other:?}"))),
    };
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty())
        .map_err(call("/dev/null"))?;
    let stream = match console {
        Some(console) => console,
        None if terminal => dup(&stdin)?,
        None => null.try_clone().map_err(|error| Error::Io("dup".into(), error))?,
    };
    // The raw mode of a caller's terminal is put back by standard input.
    if !terminal || options.console_socket.is_some() {
        console::become_streams(&null)?;
    }
    let mut stand_in = StandIn { pid, stream, terminal };
    stand_in.resize(connection);
    Ok(stand_in)
}

impl StandIn {
    fn resize(&mut self, connection: &mut Connection) {
        if let (true, Some(size)) = (self.terminal, console::size(&self.stream)) {
            let _ = connection.tell(What::Resize { container: CONTAINER, pid: self.pid, size }, Vec::new());
        }
    }

    /// Waits until the program ends and returns its status.
    fn mind(&mut self, connection: &mut Connection, signals: &SignalFd) -> u32 {
        const KILLED: u32 = 9;
        loop {
            let mut polled =
                [PollFd::new(signals, PollFlags::IN), PollFd::from_borrowed_fd(connection.as_fd(), PollFlags::IN)];
            if !matches!(rustix::event::poll(&mut polled, None), Ok(_) | Err(Errno::INTR)) {
                return KILLED;
            }
            while let Ok(Some(info)) = signals.read_signal() {
                match Signal::try_from(info.ssi_signo as i32) {
                    Ok(Signal::SIGCHLD) | Err(_) => {}
                    Ok(Signal::SIGWINCH) => self.resize(connection),
                    Ok(signal) => {
                        let to = Target::Pid(self.pid);
                        let what = What::Signal { container: CONTAINER, to, signal: signal as u8 };
                        let _ = connection.tell(what, Vec::new());
                    }
                }
            }
            match connection.hear() {
                Some(Said::Exited(status)) => return status,
                Some(Said::Gone) => return KILLED,
                _ => {}
            }
        }
    }
}
