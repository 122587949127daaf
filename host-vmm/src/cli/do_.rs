//! `ringwall do`: a program on this system's files, which stay as they are.

use super::format_trace;
use super::oci::report::seconds;
use crate::gofer::Export;
use crate::launch::{self, Launch};
use crate::machine::Machine;
use crate::page::samples::Samples;
use crate::page::watch::Watch;
use crate::page::{Page, file};
use crate::parent::Watcher;
use crate::{net, spec};
use anyhow::ensure;
use linker::boot::BootFlags;
use linker::spec::TraceFilter;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Bytes of the program's words that stand above a page.
const TITLE: usize = 200;

#[derive(clap::Args)]
pub struct Args {
    /// vCPUs (default: the CPUs this process may use)
    #[arg(long, value_name = "N")]
    vcpus: Option<usize>,
    /// Memory of the sandbox, as in 512M or 2G (default: half of the host's)
    #[arg(long, value_name = "SIZE", value_parser = spec::parse_size)]
    memory: Option<u64>,
    /// What is beside loopback
    #[arg(long, value_name = "MODE", default_value = "none")]
    network: spec::Network,
    /// Show what the sentry does not support and, on a failure, registers
    #[arg(long)]
    debug: bool,
    /// Say at the end how many system calls were served inside and how often the host was needed
    #[arg(long)]
    stats: bool,
    /// Show the system calls on standard error
    #[arg(long)]
    strace: bool,
    /// Of these calls alone, as in openat,read
    #[arg(long, value_name = "LIST")]
    strace_syscalls: Option<spec::SyscallList>,
    /// Write a page with charts of the system calls at the end
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Seconds between two looks at them, for --report
    #[arg(long, value_name = "SECONDS", default_value_t = 0.25)]
    report_interval: f64,
    /// Whether system calls are counted
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    statistics: bool,
    /// Look at when calls are where, for `lat`
    #[arg(long, hide = true)]
    probe_calls: bool,
    /// Single system calls changed, as in '{"epoll_pwait2":{"action":"enosys"}}', or @FILE with that
    #[arg(long, value_name = "JSON")]
    syscalls: Option<spec::Overrides>,
    /// Let a name in --syscalls that no system call has be an error
    #[arg(long)]
    strict: bool,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Runs the program.
pub fn run(args: Args) -> anyhow::Result<u8> {
    let memory_bytes = args.memory.unwrap_or_else(spec::default_memory);
    let mut start = spec::host::build(args.command, memory_bytes)?;
    start.debug = args.debug;
    start.overrides = args.syscalls.unwrap_or_default().check(args.strict).map_err(anyhow::Error::msg)?;
    let taken = args.network.take_over(&net::name_servers(Path::new("/"), Path::new("/etc/resolv.conf")))?;
    start.network = taken.spec;
    start.statistics = args.statistics;
    let mut files = taken.sockets;
    let mut watch = None;
    let title = words(&start.process.args);
    if let Some(page) = &args.report {
        ensure!(args.statistics && !args.strace, "--report goes with neither --strace nor --statistics=false");
        let interval = seconds("--report-interval", args.report_interval, 0.01)?;
        file::check(page)?;
        let mut looking = Watch::new(interval, Samples::from_the_start());
        let (filter, theirs) = looking.listen()?;
        start.trace = Some((filter, net::FIRST_SOCKET + u32::try_from(files.len())?));
        start.calls_at_end = true;
        files.push(theirs);
        watch = Some(looking);
    }
    if args.strace {
        let filter = TraceFilter { numbers: args.strace_syscalls.unwrap_or_default().0, ..TraceFilter::default() };
        let log = rustix::io::dup(rustix::stdio::stderr())?;
        start.trace = Some((filter, net::FIRST_SOCKET + u32::try_from(files.len())?));
        files.push(format_trace::start(log)?);
    }
    let wanted = [(args.stats, BootFlags::STATISTICS), (args.probe_calls, BootFlags::PROBE_CALLS)];
    let flags = wanted.into_iter().filter(|(wanted, _)| *wanted).map(|(_, flag)| flag).collect();
    let launch = Launch {
        spec: start,
        exports: vec![Export { path: "/".into(), writable: false }],
        cpus: args.vcpus.unwrap_or_else(spec::default_cpus),
        memory_bytes,
        flags,
        files,
        pod: false,
        background: None,
    };
    let code = launch::run(launch, watch.as_mut().map(|watch| watch as &mut dyn Watcher))?;
    format_trace::finish();
    if let (Some(path), Some(watch)) = (&args.report, &watch) {
        let (samples, uses) = watch.found();
        let page = Page { title: &title, machine: &Machine::here(), samples, uses, ended: true };
        file::write(path, page.render().as_bytes())?;
    }
    Ok(code)
}

/// The program and its arguments as one line.
fn words(args: &[Vec<u8>]) -> String {
    let line = args.iter().map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(TITLE) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}
