//! `pause` and `resume`.

use super::Runtime;
use crate::container::status::Status;
use anyhow::bail;

#[derive(clap::Args)]
pub struct Args {
    /// Name of the container
    #[arg(value_name = "ID")]
    id: String,
}

/// Stops the container's host processes, vCPUs and all, or lets them go on.
pub fn run(runtime: &Runtime, args: &Args, pause: bool) -> anyhow::Result<u8> {
    let found = runtime.find(&args.id)?;
    match (found.status, pause) {
        (Status::Running | Status::Created, true) | (Status::Paused, false) => {}
        (_, true) => bail!("container not running or created: {}", found.status.name()),
        (_, false) => bail!("container not paused"),
    }
    if found.state.in_pod {
        bail!("a container of a pod stops and goes on with the pod's first, in whose sandbox it is");
    }
    found.state.cgroup.freeze(pause)?;
    Ok(0)
}
