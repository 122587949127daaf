//! A container that runs while a test looks at it from outside.

use crate::outcome::{code, outcome, start, wait};
use crate::verb;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use tempfile::TempDir;

/// On the host's root, with a network of its own that is empty.
const CONFIG: &str = r#"{
    "ociVersion": "1.0.2",
    "process": {"terminal": false, "user": {"uid": 0, "gid": 0}, "args": ["sh", "-c", "SCRIPT"],
                "env": ["PATH=/usr/bin:/bin"], "cwd": "/"},
    "root": {"path": "/", "readonly": true},
    "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "uts"}, {"type": "ipc"}, {"type": "network"}]},
    "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}]
}"#;

/// A bundle, a state directory and a name, which is also that of a cgroup and so of this container alone.
#[derive(Debug)]
pub struct Bundle {
    directory: TempDir,
    /// The container's name.
    pub id: String,
}

impl Bundle {
    /// With a script of sh for a program.
    pub fn new(script: &str) -> Self {
        let directory = TempDir::new().expect("a directory");
        let name = directory.path().file_name().expect("a name").to_string_lossy();
        let id = format!("test-{}", name.trim_start_matches('.'));
        let quoted = script.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        fs::write(directory.path().join("config.json"), CONFIG.replace("SCRIPT", &quoted)).expect("a bundle");
        Self { directory, id }
    }

    /// Where a test may put files of its own.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A file there.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).expect("a file");
        path
    }

    /// `ringwall WORDS` with its state directory.
    pub fn verb<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = verb(["--vcpus", "1", "--root"]);
        command.arg(self.path().join("state")).args(words);
        command
    }

    /// `ringwall OPTIONS run` of it.
    pub fn run(&self, options: &[&str]) -> Command {
        let mut command = self.verb(options);
        command.args(["run", "--bundle"]).arg(self.path()).arg(&self.id);
        command
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        if self.path().join("state").join(&self.id).exists() {
            outcome(&mut self.verb(["delete", "--force", &self.id]));
        }
    }
}

/// A container that runs until it is told to end, with a line on its stdin or without.
#[derive(Debug)]
pub struct Container {
    /// What it was made of.
    pub bundle: Bundle,
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Container {
    /// Runs the script, which says "ready" when it is.
    pub fn start(script: &str) -> Self {
        let bundle = Bundle::new(script);
        let mut command = bundle.run(&[]);
        let mut child = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let output = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut container = Self { bundle, child, output };
        assert_eq!(container.line(), "ready");
        container
    }

    /// The next line it prints.
    pub fn line(&mut self) -> String {
        self.output.next().expect("a line").expect("text")
    }

    /// `ringwall WORDS ID`.
    pub fn verb(&self, words: &[&str]) -> Command {
        let mut command = self.bundle.verb(words);
        command.arg(&self.bundle.id);
        command
    }

    /// Closes its stdin and waits for its end; the exit code.
    pub fn end(mut self) -> i32 {
        drop(self.child.stdin.take());
        code(wait(&mut self.child))
    }

    /// The same while it is still to be asked about.
    pub fn finish(&mut self) -> i32 {
        drop(self.child.stdin.take());
        code(wait(&mut self.child))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Where a test failed before the end. Its bundle deletes the container.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
