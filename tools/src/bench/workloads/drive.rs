//! What runs in the machine: every workload under every peer, interleaved, a line of JSON a value.

use super::Said;
use super::peer::{self, PEERS};
use super::site::{Site, step};
use super::uses::USES;
use anyhow::Result;
use clap::Args;
use std::collections::HashMap;
use std::path::PathBuf;

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
    ringwall: PathBuf,
    root: PathBuf,
}

/// Failures after which a peer is not tried again with a workload; and with any, if it was the first.
const ENOUGH: u32 = 2;

/// Runs them.
pub fn run(args: &DriveArgs) -> Result<()> {
    let kernel = (!args.host).then_some(args.kernel_tree.as_path());
    let site = Site::prepare(&args.ringwall, args.runsc.clone(), &args.root, kernel)?;
    let mut given_up: HashMap<&str, String> = HashMap::new();
    for (number, workload) in USES.iter().enumerate() {
        let wanted = |only: &String| workload.rows.iter().any(|row| row.contains(only.as_str()));
        if !args.only.as_ref().is_none_or(wanted) {
            continue;
        }
        let mut failures: HashMap<&str, u32> = HashMap::new();
        for round in 0..args.runs.min(workload.most) {
            for name in PEERS {
                let failed = failures.get(name).copied().unwrap_or(0);
                let given = given_up.get(name).cloned().or_else(|| peer::absence(&site, name));
                if failed >= ENOUGH || (given.is_some() && round > 0) {
                    continue;
                }
                let outcome = match given {
                    Some(reason) => Err(anyhow::anyhow!(reason)),
                    None => (workload.run)(&site, name),
                };
                if let Err(error) = &outcome {
                    failures.insert(name, failed + 1);
                    if number == 0 && failed + 1 == ENOUGH {
                        given_up.insert(name, format!("it starts nothing: {error:#}"));
                    }
                }
                tell(workload.rows, name, round, &outcome)?;
            }
        }
    }
    site.clear()
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
        let said = Said { row: (*row).to_owned(), peer: name.to_owned(), value, error };
        println!("{}", serde_json::to_string(&said)?);
    }
    Ok(())
}
