//! The hidden verb that runs tests where it is started: natively or in a sandbox, and the same on both sides.
//!
//! Each test gets an empty directory, a process group and a time limit; what it leaves running is killed, and what it
//! leaves in the directory removed, before the next one starts.

use super::record::{Outcome, Record};
use super::suite::{Suite, Test};
use anyhow::{Context, Result, bail};
use clap::Args;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// What the other side of this tool asks for.
#[derive(Args, Debug)]
pub struct DriveArgs {
    #[arg(value_enum)]
    suite: Suite,
    path: PathBuf,
    limit_s: u64,
    tests: Vec<String>,
}

/// As much of a test's output is passed on.
const MOST_OUTPUT: u64 = 16 << 10;

/// Runs the tests one after the other and prints their records.
pub fn run(args: &DriveArgs) -> Result<u8> {
    // Whoever is orphaned by a test becomes our child, so none is overlooked.
    prctl::set_child_subreaper(true).context("no PR_SET_CHILD_SUBREAPER")?;
    let all = args.suite.tests(&args.path)?;
    for name in &args.tests {
        let Some(test) = all.iter().find(|test| test.name == *name) else { bail!("no test {name}") };
        println!("{}", Record::Begin(name.clone()));
        let start = Instant::now();
        let (outcome, said) = one(args, test)?;
        for line in said.lines() {
            println!("{}", Record::Said(line.replace('\0', " ")));
        }
        let took_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        println!("{}", Record::End(name.clone(), outcome, took_ms));
    }
    Ok(0)
}

fn one(args: &DriveArgs, test: &Test) -> Result<(Outcome, String)> {
    let place = std::env::temp_dir().join(format!("ltp.{}", std::process::id()));
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    fs::set_permissions(&place, fs::Permissions::from_mode(0o777))?;
    let output = place.with_extension("out");
    let child = start(args, test, &place, &output)?;
    let outcome = wait(child, args.limit_s)?;
    end_leftovers();
    let said = tail(&output)?;
    // What cannot be removed (a mount) stays; the next test gets a directory of that name or complains.
    let _ = fs::remove_dir_all(&place);
    let _ = fs::remove_file(&output);
    Ok((outcome, said))
}

fn start(args: &DriveArgs, test: &Test, place: &Path, output: &Path) -> Result<Child> {
    let out = File::create(output).with_context(|| format!("cannot make {}", output.display()))?;
    let programs = args.path.join("testcases/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(programs).chain(std::env::split_paths(&path)))?;
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(format!("exec {}", test.command));
    command.current_dir(place).process_group(0);
    command.env("PATH", path).env("TMPDIR", place).env("LTPROOT", &args.path).env("LTP_COLORIZE_OUTPUT", "n");
    // There is no kernel configuration to read in either place.
    command.env("KCONFIG_SKIP_CHECK", "1");
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
    command.spawn().context("cannot start a shell")
}

/// Waits for the test; a second thread ends its process group when it takes too long.
fn wait(mut child: Child, limit_s: u64) -> Result<Outcome> {
    let group = Pid::from_raw(i32::try_from(child.id())?);
    let (ended, end) = mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        let late = end.recv_timeout(Duration::from_secs(limit_s)) == Err(RecvTimeoutError::Timeout);
        if late {
            let _ = killpg(group, Signal::SIGKILL);
            // A program that runs the test may have moved to a group of its own.
            let _ = kill(group, Signal::SIGKILL);
        }
        late
    });
    let status = child.wait()?;
    drop(ended);
    let late = watch.join().unwrap_or(false);
    Ok(match (status.code(), status.signal()) {
        _ if late => Outcome::TimedOut,
        (Some(code), _) => Outcome::Exited(code),
        (_, Some(signal)) => Outcome::Killed(signal),
        _ => Outcome::Lost,
    })
}

/// Ends what the test left running, and collects it.
fn end_leftovers() {
    let enough = Instant::now() + Duration::from_secs(10);
    while Instant::now() < enough {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => {
                for process in children() {
                    let _ = kill(process, Signal::SIGKILL);
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

fn children() -> Vec<Pid> {
    let ours = std::process::id().to_string();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_child = |number: &i32| {
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        // pid (name) state ppid
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.split_whitespace().nth(1) == Some(ours.as_str()))
    };
    numbers.filter(is_child).map(Pid::from_raw).collect()
}

/// The end of what a test printed.
fn tail(output: &Path) -> Result<String> {
    let mut file = File::open(output)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MOST_OUTPUT)))?;
    let mut bytes = Vec::new();
    file.take(MOST_OUTPUT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
