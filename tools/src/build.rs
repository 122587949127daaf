//! `cargo xtask build`: the ring-0 blob for the guest, then the host binary with the blob inside.

use crate::{process, project, setup};
use anyhow::{Result, bail};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which of the builds.
#[derive(Args, Debug, Clone, Copy)]
pub struct BuildArgs {
    /// With debug assertions and overflow checks, in target/checked
    #[arg(long)]
    pub checked: bool,
}

/// The profiles that make a binary one can run containers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// What is shipped.
    Release,
    /// The same with every assertion on.
    Checked,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Checked => "checked",
        }
    }

    /// The profile of the host's side, which uses the sentry for its tables only.
    fn host_name(self) -> &'static str {
        match self {
            Self::Release => "host",
            Self::Checked => "checked",
        }
    }

    /// The profile of the blob: what is shipped is optimised across crates, because every system call goes through it.
    fn blob_name(self) -> &'static str {
        match self {
            Self::Release => "blob",
            Self::Checked => "checked",
        }
    }
}

/// Builds and says where the result is.
pub fn run(args: BuildArgs) -> Result<()> {
    let profile = if args.checked { Profile::Checked } else { Profile::Release };
    println!("{}", ringwall(profile)?.display());
    Ok(())
}

/// Builds the `ringwall` binary of a profile; returns its path.
pub fn ringwall(profile: Profile) -> Result<PathBuf> {
    let blob = blob(profile)?;
    process::run(
        project::cargo()
            .args(["build", "--quiet", "--package", "host-vmm", "--bin", "ringwall", "--profile", profile.host_name()])
            .env("RINGWALL_BLOB", &blob),
    )?;
    let built = project::target().join(profile.host_name()).join("ringwall");
    let place = project::target().join(profile.name()).join("ringwall");
    if built != place {
        install(&built, &place)?;
    }
    Ok(place)
}

/// Puts a new file in place of the old one at once, which may be running.
fn install(built: &Path, place: &Path) -> Result<()> {
    let new = place.with_extension("new");
    fs::create_dir_all(place.parent().unwrap_or(Path::new(".")))?;
    fs::copy(built, &new)?;
    fs::rename(&new, place)?;
    Ok(())
}

/// Builds the ring-0 blob of a profile; returns the ELF file.
pub fn blob(profile: Profile) -> Result<PathBuf> {
    let guest = guest_cargo("build")?;
    let mut cargo = guest.cargo;
    process::run(cargo.args(["--profile", profile.blob_name()]))?;
    let elf = blob_target().join(guest.target).join(profile.blob_name()).join("ring0");
    if !elf.is_file() {
        bail!("the build left no {}", elf.display());
    }
    Ok(elf)
}

/// A cargo command on `ring0`, for the target it runs on.
pub struct GuestCargo {
    /// `cargo VERB --package ring0 --target …`.
    pub cargo: Command,
    target: &'static str,
}

/// `cargo VERB` for ring0, without any vector instruction.
pub fn guest_cargo(verb: &str) -> Result<GuestCargo> {
    let bare = setup::guest_target();
    let (target, flags) = if bare { (setup::GUEST_TARGET, BARE_FLAGS) } else { (HOST_TARGET, HOST_FLAGS) };
    let mut cargo = project::cargo();
    cargo.args([verb, "--quiet", "--package", "ring0", "--target", target, "--target-dir"]);
    cargo.arg(blob_target());
    // The flags of the environment are meant for the host.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    Ok(GuestCargo { cargo, target })
}

/// Apart from the host's, so that neither build waits for the other's lock or rebuilds its crates.
fn blob_target() -> PathBuf {
    project::target().join("blob")
}

const HOST_TARGET: &str = "x86_64-unknown-linux-gnu";

/// The image is linked at a fixed address in the top 2 GiB.
const BARE_FLAGS: &[&str] = &["-Crelocation-model=static", "-Ccode-model=kernel", "-Cpanic=abort"];

/// The same from the host target: no red zone, as interrupts use the same stack, and no vector unit.
const HOST_FLAGS: &[&str] = &[
    "-Crelocation-model=static",
    "-Ccode-model=kernel",
    "-Cpanic=abort",
    "-Cno-redzone=yes",
    "-Ctarget-feature=-mmx,-sse,-sse2,-sse3,-ssse3,-sse4.1,-sse4.2,-avx,-avx2,+soft-float",
    "-Clinker-flavor=ld.lld",
    "-Clinker=rust-lld",
    // The precompiled `core` was made to unwind; nothing does here.
    "-Clink-arg=--defsym=rust_eh_personality=0",
];
