//! `cargo xtask bench`: what things cost inside ringwall, with native beside them, from one run of one machine.
//!
//! The machine counts instructions and holds all files in memory, so that the figures are the same on every host and
//! every time. `guest.sh` runs in it; `tests/guest/bench.c` measures.

use crate::build::{self, Profile};
use crate::tally::Tally;
use crate::test::Budget;
use crate::{process, project, setup};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What [`guest.sh`](self) calls.
const TOOLS: &[&str] = &["true", "sleep", "cat", "sed", "awk", "wc", "mkdir", "mount", "runc"];

/// The most an operation may cost inside.
enum Bound {
    Instructions(u64),
    TimesNative(u64),
    None,
}

/// The operations of `bench.c` in the order they are shown in, and their bounds.
const OPERATIONS: &[(&str, Bound)] = &[
    ("getppid", Bound::Instructions(150)),
    ("clock_gettime", Bound::None),
    ("pipe write+read of 1 byte", Bound::None),
    ("pipe ping-pong", Bound::None),
    ("futex ping-pong", Bound::None),
    ("anonymous page fault", Bound::TimesNative(1)),
    ("mmap+munmap of a page", Bound::None),
    ("fork+exit+wait", Bound::None),
    ("fork+exec+wait, static", Bound::None),
    ("fork+exec+wait of /bin/true", Bound::TimesNative(2)),
];

/// `name → value` by section.
type Figures = BTreeMap<String, BTreeMap<String, u64>>;

/// Measures everything and prints the table.
pub fn run() -> Result<()> {
    let (figures, result) = measure(false, "600")?;
    print(&figures);
    result
}

/// The short form for CI: what is counted in instructions, and is the same every time.
pub fn check(budget: &Budget) -> Result<Tally> {
    let (figures, result) = measure(true, &budget.seconds(300)?)?;
    print_operations(&figures);
    result?;
    let mut tally = Tally::default();
    for (name, bound) in OPERATIONS {
        let (Bound::Instructions(most), inside) = (bound, get(&figures, "inside", name)) else { continue };
        match inside {
            Some(count) if count <= *most => tally.pass(name),
            Some(count) => tally.fail(name, &format!("{count} instructions, at most {most}")),
            None => tally.fail(name, "not measured"),
        }
    }
    Ok(tally)
}

/// Runs the machine; what was measured, and whether all went well.
fn measure(short: bool, seconds: &str) -> Result<(Figures, Result<()>)> {
    setup::packages(setup::BENCH)?;
    let ringwall = build::ringwall(Profile::Release)?;
    let bench = guest_program()?;
    let script = project::root().join("tools/src/bench/guest.sh");
    let mut vm = Command::new(std::env::current_exe()?);
    vm.current_dir(project::root()).args(["vm", "--icount", "--packed", "--timeout", seconds]);
    for file in TOOLS.iter().map(PathBuf::from).chain([bench.clone(), ringwall.clone()]) {
        vm.arg("--with").arg(file);
    }
    vm.arg("--").arg(script).arg(bench).arg(ringwall).args(short.then_some("short"));
    let output = vm.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cannot start the machine")?;
    let figures = parse(&String::from_utf8_lossy(&output.stdout));
    let result = match output.status.success() {
        true => Ok(()),
        false => Err(anyhow::anyhow!("the run ended with {}", output.status)),
    };
    Ok((figures, result))
}

/// Compiles `bench.c`.
fn guest_program() -> Result<PathBuf> {
    let bench = project::target().join("bench");
    let source = project::root().join("tests/guest/bench.c");
    process::run(
        Command::new("gcc")
            .args(["-O2", "-Wall", "-Wextra", "-Werror", "-static", "-pthread", "-o"])
            .arg(&bench)
            .arg(source),
    )?;
    Ok(bench)
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

fn print_operations(figures: &Figures) {
    let get = |section: &str, name: &str| get(figures, section, name);
    println!("instructions                       native      inside   of native   at most");
    for (name, bound) in OPERATIONS {
        let (native, inside) = (get("native", name), get("inside", name));
        let bound = match bound {
            Bound::Instructions(count) => Some((*count, count.to_string())),
            Bound::TimesNative(times) => native.map(|native| (native * times, format!("{times}x native"))),
            Bound::None => None,
        };
        println!("{}", row(name, native, inside, bound));
    }
}

fn print(figures: &Figures) {
    print_operations(figures);
    let get = |section: &str, name: &str| get(figures, section, name);
    let runc = get("start", "runc");
    println!("\nstart to exit of /bin/true           runc    ringwall     of runc   at most");
    println!("{}", row("", runc, get("start", "ringwall"), runc.map(|runc| (runc, "1x runc".to_owned()))));
    println!("\nan idle sandbox");
    println!("{}", row("CPU in 10 s, instructions", None, get("idle", "cpu in 10 s"), Some((0, "none".to_owned()))));
    let memory = Some((24 << 10, "24 MiB and the program's".to_owned()));
    println!("{}", row("memory of its processes, KiB", None, get("idle", "memory in KiB"), memory));
}

/// A row of the table; what was not measured is a dash.
fn row(name: &str, reference: Option<u64>, value: Option<u64>, bound: Option<(u64, String)>) -> String {
    let shown = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let percent = match (reference, value) {
        (Some(reference), Some(value)) if reference > 0 => format!("{} %", value * 100 / reference),
        _ => String::new(),
    };
    let (limit, verdict) = match (bound, value) {
        (Some((most, text)), Some(value)) => (text, if value <= most { "ok" } else { "MORE" }),
        (Some((_, text)), None) => (text, "not measured"),
        (None, _) => (String::new(), ""),
    };
    format!("{name:28} {:>12} {:>11} {percent:>11}   {limit} {verdict}", shown(reference), shown(value))
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::{parse, row};

    #[test]
    fn figures_are_read_by_section() {
        let figures = parse("@native\ngetppid\t325\n@inside\nnoise\ngetppid\t100\n");
        assert_eq!(figures["native"]["getppid"], 325);
        assert_eq!(figures["inside"]["getppid"], 100);
    }

    #[test]
    fn a_figure_above_its_bound_is_said_to_be_more() {
        assert!(row("x", Some(10), Some(11), Some((10, "1x native".into()))).ends_with("MORE"));
        assert!(row("x", Some(10), Some(10), Some((10, "1x native".into()))).ends_with("ok"));
    }
}
