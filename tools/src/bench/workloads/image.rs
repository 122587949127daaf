//! The root file system of the workloads: Debian with the programs in it, made once for all clones on a machine.

use crate::{process, project};
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const PACKAGES: &str = "nginx-light,redis-server,redis-tools,gcc,libc6-dev,make,git";

/// Makes it if it is missing; returns the archive.
pub fn prepare() -> Result<PathBuf> {
    let archive = project::cache().join("bench-root.tar");
    if archive.is_file() {
        return Ok(archive);
    }
    eprintln!("xtask: making the workloads' root file system, {}", archive.display());
    let scratch = project::cache().join(format!("bench-root.{}", std::process::id()));
    fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    let made = make(&scratch.join("root"), &scratch.join("tar"));
    let placed = made.and_then(|()| fs::rename(scratch.join("tar"), &archive).context("cannot put it in place"));
    fs::remove_dir_all(&scratch).with_context(|| format!("cannot remove {}", scratch.display()))?;
    placed.map(|()| archive)
}

fn make(root: &PathBuf, archive: &PathBuf) -> Result<()> {
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", &format!("--include={PACKAGES}"), "bookworm"]).arg(root);
    process::output(&mut debootstrap)?;
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(root).args(["--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*", "-cf"]);
    process::output(tar.arg(archive).arg("."))?;
    Ok(())
}
