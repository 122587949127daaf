//! Commands: taken from the host, done, answered.

use super::{Container, FIRST, STARTED, answer, container, container_of, exec, member, usage};
use crate::errno::Errno;
use crate::fs::host::client::File;
use crate::observe;
use crate::platform::platform;
use crate::signal::{SigInfo, Signal, send_from_host};
use crate::task::{Process, Tid, registry};
use crate::tty;
use crate::wait::Events;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use linker::control::{Command, MAX_MESSAGE, Outcome, Target, What};
use linker::request::{Op, Request, WindowSize};

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
            // `docker cp` and then `docker exec`: what it runs finds what was put there.
            crate::fs::doubt();
            let streams = crate::start::program::Streams::adopt(stdio, &descriptors, terminal);
            match find(container) {
                Ok(place) => exec::start(id, place, *process, streams),
                Err(failed) => Some(failed),
            }
        }
        What::Create { container, spec, .. } => match find(container) {
            Ok(_) => Some(failed(Errno::EEXIST, "this container is there already")),
            Err(_) => member::create(id, container, spec),
        },
        What::Trace { container, filter, output } => {
            let file = File::adopt(output);
            Some(match find(container) {
                Ok(_) => match observe::trace::attach(container, &filter, file) {
                    Ok(()) => Outcome::Done,
                    Err(errno) => failed(errno, "too many are watching already"),
                },
                Err(failed) => failed,
            })
        }
        What::Start { container }
        | What::Signal { container, .. }
        | What::Resize { container, .. }
        | What::Processes { container }
        | What::Limit { container, .. }
        | What::Usage { container }
        | What::Statistics { container, .. }
        | What::Delete { container } => {
            Some(find(container).map_or_else(|failed| failed, |place| at_once(container, &place, what)))
        }
    }
}

/// What needs no waiting, on a container that is there.
fn at_once(number: u32, place: &Container, what: What) -> Outcome {
    match what {
        What::Start { .. } => start(place),
        What::Signal { to, signal, .. } => send(number, place, to, signal),
        What::Resize { pid, size, .. } => resize(number, place, pid, size),
        What::Processes { .. } => Outcome::Processes(usage::processes(number)),
        What::Limit { memory_bytes, tasks, .. } => limit(place, memory_bytes, tasks),
        What::Usage { .. } => Outcome::Usage(usage::usage(number)),
        What::Statistics { threads, .. } => Outcome::Statistics(observe::statistics(number, threads)),
        What::Delete { .. } => send(number, place, Target::All, Signal::SIGKILL.number() as u8),
        What::Create { .. } | What::Exec { .. } | What::Trace { .. } => failed(Errno::EINVAL, "not done at once"),
    }
}

fn find(number: u32) -> Result<Container, Outcome> {
    container(number).ok_or_else(|| failed(Errno::ENOENT, "no such container in this sandbox"))
}

/// An answer to what could not be done.
pub(super) fn failed(errno: Errno, message: &str) -> Outcome {
    Outcome::Failed { code: EXIT_FAILURE, errno: errno.raw().into(), message: String::from(message) }
}

fn start(place: &Container) -> Outcome {
    if !place.managed || place.go.came.swap(true, Ordering::SeqCst) {
        return failed(Errno::EBUSY, "the container is running already");
    }
    // Whoever made it may have put files there since.
    crate::fs::doubt();
    place.go.queue.wake(Events::IN);
    Outcome::Done
}

fn send(number: u32, place: &Container, to: Target, signal: u8) -> Outcome {
    let mut receivers: Vec<Arc<Process>> = match to {
        Target::First => registry().process(place.init).into_iter().collect(),
        Target::Pid(pid) => registry().process(Tid::new(pid)).into_iter().collect(),
        Target::All => registry().processes(),
    };
    receivers.retain(|process| container_of(process) == number);
    let receivers: Vec<_> = receivers.into_iter().filter(|process| !process.is_exited()).collect();
    if receivers.is_empty() {
        return failed(Errno::ESRCH, "no such process");
    }
    // Signal 0 only asks whether somebody is there.
    if signal == 0 {
        return Outcome::Done;
    }
    let Some(signal) = Signal::new(signal.into()) else { return failed(Errno::EINVAL, "no such signal") };
    for process in receivers {
        send_from_host(&process, SigInfo::kill(signal, 0, 0));
    }
    Outcome::Done
}

fn resize(number: u32, place: &Container, pid: u32, (rows, columns): (u16, u16)) -> Outcome {
    let started = |pid: Tid| STARTED.lock().get(&pid).cloned().flatten();
    let terminal = match (pid, number) {
        (0, FIRST) => tty::console(),
        (0, _) => started(place.init),
        (pid, _) => started(Tid::new(pid)),
    };
    match terminal {
        Some(terminal) => {
            terminal.set_window(&WindowSize { rows, columns });
            Outcome::Done
        }
        None => failed(Errno::ENOTTY, "the process has no terminal"),
    }
}

fn limit(place: &Container, memory_bytes: Option<u64>, tasks: Option<u32>) -> Outcome {
    if memory_bytes.is_some() {
        return failed(Errno::EOPNOTSUPP, "the memory of a running sandbox cannot be changed");
    }
    if let Some(most) = tasks {
        let most = if most == u32::MAX { 0 } else { most };
        match &place.spaces.children {
            Some(numbers) => numbers.limit_tasks(most),
            None => registry().lock().limit_tasks(most),
        }
    }
    Outcome::Done
}
