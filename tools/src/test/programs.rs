//! The acceptance programs: each runs natively and inside ringwall, and must not be able to tell.

use super::counted;
use crate::build::{self, Profile};
use crate::tally::Tally;
use crate::{project, setup};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::{Command, Stdio};

/// Of the workspace's neighbour, which holds what all of the project's parts share.
const DIFF: &str = "../shared/accept/diff";
const PROGRAMS: &str = "../shared/accept/1-programs.cases";

/// Fewer and smaller, for the slow machine; beside them what they call.
const INTEL_PROGRAMS: &str = "tests/accept/intel.cases";
const INTEL_TOOLS: &[&str] = &[
    "bash", "readlink", "mktemp", "timeout", "cmp", "diff", "head", "sed", "rm", "true", "env", "grep", "ls", "stat",
    "seq", "sort", "tr", "yes", "sleep", "cat", "mv", "busybox", "perl",
];

/// All programs in the emulated reference.
pub fn in_reference() -> Result<Tally> {
    setup::packages(setup::PROGRAMS)?;
    build::ringwall(Profile::Release)?;
    let mut vm = this_tool()?;
    vm.args(["vm", "--cpus", "2", "--timeout", "1500", "--", DIFF, PROGRAMS]);
    counted(&mut vm, Tally::parse)
}

/// A dozen programs in the emulated Intel reference.
pub fn in_intel_reference() -> Result<Tally> {
    setup::packages(setup::PROGRAMS)?;
    build::ringwall(Profile::Release)?;
    let mut vm = this_tool()?;
    vm.args(["vm", "--intel", "--timeout", "900"]);
    for tool in INTEL_TOOLS {
        vm.args(["--with", tool]);
    }
    vm.args(["--with", "target/release/ringwall", "--with", INTEL_PROGRAMS]);
    vm.args(["--", DIFF, INTEL_PROGRAMS]);
    counted(&mut vm, Tally::parse)
}

/// All programs on the host's own KVM; nothing to count where it has no sound one.
pub fn on_host() -> Result<Tally> {
    setup::packages(setup::PROGRAMS)?;
    let ringwall = build::ringwall(Profile::Release)?;
    if !host_is_sound(&ringwall)? {
        return Ok(Tally::default());
    }
    counted(Command::new(project::root().join(DIFF)).arg(PROGRAMS).current_dir(project::root()), Tally::parse)
}

/// Whether `ringwall doctor` finds this machine's KVM sound; says what it found where not.
pub fn host_is_sound(ringwall: &Path) -> Result<bool> {
    let verdict =
        Command::new(ringwall).arg("doctor").stdin(Stdio::null()).output().context("cannot start ringwall")?;
    if !verdict.status.success() {
        println!("NOTE ringwall doctor finds no sound /dev/kvm on this machine:");
        print!("{}{}", String::from_utf8_lossy(&verdict.stdout), String::from_utf8_lossy(&verdict.stderr));
    }
    Ok(verdict.status.success())
}

/// Ourselves, in the workspace.
pub fn this_tool() -> Result<Command> {
    let mut tool = Command::new(std::env::current_exe()?);
    tool.current_dir(project::root());
    Ok(tool)
}
