//! `/sys/class/net` and what its links lead to: the interfaces of the reader's network (Documentation/ABI/testing/sysfs-class-net).
//!
//! A name leads somewhere where any network of the sandbox has it; a reader in another network is told that there is no such device.

use super::{Content, text};
use crate::errno::Errno;
use crate::fs::Inode;
use crate::fs::pseudo::{Context, Global, Item, PseudoFs, What, directory, file, link};
use crate::net::NetNs;
use crate::net::interfaces::{self, Interface, LOOPBACK_INDEX};
use crate::net::stack::Counters;
use crate::task::Current;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use linux_raw_sys::general as raw;
use linux_raw_sys::net::net_device_flags;

/// The links.
pub const CLASS: Item<Global> = Item { name: "net", mode: 0o555, what: What::Dynamic(&[], list_links, find_link) };
/// The directories.
pub const DEVICES: Item<Global> = Item { name: "net", mode: 0o555, what: What::Dynamic(&[], list, find) };

/// An interface, by its name.
#[derive(Clone)]
struct Device(Vec<u8>);

impl Context for Device {
    const PERMANENT: bool = false;
}

static LINK: Item<Device> = link("", |_, device| Ok([b"../../devices/virtual/net/", device.0.as_slice()].concat()));
static DEVICE: Item<Device> = Item { name: "", mode: 0o555, what: What::Directory(FILES) };

const FILES: &[Item<Device>] = &[
    file("addr_assign_type", |_, _| text("0")),
    file("addr_len", |_, _| text("6")),
    file("address", |current, device| of(current, device, |it| address(&mac(it)))),
    file("broadcast", |current, device| of(current, device, |it| address(&broadcast(it)))),
    // Asked of one that is down, Linux has no answer.
    file("carrier", |current, device| if is_up(current, device)? { text("1") } else { Err(Errno::EINVAL) }),
    file("carrier_changes", |_, _| text("0")),
    file("carrier_down_count", |_, _| text("0")),
    file("carrier_up_count", |_, _| text("0")),
    file("dev_id", |_, _| text("0x0")),
    file("dev_port", |_, _| text("0")),
    file("dormant", |current, device| if is_up(current, device)? { text("0") } else { Err(Errno::EINVAL) }),
    file("duplex", |current, device| ethernet(current, device, "full")),
    file("flags", |current, device| of(current, device, |it| format!("{:#x}", it.flags() & SHOWN_FLAGS))),
    file("ifalias", |_, _| Ok(Vec::new())),
    file("ifindex", |current, device| of(current, device, |it| format!("{}", it.index))),
    file("iflink", |current, device| of(current, device, |it| format!("{}", it.index))),
    file("link_mode", |_, _| text("0")),
    file("mtu", |current, device| of(current, device, |it| format!("{}", it.mtu()))),
    file("name_assign_type", |current, device| {
        of(current, device, |it| String::from(if it.link.is_some() { "4" } else { "2" }))
    }),
    file("netdev_group", |_, _| text("0")),
    file("operstate", |current, device| of(current, device, |it| String::from(state(it)))),
    file("proto_down", |_, _| text("0")),
    directory("queues", &[directory("rx-0", &[]), directory("tx-0", &[])]),
    file("speed", |current, device| ethernet(current, device, "10000")),
    directory("statistics", STATISTICS),
    link("subsystem", |_, _| Ok(b"../../../../class/net".to_vec())),
    file("tx_queue_len", |current, device| of(current, device, |it| format!("{}", it.queue_length()))),
    file("type", |current, device| of(current, device, |it| format!("{}", it.hardware_type()))),
    file("uevent", uevent),
];

const STATISTICS: &[Item<Device>] = &[
    file("collisions", |_, _| text("0")),
    file("multicast", |_, _| text("0")),
    file("rx_bytes", |current, device| counter(current, device, |all| &all.rx_bytes)),
    file("rx_dropped", |current, device| counter(current, device, |all| &all.rx_dropped)),
    file("rx_errors", |_, _| text("0")),
    file("rx_packets", |current, device| counter(current, device, |all| &all.rx_packets)),
    file("tx_bytes", |current, device| counter(current, device, |all| &all.tx_bytes)),
    file("tx_dropped", |current, device| counter(current, device, |all| &all.tx_dropped)),
    file("tx_errors", |_, _| text("0")),
    file("tx_packets", |current, device| counter(current, device, |all| &all.tx_packets)),
];

/// Flags that say what was wanted; what became of it is in `operstate` and `carrier`.
const SHOWN_FLAGS: u32 = !(net_device_flags::IFF_RUNNING as u32 | net_device_flags::IFF_LOWER_UP as u32);

fn names(current: &Current) -> Vec<Vec<u8>> {
    interfaces::of(&NetNs::of(current)).iter().map(|interface| interface.name()).collect()
}

fn list_links(current: &Current, _: &Global) -> Result<Vec<(Vec<u8>, u32)>, Errno> {
    Ok(names(current).into_iter().map(|name| (name, raw::DT_LNK)).collect())
}

fn list(current: &Current, _: &Global) -> Result<Vec<(Vec<u8>, u32)>, Errno> {
    Ok(names(current).into_iter().map(|name| (name, raw::DT_DIR)).collect())
}

fn find_link(fs: &Arc<PseudoFs>, parent: u64, _: &Global, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
    known(name).map(|device| fs.node(&LINK, &device, parent, name, 0))
}

fn find(fs: &Arc<PseudoFs>, parent: u64, _: &Global, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
    known(name).map(|device| fs.node(&DEVICE, &device, parent, name, 0))
}

fn known(name: &[u8]) -> Result<Device, Errno> {
    let is_there = interfaces::interfaces().iter().any(|interface| interface.is_named(name));
    is_there.then(|| Device(name.to_vec())).ok_or(Errno::ENOENT)
}

/// What `what` says of the interface, as a line. ENODEV where the reader's network has none of the name.
fn of(current: &Current, device: &Device, what: impl FnOnce(&Interface) -> String) -> Content {
    let all = interfaces::of(&NetNs::of(current));
    let interface = all.iter().find(|interface| interface.is_named(&device.0)).ok_or(Errno::ENODEV)?;
    text(&what(interface))
}

/// What only a wire has. EINVAL for others.
fn ethernet(current: &Current, device: &Device, line: &str) -> Content {
    let mut has_wire = false;
    let said = of(current, device, |interface| {
        has_wire = interface.link.is_some();
        String::from(line)
    })?;
    if has_wire { Ok(said) } else { Err(Errno::EINVAL) }
}

fn is_up(current: &Current, device: &Device) -> Result<bool, Errno> {
    let mut up = false;
    of(current, device, |interface| {
        up = interface.is_up();
        String::new()
    })?;
    Ok(up)
}

fn state(interface: &Interface) -> &'static str {
    let is_up = interface.is_up();
    match (is_up, interface.index) {
        (false, LOOPBACK_INDEX) => "down",
        (true, LOOPBACK_INDEX) => "unknown",
        (false, _) => "down",
        (true, _) => "up",
    }
}

fn mac(interface: &Interface) -> [u8; 6] {
    interface.link.as_ref().map_or([0; 6], |link| link.mac)
}

fn broadcast(interface: &Interface) -> [u8; 6] {
    if interface.link.is_some() { [0xff; 6] } else { [0; 6] }
}

fn address(bytes: &[u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

fn counter(current: &Current, device: &Device, which: fn(&Counters) -> &AtomicU64) -> Content {
    of(current, device, |interface| {
        let value = interface.link.as_ref().map_or(0, |link| which(&link.counters).load(Ordering::Relaxed));
        format!("{value}")
    })
}

fn uevent(current: &Current, device: &Device) -> Content {
    of(current, device, |interface| {
        format!("INTERFACE={}\nIFINDEX={}", String::from_utf8_lossy(&interface.name()), interface.index)
    })
}
