//! The acceptance programs: each runs natively and inside ringwall, and must not be able to tell.

use super::{Budget, counted};
use crate::build::{self, Profile};
use crate::tally::Tally;
use crate::{project, setup};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::{Command, Stdio};

/// For a shell in a machine: /tmp in memory. A workspace below it would be hidden: it is put back.
pub const MEMORY_TMP: &str = "here=$(pwd); mkdir /run/here && mount --bind . /run/here && mount -t tmpfs tmpfs /tmp && \
     { [ -d \"$here\" ] || { mkdir -p \"$here\" && mount --bind /run/here \"$here\"; }; } && cd \"$here\"";

/// Of the workspace's neighbour, which holds what all of the project's parts share.
const DIFF: &str = "../shared/accept/diff";
const PROGRAMS: &str = "../shared/accept/1-programs.cases";

/// Fewer and smaller, for the slow machine; beside them what they call.
const INTEL_PROGRAMS: &str = "tests/accept/intel.cases";
const INTEL_TOOLS: &[&str] = &[
    "bash", "readlink", "mktemp", "timeout", "cmp", "diff", "head", "sed", "rm", "true", "env", "grep", "ls", "stat",
    "seq", "sort", "tr", "yes", "sleep", "cat", "mv", "busybox", "perl",
];

/// What a KVM that interprets ring 0 can do in a few minutes; `cargo xtask test kvm` runs all.
const QUICK: &str = "^(true|exit-code|echo-args|environment|list-root-dirs|stat-fields|pipeline|wait-status|\
                     rename-link-symlink|permissions|proc-self|getrandom-unique)$";

/// Seconds that a program may take: it hangs, if it takes more.
const REFERENCE_SECONDS: &str = "90";
const INTERPRETED_SECONDS: &str = "300";

/// All programs in the emulated reference.
pub fn in_reference(budget: &Budget) -> Result<Tally> {
    setup::packages(setup::PROGRAMS)?;
    build::ringwall(Profile::Release)?;
    let mut vm = this_tool()?;
    vm.args(["vm", "--cpus", "2", "--timeout", &budget.seconds(1500)?]);
    counted(vm.args(["--", DIFF, "-t", REFERENCE_SECONDS, PROGRAMS]), verdict)
}

/// ring0's self-test in the emulated reference, with every assertion of guest and host on.
pub fn self_test(budget: &Budget) -> Result<Tally> {
    build::ringwall(Profile::Checked)?;
    let mut vm = this_tool()?;
    vm.args(["vm", "--cpus", "2", "--timeout", &budget.seconds(300)?, "--", "sh", "-c"]);
    counted(vm.arg("target/checked/ringwall doctor && echo PASS doctor || echo FAIL doctor"), verdict)
}

/// The self-test and a dozen programs in the emulated Intel reference.
pub fn in_intel_reference(budget: &Budget) -> Result<Tally> {
    setup::packages(setup::PROGRAMS)?;
    build::ringwall(Profile::Release)?;
    let mut vm = this_tool()?;
    vm.args(["vm", "--intel", "--timeout", &budget.seconds(900)?]);
    for file in INTEL_TOOLS.iter().chain(&["target/release/ringwall", DIFF, INTEL_PROGRAMS]) {
        vm.args(["--with", file]);
    }
    vm.args(["--", "sh", "-c"]);
    vm.arg(format!(
        "target/release/ringwall doctor && echo PASS doctor || echo FAIL doctor; exec {DIFF} {INTEL_PROGRAMS}"
    ));
    counted(&mut vm, verdict)
}

/// The programs on this machine's own KVM; nothing to count where it has no sound one.
pub fn on_host(budget: &Budget) -> Result<Tally> {
    setup::packages(setup::PROGRAMS)?;
    let ringwall = build::ringwall(Profile::Release)?;
    let Soundness { sound, interpreted } = host_soundness(&ringwall)?;
    if !sound {
        return Ok(Tally::default());
    }
    let mut diff = Command::new("timeout");
    diff.arg(budget.seconds(4 * 3600)?).arg(DIFF).current_dir(project::root());
    if interpreted {
        diff.args(["-t", INTERPRETED_SECONDS]);
        if budget.is_limited() {
            // All of them take a quarter of an hour on a good day, and half of one on a bad day.
            println!("NOTE ring 0 is interpreted here: a dozen programs; `cargo xtask test kvm` runs all");
            diff.args(["-k", QUICK]);
        }
    }
    counted(diff.arg(PROGRAMS), verdict)
}

/// A line of the acceptance script about one program.
pub fn verdict(line: &str) -> Option<Tally> {
    if line.starts_with("PASS ") {
        Some(Tally::passed())
    } else if line.starts_with("FAIL ") {
        Some(Tally::failed())
    } else {
        None
    }
}

/// What `ringwall doctor` says of this machine's KVM.
pub struct Soundness {
    /// Containers can run on it.
    pub sound: bool,
    /// Ring 0 is interpreted, so it is slow.
    pub interpreted: bool,
}

/// Asks `ringwall doctor`; says what it found where it is not sound.
pub fn host_soundness(ringwall: &Path) -> Result<Soundness> {
    let verdict =
        Command::new(ringwall).arg("doctor").stdin(Stdio::null()).output().context("cannot start ringwall")?;
    let text = String::from_utf8_lossy(&verdict.stdout);
    let sound = verdict.status.success();
    if !sound {
        println!("NOTE ringwall doctor finds no sound /dev/kvm on this machine:");
        print!("{text}{}", String::from_utf8_lossy(&verdict.stderr));
    }
    Ok(Soundness { sound, interpreted: text.contains("interpreted") })
}

/// Ourselves, in the workspace.
pub fn this_tool() -> Result<Command> {
    let mut tool = Command::new(std::env::current_exe()?);
    tool.current_dir(project::root());
    Ok(tool)
}
