//! `update`.

use super::Runtime;
use crate::container::client::Connection;
use crate::container::status::Status;
use anyhow::{Context, bail};
use linker::control::What;
use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value, json};
use std::io::Read;

#[derive(clap::Args)]
pub struct Args {
    /// File with the resources as JSON, or - for standard input; no other option counts then
    #[arg(long, short, value_name = "FILE")]
    resources: Option<String>,
    /// Weight of block I/O
    #[arg(long, value_name = "N")]
    blkio_weight: Option<u16>,
    /// Length of the period of --cpu-quota, in µs
    #[arg(long, value_name = "N")]
    cpu_period: Option<u64>,
    /// CPU time in a period, in µs
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    /// CPU time that may be saved up, in µs
    #[arg(long, value_name = "N")]
    cpu_burst: Option<u64>,
    /// Relative weight of CPU time
    #[arg(long, visible_alias = "cpu-shares", value_name = "N")]
    cpu_share: Option<u64>,
    /// CPUs, as in 0-2,7
    #[arg(long, value_name = "CPUS")]
    cpuset_cpus: Option<String>,
    /// Memory nodes
    #[arg(long, value_name = "NODES")]
    cpuset_mems: Option<String>,
    /// Memory, in bytes
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory: Option<i64>,
    /// Memory that is left when memory is short, in bytes
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_reservation: Option<i64>,
    /// Memory and swap space, in bytes
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_swap: Option<i64>,
    /// Accepted, as by runc, which does nothing about it
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    kernel_memory: Option<i64>,
    /// Accepted, as by runc, which does nothing about it
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    kernel_memory_tcp: Option<i64>,
    /// Tasks
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// Name of the container
    #[arg(value_name = "ID")]
    id: String,
}

/// Sets the limits.
pub fn run(runtime: &Runtime, args: &Args) -> anyhow::Result<u8> {
    let resources: LinuxResources = match args.resources.as_deref() {
        None => serde_json::from_value(args.document())?,
        Some(path) => {
            let mut text = Vec::new();
            match path {
                "-" => drop(std::io::stdin().lock().read_to_end(&mut text).context("standard input")?),
                path => text = std::fs::read(path).with_context(|| path.to_string())?,
            }
            serde_json::from_slice(&text).with_context(|| format!("--resources {path}"))?
        }
    };
    let found = runtime.find(&args.id)?;
    if matches!(found.status, Status::Stopped | Status::Creating) {
        bail!("container not running");
    }
    let tasks = match resources.pids().as_ref().map(|pids| pids.limit()) {
        None | Some(0) => None,
        Some(limit) if limit < 0 => Some(u32::MAX),
        Some(limit) => Some(u32::try_from(limit).context("--pids-limit: too many")?),
    };
    found.state.cgroup.limit(&resources)?;
    if let Some(tasks) = tasks {
        let what = What::Limit { container: 0, memory_bytes: None, tasks: Some(tasks) };
        Connection::open(&found.directory)?.done(what)?;
    }
    Ok(0)
}

impl Args {
    /// The options as the resources of a config.json.
    fn document(&self) -> Value {
        fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Option<Value> {
            let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?)));
            let object: Map<String, Value> = given.collect();
            (!object.is_empty()).then_some(Value::Object(object))
        }
        let cpu = object([
            ("period", self.cpu_period.map(Value::from)),
            ("quota", self.cpu_quota.map(Value::from)),
            ("burst", self.cpu_burst.map(Value::from)),
            ("shares", self.cpu_share.map(Value::from)),
            ("cpus", self.cpuset_cpus.clone().map(Value::from)),
            ("mems", self.cpuset_mems.clone().map(Value::from)),
        ]);
        let memory = object([
            ("limit", self.memory.map(Value::from)),
            ("reservation", self.memory_reservation.map(Value::from)),
            ("swap", self.memory_swap.map(Value::from)),
        ]);
        let pids = object([("limit", self.pids_limit.map(Value::from))]);
        let block = object([("weight", self.blkio_weight.map(Value::from))]);
        object([("cpu", cpu), ("memory", memory), ("pids", pids), ("blockIO", block)]).unwrap_or_else(|| json!({}))
    }
}
