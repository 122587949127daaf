//! `kill`.

use super::Runtime;
use crate::container::client::Connection;
use crate::container::signals;
use crate::container::status::Status;
use anyhow::{Context, ensure};
use linker::control::{Target, What};

#[derive(clap::Args)]
pub struct Args {
    /// To every process of the container
    #[arg(long, short)]
    all: bool,
    /// Name of the container
    #[arg(value_name = "ID")]
    id: String,
    /// Name or number
    #[arg(value_name = "SIGNAL", default_value = "SIGTERM")]
    signal: String,
}

/// Sends the signal.
pub fn run(runtime: &Runtime, args: &Args) -> anyhow::Result<u8> {
    const SIGKILL: u8 = 9;
    let signal = signals::parse(&args.signal).with_context(|| format!("unknown signal {:?}", args.signal))?;
    let found = runtime.find(&args.id)?;
    if args.all && found.status == Status::Stopped {
        // Nobody is left to be missed.
        return Ok(0);
    }
    ensure!(found.status.is_alive(), "container not running");
    let to = if args.all { Target::All } else { Target::First };
    let what = What::Signal { container: 0, to, signal };
    let mut connection = Connection::open(&found.directory)?;
    if found.status != Status::Paused {
        found.directory.unlock();
        connection.done(what)?;
        return Ok(0);
    }
    // It waits in the socket until the container goes on.
    connection.tell(what, Vec::new())?;
    if signal == SIGKILL {
        found.state.cgroup.freeze(false)?;
    }
    Ok(0)
}
