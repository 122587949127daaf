//! What the start specification sets once for the whole sandbox, and other rooms look up.

use crate::ipc::{mqueue, msg, sem};
use crate::mm::shm;
use crate::platform::platform;
use crate::sync::{Lock, Rank};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};
use linker::layout::PAGE_SIZE;
use linker::spec::StartSpec;
use linker::sysctl;
use spin::Once;

/// What Linux starts with (ip(7)).
const FIRST_UNPRIVILEGED: u16 = 1024;

static COMMIT_PAGES: AtomicU64 = AtomicU64::new(0);
static FIRST_UNPRIVILEGED_PORT: AtomicU16 = AtomicU16::new(FIRST_UNPRIVILEGED);
static PING_GROUPS: Once<String> = Once::new();
/// First and last, in 16 bits each.
static EPHEMERAL: AtomicU32 = AtomicU32::new(32768 << 16 | 60999);
/// Which interfaces have no IPv6, or do have it.
static V6_DISABLED: Lock<Vec<(Vec<u8>, bool)>> = Lock::new(Rank::Leaf, Vec::new());
/// Connections that wait for accept(2) at most.
pub static BACKLOG: AtomicU32 = AtomicU32::new(4096);
/// Time to live of what is sent.
pub static TTL: AtomicU32 = AtomicU32::new(64);
/// Seconds before the first probe and between two, and how many there are.
pub static KEEP_ALIVE: [AtomicU32; 3] = [AtomicU32::new(7200), AtomicU32::new(75), AtomicU32::new(9)];

/// Takes the settings over. Those it does not know were refused by the host.
pub fn init(spec: &StartSpec) {
    COMMIT_PAGES.store(spec.commit_bytes / PAGE_SIZE, Ordering::Relaxed);
    for (name, value) in &spec.sysctls {
        if let Ok(numbers) = sysctl::parse(name, value) {
            set(name, &numbers);
        }
    }
}

/// Sets one parameter of `linker::sysctl`; false where it is none of them.
fn set(name: &str, numbers: &[u64]) -> bool {
    // All numbers are in the ranges of that table.
    let small = |place: &AtomicU32, number: u64| place.store(number as u32, Ordering::Relaxed);
    match (name, numbers) {
        ("net.ipv4.ip_unprivileged_port_start", &[port]) => {
            FIRST_UNPRIVILEGED_PORT.store(port as u16, Ordering::Relaxed)
        }
        ("net.ipv4.ping_group_range", [first, last]) => drop(PING_GROUPS.call_once(|| format!("{first}\t{last}"))),
        ("net.ipv4.ip_local_port_range", &[first, last]) => {
            EPHEMERAL.store((first as u32) << 16 | last as u32, Ordering::Relaxed);
        }
        ("net.ipv4.ip_default_ttl", &[ttl]) => small(&TTL, ttl),
        ("net.core.somaxconn", &[most]) => small(&BACKLOG, most),
        ("net.ipv4.tcp_keepalive_time", &[time]) => small(&KEEP_ALIVE[0], time),
        ("net.ipv4.tcp_keepalive_intvl", &[time]) => small(&KEEP_ALIVE[1], time),
        ("net.ipv4.tcp_keepalive_probes", &[count]) => small(&KEEP_ALIVE[2], count),
        ("fs.mqueue.msg_default", &[count]) => small(&mqueue::DEFAULT_MESSAGES, count),
        ("fs.mqueue.msg_max", &[count]) => small(&mqueue::MOST_MESSAGES, count),
        ("fs.mqueue.msgsize_default", &[bytes]) => small(&mqueue::DEFAULT_BYTES, bytes),
        ("fs.mqueue.msgsize_max", &[bytes]) => small(&mqueue::MOST_BYTES, bytes),
        ("fs.mqueue.queues_max", &[count]) => small(&mqueue::MOST_QUEUES, count),
        ("kernel.msgmax", &[bytes]) => small(&msg::MOST_BYTES, bytes),
        ("kernel.msgmnb", &[bytes]) => small(&msg::MOST_QUEUE_BYTES, bytes),
        ("kernel.msgmni", &[count]) => small(&msg::MOST_QUEUES, count),
        ("kernel.sem", &[in_set, all, operations, sets]) => {
            small(&sem::MOST_IN_SET, in_set);
            small(&sem::MOST_SEMAPHORES, all);
            small(&sem::MOST_OPERATIONS, operations);
            small(&sem::MOST_SETS, sets);
        }
        ("kernel.shmall", &[pages]) => shm::MAX_PAGES.store(pages, Ordering::Relaxed),
        ("kernel.shmmax", &[bytes]) => shm::MAX_BYTES.store(bytes, Ordering::Relaxed),
        ("kernel.shmmni", &[count]) => small(&shm::MAX_SEGMENTS, count),
        // They can only have the value that they have.
        ("kernel.shm_rmid_forced" | "net.ipv4.ip_forward", &[0]) => {}
        (name, &[off]) => {
            let of = name.strip_prefix("net.ipv6.conf.").and_then(|rest| rest.strip_suffix(".disable_ipv6"));
            let Some(of) = of else { return false };
            V6_DISABLED.lock().push((of.as_bytes().to_vec(), off != 0));
        }
        _ => return false,
    }
    true
}

/// Whether an interface has no IPv6 (net.ipv6.conf.*.disable_ipv6): it says so itself, or all have none.
pub fn is_v6_disabled(interface: &[u8]) -> bool {
    let said = V6_DISABLED.lock();
    let of = |name: &[u8]| said.iter().rev().find(|(said, _)| said == name).map(|(_, off)| *off);
    of(interface).or_else(|| of(b"all")).unwrap_or(false)
}

/// Ports given to sockets that did not choose.
pub fn ephemeral_ports() -> RangeInclusive<u16> {
    let both = EPHEMERAL.load(Ordering::Relaxed);
    (both >> 16) as u16..=both as u16
}

/// Pages of a mapping that may still fit.
pub fn commit_pages() -> u64 {
    COMMIT_PAGES.load(Ordering::Relaxed).max(platform().memory_info().total_pages)
}

/// Ports below need CAP_NET_BIND_SERVICE.
pub fn first_unprivileged_port() -> u16 {
    FIRST_UNPRIVILEGED_PORT.load(Ordering::Relaxed)
}

/// Groups that may open ICMP sockets, as `/proc/sys` shows them.
pub fn ping_groups() -> &'static str {
    PING_GROUPS.get().map_or("1\t0", String::as_str)
}

#[cfg(test)]
mod tests {
    use linker::sysctl::{ALL, parse};
    use std::format;
    use std::string::String;

    #[test]
    fn every_parameter_that_the_host_lets_through_is_known() {
        crate::fake::install();
        // With the values that they have, as other tests run in this process.
        let value = |name: &str, numbers: usize| -> String {
            match name {
                "kernel.sem" => "32000 1024000000 500 32000".into(),
                "net.ipv4.ip_local_port_range" => "32768 60999".into(),
                "net.ipv4.ping_group_range" => "1 0".into(),
                "kernel.shmall" | "kernel.shmmax" => format!("{}", u64::MAX - (1 << 24)),
                "kernel.shmmni" | "net.core.somaxconn" => "4096".into(),
                "kernel.msgmax" | "fs.mqueue.msgsize_max" | "fs.mqueue.msgsize_default" => "8192".into(),
                "kernel.msgmnb" => "16384".into(),
                "kernel.msgmni" => "32000".into(),
                "net.ipv4.ip_default_ttl" => "64".into(),
                "net.ipv4.ip_unprivileged_port_start" => "1024".into(),
                "net.ipv4.tcp_keepalive_time" => "7200".into(),
                "net.ipv4.tcp_keepalive_intvl" => "75".into(),
                "net.ipv4.tcp_keepalive_probes" => "9".into(),
                "fs.mqueue.queues_max" => "256".into(),
                "fs.mqueue.msg_max" | "fs.mqueue.msg_default" => "10".into(),
                _ => ["0"].repeat(numbers).join(" "),
            }
        };
        for known in ALL {
            let name = known.name.replace('*', "eth9");
            let numbers = parse(&name, &value(known.name, known.numbers.len())).expect(&name);
            assert!(super::set(&name, &numbers), "{name}");
        }
        assert!(!super::set("kernel.panic", &[0]));
    }
}
