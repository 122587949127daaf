//! The emulated reference: QEMU's TCG with an AMD-like CPU that virtualises (SVM with nested paging).

use super::cpio::Archive;
use super::relay::{Event, PORTS, Relay};
use super::session::{Session, console_copy, tail};
use super::{TIMED_OUT, VmArgs, command, hold, image, pack};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Boots the machine, runs the command in it and returns its exit code.
pub fn run(args: &VmArgs) -> Result<u8> {
    if args.icount && args.cpus != 1 {
        bail!("--icount counts the instructions of one CPU; leave out --cpus {}", args.cpus);
    }
    let images = image::prepare(args.docker)?;
    let session = Session::create()?;
    let initramfs = session.path("initramfs");
    if args.packed {
        fs::write(&initramfs, pack::initramfs(args, &image::kernel_tree()?, image::QEMU_MODULES)?)?;
    } else {
        let mut content = fs::read(&images.initramfs)?;
        let mut archive = Archive::default();
        archive.executable("ringwall-vm/command", &command::script(&args.command, docker_variables(args))?);
        archive.executable("ringwall-vm/hold", &command::script(&hold::command()?, &[])?);
        content.extend(archive.finish());
        fs::write(&initramfs, content)?;
    }

    let (sender, events) = mpsc::channel();
    let relay = Relay::listen(session.directory(), sender)?;
    let mut machine = start(args, &images.kernel, &initramfs, &session, &relay)?;
    let event = match args.timeout {
        None => events.recv().unwrap_or(Event::Lost),
        Some(seconds) => match events.recv_timeout(Duration::from_secs(seconds)) {
            Ok(event) => event,
            Err(RecvTimeoutError::Disconnected) => Event::Lost,
            Err(RecvTimeoutError::Timeout) => {
                stop(&mut machine)?;
                relay.drain();
                eprintln!("xtask: the machine ran for more than {seconds} s");
                return Ok(TIMED_OUT);
            }
        },
    };
    stop(&mut machine)?;
    match event {
        Event::Exited(code) => {
            relay.drain();
            Ok(code)
        }
        Event::Lost => bail!(
            "the machine ended before the command did; the end of its console ({}):\n{}",
            console_copy().display(),
            tail(&session.path("console"))
        ),
    }
}

/// Docker keeps its files where overlays can lie, which is not on the overlay that is the root; `session.sh` makes the directory.
fn docker_variables(args: &VmArgs) -> &'static [(&'static str, &'static str)] {
    if args.docker { &[("TMPDIR", "/run/docker-tmp")] } else { &[] }
}

fn start(args: &VmArgs, kernel: &Path, initramfs: &Path, session: &Session, relay: &Relay) -> Result<Child> {
    // setpriv ends QEMU when we end, however we end.
    let mut qemu = Command::new("setpriv");
    qemu.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
    qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    qemu.args(["-machine", "q35", "-bios", "qboot.rom"]);
    qemu.args(["-cpu", if args.no_erms { "max,-la57,-erms,-fsrm" } else { "max,-la57" }]);
    if args.icount {
        qemu.args(["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"]);
    } else {
        qemu.args(["-accel", if args.one_thread { "tcg,thread=single" } else { "tcg,thread=multi" }]);
    }
    qemu.args(["-smp", &args.cpus.to_string(), "-m", &args.mem]);
    qemu.arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs);
    // The TSC is QEMU's own clock and reliable; the watchdogs would take a busy host for a hung guest. The session starts the
    // other CPUs (`hold` says why).
    qemu.args([
        "-append",
        "console=ttyS0 quiet panic=-1 nokaslr tsc=reliable no_timer_check nowatchdog rcupdate.rcu_cpu_stall_suppress=1 maxcpus=1",
    ]);
    qemu.arg("-serial").arg(format!("file:{}", session.path("console").display()));
    qemu.args([
        "-virtfs",
        "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
        "-device",
        "virtio-serial-pci",
    ]);
    for (number, port) in (1..).zip(PORTS) {
        qemu.arg("-chardev").arg(format!("socket,id={port},path={}", relay.socket(port).display()));
        qemu.arg("-device").arg(format!("virtserialport,chardev={port},nr={number}"));
    }
    if let Some(path) = &args.monitor {
        qemu.arg("-monitor").arg(format!("unix:{},server=on,wait=off", path.display()));
    }
    qemu.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("cannot start QEMU")
}

/// There is nothing to shut down in a machine that writes to memory only.
fn stop(machine: &mut Child) -> Result<()> {
    machine.kill()?;
    machine.wait()?;
    Ok(())
}
