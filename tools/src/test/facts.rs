//! The guest programs of `tests/guest`: each states facts about Linux, natively and inside, and both have to agree.

use super::programs::{MEMORY_TMP, this_tool, verdict};
use super::{Budget, counted};
use crate::build::{self, Profile};
use crate::tally::Tally;
use crate::{project, setup};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCES: &str = "tests/guest";
const COMPARE: &str = "tests/guest/compare.sh";
/// These run linked dynamically as well: the loader maps files, and threads and signals meet the C library's own start.
const ALSO_DYNAMIC: &[&str] = &["memory", "signals", "threads"];

/// All of them in the emulated reference, on a file system in memory.
pub fn in_reference(budget: &Budget) -> Result<Tally> {
    setup::packages(setup::PROGRAMS)?;
    build::ringwall(Profile::Release)?;
    let programs = compile_all()?;
    let mut vm = this_tool()?;
    vm.args(["vm", "--cpus", "2", "--timeout", &budget.seconds(600)?, "--", "sh", "-c"]);
    vm.arg(format!("{MEMORY_TMP} && exec {COMPARE} target/release/ringwall \"$@\"")).arg("sh");
    counted(vm.args(programs), verdict)
}

/// Compiles every program there is; returns where they are.
fn compile_all() -> Result<Vec<PathBuf>> {
    let folder = project::root().join("target/facts");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut programs = Vec::new();
    for entry in std::fs::read_dir(project::root().join(SOURCES)).context(SOURCES)? {
        let source = entry?.path();
        let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if source.extension().is_none_or(|extension| extension != "c") {
            continue;
        }
        let program = folder.join(&name);
        compile(&source, &program, &["-static"])?;
        programs.push(program);
        if ALSO_DYNAMIC.contains(&name.as_str()) {
            let program = folder.join(format!("{name}-dynamic"));
            // At a fixed place: facts about faults tell the address of the code.
            compile(&source, &program, &["-no-pie"])?;
            programs.push(program);
        }
    }
    programs.sort();
    Ok(programs)
}

/// Without warnings: the programs do on purpose what a compiler warns of.
pub fn compile(source: &Path, program: &Path, flags: &[&str]) -> Result<()> {
    let mut gcc = Command::new("gcc");
    gcc.args(["-O1", "-w", "-o"]).arg(program).arg(source).args(flags).arg("-pthread");
    let status = gcc.status().context("cannot start gcc")?;
    if !status.success() {
        bail!("gcc does not compile {}", source.display());
    }
    Ok(())
}
