//! Container engines: Docker, containerd and podman run their containers under runc and under ringwall, and must not be able to tell.

use super::programs::{Soundness, host_soundness, this_tool, verdict};
use super::{Budget, counted, lifecycle};
use crate::build::{self, Profile};
use crate::tally::Tally;
use crate::{project, setup};
use anyhow::{Result, bail};
use std::path::Path;
use std::process::{Command, Stdio};

/// Of the workspace's neighbour, as the acceptance programs are.
const DOCKER: &str = "../shared/accept/docker";
const DOCKER_CASES: &str = "../shared/accept/3-docker.cases";
/// The image that it makes once; a machine without a network finds it here.
const IMAGE: &str = "/var/cache/ringwall-accept/rw.tar";
const ENGINES: &str = "tests/oci/engines";

/// Seconds that a case may take, under one runtime: in the emulated machine podman alone takes many for each container.
const CASE_SECONDS: &str = "600";

/// Docker in the emulated reference.
pub fn docker_in_reference(budget: &Budget) -> Result<Tally> {
    prepare()?;
    image()?;
    in_reference(budget, &[DOCKER, "-t", CASE_SECONDS, DOCKER_CASES])
}

/// containerd and podman in the emulated reference.
pub fn others_in_reference(budget: &Budget) -> Result<Tally> {
    prepare()?;
    in_reference(budget, &[ENGINES, "-t", CASE_SECONDS, "target/release/ringwall"])
}

/// Docker on this machine's own KVM; nothing to count where it has no sound one, or where we are not root.
pub fn docker_on_host(budget: &Budget) -> Result<Tally> {
    on_host(budget, DOCKER, DOCKER_CASES)
}

/// containerd and podman on this machine's own KVM, likewise.
pub fn others_on_host(budget: &Budget) -> Result<Tally> {
    on_host(budget, ENGINES, "target/release/ringwall")
}

fn prepare() -> Result<()> {
    setup::packages(setup::ENGINES)?;
    setup::packages(setup::QEMU)?;
    build::ringwall(Profile::Release).map(drop)
}

/// Has the script make its image, which takes a network.
fn image() -> Result<()> {
    if Path::new(IMAGE).exists() {
        return Ok(());
    }
    let mut script = Command::new(DOCKER);
    script.args(["-k", "^none of them$", DOCKER_CASES]).current_dir(project::root()).stdin(Stdio::null());
    let status = script.status()?;
    if !status.success() || !Path::new(IMAGE).exists() {
        bail!("{DOCKER} cannot make its image");
    }
    Ok(())
}

fn in_reference(budget: &Budget, script: &[&str]) -> Result<Tally> {
    let mut vm = this_tool()?;
    vm.args(["vm", "--docker", "--cpus", "2", "--mem", "8G", "--timeout", &budget.seconds(4 * 3600)?, "--"]);
    counted(vm.args(script), verdict)
}

fn on_host(budget: &Budget, script: &str, argument: &str) -> Result<Tally> {
    prepare()?;
    let ringwall = build::ringwall(Profile::Release)?;
    let Soundness { sound, .. } = host_soundness(&ringwall)?;
    if !sound || !lifecycle::is_root()? {
        return Ok(Tally::default());
    }
    let mut command = Command::new("timeout");
    command.arg(budget.seconds(4 * 3600)?).args([script, "-t", CASE_SECONDS, argument]);
    counted(command.current_dir(project::root()), verdict)
}
