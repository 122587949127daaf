//! Changes of interfaces by those who may: addresses, on and off, MTU, names. What follows from them (routes, what the groups of
//! netlink are told) is done along the way, in Linux's order.

use super::{Interface, LOOPBACK, Own, RUNNING, UP, is_in, is_link_local};
use crate::errno::Errno;
use crate::net::NetNs;
use crate::net::host;
use crate::net::netlink::notify::{self, By, Happened};
use crate::net::stack::{self, Entry};
use crate::settings;
use crate::sync::SleepLock;
use crate::task::{Cap, Current};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use core::sync::atomic::Ordering;
use linux_raw_sys::net as raw;
use linux_raw_sys::net::net_device_flags as flag;
use linux_raw_sys::netlink as nl;

/// One change at a time. Held by whoever calls what is here (the routes' changes, too); never across a user copy.
pub static CHANGES: SleepLock<()> = SleepLock::new(());

/// Addresses of an interface at most.
const MAX_ADDRESSES: usize = 4096;
/// Flags that can be set and have no further meaning here: every frame comes in anyway.
const PLAIN: u32 = flag::IFF_DEBUG as u32
    | flag::IFF_NOTRAILERS as u32
    | flag::IFF_PROMISC as u32
    | flag::IFF_ALLMULTI as u32
    | flag::IFF_MULTICAST as u32
    | flag::IFF_DYNAMIC as u32;
/// The least that IPv4 and IPv6 work with (ETH_MIN_MTU, IPV6_MIN_MTU of the kernel).
const MIN_MTU: u32 = 68;

/// A network and what may be changed in it.
pub struct Changer<'a> {
    network: &'a Option<Arc<NetNs>>,
    /// Whose request it is.
    pub by: By,
}

impl<'a> Changer<'a> {
    /// EPERM for those who may not, and where the network is the host's.
    pub fn new(current: &Current, network: &'a Option<Arc<NetNs>>, by: By) -> Result<Self, Errno> {
        let ours = network.is_some() || !host::is_enabled();
        if ours && NetNs::holds(current, Cap::NetAdmin) { Ok(Self { network, by }) } else { Err(Errno::EPERM) }
    }

    /// Its network.
    pub fn network(&self) -> &'a Option<Arc<NetNs>> {
        self.network
    }

    fn with<T>(&self, index: u32, work: impl FnOnce(&Interface) -> Result<T, Errno>) -> Result<T, Errno> {
        let shown = super::of(self.network);
        work(shown.iter().find(|interface| interface.index == index).ok_or(Errno::ENODEV)?)
    }

    /// Adds an address, or says something new of one that is there, where `flags` (NLM_F_*) allow it.
    pub fn add_address(&self, index: u32, own: Own, flags: u32) -> Result<(), Errno> {
        self.with(index, |interface| {
            check(interface, &own)?;
            let mut own = own;
            let addresses = interface.addresses();
            let same = |other: &Own| other.ip == own.ip && (own.ip.is_ipv6() || other.prefix == own.prefix);
            let found = addresses.iter().find(|other| same(other)).copied();
            if found.is_some() && flags & (nl::NLM_F_EXCL | nl::NLM_F_REPLACE) != nl::NLM_F_REPLACE {
                return Err(Errno::EEXIST);
            }
            if found.is_none() && addresses.len() >= MAX_ADDRESSES {
                return Err(Errno::ENOBUFS);
            }
            let first = |other: &&Own| {
                other.prefix == own.prefix && is_in(own.ip, other.ip, own.prefix) && !other.is_secondary()
            };
            let secondary = match found {
                Some(found) => found.is_secondary(),
                None => own.ip.is_ipv4() && addresses.iter().any(|other| first(&other)),
            };
            if secondary {
                own.flags |= nl::IFA_F_SECONDARY;
            }
            if let Some(found) = found {
                interface.addresses.write().retain(|other| *other != found);
                stack::unfollow(self.network, interface, &found);
            }
            self.put(interface, own, self.by);
            Ok(())
        })
    }

    /// Puts an address in its place, and does what follows.
    fn put(&self, interface: &Interface, own: Own, by: By) {
        let before = stack::local_routes(interface);
        {
            let mut addresses = interface.addresses.write();
            // Secondary addresses come behind the first ones, and those behind the ones that are less wide; of IPv6's the
            // widest are shown first.
            let at = match own.ip {
                IpAddr::V4(_) if !own.is_secondary() => {
                    let before = |other: &Own| other.ip.is_ipv4() && !other.is_secondary() && other.scope >= own.scope;
                    Some(addresses.iter().rposition(before).map_or(0, |last| last + 1))
                }
                IpAddr::V4(_) => addresses.iter().position(|other| other.ip.is_ipv6()),
                IpAddr::V6(_) => addresses.iter().position(|other| other.ip.is_ipv6() && other.scope >= own.scope),
            };
            let at = at.unwrap_or(addresses.len());
            addresses.insert(at, own);
        }
        notify::address(self.network, interface, &own, Happened::New(0), by);
        self.tell_local(&before, &stack::local_routes(interface));
        if interface.is_up() {
            stack::follow(self.network, interface, &own);
        }
    }

    fn tell_local(&self, before: &[Entry], after: &[Entry]) {
        // Their networks first.
        let gone = || before.iter().filter(|entry| !after.contains(entry));
        let is_host = |entry: &&Entry| entry.is(nl::RTN_LOCAL as u32) && entry.spec.prefix == 32;
        for entry in gone().filter(|entry| !is_host(entry)).chain(gone().filter(is_host)) {
            notify::route(self.network, entry, Happened::Gone, By::default());
        }
        for entry in after.iter().filter(|entry| !before.contains(entry)) {
            let flags = nl::NLM_F_CREATE | nl::NLM_F_APPEND;
            notify::route(self.network, entry, Happened::New(flags), By::default());
        }
    }

    /// Removes an address, and with the first of its network the others of it. EADDRNOTAVAIL where it is not there.
    pub fn remove_address(&self, index: u32, ip: IpAddr, prefix: Option<u8>) -> Result<(), Errno> {
        self.with(index, |interface| {
            let is_it = |own: &&Own| own.ip == ip && prefix.is_none_or(|prefix| prefix == own.prefix);
            let found = interface.addresses().iter().find(is_it).copied().ok_or(Errno::EADDRNOTAVAIL)?;
            let with_it = |own: &Own| {
                found.ip.is_ipv4()
                    && !found.is_secondary()
                    && own.is_secondary()
                    && own.prefix == found.prefix
                    && is_in(own.ip, found.ip, found.prefix)
            };
            let others = interface.addresses().into_iter().filter(with_it);
            for own in others.chain([found]).collect::<Vec<_>>() {
                self.take(interface, &own, self.by);
            }
            Ok(())
        })
    }

    fn take(&self, interface: &Interface, own: &Own, by: By) {
        let before = stack::local_routes(interface);
        interface.addresses.write().retain(|other| other != own);
        notify::address(self.network, interface, own, Happened::Gone, by);
        self.tell_local(&before, &stack::local_routes(interface));
        stack::unfollow(self.network, interface, own);
    }

    /// Sets those IFF_* that are in `mask`. EOPNOTSUPP where one of them cannot be changed here, but by Linux.
    pub fn set_flags(&self, index: u32, flags: u32, mask: u32) -> Result<(), Errno> {
        self.with(index, |interface| {
            let old = interface.flags();
            let change = (old ^ flags) & mask;
            if change & flag::IFF_NOARP as u32 != 0 {
                return Err(Errno::EOPNOTSUPP);
            }
            let plain = change & PLAIN;
            interface.flags.store(old ^ plain, Ordering::Relaxed);
            match change & UP != 0 {
                true if old & UP == 0 => self.up(interface, plain),
                true => self.down(interface, plain),
                false if plain != 0 => notify::link(self.network, interface, plain, self.by),
                false => {}
            }
            Ok(())
        })
    }

    fn up(&self, interface: &Interface, changed: u32) {
        let before = stack::local_routes(interface);
        interface.flags.fetch_or(RUNNING, Ordering::Relaxed);
        interface.was_up.store(true, Ordering::Relaxed);
        notify::link(self.network, interface, changed | RUNNING, self.by);
        self.tell_local(&before, &stack::local_routes(interface));
        for own in interface.addresses() {
            stack::follow(self.network, interface, &own);
        }
        let without_v6 = self.network.is_none() && settings::is_v6_disabled(&interface.name());
        if interface.flags() & LOOPBACK != 0 {
            let missing = |own: &Own| !interface.has(own.ip) && (own.ip.is_ipv4() || !without_v6);
            for own in Interface::of_loopback().into_iter().filter(missing) {
                self.put(interface, own, By::default());
            }
        } else if let Some(link) = interface.link.as_ref().filter(|_| !without_v6) {
            let scope = nl::rt_scope_t::RT_SCOPE_LINK as u8;
            let own = Own::new(of_hardware(link.mac).into(), 64, scope);
            if !interface.has(own.ip) {
                self.put(interface, own, By::default());
            }
        }
    }

    fn down(&self, interface: &Interface, changed: u32) {
        interface.flags.fetch_and(!RUNNING, Ordering::Relaxed);
        notify::link(self.network, interface, changed | RUNNING, self.by);
        stack::down(self.network, interface.index);
        // IPv6's addresses go with it, IPv4's stay.
        for own in interface.addresses().iter().filter(|own| own.ip.is_ipv6()) {
            self.take(interface, own, By::default());
        }
        if let Some(link) = &interface.link {
            link.neighbours.clear();
        }
    }

    /// EINVAL for less than anything works with, and for more than the host's interface takes.
    pub fn set_mtu(&self, index: u32, mtu: u32) -> Result<(), Errno> {
        self.with(index, |interface| {
            let least = if interface.link.is_some() { MIN_MTU } else { 0 };
            if mtu < least || mtu > interface.max_mtu {
                return Err(Errno::EINVAL);
            }
            if interface.mtu.swap(mtu, Ordering::Relaxed) != mtu {
                notify::link(self.network, interface, 0, self.by);
            }
            Ok(())
        })
    }

    /// Transmit queue length: shown only, there is no queue of packets.
    pub fn set_queue_length(&self, index: u32, length: u32) -> Result<(), Errno> {
        self.with(index, |interface| {
            if interface.queue_length.swap(length, Ordering::Relaxed) != length {
                notify::link(self.network, interface, 0, self.by);
            }
            Ok(())
        })
    }

    /// A new name: EINVAL for what is none, EEXIST for another interface's.
    pub fn set_name(&self, index: u32, name: &[u8]) -> Result<(), Errno> {
        let valid = !name.is_empty()
            && name.len() < raw::IFNAMSIZ as usize
            && name != b"."
            && name != b".."
            && !name.iter().any(|byte| b"/:%".contains(byte) || byte.is_ascii_whitespace());
        if !valid {
            return Err(Errno::EINVAL);
        }
        self.with(index, |interface| {
            if interface.is_named(name) {
                return Ok(());
            }
            if super::named(self.network, name).is_some() {
                return Err(Errno::EEXIST);
            }
            *interface.name.write() = name.to_vec();
            notify::link(self.network, interface, 0, self.by);
            Ok(())
        })
    }
}

/// Whether an interface can have this address.
fn check(interface: &Interface, own: &Own) -> Result<(), Errno> {
    match own.ip {
        IpAddr::V4(_) if own.prefix > 32 => Err(Errno::EINVAL),
        IpAddr::V4(_) => Ok(()),
        IpAddr::V6(_) if own.prefix > 128 => Err(Errno::EINVAL),
        IpAddr::V6(ip) if ip.is_unspecified() || ip.is_multicast() => Err(Errno::EADDRNOTAVAIL),
        IpAddr::V6(ip) if ip.is_loopback() && interface.link.is_some() => Err(Errno::EADDRNOTAVAIL),
        IpAddr::V6(_) if settings::is_v6_disabled(&interface.name()) => Err(Errno::EACCES),
        IpAddr::V6(_) => Ok(()),
    }
}

/// The scope of an IPv6 address: it says it itself.
pub fn scope6(ip: Ipv6Addr) -> u8 {
    let scope = match ip {
        _ if ip.is_loopback() => nl::rt_scope_t::RT_SCOPE_HOST,
        _ if is_link_local(ip) => nl::rt_scope_t::RT_SCOPE_LINK,
        _ => nl::rt_scope_t::RT_SCOPE_UNIVERSE,
    };
    scope as u8
}

/// The link-local address that follows from a hardware address (RFC 4291, appendix A).
fn of_hardware([a, b, c, d, e, f]: [u8; 6]) -> Ipv6Addr {
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}
