//! The process of an OCI bundle, or of `exec`: program, user, capabilities, limits, scheduling.

use crate::spec::oci::{Error, bad};
use linker::spec::{Capabilities, ProcessSpec, Scheduling};
use linux_raw_sys::general as raw;
use oci_spec::runtime::{
    Capabilities as Names, IOPriorityClass, LinuxCapabilities, LinuxIOPriority, LinuxSchedulerPolicy, PosixRlimit,
    PosixRlimitType, Process, Scheduler,
};
use rustix::thread::CapabilitySet;
use std::collections::{BTreeSet, HashMap};
use std::os::unix::ffi::OsStrExt;

/// Bytes of an argument or a variable, its NUL among them (execve(2), MAX_ARG_STRLEN).
const MAX_STRING: usize = 32 * 4096;

/// Converts a process: a container's first, or one that `exec` adds.
pub fn convert(process: &Process) -> Result<ProcessSpec, Error> {
    let args = process.args().clone().filter(|args| !args.is_empty()).ok_or_else(|| bad("process.args", "empty"))?;
    let cwd = process.cwd();
    if !cwd.is_absolute() {
        return Err(bad("process.cwd", format!("{} is not absolute", cwd.display())));
    }
    let with_nul = |text: &String| text.contains('\0');
    if args.iter().chain(process.env().iter().flatten()).any(with_nul) {
        return Err(bad("process", "a NUL in an argument or in the environment"));
    }
    // execve(2) would say so, after all of it was carried into the sandbox.
    if args.iter().chain(process.env().iter().flatten()).any(|text| text.len() >= MAX_STRING) {
        return Err(bad("process", "argument list too long"));
    }
    let user = process.user();
    Ok(ProcessSpec {
        args: args.into_iter().map(String::into_bytes).collect(),
        env: environment(process.env().as_deref().unwrap_or_default()),
        cwd: cwd.as_os_str().as_bytes().to_vec(),
        uid: user.uid(),
        gid: user.gid(),
        groups: user.additional_gids().clone().unwrap_or_default(),
        umask: user.umask().unwrap_or(0o022),
        capabilities: process.capabilities().as_ref().map(convert_capabilities).transpose()?.unwrap_or_default(),
        rlimits: convert_rlimits(process.rlimits().as_deref().unwrap_or_default())?,
        no_new_privs: process.no_new_privileges().unwrap_or(false),
        oom_score_adj: process.oom_score_adj().unwrap_or(0),
        personality: 0,
        scheduling: process.scheduler().as_ref().map(scheduling).transpose()?,
        io_priority: process.io_priority().as_ref().map_or(Ok(0), io_priority)?,
    })
}

/// What sched_setattr(2) would take.
fn scheduling(scheduler: &Scheduler) -> Result<Scheduling, Error> {
    let refused = |what: String| bad("process.scheduler", what);
    let (policy, real_time) = match scheduler.policy() {
        LinuxSchedulerPolicy::SchedOther => (raw::SCHED_NORMAL, false),
        LinuxSchedulerPolicy::SchedBatch => (raw::SCHED_BATCH, false),
        LinuxSchedulerPolicy::SchedIdle => (raw::SCHED_IDLE, false),
        LinuxSchedulerPolicy::SchedFifo => (raw::SCHED_FIFO, true),
        LinuxSchedulerPolicy::SchedRr => (raw::SCHED_RR, true),
        other => return Err(refused(format!("{other}: not supported"))),
    };
    if let Some(flag) = scheduler.flags().iter().flatten().next() {
        return Err(refused(format!("{flag}: not supported")));
    }
    let (priority, nice) = (scheduler.priority().unwrap_or(0), scheduler.nice().unwrap_or(0));
    let fits = if real_time { (1..=99).contains(&priority) } else { priority == 0 };
    match u32::try_from(priority) {
        Ok(priority) if fits && (-20..20).contains(&nice) => Ok(Scheduling { policy, priority, nice }),
        _ => Err(refused(format!("priority {priority}, nice {nice}: invalid argument"))),
    }
}

/// ioprio_set(2)'s value.
fn io_priority(given: &LinuxIOPriority) -> Result<u32, Error> {
    /// Of the class in the value (linux/ioprio.h; nobody exports it).
    const SHIFT: u32 = 13;
    let class = match given.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    match u32::try_from(given.priority()) {
        Ok(level @ 0..8) => Ok(class << SHIFT | level),
        _ => Err(bad("process.ioPriority", format!("priority {}: invalid argument", given.priority()))),
    }
}

/// Where a variable is there twice, the last one counts, as with runc.
fn environment(given: &[String]) -> Vec<Vec<u8>> {
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_string();
    let last: HashMap<String, usize> = given.iter().enumerate().map(|(at, entry)| (name(entry), at)).collect();
    let counts = |(at, entry): &(usize, &String)| last.get(&name(entry)) == Some(at);
    given.iter().enumerate().filter(counts).map(|(_, entry)| entry.clone().into_bytes()).collect()
}

fn convert_capabilities(sets: &LinuxCapabilities) -> Result<Capabilities, Error> {
    let bits = |names: &Option<Names>| {
        names.iter().flatten().try_fold(0, |bits, name| match CapabilitySet::from_name(&name.to_string()) {
            Some(capability) => Ok(bits | capability.bits()),
            None => Err(bad("process.capabilities", format!("CAP_{name} is unknown"))),
        })
    };
    let sets = Capabilities {
        bounding: bits(sets.bounding())?,
        effective: bits(sets.effective())?,
        inheritable: bits(sets.inheritable())?,
        permitted: bits(sets.permitted())?,
        ambient: bits(sets.ambient())?,
    };
    // What capset(2) refuses.
    for (what, set, within) in [
        ("effective capabilities that are not permitted", sets.effective, sets.permitted),
        ("inheritable capabilities beyond the bounding set", sets.inheritable, sets.bounding),
    ] {
        if set & !within != 0 {
            return Err(bad("process.capabilities", format!("{what}: operation not permitted")));
        }
    }
    Ok(sets)
}

fn convert_rlimits(limits: &[PosixRlimit]) -> Result<Vec<(u32, u64, u64)>, Error> {
    let mut seen = BTreeSet::new();
    limits
        .iter()
        .map(|limit| {
            let number = match limit.typ() {
                PosixRlimitType::RlimitCpu => raw::RLIMIT_CPU,
                PosixRlimitType::RlimitFsize => raw::RLIMIT_FSIZE,
                PosixRlimitType::RlimitData => raw::RLIMIT_DATA,
                PosixRlimitType::RlimitStack => raw::RLIMIT_STACK,
                PosixRlimitType::RlimitCore => raw::RLIMIT_CORE,
                PosixRlimitType::RlimitRss => raw::RLIMIT_RSS,
                PosixRlimitType::RlimitNproc => raw::RLIMIT_NPROC,
                PosixRlimitType::RlimitNofile => raw::RLIMIT_NOFILE,
                PosixRlimitType::RlimitMemlock => raw::RLIMIT_MEMLOCK,
                PosixRlimitType::RlimitAs => raw::RLIMIT_AS,
                PosixRlimitType::RlimitLocks => raw::RLIMIT_LOCKS,
                PosixRlimitType::RlimitSigpending => raw::RLIMIT_SIGPENDING,
                PosixRlimitType::RlimitMsgqueue => raw::RLIMIT_MSGQUEUE,
                PosixRlimitType::RlimitNice => raw::RLIMIT_NICE,
                PosixRlimitType::RlimitRtprio => raw::RLIMIT_RTPRIO,
                PosixRlimitType::RlimitRttime => raw::RLIMIT_RTTIME,
            };
            let name = limit.typ().to_string();
            if limit.soft() > limit.hard() {
                return Err(bad(
                    "process.rlimits",
                    format!("{name}: soft {} above hard {}", limit.soft(), limit.hard()),
                ));
            }
            // setrlimit(2)
            if number == raw::RLIMIT_NOFILE && super::nr_open().is_some_and(|most| limit.hard() > most) {
                return Err(bad(
                    "process.rlimits",
                    format!("{name}: {} is above fs.nr_open: operation not permitted", limit.hard()),
                ));
            }
            if !seen.insert(number) {
                return Err(bad("process.rlimits", format!("{name} twice")));
            }
            Ok((number, limit.soft(), limit.hard()))
        })
        .collect()
}
