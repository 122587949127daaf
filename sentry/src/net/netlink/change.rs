//! Changes by NETLINK_ROUTE: what messages ask for, decoded. Who asks for something that cannot be done here gets EOPNOTSUPP.

use super::message::{Reply, find_attribute};
use super::notify::{self, By, Happened};
use super::route::{AF_INET, AF_INET6, name_attribute};
use crate::errno::Errno;
use crate::net::interfaces::change::{CHANGES, Changer, scope6};
use crate::net::interfaces::{self, Own, network_of};
use crate::net::stack::{self, Entry, Neighbour, Wanted};
use crate::platform::platform;
use crate::task::Current;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use linker::spec::RouteSpec;
use linux_raw_sys::netlink as nl;
use linux_raw_sys::netlink::rtattr_type_t as rta;

const NEW_LINK: u16 = nl::RTM_NEWLINK as u16;
const DELETE_LINK: u16 = nl::RTM_DELLINK as u16;
const SET_LINK: u16 = nl::RTM_SETLINK as u16;
const NEW_ADDRESS: u16 = nl::RTM_NEWADDR as u16;
const DELETE_ADDRESS: u16 = nl::RTM_DELADDR as u16;
const NEW_ROUTE: u16 = nl::RTM_NEWROUTE as u16;
const DELETE_ROUTE: u16 = nl::RTM_DELROUTE as u16;
const NEW_NEIGHBOUR: u16 = nl::RTM_NEWNEIGH as u16;
const DELETE_NEIGHBOUR: u16 = nl::RTM_DELNEIGH as u16;
/// Metric of IPv6's routes that say none (IP6_RT_PRIO_USER).
const METRIC6: u32 = 1024;
/// The bits of an attribute's type that are none of it (NLA_F_NESTED, NLA_F_NET_BYTEORDER).
const KIND_MASK: u16 = nl::NLA_TYPE_MASK as u16;

/// Does what a message asks for.
pub(super) fn apply(current: &Current, reply: &Reply, message: &[u8]) -> Result<(), Errno> {
    let header = &reply.header;
    let by = By { port: reply.port, sequence: header.sequence };
    let changer = Changer::new(current, &reply.network, by)?;
    let flags = u32::from(header.flags);
    let _alone = CHANGES.lock();
    match header.kind {
        NEW_LINK | SET_LINK => link(&changer, message, if header.kind == NEW_LINK { flags } else { 0 }),
        DELETE_LINK => {
            which(&changer, message)?;
            Err(Errno::EOPNOTSUPP)
        }
        NEW_ADDRESS => address(&changer, message, Some(flags)),
        DELETE_ADDRESS => address(&changer, message, None),
        NEW_ROUTE | DELETE_ROUTE => route(&changer, message, (header.kind == NEW_ROUTE).then_some(flags)),
        NEW_NEIGHBOUR => neighbour(&changer, message, Some(flags)),
        DELETE_NEIGHBOUR => neighbour(&changer, message, None),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

/// The types of all attributes.
fn kinds(attributes: &[u8]) -> impl Iterator<Item = u32> {
    let mut rest = attributes;
    core::iter::from_fn(move || {
        let [l0, l1, k0, k1] = *rest.first_chunk::<4>()?;
        let len = usize::from(u16::from_ne_bytes([l0, l1])).max(4);
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some(u32::from(u16::from_ne_bytes([k0, k1]) & KIND_MASK))
    })
}

fn number(attributes: &[u8], kind: u32) -> Option<u32> {
    word(find_attribute(attributes, kind)?, 0)
}

fn ip(family: u8, value: &[u8]) -> Result<IpAddr, Errno> {
    match family {
        AF_INET => value.first_chunk::<4>().map(|octets| IpAddr::from(*octets)).ok_or(Errno::EINVAL),
        AF_INET6 => value.first_chunk::<16>().map(|octets| IpAddr::from(*octets)).ok_or(Errno::EINVAL),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// The interface that `struct ifinfomsg` or an attribute behind it names. ENODEV where there is none.
fn which(changer: &Changer<'_>, message: &[u8]) -> Result<u32, Errno> {
    let index = word(message, 4).ok_or(Errno::EINVAL)?;
    let attributes = message.get(size_of::<nl::ifinfomsg>()..).ok_or(Errno::EINVAL)?;
    let shown = interfaces::of(changer.network());
    let is_it = |interface: &&interfaces::Interface| match (index, name_attribute(attributes)) {
        (0, Some(name)) => interface.is_named(name),
        (0, None) => false,
        _ => interface.index == index,
    };
    shown.iter().find(is_it).map(|interface| interface.index).ok_or(Errno::ENODEV)
}

/// RTM_NEWLINK with its flags, RTM_SETLINK. New interfaces there are none: of no kind.
fn link(changer: &Changer<'_>, message: &[u8], how: u32) -> Result<(), Errno> {
    let named = word(message, 4).unwrap_or(0) == 0;
    let index = match which(changer, message) {
        Err(Errno::ENODEV) if how & nl::NLM_F_CREATE != 0 && named => return Err(Errno::EOPNOTSUPP),
        Ok(_) if how & nl::NLM_F_EXCL != 0 => return Err(Errno::EEXIST),
        Ok(_) if how & nl::NLM_F_REPLACE != 0 => return Err(Errno::EOPNOTSUPP),
        found => found?,
    };
    let attributes = message.get(size_of::<nl::ifinfomsg>()..).unwrap_or(&[]);
    let shown = interfaces::of(changer.network());
    let found = shown.iter().find(|interface| interface.index == index).ok_or(Errno::ENODEV)?;
    const NAME: u32 = nl::IFLA_IFNAME as u32;
    const MTU: u32 = nl::IFLA_MTU as u32;
    const LENGTH: u32 = nl::IFLA_TXQLEN as u32;
    const ADDRESS: u32 = nl::IFLA_ADDRESS as u32;
    const MASK: u32 = nl::IFLA_EXT_MASK as u32;
    // First whether all of it can be done.
    for kind in kinds(attributes) {
        match kind {
            NAME | MTU | LENGTH | MASK => {}
            ADDRESS if found.link.as_ref().is_some_and(|link| find_attribute(attributes, kind) == Some(&link.mac)) => {}
            _ => return Err(Errno::EOPNOTSUPP),
        }
    }
    if let Some(mtu) = number(attributes, MTU) {
        changer.set_mtu(index, mtu)?;
    }
    if let Some(length) = number(attributes, LENGTH) {
        changer.set_queue_length(index, length)?;
    }
    if let Some(name) = name_attribute(attributes).filter(|name| !named && !name.is_empty()) {
        changer.set_name(index, name)?;
    }
    let (flags, change) = (word(message, 8).unwrap_or(0), word(message, 12).unwrap_or(0));
    // Without a mask all of them count, for who does not say (rtnetlink(7)); who says nothing at all means nothing.
    let mask = if change != 0 { change } else { u32::MAX };
    if flags != 0 || change != 0 { changer.set_flags(index, flags, mask) } else { Ok(()) }
}

/// RTM_NEWADDR with these flags, or RTM_DELADDR.
fn address(changer: &Changer<'_>, message: &[u8], new: Option<u32>) -> Result<(), Errno> {
    // `struct ifaddrmsg`: family, prefix length, flags, scope, index.
    let &[family, prefix, flags, scope, a, b, c, d] = message.first_chunk().ok_or(Errno::EINVAL)?;
    let index = u32::from_ne_bytes([a, b, c, d]);
    let attributes = message.get(size_of::<nl::ifaddrmsg>()..).unwrap_or(&[]);
    let other = find_attribute(attributes, nl::IFA_ADDRESS as u32).map(|value| ip(family, value)).transpose()?;
    let local = find_attribute(attributes, nl::IFA_LOCAL as u32).map(|value| ip(family, value)).transpose()?;
    let own = match family {
        AF_INET if new.is_some() => local,
        AF_INET | AF_INET6 => local.or(other),
        _ => return Err(Errno::EAFNOSUPPORT),
    };
    let Some(flags_of_message) = new else {
        let own = own.ok_or(Errno::EINVAL)?;
        // Without the network's address any prefix is meant.
        let prefix = Some(prefix).filter(|_| other.is_some() || family == AF_INET6);
        return changer.remove_address(index, own, prefix);
    };
    let own = own.ok_or(Errno::EINVAL)?;
    let flags = number(attributes, nl::IFA_FLAGS as u32).unwrap_or(u32::from(flags));
    let ends = find_attribute(attributes, nl::IFA_CACHEINFO as u32)
        .is_some_and(|lifetimes| [0, 4].iter().any(|at| word(lifetimes, *at) != Some(u32::MAX)));
    let label = find_attribute(attributes, nl::IFA_LABEL as u32).and_then(|name| name.split(|byte| *byte == 0).next());
    let shown = interfaces::of(changer.network());
    let named = |name: &[u8]| shown.iter().any(|interface| interface.index == index && interface.is_named(name));
    // What has another end, ends, joins a group of its own or goes by another name.
    let special = other.is_some_and(|other| other != own)
        || ends
        || flags & (nl::IFA_F_MCAUTOJOIN | nl::IFA_F_MANAGETEMPADDR) != 0
        || label.is_some_and(|label| !named(label));
    if special {
        return Err(Errno::EOPNOTSUPP);
    }
    let everybody = find_attribute(attributes, nl::IFA_BROADCAST as u32).map(|value| ip(family, value)).transpose()?;
    let broadcast = match everybody {
        Some(IpAddr::V4(everybody)) => Some(everybody),
        _ => None,
    };
    let kept = nl::IFA_F_NOPREFIXROUTE | if family == AF_INET6 { nl::IFA_F_NODAD } else { 0 };
    let scope = match own {
        IpAddr::V4(_) => scope,
        IpAddr::V6(own) => scope6(own),
    };
    let new = Own { flags: flags & kept | nl::IFA_F_PERMANENT, broadcast, ..Own::new(own, prefix, scope) };
    changer.add_address(index, new, flags_of_message)
}

/// RTM_NEWROUTE with these flags, or RTM_DELROUTE.
fn route(changer: &Changer<'_>, message: &[u8], new: Option<u32>) -> Result<(), Errno> {
    // `struct rtmsg`: family, lengths of both addresses, tos, table, protocol, scope, type, flags.
    let &[family, prefix, from_prefix, tos, table, protocol, scope, kind, f0, f1, f2, f3] =
        message.first_chunk().ok_or(Errno::EINVAL)?;
    let attributes = message.get(size_of::<nl::rtmsg>()..).unwrap_or(&[]);
    let any: IpAddr = match family {
        AF_INET => Ipv4Addr::UNSPECIFIED.into(),
        AF_INET6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return Err(Errno::EOPNOTSUPP),
    };
    const DESTINATION: u32 = rta::RTA_DST as u32;
    const GATEWAY: u32 = rta::RTA_GATEWAY as u32;
    const DEVICE: u32 = rta::RTA_OIF as u32;
    const METRIC: u32 = rta::RTA_PRIORITY as u32;
    const SOURCE: u32 = rta::RTA_PREFSRC as u32;
    const TABLE: u32 = rta::RTA_TABLE as u32;
    const PREFERENCE: u32 = rta::RTA_PREF as u32;
    const CACHE: u32 = rta::RTA_CACHEINFO as u32;
    const KNOWN: [u32; 7] = [DESTINATION, GATEWAY, DEVICE, METRIC, SOURCE, TABLE, PREFERENCE];
    // Several ways, ways with a property, tunnels, from a source only: not here. What a dump says besides may come back to remove it.
    let known = |kind: u32| KNOWN.contains(&kind) || new.is_none() && kind == CACHE;
    if prefix > if any.is_ipv4() { 32 } else { 128 } {
        return Err(Errno::EINVAL);
    }
    if !kinds(attributes).all(known) || from_prefix != 0 || tos != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let find = |kind: u32| find_attribute(attributes, kind).map(|value| ip(family, value)).transpose();
    let to = find(DESTINATION)?.unwrap_or(any);
    if any.is_ipv4() && network_of(to, prefix) != to {
        return Err(Errno::EINVAL);
    }
    let to = network_of(to, prefix);
    let gateway = find(GATEWAY)?.filter(|gateway| !gateway.is_unspecified());
    let (interface, metric, source) = (number(attributes, DEVICE), number(attributes, METRIC), find(SOURCE)?);
    let table = number(attributes, TABLE).unwrap_or(u32::from(table));
    let table = if table == 0 { stack::MAIN } else { table };
    let Some(flags) = new else {
        const NOWHERE: u8 = nl::rt_scope_t::RT_SCOPE_NOWHERE as u8;
        let given = |value: u8| Some(value).filter(|value| *value != 0);
        let v4 = any.is_ipv4();
        let wanted = Wanted {
            table,
            kind: given(kind),
            scope: Some(scope).filter(|scope| v4 && *scope != NOWHERE),
            protocol: given(protocol),
            gateway,
            interface,
            source,
            metric: metric.filter(|metric| *metric != 0),
        };
        return stack::remove_route(changer.network(), (to, prefix), &wanted, changer.by);
    };
    if !matches!(u32::from(kind), UNICAST | HERE | BLACKHOLE | UNREACHABLE | PROHIBIT | THROW) {
        return Err(if kind == 0 || u32::from(kind) > nl::__RTN_MAX as u32 - 1 {
            Errno::EINVAL
        } else {
            Errno::EOPNOTSUPP
        });
    }
    let metric =
        metric.filter(|metric| any.is_ipv4() || *metric != 0).unwrap_or(if any.is_ipv4() { 0 } else { METRIC6 });
    let spec = RouteSpec {
        to,
        prefix,
        gateway,
        interface: interface.unwrap_or(0),
        source,
        metric,
        protocol,
        scope: if any.is_ipv4() { scope } else { 0 },
        kind,
    };
    let onlink = u32::from_ne_bytes([f0, f1, f2, f3]) & nl::RTNH_F_ONLINK != 0;
    stack::add_route(changer.network(), Entry { spec, table, onlink }, flags, changer.by)
}

const UNICAST: u32 = nl::RTN_UNICAST as u32;
const HERE: u32 = nl::RTN_LOCAL as u32;
const BLACKHOLE: u32 = nl::RTN_BLACKHOLE as u32;
const UNREACHABLE: u32 = nl::RTN_UNREACHABLE as u32;
const PROHIBIT: u32 = nl::RTN_PROHIBIT as u32;
const THROW: u32 = nl::RTN_THROW as u32;

/// RTM_NEWNEIGH with these flags, or RTM_DELNEIGH.
fn neighbour(changer: &Changer<'_>, message: &[u8], new: Option<u32>) -> Result<(), Errno> {
    // `struct ndmsg`: family, padding, index, state, flags, type.
    let &[family, _, _, _, a, b, c, d, s0, s1, flags, _] = message.first_chunk().ok_or(Errno::EINVAL)?;
    let attributes = message.get(size_of::<nl::ndmsg>()..).unwrap_or(&[]);
    let ip = ip(family, find_attribute(attributes, nl::NDA_DST as u32).ok_or(Errno::EINVAL)?)?;
    let index = u32::from_ne_bytes([a, b, c, d]);
    let shown = interfaces::of(changer.network());
    let interface = shown.iter().find(|interface| interface.index == index).ok_or(Errno::ENODEV)?;
    // Of loopback there are no neighbours; and nobody is answered for.
    let link = interface.link.as_ref().filter(|_| u32::from(flags) & nl::NTF_PROXY == 0).ok_or(Errno::EOPNOTSUPP)?;
    let now_ns = platform().monotonic_ns();
    let old = link.neighbours.get(ip, now_ns);
    let Some(how) = new else {
        let old = link.neighbours.forget(ip, now_ns).ok_or(Errno::ENOENT)?;
        notify::neighbour(index, ip, &old, Happened::Gone, changer.by);
        return Ok(());
    };
    let mac =
        find_attribute(attributes, nl::NDA_LLADDR as u32).map(|value| *value.first_chunk::<6>().unwrap_or(&[0; 6]));
    match old {
        Some(_) if how & nl::NLM_F_EXCL != 0 => return Err(Errno::EEXIST),
        None if how & nl::NLM_F_CREATE == 0 => return Err(Errno::ENOENT),
        _ => {}
    }
    let mac = mac.or(old.map(|old| old.mac)).ok_or(Errno::EINVAL)?;
    let state = u32::from(u16::from_ne_bytes([s0, s1]));
    let known = Neighbour {
        mac,
        permanent: state & (nl::NUD_PERMANENT | nl::NUD_NOARP) != 0,
        fresh: state & nl::NUD_REACHABLE != 0,
    };
    for packet in link.neighbours.enter(ip, known, now_ns) {
        link.push(mac, &packet);
    }
    link.kick();
    notify::neighbour(index, ip, &known, Happened::New(0), changer.by);
    Ok(())
}
