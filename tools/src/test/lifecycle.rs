//! Life cycles of containers by the OCI verbs, without an engine: `tests/oci/lifecycle` walks through them, `tests/oci/pods` through
//! those of pods; `tests/oci/scale` measures what they cost and leave behind.

use super::programs::{Soundness, host_soundness, this_tool, verdict};
use super::{Budget, counted};
use crate::build::{self, Profile};
use crate::tally::Tally;
use crate::{project, setup};
use anyhow::Result;
use std::process::Command;

const SCRIPT: &str = "tests/oci/lifecycle";
const PODS: &str = "tests/oci/pods";
const SCALE: &str = "tests/oci/scale";
/// Where ring 0 is interpreted, in the time of a CI run.
const QUICK: &str = "^(a_container_waits|a_program_that|bad_names)";

/// In the emulated reference.
pub fn in_reference(budget: &Budget) -> Result<Tally> {
    script_in_reference(SCRIPT, &["--timeout", &budget.seconds(600)?])
}

/// Pods in the emulated reference.
pub fn pods_in_reference(budget: &Budget) -> Result<Tally> {
    script_in_reference(PODS, &["--timeout", &budget.seconds(600)?])
}

/// Costs, and what is left behind, in the emulated reference: with as much memory as 50 idle containers must fit into.
pub fn scale_in_reference(budget: &Budget) -> Result<Tally> {
    setup::packages(setup::ENGINES)?;
    script_in_reference(SCALE, &["--docker", "--mem", "4G", "--timeout", &budget.seconds(3600)?])
}

fn script_in_reference(script: &str, options: &[&str]) -> Result<Tally> {
    setup::packages(setup::PROGRAMS)?;
    setup::packages(setup::QEMU)?;
    build::ringwall(Profile::Release)?;
    let mut vm = this_tool()?;
    vm.args(["vm", "--cpus", "2"]).args(options);
    counted(vm.args(["--", script, "target/release/ringwall"]), verdict)
}

/// On this machine's own KVM; nothing to count where it has no sound one, or where we are not root.
pub fn on_host(budget: &Budget) -> Result<Tally> {
    setup::packages(setup::PROGRAMS)?;
    setup::packages(setup::QEMU)?;
    let ringwall = build::ringwall(Profile::Release)?;
    let Soundness { sound, interpreted } = host_soundness(&ringwall)?;
    if !sound || !is_root()? {
        return Ok(Tally::default());
    }
    let mut script = Command::new("timeout");
    script.arg(budget.seconds(1800)?).arg(SCRIPT).current_dir(project::root());
    if interpreted && budget.is_limited() {
        script.args(["-k", QUICK]);
    }
    counted(script.arg(ringwall), verdict)
}

/// Whether we are root; says so where not.
pub fn is_root() -> Result<bool> {
    let id = Command::new("id").arg("-u").output()?;
    let root = id.stdout.trim_ascii() == b"0";
    if !root {
        println!("NOTE cgroups and network namespaces of containers need root; their life cycles are left out here");
    }
    Ok(root)
}
