//! What the start specification sets once for the whole sandbox, and other rooms look up.

use crate::platform::platform;
use alloc::string::String;
use core::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use linker::layout::PAGE_SIZE;
use linker::spec::StartSpec;
use spin::Once;

/// What Linux starts with (ip(7)).
const FIRST_UNPRIVILEGED: u16 = 1024;

static COMMIT_PAGES: AtomicU64 = AtomicU64::new(0);
static FIRST_UNPRIVILEGED_PORT: AtomicU16 = AtomicU16::new(FIRST_UNPRIVILEGED);
static PING_GROUPS: Once<String> = Once::new();

/// Takes the settings over. Those it does not know were refused by the host.
pub fn init(spec: &StartSpec) {
    COMMIT_PAGES.store(spec.commit_bytes / PAGE_SIZE, Ordering::Relaxed);
    for (name, value) in &spec.sysctls {
        match name.as_str() {
            "net.ipv4.ip_unprivileged_port_start" => {
                let port = value.trim().parse().unwrap_or(FIRST_UNPRIVILEGED);
                FIRST_UNPRIVILEGED_PORT.store(port, Ordering::Relaxed);
            }
            "net.ipv4.ping_group_range" => {
                let shown: alloc::vec::Vec<&str> = value.split_whitespace().collect();
                PING_GROUPS.call_once(|| shown.join("\t"));
            }
            _ => {}
        }
    }
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
