//! `docs/performance.md`, made from a result.

use super::outcome::{Outcome, Taken};
use super::{chart, table};
use crate::project;
use anyhow::{Context, Result};

/// Writes it, and the chart beside it.
pub fn write(outcome: &Outcome) -> Result<()> {
    let docs = project::root().join("docs");
    let page = docs.join("performance.md");
    std::fs::write(&page, text(outcome)).with_context(|| format!("cannot write {}", page.display()))?;
    match &outcome.workloads {
        Some(workloads) => chart::write(workloads, &docs.join("performance.svg")),
        None => Ok(()),
    }
}

/// What is said of each figure that is not where it must be, and of what no figure tells.
const NOTES: &str = include_str!("notes.md");

fn text(outcome: &Outcome) -> String {
    let mut text = "# What it costs\n\n".to_owned();
    text.push_str(
        "<!-- Made by `cargo xtask bench --render` from performance.json and tools/src/bench/notes.md. -->\n\n",
    );
    if let Some(workloads) = &outcome.workloads {
        text.push_str("![Times native, by workload and runtime](performance.svg)\n\n## Whole uses\n\n");
        text.push_str(&taken(&workloads.taken));
        text.push_str(
            " Medians of interleaved runs in the emulated reference machine with 2 CPUs; less is better. Wall time under emulation \
             says nothing by itself: the ratios do.\n\n",
        );
        text.push_str(&table::markdown(&table::workloads(workloads)));
        let errors = table::errors(workloads);
        if !errors.is_empty() {
            text.push_str("\nWhat could not run:\n\n");
            errors.iter().for_each(|error| text.push_str(&format!("- {error}\n")));
        }
        text.push('\n');
    }
    if let Some(counts) = &outcome.counts {
        text.push_str("## Single operations\n\n");
        text.push_str(&taken(&counts.taken));
        text.push_str(&format!(
            " Counted in {} on one CPU of the emulated reference machine, the median of many. Exits are those of the sandbox's \
             machine, host calls what the host's kernel is asked meanwhile.\n\n",
            counts.unit
        ));
        text.push_str(&table::markdown(&table::counts(counts)));
        text.push('\n');
        text.push_str(&table::markdown(&table::looking(counts)));
        text.push('\n');
        text.push_str(&table::markdown(&table::rest(counts)));
        text.push('\n');
    }
    text + NOTES
}

fn taken(taken: &Taken) -> String {
    let versions: Vec<String> = taken.versions.iter().map(|(name, version)| format!("{name}: {version}")).collect();
    format!("Commit {}, on {} ({}).", taken.commit, taken.machine, versions.join("; "))
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::bench::outcome::Outcome;
    use crate::project;

    #[test]
    fn the_page_is_made_from_the_committed_result() {
        let page = std::fs::read_to_string(project::root().join("docs/performance.md")).expect("docs/performance.md");
        let committed = Outcome::committed().expect("docs/performance.json");
        assert_eq!(page, text(&committed), "cargo xtask bench --render");
    }
}
