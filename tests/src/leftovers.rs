//! What a sandbox leaves behind, which has to be nothing.
//!
//! A [`Mark`] is a variable in the environment of the program that a test starts; all processes of a sandbox are forked
//! from that one and so carry it, whoever their parent is by now.

use crate::eventually;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// Marks what a test starts, and gives it directories of its own for temporary and run-time files.
#[derive(Debug)]
pub struct Mark {
    variable: String,
    directory: TempDir,
    mounts: Vec<String>,
}

/// A sandbox's processes, by what they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processes {
    /// The one that has the VM.
    pub sandbox: u32,
    /// The one that opens files.
    pub gofer: u32,
}

impl Mark {
    /// Puts a new mark on a command.
    pub fn put(command: &mut Command) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let value = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = TempDir::new().expect("a temporary directory");
        command.env("RINGWALL_TEST_MARK", &value);
        command.env("TMPDIR", directory.path()).env("XDG_RUNTIME_DIR", directory.path());
        Self { variable: format!("RINGWALL_TEST_MARK={value}"), directory, mounts: mounts() }
    }

    /// The processes that carry it.
    pub fn processes(&self) -> Vec<u32> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        numbers.filter(|process| self.is_on(*process)).collect()
    }

    /// Waits until both processes of the sandbox run, pinned.
    pub fn sandbox(&self) -> Processes {
        let found = eventually(|| {
            let all = self.processes();
            let pinned = |process: &&u32| status(**process, "Seccomp") == "2";
            let sandbox = *all.iter().filter(pinned).find(|process| has_thread(**process, "worker"))?;
            let gofer = *all.iter().filter(pinned).find(|process| !has_thread(**process, "worker"))?;
            Some(Processes { sandbox, gofer })
        });
        found.expect("a sandbox process and a gofer")
    }

    /// Panics unless nothing is left: no process (and with it no VM, socket or open file), no mount, no file.
    pub fn assert_nothing_left(&self) {
        let gone = eventually(|| self.processes().is_empty().then_some(()));
        assert!(gone.is_some(), "processes are left: {:?}", self.processes());
        let files: Vec<PathBuf> =
            fs::read_dir(self.directory.path()).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        assert_eq!(files, Vec::<PathBuf>::new(), "files are left");
        let ours = |line: &&String| line.contains("ringwall") && !self.mounts.contains(line);
        assert_eq!(mounts().iter().find(ours), None, "a mount is left");
    }

    fn is_on(&self, process: u32) -> bool {
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == self.variable.as_bytes())
    }
}

fn mounts() -> Vec<String> {
    fs::read_to_string("/proc/mounts").unwrap_or_default().lines().map(str::to_owned).collect()
}

fn has_thread(process: u32, name: &str) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return false };
    let is = |thread: &Path| fs::read_to_string(thread.join("comm")).is_ok_and(|comm| comm.trim_end() == name);
    threads.flatten().any(|thread| is(&thread.path()))
}

/// A line of `/proc/PID/status`.
pub fn status(process: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_default().trim().to_owned()
}
