//! `cargo xtask demo`: a shell session, Python and nginx, each inside ringwall.
//!
//! On this machine's own KVM where `ringwall doctor` finds it sound, otherwise in the emulated reference.

use crate::build::{self, Profile};
use crate::test::programs::{host_soundness, this_tool};
use crate::{project, setup};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs the jobs; the exit code is 0 if each ended well.
pub fn run() -> Result<u8> {
    setup::packages(setup::DEMO)?;
    let ringwall = build::ringwall(Profile::Release)?;
    let nginx = setup::nginx()?;
    let here = project::root().join("tools/src/demo");
    let sound = host_soundness(&ringwall)?.sound;
    let place = if sound { "this machine's KVM" } else { "the emulated reference machine" };
    println!("Each job runs inside ringwall on {place}. On stderr, ringwall says what it took.");
    let file = |name: &str| here.join(name).into_os_string();
    let jobs: [(&str, Vec<OsString>); 3] = [
        ("a shell session", vec!["bash".into(), file("session.sh")]),
        ("Python", vec!["/usr/bin/python3".into(), file("words.py")]),
        ("nginx serving curl", vec!["sh".into(), file("web.sh"), nginx.into_os_string(), file("nginx.conf")]),
    ];
    let mut failed = 0;
    for (name, command) in jobs {
        println!("\n== {name}");
        let code = job(&ringwall, sound, &command)?;
        if code != Some(0) {
            println!("== {name} FAILED ({code:?})");
            failed = 1;
        }
    }
    Ok(failed)
}

/// One job; its exit code, unless a signal ended it.
fn job(ringwall: &Path, on_host: bool, command: &[OsString]) -> Result<Option<i32>> {
    let mut job = if on_host {
        Command::new(ringwall)
    } else {
        let mut vm = this_tool()?;
        vm.args(["vm", "--cpus", "2", "--timeout", "300", "--"]).arg(ringwall);
        vm
    };
    job.args(["do", "--stats", "--"]).args(command).current_dir(project::root()).stdin(Stdio::null());
    Ok(job.status().context("cannot start the job")?.code())
}
