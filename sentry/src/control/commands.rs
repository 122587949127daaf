//! Commands: taken from the host, done, answered.

use super::{GO, GO_QUEUE, STARTED, answer, exec, is_managed, usage};
use crate::errno::Errno;
use crate::platform::platform;
use crate::signal::{SigInfo, Signal, send_from_host};
use crate::task::{INIT, Process, Tid, registry};
use crate::tty;
use crate::wait::Events;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use linker::control::{Command, MAX_MESSAGE, Outcome, Target, What};
use linker::request::{Op, Request, WindowSize};

/// The container that came with the start specification.
const FIRST: u32 = 0;
/// ringwall's own exit code.
const EXIT_FAILURE: u8 = 125;

/// Takes the next command, which is `len` bytes long, and does it.
pub(super) fn take(len: u64) {
    let Some(len) = usize::try_from(len).ok().filter(|len| *len <= MAX_MESSAGE) else { return };
    let mut bytes = vec![0; len];
    let request = Request { op: Op::TakeCommand as u16, ..Request::default() };
    let Ok(taken) = platform().host_call(request, &[], &mut bytes) else { return };
    bytes.truncate(usize::try_from(taken).unwrap_or(0));
    match Command::decode(&bytes) {
        Ok(command) => {
            if let Some(outcome) = execute(command.id, command.what) {
                answer(command.id, outcome);
            }
        }
        // The host checked that it is one.
        Err(_) => platform().log("a command of the host's is malformed"),
    }
}

/// Does a command. `None`: it is answered later.
pub(super) fn execute(id: u64, what: What) -> Option<Outcome> {
    match what {
        What::Exec { container, process, stdio, descriptors, terminal } => {
            let streams = crate::start::program::Streams::adopt(stdio, &descriptors, terminal);
            match check(container) {
                Ok(()) => exec::start(id, *process, streams),
                Err(failed) => Some(failed),
            }
        }
        What::Create { .. } => Some(failed(Errno::ENOSYS, "several containers in one sandbox are not supported")),
        What::Start { container }
        | What::Signal { container, .. }
        | What::Resize { container, .. }
        | What::Processes { container }
        | What::Limit { container, .. }
        | What::Usage { container }
        | What::Delete { container } => Some(check(container).map_or_else(|failed| failed, |()| at_once(what))),
    }
}

/// What needs no waiting, on a container that is there.
fn at_once(what: What) -> Outcome {
    match what {
        What::Start { .. } => start(),
        What::Signal { to, signal, .. } => send(to, signal),
        What::Resize { pid, size, .. } => resize(pid, size),
        What::Processes { .. } => Outcome::Processes(usage::processes()),
        What::Limit { memory_bytes, tasks, .. } => limit(memory_bytes, tasks),
        What::Usage { .. } => Outcome::Usage(usage::usage()),
        What::Delete { .. } => send(Target::All, Signal::SIGKILL.number() as u8),
        What::Create { .. } | What::Exec { .. } => failed(Errno::EINVAL, "not done at once"),
    }
}

fn check(container: u32) -> Result<(), Outcome> {
    if container == FIRST { Ok(()) } else { Err(failed(Errno::ENOENT, "no such container in this sandbox")) }
}

/// An answer to what could not be done.
pub(super) fn failed(errno: Errno, message: &str) -> Outcome {
    Outcome::Failed { code: EXIT_FAILURE, errno: errno.raw().into(), message: String::from(message) }
}

fn start() -> Outcome {
    if !is_managed() || GO.swap(true, Ordering::SeqCst) {
        return failed(Errno::EBUSY, "the container is running already");
    }
    GO_QUEUE.wake(Events::IN);
    Outcome::Done
}

fn send(to: Target, number: u8) -> Outcome {
    let receivers: Vec<Arc<Process>> = match to {
        Target::First => registry().process(INIT).into_iter().collect(),
        Target::Pid(pid) => registry().process(Tid::new(pid)).into_iter().collect(),
        Target::All => registry().processes(),
    };
    let receivers: Vec<_> = receivers.into_iter().filter(|process| !process.is_exited()).collect();
    if receivers.is_empty() {
        return failed(Errno::ESRCH, "no such process");
    }
    // Signal 0 only asks whether somebody is there.
    if number == 0 {
        return Outcome::Done;
    }
    let Some(signal) = Signal::new(number.into()) else { return failed(Errno::EINVAL, "no such signal") };
    for process in receivers {
        send_from_host(&process, SigInfo::kill(signal, 0, 0));
    }
    Outcome::Done
}

fn resize(pid: u32, (rows, columns): (u16, u16)) -> Outcome {
    let terminal = if pid == 0 { tty::console() } else { STARTED.lock().get(&Tid::new(pid)).cloned().flatten() };
    match terminal {
        Some(terminal) => {
            terminal.set_window(&WindowSize { rows, columns });
            Outcome::Done
        }
        None => failed(Errno::ENOTTY, "the process has no terminal"),
    }
}

fn limit(memory_bytes: Option<u64>, tasks: Option<u32>) -> Outcome {
    if memory_bytes.is_some() {
        return failed(Errno::EOPNOTSUPP, "the memory of a running sandbox cannot be changed");
    }
    if let Some(most) = tasks {
        registry().lock().limit_tasks(if most == u32::MAX { 0 } else { most });
    }
    Outcome::Done
}
