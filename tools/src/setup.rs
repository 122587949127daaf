//! Installs what the verbs need from Debian's packages, and says what it does.
//!
//! A need is a file that has to exist and the package that brings it: when all files are there, nothing is started.

use crate::{process, project, vm};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file that a verb uses, and the Debian package it comes from.
#[derive(Clone, Copy)]
pub struct Need {
    file: &'static str,
    package: &'static str,
}

const fn need(file: &'static str, package: &'static str) -> Need {
    Need { file, package }
}

/// For `cargo xtask vm`.
pub const QEMU: &[Need] = &[
    need("/usr/bin/qemu-system-x86_64", "qemu-system-x86"),
    need("/usr/share/seabios/vgabios-stdvga.bin", "seabios"),
    need("/usr/bin/busybox", "busybox-static"),
    need("/usr/bin/xz", "xz-utils"),
    need("/usr/bin/setpriv", "util-linux"),
];

/// For `cargo xtask vm --intel`.
pub const BOCHS: &[Need] = &[
    need("/usr/bin/bochs", "bochs"),
    need("/usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so", "bochs-term"),
    need("/usr/share/bochs/BIOS-bochs-latest", "bochsbios"),
    need("/usr/share/vgabios/vgabios.bin", "vgabios"),
    need("/usr/bin/busybox", "busybox-static"),
    need("/usr/bin/xz", "xz-utils"),
    need("/usr/bin/script", "bsdutils"),
    need("/usr/bin/grub-mkrescue", "grub-common"),
    need("/usr/lib/grub/i386-pc/multiboot.mod", "grub-pc-bin"),
    need("/usr/bin/xorriso", "xorriso"),
    need("/usr/bin/mformat", "mtools"),
];

/// For the programs that the acceptance cases and the guest tests run.
pub const PROGRAMS: &[Need] = &[
    need("/usr/bin/gcc", "gcc"),
    need("/usr/include/stdio.h", "libc6-dev"),
    need("/usr/bin/python3", "python3"),
    need("/usr/bin/perl", "perl"),
    need("/usr/bin/xz", "xz-utils"),
    need("/usr/bin/cmp", "diffutils"),
    need("/usr/bin/objdump", "binutils"),
];

/// For the network's stage of the tests.
pub const NETWORK: &[Need] = &[
    need("/usr/sbin/ip", "iproute2"),
    need("/usr/bin/curl", "curl"),
    need("/usr/bin/python3", "python3"),
    need("/usr/lib/x86_64-linux-gnu/libc.a", "libc6-dev"),
];

/// For the end-to-end tests of the command line, beside [`PROGRAMS`].
pub const TERMINAL: &[Need] = &[
    need("/usr/bin/bash", "bash"),
    need("/usr/bin/less", "less"),
    need("/usr/bin/ps", "procps"),
    need("/usr/bin/setsid", "util-linux"),
    need("/usr/lib/x86_64-linux-gnu/libc.a", "libc6-dev"),
];

/// For the stages of the tests that have container engines in them.
pub const ENGINES: &[Need] = &[
    need("/usr/sbin/dockerd", "docker.io"),
    need("/usr/sbin/debootstrap", "debootstrap"),
    need("/usr/sbin/iptables", "iptables"),
    need("/usr/bin/curl", "curl"),
    need("/usr/bin/containerd", "containerd"),
    need("/usr/bin/podman", "podman"),
    need("/usr/bin/conmon", "conmon"),
    need("/usr/bin/catatonit", "catatonit"),
    need("/usr/sbin/runc", "runc"),
    need("/usr/bin/busybox", "busybox-static"),
    need("/usr/bin/python3", "python3"),
    need("/usr/bin/script", "bsdutils"),
];

/// For `cargo xtask bench`.
pub const BENCH: &[Need] = &[
    need("/usr/bin/gcc", "gcc"),
    need("/usr/bin/objdump", "binutils"),
    need("/usr/share/containers/seccomp.json", "golang-github-containers-common"),
    need("/usr/lib/x86_64-linux-gnu/libc.a", "libc6-dev"),
    need("/usr/sbin/runc", "runc"),
    need("/usr/bin/awk", "mawk"),
];

/// For the workloads of `cargo xtask bench`.
pub const WORKLOADS: &[Need] = &[
    need("/usr/sbin/runc", "runc"),
    need("/usr/bin/crun", "crun"),
    need("/usr/bin/redis-benchmark", "redis-tools"),
    need("/usr/bin/wrk", "wrk"),
    need("/usr/bin/git", "git"),
    need("/usr/sbin/debootstrap", "debootstrap"),
    need("/usr/sbin/mkfs.ext4", "e2fsprogs"),
    need("/usr/sbin/ip", "iproute2"),
    need("/usr/bin/busybox", "busybox-static"),
    need("/usr/bin/unshare", "util-linux"),
];

/// For `cargo xtask demo`.
pub const DEMO: &[Need] = &[
    need("/usr/bin/python3", "python3"),
    need("/usr/bin/curl", "curl"),
    // What nginx is linked with; nginx itself is only unpacked.
    need("/usr/lib/x86_64-linux-gnu/libpcre2-8.so.0", "libpcre2-8-0"),
    need("/usr/lib/x86_64-linux-gnu/libssl.so.3", "libssl3"),
];

/// For the stage of the tests that watches containers: beside [`PROGRAMS`] and [`TERMINAL`].
pub const WATCHING: &[Need] = &[
    need("/usr/bin/strace", "strace"),
    need(BROWSER, "chromium"),
    need("/usr/sbin/ip", "iproute2"),
    need("/usr/bin/curl", "curl"),
    need("/usr/bin/busybox", "busybox-static"),
    // What nginx is linked with; nginx itself is only unpacked.
    need("/usr/lib/x86_64-linux-gnu/libpcre2-8.so.0", "libpcre2-8-0"),
    need("/usr/lib/x86_64-linux-gnu/libssl.so.3", "libssl3"),
];

/// Shows the page of `ringwall report`.
pub const BROWSER: &str = "/usr/bin/chromium";

/// nginx, unpacked and not installed: installing would start it as a service of this machine.
pub fn nginx() -> Result<PathBuf> {
    let directory = project::target().join("demo");
    let program = directory.join("usr/sbin/nginx");
    if !program.is_file() {
        std::fs::create_dir_all(&directory)?;
        let package = download("nginx", &directory)?;
        process::output(Command::new("dpkg-deb").arg("-x").args([&package, &directory]))?;
        std::fs::remove_file(package)?;
    }
    Ok(program)
}

/// Everything that any verb needs.
pub fn everything() -> Result<()> {
    let all: Vec<Need> = [QEMU, BOCHS, PROGRAMS, TERMINAL, WATCHING, NETWORK, ENGINES, BENCH, WORKLOADS, DEMO].concat();
    packages(&all)?;
    vm::image::prepare(false)?;
    guest_target();
    println!("everything is there");
    Ok(())
}

/// Installs the packages whose files are missing.
pub fn packages(needs: &[Need]) -> Result<()> {
    let mut missing: Vec<&str> =
        needs.iter().filter(|need| !Path::new(need.file).exists()).map(|need| need.package).collect();
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("xtask: installing {} (apt-get)", missing.join(" "));
    update_lists_if_missing()?;
    process::output(apt_get().args(["install", "-y", "-qq", "--no-install-recommends"]).args(&missing))
        .with_context(|| format!("cannot install {}", missing.join(" ")))?;
    Ok(())
}

/// Downloads a package into `directory` without installing it; returns the file.
pub fn download(package: &str, directory: &Path) -> Result<PathBuf> {
    update_lists_if_missing()?;
    eprintln!("xtask: downloading {package} (apt-get download)");
    process::output(Command::new("apt-get").args(["download", "-qq", package]).current_dir(directory))?;
    let prefix = format!("{package}_");
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            return Ok(entry.path());
        }
    }
    bail!("apt-get download {package} left no file")
}

/// The target ring0 is built for where it can be had.
pub const GUEST_TARGET: &str = "x86_64-unknown-none";

/// Adds [`GUEST_TARGET`] if need be; false where it cannot be had, and the build falls back to the host's target.
pub fn guest_target() -> bool {
    if has_guest_target() {
        return true;
    }
    eprintln!("xtask: adding the Rust target {GUEST_TARGET} (rustup)");
    if let Err(error) = process::output(Command::new("rustup").args(["target", "add", GUEST_TARGET])) {
        eprintln!("xtask: no {GUEST_TARGET} ({error:#}); building ring0 for the host's target with SSE off");
    }
    has_guest_target()
}

/// Whether the compiler in use has a `core` for the target.
fn has_guest_target() -> bool {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    process::output(rustc.args(["--print", "target-libdir", "--target", GUEST_TARGET]))
        .is_ok_and(|directory| Path::new(String::from_utf8_lossy(&directory).trim()).is_dir())
}

fn apt_get() -> Command {
    let mut command = if process::find("sudo").is_some() && !is_root() {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        sudo
    } else {
        Command::new("apt-get")
    };
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

fn update_lists_if_missing() -> Result<()> {
    let known = std::fs::read_dir("/var/lib/apt/lists")?
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().contains("_Packages"));
    if known { Ok(()) } else { update_lists() }
}

/// Fetches the package lists.
pub fn update_lists() -> Result<()> {
    eprintln!("xtask: fetching the package lists (apt-get update)");
    process::output(apt_get().args(["update", "-qq"]))?;
    Ok(())
}
