//! What runs in the machine: every workload under every peer, interleaved, a line of JSON a value.

use super::Said;
use super::peer::{self, PEERS};
use super::site::{HUNG, Site, step};
use super::uses::USES;
use anyhow::Result;
use clap::Args;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::PathBuf;
use std::str::FromStr;

/// Arguments of the driver.
#[derive(Args)]
pub struct DriveArgs {
    #[arg(long)]
    runs: u32,
    #[arg(long)]
    only: Option<String>,
    #[arg(long)]
    host: bool,
    #[arg(long)]
    runsc: Option<PathBuf>,
    #[arg(long)]
    kernel_tree: PathBuf,
    /// Where an earlier driver got to, whose machine did not last: what follows is run.
    #[arg(long)]
    after: Option<Place>,
    /// Peers that it gave up.
    #[arg(long)]
    without: Vec<String>,
    ringwall: PathBuf,
    root: PathBuf,
}

/// What is said of a peer that cannot run at all.
pub const NOTHING: &str = "it starts nothing";
/// Failures after which a peer is not tried again with a workload.
const ENOUGH: u32 = 2;

/// A place in the order of runs: workload, round, peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place(usize, u32, usize);

impl FromStr for Place {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text)
    }
}

/// Runs them.
pub fn run(args: &DriveArgs) -> Result<()> {
    let kernel = (!args.host).then_some(args.kernel_tree.as_path());
    let site = Site::prepare(&args.ringwall, args.runsc.clone(), &args.root, kernel)?;
    let mut given_up: HashMap<&str, String> = PEERS
        .iter()
        .filter(|peer| args.without.iter().any(|name| name == *peer))
        .map(|peer| (*peer, NOTHING.to_owned()))
        .collect();
    for (number, workload) in USES.iter().enumerate() {
        let wanted = |only: &String| workload.rows.iter().any(|row| row.contains(only.as_str()));
        if !args.only.as_ref().is_none_or(wanted) {
            continue;
        }
        let mut failures: HashMap<&str, u32> = HashMap::new();
        for round in 0..args.runs.min(workload.most) {
            for (peer, name) in PEERS.iter().enumerate() {
                let place = Place(number, round, peer);
                if args.after.is_some_and(|after| place <= after) {
                    continue;
                }
                let failed = failures.get(name).copied().unwrap_or(0);
                let given = given_up.get(name).cloned().or_else(|| peer::absence(&site, name));
                if failed >= ENOUGH || (given.is_some() && round > 0) {
                    continue;
                }
                say(&Said::Begun { place, row: workload.rows[0].to_owned(), peer: (*name).to_owned() })?;
                let outcome = match given {
                    Some(reason) => Err(anyhow::anyhow!(reason)),
                    // Whether a peer can run at all is decided at once, not by the timeouts of all that follows.
                    None if number == 0 && round == 0 => (workload.run)(&site, name).or_else(|first| {
                        // Nor is it waited for again, if it hung.
                        let hung = format!("{first:#}").contains(HUNG);
                        let second = if hung { None } else { (workload.run)(&site, name).ok() };
                        second.ok_or_else(|| {
                            given_up.insert(name, format!("{NOTHING}: {first:#}"));
                            first.context(NOTHING)
                        })
                    }),
                    None => (workload.run)(&site, name),
                };
                if outcome.is_err() {
                    failures.insert(name, failed + 1);
                }
                tell(workload.rows, name, round, &outcome)?;
            }
        }
    }
    // What was measured counts all the same.
    if let Err(error) = site.clear() {
        step(&format!("not everything could be removed: {error:#}"));
    }
    Ok(())
}

fn say(said: &Said) -> Result<()> {
    println!("{}", serde_json::to_string(said)?);
    Ok(())
}

fn tell(rows: &[&str], name: &str, round: u32, outcome: &Result<Vec<f64>>) -> Result<()> {
    for (number, row) in rows.iter().enumerate() {
        let (value, error) = match outcome {
            Ok(values) => (values.get(number).copied(), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        match (&value, &error) {
            (Some(value), _) => step(&format!("{row}, {name}, run {}: {value:.1}", round + 1)),
            (None, Some(error)) => step(&format!("{row}, {name}, run {}: failed: {error}", round + 1)),
            (None, None) => step(&format!("{row}, {name}, run {}: no value", round + 1)),
        }
        say(&Said::Value { row: (*row).to_owned(), peer: name.to_owned(), value, error })?;
    }
    Ok(())
}
