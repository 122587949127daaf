//! Network interfaces: loopback, and those that were taken over from the host. `change` changes them; `ioctl` shows them as ioctl(2)
//! does, `set` decodes what it is to change. Locks: `Rank::Leaf`, an interface's addresses and its name; whoever changes something holds `change::CHANGES` besides.

pub mod change;
mod ioctl;
mod set;

pub use ioctl::ioctl;

use super::NetNs;
use super::stack::{self, Link};
use crate::settings;
use crate::sync::{Rank, RwLock};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use linker::spec::{AddressSpec, InterfaceSpec, NetworkSpec};
use linux_raw_sys::net as raw;
use linux_raw_sys::netlink as nl;

/// Interface number of `lo`.
pub const LOOPBACK_INDEX: u32 = 1;
/// Its MTU.
pub const LOOPBACK_MTU: u32 = 65536;
/// ARPHRD_LOOPBACK (netdevice(7)).
pub const LOOPBACK_HARDWARE: u16 = linux_raw_sys::if_arp::ARPHRD_LOOPBACK as u16;
/// ARPHRD_ETHER.
const ETHERNET_HARDWARE: u16 = linux_raw_sys::if_arp::ARPHRD_ETHER as u16;
/// Transmit queue length of `lo`.
pub const QUEUE_LENGTH: u32 = 1000;
/// What an interface has while it is up.
const RUNNING: u32 = UP | raw::net_device_flags::IFF_RUNNING as u32 | raw::net_device_flags::IFF_LOWER_UP as u32;
const UP: u32 = raw::net_device_flags::IFF_UP as u32;
const LOOPBACK: u32 = raw::net_device_flags::IFF_LOOPBACK as u32;

/// An address of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Own {
    /// Address.
    pub ip: IpAddr,
    /// Bits of its network.
    pub prefix: u8,
    /// RT_SCOPE_*.
    pub scope: u8,
    /// IFA_F_*.
    pub flags: u32,
    /// Who is shown as everybody; what the prefix says is so anyway.
    pub broadcast: Option<Ipv4Addr>,
}

impl Own {
    /// An address for good.
    pub fn new(ip: IpAddr, prefix: u8, scope: u8) -> Self {
        Self { ip, prefix, scope, flags: nl::IFA_F_PERMANENT, broadcast: None }
    }

    /// Of an interface that was taken over.
    fn taken(spec: &AddressSpec) -> Self {
        let own = Self::new(spec.ip, spec.prefix, spec.scope);
        Self { broadcast: own.everybody(), ..own }
    }

    /// The address for everybody in its network.
    pub fn everybody(&self) -> Option<Ipv4Addr> {
        match self.ip {
            IpAddr::V4(ip) if self.prefix < 31 => {
                Some(Ipv4Addr::from_bits(ip.to_bits() | u32::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0)))
            }
            _ => None,
        }
    }

    /// Whether it is not the first of its network (IFA_F_SECONDARY; of IPv6 that bit means another thing).
    pub fn is_secondary(&self) -> bool {
        self.ip.is_ipv4() && self.flags & nl::IFA_F_SECONDARY != 0
    }
}

/// One interface. Those of the first network live as long as the sandbox.
pub struct Interface {
    /// Number.
    pub index: u32,
    /// The wire; loopback has none.
    pub link: Option<Link>,
    name: RwLock<Vec<u8>>,
    flags: AtomicU32,
    mtu: AtomicU32,
    max_mtu: u32,
    queue_length: AtomicU32,
    addresses: RwLock<Vec<Own>>,
    /// It is up, or has been: what leads to its addresses stays from then on.
    was_up: AtomicBool,
}

static INTERFACES: spin::Once<Vec<Interface>> = spin::Once::new();

impl Interface {
    fn new(spec: &InterfaceSpec, link: Option<Link>) -> Self {
        Self {
            index: spec.index,
            link,
            name: RwLock::new(Rank::Leaf, spec.name.clone()),
            flags: AtomicU32::new(spec.flags),
            mtu: AtomicU32::new(spec.mtu),
            max_mtu: spec.mtu,
            queue_length: AtomicU32::new(spec.queue_length),
            addresses: RwLock::new(Rank::Leaf, spec.addresses.iter().map(Own::taken).collect()),
            was_up: AtomicBool::new(spec.flags & UP != 0),
        }
    }

    /// Loopback, without addresses while it is down.
    pub fn loopback(up: bool) -> Self {
        let new = Self::new(
            &InterfaceSpec {
                name: b"lo".to_vec(),
                index: LOOPBACK_INDEX,
                flags: LOOPBACK | if up { RUNNING } else { 0 },
                mtu: LOOPBACK_MTU,
                queue_length: QUEUE_LENGTH,
                ..InterfaceSpec::default()
            },
            None,
        );
        // As large as one likes: nothing is in the way.
        let new = Self { max_mtu: i32::MAX as u32, ..new };
        if up {
            *new.addresses.write() = Self::of_loopback().into();
        }
        new
    }

    /// The addresses that loopback has when it is up.
    fn of_loopback() -> [Own; 2] {
        let host = nl::rt_scope_t::RT_SCOPE_HOST as u8;
        [Own::new(Ipv4Addr::LOCALHOST.into(), 8, host), Own::new(Ipv6Addr::LOCALHOST.into(), 128, host)]
    }

    /// An interface over this link.
    pub fn over(spec: &InterfaceSpec, link: Link) -> Self {
        let new = Self::new(spec, Some(link));
        if settings::is_v6_disabled(&spec.name) {
            new.addresses.write().retain(|own| own.ip.is_ipv4());
        }
        new
    }

    /// Its name.
    pub fn name(&self) -> Vec<u8> {
        self.name.read().clone()
    }

    /// Whether that is its name.
    pub fn is_named(&self, name: &[u8]) -> bool {
        *self.name.read() == name
    }

    /// IFF_*.
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Whether it is up.
    pub fn is_up(&self) -> bool {
        self.flags() & UP != 0
    }

    /// Largest packet, in bytes.
    pub fn mtu(&self) -> u32 {
        self.mtu.load(Ordering::Relaxed)
    }

    /// Transmit queue length.
    pub fn queue_length(&self) -> u32 {
        self.queue_length.load(Ordering::Relaxed)
    }

    /// Its addresses.
    pub fn addresses(&self) -> Vec<Own> {
        self.addresses.read().clone()
    }

    /// Whether this is one of its addresses.
    pub fn has(&self, ip: IpAddr) -> bool {
        self.addresses.read().iter().any(|own| own.ip == ip)
    }

    /// Whether its networks are ours as a whole: loopback's are, in IPv4, once it was up.
    pub fn is_whole(&self) -> bool {
        self.link.is_none() && self.was_up.load(Ordering::Relaxed)
    }

    /// Whether packets to `ip` are for us by what addresses it has, even while it is down.
    pub fn is_local(&self, ip: IpAddr) -> bool {
        let whole = ip.is_ipv4() && self.is_whole();
        self.addresses.read().iter().any(|own| own.ip == ip || whole && is_in(ip, own.ip, own.prefix))
    }

    /// The source of packets to an address of this machine: itself, but of loopback's networks what is no address is reached from
    /// the one that is.
    pub fn source_here(&self, to: IpAddr) -> IpAddr {
        let near = |own: &Own| is_in(to, own.ip, own.prefix);
        let addresses = self.addresses.read();
        if !self.is_whole() || to.is_ipv6() || addresses.iter().any(|own| own.ip == to) {
            return to;
        }
        addresses.iter().find(|own| near(own)).map_or(to, |own| own.ip)
    }

    /// ARPHRD_*.
    pub fn hardware_type(&self) -> u16 {
        if self.link.is_some() { ETHERNET_HARDWARE } else { LOOPBACK_HARDWARE }
    }

    /// Whether `ip` is the address for everybody in one of its networks.
    pub fn is_broadcast(&self, ip: IpAddr) -> bool {
        self.link.is_some()
            && ip.is_ipv4()
            && self.is_up()
            && self.addresses.read().iter().any(|own| own.everybody().is_some_and(|all| ip == all))
    }

    /// The source address for packets to `to`: one of its network, else one as widely valid.
    pub fn source_for(&self, to: IpAddr) -> Option<IpAddr> {
        let addresses = self.addresses.read();
        let same_family = || addresses.iter().filter(|own| own.ip.is_ipv4() == to.is_ipv4());
        let near = matches!(to, IpAddr::V6(ip) if is_link_local(ip));
        let as_wide = |own: &&Own| matches!(own.ip, IpAddr::V6(ip) if is_link_local(ip)) == near;
        let close = same_family().filter(as_wide).find(|own| is_in(to, own.ip, own.prefix));
        close.or_else(|| same_family().find(as_wide)).or_else(|| same_family().next()).map(|own| own.ip)
    }
}

/// Says what interfaces there are beside loopback. Counts only once, before anybody has looked.
pub fn set_up(spec: &NetworkSpec) {
    INTERFACES.call_once(|| {
        let link = |spec: &InterfaceSpec| Interface::over(spec, Link::new(spec.index, spec.socket, spec.mac));
        let lo = Interface::loopback(true);
        if settings::is_v6_disabled(b"lo") {
            lo.addresses.write().retain(|own| own.ip.is_ipv4());
        }
        core::iter::once(lo).chain(spec.interfaces.iter().map(link)).collect()
    });
}

/// All interfaces of the first network.
#[cfg(not(test))]
pub fn interfaces() -> &'static [Interface] {
    INTERFACES.call_once(|| [Interface::loopback(true)].into())
}

/// All interfaces: tests have one that leads into a list.
#[cfg(test)]
pub fn interfaces() -> &'static [Interface] {
    INTERFACES.call_once(|| [Interface::loopback(true), super::stack::tests::interface()].into())
}

/// The interfaces of a network.
pub enum Shown {
    /// The first one's.
    All(&'static [Interface]),
    /// A program's own: loopback.
    Own(Arc<NetNs>),
}

impl core::ops::Deref for Shown {
    type Target = [Interface];

    fn deref(&self) -> &[Interface] {
        match self {
            Self::All(all) => all,
            Self::Own(own) => core::slice::from_ref(own.loopback()),
        }
    }
}

/// The interfaces of `network`.
pub fn of(network: &Option<Arc<NetNs>>) -> Shown {
    match network {
        None => Shown::All(interfaces()),
        Some(network) => Shown::Own(network.clone()),
    }
}

/// The interface of the first network with this number.
pub fn by_index(index: u32) -> Option<&'static Interface> {
    interfaces().iter().find(|interface| interface.index == index)
}

/// The number of the interface of a network that has this name.
pub fn named(network: &Option<Arc<NetNs>>, name: &[u8]) -> Option<u32> {
    of(network).iter().find(|interface| interface.is_named(name)).map(|interface| interface.index)
}

/// Whether `ip` is in the network of `prefix` bits that `network` is in.
pub fn is_in(ip: IpAddr, network: IpAddr, prefix: u8) -> bool {
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            let rest = 32_u32.saturating_sub(u32::from(prefix));
            (ip.to_bits() ^ network.to_bits()).checked_shr(rest).unwrap_or(0) == 0
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => {
            let rest = 128_u32.saturating_sub(u32::from(prefix));
            (ip.to_bits() ^ network.to_bits()).checked_shr(rest).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// The first address of the network of `prefix` bits that `ip` is in.
pub fn network_of(ip: IpAddr, prefix: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let rest = 32_u32.saturating_sub(u32::from(prefix));
            Ipv4Addr::from_bits(ip.to_bits() & u32::MAX.checked_shl(rest).unwrap_or(0)).into()
        }
        IpAddr::V6(ip) => {
            let rest = 128_u32.saturating_sub(u32::from(prefix));
            Ipv6Addr::from_bits(ip.to_bits() & u128::MAX.checked_shl(rest).unwrap_or(0)).into()
        }
    }
}

/// fe80::/10, and groups of the link.
pub fn is_link_local(ip: Ipv6Addr) -> bool {
    let [first, ..] = ip.segments();
    first & 0xffc0 == 0xfe80 || first == 0xff02
}

/// Whether packets to `ip` are for this sandbox: it is an address of an interface, or a route says so.
pub fn is_own(ip: IpAddr) -> bool {
    interfaces().iter().any(|interface| interface.is_local(ip)) || stack::is_local(ip)
}
