//! `cargo xtask bench`: what ringwall costs, beside Linux and other runtimes, from one run of one machine.
//!
//! [`counts`] has single operations, which repeat exactly; [`workloads`] whole uses under every peer. An [`outcome`] is kept as JSON;
//! the one that is committed makes `docs/performance.md`, and CI holds the counts against it.

mod bounds;
mod chart;
mod compare;
mod counts;
mod looking;
mod outcome;
mod report;
mod table;
mod workloads;

pub use workloads::drive::{DriveArgs, run as drive};

use crate::project;
use crate::tally::Tally;
use crate::test::Budget;
use anyhow::{Context, Result, bail};
use clap::Args;
use outcome::{Outcome, committed_path};
use std::path::PathBuf;

/// What to measure, and what for.
#[derive(Args, Debug, Clone)]
pub struct BenchArgs {
    /// Single operations alone
    #[arg(long, conflicts_with = "workloads")]
    counts: bool,
    /// Whole uses alone
    #[arg(long)]
    workloads: bool,
    /// Of the whole uses, those in whose rows this occurs
    #[arg(long, value_name = "TEXT", requires = "workloads")]
    only: Option<String>,
    /// How often each use runs under each peer
    #[arg(long, default_value_t = 5, value_name = "N")]
    runs: u32,
    /// On this machine and its /dev/kvm instead of the emulated one
    #[arg(long)]
    host: bool,
    /// Say what is better and worse than in this result
    #[arg(long, value_name = "OLD.json")]
    compare: Option<PathBuf>,
    /// Make this the committed result: docs/performance.json, .md and .svg
    #[arg(long, conflicts_with_all = ["host", "only"])]
    record: bool,
    /// Measure nothing: make docs/performance.md and .svg from the committed result again
    #[arg(long, conflicts_with_all = ["counts", "workloads", "record", "compare"])]
    render: bool,
}

/// `cargo xtask bench`.
pub fn run(args: &BenchArgs) -> Result<()> {
    if args.render {
        return render();
    }
    // Read before anything takes its hour.
    let old = args.compare.as_deref().map(Outcome::load).transpose()?;
    let mut outcome = Outcome::default();
    let mut broke = Vec::new();
    if !args.workloads {
        eprintln!("bench: single operations");
        let (counts, result) = if args.host { counts::measure_here()? } else { counts::measure(false, "1200")? };
        println!("{} of the commit {}\n{}", counts.unit, counts.taken.commit, table::plain(&table::counts(&counts)));
        println!("{}", table::plain(&table::looking(&counts)));
        println!("{}", table::plain(&table::rest(&counts)));
        outcome.counts = Some(counts);
        broke.extend(result.err());
    }
    if !args.counts {
        let wanted = workloads::Wanted { runs: args.runs, only: args.only.clone(), host: args.host };
        let (workloads, result) = workloads::measure(&wanted)?;
        println!("{}", table::plain(&table::workloads(&workloads)));
        for error in table::errors(&workloads) {
            println!("{error}");
        }
        outcome.workloads = Some(workloads);
        broke.extend(result.err());
    }
    let folder = project::target().join("bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    outcome.save(&folder.join("result.json"))?;
    if let Some(workloads) = &outcome.workloads {
        chart::write(workloads, &folder.join("result.svg"))?;
    }
    println!("{}", folder.join("result.json").display());
    for line in old.iter().flat_map(|old| compare::differences(old, &outcome)) {
        println!("{line}");
    }
    if !broke.is_empty() {
        bail!("{}", broke.iter().map(|error| format!("{error:#}")).collect::<Vec<_>>().join("; "));
    }
    if args.record {
        // What was not measured this time stays as it was.
        let committed = if committed_path().exists() { Outcome::committed()? } else { Outcome::default() };
        outcome.counts = outcome.counts.or(committed.counts);
        outcome.workloads = outcome.workloads.or(committed.workloads);
        outcome.save(&committed_path())?;
        report::write(&outcome)?;
    }
    Ok(())
}

/// Makes the page of the committed result.
pub fn render() -> Result<()> {
    report::write(&Outcome::committed()?)
}

/// The stage of the full run: no operation may cost more than is committed.
pub fn check(budget: &Budget) -> Result<Tally> {
    let committed = Outcome::committed()?.counts.context("the committed result has no counts")?;
    let (counts, result) = counts::measure(true, &budget.seconds(600)?)?;
    println!("{}", table::plain(&table::counts(&counts)));
    println!("{}", table::plain(&table::looking(&counts)));
    result?;
    Ok(compare::check(&committed, &counts))
}
