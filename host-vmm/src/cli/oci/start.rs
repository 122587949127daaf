//! `start`.

use super::Runtime;
use crate::container::client::Connection;
use crate::container::hooks;
use crate::container::state::{Directory, Stage, State};
use crate::container::status::{self, Status};
use anyhow::bail;
use linker::control::What;

#[derive(clap::Args)]
pub struct Args {
    /// Name of the container
    #[arg(value_name = "ID")]
    id: String,
}

/// Starts the container.
pub fn run(runtime: &Runtime, args: &Args) -> anyhow::Result<u8> {
    let mut found = runtime.find(&args.id)?;
    match found.status {
        Status::Created => {}
        Status::Stopped | Status::Creating => bail!("cannot start a container that has stopped"),
        Status::Running | Status::Paused => bail!("cannot start an already running container"),
    }
    go(&found.directory, &mut found.state)?;
    Ok(0)
}

/// Lets the first process go.
pub fn go(directory: &Directory, state: &mut State) -> anyhow::Result<()> {
    let mut connection = Connection::open(directory)?;
    let inside = state.hooks.as_ref().and_then(|hooks| hooks.start_container().as_ref());
    if let (Some(_), Some(process)) = (inside, &state.process) {
        hooks::run_inside(inside, &mut connection, process, &status::document(state, Status::Created))?;
    }
    connection.done(What::Start { container: 0 })?;
    state.stage = Stage::Running;
    directory.store(state)?;
    let document = status::document(state, Status::Running);
    let poststart = state.hooks.as_ref().and_then(|hooks| hooks.poststart().as_ref());
    hooks::run_all(poststart, &document, |what| crate::report::line(&format!("poststart: {what}")));
    Ok(())
}
