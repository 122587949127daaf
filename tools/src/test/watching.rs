//! What looks at containers: the verbs' own tests, the study of nginx against the lists in `docs/studies/nginx.md`, and a page in a
//! browser. All of it runs in the emulated reference but the browser, which has no use for a sandbox.

use super::cli::{THREADS, build_tests};
use super::programs::{MEMORY_TMP, this_tool};
use super::{Budget, cargo_result, counted};
use crate::build::{self, Profile};
use crate::tally::Tally;
use crate::{process, project, setup};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Modules of the tests of the command line.
const TESTS: [&str; 5] = ["latency::", "logs::", "page::", "policies::", "watching::"];
const STUDY: &str = "tests/studies/nginx";
const PAGE: &str = "docs/studies/nginx.md";
/// What the page in the browser is of: processes, pipes, files that are there and not.
const SHOWN: &str = "ls -l /etc >/tmp/x; for i in 1 2 3 4 5; do test -e /none; cat /tmp/x | wc -l; sleep 0.3; done; sh -c 'exit 3'; true";
/// Between the lists of the study and the page, on one output.
const MARK: &str = "<!-- page -->\n";

/// All of it.
pub fn in_reference(budget: &Budget) -> Result<Tally> {
    for needs in [setup::PROGRAMS, setup::TERMINAL, setup::WATCHING, setup::QEMU] {
        setup::packages(needs)?;
    }
    build::ringwall(Profile::Release)?;
    let nginx = setup::nginx()?;
    let tests = build_tests()?;
    let mut vm = this_tool()?;
    vm.args(["vm", "--cpus", "2", "--timeout", &budget.seconds(420)?, "--", "sh", "-c"]);
    vm.arg(format!("{MEMORY_TMP} && exec \"$@\" --test-threads {THREADS} {}", TESTS.join(" ")));
    let mut sum = counted(vm.arg("sh").arg(&tests), cargo_result)?;

    // One CPU is as quick for this, and no two of the emulator's get in each other's way (docs/limits.md).
    let mut vm = this_tool()?;
    vm.args(["vm", "--cpus", "1", "--timeout", &budget.seconds(420)?, "--", "sh", "-ec"]);
    vm.arg(format!(
        "{MEMORY_TMP}; REQUESTS=3 NGINX=\"$1\" {STUDY} target/release/ringwall; printf '%s' '{MARK}'; \
         target/release/ringwall do --vcpus 1 --report /tmp/page.html -- sh -c \"$2\" >&2; cat /tmp/page.html"
    ));
    let output = process::output(vm.arg("sh").arg(&nginx).arg(SHOWN))?;
    let output = String::from_utf8_lossy(&output);
    let (lists, page) = output.split_once(MARK).context("the study printed no mark")?;
    let committed = std::fs::read_to_string(project::root().join(PAGE)).context(PAGE)?;
    match compare(&committed, lists) {
        Ok(said) => {
            println!("NOTE {said}");
            sum.pass("the lists of the nginx study");
        }
        Err(error) => sum.fail("the lists of the nginx study", &format!("{error:#}")),
    }
    sum.add(browse(budget, page, &tests)?);
    Ok(sum)
}

/// Shows the page in a real browser, here.
fn browse(budget: &Budget, page: &str, tests: &Path) -> Result<Tally> {
    let path = project::target().join("page.html");
    std::fs::write(&path, page).with_context(|| path.display().to_string())?;
    let mut command = Command::new("timeout");
    command.arg(budget.seconds(120)?).arg(tests).args(["--exact", "page::a_browser_shows_the_page"]);
    command.env("RINGWALL_BROWSER", setup::BROWSER).env("RINGWALL_PAGE", path);
    counted(command.current_dir(project::root()), cargo_result)
}

/// The calls of the tables, by heading: "What nginx calls", "What the sandbox process calls meanwhile", ….
fn tables(page: &str) -> Vec<(&str, BTreeSet<&str>)> {
    let mut tables: Vec<(&str, BTreeSet<&str>)> = Vec::new();
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            tables.push((heading.split(':').next().unwrap_or(heading), BTreeSet::new()));
        } else if let (Some((_, names)), Some(row)) = (tables.last_mut(), line.strip_prefix("| ")) {
            let name = row.split(' ').next().unwrap_or(row);
            if name != "call" && name != "---" {
                names.insert(name);
            }
        }
    }
    tables
}

/// What may be called in one run and not in another: what waits, and for how long, is up to chance.
const BY_CHANCE: [&str; 8] =
    ["brk", "clock_gettime", "epoll_pwait", "futex", "gettid", "madvise", "recvmsg", "rt_sigreturn"];

/// Whether the lists have the same calls as the page has; how often is another matter.
fn compare(committed: &str, found: &str) -> Result<String> {
    let (committed, found) = (tables(committed), tables(found));
    ensure!(!found.is_empty() && committed.len() == found.len(), "{} tables, not {}", found.len(), committed.len());
    let mut said = Vec::new();
    for ((heading, theirs), (ours_heading, ours)) in committed.iter().zip(&found) {
        ensure!(heading == ours_heading, "{ours_heading:?} instead of {heading:?}");
        let certain = |names: BTreeSet<&str>| -> Vec<String> {
            names.into_iter().filter(|name| !BY_CHANCE.contains(name)).map(str::to_owned).collect()
        };
        let (new, gone) = (certain(ours - theirs), certain(theirs - ours));
        ensure!(
            new.is_empty() && gone.is_empty(),
            "{heading}: new: {}; gone: {} (`{STUDY}` writes {PAGE} again)",
            new.join(" "),
            gone.join(" ")
        );
        said.push(format!("{heading}: {}", ours.len()));
    }
    Ok(said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::{compare, tables};

    const PAGE: &str = "# Title\n\n### What nginx calls: 2 different calls\n\n| call | times |\n| --- | ---: |\n| read | 1 |\n\
                        | futex | 2 |\n\n### What the gofer calls: 1\n\n| call | times |\n| --- | ---: |\n| openat2 | 3 |\n";

    #[test]
    fn tables_are_read_by_heading() {
        let tables = tables(PAGE);
        assert_eq!((tables[0].0, tables[0].1.len(), tables[1].0), ("What nginx calls", 2, "What the gofer calls"));
    }

    #[test]
    fn counts_and_what_waits_may_differ_and_names_may_not() {
        let counted = PAGE.replace("| read | 1 |", "| read | 7 |").replace("| futex | 2 |\n", "");
        assert_eq!(compare(PAGE, &counted).ok().as_deref(), Some("What nginx calls: 1; What the gofer calls: 1"));
        let other = PAGE.replace("openat2", "openat");
        let error = compare(PAGE, &other).expect_err("another call").to_string();
        assert!(error.starts_with("What the gofer calls: new: openat; gone: openat2"), "{error}");
        assert!(compare(PAGE, "").is_err());
    }
}
