//! The rest of a task's files: comm, limits, io, namespaces, OOM score, children.

use super::Subject;
use super::status;
use crate::errno::Errno;
use crate::fs::pseudo::{Item, file, link};
use crate::platform::platform;
use crate::task::{Cap, Current, UNLIMITED, registry};
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

/// `/proc/PID/{uid,gid,projid}_map`: there is one user namespace.
pub fn id_map(_: &Current, _: &Subject) -> Content {
    Ok(b"         0          0 4294967295\n".to_vec())
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
    Ok(children.map(|child| format!("{} ", child.pid().raw())).collect::<String>().into_bytes())
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

fn mount_namespace(_: &Current, subject: &Subject) -> Content {
    let fs = subject.task()?.published().fs.ok_or(Errno::ENOENT)?;
    Ok(format!("mnt:[{}]", fs.namespace().number()).into_bytes())
}

fn uts_namespace(_: &Current, subject: &Subject) -> Content {
    Ok(format!("uts:[{}]", subject.task()?.uts().number()).into_bytes())
}

/// A namespace's link; the numbers are those of Linux's initial namespaces (include/linux/proc_ns.h).
macro_rules! namespace {
    ($name:literal, $kind:literal, $number:literal) => {
        link($name, |_, _| Ok(concat!($kind, ":[", $number, "]").into()))
    };
}

/// `/proc/PID/ns`.
pub const NAMESPACES: &[Item<Subject>] = &[
    namespace!("cgroup", "cgroup", 4026531835),
    namespace!("ipc", "ipc", 4026531839),
    link("mnt", mount_namespace),
    namespace!("net", "net", 4026531840),
    namespace!("pid", "pid", 4026531836),
    namespace!("pid_for_children", "pid", 4026531836),
    namespace!("time", "time", 4026531834),
    namespace!("time_for_children", "time", 4026531834),
    namespace!("user", "user", 4026531837),
    link("uts", uts_namespace),
];
