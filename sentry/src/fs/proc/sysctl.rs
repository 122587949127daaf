//! `/proc/sys`: what can be asked about the kernel's settings. Few can be changed: the names of the system.

use super::System;
use crate::coredump;
use crate::errno::Errno;
use crate::fs::lock::lease;
use crate::fs::pseudo::{Item, What, directory, file};
use crate::fs::userfaultfd::UNPRIVILEGED;
use crate::fs::{MOST_DESCRIPTORS, fanotify, inotify, pipe};
use crate::ipc::{mqueue, msg, sem};
use crate::keys;
use crate::mm::{MAX_AREAS, drop_caches, shm};
use crate::platform::platform;
use crate::random;
use crate::settings;
use crate::task::{Cap, Current, LAST_CAP, PID_MAX, THREADS_MAX, Tid, registry, user_ns};
use crate::uts;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::sync::atomic::Ordering;
use linker::layout::PAGE_SIZE;

type Content = Result<Vec<u8>, Errno>;

/// A file that says `$value`, which may be computed.
macro_rules! value {
    ($name:literal, $value:expr) => {
        file($name, |_, _| Ok(format!("{}\n", $value).into_bytes()))
    };
}

/// A file that shows the number in `$place`, which root may change.
macro_rules! setting {
    ($name:literal, $place:expr) => {
        Item {
            name: $name,
            mode: 0o644,
            what: What::Writable(
                |_, _| Ok(format!("{}\n", $place.load(Ordering::Relaxed)).into_bytes()),
                |current, _, bytes| {
                    $place.store(number_to_set(current, bytes)?, Ordering::Relaxed);
                    Ok(())
                },
            ),
        }
    };
}

/// A number to give to the next object of a kind.
macro_rules! next_id {
    ($name:literal, $place:expr) => {
        Item {
            name: $name,
            mode: 0o644,
            what: What::Writable(
                |_, _| Ok(format!("{}\n", $place.load(Ordering::Relaxed)).into_bytes()),
                |current, _, bytes| {
                    let number = number_to_set(current, bytes)?;
                    $place.store(i32::try_from(number).map_err(|_| Errno::EINVAL)?, Ordering::Relaxed);
                    Ok(())
                },
            ),
        }
    };
}

fn number_to_set(current: &Current, bytes: &[u8]) -> Result<u32, Errno> {
    if current.creds.fsuid != 0 {
        return Err(Errno::EPERM);
    }
    let text = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
    text.trim().parse().ok().filter(|number| i32::try_from(*number).is_ok()).ok_or(Errno::EINVAL)
}

/// Random 128 bits as a UUID, version 4 (RFC 9562).
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn new_uuid() -> String {
    let mut bytes = [0; 16];
    random::fill(&mut bytes);
    uuid(bytes)
}

fn boot_id() -> String {
    static BOOT_ID: spin::Once<String> = spin::Once::new();
    BOOT_ID.call_once(new_uuid).clone()
}

fn read_hostname(current: &Current, _: &System) -> Content {
    Ok([&current.task.uts().host()[..], b"\n"].concat())
}

fn read_domainname(current: &Current, _: &System) -> Content {
    Ok([&current.task.uts().domain()[..], b"\n"].concat())
}

fn name_to_set<'a>(current: &Current, bytes: &'a [u8]) -> Result<&'a [u8], Errno> {
    if !current.creds.has(Cap::SysAdmin) {
        return Err(Errno::EPERM);
    }
    let end = bytes.iter().position(|byte| matches!(byte, b'\n' | 0)).unwrap_or(bytes.len());
    bytes.get(..end.min(uts::MAX_NAME)).ok_or(Errno::EINVAL)
}

fn write_hostname(current: &Current, _: &System, bytes: &[u8]) -> Result<(), Errno> {
    current.task.uts().set_host(name_to_set(current, bytes)?);
    Ok(())
}

fn write_domainname(current: &Current, _: &System, bytes: &[u8]) -> Result<(), Errno> {
    current.task.uts().set_domain(name_to_set(current, bytes)?);
    Ok(())
}

fn read_pipe_size(_: &Current, _: &System) -> Content {
    Ok(format!("{}\n", pipe::MAX_CAPACITY.load(Ordering::Relaxed)).into_bytes())
}

/// Rounded up as a pipe's own size is.
fn write_pipe_size(current: &Current, _: &System, bytes: &[u8]) -> Result<(), Errno> {
    let wanted = number_to_set(current, bytes)?;
    let size = wanted.max(PAGE_SIZE as u32).checked_next_power_of_two().ok_or(Errno::EINVAL)?;
    pipe::MAX_CAPACITY.store(size, Ordering::Relaxed);
    Ok(())
}

fn read_last_pid(current: &Current, _: &System) -> Content {
    let last = current.process.space().as_ref().map_or_else(|| registry().last_number().raw(), |ns| ns.last());
    Ok(format!("{last}\n").into_bytes())
}

/// Who restores processes gives them their old numbers by this.
fn write_last_pid(current: &Current, _: &System, bytes: &[u8]) -> Result<(), Errno> {
    let space = current.process.space();
    let owner = space.as_ref().map_or(&None, |ns| ns.owner());
    if !current.creds.has_in(owner, Cap::CheckpointRestore) && !current.creds.has_in(owner, Cap::SysAdmin) {
        return Err(Errno::EPERM);
    }
    let text = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
    let number = text.trim().parse().ok().filter(|number| *number <= PID_MAX).ok_or(Errno::EINVAL)?;
    match space {
        Some(ns) => ns.set_last(number),
        None => registry().set_last_number(Tid::new(number)),
    }
    Ok(())
}

fn read_nr_open(_: &Current, _: &System) -> Content {
    Ok(format!("{}\n", MOST_DESCRIPTORS.load(Ordering::Relaxed)).into_bytes())
}

fn write_nr_open(current: &Current, _: &System, bytes: &[u8]) -> Result<(), Errno> {
    // sysctl_nr_open_min and _max (fs/file.c).
    let wanted = number_to_set(current, bytes)?;
    if !(64..=0x7fff_ffc0).contains(&wanted) {
        return Err(Errno::EINVAL);
    }
    MOST_DESCRIPTORS.store(wanted, Ordering::Relaxed);
    Ok(())
}

fn read_nothing(_: &Current, _: &System) -> Content {
    Ok(Vec::new())
}

/// 1: pages of files; 2: what is known of names, which is kept here; 3: both; 4: not a word about it in the log.
fn write_drop_caches(current: &Current, _: &System, bytes: &[u8]) -> Result<(), Errno> {
    match number_to_set(current, bytes)? {
        1..=7 if number_to_set(current, bytes)? & 1 != 0 => {
            drop_caches();
        }
        1..=7 => {}
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

/// Half of memory, in 4 KiB pages.
fn half_of_memory() -> u64 {
    platform().memory_info().total_pages / 2
}

const RANDOM: &[Item<System>] = &[
    value!("boot_id", boot_id()),
    value!("uuid", new_uuid()),
    value!("entropy_avail", crate::fs::dev::mem::POOL_BITS),
    value!("poolsize", crate::fs::dev::mem::POOL_BITS),
    value!("urandom_min_reseed_secs", 60),
    value!("write_wakeup_threshold", crate::fs::dev::mem::POOL_BITS),
];

fn semaphores() -> String {
    let limits = [&sem::MOST_IN_SET, &sem::MOST_SEMAPHORES, &sem::MOST_OPERATIONS, &sem::MOST_SETS];
    let [set, all, operations, sets] = limits.map(|limit| limit.load(Ordering::Relaxed));
    format!("{set}\t{all}\t{operations}\t{sets}")
}

fn port_range() -> String {
    let ports = settings::ephemeral_ports();
    format!("{}\t{}", ports.start(), ports.end())
}

const KERNEL: &[Item<System>] = &[
    value!("ostype", uts::SYSNAME),
    value!("osrelease", uts::release()),
    value!("version", uts::VERSION),
    value!("arch", uts::MACHINE),
    Item { name: "hostname", mode: 0o644, what: What::Writable(read_hostname, write_hostname) },
    Item { name: "domainname", mode: 0o644, what: What::Writable(read_domainname, write_domainname) },
    value!("pid_max", PID_MAX),
    Item { name: "ns_last_pid", mode: 0o666, what: What::Writable(read_last_pid, write_last_pid) },
    value!("threads-max", THREADS_MAX),
    value!("cap_last_cap", LAST_CAP),
    value!("ngroups_max", linux_raw_sys::general::NGROUPS_MAX),
    value!("overflowuid", 65534),
    value!("overflowgid", 65534),
    value!("randomize_va_space", 2),
    Item {
        name: "core_pattern",
        mode: 0o644,
        what: What::Writable(
            |_, _| Ok([&coredump::pattern()[..], b"\n"].concat()),
            |current, _, bytes| {
                if current.creds.fsuid != 0 {
                    return Err(Errno::EPERM);
                }
                coredump::set_pattern(bytes)
            },
        ),
    },
    value!("core_uses_pid", 0),
    value!("core_pipe_limit", 0),
    value!("dmesg_restrict", 0),
    value!("kptr_restrict", 1),
    value!("perf_event_paranoid", 3),
    value!("unprivileged_bpf_disabled", 2),
    value!("modules_disabled", 1),
    value!("panic", 0),
    value!("panic_on_oops", 0),
    value!("printk", "4\t4\t1\t7"),
    value!("tainted", 0),
    value!("sched_autogroup_enabled", 0),
    value!("sched_child_runs_first", 0),
    value!("sched_rr_timeslice_ms", 100),
    value!("sched_rt_period_us", 1_000_000),
    value!("sched_rt_runtime_us", 950_000),
    value!("sysrq", 0),
    value!("numa_balancing", 0),
    value!("watchdog", 0),
    setting!("msgmax", msg::MOST_BYTES),
    setting!("msgmnb", msg::MOST_QUEUE_BYTES),
    setting!("msgmni", msg::MOST_QUEUES),
    next_id!("msg_next_id", msg::NEXT_ID),
    next_id!("sem_next_id", sem::NEXT_ID),
    next_id!("shm_next_id", shm::NEXT_ID),
    value!("sem", semaphores()),
    value!("shmall", shm::MAX_PAGES.load(Ordering::Relaxed)),
    value!("shmmax", shm::MAX_BYTES.load(Ordering::Relaxed)),
    setting!("shmmni", shm::MAX_SEGMENTS),
    value!("shm_rmid_forced", 0),
    directory("random", RANDOM),
    directory("yama", &[value!("ptrace_scope", 1)]),
    directory("keys", KEYS),
];

const KEYS: &[Item<System>] = &[
    setting!("maxkeys", keys::LIMITS[0][0]),
    setting!("maxbytes", keys::LIMITS[0][1]),
    setting!("root_maxkeys", keys::LIMITS[1][0]),
    setting!("root_maxbytes", keys::LIMITS[1][1]),
    setting!("gc_delay", keys::GC_DELAY),
];

const VM: &[Item<System>] = &[
    value!("overcommit_memory", 0),
    value!("overcommit_ratio", 50),
    value!("overcommit_kbytes", 0),
    setting!("max_map_count", MAX_AREAS),
    value!("mmap_min_addr", 65536),
    value!("mmap_rnd_bits", 28),
    value!("swappiness", 60),
    value!("min_free_kbytes", 4096),
    value!("dirty_ratio", 20),
    value!("dirty_background_ratio", 10),
    value!("dirty_expire_centisecs", 3000),
    value!("dirty_writeback_centisecs", 500),
    Item { name: "drop_caches", mode: 0o200, what: What::Writable(read_nothing, write_drop_caches) },
    value!("nr_hugepages", 0),
    value!("nr_overcommit_hugepages", 0),
    value!("oom_kill_allocating_task", 1),
    value!("panic_on_oom", 0),
    value!("vfs_cache_pressure", 100),
    setting!("unprivileged_userfaultfd", UNPRIVILEGED),
    value!("user_reserve_kbytes", 0),
    value!("admin_reserve_kbytes", 0),
    value!("zone_reclaim_mode", 0),
];

const FS: &[Item<System>] = &[
    value!("file-max", i64::MAX),
    value!("file-nr", format!("{}\t0\t{}", crate::task::registry().counts().0 * 4, i64::MAX)),
    Item { name: "nr_open", mode: 0o644, what: What::Writable(read_nr_open, write_nr_open) },
    value!("inode-nr", "1024\t0"),
    value!("inode-state", "1024\t0\t0\t0\t0\t0\t0"),
    value!("dentry-state", "1024\t512\t45\t0\t0\t0"),
    value!("aio-max-nr", crate::fs::aio::MAX_EVENTS),
    value!("aio-nr", crate::fs::aio::asked_for()),
    setting!("leases-enable", lease::ENABLED),
    setting!("lease-break-time", lease::BREAK_TIME),
    value!("mount-max", 100_000),
    value!("overflowuid", 65534),
    value!("overflowgid", 65534),
    Item { name: "pipe-max-size", mode: 0o644, what: What::Writable(read_pipe_size, write_pipe_size) },
    setting!("pipe-user-pages-hard", pipe::USER_PAGES_HARD),
    setting!("pipe-user-pages-soft", pipe::USER_PAGES_SOFT),
    value!("protected_fifos", 0),
    value!("protected_hardlinks", 1),
    value!("protected_regular", 0),
    value!("protected_symlinks", 1),
    value!("suid_dumpable", 0),
    directory(
        "inotify",
        &[
            setting!("max_queued_events", inotify::MAX_QUEUED),
            setting!("max_user_instances", inotify::MAX_INSTANCES),
            setting!("max_user_watches", inotify::MAX_WATCHES),
        ],
    ),
    directory(
        "fanotify",
        &[
            setting!("max_queued_events", fanotify::MAX_QUEUED),
            setting!("max_user_groups", fanotify::MAX_GROUPS),
            setting!("max_user_marks", fanotify::MAX_MARKS),
        ],
    ),
    directory("epoll", &[value!("max_user_watches", half_of_memory().max(8192))]),
    directory(
        "mqueue",
        &[
            setting!("msg_default", mqueue::DEFAULT_MESSAGES),
            setting!("msg_max", mqueue::MOST_MESSAGES),
            setting!("msgsize_default", mqueue::DEFAULT_BYTES),
            setting!("msgsize_max", mqueue::MOST_BYTES),
            setting!("queues_max", mqueue::MOST_QUEUES),
        ],
    ),
];

const NET_CORE: &[Item<System>] = &[
    setting!("somaxconn", settings::BACKLOG),
    value!("rmem_default", 212_992),
    value!("rmem_max", 212_992),
    value!("wmem_default", 212_992),
    value!("wmem_max", 212_992),
    value!("netdev_max_backlog", 1000),
    value!("optmem_max", 131_072),
];

const NET_IPV4: &[Item<System>] = &[
    value!("ip_local_port_range", port_range()),
    value!("ip_unprivileged_port_start", settings::first_unprivileged_port()),
    value!("ip_forward", 0),
    setting!("ip_default_ttl", settings::TTL),
    value!("ip_nonlocal_bind", 0),
    value!("icmp_echo_ignore_all", 0),
    value!("ping_group_range", settings::ping_groups()),
    value!("tcp_fin_timeout", 60),
    setting!("tcp_keepalive_time", settings::KEEP_ALIVE[0]),
    setting!("tcp_keepalive_intvl", settings::KEEP_ALIVE[1]),
    setting!("tcp_keepalive_probes", settings::KEEP_ALIVE[2]),
    value!("tcp_max_syn_backlog", 1024),
    value!("tcp_retries2", 15),
    value!("tcp_rmem", "4096\t131072\t6291456"),
    value!("tcp_wmem", "4096\t16384\t4194304"),
    value!("tcp_sack", 1),
    value!("tcp_syn_retries", 6),
    value!("tcp_syncookies", 0),
    value!("tcp_timestamps", 1),
    value!("tcp_tw_reuse", 2),
    value!("tcp_window_scaling", 1),
    value!("tcp_available_congestion_control", "reno cubic"),
    value!("tcp_allowed_congestion_control", "reno cubic"),
    value!("tcp_congestion_control", "cubic"),
];

const NET_IPV6: &[Item<System>] = &[directory(
    "conf",
    &[
        directory(
            "all",
            &[value!("disable_ipv6", u8::from(settings::is_v6_disabled(b"all"))), value!("forwarding", 0)],
        ),
        directory(
            "default",
            &[value!("disable_ipv6", u8::from(settings::is_v6_disabled(b"default"))), value!("forwarding", 0)],
        ),
        directory("lo", &[value!("disable_ipv6", u8::from(settings::is_v6_disabled(b"lo"))), value!("forwarding", 0)]),
    ],
)];

/// What programs look for before they make namespaces: as many as there may be processes.
const USER: &[Item<System>] = &[
    value!("max_cgroup_namespaces", THREADS_MAX),
    setting!("max_inotify_instances", inotify::MAX_INSTANCES),
    setting!("max_inotify_watches", inotify::MAX_WATCHES),
    value!("max_ipc_namespaces", THREADS_MAX),
    value!("max_mnt_namespaces", THREADS_MAX),
    value!("max_net_namespaces", THREADS_MAX),
    value!("max_pid_namespaces", THREADS_MAX),
    value!("max_time_namespaces", 0),
    setting!("max_user_namespaces", user_ns::MOST),
    value!("max_uts_namespaces", THREADS_MAX),
];

/// `/proc/sys`.
pub const ROOT: &[Item<System>] = &[
    directory("abi", &[]),
    directory("debug", &[]),
    directory("dev", &[]),
    directory("fs", FS),
    directory("kernel", KERNEL),
    directory(
        "net",
        &[
            directory("core", NET_CORE),
            directory("ipv4", NET_IPV4),
            directory("ipv6", NET_IPV6),
            directory("unix", &[value!("max_dgram_qlen", 512)]),
        ],
    ),
    directory("user", USER),
    directory("vm", VM),
];
