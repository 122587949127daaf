//! Dumps of the routing tables and of the rules that lead to them, in the order in which Linux has them.

use super::message::{Reply, attribute, octets};
use super::route::{AF_INET, AF_INET6, route_head};
use crate::net::interfaces;
use crate::net::stack::{self, Entry};
use alloc::vec::Vec;
use linux_raw_sys::netlink as nl;

const MAIN: u8 = nl::rt_class_t::RT_TABLE_MAIN as u8;
const LOCAL: u8 = nl::rt_class_t::RT_TABLE_LOCAL as u8;
const DEFAULT: u8 = nl::rt_class_t::RT_TABLE_DEFAULT as u8;
const NEW_ROUTE: u16 = nl::RTM_NEWROUTE as u16;
const NEW_RULE: u16 = nl::RTM_NEWRULE as u16;
/// RTNH_F_ONLINK among a route's flags.
const ONLINK: u32 = nl::RTNH_F_ONLINK;

/// A route as a message has it: `struct rtmsg` and its attributes.
pub(super) fn body(entry: &Entry) -> Vec<u8> {
    let spec = &entry.spec;
    let (family, to) = octets(spec.to);
    // A table whose number does not fit is said by its attribute alone.
    let table = u8::try_from(entry.table).unwrap_or(nl::rt_class_t::RT_TABLE_COMPAT as u8);
    let head = [family, spec.prefix, 0, 0, table, spec.protocol, spec.scope, spec.kind];
    let flags = if entry.onlink { ONLINK } else { 0 };
    let to = (spec.prefix > 0).then_some(&to);
    let device = Some(spec.interface).filter(|index| *index != 0);
    let mut body = route_head(head, flags, entry.table, to, device);
    if let Some(gateway) = spec.gateway {
        attribute(&mut body, nl::rtattr_type_t::RTA_GATEWAY as u32, &octets(gateway).1);
    }
    if let Some(source) = spec.source {
        attribute(&mut body, nl::rtattr_type_t::RTA_PREFSRC as u32, &octets(source).1);
    }
    if spec.metric != 0 || family == AF_INET6 {
        attribute(&mut body, nl::rtattr_type_t::RTA_PRIORITY as u32, &spec.metric.to_ne_bytes());
    }
    if family == AF_INET6 {
        // ICMPV6_ROUTER_PREF_MEDIUM.
        attribute(&mut body, nl::rtattr_type_t::RTA_PREF as u32, &[0]);
    }
    body
}

/// RTM_GETROUTE.
pub(super) fn routes(reply: &mut Reply, family: u8) {
    let shown = interfaces::of(&reply.network.clone());
    let (mut own, mut main): (Vec<Entry>, Vec<Entry>) =
        stack::routes(&reply.network).shown().into_iter().partition(|entry| entry.table == u32::from(LOCAL));
    own.extend(shown.iter().flat_map(stack::local_routes));
    // By address, IPv4 before IPv6; of IPv6 those for all come last.
    let order = |entry: &Entry| {
        let (to, prefix) = (entry.spec.to, entry.spec.prefix);
        (to.is_ipv6(), to.is_ipv6() && prefix == 0, to, prefix, entry.spec.metric)
    };
    main.sort_by_key(order);
    own.sort_by_key(order);
    for wanted in [AF_INET, AF_INET6] {
        let fits = |entry: &&Entry| (family == 0 || family == wanted) && octets(entry.spec.to).0 == wanted;
        for entry in main.iter().chain(&own).filter(fits) {
            reply.message(NEW_ROUTE, &body(entry));
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
