//! What an operation costs, counted: instructions, exits, system calls of the host. The same on every machine and every time.
//!
//! The machine counts instructions and holds all files in memory. `guest.sh` runs in it; `tests/bench` measures.

use super::looking;
use super::outcome::{Count, Counts, Taken};
use crate::build::{self, Profile};
use crate::{process, project, setup};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What `guest.sh` calls.
const TOOLS: &[&str] = &["true", "sleep", "cat", "cp", "sed", "awk", "wc", "mkdir", "mount", "runc"];

/// `name → value` by section.
type Figures = BTreeMap<String, BTreeMap<String, u64>>;

/// Measures everything, or in the `short` form what is counted by operation; the second is an error if the run broke off.
pub fn measure(short: bool, seconds: &str) -> Result<(Counts, Result<()>)> {
    setup::packages(setup::BENCH)?;
    let ringwall = build::ringwall(Profile::Release)?;
    let bench = guest_program()?;
    let profile = project::target().join("bench/seccomp.json");
    std::fs::write(&profile, looking::default_profile()?.to_string())
        .with_context(|| format!("cannot write {}", profile.display()))?;
    let script = project::root().join("tools/src/bench/guest.sh");
    let mut vm = Command::new(std::env::current_exe()?);
    vm.current_dir(project::root()).args(["vm", "--icount", "--packed", "--timeout", seconds]);
    for file in TOOLS.iter().map(PathBuf::from).chain([bench.clone(), ringwall.clone(), profile.clone()]) {
        vm.arg("--with").arg(file);
    }
    vm.arg("--").arg(script).arg(&bench).arg(ringwall).arg(profile).args(short.then_some("short"));
    let (mut counts, result) = run(&mut vm, operations(&bench)?)?;
    counts.looking.insert("route".to_owned(), looking::of_route(&build::blob(Profile::Release)?)?);
    Ok((counts, result))
}

/// The same on this machine, natively and on its own KVM: ticks of its clock, not instructions, and nothing is counted beside them.
pub fn measure_here() -> Result<(Counts, Result<()>)> {
    setup::packages(setup::BENCH)?;
    let ringwall = build::ringwall(Profile::Release)?;
    let bench = guest_program()?;
    let files = project::target().join("tmp/bench-files");
    let _ = std::fs::remove_dir_all(&files);
    std::fs::create_dir_all(&files).with_context(|| format!("cannot make {}", files.display()))?;
    let script = "\"$1\" files && echo @native && \"$1\" && echo @inside && \"$2\" do -- \"$1\"";
    let mut here = Command::new("sh");
    here.env("BENCH_DIR", &files).args(["-c", script, "sh"]).arg(&bench).arg(ringwall);
    let outcome = run(&mut here, operations(&bench)?);
    std::fs::remove_dir_all(&files).with_context(|| format!("cannot remove {}", files.display()))?;
    let (mut counts, result) = outcome?;
    "ticks".clone_into(&mut counts.unit);
    Ok((counts, result))
}

/// Runs what measures, and says what it is at as it goes on.
fn run(command: &mut Command, operations: Vec<(String, u64)>) -> Result<(Counts, Result<()>)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .context("cannot start the machine")?;
    let output = child.stdout.take().context("no output to read")?;
    let mut text = String::new();
    for line in BufReader::new(output).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        eprintln!("  {}", line.replace('\t', "  "));
        text.push_str(&line);
        text.push('\n');
    }
    let status = child.wait()?;
    let counts = counts(&parse(&text), operations)?;
    let result = if status.success() { Ok(()) } else { Err(anyhow::anyhow!("the run ended with {status}")) };
    Ok((counts, result))
}

fn counts(figures: &Figures, operations: Vec<(String, u64)>) -> Result<Counts> {
    let rows = operations
        .into_iter()
        .map(|(name, runs)| {
            let many = runs.min(200);
            let few = (many / 2).max(1);
            let each = |what: &str| {
                let of = |times: u64| get(figures, &format!("events\t{name}\t{times}"), what);
                let more = of(many)?.saturating_sub(of(few)?);
                // To a hundredth: below that it is a timer's interrupt.
                Some((more as f64 / (many - few) as f64 * 100.0).round() / 100.0)
            };
            Count {
                native: get(figures, "native", &name),
                inside: get(figures, "inside", &name),
                exits: each("exits"),
                host_calls: each("system calls"),
                counted: many - few,
                name,
            }
        })
        .collect();
    let section = |name: &str| figures.get(name).cloned().unwrap_or_default();
    Ok(Counts {
        taken: Taken::now()?,
        unit: "instructions".to_owned(),
        rows,
        looking: section("looking"),
        start: section("start"),
        idle: section("idle"),
    })
}

/// Compiles `tests/bench`.
fn guest_program() -> Result<PathBuf> {
    let bench = project::target().join("bench/bench");
    let folder = project::root().join("tests/bench");
    std::fs::create_dir_all(project::target().join("bench")).context("cannot make target/bench")?;
    let mut sources: Vec<PathBuf> =
        std::fs::read_dir(&folder).context("tests/bench")?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    sources.retain(|source| source.extension().is_some_and(|extension| extension == "c"));
    process::run(
        Command::new("gcc")
            .args(["-O2", "-Wall", "-Wextra", "-Werror", "-static", "-pthread", "-o"])
            .arg(&bench)
            .args(sources),
    )?;
    Ok(bench)
}

/// What the program measures, and how often.
fn operations(bench: &PathBuf) -> Result<Vec<(String, u64)>> {
    let list = process::output(Command::new(bench).arg("list"))?;
    let list = String::from_utf8_lossy(&list);
    let operations: Vec<_> = list
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .filter_map(|(name, runs)| Some((name.to_owned(), runs.parse().ok()?)))
        .collect();
    if operations.is_empty() {
        bail!("{} lists no operations", bench.display());
    }
    Ok(operations)
}

fn parse(text: &str) -> Figures {
    let mut figures = Figures::new();
    let mut section = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('@') {
            name.clone_into(&mut section);
        } else if let Some((name, value)) = line.split_once('\t')
            && let Ok(value) = value.parse()
        {
            figures.entry(section.clone()).or_default().insert(name.to_owned(), value);
        }
    }
    figures
}

fn get(figures: &Figures, section: &str, name: &str) -> Option<u64> {
    figures.get(section)?.get(name).copied()
}

#[cfg(test)]
mod tests {
    use super::{counts, parse};

    #[test]
    fn figures_are_read_by_section() {
        let figures = parse("@native\ngetppid\t325\n@inside\nnoise\ngetppid\t100\n");
        assert_eq!(figures["native"]["getppid"], 325);
        assert_eq!(figures["inside"]["getppid"], 100);
    }

    #[test]
    fn what_a_start_takes_is_no_part_of_an_operation() {
        let figures = parse("@events\tread\t2\nexits\t1000\n@events\tread\t5\nexits\t1006\n");
        let counts = counts(&figures, vec![("read".to_owned(), 5)]).expect("counts");
        assert_eq!(counts.rows[0].exits, Some(2.0));
        assert_eq!(counts.rows[0].host_calls, None);
    }
}
