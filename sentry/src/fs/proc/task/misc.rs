//! The rest of a task's files: comm, limits, io, namespaces, OOM score, children.

use super::{Subject, access, status};
use crate::coredump::FILTERS;
use crate::errno::Errno;
use crate::fs::nsfs;
use crate::fs::pseudo::{Item, What, file};
use crate::platform::platform;
use crate::task::clone::CloneFlags;
use crate::task::user_ns::{self, Kind};
use crate::task::{Cap, Current, UNLIMITED, UserSpace, registry, spaces};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use linux_raw_sys::general as raw;

type Content = Result<Vec<u8>, Errno>;

/// `/proc/PID/comm`.
pub fn comm(_: &Current, subject: &Subject) -> Content {
    let process = subject.process()?;
    Ok((status::name(&process, subject.task().ok().as_ref()) + "\n").into_bytes())
}

/// A thread may rename the threads of its process.
pub fn set_comm(current: &Current, subject: &Subject, bytes: &[u8]) -> Result<(), Errno> {
    if subject.process()?.pid() != current.process.pid() {
        return Err(Errno::EINVAL);
    }
    let end = bytes.iter().position(|byte| matches!(byte, b'\n' | 0)).unwrap_or(bytes.len());
    subject.task()?.set_name(bytes.get(..end).unwrap_or_default());
    Ok(())
}

/// `/proc/PID/limits`.
pub fn limits(_: &Current, subject: &Subject) -> Content {
    let rows = [
        ("Max cpu time", raw::RLIMIT_CPU, "seconds"),
        ("Max file size", raw::RLIMIT_FSIZE, "bytes"),
        ("Max data size", raw::RLIMIT_DATA, "bytes"),
        ("Max stack size", raw::RLIMIT_STACK, "bytes"),
        ("Max core file size", raw::RLIMIT_CORE, "bytes"),
        ("Max resident set", raw::RLIMIT_RSS, "bytes"),
        ("Max processes", raw::RLIMIT_NPROC, "processes"),
        ("Max open files", raw::RLIMIT_NOFILE, "files"),
        ("Max locked memory", raw::RLIMIT_MEMLOCK, "bytes"),
        ("Max address space", raw::RLIMIT_AS, "bytes"),
        ("Max file locks", raw::RLIMIT_LOCKS, "locks"),
        ("Max pending signals", raw::RLIMIT_SIGPENDING, "signals"),
        ("Max msgqueue size", raw::RLIMIT_MSGQUEUE, "bytes"),
        ("Max nice priority", raw::RLIMIT_NICE, ""),
        ("Max realtime priority", raw::RLIMIT_RTPRIO, ""),
        ("Max realtime timeout", raw::RLIMIT_RTTIME, "us"),
    ];
    let limits = subject.process()?.limits();
    let text = |limit: u64| if limit == UNLIMITED { String::from("unlimited") } else { format!("{limit}") };
    let mut out = String::from("Limit                     Soft Limit           Hard Limit           Units     \n");
    for (name, resource, unit) in rows {
        let (soft, hard) = limits.get(resource).unwrap_or((UNLIMITED, UNLIMITED));
        let _ = writeln!(out, "{name:<25} {:<20} {:<20} {unit:<10}", text(soft), text(hard));
    }
    Ok(out.into_bytes())
}

/// `/proc/PID/io`: not counted.
pub fn io(_: &Current, _: &Subject) -> Content {
    Ok(b"rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n".to_vec())
}

/// `/proc/PID/schedstat`.
pub fn schedstat(_: &Current, subject: &Subject) -> Content {
    let usage = subject.task()?.usage();
    Ok(format!("{} 0 {}\n", usage.user_ns + usage.system_ns, usage.voluntary_switches).into_bytes())
}

fn user_space(subject: &Subject) -> Result<UserSpace, Errno> {
    Ok(subject.task()?.creds().user.clone())
}

fn id_map(current: &Current, subject: &Subject, kind: Kind) -> Content {
    Ok(user_ns::map_text(&user_space(subject)?, kind, &current.creds.user).into_bytes())
}

/// A map is set once, by one write.
fn set_id_map(current: &Current, subject: &Subject, kind: Kind, bytes: &[u8]) -> Result<(), Errno> {
    let ns = user_space(subject)?.ok_or(Errno::EPERM)?;
    ns.set_map(&current.creds, &ns, kind, bytes)
}

/// `/proc/PID/uid_map`.
pub fn uid_map(current: &Current, subject: &Subject) -> Content {
    id_map(current, subject, Kind::User)
}

/// See `UserNs::set_map`.
pub fn set_uid_map(current: &Current, subject: &Subject, bytes: &[u8]) -> Result<(), Errno> {
    set_id_map(current, subject, Kind::User, bytes)
}

/// `/proc/PID/gid_map`.
pub fn gid_map(current: &Current, subject: &Subject) -> Content {
    id_map(current, subject, Kind::Group)
}

/// See `UserNs::set_map`.
pub fn set_gid_map(current: &Current, subject: &Subject, bytes: &[u8]) -> Result<(), Errno> {
    set_id_map(current, subject, Kind::Group, bytes)
}

/// `/proc/PID/projid_map`.
pub fn projid_map(current: &Current, subject: &Subject) -> Content {
    id_map(current, subject, Kind::Project)
}

/// See `UserNs::set_map`.
pub fn set_projid_map(current: &Current, subject: &Subject, bytes: &[u8]) -> Result<(), Errno> {
    set_id_map(current, subject, Kind::Project, bytes)
}

/// `/proc/PID/setgroups`.
pub fn setgroups(_: &Current, subject: &Subject) -> Content {
    let allowed = user_space(subject)?.is_none_or(|ns| ns.shows_setgroups());
    Ok(if allowed { b"allow\n".to_vec() } else { b"deny\n".to_vec() })
}

/// Forbids setgroups(2) in the process's user namespace, for good.
pub fn set_setgroups(current: &Current, subject: &Subject, bytes: &[u8]) -> Result<(), Errno> {
    let space = user_space(subject)?;
    if !current.creds.has_in(&space, Cap::SysAdmin) {
        return Err(Errno::EPERM);
    }
    let allow = match bytes.trim_ascii_end() {
        b"allow" => true,
        b"deny" => false,
        _ => return Err(Errno::EINVAL),
    };
    match space {
        Some(ns) => ns.set_setgroups(allow),
        None if allow => Ok(()),
        None => Err(Errno::EPERM),
    }
}

/// `/proc/PID/oom_score`: how much of memory the process has, in thousandths, and its adjustment.
pub fn oom_score(_: &Current, subject: &Subject) -> Content {
    let process = subject.process()?;
    let mm = subject.task().ok().and_then(|task| task.published().mm);
    let resident = mm.map_or(0, |mm| mm.resident_pages().0);
    let share = resident.saturating_mul(1000) / platform().memory_info().total_pages.max(1);
    // As Linux: 666 for a process without memory and adjustment, 0 to 2000 in all.
    let score = (1000 + i64::try_from(share).unwrap_or(1000) + i64::from(process.oom_score_adj())) * 2 / 3;
    Ok(format!("{}\n", score.clamp(0, 2000)).into_bytes())
}

/// `/proc/PID/oom_score_adj`.
pub fn oom_score_adj(_: &Current, subject: &Subject) -> Content {
    Ok(format!("{}\n", subject.process()?.oom_score_adj()).into_bytes())
}

/// `/proc/PID/coredump_filter`.
pub fn coredump_filter(_: &Current, subject: &Subject) -> Content {
    Ok(format!("{:08x}\n", subject.process()?.dump_filter()).into_bytes())
}

/// A number as C writes them; bits that there are none of do not count.
pub fn set_coredump_filter(_: &Current, subject: &Subject, bytes: &[u8]) -> Result<(), Errno> {
    let text = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?.trim();
    let number = match (text.strip_prefix("0x"), text.strip_prefix('0').filter(|rest| !rest.is_empty())) {
        (Some(hexadecimal), _) => u32::from_str_radix(hexadecimal, 16),
        (None, Some(octal)) => u32::from_str_radix(octal, 8),
        (None, None) => text.parse(),
    };
    subject.process()?.set_dump_filter(number.map_err(|_| Errno::EINVAL)? & FILTERS);
    Ok(())
}

/// Lowering the adjustment takes CAP_SYS_RESOURCE.
pub fn set_oom_score_adj(current: &Current, subject: &Subject, bytes: &[u8]) -> Result<(), Errno> {
    let process = subject.process()?;
    let text = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
    let value: i32 = text.trim().parse().map_err(|_| Errno::EINVAL)?;
    if !(-1000..=1000).contains(&value) {
        return Err(Errno::EINVAL);
    }
    if value < process.oom_score_adj() && !current.creds.has(Cap::SysResource) {
        return Err(Errno::EACCES);
    }
    process.set_oom_score_adj(value);
    Ok(())
}

/// `/proc/PID/task/TID/children`: of the whole process, which its first thread answers for.
pub fn children(_: &Current, subject: &Subject) -> Content {
    let process = subject.process()?;
    if subject.task()?.tid() != process.pid() {
        return Ok(Vec::new());
    }
    let tables = registry().lock();
    let children = tables.children(process.pid()).iter();
    let shown = children.map(|child| tables.shown(child.pid(), subject.pids()));
    Ok(shown.map(|pid| format!("{} ", pid.raw())).collect::<String>().into_bytes())
}

/// No security module is there to label anything.
fn no_label(_: &Current, _: &Subject) -> Content {
    Err(Errno::EINVAL)
}

/// `/proc/PID/attr`.
pub const ATTR: &[Item<Subject>] = &[
    file("current", no_label),
    file("exec", no_label),
    file("fscreate", no_label),
    file("keycreate", no_label),
    file("prev", no_label),
    file("sockcreate", no_label),
];

/// A namespace's link. It leads to the namespace itself (nsfs).
macro_rules! namespace {
    ($name:literal, $kind:ident, $children:literal) => {
        Item {
            name: $name,
            mode: 0o777,
            what: What::Magic(|current, subject| {
                access::may_read(current, subject)?;
                Ok(nsfs::place(spaces::of(&*subject.task()?, CloneFlags::$kind, $children)?))
            }),
        }
    };
}

/// `/proc/PID/ns`.
pub const NAMESPACES: &[Item<Subject>] = &[
    namespace!("cgroup", NEWCGROUP, false),
    namespace!("ipc", NEWIPC, false),
    namespace!("mnt", NEWNS, false),
    namespace!("net", NEWNET, false),
    namespace!("pid", NEWPID, false),
    namespace!("pid_for_children", NEWPID, true),
    namespace!("time", NEWTIME, false),
    namespace!("time_for_children", NEWTIME, true),
    namespace!("user", NEWUSER, false),
    namespace!("uts", NEWUTS, false),
];
