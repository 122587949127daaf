//! `ringwall doctor`: is this machine's KVM sound, of which kind is it, and what do things cost here.

use crate::gofer::Export;
use crate::launch::{self, Launch};
use crate::report;
use crate::spec;
use crate::vm::{self, memory, probe};
use linker::boot::{BootFlags, Quirks};
use linker::spec::StartSpec;
use std::io::Write;
use std::time::Instant;

/// Examines the machine. The exit code is 0 when sandboxes can run here.
pub fn run() -> anyhow::Result<u8> {
    let mut out = std::io::stdout().lock();
    let kvm = vm::open_kvm()?;
    writeln!(out, "kvm:         /dev/kvm, API version 12")?;

    let found = probe::measure(&kvm)?;
    let kind = match found.quirks.contains(Quirks::SYSCALL_AS_FAULT) {
        true => "interpreted: ring 3 runs natively, ring 0 step by step (slow)",
        false => "native: ring 0 runs on the CPU",
    };
    writeln!(out, "kind:        {kind}")?;
    let names: Vec<&str> = found.quirks.iter_names().map(|(name, _)| name).collect();
    writeln!(out, "quirks:      {}", if names.is_empty() { "none".into() } else { names.join(", ") })?;
    writeln!(out, "exit:        {:.2} µs", found.exit_ns as f64 / 1000.0)?;
    writeln!(out, "instruction: {:.2} ns in ring 0", found.instruction_centi_ns as f64 / 100.0)?;
    drop(kvm);

    let cpus = spec::default_cpus();
    for cpus in if cpus > 1 { vec![1, cpus] } else { vec![1] } {
        let begin = Instant::now();
        let launch = Launch {
            spec: StartSpec { stdio: [Some(0), Some(1), Some(2)], ..StartSpec::default() },
            exports: vec![Export { path: "/".into(), writable: false }],
            cpus,
            memory_bytes: 2 * memory::MIN_BYTES,
            flags: BootFlags::SELF_TEST,
            files: Vec::new(),
            pod: false,
            background: None,
        };
        let code = launch::run(launch, None)?;
        let spent = begin.elapsed().as_secs_f64() * 1000.0;
        let verdict = if code == 0 { "passed" } else { "FAILED" };
        writeln!(out, "self-test:   {verdict} with {cpus} vCPUs, {spent:.1} ms from start to end")?;
        if code != 0 {
            writeln!(out, "verdict:     not sound")?;
            return Ok(report::FAILURE);
        }
    }
    writeln!(out, "verdict:     sound")?;
    Ok(0)
}
