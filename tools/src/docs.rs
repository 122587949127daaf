//! `cargo xtask docs`: makes the pages of docs/ that are generated. Tests beside what makes them refuse old ones.

use crate::build::{self, Profile};
use crate::{bench, process, project};
use anyhow::{Context, Result};
use std::process::Command;

/// Makes them.
pub fn run() -> Result<()> {
    bench::render()?;
    let ringwall = build::ringwall(Profile::Release)?;
    let text = process::output(Command::new(ringwall).args(["syscalls", "--markdown"]))?;
    let page = project::root().join("docs/syscalls.md");
    std::fs::write(&page, text).with_context(|| format!("cannot write {}", page.display()))
}
