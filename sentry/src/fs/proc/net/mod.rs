//! `/proc/net`: interfaces, routes and sockets.

mod sockets;

use crate::errno::Errno;
use crate::fs::pseudo::{Context, Item, What, file};
use crate::net::NetNs;
use crate::net::inet::{Family, Row, tcp_rows, udp_rows};
use crate::net::interfaces::{self, Interface, is_link_local};
use crate::net::stack::{self, Counters, Entry};
use crate::platform::platform;
use crate::task::Current;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::sync::atomic::{AtomicU64, Ordering};

fn dev<C>(current: &Current, _: &C) -> Result<Vec<u8>, Errno> {
    let mut text = String::from(
        "Inter-|   Receive                                                |  Transmit\n \
         face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n",
    );
    for interface in interfaces::of(&NetNs::of(current)).iter() {
        let none = Counters::default();
        let counters = interface.link.as_ref().map_or(&none, |link| &link.counters);
        let n = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (rx, rx_packets, rx_drop) = (n(&counters.rx_bytes), n(&counters.rx_packets), n(&counters.rx_dropped));
        let (tx, tx_packets, tx_drop) = (n(&counters.tx_bytes), n(&counters.tx_packets), n(&counters.tx_dropped));
        let name = String::from_utf8_lossy(&interface.name()).into_owned();
        text += &format!(
            "{name:>6}: {rx:7} {rx_packets:7}    0 {rx_drop:4}    0     0          0         0 {tx:8} {tx_packets:7}    0 {tx_drop:4}    0     0       0          0\n"
        );
    }
    Ok(text.into_bytes())
}

/// An address as these tables show it: words in the machine's own order.
fn hex(ip: IpAddr, family: Family) -> String {
    match (ip, family) {
        (IpAddr::V4(ip), Family::V4) => format!("{:08X}", u32::from_ne_bytes(ip.octets())),
        (IpAddr::V4(ip), Family::V6) => hex(ip.to_ipv6_mapped().into(), family),
        (IpAddr::V6(ip), _) => {
            let octets = ip.octets();
            let (words, _) = octets.as_chunks::<4>();
            words.iter().map(|word| format!("{:08X}", u32::from_ne_bytes(*word))).collect()
        }
    }
}

/// Those of the reader's network.
fn rows(current: &Current, mut rows: Vec<Row>) -> Vec<Row> {
    let network = NetNs::key(&NetNs::of(current));
    rows.retain(|row| row.network == network);
    rows
}

fn table(head: &str, family: Family, rows: &[Row], tail: &str) -> Vec<u8> {
    let mut text = format!("{head}\n");
    for (number, row) in rows.iter().filter(|row| row.family == family).enumerate() {
        let (local, peer) = (row.local, row.peer.unwrap_or(SocketAddr::new(family.any(), 0)));
        let (local_ip, peer_ip) = (hex(local.ip(), family), hex(peer.ip(), family));
        let (state, (tx, rx), uid, inode) = (row.state, row.queued, row.uid, row.inode);
        // A dual-stack socket that is bound to any address shows the IPv6 one.
        text += &format!(
            "{number:4}: {local_ip}:{:04X} {peer_ip}:{:04X} {state:02X} {tx:08X}:{rx:08X} 00:00000000 00000000 {uid:5}        0 {inode} {tail}\n",
            local.port(),
            peer.port()
        );
    }
    text.into_bytes()
}

const TCP_TAIL: &str = "1 0000000000000000 100 0 0 10 0";
const UDP_TAIL: &str = "2 0000000000000000 0";

fn tcp<C>(current: &Current, _: &C) -> Result<Vec<u8>, Errno> {
    Ok(table(TCP_HEAD, Family::V4, &rows(current, tcp_rows()), TCP_TAIL))
}

fn tcp6<C>(current: &Current, _: &C) -> Result<Vec<u8>, Errno> {
    Ok(table(TCP6_HEAD, Family::V6, &rows(current, tcp_rows()), TCP_TAIL))
}

fn udp<C>(current: &Current, _: &C) -> Result<Vec<u8>, Errno> {
    Ok(table(UDP_HEAD, Family::V4, &rows(current, udp_rows()), UDP_TAIL))
}

fn udp6<C>(current: &Current, _: &C) -> Result<Vec<u8>, Errno> {
    Ok(table(UDP6_HEAD, Family::V6, &rows(current, udp_rows()), UDP_TAIL))
}

/// RTF_UP, RTF_GATEWAY, RTF_HOST and RTF_REJECT (route(8)).
const UP: u32 = 1;
const GATEWAY: u32 = 2;
const HOST: u32 = 4;
const REJECT: u32 = 0x200;

/// The routes of the reader's main table, each with the name of its interface.
fn routes(current: &Current) -> Vec<(Entry, String)> {
    let network = NetNs::of(current);
    let shown = interfaces::of(&network);
    let name = |index: u32| shown.iter().find(|interface| interface.index == index).map(Interface::name);
    let with_name = |entry: Entry| (entry, name(entry.spec.interface).unwrap_or(b"*".to_vec()));
    let main = stack::routes(&network).shown().into_iter().filter(|entry| entry.table == stack::MAIN).map(with_name);
    main.map(|(entry, name)| (entry, String::from_utf8_lossy(&name).into_owned())).collect()
}

fn flags(entry: &Entry) -> u32 {
    let gateway = if entry.spec.gateway.is_some() { GATEWAY } else { 0 };
    let bits = if entry.spec.to.is_ipv4() { 32 } else { 128 };
    let host = if entry.spec.prefix == bits { HOST } else { 0 };
    let reject = if entry.is_refusal() { REJECT } else { 0 };
    UP | gateway | host | reject
}

fn route<C>(current: &Current, _: &C) -> Result<Vec<u8>, Errno> {
    let mut text = format!("{ROUTE_HEAD}\n");
    for (entry, name) in routes(current) {
        let IpAddr::V4(to) = entry.spec.to else { continue };
        let gateway = match entry.spec.gateway {
            Some(IpAddr::V4(gateway)) => u32::from_ne_bytes(gateway.octets()),
            _ => 0,
        };
        let mask = u32::MAX.checked_shl(32_u32.saturating_sub(u32::from(entry.spec.prefix))).unwrap_or(0);
        let line = format!(
            "{name}\t{:08X}\t{gateway:08X}\t{:04X}\t0\t0\t{}\t{:08X}\t0\t0\t0",
            u32::from_ne_bytes(to.octets()),
            flags(&entry),
            entry.spec.metric,
            mask.to_be()
        );
        // Linux fills its lines up (fib_route_seq_show).
        text += &format!("{line:<127}\n");
    }
    Ok(text.into_bytes())
}

fn ipv6_route<C>(current: &Current, _: &C) -> Result<Vec<u8>, Errno> {
    let mut text = String::new();
    let hex = |ip: Ipv6Addr| -> String { ip.octets().iter().map(|octet| format!("{octet:02x}")).collect() };
    for (entry, name) in routes(current) {
        let IpAddr::V6(to) = entry.spec.to else { continue };
        let gateway = match entry.spec.gateway {
            Some(IpAddr::V6(gateway)) => gateway,
            _ => Ipv6Addr::UNSPECIFIED,
        };
        let (prefix, metric, flags) = (entry.spec.prefix, entry.spec.metric, flags(&entry));
        let none = hex(Ipv6Addr::UNSPECIFIED);
        text += &format!(
            "{} {prefix:02x} {none} 00 {} {metric:08x} 00000001 00000000 {flags:08x} {name:>8}\n",
            hex(to),
            hex(gateway)
        );
    }
    Ok(text.into_bytes())
}

fn arp<C>(current: &Current, _: &C) -> Result<Vec<u8>, Errno> {
    let mut text = format!("{ARP_HEAD}\n");
    for interface in interfaces::of(&NetNs::of(current)).iter() {
        let Some(link) = &interface.link else { continue };
        for (ip, known) in link.neighbours.list(platform().monotonic_ns()) {
            let [a, b, c, d, e, f] = known.mac;
            let mac = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
            // ATF_COM, and ATF_PERM (arp(7)).
            let flags = if known.permanent { 6 } else { 2 };
            if ip.is_ipv4() {
                let name = String::from_utf8_lossy(&interface.name()).into_owned();
                text += &format!("{ip:<16} 0x1         0x{flags}         {mac}     *        {name}\n");
            }
        }
    }
    Ok(text.into_bytes())
}

fn if_inet6<C>(current: &Current, _: &C) -> Result<Vec<u8>, Errno> {
    /// The scope as this file numbers it (IPV6_ADDR_LINKLOCAL, IPV6_ADDR_LOOPBACK of the kernel), and IFA_F_PERMANENT.
    const LINK_LOCAL: u32 = 0x20;
    const LOOPBACK: u32 = 0x10;
    let mut text = String::new();
    for interface in interfaces::of(&NetNs::of(current)).iter() {
        for own in interface.addresses() {
            let IpAddr::V6(ip) = own.ip else { continue };
            let scope = match ip {
                _ if ip.is_loopback() => LOOPBACK,
                _ if is_link_local(ip) => LINK_LOCAL,
                _ => 0,
            };
            let octets: String = ip.octets().iter().map(|octet| format!("{octet:02x}")).collect();
            let name = String::from_utf8_lossy(&interface.name()).into_owned();
            text += &format!("{octets} {:02x} {:02x} {scope:02x} 80 {name:>8}\n", interface.index, own.prefix);
        }
    }
    Ok(text.into_bytes())
}

/// TCP_TIME_WAIT (include/net/tcp_states.h).
const TIME_WAIT: u8 = 6;
const TCP_HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                                                     ";
const TCP6_HEAD: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
const UDP_HEAD: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops             ";
const UDP6_HEAD: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops";
const ROUTE_HEAD: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT                                                       ";
const ARP_HEAD: &str = "IP address       HW type     Flags       HW address            Mask     Device";

/// The entries of `/proc/PID/net`.
pub struct Net<C>(PhantomData<C>);

impl<C: Context> Net<C> {
    /// The table.
    pub const ITEMS: &'static [Item<C>] = &[
        Item { name: "dev", mode: 0o444, what: What::File(dev::<C>) },
        Item { name: "tcp", mode: 0o444, what: What::File(tcp::<C>) },
        Item { name: "tcp6", mode: 0o444, what: What::File(tcp6::<C>) },
        Item { name: "udp", mode: 0o444, what: What::File(udp::<C>) },
        Item { name: "udp6", mode: 0o444, what: What::File(udp6::<C>) },
        Item { name: "route", mode: 0o444, what: What::File(route::<C>) },
        Item { name: "arp", mode: 0o444, what: What::File(arp::<C>) },
        Item { name: "if_inet6", mode: 0o444, what: What::File(if_inet6::<C>) },
        Item { name: "sockstat", mode: 0o444, what: What::File(sockets::sockstat::<C>) },
        Item { name: "sockstat6", mode: 0o444, what: What::File(sockets::sockstat6::<C>) },
        Item { name: "raw", mode: 0o444, what: What::File(sockets::raw::<C>) },
        Item { name: "raw6", mode: 0o444, what: What::File(sockets::raw6::<C>) },
        Item { name: "icmp", mode: 0o444, what: What::File(sockets::icmp::<C>) },
        Item { name: "icmp6", mode: 0o444, what: What::File(sockets::icmp6::<C>) },
        Item { name: "unix", mode: 0o444, what: What::File(sockets::unix::<C>) },
        Item { name: "packet", mode: 0o444, what: What::File(sockets::packet::<C>) },
        Item { name: "netlink", mode: 0o444, what: What::File(sockets::netlink::<C>) },
        Item { name: "snmp", mode: 0o444, what: What::File(sockets::snmp::<C>) },
        Item { name: "ipv6_route", mode: 0o444, what: What::File(ipv6_route::<C>) },
        file("protocols", |_, _| {
            Ok(b"protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re sp bi br ha uh gp em\n".to_vec())
        }),
    ];
}
