//! Changes by ioctl(2): SIOCSIF* (netdevice(7)), SIOCADDRT and SIOCDELRT (route(8) of old), SIOCSARP and its kin (arp(7)).

use super::change::{CHANGES, Changer, scope6};
use super::ioctl::{IfReq, NAME};
use super::{Interface, Own, network_of};
use crate::errno::Errno;
use crate::net::NetNs;
use crate::net::address::Address;
use crate::net::netlink::notify::By;
use crate::net::stack::{self, Entry, Neighbour, Wanted};
use crate::platform::platform;
use crate::syscall::{Fail, UserPtr};
use crate::task::Current;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use linker::addr::UserVa;
use linker::spec::RouteSpec;
use linux_raw_sys::if_arp;
use linux_raw_sys::ioctl as op;
use linux_raw_sys::net as raw;
use linux_raw_sys::netlink as nl;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// RTF_GATEWAY, RTF_HOST, RTF_REJECT (include/uapi/linux/route.h; nobody exports them).
const GATEWAY: u32 = 2;
const HOST: u32 = 4;
const REJECT: u32 = 0x200;

/// `struct rtentry`: of IPv4's routes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct RtEntry {
    pad: u64,
    to: [u8; 16],
    gateway: [u8; 16],
    mask: [u8; 16],
    flags: u16,
    pad2: [u16; 3],
    pad3: [u64; 2],
    metric: i16,
    pad4: [u16; 3],
    device: u64,
    mtu: u64,
    window: u64,
    irtt: u16,
    pad5: [u16; 3],
}

/// `struct in6_rtmsg`: of IPv6's.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct RtMessage6 {
    to: [u8; 16],
    from: [u8; 16],
    gateway: [u8; 16],
    kind: u32,
    prefix: u16,
    from_prefix: u16,
    metric: u32,
    pad: u32,
    info: u64,
    flags: u32,
    interface: u32,
}

/// `struct in6_ifreq`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct IfReq6 {
    ip: [u8; 16],
    prefix: u32,
    index: u32,
}

/// `struct arpreq`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct ArpReq {
    ip: [u8; 16],
    mac: [u8; 16],
    flags: i32,
    mask: [u8; 16],
    device: [u8; NAME],
}

const _: () = {
    assert!(size_of::<RtEntry>() == 120 && size_of::<RtMessage6>() == 80);
    assert!(size_of::<IfReq6>() == size_of::<raw::in6_ifreq>() && size_of::<ArpReq>() == 68);
};

/// Does it. ENOTTY for what is none of these.
pub fn ioctl(current: &Current, domain: u32, command: u32, at: UserVa) -> Result<u64, Fail> {
    let v6 = domain == raw::AF_INET6;
    let network = &NetNs::of(current);
    match command {
        op::SIOCGARP => return get_arp(current, at),
        op::SIOCSIFADDR | op::SIOCDIFADDR if v6 => {
            let changer = Changer::new(current, network, By::default())?;
            let request = UserPtr::<IfReq6>::new(at).read(current)?;
            let _alone = CHANGES.lock();
            let (ip, prefix) = (Ipv6Addr::from(request.ip), u8::try_from(request.prefix).map_err(|_| Errno::EINVAL)?);
            if command == op::SIOCSIFADDR {
                changer.add_address(request.index, Own::new(ip.into(), prefix, scope6(ip)), nl::NLM_F_EXCL)?;
            } else {
                changer.remove_address(request.index, ip.into(), Some(prefix))?;
            }
        }
        op::SIOCADDRT | op::SIOCDELRT => {
            let changer = Changer::new(current, network, By::default())?;
            let (entry, named) = if v6 { route6(current, at)? } else { route4(current, at)? };
            let _alone = CHANGES.lock();
            reroute(&changer, command == op::SIOCADDRT, entry, named)?;
        }
        op::SIOCSARP | op::SIOCDARP => {
            let changer = Changer::new(current, network, By::default())?;
            let request = UserPtr::<ArpReq>::new(at).read(current)?;
            let _alone = CHANGES.lock();
            arp(&changer, &request, command == op::SIOCSARP)?;
        }
        op::SIOCSIFFLAGS
        | op::SIOCSIFADDR
        | op::SIOCSIFDSTADDR
        | op::SIOCSIFBRDADDR
        | op::SIOCSIFNETMASK
        | op::SIOCSIFMTU
        | op::SIOCSIFHWADDR
        | op::SIOCSIFTXQLEN
        | op::SIOCSIFNAME
        | op::SIOCSIFMETRIC => {
            let request = UserPtr::<IfReq>::new(at).read(current)?;
            let changer = Changer::new(current, network, By::default())?;
            let _alone = CHANGES.lock();
            change(&changer, command, &request)?;
        }
        _ => return Err(Errno::ENOTTY.into()),
    }
    Ok(0)
}

fn word(value: &[u8]) -> u32 {
    value.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

/// The address of a `struct sockaddr_in`; EINVAL for another family's.
fn v4(address: &[u8]) -> Result<Ipv4Addr, Errno> {
    match Address::parse(address.get(..16).unwrap_or(address))? {
        Address::Inet(SocketAddr::V4(address)) => Ok(*address.ip()),
        _ => Err(Errno::EINVAL),
    }
}

/// The prefix that a mask stands for.
fn prefix(mask: Ipv4Addr) -> Result<u8, Errno> {
    let bits = mask.to_bits();
    if bits.leading_ones() + bits.trailing_zeros() >= 32 { Ok(bits.leading_ones() as u8) } else { Err(Errno::EINVAL) }
}

/// The network that an address is in by its class (inet_abc_len of the kernel).
fn class(ip: Ipv4Addr) -> u8 {
    match ip.octets() {
        [0, 0, 0, 0] | [255, 255, 255, 255] => 0,
        [0..=127, ..] => 8,
        [128..=191, ..] => 16,
        [192..=223, ..] => 24,
        _ => 32,
    }
}

fn change(changer: &Changer<'_>, command: u32, request: &IfReq) -> Result<(), Errno> {
    let shown = super::of(changer.network());
    let interface = shown.iter().find(|found| found.is_named(request.name())).ok_or(Errno::ENODEV)?;
    let index = interface.index;
    let first = interface.addresses().into_iter().find(|own| own.ip.is_ipv4());
    match command {
        op::SIOCSIFFLAGS => {
            let flags = u32::from(u16::from_ne_bytes([request.value[0], request.value[1]]));
            changer.set_flags(index, flags, u32::from(u16::MAX))
        }
        op::SIOCSIFMTU => changer.set_mtu(index, word(&request.value)),
        op::SIOCSIFTXQLEN => changer.set_queue_length(index, word(&request.value)),
        op::SIOCSIFNAME => {
            let name = request.value.get(..NAME).unwrap_or(&[]).split(|byte| *byte == 0).next().unwrap_or(&[]);
            changer.set_name(index, name)
        }
        op::SIOCSIFHWADDR => {
            let same = interface.link.as_ref().is_some_and(|link| request.value.get(2..8) == Some(&link.mac));
            if same { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
        }
        op::SIOCSIFADDR => {
            let ip = v4(&request.value)?;
            let prefix = class(ip);
            if let Some(first) = first {
                changer.remove_address(index, first.ip, Some(first.prefix))?;
            }
            if ip.is_unspecified() { Ok(()) } else { put(changer, interface, ip, prefix) }
        }
        op::SIOCSIFNETMASK => {
            let (prefix, first) = (prefix(v4(&request.value)?)?, first.ok_or(Errno::EADDRNOTAVAIL)?);
            let IpAddr::V4(ip) = first.ip else { return Ok(()) };
            if prefix == first.prefix {
                return Ok(());
            }
            changer.remove_address(index, first.ip, Some(first.prefix))?;
            put(changer, interface, ip, prefix)
        }
        op::SIOCSIFBRDADDR => {
            let own = Own { broadcast: Some(v4(&request.value)?), ..first.ok_or(Errno::EADDRNOTAVAIL)? };
            changer.add_address(index, own, nl::NLM_F_REPLACE)
        }
        _ => Err(Errno::EOPNOTSUPP),
    }
}

fn put(changer: &Changer<'_>, interface: &Interface, ip: Ipv4Addr, prefix: u8) -> Result<(), Errno> {
    let scope = if ip.is_loopback() { nl::rt_scope_t::RT_SCOPE_HOST } else { nl::rt_scope_t::RT_SCOPE_UNIVERSE };
    let own = Own::new(ip.into(), prefix, scope as u8);
    let broadcast = own.everybody().filter(|_| interface.link.is_some());
    changer.add_address(interface.index, Own { broadcast, ..own }, nl::NLM_F_EXCL)
}

/// The name at `at`, of a device.
fn name_at(current: &Current, at: u64) -> Result<Vec<u8>, Fail> {
    let name = UserPtr::<[u8; NAME]>::new(UserVa::new(at)).read(current)?;
    Ok(name.split(|byte| *byte == 0).next().unwrap_or(&[]).to_vec())
}

/// A route and whether it names its device.
fn route4(current: &Current, at: UserVa) -> Result<(Entry, bool), Fail> {
    let request = UserPtr::<RtEntry>::new(at).read(current)?;
    let flags = u32::from(request.flags);
    let to = v4(&request.to)?;
    let family = u32::from(u16::from_ne_bytes([request.mask[0], request.mask[1]]));
    let mask = if family == 0 {
        Ipv4Addr::from_bits(word(request.mask.get(4..).unwrap_or(&[])).to_be())
    } else {
        v4(&request.mask)?
    };
    let prefix = if flags & HOST != 0 { 32 } else { prefix(mask)? };
    let gateway = if flags & GATEWAY != 0 { Some(IpAddr::V4(v4(&request.gateway)?)) } else { None };
    let interface = match request.device {
        0 => 0,
        at => super::named(&NetNs::of(current), &name_at(current, at)?).ok_or(Errno::ENODEV)?,
    };
    let link = nl::rt_scope_t::RT_SCOPE_LINK as u8;
    let kind = if flags & REJECT != 0 { nl::RTN_UNREACHABLE } else { nl::RTN_UNICAST };
    let spec = RouteSpec {
        to: to.into(),
        prefix,
        gateway,
        interface,
        source: None,
        // One more than it is, so that 0 says nothing.
        metric: u32::try_from(i32::from(request.metric) - 1).unwrap_or(0),
        protocol: nl::RTPROT_BOOT as u8,
        scope: if gateway.is_some() || flags & REJECT != 0 { 0 } else { link },
        kind: kind as u8,
    };
    if network_of(spec.to, prefix) != spec.to {
        return Err(Errno::EINVAL.into());
    }
    Ok((Entry { spec, table: stack::MAIN, onlink: false }, request.device != 0))
}

fn route6(current: &Current, at: UserVa) -> Result<(Entry, bool), Fail> {
    let request = UserPtr::<RtMessage6>::new(at).read(current)?;
    if request.from_prefix != 0 {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let prefix = u8::try_from(request.prefix).ok().filter(|prefix| *prefix <= 128).ok_or(Errno::EINVAL)?;
    let gateway = (request.flags & GATEWAY != 0).then(|| Ipv6Addr::from(request.gateway).into());
    let kind = if request.flags & REJECT != 0 { nl::RTN_UNREACHABLE } else { nl::RTN_UNICAST };
    let spec = RouteSpec {
        to: network_of(Ipv6Addr::from(request.to).into(), prefix),
        prefix,
        gateway,
        interface: request.interface,
        source: None,
        metric: if request.metric == 0 { 1024 } else { request.metric },
        protocol: nl::RTPROT_BOOT as u8,
        scope: 0,
        kind: kind as u8,
    };
    Ok((Entry { spec, table: stack::MAIN, onlink: false }, request.interface != 0))
}

fn reroute(changer: &Changer<'_>, new: bool, entry: Entry, named: bool) -> Result<(), Errno> {
    if new {
        return stack::add_route(changer.network(), entry, nl::NLM_F_CREATE | nl::NLM_F_EXCL, changer.by);
    }
    let spec = entry.spec;
    let wanted = Wanted {
        table: entry.table,
        gateway: spec.gateway,
        interface: named.then_some(spec.interface),
        metric: Some(spec.metric).filter(|metric| spec.to.is_ipv4() && *metric != 0),
        ..Wanted::default()
    };
    stack::remove_route(changer.network(), (spec.to, spec.prefix), &wanted, changer.by)
}

/// The interface of a request about a neighbour: the one that it names, or the one that leads there.
fn arp_interface(network: &super::Shown, request: &ArpReq, ip: Ipv4Addr) -> Result<usize, Errno> {
    let name = request.device.split(|byte| *byte == 0).next().unwrap_or(&[]);
    let found = if name.is_empty() {
        let hop = stack::lookup(ip.into(), None).map(|(hop, _)| hop.interface.index).ok();
        network.iter().position(|interface| Some(interface.index) == hop)
    } else {
        Some(network.iter().position(|interface| interface.is_named(name)).ok_or(Errno::ENODEV)?)
    };
    found.ok_or(Errno::ENETUNREACH)
}

fn arp(changer: &Changer<'_>, request: &ArpReq, new: bool) -> Result<(), Errno> {
    let ip = v4(&request.ip)?;
    if request.flags as u32 & if_arp::ATF_PUBL != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let shown = super::of(changer.network());
    let at = arp_interface(&shown, request, ip)?;
    let link = shown.get(at).and_then(|interface| interface.link.as_ref()).ok_or(Errno::EINVAL)?;
    let now_ns = platform().monotonic_ns();
    if !new {
        return link.neighbours.forget(ip.into(), now_ns).map(drop).ok_or(Errno::ENXIO);
    }
    let mac = *request.mac.get(2..).and_then(|mac| mac.first_chunk::<6>()).unwrap_or(&[0; 6]);
    let permanent = request.flags as u32 & if_arp::ATF_PERM != 0;
    for packet in link.neighbours.enter(ip.into(), Neighbour { mac, permanent, fresh: false }, now_ns) {
        link.push(mac, &packet);
    }
    link.kick();
    Ok(())
}

fn get_arp(current: &Current, at: UserVa) -> Result<u64, Fail> {
    let pointer = UserPtr::<ArpReq>::new(at);
    let mut request = pointer.read(current)?;
    let ip = v4(&request.ip)?;
    let shown = super::of(&NetNs::of(current));
    let at = arp_interface(&shown, &request, ip)?;
    let interface = shown.get(at).ok_or(Errno::ENODEV)?;
    let link = interface.link.as_ref().ok_or(Errno::ENXIO)?;
    let known = link.neighbours.get(ip.into(), platform().monotonic_ns()).ok_or(Errno::ENXIO)?;
    let [h0, h1] = interface.hardware_type().to_ne_bytes();
    let [a, b, c, d, e, f] = known.mac;
    request.mac = [h0, h1, a, b, c, d, e, f, 0, 0, 0, 0, 0, 0, 0, 0];
    request.flags = (if_arp::ATF_COM | if known.permanent { if_arp::ATF_PERM } else { 0 }) as i32;
    pointer.write(current, &request)?;
    Ok(0)
}
