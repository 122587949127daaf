//! What the end-to-end tests share: the same words run natively and inside ringwall, on pipes ([`outcome`]) or on a real
//! terminal ([`terminal`]), and a look at what a sandbox left behind ([`leftovers`]). `tests/cli` holds the tests.

#![forbid(unsafe_code)]

pub mod container;
pub mod elf;
pub mod leftovers;
pub mod outcome;
pub mod terminal;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Nothing here takes that long, even where ring 0 is interpreted and the machine is busy: what does, hangs.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The binary under test: `RINGWALL`, or what `cargo xtask build` leaves.
pub fn ringwall() -> PathBuf {
    std::env::var_os("RINGWALL").map_or_else(|| workspace().join("target/release/ringwall"), PathBuf::from)
}

/// Whether ring 0 is interpreted here (`ringwall doctor` knows), where copies take a thousand times as long.
pub fn is_interpreted() -> bool {
    std::env::var_os("RINGWALL_INTERPRETED").is_some()
}

/// The workspace's top directory.
pub fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// A program beside the tests, compiled statically unless it has been since it was changed.
pub fn guest_program(name: &str) -> PathBuf {
    let source = workspace().join("tests/tests/cli").join(name).with_extension("c");
    let program = workspace().join("target/guest").join(name);
    let changed = |file: &Path| std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
    if changed(&program) < changed(&source) {
        let directory = program.parent().expect("a directory");
        std::fs::create_dir_all(directory).expect("a directory");
        let scratch = tempfile::TempDir::new_in(directory).expect("a directory");
        let built = scratch.path().join(name);
        let status = Command::new("gcc").args(["-O2", "-static", "-o"]).arg(&built).arg(&source).status();
        assert!(status.is_ok_and(|status| status.success()), "gcc on {}", source.display());
        std::fs::rename(&built, &program).expect("the program's place");
    }
    program
}

/// A program with the environment that all tests use, in `/`.
pub fn native<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Command {
    let mut words = words.into_iter();
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).current_dir("/").env_clear();
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    command.envs([
        ("PATH", path),
        ("HOME", "/root"),
        ("LC_ALL", "C"),
        ("TZ", "UTC"),
        ("TERM", "xterm"),
        ("PS1", terminal::PROMPT),
    ]);
    command
}

/// The same inside: `ringwall do --vcpus 1 -- WORDS`.
pub fn inside<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Command {
    let mut command = verb(["do", "--vcpus", "1", "--"]);
    command.args(words);
    command
}

/// `ringwall WORDS`.
pub fn verb<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Command {
    let mut command = native([ringwall()]);
    command.args(words);
    command
}

/// Asks again until it has an answer; `None` after [`PATIENCE`].
pub fn eventually<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        match ask() {
            Some(answer) => return Some(answer),
            None if std::time::Instant::now() > end => return None,
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}
