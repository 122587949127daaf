//! Scheduling and resource use: affinity, priorities, policies, getrusage, times, limits.

use super::table::{Level, Row, arg, finish, row};
use super::task::RusageAbi;
use super::{Fail, UserPtr};
use crate::errno::Errno;
use crate::fs::MOST_DESCRIPTORS;
use crate::platform::platform;
use crate::task::{Cap, Current, Task, Tid, Usage, registry};
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use linker::addr::UserVa;
use linux_raw_sys::general as raw;
use syscalls::Sysno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// sched_yield(2).
pub fn sched_yield(_: &mut Current) -> Result<(), Errno> {
    platform().yield_now();
    Ok(())
}

/// The thread `tid` (0: the caller).
fn target(current: &Current, tid: Tid) -> Result<Arc<Task>, Errno> {
    if (tid.raw() as i32) < 0 {
        return Err(Errno::EINVAL);
    }
    if tid.raw() == 0 { Ok(current.task.clone()) } else { registry().task(current.meant(tid)).ok_or(Errno::ESRCH) }
}

/// As `target`; a negative number is nobody's, and not wrong by itself.
fn anyone(current: &Current, tid: Tid) -> Result<Arc<Task>, Errno> {
    target(current, tid).map_err(|_| Errno::ESRCH)
}

/// Whether the caller may change the other's scheduling.
fn may_change(current: &Current, task: &Task) -> Result<(), Errno> {
    let other = task.creds();
    let mine = current.creds.euid == other.uid || current.creds.euid == other.euid;
    if mine || current.creds.has_in(&other.user, Cap::SysNice) { Ok(()) } else { Err(Errno::EPERM) }
}

fn all_cpus() -> u64 {
    let cpus = platform().cpus();
    if cpus >= 64 { u64::MAX } else { (1 << cpus) - 1 }
}

/// sched_setaffinity(2).
pub fn sched_setaffinity(current: &mut Current, tid: Tid, len: usize, mask: UserVa) -> Result<(), Errno> {
    let mut bytes = [0; 8];
    let len = len.min(bytes.len());
    current.copy_in(mask, &mut bytes[..len])?;
    let task = anyone(current, tid)?;
    may_change(current, &task)?;
    let mask = u64::from_ne_bytes(bytes) & all_cpus();
    if mask == 0 {
        return Err(Errno::EINVAL);
    }
    task.set_affinity(mask);
    if let Some(thread) = task.thread() {
        thread.set_affinity(mask);
    }
    if Arc::ptr_eq(&task, &current.task) {
        platform().yield_now();
    }
    Ok(())
}

/// sched_getaffinity(2), the raw call: returns the bytes written.
pub fn sched_getaffinity(current: &mut Current, tid: Tid, len: u32, mask: UserVa) -> Result<usize, Errno> {
    // Linux multiplies in 32 bits, too, and does not mind what is lost.
    if (len.wrapping_mul(8) as usize) < platform().cpus() || !len.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    let task = anyone(current, tid)?;
    let bytes = (task.affinity() & all_cpus()).to_ne_bytes();
    current.copy_out(mask, &bytes)?;
    Ok(bytes.len())
}

/// sched_getscheduler(2).
pub fn sched_getscheduler(current: &mut Current, tid: Tid) -> Result<u32, Errno> {
    let task = target(current, tid)?;
    Ok(task.policy() | if task.resets_on_fork() { raw::SCHED_RESET_ON_FORK } else { 0 })
}

/// sched_setscheduler(2). Policies are remembered; nice values alone count.
pub fn sched_setscheduler(current: &mut Current, tid: Tid, policy: u32, param: UserPtr<i32>) -> Result<(), Errno> {
    let param = param.non_null().filter(|_| tid.raw() as i32 >= 0 && policy as i32 >= 0).ok_or(Errno::EINVAL)?;
    let priority = param.read(current)?;
    let task = target(current, tid)?;
    set_policy(current, &task, policy, priority)
}

fn set_policy(current: &Current, task: &Task, policy: u32, priority: i32) -> Result<(), Errno> {
    let resets = policy & raw::SCHED_RESET_ON_FORK;
    let policy = policy & !resets;
    let real_time = matches!(policy, raw::SCHED_FIFO | raw::SCHED_RR);
    let known = matches!(policy, raw::SCHED_NORMAL | raw::SCHED_BATCH | raw::SCHED_IDLE);
    let fits = if real_time { (1..=99).contains(&priority) } else { known && priority == 0 };
    if !fits {
        return Err(Errno::EINVAL);
    }
    may_change(current, task)?;
    let privileged = current.creds.has(Cap::SysNice);
    // Whoever is held to it cannot shake it off.
    if task.resets_on_fork() && resets == 0 && !privileged {
        return Err(Errno::EPERM);
    }
    if real_time && !privileged && priority as u64 > current.process.soft_limit(raw::RLIMIT_RTPRIO) {
        return Err(Errno::EPERM);
    }
    task.set_policy(policy | resets, priority as u32);
    Ok(())
}

/// sched_setparam(2).
pub fn sched_setparam(current: &mut Current, tid: Tid, param: UserPtr<i32>) -> Result<(), Errno> {
    let param = param.non_null().filter(|_| tid.raw() as i32 >= 0).ok_or(Errno::EINVAL)?;
    let priority = param.read(current)?;
    let task = target(current, tid)?;
    let policy = task.policy() | if task.resets_on_fork() { raw::SCHED_RESET_ON_FORK } else { 0 };
    set_policy(current, &task, policy, priority)
}

/// sched_getparam(2).
pub fn sched_getparam(current: &mut Current, tid: Tid, param: UserPtr<i32>) -> Result<(), Errno> {
    let param = param.non_null().ok_or(Errno::EINVAL)?;
    let priority = target(current, tid)?.real_time_priority();
    param.write(current, &(priority as i32))
}

/// sched_get_priority_max(2).
pub fn sched_get_priority_max(_: &mut Current, policy: u32) -> Result<u32, Errno> {
    match policy {
        raw::SCHED_FIFO | raw::SCHED_RR => Ok(99),
        raw::SCHED_NORMAL | raw::SCHED_BATCH | raw::SCHED_IDLE | raw::SCHED_DEADLINE => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// sched_get_priority_min(2).
pub fn sched_get_priority_min(_: &mut Current, policy: u32) -> Result<u32, Errno> {
    match policy {
        raw::SCHED_FIFO | raw::SCHED_RR => Ok(1),
        raw::SCHED_NORMAL | raw::SCHED_BATCH | raw::SCHED_IDLE | raw::SCHED_DEADLINE => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// sched_rr_get_interval(2): the time slice.
pub fn sched_rr_get_interval(current: &mut Current, tid: Tid, interval: UserPtr<[i64; 2]>) -> Result<(), Errno> {
    let slice_ns = match target(current, tid)?.policy() {
        raw::SCHED_FIFO => 0,
        _ => 4_000_000,
    };
    interval.write(current, &[0, slice_ns])
}

/// The tasks that getpriority and setpriority mean.
fn priority_targets(current: &Current, which: u32, who: u32) -> Result<alloc::vec::Vec<Arc<Task>>, Errno> {
    let processes = registry().processes();
    let tasks: alloc::vec::Vec<Arc<Task>> = match which {
        raw::PRIO_PROCESS => alloc::vec![target(current, Tid::new(who)).map_err(|_| Errno::ESRCH)?],
        raw::PRIO_PGRP => {
            let group = if who == 0 { current.process.group() } else { current.meant(Tid::new(who)) };
            processes.iter().filter(|process| process.group() == group).flat_map(|process| process.threads()).collect()
        }
        raw::PRIO_USER => {
            let uid =
                if who == 0 { current.creds.uid } else { current.creds.global_uid(who).map_err(|_| Errno::ESRCH)? };
            processes.iter().filter(|process| process.last_uid() == uid).flat_map(|process| process.threads()).collect()
        }
        _ => return Err(Errno::EINVAL),
    };
    if tasks.is_empty() { Err(Errno::ESRCH) } else { Ok(tasks) }
}

/// getpriority(2), the raw call: 20 - nice.
pub fn getpriority(current: &mut Current, which: u32, who: u32) -> Result<i32, Errno> {
    let tasks = priority_targets(current, which, who)?;
    Ok(20 - tasks.iter().map(|task| task.nice()).min().unwrap_or(0))
}

/// setpriority(2).
pub fn setpriority(current: &mut Current, which: u32, who: u32, nice: i32) -> Result<(), Errno> {
    let nice = nice.clamp(-20, 19);
    for task in priority_targets(current, which, who)? {
        may_change(current, &task)?;
        let lowest = 20 - current.process.soft_limit(raw::RLIMIT_NICE).min(40) as i32;
        if nice < task.nice() && nice < lowest && !current.creds.has(Cap::SysNice) {
            return Err(Errno::EACCES);
        }
        task.set_nice(nice);
    }
    Ok(())
}

/// struct sched_attr (linux/sched/types.h).
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
    util_min: u32,
    util_max: u32,
}

/// SCHED_ATTR_SIZE_VER0 and VER1 (linux/sched/types.h).
const ATTR_SIZE_FIRST: usize = 48;
const _: () = assert!(size_of::<SchedAttr>() == 56);

/// sched_getattr(2).
pub fn sched_getattr(
    current: &mut Current,
    tid: Tid,
    attr: UserPtr<SchedAttr>,
    size: usize,
    flags: u32,
) -> Result<(), Errno> {
    if attr.is_null() || !(ATTR_SIZE_FIRST..=linker::layout::PAGE_SIZE as usize).contains(&size) || flags != 0 {
        return Err(Errno::EINVAL);
    }
    let task = target(current, tid)?;
    let len = size.min(size_of::<SchedAttr>());
    let fair = matches!(task.policy(), raw::SCHED_NORMAL | raw::SCHED_BATCH);
    let found = SchedAttr {
        size: len as u32,
        policy: task.policy(),
        nice: if fair { task.nice() } else { 0 },
        priority: task.real_time_priority(),
        util_max: 1024,
        ..SchedAttr::default()
    };
    let found = if size < size_of::<SchedAttr>() { SchedAttr { util_max: 0, ..found } } else { found };
    current.copy_out(attr.addr(), found.as_bytes().get(..len).unwrap_or_default())
}

/// sched_setattr(2).
pub fn sched_setattr(current: &mut Current, tid: Tid, attr: UserPtr<SchedAttr>, flags: u32) -> Result<(), Errno> {
    if attr.is_null() || (tid.raw() as i32) < 0 || flags != 0 {
        return Err(Errno::EINVAL);
    }
    let size = match attr.cast::<u32>().read(current)? as usize {
        0 => ATTR_SIZE_FIRST,
        size if size < ATTR_SIZE_FIRST => return Err(Errno::E2BIG),
        size => size,
    };
    let given: SchedAttr = super::task::read_extensible(current, attr.addr(), size)?;
    let asked = u32::try_from(given.flags).ok().filter(|flags| flags & !raw::SCHED_FLAG_ALL == 0);
    let asked = asked.ok_or(Errno::EINVAL)?;
    let task = target(current, tid)?;
    let policy = if asked & raw::SCHED_FLAG_KEEP_POLICY != 0 { task.policy() } else { given.policy };
    if policy == raw::SCHED_DEADLINE {
        // No deadlines are kept: as a system that admits none.
        return Err(Errno::EBUSY);
    }
    let policy = if asked & raw::SCHED_FLAG_RESET_ON_FORK != 0 { policy | raw::SCHED_RESET_ON_FORK } else { policy };
    if asked & raw::SCHED_FLAG_KEEP_PARAMS != 0 {
        return set_policy(current, &task, policy, task.real_time_priority() as i32);
    }
    let nice = given.nice.clamp(-20, 19);
    let lowest = 20 - current.process.soft_limit(raw::RLIMIT_NICE).min(40) as i32;
    let fair = matches!(policy & !raw::SCHED_RESET_ON_FORK, raw::SCHED_NORMAL | raw::SCHED_BATCH);
    if fair && nice < task.nice() && nice < lowest && !current.creds.has(Cap::SysNice) {
        return Err(Errno::EPERM);
    }
    set_policy(current, &task, policy, i32::try_from(given.priority).map_err(|_| Errno::EINVAL)?)?;
    if fair {
        task.set_nice(nice);
    }
    Ok(())
}

/// Who is meant, and what is asked for, by ioprio_get and ioprio_set (linux/ioprio.h, which linux-raw-sys does not carry).
mod ioprio {
    pub const WHO_PROCESS: u32 = 1;
    pub const WHO_PGRP: u32 = 2;
    pub const WHO_USER: u32 = 3;
    pub const CLASS_SHIFT: u32 = 13;
    pub const CLASS_NONE: u32 = 0;
    pub const CLASS_RT: u32 = 1;
    pub const CLASS_BE: u32 = 2;
    pub const CLASS_IDLE: u32 = 3;
    pub const LEVELS: u32 = 8;
}

fn io_targets(current: &Current, which: u32, who: u32) -> Result<alloc::vec::Vec<Arc<Task>>, Errno> {
    match which {
        ioprio::WHO_PROCESS => priority_targets(current, raw::PRIO_PROCESS, who),
        ioprio::WHO_PGRP => priority_targets(current, raw::PRIO_PGRP, who),
        ioprio::WHO_USER => priority_targets(current, raw::PRIO_USER, who),
        _ => Err(Errno::EINVAL),
    }
}

/// ioprio_get(2): a thread's own value, or the best of several, where none set means what the nice value says.
pub fn ioprio_get(current: &mut Current, which: u32, who: u32) -> Result<u32, Errno> {
    let tasks = io_targets(current, which, who)?;
    if which == ioprio::WHO_PROCESS {
        return tasks.first().map(|task| task.io_priority()).ok_or(Errno::ESRCH);
    }
    let effective = |task: &Arc<Task>| match task.io_priority() {
        0 => (ioprio::CLASS_BE << ioprio::CLASS_SHIFT) | ((task.nice() + 20).unsigned_abs() / 5),
        set => set,
    };
    tasks.iter().map(effective).min().ok_or(Errno::ESRCH)
}

/// ioprio_set(2). The value is remembered; requests to the host are served in their order.
pub fn ioprio_set(current: &mut Current, which: u32, who: u32, value: u32) -> Result<(), Errno> {
    let level = value & ((1 << ioprio::CLASS_SHIFT) - 1);
    match value >> ioprio::CLASS_SHIFT {
        ioprio::CLASS_RT if !current.creds.has(Cap::SysAdmin) && !current.creds.has(Cap::SysNice) => {
            return Err(Errno::EPERM);
        }
        // Behind the level come hints, which change nothing.
        ioprio::CLASS_RT | ioprio::CLASS_BE | ioprio::CLASS_IDLE => {}
        ioprio::CLASS_NONE if level.is_multiple_of(ioprio::LEVELS) => {}
        _ => return Err(Errno::EINVAL),
    }
    for task in io_targets(current, which, who)? {
        let other = task.creds();
        if other.uid != current.creds.euid && other.uid != current.creds.uid && !current.creds.has(Cap::SysNice) {
            return Err(Errno::EPERM);
        }
        task.set_io_priority(value);
    }
    Ok(())
}

/// getrusage(2).
pub fn getrusage(current: &mut Current, who: i32, usage: UserPtr<RusageAbi>) -> Result<(), Errno> {
    let mut used: Usage = match who {
        raw::RUSAGE_CHILDREN => current.process.children_usage(),
        who if who == raw::RUSAGE_SELF as i32 => current.process.usage(),
        who if who == raw::RUSAGE_THREAD as i32 => current.task.usage(),
        _ => return Err(Errno::EINVAL),
    };
    if who != raw::RUSAGE_CHILDREN {
        used.max_rss_kib = used.max_rss_kib.max(current.mm.resident_pages().1 * 4);
    }
    usage.write(current, &RusageAbi::new(&used))
}

/// times(2). Ticks are 1/100 s (USER_HZ).
pub fn times(current: &mut Current, buffer: UserPtr<[i64; 4]>) -> Result<i64, Errno> {
    const TICK_NS: u64 = 10_000_000;
    let (own, children) = (current.process.usage(), current.process.children_usage());
    if let Some(buffer) = buffer.non_null() {
        let ticks = [own.user_ns, own.system_ns, children.user_ns, children.system_ns].map(|ns| (ns / TICK_NS) as i64);
        buffer.write(current, &ticks)?;
    }
    Ok((platform().monotonic_ns() / TICK_NS) as i64)
}

/// prlimit64(2).
pub fn prlimit64(
    current: &mut Current,
    pid: Tid,
    resource: u32,
    new: UserPtr<[u64; 2]>,
    old: UserPtr<[u64; 2]>,
) -> Result<(), Fail> {
    let new = new.non_null().map(|new| new.read(current)).transpose()?;
    let process = match pid.raw() {
        0 => current.process.clone(),
        _ => registry().process(current.meant(pid)).ok_or(Errno::ESRCH)?,
    };
    if !Arc::ptr_eq(&process, &current.process) {
        let creds = process.leader().ok_or(Errno::ESRCH)?.creds();
        let me = &current.creds;
        let same = [creds.uid, creds.euid, creds.suid].iter().all(|uid| *uid == me.uid)
            && [creds.gid, creds.egid, creds.sgid].iter().all(|gid| *gid == me.gid);
        if !same && !me.has_in(&creds.user, Cap::SysResource) {
            return Err(Errno::EPERM.into());
        }
    }
    let may_raise = current.creds.has(Cap::SysResource);
    let before = process.with_limits(|limits| {
        let before = limits.get(resource).ok_or(Errno::EINVAL)?;
        if let Some([soft, hard]) = new {
            if soft > hard {
                return Err(Errno::EINVAL);
            }
            // Descriptors have a ceiling of their own.
            let most = u64::from(MOST_DESCRIPTORS.load(Ordering::Relaxed));
            if hard > before.1 && !may_raise || resource == raw::RLIMIT_NOFILE && hard > most {
                return Err(Errno::EPERM);
            }
            limits.set(resource, soft, hard);
        }
        Ok(before)
    })?;
    if new.is_some() && resource == raw::RLIMIT_CPU {
        process.timers.watch_cpu_limit(&process);
    }
    if let Some([soft, _]) = new
        && resource == raw::RLIMIT_STACK
        && let Some(mm) = process.leader().and_then(|leader| leader.published().mm)
    {
        // A fault sees only the address space.
        mm.set_stack_limit(soft);
    }
    if let Some(old) = old.non_null() {
        old.write(current, &[before.0, before.1])?;
    }
    Ok(())
}

/// getrlimit(2).
pub fn getrlimit(current: &mut Current, resource: u32, limit: UserPtr<[u64; 2]>) -> Result<(), Fail> {
    prlimit64(current, Tid::new(0), resource, UserPtr::new(UserVa::new(0)), limit)
}

/// setrlimit(2).
pub fn setrlimit(current: &mut Current, resource: u32, limit: UserPtr<[u64; 2]>) -> Result<(), Fail> {
    if limit.is_null() {
        return Err(Errno::EFAULT.into());
    }
    prlimit64(current, Tid::new(0), resource, limit, UserPtr::new(UserVa::new(0)))
}

pub(super) const ROWS: &[Row] = &[
    row!(sched_yield = sched_yield(), Full, ""),
    row!(sched_setaffinity = sched_setaffinity(3), Full, ""),
    row!(sched_getaffinity = sched_getaffinity(3), Full, ""),
    row!(sched_getscheduler = sched_getscheduler(1), Full, ""),
    row!(
        sched_setscheduler = sched_setscheduler(3),
        Partial,
        "policies are remembered, real-time threads take turns with all others"
    ),
    row!(sched_getattr = sched_getattr(4), Full, ""),
    row!(sched_setattr = sched_setattr(3), Partial, "as sched_setscheduler; no SCHED_DEADLINE"),
    row!(ioprio_get = ioprio_get(2), Full, ""),
    row!(ioprio_set = ioprio_set(3), Partial, "remembered; requests to the host are served in their order"),
    row!(sched_setparam = sched_setparam(2), Partial, "as sched_setscheduler"),
    row!(sched_getparam = sched_getparam(2), Full, ""),
    row!(sched_get_priority_max = sched_get_priority_max(1), Full, ""),
    row!(sched_get_priority_min = sched_get_priority_min(1), Full, ""),
    row!(sched_rr_get_interval = sched_rr_get_interval(2), Full, ""),
    row!(getpriority = getpriority(2), Full, ""),
    row!(
        setpriority = setpriority(3),
        Partial,
        "turns are longer or shorter by it, up to sixteen times; between CPUs threads are spread alike"
    ),
    row!(getrusage = getrusage(2), Full, ""),
    row!(times = times(1), Full, ""),
    row!(prlimit64 = prlimit64(4), Full, ""),
    row!(getrlimit = getrlimit(2), Full, ""),
    row!(setrlimit = setrlimit(2), Full, ""),
];
