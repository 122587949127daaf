//! The emulated Intel reference: Bochs with a CPU that has VMX, booted from a CD image with everything in its initramfs.
//!
//! Bochs knows no shared folder and its serial ports write to files, so the command's files are packed and its output
//! is read as the files grow.

use super::pack;
use super::session::{Session, tail};
use super::{TIMED_OUT, VmArgs, image};
use crate::{process, setup};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Nothing needs loading but the hypervisor.
const MODULES: &[&str] = &["kvm-intel"];

/// Boots the machine, runs the command in it and returns its exit code.
pub fn run(args: &VmArgs) -> Result<u8> {
    if args.cpus != 1 || args.icount {
        bail!("the Intel reference has one CPU and always counts instructions; leave out --cpus and --icount");
    }
    setup::packages(setup::BOCHS)?;
    let session = Session::create()?;
    make_cd(args, &session)?;
    fs::write(session.path("bochsrc"), configuration(&session))?;
    // Debian's Bochs is the debugger's build: it waits for a command before it starts.
    fs::write(session.path("start"), "c\n")?;

    let mut machine = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "script", "--quiet", "--return", "--command"])
        .arg("exec setpriv --pdeathsig KILL bochs -q -f bochsrc -rc start")
        .arg("terminal")
        .env("TERM", "xterm")
        .current_dir(session.directory())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start Bochs")?;
    let deadline = args.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut stdout = Follower::new(session.path("serial1"), std::io::stdout());
    let mut stderr = Follower::new(session.path("serial2"), std::io::stderr());
    loop {
        let ended = machine.try_wait()?.is_some();
        // The guest writes the code when its output has left the serial ports.
        let code = exit_code(&session.path("serial3"));
        stdout.pass_on()?;
        stderr.pass_on()?;
        let late = deadline.is_some_and(|deadline| Instant::now() > deadline);
        if code.is_some() || late || ended {
            machine.kill()?;
            machine.wait()?;
            return match code {
                Some(code) => Ok(code),
                None if late => {
                    eprintln!("xtask: the machine ran for more than {} s", args.timeout.unwrap_or_default());
                    Ok(TIMED_OUT)
                }
                None => bail!(
                    "the machine ended before the command did; the ends of its console and of Bochs' log:\n{}\n{}",
                    tail(&session.path("console")),
                    tail(&session.path("log"))
                ),
            };
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A bootable image with the kernel, and the initramfs with modules, scripts, the command and its files.
fn make_cd(args: &VmArgs, session: &Session) -> Result<()> {
    let tree = image::kernel_tree()?;
    let boot = session.path("cd/boot");
    fs::create_dir_all(boot.join("grub"))?;
    fs::write(boot.join("initramfs"), pack::initramfs(args, &tree, MODULES)?)?;
    fs::copy(image::bzimage(&tree)?, boot.join("vmlinuz"))?;
    fs::write(boot.join("grub/grub.cfg"), include_str!("guest/grub.cfg"))?;
    process::output(Command::new("grub-mkrescue").arg("-o").arg(session.path("cd.iso")).arg(session.path("cd")))?;
    Ok(())
}

fn configuration(session: &Session) -> String {
    let mut text = String::from(include_str!("guest/bochsrc"));
    for (port, file) in (1..).zip(["console", "serial1", "serial2", "serial3"]) {
        text += &format!("com{port}: enabled=1, mode=file, dev={}\n", session.path(file).display());
    }
    text
}

/// Passes on what is appended to a file.
struct Follower<W> {
    path: std::path::PathBuf,
    file: Option<File>,
    to: W,
}

impl<W: Write> Follower<W> {
    fn new(path: std::path::PathBuf, to: W) -> Self {
        Self { path, file: None, to }
    }

    fn pass_on(&mut self) -> Result<()> {
        if self.file.is_none() {
            // Bochs creates it when it starts.
            self.file = File::open(&self.path).ok();
        }
        if let Some(file) = &mut self.file {
            let mut content = Vec::new();
            file.read_to_end(&mut content)?;
            self.to.write_all(&content)?;
            self.to.flush()?;
        }
        Ok(())
    }
}

fn exit_code(file: &Path) -> Option<u8> {
    let line = fs::read_to_string(file).ok()?;
    line.strip_suffix('\n')?.trim().strip_prefix("exit ")?.parse().ok()
}
