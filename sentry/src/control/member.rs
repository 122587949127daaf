//! `Create`: a further container of a pod. It has a root, mounts and process numbers of its own, the first container's network, and of
//! host name and IPC what it is told to share. Its first process is the first of its numbers, and all others end with it.

use super::commands::failed;
use super::exec::undo;
use super::{STARTED, answer, enter, forget, wait_for};
use crate::fs::host::client::File;
use crate::observe;
use crate::platform::platform;
use crate::start::program::{self, Streams};
use crate::start::{StartError, mounts};
use crate::syscall::policy;
use crate::task::spaces::Spaces;
use crate::task::{Current, run};
use alloc::boxed::Box;
use linker::control::Outcome;
use linker::spec::StartSpec;

/// Starts the thread that sets the container up, answers command `id`, waits for `Start` and runs the program.
pub(super) fn create(id: u64, number: u32, spec: Box<StartSpec>) -> Option<Outcome> {
    let streams = Streams::adopt(spec.stdio, &spec.descriptors, spec.terminal);
    let main = move || match set_up(number, &spec, streams) {
        Ok(mut current) => {
            answer(id, Outcome::Done);
            wait_for(number, &mut current);
            run::run(current);
        }
        Err(error) => answer(id, error.into_outcome()),
    };
    match platform().spawn(false, Box::new(main)) {
        Ok(_) => None,
        Err(_) => Some(failed(crate::errno::Errno::ENOMEM, "no memory for a container")),
    }
}

/// The container, its first process ready to run.
pub(super) fn set_up(number: u32, spec: &StartSpec, streams: Streams) -> Result<Current, StartError> {
    let spaces = Spaces::of_container(spec).map_err(|errno| StartError::new("namespaces", errno))?;
    if spec.seccomp.is_some() {
        policy::activate();
    }
    let namespace = mounts::root(spec)?;
    let mut current = program::new_task(&spec.process, namespace.clone(), spaces.clone())?;
    enter(number, spec, namespace, spaces, current.process.pid());
    if let Some((filter, output)) = &spec.trace {
        observe::trace::attach(number, filter, File::adopt(*output))
            .map_err(|errno| StartError::new("trace", errno))?;
    }
    match fill(&mut current, spec, streams) {
        Ok(()) => Ok(current),
        Err(error) => {
            forget(number);
            undo(current);
            Err(error)
        }
    }
}

fn fill(current: &mut Current, spec: &StartSpec, streams: Streams) -> Result<(), StartError> {
    mounts::others(current, spec)?;
    mounts::make_devices(current, spec)?;
    mounts::hide(current, spec)?;
    let terminal = streams.open(current, spec.process.uid, false)?;
    STARTED.lock().insert(current.process.pid(), terminal);
    current.process.signals.set_unkillable(true);
    program::load(current, &spec.process, true)
}
