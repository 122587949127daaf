//! Changes of routes: what programs ask for by netlink(7) and ioctl(2), and what follows from addresses.

use super::routes::{Entry, LOCAL, MAIN, routes};
use crate::errno::Errno;
use crate::net::NetNs;
use crate::net::interfaces::{self, Interface, LOOPBACK_INDEX, Own, is_link_local, network_of};
use crate::net::netlink::notify::{self, By, Happened};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use linker::spec::RouteSpec;
use linux_raw_sys::netlink as nl;

/// Metric of routes to networks of IPv6 that follow from addresses, and of the group's (IP6_RT_PRIO_ADDRCONF).
const ADDRESS_METRIC: u32 = 256;
const KERNEL: u8 = nl::RTPROT_KERNEL as u8;
const UNICAST: u32 = nl::RTN_UNICAST as u32;
const HERE: u32 = nl::RTN_LOCAL as u32;
const HOST: u8 = nl::rt_scope_t::RT_SCOPE_HOST as u8;
const LINK: u8 = nl::rt_scope_t::RT_SCOPE_LINK as u8;

/// Adds a route; `flags` are NLM_F_* (rtnetlink(7)). `entry.spec.interface` 0: the one that the gateway is behind.
/// Call with `interfaces::change::CHANGES` held.
pub fn add(network: &Option<Arc<NetNs>>, entry: Entry, flags: u32, by: By) -> Result<(), Errno> {
    let entry = checked(network, entry)?;
    let table = routes(network);
    let same: Vec<Entry> = table.list().into_iter().filter(|other| other.same_place(&entry)).collect();
    let is_twin = |other: &Entry| twin(other, &entry);
    let flag = |flag: u32| flags & flag != 0;
    let gone = match same.first() {
        Some(_) if flag(nl::NLM_F_EXCL) => return Err(Errno::EEXIST),
        Some(first) if flag(nl::NLM_F_REPLACE) => {
            match same.iter().find(|other| is_twin(other)) {
                Some(found) if found != first => return Err(Errno::EEXIST),
                _ => {}
            }
            table.take(|other| other == first)
        }
        Some(_) if same.iter().any(is_twin) => return Err(Errno::EEXIST),
        None if !flag(nl::NLM_F_CREATE) && (entry.spec.to.is_ipv4() || flag(nl::NLM_F_REPLACE)) => {
            return Err(Errno::ENOENT);
        }
        Some(_) if !flag(nl::NLM_F_CREATE) && entry.spec.to.is_ipv4() => return Err(Errno::ENOENT),
        _ => None,
    };
    // Of those that are equal the new one goes first, unless it is to be the last; IPv6 asks in turns.
    table.insert(entry, flag(nl::NLM_F_APPEND) || entry.spec.to.is_ipv6())?;
    let flags = if gone.is_some() { nl::NLM_F_REPLACE } else { flags & (nl::NLM_F_APPEND | nl::NLM_F_EXCL) };
    notify::route(network, &entry, Happened::New(flags | nl::NLM_F_CREATE), by);
    Ok(())
}

/// Whether a route is another one again.
fn twin(other: &Entry, entry: &Entry) -> bool {
    let what = |entry: &Entry| {
        let RouteSpec { kind, scope, source, gateway, interface, .. } = entry.spec;
        // Scope and source are no part of IPv6's.
        let v4 = entry.spec.to.is_ipv4();
        (kind, v4.then_some((scope, source)), gateway, interface)
    };
    what(other) == what(entry)
}

/// Which routes are meant, by those who want one removed: what is `None` may be anything.
#[derive(Default)]
#[allow(missing_docs)]
pub struct Wanted {
    pub table: u32,
    pub kind: Option<u8>,
    pub scope: Option<u8>,
    pub protocol: Option<u8>,
    pub gateway: Option<IpAddr>,
    pub interface: Option<u32>,
    pub source: Option<IpAddr>,
    pub metric: Option<u32>,
}

/// Removes the first route to this network that fits. ESRCH where there is none. Call with `CHANGES` held.
pub fn remove(network: &Option<Arc<NetNs>>, to: (IpAddr, u8), wanted: &Wanted, by: By) -> Result<(), Errno> {
    let is = |wanted: Option<u8>, has: u8| wanted.is_none_or(|wanted| wanted == has);
    let found = routes(network).take(|entry| {
        let spec = &entry.spec;
        (spec.to, spec.prefix, entry.table) == (to.0, to.1, wanted.table)
            && is(wanted.kind, spec.kind)
            && is(wanted.scope, spec.scope)
            && is(wanted.protocol, spec.protocol)
            && wanted.gateway.is_none_or(|gateway| spec.gateway == Some(gateway))
            && wanted.interface.is_none_or(|interface| spec.interface == interface)
            && wanted.source.is_none_or(|source| spec.source == Some(source))
            && wanted.metric.is_none_or(|metric| spec.metric == metric)
    });
    let entry = found.ok_or(Errno::ESRCH)?;
    notify::route(network, &entry, Happened::Gone, by);
    Ok(())
}

/// The route as it will be, if it can be: its gateway must be behind its interface, its source ours.
fn checked(network: &Option<Arc<NetNs>>, mut entry: Entry) -> Result<Entry, Errno> {
    let shown = interfaces::of(network);
    let spec = &mut entry.spec;
    let v4 = spec.to.is_ipv4();
    let is_own = |ip: IpAddr| shown.iter().any(|interface| interface.is_local(ip));
    // What leads here is for the machine alone.
    if v4 && u32::from(spec.kind) == HERE && spec.scope < HOST {
        return Err(Errno::EINVAL);
    }
    if spec.source.is_some_and(|source| source.is_ipv4() != v4 || !is_own(source)) {
        return Err(Errno::EINVAL);
    }
    if !matches!(u32::from(spec.kind), UNICAST | HERE) {
        // Nothing goes there by any interface; IPv6 shows loopback.
        if spec.gateway.is_some() || v4 && spec.interface != 0 {
            return Err(Errno::EINVAL);
        }
        spec.interface = if v4 { 0 } else { LOOPBACK_INDEX };
        return Ok(entry);
    }
    if let Some(gateway) = spec.gateway {
        if gateway.is_ipv4() != v4 || u32::from(spec.kind) == HERE {
            return Err(Errno::EINVAL);
        }
        let unreachable = if v4 { Errno::ENETUNREACH } else { Errno::EHOSTUNREACH };
        if let Some(own) = shown.iter().find(|interface| interface.is_local(gateway)).filter(|_| v4) {
            // Strange, but Linux takes it.
            spec.interface = own.index;
            return if entry.onlink { Err(Errno::EINVAL) } else { Ok(entry) };
        }
        let near = matches!(gateway, IpAddr::V6(gateway) if is_link_local(gateway));
        if (near || entry.onlink) && spec.interface == 0 {
            return Err(if v4 { Errno::EINVAL } else { Errno::ENODEV });
        }
        if !near && !entry.onlink {
            let direct = |entry: &Entry| entry.spec.gateway.is_none();
            let through = |entry: &Entry| spec.interface == 0 || entry.spec.interface == spec.interface;
            let found = routes(network).find(gateway, |entry| direct(entry) && through(entry));
            let found = found.ok().flatten().filter(|entry| entry.is(UNICAST)).ok_or(unreachable)?;
            spec.interface = found.spec.interface;
        }
    }
    let interface = shown.iter().find(|interface| interface.index == spec.interface).ok_or(Errno::ENODEV)?;
    if interface.is_up() { Ok(entry) } else { Err(Errno::ENETDOWN) }
}

/// The route to the network that an address is in, where there is one.
fn connected(interface: &Interface, own: &Own) -> Option<Entry> {
    let v4 = own.ip.is_ipv4();
    let none = own.flags & nl::IFA_F_NOPREFIXROUTE != 0
        || v4 && (own.is_secondary() || own.prefix >= 32 || interface.link.is_none())
        || own.ip.is_loopback();
    let spec = RouteSpec {
        to: network_of(own.ip, own.prefix),
        prefix: own.prefix,
        gateway: None,
        interface: interface.index,
        source: v4.then_some(own.ip),
        metric: if v4 { 0 } else { ADDRESS_METRIC },
        protocol: KERNEL,
        scope: if v4 { LINK } else { 0 },
        kind: UNICAST as u8,
    };
    (!none).then_some(Entry { spec, table: MAIN, onlink: false })
}

/// What follows from a new address, or one of an interface that comes up.
pub fn follow(network: &Option<Arc<NetNs>>, interface: &Interface, own: &Own) {
    if let Some(entry) = connected(interface, own)
        && !routes(network).list().iter().any(|other| other.same_place(&entry) && twin(other, &entry))
        && routes(network).insert(entry, true).is_ok()
    {
        notify::route(network, &entry, Happened::New(nl::NLM_F_CREATE | nl::NLM_F_APPEND), By::default());
    }
}

/// What follows from an address that is gone: its network's route, and those that have it as their source.
pub fn unfollow(network: &Option<Arc<NetNs>>, interface: &Interface, own: &Own) {
    let still_needed = interface.addresses().iter().filter_map(|other| connected(interface, other)).collect::<Vec<_>>();
    let network_route = connected(interface, own).filter(|entry| !still_needed.contains(entry));
    let gone = routes(network).take_all(|entry| {
        network_route.is_some_and(|route| entry.same_place(&route) && twin(entry, &route))
            || own.ip.is_ipv4() && entry.spec.source == Some(own.ip)
    });
    for entry in gone {
        notify::route(network, &entry, Happened::Gone, By::default());
    }
    // With the last address of IPv4 goes all that leads there (fib_disable_ip); nobody is told.
    if own.ip.is_ipv4() && !interface.addresses().iter().any(|other| other.ip.is_ipv4()) {
        let there = |entry: &Entry| entry.spec.to.is_ipv4() && entry.spec.interface == interface.index;
        drop(routes(network).take_all(there));
    }
}

/// An interface went down: nothing leads there any more.
pub fn down(network: &Option<Arc<NetNs>>, index: u32) {
    for entry in routes(network).take_all(|entry| entry.spec.interface == index && !entry.is_refusal()) {
        // Of IPv4's nobody is told (fib_table_flush).
        if entry.spec.to.is_ipv6() {
            notify::route(network, &entry, Happened::Gone, By::default());
        }
    }
}

/// The routes to an interface's own addresses: what the table `local` has because of them.
pub fn local(interface: &Interface) -> Vec<Entry> {
    let addresses = interface.addresses();
    let mut all = Vec::new();
    for own in &addresses {
        // A secondary address speaks with the first one's voice.
        let first = addresses.iter().find(|first| {
            !first.is_secondary() && first.prefix == own.prefix && interfaces::is_in(own.ip, first.ip, own.prefix)
        });
        let source = own.ip.is_ipv4().then(|| first.filter(|_| own.is_secondary()).unwrap_or(own).ip);
        let new = |to, prefix, scope, kind: u32| Entry {
            spec: RouteSpec {
                to,
                prefix,
                gateway: None,
                interface: interface.index,
                source,
                metric: 0,
                protocol: KERNEL,
                scope,
                kind: kind as u8,
            },
            table: LOCAL,
            onlink: false,
        };
        if own.ip.is_ipv6() {
            all.push(new(own.ip, 128, 0, HERE));
            continue;
        }
        if !all.iter().any(|other: &Entry| other.spec.to == own.ip && other.spec.prefix == 32) {
            all.push(new(own.ip, 32, HOST, HERE));
        }
        if own.is_secondary() {
            continue;
        }
        if interface.is_whole() && own.prefix < 32 {
            // lo's network is local as a whole.
            all.push(new(network_of(own.ip, own.prefix), own.prefix, HOST, HERE));
        }
        if let Some(everybody) = own.everybody().filter(|_| interface.is_up()) {
            all.push(new(everybody.into(), 32, LINK, nl::RTN_BROADCAST as u32));
        }
    }
    if interface.link.is_some() && addresses.iter().any(|own| own.ip.is_ipv6()) {
        let spec = RouteSpec {
            to: Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0).into(),
            prefix: 8,
            gateway: None,
            interface: interface.index,
            source: None,
            metric: ADDRESS_METRIC,
            protocol: KERNEL,
            scope: 0,
            kind: nl::RTN_MULTICAST as u8,
        };
        all.push(Entry { spec, table: LOCAL, onlink: false });
    }
    all
}
