//! `cargo xtask lint`: what the compiler does not refuse by itself.
//!
//! A check returns what it objects to, a line each; an empty list passes. [`source`] reads the files, [`blob`] the
//! guest's machine code.

pub mod blob;
mod source;

use crate::tally::Tally;
use crate::{build, process, project, setup};
use anyhow::Result;

/// Objections, one a line.
pub type Findings = Vec<String>;

struct Check {
    name: &'static str,
    find: fn() -> Result<Findings>,
}

const CHECKS: &[Check] = &[
    Check { name: "rustfmt", find: rustfmt },
    Check { name: "clippy", find: clippy },
    Check { name: "clippy of ring0", find: clippy_of_ring0 },
    Check { name: "unsafe is fenced", find: source::fenced_unsafe },
    Check { name: "file sizes", find: source::sizes },
    Check { name: "module headers", find: source::headers },
    Check { name: "no vector code in the blob", find: blob::no_vector_code },
    Check { name: "no code in the blob that PVM cannot emulate", find: blob::nothing_unemulated },
];

/// Makes every check and counts them.
pub fn run() -> Result<Tally> {
    let mut tally = Tally::default();
    for check in CHECKS {
        match (check.find)() {
            Ok(findings) if findings.is_empty() => tally.pass(check.name),
            Ok(findings) => tally.fail(check.name, &findings.join("\n")),
            Err(error) => tally.fail(check.name, &format!("{error:#}")),
        }
    }
    Ok(tally)
}

fn rustfmt() -> Result<Findings> {
    component("rustfmt", "cargo-fmt")?;
    Ok(failure(process::output(project::cargo().args(["fmt", "--all", "--check"]))))
}

fn clippy() -> Result<Findings> {
    component("clippy", "cargo-clippy")?;
    let mut cargo = project::cargo();
    cargo.args(["clippy", "--quiet", "--workspace", "--exclude", "ring0", "--all-targets", "--", "-D", "warnings"]);
    Ok(failure(process::output(&mut cargo)))
}

fn clippy_of_ring0() -> Result<Findings> {
    component("clippy", "cargo-clippy")?;
    let mut guest = build::guest_cargo("clippy")?;
    Ok(failure(process::output(guest.cargo.args(["--", "-D", "warnings"]))))
}

/// A minimal Rust has neither rustfmt nor clippy.
fn component(component: &str, program: &str) -> Result<()> {
    if process::find(program).is_none() {
        eprintln!("xtask: adding the Rust component {component} (rustup)");
        process::output(std::process::Command::new("rustup").args(["component", "add", component]))?;
    }
    Ok(())
}

fn failure(outcome: Result<Vec<u8>>) -> Findings {
    match outcome {
        Ok(_) => Findings::new(),
        Err(error) => vec![format!("{error:#}")],
    }
}

/// What the checks of the blob read.
fn objdump_ready() -> Result<()> {
    setup::packages(setup::PROGRAMS)
}
