//! `Exec`: one more program in the container, whose parent is outside.

use super::commands::failed;
use super::{Container, STARTED, answer};
use crate::errno::Errno;
use crate::platform::platform;
use crate::start::StartError;
use crate::start::program::{self, Streams};
use crate::task::{Current, clone, run};
use crate::tty;
use alloc::boxed::Box;
use linker::control::Outcome;
use linker::spec::ProcessSpec;

/// Starts the thread that sets the process up, answers command `id`, and runs the program.
pub(super) fn start(id: u64, place: Container, spec: ProcessSpec, streams: Streams) -> Option<Outcome> {
    let main = move || match set_up(place, &spec, streams) {
        Ok(current) => {
            answer(id, Outcome::Started { pid: current.process.pid().raw() });
            run::run(current);
        }
        Err(error) => answer(id, error.into_outcome()),
    };
    match platform().spawn(false, Box::new(main)) {
        Ok(_) => None,
        Err(_) => Some(failed(Errno::ENOMEM, "no memory for a process")),
    }
}

/// The process, ready to run.
pub(super) fn set_up(place: Container, spec: &ProcessSpec, streams: Streams) -> Result<Current, StartError> {
    let mut current = program::new_task(spec, place.namespace, place.spaces)?;
    let ready = streams.open(&current, spec.uid, false).and_then(|terminal| {
        STARTED.lock().insert(current.process.pid(), terminal);
        program::load(&mut current, spec, true)
    });
    match ready {
        Ok(()) => Ok(current),
        Err(error) => {
            undo(current);
            Err(error)
        }
    }
}

/// Nobody saw the process but `/proc`: it goes as if it had never been.
pub(super) fn undo(current: Current) {
    let gone = STARTED.lock().remove(&current.process.pid());
    drop(gone);
    current.process.timers.clear();
    tty::session_leader_exit(&current.process);
    clone::forget(&current.task);
    platform().use_page_table(None);
}
