//! stat, statm and status of a task (proc(5)).

use super::Subject;
use crate::errno::Errno;
use crate::fs::proc::system::TICK_NS;
use crate::mm::Totals;
use crate::platform::platform;
use crate::signal::SignalSet;
use crate::task::{Current, LAST_CAP, Process, Task, registry};
use crate::tty;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;
use linker::layout::PAGE_SIZE;
use linux_raw_sys::general as raw;

const KIB_A_PAGE: u64 = PAGE_SIZE / 1024;

/// The letter and word of a task's state.
fn state(current: &Current, process: &Process, task: Option<&Arc<Task>>) -> (char, &'static str) {
    match task {
        None => ('Z', "zombie"),
        Some(_) if process.is_exited() => ('Z', "zombie"),
        Some(task) if task.tid() == current.task.tid() => ('R', "running"),
        Some(task) if task.trace.is_stopped() => ('t', "tracing stop"),
        Some(task) if task.signals.stopped() => ('T', "stopped"),
        Some(task) if task.thread().is_some_and(|thread| thread.is_runnable()) => ('R', "running"),
        Some(_) => ('S', "sleeping"),
    }
}

/// A name without its padding.
pub fn trimmed(name: &[u8; 16]) -> &[u8] {
    let len = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    name.get(..len).unwrap_or_default()
}

/// The name of a task, or that which a zombie's last thread had.
pub fn name(process: &Process, task: Option<&Arc<Task>>) -> String {
    let name = task.map_or_else(|| process.last_name(), |task| task.name());
    String::from_utf8_lossy(trimmed(&name)).into_owned()
}

fn totals(task: Option<&Arc<Task>>) -> Option<Totals> {
    task.and_then(|task| task.published().mm).map(|mm| mm.totals())
}

struct Signals {
    pending: SignalSet,
    shared: SignalSet,
    blocked: SignalSet,
    ignored: SignalSet,
    caught: SignalSet,
}

fn signals(process: &Process, task: Option<&Arc<Task>>) -> Signals {
    let (ignored, caught) = process.signals.actions().ignored_and_caught();
    Signals {
        pending: task.map(|task| task.signals.pending()).unwrap_or_default(),
        shared: process.signals.pending(),
        blocked: task.map(|task| task.signals.mask()).unwrap_or_default(),
        ignored,
        caught,
    }
}

/// `/proc/PID/stat`.
pub fn stat(current: &Current, subject: &Subject) -> Result<Vec<u8>, Errno> {
    let process = subject.process()?;
    let task = subject.task().ok();
    let task = task.as_ref();
    let mm = task.and_then(|task| task.published().mm);
    let (sizes, layout) = (totals(task).unwrap_or_default(), mm.map(|mm| mm.layout()).unwrap_or_default());
    let own = if subject.is_thread() { task.map(|task| task.usage()).unwrap_or_default() } else { process.usage() };
    let children = process.children_usage();
    let signals = signals(&process, task);
    // Addresses are for those who may see them.
    let sees = super::access::may_read(current, subject).is_ok();
    let address = |at: u64| if sees { at } else { 0 };
    let pid = if subject.is_thread() { task.map_or(process.pid(), |task| task.tid()) } else { process.pid() };
    let (nice, policy, priority) =
        task.map_or((0, 0, 0), |task| (task.nice(), task.policy(), task.real_time_priority()));
    let shown_priority = if priority > 0 { -1 - i64::from(priority) } else { 20 + i64::from(nice) };
    let cpu = task.and_then(|task| task.thread().map(|thread| thread.cpu())).unwrap_or(0);
    let start = process.start_ns().saturating_sub(platform().boot_info().monotonic_ns) / TICK_NS;
    let exit = if sees { process.exited().map_or(0, |status| status.wait_status()) } else { 0 };
    let terminal = tty::controlling_number(&process);
    let foreground = tty::foreground_of(&process).map_or(-1, |group| i64::from(subject.shown(group).raw()));
    let mut out = format!(
        "{} ({}) {} {} {} {} {terminal} {foreground} {} {} {} {} {} ",
        subject.shown(pid).raw(),
        name(&process, task),
        state(current, &process, task).0,
        subject.shown(process.parent_pid()).raw(),
        subject.shown(process.group()).raw(),
        subject.shown(process.session()).raw(),
        // PF_RANDOMIZE, which every user process has.
        0x40_0000,
        own.minor_faults,
        children.minor_faults,
        own.major_faults,
        children.major_faults,
    );
    let _ = write!(
        out,
        "{} {} {} {} {shown_priority} {nice} {} 0 {start} {} {} {} {} {} {} 0 0 {} {} {} {} {} 0 0 {} {cpu} {priority} {policy} 0 0 0 ",
        own.user_ns / TICK_NS,
        own.system_ns / TICK_NS,
        children.user_ns / TICK_NS,
        children.system_ns / TICK_NS,
        process.thread_count(),
        sizes.total * PAGE_SIZE,
        sizes.resident,
        process.soft_limit(raw::RLIMIT_RSS),
        address(layout.start_code),
        address(layout.end_code),
        address(layout.start_stack),
        signals.pending.bits(),
        signals.blocked.bits(),
        signals.ignored.bits(),
        signals.caught.bits(),
        0,
        process.exit_signal(),
    );
    let _ = writeln!(
        out,
        "{} {} {} {} {} {} {} {exit}",
        address(layout.start_data),
        address(layout.end_data),
        address(layout.start_brk),
        address(layout.arg_start),
        address(layout.arg_end),
        address(layout.env_start),
        address(layout.env_end),
    );
    Ok(out.into_bytes())
}

/// `/proc/PID/statm`.
pub fn statm(_: &Current, subject: &Subject) -> Result<Vec<u8>, Errno> {
    let sizes = totals(subject.task().ok().as_ref()).unwrap_or_default();
    let Totals { total, resident, shared, executable, data, stack, .. } = sizes;
    Ok(format!("{total} {resident} {shared} {executable} 0 {} 0\n", data + stack).into_bytes())
}

/// Bits as a list of ranges: `0-3,5`.
pub fn ranges(mask: u64) -> String {
    let mut out = String::new();
    let mut bit = 0;
    while bit < 64 {
        if mask >> bit & 1 == 0 {
            bit += 1;
            continue;
        }
        let first = bit;
        while bit < 63 && mask >> (bit + 1) & 1 != 0 {
            bit += 1;
        }
        let separator = if out.is_empty() { "" } else { "," };
        let _ = if first == bit { write!(out, "{separator}{first}") } else { write!(out, "{separator}{first}-{bit}") };
        bit += 1;
    }
    out
}

/// `/proc/PID/status`.
pub fn status(current: &Current, subject: &Subject) -> Result<Vec<u8>, Errno> {
    let process = subject.process()?;
    let task = subject.task().ok();
    let task = task.as_ref();
    let published = task.map(|task| task.published());
    let (letter, word) = state(current, &process, task);
    let tid = if subject.is_thread() { task.map_or(process.pid(), |task| task.tid()) } else { process.pid() };
    let umask = published.as_ref().and_then(|seen| seen.fs.as_ref()).map_or(0, |fs| fs.umask());
    let files = published.as_ref().and_then(|seen| seen.files.as_ref());
    let descriptors = files.and_then(|files| files.last()).map_or(0, |fd| fd.raw() as usize + 1);
    let creds = task.map(|task| task.creds()).unwrap_or_default();
    let pid = subject.shown(process.pid()).raw();
    let tracer = task.and_then(|task| task.trace.tracer()).map_or(0, |tracer| subject.shown(tracer).raw());
    let mut out = format!("Name:\t{}\n", name(&process, task));
    if task.is_some() {
        let _ = writeln!(out, "Umask:\t{umask:04o}");
    }
    let _ = write!(
        out,
        "State:\t{letter} ({word})\nTgid:\t{pid}\nNgid:\t0\nPid:\t{}\nPPid:\t{}\nTracerPid:\t{}\nUid:\t{}\t{}\t{}\t{}\n\
         Gid:\t{}\t{}\t{}\t{}\nFDSize:\t{}\nGroups:\t",
        subject.shown(tid).raw(),
        subject.shown(process.parent_pid()).raw(),
        tracer,
        current.creds.shown_uid(creds.uid),
        current.creds.shown_uid(creds.euid),
        current.creds.shown_uid(creds.suid),
        current.creds.shown_uid(creds.fsuid),
        current.creds.shown_gid(creds.gid),
        current.creds.shown_gid(creds.egid),
        current.creds.shown_gid(creds.sgid),
        current.creds.shown_gid(creds.fsgid),
        descriptors.next_power_of_two().max(64),
    );
    for gid in &creds.groups {
        let _ = write!(out, "{} ", current.creds.shown_gid(*gid));
    }
    out.push('\n');
    for (name, number) in
        [("NStgid", process.pid()), ("NSpid", tid), ("NSpgid", process.group()), ("NSsid", process.session())]
    {
        let numbers = registry().lock().shown_inwards(number, subject.pids());
        let _ = write!(out, "{name}:");
        for shown in numbers {
            let _ = write!(out, "\t{}", shown.raw());
        }
        out.push('\n');
    }
    out.push_str("Kthread:\t0\n");
    if let Some(sizes) = totals(task) {
        memory_lines(&mut out, &sizes);
    }
    let signals = signals(&process, task);
    let (queued, most) = (process.signals.queued(), process.soft_limit(raw::RLIMIT_SIGPENDING));
    let known = u64::MAX >> (63 - u64::from(LAST_CAP as u8));
    let affinity = task.map_or(u64::MAX, |task| task.affinity()) & cpu_mask();
    let usage = task.map(|task| task.usage()).unwrap_or_default();
    let seccomp = crate::seccomp::status(
        task.map(|task| task.spaces()).as_deref(),
        task.and_then(|task| task.filters()).as_deref(),
    );
    let _ = write!(
        out,
        "Threads:\t{}\nSigQ:\t{queued}/{most}\nSigPnd:\t{:016x}\nShdPnd:\t{:016x}\nSigBlk:\t{:016x}\nSigIgn:\t{:016x}\n\
         SigCgt:\t{:016x}\nCapInh:\t{:016x}\nCapPrm:\t{:016x}\nCapEff:\t{:016x}\nCapBnd:\t{:016x}\nCapAmb:\t{:016x}\n\
         NoNewPrivs:\t{}\nSeccomp:\t{}\nSeccomp_filters:\t{}\nSpeculation_Store_Bypass:\tunknown\n\
         SpeculationIndirectBranch:\tunknown\nCpus_allowed:\t{affinity:x}\nCpus_allowed_list:\t{}\nMems_allowed:\t1\n\
         Mems_allowed_list:\t0\nvoluntary_ctxt_switches:\t{}\nnonvoluntary_ctxt_switches:\t{}\n",
        process.thread_count(),
        signals.pending.bits(),
        signals.shared.bits(),
        signals.blocked.bits(),
        signals.ignored.bits(),
        signals.caught.bits(),
        creds.caps.inheritable & known,
        creds.caps.permitted & known,
        creds.caps.effective & known,
        creds.caps.bounding & known,
        creds.caps.ambient & known,
        u32::from(creds.no_new_privs),
        seccomp.0,
        seccomp.1,
        ranges(affinity),
        usage.voluntary_switches,
        usage.involuntary_switches,
    );
    Ok(out.into_bytes())
}

/// A bit for each CPU there is.
pub fn cpu_mask() -> u64 {
    u64::MAX >> 64_usize.saturating_sub(platform().cpus().max(1)).min(63)
}

fn memory_lines(out: &mut String, sizes: &Totals) {
    let file = sizes.shared.min(sizes.resident);
    let rows = [
        ("VmPeak", sizes.peak_total),
        ("VmSize", sizes.total),
        ("VmLck", sizes.locked),
        ("VmPin", 0),
        ("VmHWM", sizes.peak_resident),
        ("VmRSS", sizes.resident),
        ("RssAnon", sizes.resident - file),
        ("RssFile", file),
        ("RssShmem", 0),
        ("VmData", sizes.data),
        ("VmStk", sizes.stack),
        ("VmExe", sizes.executable),
        ("VmLib", 0),
        ("VmPTE", sizes.resident / 512 + 4),
        ("VmSwap", 0),
        ("HugetlbPages", 0),
    ];
    for (name, pages) in rows {
        let _ = writeln!(out, "{name}:\t{:>8} kB", pages * KIB_A_PAGE);
    }
    out.push_str("CoreDumping:\t0\nTHP_enabled:\t1\n");
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn masks_are_shown_as_ranges() {
        assert_eq!(ranges(0b1), "0");
        assert_eq!(ranges(0b1011_0111), "0-2,4-5,7");
        assert_eq!(ranges(u64::MAX), "0-63");
        assert_eq!(ranges(0), "");
    }
}
