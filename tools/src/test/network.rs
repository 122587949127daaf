//! A sandbox with a network of its own, in the emulated reference: programs inside and outside talk through a veth pair.

use super::programs::{this_tool, verdict};
use super::{Budget, counted, facts};
use crate::build::{self, Profile};
use crate::tally::Tally;
use crate::{project, setup};
use anyhow::{Context, Result};
use std::path::Path;

const CHECK: &str = "tests/net/check.sh";
const PEER: &str = "tests/net/netpeer.c";
const HOST_CHECK: &str = "tests/net/host.sh";
const HOST_PEER: &str = "tests/net/hostnet.c";
/// Bytes of the largest transfer: enough to fill every buffer many times, and not all of the stage's time.
const BYTES: &str = "20000000";

/// All checks.
pub fn in_reference(budget: &Budget) -> Result<Tally> {
    setup::packages(setup::PROGRAMS)?;
    setup::packages(setup::NETWORK)?;
    build::ringwall(Profile::Release)?;
    let folder = project::root().join("target/network");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let peer = folder.join("netpeer");
    facts::compile(Path::new(PEER), &peer, &["-static"])?;
    let host_peer = folder.join("hostnet");
    facts::compile(Path::new(HOST_PEER), &host_peer, &["-static"])?;
    let mut vm = this_tool()?;
    vm.args(["vm", "--cpus", "2", "--timeout", &budget.seconds(420)?, "--", CHECK, "target/release/ringwall"]);
    let mut sum = counted(vm.arg(peer).arg(BYTES), verdict)?;
    let mut vm = this_tool()?;
    vm.args(["vm", "--cpus", "2", "--timeout", &budget.seconds(180)?, "--", HOST_CHECK, "target/release/ringwall"]);
    sum.add(counted(vm.arg(host_peer), verdict)?);
    Ok(sum)
}
