//! Dumps of the routing tables and of the rules that lead to them, in the order in which Linux has them.

use super::message::{Reply, attribute, octets};
use super::route::{AF_INET, AF_INET6, route_head};
use crate::net::interfaces::{self, Interface};
use crate::net::stack;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use linux_raw_sys::net::net_device_flags::IFF_UP;
use linux_raw_sys::netlink as nl;

const MAIN: u8 = nl::rt_class_t::RT_TABLE_MAIN as u8;
const LOCAL: u8 = nl::rt_class_t::RT_TABLE_LOCAL as u8;
const DEFAULT: u8 = nl::rt_class_t::RT_TABLE_DEFAULT as u8;
const NEW_ROUTE: u16 = nl::RTM_NEWROUTE as u16;
const NEW_RULE: u16 = nl::RTM_NEWRULE as u16;
/// Metric of routes that the kernel makes for groups (IP6_RT_PRIO_ADDRCONF).
const GROUP_METRIC: u32 = 256;

/// One route.
struct Route {
    to: IpAddr,
    prefix: u8,
    table: u8,
    protocol: u8,
    scope: u8,
    kind: u8,
    interface: u32,
    gateway: Option<IpAddr>,
    source: Option<IpAddr>,
    metric: u32,
}

impl Route {
    fn body(&self) -> Vec<u8> {
        let (family, to) = octets(self.to);
        let head = [family, self.prefix, 0, 0, self.table, self.protocol, self.scope, self.kind];
        let mut body = route_head(head, 0, (self.prefix > 0).then_some(&to), self.interface);
        if let Some(gateway) = self.gateway {
            attribute(&mut body, nl::rtattr_type_t::RTA_GATEWAY as u32, &octets(gateway).1);
        }
        if let Some(source) = self.source {
            attribute(&mut body, nl::rtattr_type_t::RTA_PREFSRC as u32, &octets(source).1);
        }
        if self.metric != 0 || family == AF_INET6 {
            attribute(&mut body, nl::rtattr_type_t::RTA_PRIORITY as u32, &self.metric.to_ne_bytes());
        }
        if family == AF_INET6 {
            // ICMPV6_ROUTER_PREF_MEDIUM.
            attribute(&mut body, nl::rtattr_type_t::RTA_PREF as u32, &[0]);
        }
        body
    }
}

/// The routes to an interface's own addresses: the table `local`.
fn local(interface: &Interface) -> Vec<Route> {
    const HOST: u8 = nl::rt_scope_t::RT_SCOPE_HOST as u8;
    const LINK: u8 = nl::rt_scope_t::RT_SCOPE_LINK as u8;
    let mut all = Vec::new();
    for own in &interface.addresses {
        let new = |to, prefix, scope, kind: u32| Route {
            to,
            prefix,
            table: LOCAL,
            protocol: nl::RTPROT_KERNEL as u8,
            scope,
            kind: kind as u8,
            interface: interface.index,
            gateway: None,
            source: own.ip.is_ipv4().then_some(own.ip),
            metric: 0,
        };
        let IpAddr::V4(ip) = own.ip else {
            all.push(new(own.ip, 128, 0, nl::RTN_LOCAL as u32));
            continue;
        };
        all.push(new(own.ip, 32, HOST, nl::RTN_LOCAL as u32));
        if interface.link.is_none() && own.prefix < 32 {
            // lo's network is local as a whole.
            let mask = u32::MAX.checked_shl(32 - u32::from(own.prefix)).unwrap_or(0);
            let network = Ipv4Addr::from_bits(ip.to_bits() & mask);
            all.push(new(network.into(), own.prefix, HOST, nl::RTN_LOCAL as u32));
        }
        if let Some(everybody) = Interface::broadcast(own) {
            all.push(new(everybody.into(), 32, LINK, nl::RTN_BROADCAST as u32));
        }
    }
    let has_v6 = interface.addresses.iter().any(|own| own.ip.is_ipv6());
    if has_v6 && interface.link.is_some() {
        all.push(Route {
            to: Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0).into(),
            prefix: 8,
            table: LOCAL,
            protocol: nl::RTPROT_KERNEL as u8,
            scope: 0,
            kind: nl::RTN_MULTICAST as u8,
            interface: interface.index,
            gateway: None,
            source: None,
            metric: GROUP_METRIC,
        });
    }
    all
}

/// RTM_GETROUTE.
pub(super) fn routes(reply: &mut Reply, family: u8) {
    let main = if reply.network.is_some() { &[] } else { stack::routes() };
    let mut main: Vec<Route> = main
        .iter()
        .map(|entry| Route {
            to: entry.spec.to,
            prefix: entry.spec.prefix,
            table: MAIN,
            protocol: entry.spec.protocol,
            scope: entry.spec.scope,
            kind: entry.spec.kind,
            interface: entry.interface.index,
            gateway: entry.spec.gateway,
            source: entry.spec.source,
            metric: entry.spec.metric,
        })
        .collect();
    let shown = interfaces::of(&reply.network.clone());
    let up = shown.iter().filter(|interface| interface.flags & IFF_UP as u32 != 0);
    let mut own: Vec<Route> = up.flat_map(local).collect();
    // By address, IPv4 before IPv6; of IPv6 those for all come last.
    let order = |route: &Route| (route.to.is_ipv6(), route.to.is_ipv6() && route.prefix == 0, route.to, route.prefix);
    main.sort_by_key(order);
    own.sort_by_key(order);
    for wanted in [AF_INET, AF_INET6] {
        let fits = |route: &&Route| (family == 0 || family == wanted) && octets(route.to).0 == wanted;
        for route in main.iter().chain(&own).filter(fits) {
            reply.message(NEW_ROUTE, &route.body());
        }
    }
}

/// RTM_GETRULE: those that there are from the start.
pub(super) fn rules(reply: &mut Reply, family: u8) {
    const RULES: [(u32, u8); 3] = [(0, LOCAL), (32766, MAIN), (32767, DEFAULT)];
    for wanted in [AF_INET, AF_INET6] {
        if family != 0 && family != wanted {
            continue;
        }
        // IPv6 has no table `default`.
        for (priority, table) in RULES.into_iter().filter(|(_, table)| wanted == AF_INET || *table != DEFAULT) {
            // `struct fib_rule_hdr`: family, lengths of both addresses, tos, table, two reserved, action, flags.
            let mut body = [wanted, 0, 0, 0, table, 0, 0, nl::FR_ACT_TO_TBL as u8, 0, 0, 0, 0].to_vec();
            attribute(&mut body, nl::FRA_TABLE as u32, &u32::from(table).to_ne_bytes());
            attribute(&mut body, nl::FRA_SUPPRESS_PREFIXLEN as u32, &u32::MAX.to_ne_bytes());
            if priority != 0 {
                attribute(&mut body, nl::FRA_PRIORITY as u32, &priority.to_ne_bytes());
            }
            reply.message(NEW_RULE, &body);
        }
    }
}
