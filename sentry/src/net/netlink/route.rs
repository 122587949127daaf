//! NETLINK_ROUTE: links, addresses, routes and neighbours (rtnetlink(7)).

use super::message::{Reply, attribute, find_attribute, octets, with_nul};
use super::{change, tables};
use crate::errno::Errno;
use crate::net::inet::{Route, route};
use crate::net::interfaces::{self, Interface, Own};
use crate::net::stack::{Counters, Neighbour};
use crate::platform::platform;
use crate::task::Current;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use linux_raw_sys::netlink as nl;

pub(super) const AF_INET: u8 = linux_raw_sys::net::AF_INET as u8;
pub(super) const AF_INET6: u8 = linux_raw_sys::net::AF_INET6 as u8;
const NEW_LINK: u16 = nl::RTM_NEWLINK as u16;
const GET_LINK: u16 = nl::RTM_GETLINK as u16;
const NEW_ADDRESS: u16 = nl::RTM_NEWADDR as u16;
const GET_ADDRESS: u16 = nl::RTM_GETADDR as u16;
const NEW_ROUTE: u16 = nl::RTM_NEWROUTE as u16;
const GET_ROUTE: u16 = nl::RTM_GETROUTE as u16;
const NEW_NETWORK: u16 = nl::RTM_NEWNSID as u16;
const GET_NETWORK: u16 = nl::RTM_GETNSID as u16;
const GET_RULE: u16 = nl::RTM_GETRULE as u16;
const NEW_NEIGHBOUR: u16 = nl::RTM_NEWNEIGH as u16;
const GET_NEIGHBOUR: u16 = nl::RTM_GETNEIGH as u16;

/// Answers one request.
pub(super) fn answer(current: &Current, reply: &mut Reply, message: &[u8], dump: bool) -> Result<(), Errno> {
    let family = message.first().copied().unwrap_or(0);
    match reply.header.kind {
        GET_LINK => reply.links(message, dump),
        GET_ADDRESS if dump => {
            reply.addresses(family);
            Ok(())
        }
        GET_ROUTE if dump => {
            tables::routes(reply, family);
            Ok(())
        }
        GET_NEIGHBOUR if dump => {
            reply.neighbours(family);
            Ok(())
        }
        GET_RULE if dump => {
            tables::rules(reply, family);
            Ok(())
        }
        GET_NETWORK if !dump => {
            reply.network_number();
            Ok(())
        }
        GET_ROUTE => reply.route_to(message, current.creds.shown_uid(current.creds.uid)),
        GET_ADDRESS | GET_RULE | GET_NEIGHBOUR => Err(Errno::EOPNOTSUPP),
        // The last two bits say what is to be done: questions that nobody answers, and changes.
        kind if kind & 3 == 2 => Err(Errno::EOPNOTSUPP),
        _ => change::apply(current, reply, message),
    }
}

impl Reply {
    fn links(&mut self, message: &[u8], dump: bool) -> Result<(), Errno> {
        // `ifi_index` of `struct ifinfomsg`.
        let index =
            message.get(4..8).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        let named = message.get(size_of::<nl::ifinfomsg>()..).and_then(name_attribute);
        let mut found = false;
        for interface in interfaces::of(&self.network.clone()).iter() {
            let named = named.is_none_or(|name| interface.is_named(name));
            if dump || index == interface.index || index == 0 && named {
                found = true;
                let body = link(interface, 0);
                self.message(NEW_LINK, &body);
            }
        }
        if found || dump { Ok(()) } else { Err(Errno::ENODEV) }
    }

    fn addresses(&mut self, family: u8) {
        for interface in interfaces::of(&self.network.clone()).iter() {
            for own in &interface.addresses() {
                if family == 0 || family == octets(own.ip).0 {
                    self.message(NEW_ADDRESS, &address(interface, own));
                }
            }
        }
    }

    /// The number by which this network knows another one: networks are joined by nothing here, so none has one.
    fn network_number(&mut self) {
        /// NETNSA_NSID and NETNSA_NSID_NOT_ASSIGNED (include/uapi/linux/net_namespace.h; nobody exports them).
        const NUMBER: u32 = 1;
        const NONE: i32 = -1;
        // `struct rtgenmsg`, padded.
        let mut body = alloc::vec![0; 4];
        attribute(&mut body, NUMBER, &NONE.to_ne_bytes());
        self.message(NEW_NETWORK, &body);
    }

    /// The route to one destination (`ip route get`).
    fn route_to(&mut self, message: &[u8], uid: u32) -> Result<(), Errno> {
        let attributes = message.get(size_of::<nl::rtmsg>()..).ok_or(Errno::EINVAL)?;
        let wanted = find_attribute(attributes, nl::rtattr_type_t::RTA_DST as u32).ok_or(Errno::EINVAL)?;
        let to = match (<[u8; 4]>::try_from(wanted), <[u8; 16]>::try_from(wanted)) {
            (Ok(v4), _) => IpAddr::from(v4),
            (_, Ok(v6)) => IpAddr::from(v6),
            _ => return Err(Errno::EINVAL),
        };
        let device = find_attribute(attributes, nl::rtattr_type_t::RTA_OIF as u32)
            .and_then(|value| value.first_chunk())
            .map(|bytes| u32::from_ne_bytes(*bytes));
        let (family, octets) = octets(to);
        // Whatever table it is in: nobody asks for that one (RTM_F_LOOKUP_TABLE).
        let table = nl::rt_class_t::RT_TABLE_MAIN as u8;
        let (kind, index, gateway, from) = match route(&self.network, to, device)? {
            Route::Local { from, .. } => (nl::RTN_LOCAL, 1, None, from),
            Route::Remote { hop, from } => {
                (nl::RTN_UNICAST, hop.interface.index, Some(hop.next).filter(|next| *next != to), from)
            }
            Route::Group { hop, from } => (nl::RTN_MULTICAST, hop.map_or(1, |hop| hop.interface.index), None, from),
            Route::Broadcast { hop, from } => (nl::RTN_BROADCAST, hop.map_or(1, |hop| hop.interface.index), None, from),
        };
        let bits = (octets.len() * 8) as u8;
        // A copy for this question; of one's own addresses, another bit says so (RTCF_LOCAL of linux/in_route.h).
        const LOCAL: u32 = 1 << 31;
        let local = if kind == nl::RTN_LOCAL { LOCAL } else { 0 };
        let flags = nl::RTM_F_CLONED | if family == AF_INET { local } else { 0 };
        let mut body = route_head(
            [family, bits, 0, 0, table, 0, 0, kind as u8],
            flags,
            u32::from(table),
            Some(&octets),
            Some(index),
        );
        if let Some(gateway) = gateway {
            attribute(&mut body, nl::rtattr_type_t::RTA_GATEWAY as u32, &self::octets(gateway).1);
        }
        attribute(&mut body, nl::rtattr_type_t::RTA_PREFSRC as u32, &self::octets(from).1);
        if family == AF_INET {
            attribute(&mut body, nl::rtattr_type_t::RTA_UID as u32, &uid.to_ne_bytes());
        }
        self.message(NEW_ROUTE, &body);
        Ok(())
    }

    fn neighbours(&mut self, family: u8) {
        for interface in interfaces::of(&self.network.clone()).iter() {
            let Some(link) = &interface.link else { continue };
            for (ip, known) in link.neighbours.list(platform().monotonic_ns()) {
                let (own_family, octets) = octets(ip);
                if family == 0 || family == own_family {
                    self.message(NEW_NEIGHBOUR, &neighbour(interface.index, (own_family, octets), &known));
                }
            }
        }
    }
}

/// An address, as a message has it.
pub(super) fn address(interface: &Interface, own: &Own) -> Vec<u8> {
    let (family, octets) = octets(own.ip);
    // `struct ifaddrmsg`: family, prefix length, flags, scope, index.
    let mut body = [family, own.prefix, own.flags as u8, own.scope].to_vec();
    body.extend_from_slice(&interface.index.to_ne_bytes());
    attribute(&mut body, nl::IFA_ADDRESS as u32, &octets);
    if family == AF_INET {
        attribute(&mut body, nl::IFA_LOCAL as u32, &octets);
        if let Some(everybody) = own.broadcast {
            attribute(&mut body, nl::IFA_BROADCAST as u32, &everybody.octets());
        }
        attribute(&mut body, nl::IFA_LABEL as u32, &with_nul(&interface.name()));
    }
    attribute(&mut body, nl::IFA_FLAGS as u32, &own.flags.to_ne_bytes());
    // `struct ifa_cacheinfo`: both lifetimes without end.
    attribute(&mut body, nl::IFA_CACHEINFO as u32, &[u32::MAX, u32::MAX, 0, 0].map(u32::to_ne_bytes).concat());
    body
}

/// A neighbour, as a message has it.
pub(super) fn neighbour(index: u32, (family, octets): (u8, Vec<u8>), known: &Neighbour) -> Vec<u8> {
    let state = match known {
        Neighbour { permanent: true, .. } => nl::NUD_PERMANENT,
        Neighbour { fresh: true, .. } => nl::NUD_REACHABLE,
        _ => nl::NUD_STALE,
    };
    // `struct ndmsg`: family, padding, index, state, flags, type.
    let mut body = [family, 0, 0, 0].to_vec();
    body.extend_from_slice(&index.to_ne_bytes());
    body.extend_from_slice(&(state as u16).to_ne_bytes());
    body.extend_from_slice(&[0, nl::RTN_UNICAST as u8]);
    attribute(&mut body, nl::NDA_DST as u32, &octets);
    attribute(&mut body, nl::NDA_LLADDR as u32, &known.mac);
    body
}

/// `struct rtmsg` (family, lengths of both addresses, tos, table, protocol, scope, type, flags) and what every route has.
pub(super) fn route_head(head: [u8; 8], flags: u32, table: u32, to: Option<&Vec<u8>>, index: Option<u32>) -> Vec<u8> {
    let mut body = head.to_vec();
    body.extend_from_slice(&flags.to_ne_bytes());
    attribute(&mut body, nl::rtattr_type_t::RTA_TABLE as u32, &table.to_ne_bytes());
    if let Some(to) = to {
        attribute(&mut body, nl::rtattr_type_t::RTA_DST as u32, to);
    }
    if let Some(index) = index {
        attribute(&mut body, nl::rtattr_type_t::RTA_OIF as u32, &index.to_ne_bytes());
    }
    body
}

/// The value of IFLA_IFNAME, without its NUL.
pub(super) fn name_attribute(attributes: &[u8]) -> Option<&[u8]> {
    find_attribute(attributes, nl::IFLA_IFNAME as u32)?.split(|byte| *byte == 0).next()
}

/// `struct rtnl_link_stats64`: packets, bytes, errors and losses, received and sent in turns.
fn statistics(counters: &Counters) -> Vec<u8> {
    let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let mut stats = [
        value(&counters.rx_packets),
        value(&counters.tx_packets),
        value(&counters.rx_bytes),
        value(&counters.tx_bytes),
        0,
        0,
        value(&counters.rx_dropped),
        value(&counters.tx_dropped),
    ]
    .map(u64::to_ne_bytes)
    .concat();
    stats.resize(size_of::<nl::rtnl_link_stats64>(), 0);
    stats
}

/// An interface, as a message has it, and which of its flags have changed.
pub(super) fn link(interface: &Interface, changed: u32) -> Vec<u8> {
    // `struct ifinfomsg`: family, padding, device type, index, flags, changes.
    let mut body = [0, 0].to_vec();
    body.extend_from_slice(&interface.hardware_type().to_ne_bytes());
    body.extend_from_slice(&interface.index.to_ne_bytes());
    body.extend_from_slice(&interface.flags().to_ne_bytes());
    body.extend_from_slice(&changed.to_ne_bytes());
    attribute(&mut body, nl::IFLA_IFNAME as u32, &with_nul(&interface.name()));
    attribute(&mut body, nl::IFLA_TXQLEN as u32, &interface.queue_length().to_ne_bytes());
    // IF_OPER_UNKNOWN, as Linux says of lo, IF_OPER_UP or IF_OPER_DOWN.
    let state = match (&interface.link, interface.is_up()) {
        (Some(_), true) => 6,
        (Some(_), false) => 2,
        (None, up) => {
            if up {
                0
            } else {
                2
            }
        }
    };
    attribute(&mut body, nl::IFLA_OPERSTATE as u32, &[state]);
    attribute(&mut body, nl::IFLA_LINKMODE as u32, &[0]);
    attribute(&mut body, nl::IFLA_MTU as u32, &interface.mtu().to_ne_bytes());
    attribute(&mut body, nl::IFLA_GROUP as u32, &0_u32.to_ne_bytes());
    attribute(&mut body, nl::IFLA_QDISC as u32, b"noqueue\0");
    let (own, everybody) = interface.link.as_ref().map_or(([0; 6], [0; 6]), |link| (link.mac, [0xff; 6]));
    attribute(&mut body, nl::IFLA_ADDRESS as u32, &own);
    attribute(&mut body, nl::IFLA_BROADCAST as u32, &everybody);
    let stats = interface.link.as_ref().map_or(statistics(&Counters::default()), |link| statistics(&link.counters));
    attribute(&mut body, nl::IFLA_STATS64 as u32, &stats);
    body
}
