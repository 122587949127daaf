//! `delete`.

use super::Runtime;
use crate::container::hooks;
use crate::container::said;
use crate::container::state::{Directory, State};
use crate::container::status::{self, Status};
use anyhow::bail;
use rustix::process::{Pid, Signal};
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub struct Args {
    /// Also one that runs, and none at all
    #[arg(long, short)]
    force: bool,
    /// Name of the container
    #[arg(value_name = "ID")]
    id: String,
}

/// How long a killed process may take to go.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the end of a container whose program has ended may take.
const ENDING: Duration = Duration::from_millis(500);
const STEP: Duration = Duration::from_millis(2);

/// Removes the container.
pub fn run(runtime: &Runtime, args: &Args) -> anyhow::Result<u8> {
    delete(runtime, &args.id, args.force)
}

/// Removes a container whatever it is at.
pub fn force(runtime: &Runtime, id: &str) -> anyhow::Result<()> {
    delete(runtime, id, true).map(drop)
}

fn delete(runtime: &Runtime, id: &str, force: bool) -> anyhow::Result<u8> {
    let directory = match Directory::open(&runtime.root, id) {
        Ok(directory) => directory,
        Err(error) if force && error.to_string() == "container does not exist" => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let state = match directory.load() {
        Ok(Some(state)) => state,
        // What a `create` left that was killed before it had more.
        Ok(None) if force => {
            directory.remove()?;
            return Ok(0);
        }
        Ok(None) => bail!("container does not exist"),
        Err(error) if force => {
            crate::report::line(&error.to_string());
            directory.remove()?;
            return Ok(0);
        }
        Err(error) => return Err(error.into()),
    };
    let mut status = status::of(&state);
    if status == Status::Running && !force {
        status = ending(&state);
    }
    match status {
        Status::Stopped => {}
        // Nothing in it runs yet.
        Status::Created => end(&state)?,
        _ if force => end(&state)?,
        status => bail!("cannot delete container {} that is not stopped: {}", state.id, status.name()),
    }
    remove(directory, &state)?;
    Ok(0)
}

/// The status of a container that runs, after it had the time that the end of a machine takes: whoever heard of its program's end by
/// another way may delete it right then, as with a runtime whose containers are processes.
fn ending(state: &State) -> Status {
    let end = Instant::now() + ENDING;
    loop {
        let status = status::of(state);
        if status != Status::Running || Instant::now() > end {
            return status;
        }
        std::thread::sleep(STEP);
    }
}

/// Kills the monitor, and the sandbox with it.
fn end(state: &State) -> anyhow::Result<()> {
    if let Some(pid) = Pid::from_raw(state.pid)
        && status::process_start(state.pid) == Some(state.start_time)
    {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    // What is stopped does not even die, in the older freezer.
    if state.cgroup.is_frozen() {
        state.cgroup.freeze(false)?;
    }
    let end = Instant::now() + PATIENCE;
    while status::process_start(state.pid) == Some(state.start_time) {
        if Instant::now() > end {
            return Err(said(format!("process {} does not end", state.pid)).into());
        }
        std::thread::sleep(STEP);
    }
    Ok(())
}

/// Removes what is left of a container that has ended.
pub fn remove(directory: Directory, state: &State) -> anyhow::Result<()> {
    state.cgroup.remove()?;
    directory.remove()?;
    let poststop = state.hooks.as_ref().and_then(|hooks| hooks.poststop().as_ref());
    let document = status::document(state, Status::Stopped);
    hooks::run_all(poststop, &document, |what| crate::report::line(&format!("poststop: {what}")));
    Ok(())
}
