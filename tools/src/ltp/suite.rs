//! Which tests an installed build has.

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::fs;
use std::path::{Path, PathBuf};

/// One of LTP's suites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// The entries of runtest/syscalls
    Syscalls,
    /// The conformance tests of open_posix_testsuite
    Posix,
}

/// A test: what it is called, and the command line that is it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// As the suite calls it.
    pub name: String,
    /// For a shell.
    pub command: String,
}

const LIST: &str = "runtest/syscalls";
const CONFORMANCE: &str = "conformance";
const PROGRAM: &str = ".run-test";

impl Suite {
    /// As on the command line and in the names of files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syscalls => "syscalls",
            Self::Posix => "posix",
        }
    }

    /// All its tests in the build at `path`, in the suite's order.
    pub fn tests(self, path: &Path) -> Result<Vec<Test>> {
        match self {
            Self::Syscalls => {
                let list = path.join(LIST);
                let text = fs::read_to_string(&list).with_context(|| format!("no {}", list.display()))?;
                Ok(entries(&text))
            }
            Self::Posix => programs(path),
        }
    }
}

/// `name command…` a line.
fn entries(text: &str) -> Vec<Test> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let entry = |line: &str| {
        let (name, command) = line.split_once(char::is_whitespace)?;
        Some(Test { name: name.into(), command: command.trim().into() })
    };
    lines.filter_map(entry).collect()
}

/// A program a test, in folders.
fn programs(path: &Path) -> Result<Vec<Test>> {
    let Some(top) = conformance(path) else { bail!("no {CONFORMANCE} below {}", path.display()) };
    let mut folders = vec![top.clone()];
    let mut tests = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("no {}", folder.display()))? {
            let file = entry?.path();
            if file.is_dir() {
                folders.push(file);
                continue;
            }
            let below = file.strip_prefix(&top)?.to_string_lossy().into_owned();
            if let Some(name) = below.strip_suffix(PROGRAM) {
                tests.push(Test { name: name.into(), command: file.to_string_lossy().into_owned() });
            }
        }
    }
    tests.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(tests)
}

/// The folder of that name nearest to the top.
fn conformance(path: &Path) -> Option<PathBuf> {
    let mut level = vec![path.to_path_buf()];
    for _ in 0..4 {
        if let Some(found) = level.iter().map(|folder| folder.join(CONFORMANCE)).find(|folder| folder.is_dir()) {
            return Some(found);
        }
        let below = level.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        level = below.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Test, entries};

    #[test]
    fn an_entry_is_a_name_and_a_command() {
        let text = "#DESCRIPTION:Kernel system calls\nabort01 abort01\n\nfork13 fork13 -i 10\n";
        let test = |name: &str, command: &str| Test { name: name.into(), command: command.into() };
        assert_eq!(entries(text), [test("abort01", "abort01"), test("fork13", "fork13 -i 10")]);
    }
}
