//! Checks of the source text: where `unsafe` may stand, how long a file may be, how it begins.

use super::Findings;
use crate::{process, project};
use anyhow::{Context, Result};
use std::fs;
use std::process::Command;

/// Crate roots that must forbid unsafe code altogether.
const FORBIDDING: &[&str] = &["linker/src/lib.rs", "loader/src/lib.rs", "sentry/src/lib.rs", "tools/src/main.rs"];

/// The only files of `host-vmm` that may contain unsafe code.
const HOST_UNSAFE: &[(&str, &str)] = &[
    ("host-vmm/src/process.rs", "forks, and takes over descriptors that were inherited"),
    ("host-vmm/src/vm/guest_io.rs", "lends guest memory to host system calls"),
    ("host-vmm/src/vm/kvm.rs", "gives KVM the guest's memory, and reads its shared run page"),
];

/// No file is longer than this, and a good one has half.
const MOST_LINES: usize = 600;
const GOOD_LINES: usize = 300;

/// A module's header says what it is for, not how it works.
const MOST_HEADER_LINES: usize = 20;

/// `unsafe` stands only behind its fences.
pub fn fenced_unsafe() -> Result<Findings> {
    let mut findings = Findings::new();
    for root in FORBIDDING {
        let text = fs::read_to_string(project::root().join(root)).with_context(|| (*root).to_owned())?;
        if !text.lines().any(|line| line.trim() == "#![forbid(unsafe_code)]") {
            findings.push(format!("{root} does not forbid unsafe code"));
        }
    }
    for (path, text) in rust_files()? {
        let allowed = !path.starts_with("host-vmm/") || HOST_UNSAFE.iter().any(|(file, _)| *file == path);
        if allowed {
            continue;
        }
        for (number, line) in (1..).zip(text.lines()) {
            if says_unsafe(line) {
                findings.push(format!("{path}:{number} has unsafe code: {}", line.trim()));
            }
        }
    }
    Ok(findings)
}

/// No file is too long; how many are longer than they should be is only said.
pub fn sizes() -> Result<Findings> {
    let mut findings = Findings::new();
    let mut long = 0;
    for (path, text) in rust_files()? {
        let lines = text.lines().count();
        if lines > MOST_LINES {
            findings.push(format!("{path} has {lines} lines, more than {MOST_LINES}"));
        } else if lines > GOOD_LINES {
            long += 1;
        }
    }
    if long > 0 {
        println!("NOTE {long} files have more than {GOOD_LINES} lines");
    }
    Ok(findings)
}

/// Every module begins by saying what it is.
pub fn headers() -> Result<Findings> {
    let mut findings = Findings::new();
    for (path, text) in rust_files()? {
        let header = text.lines().take_while(|line| line.starts_with("//!")).count();
        if header == 0 {
            findings.push(format!("{path} does not begin with a //! header"));
        } else if header > MOST_HEADER_LINES {
            findings.push(format!("{path} has a header of {header} lines, more than {MOST_HEADER_LINES}"));
        }
    }
    Ok(findings)
}

/// The word in code, as far as a line shows it.
fn says_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe")
}

/// Tracked and new Rust files with their text; paths relative to the workspace.
fn rust_files() -> Result<Vec<(String, String)>> {
    let listing = process::output(
        Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"])
            .current_dir(project::root()),
    )?;
    let mut files = Vec::new();
    for path in String::from_utf8_lossy(&listing).lines() {
        // A file that was deleted and not yet committed is still listed.
        if let Ok(text) = fs::read_to_string(project::root().join(path)) {
            files.push((path.to_owned(), text));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::says_unsafe;

    #[test]
    fn only_the_word_in_code_counts_as_unsafe() {
        assert!(says_unsafe("    let x = unsafe { read() };"));
        assert!(says_unsafe("unsafe impl Send for X {}"));
        assert!(!says_unsafe("    // unsafe to call twice"));
        assert!(!says_unsafe("#![deny(unsafe_op_in_unsafe_fn)]"));
    }
}
