//! Files of `/proc` about the system as a whole: memory, CPU time, load, version, what is supported.

use super::System;
use crate::errno::Errno;
use crate::load;
use crate::platform::platform;
use crate::task::{Current, registry};
use crate::uts;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use linker::layout::PAGE_SIZE;

type Content = Result<Vec<u8>, Errno>;

/// Clock ticks in a second, as user space sees them (USER_HZ).
pub const TICKS: u64 = 100;
/// Nanoseconds in a tick.
pub const TICK_NS: u64 = 1_000_000_000 / TICKS;

const KIB_A_PAGE: u64 = PAGE_SIZE / 1024;

/// `/proc/meminfo`.
pub fn meminfo(_: &Current, _: &System) -> Content {
    let memory = platform().memory_info();
    let (total, free) = (memory.total_pages * KIB_A_PAGE, memory.free_pages * KIB_A_PAGE);
    let (mut anonymous, mut mapped, mut tables) = (0, 0, 0);
    for process in registry().processes() {
        let mm = process.leader().and_then(|task| task.published().mm);
        let Some(totals) = mm.map(|mm| mm.totals()) else { continue };
        anonymous += totals.resident.saturating_sub(totals.shared) * KIB_A_PAGE;
        mapped += totals.shared * KIB_A_PAGE;
        tables += (totals.resident / 512 + 4) * KIB_A_PAGE;
    }
    let used = total.saturating_sub(free);
    let anonymous = anonymous.min(used);
    let cached = used.saturating_sub(anonymous);
    let available = free.saturating_add(cached / 2).min(total);
    let rows: [(&str, u64); 40] = [
        ("MemTotal", total),
        ("MemFree", free),
        ("MemAvailable", available),
        ("Buffers", 0),
        ("Cached", cached),
        ("SwapCached", 0),
        ("Active", anonymous),
        ("Inactive", cached),
        ("Active(anon)", anonymous),
        ("Inactive(anon)", 0),
        ("Active(file)", 0),
        ("Inactive(file)", cached),
        ("Unevictable", 0),
        ("Mlocked", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Zswap", 0),
        ("Zswapped", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", anonymous),
        ("Mapped", mapped.min(used)),
        ("Shmem", 0),
        ("KReclaimable", 0),
        ("Slab", 0),
        ("SReclaimable", 0),
        ("SUnreclaim", 0),
        ("KernelStack", registry().counts().0 as u64 * 16),
        ("PageTables", tables),
        ("NFS_Unstable", 0),
        ("Bounce", 0),
        ("WritebackTmp", 0),
        ("CommitLimit", total),
        ("Committed_AS", anonymous),
        ("VmallocTotal", 34_359_738_367),
        ("VmallocUsed", 0),
        ("VmallocChunk", 0),
        ("Percpu", 0),
        ("AnonHugePages", 0),
        ("Hugetlb", 0),
    ];
    let mut out = String::new();
    for (name, kib) in rows {
        let _ = writeln!(out, "{:<16}{kib:>8} kB", format!("{name}:"));
    }
    out.push_str(
        "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\nHugePages_Surp:        0\n",
    );
    out.push_str("Hugepagesize:       2048 kB\n");
    Ok(out.into_bytes())
}

/// CPU time in ticks: user, system, idle, for all CPUs together.
fn cpu_ticks() -> (u64, u64, u64) {
    let usage = load::total();
    let (user, system) = (usage.user_ns / TICK_NS, usage.system_ns / TICK_NS);
    let all = load::uptime_ns() / TICK_NS * platform().cpus() as u64;
    (user, system, all.saturating_sub(user + system))
}

/// `/proc/stat`.
pub fn stat(_: &Current, _: &System) -> Content {
    let (user, system, idle) = cpu_ticks();
    let cpus = platform().cpus().max(1) as u64;
    let mut out = format!("cpu  {user} 0 {system} {idle} 0 0 0 0 0 0\n");
    for cpu in 0..cpus {
        // Which CPU ran what is not counted: each has its share, the first the remainder.
        let part = |all: u64| all / cpus + if cpu == 0 { all % cpus } else { 0 };
        let _ = writeln!(out, "cpu{cpu} {} 0 {} {} 0 0 0 0 0 0", part(user), part(system), part(idle));
    }
    let (threads, forks) = registry().counts();
    let switches = load::total().voluntary_switches + load::total().involuntary_switches;
    let btime = platform().realtime_ns().saturating_sub(load::uptime_ns()) / 1_000_000_000;
    let running = running().min(threads);
    let _ = write!(
        out,
        "intr 0\nctxt {switches}\nbtime {btime}\nprocesses {forks}\nprocs_running {running}\nprocs_blocked 0\n\
         softirq 0 0 0 0 0 0 0 0 0 0 0\n",
    );
    Ok(out.into_bytes())
}

/// Threads that run or could run; at least the one that asks.
fn running() -> usize {
    let all = registry().processes().into_iter().flat_map(|process| process.threads());
    all.filter(|task| task.thread().is_some_and(|thread| thread.is_runnable())).count().max(1)
}

/// `/proc/uptime`.
pub fn uptime(_: &Current, _: &System) -> Content {
    let up = load::uptime_ns() / 10_000_000;
    let idle = cpu_ticks().2;
    Ok(format!("{}.{:02} {}.{:02}\n", up / 100, up % 100, idle / TICKS, idle % TICKS).into_bytes())
}

/// `/proc/loadavg`.
pub fn loadavg(_: &Current, _: &System) -> Content {
    let mut out = String::new();
    for load in load::averages() {
        // Rounded to hundredths, as Linux does.
        let load = load + (1 << load::SHIFT) / 200;
        let hundredths = ((load & ((1 << load::SHIFT) - 1)) * 100) >> load::SHIFT;
        let _ = write!(out, "{}.{hundredths:02} ", load >> load::SHIFT);
    }
    let (threads, _) = registry().counts();
    let _ = writeln!(out, "{}/{threads} {}", running(), registry().last_number().raw());
    Ok(out.into_bytes())
}

/// `/proc/version`.
pub fn version(_: &Current, _: &System) -> Content {
    Ok(format!("{} version {} (ringwall@ringwall) (rustc) {}\n", uts::SYSNAME, uts::release(), uts::VERSION)
        .into_bytes())
}

/// `/proc/vmstat`, as far as something is counted.
pub fn vmstat(_: &Current, _: &System) -> Content {
    let free = platform().memory_info().free_pages;
    let usage = load::total();
    Ok(format!(
        "nr_free_pages {free}\nnr_dirty 0\nnr_writeback 0\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault {}\npgmajfault {}\n\
         oom_kill 0\n",
        usage.minor_faults + usage.major_faults,
        usage.major_faults
    )
    .into_bytes())
}

/// `/proc/cmdline`.
pub fn cmdline(_: &Current, _: &System) -> Content {
    Ok(b"ringwall\n".to_vec())
}

/// `/proc/filesystems`.
pub fn filesystems(_: &Current, _: &System) -> Content {
    Ok(crate::fs::FILE_SYSTEMS.iter().map(|name| format!("nodev\t{name}\n")).collect::<String>().into_bytes())
}

/// `/proc/devices`. (Numbers: Linux, Documentation/admin-guide/devices.txt.)
pub fn devices(_: &Current, _: &System) -> Content {
    let text = "Character devices:\n  1 mem\n  4 tty\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\nBlock devices:\n";
    Ok(text.into())
}

/// `/proc/swaps`: there is none.
pub fn swaps(_: &Current, _: &System) -> Content {
    Ok(b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".to_vec())
}

/// `/proc/partitions`: there is none.
pub fn partitions(_: &Current, _: &System) -> Content {
    Ok(b"major minor  #blocks  name\n\n".to_vec())
}

/// `/proc/interrupts`: none is counted here.
pub fn interrupts(_: &Current, _: &System) -> Content {
    let mut out = String::from("    ");
    for cpu in 0..platform().cpus() {
        let _ = write!(out, "       CPU{cpu}");
    }
    out.push('\n');
    Ok(out.into_bytes())
}

/// `/proc/cgroups`: one hierarchy, version 2.
pub fn cgroups(_: &Current, _: &System) -> Content {
    let mut out = String::from("#subsys_name\thierarchy\tnum_cgroups\tenabled\n");
    for name in ["cpuset", "cpu", "cpuacct", "memory", "pids"] {
        let _ = writeln!(out, "{name}\t0\t1\t1");
    }
    Ok(out.into_bytes())
}

/// A file that is there and empty.
pub fn empty(_: &Current, _: &System) -> Content {
    Ok(Vec::new())
}

/// `/proc/pressure/*`: nobody waits for anything that is counted.
pub fn pressure(_: &Current, _: &System) -> Content {
    let line = |who: &str| format!("{who} avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
    Ok((line("some") + &line("full")).into_bytes())
}
