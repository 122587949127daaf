//! Network interfaces: loopback, and those that were taken over from the host; as ioctl(2) shows them.

use super::NetNs;
use super::stack::Link;
use crate::errno::Errno;
use crate::settings;
use crate::syscall::{Fail, UserPtr};
use crate::task::{Cap, Current};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use linker::addr::UserVa;
use linker::spec::NetworkSpec;
use linux_raw_sys::ioctl as op;
use linux_raw_sys::net as raw;
use linux_raw_sys::netlink::rt_scope_t;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Interface number of `lo`.
pub const LOOPBACK_INDEX: u32 = 1;
/// Its MTU.
pub const LOOPBACK_MTU: u32 = 65536;
/// ARPHRD_LOOPBACK (netdevice(7)).
pub const LOOPBACK_HARDWARE: u16 = linux_raw_sys::if_arp::ARPHRD_LOOPBACK as u16;
/// ARPHRD_ETHER.
const ETHERNET_HARDWARE: u16 = linux_raw_sys::if_arp::ARPHRD_ETHER as u16;
/// Questions to a device's driver (include/uapi/linux/sockios.h; nobody exports it).
const SIOCETHTOOL: u32 = 0x8946;
/// Transmit queue length of `lo`.
pub const QUEUE_LENGTH: u32 = 1000;

/// An address of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Own {
    /// Address.
    pub ip: IpAddr,
    /// Bits of its network.
    pub prefix: u8,
    /// RT_SCOPE_*.
    pub scope: u8,
}

/// One interface. They live as long as the sandbox.
pub struct Interface {
    /// Name.
    pub name: Vec<u8>,
    /// Number.
    pub index: u32,
    /// IFF_*.
    pub flags: u32,
    /// MTU.
    pub mtu: u32,
    /// Transmit queue length.
    pub queue_length: u32,
    /// Addresses.
    pub addresses: Vec<Own>,
    /// The wire; loopback has none.
    pub link: Option<Link>,
}

static INTERFACES: spin::Once<Vec<Interface>> = spin::Once::new();

fn loopback() -> Interface {
    let host = rt_scope_t::RT_SCOPE_HOST as u8;
    Interface {
        name: b"lo".to_vec(),
        index: LOOPBACK_INDEX,
        flags: raw::net_device_flags::IFF_UP as u32
            | raw::net_device_flags::IFF_LOOPBACK as u32
            | raw::net_device_flags::IFF_RUNNING as u32
            | raw::net_device_flags::IFF_LOWER_UP as u32,
        mtu: LOOPBACK_MTU,
        queue_length: QUEUE_LENGTH,
        addresses: [
            Own { ip: Ipv4Addr::LOCALHOST.into(), prefix: 8, scope: host },
            Own { ip: Ipv6Addr::LOCALHOST.into(), prefix: 128, scope: host },
        ]
        .into(),
        link: None,
    }
}

/// Says what interfaces there are beside loopback. Counts only once, before anybody has looked.
pub fn set_up(spec: &NetworkSpec) {
    INTERFACES.call_once(|| {
        let others = spec.interfaces.iter().map(|spec| Interface {
            name: spec.name.clone(),
            index: spec.index,
            flags: spec.flags,
            mtu: spec.mtu,
            queue_length: spec.queue_length,
            addresses: spec
                .addresses
                .iter()
                .map(|own| Own { ip: own.ip, prefix: own.prefix, scope: own.scope })
                .collect(),
            link: Some(Link::new(spec.index, spec.socket, spec.mac)),
        });
        let mut all: Vec<Interface> = core::iter::once(loopback()).chain(others).collect();
        for interface in &mut all {
            if settings::is_v6_disabled(&interface.name) {
                interface.addresses.retain(|own| own.ip.is_ipv4());
            }
        }
        all
    });
}

/// All interfaces.
#[cfg(not(test))]
pub fn interfaces() -> &'static [Interface] {
    INTERFACES.call_once(|| [loopback()].into())
}

/// All interfaces: tests have one that leads into a list.
#[cfg(test)]
pub fn interfaces() -> &'static [Interface] {
    INTERFACES.call_once(|| [loopback(), super::stack::tests::interface()].into())
}

/// The interfaces of a network.
pub enum Shown {
    /// The first one's.
    All(&'static [Interface]),
    /// A program's own: loopback.
    Own(Vec<Interface>),
}

impl core::ops::Deref for Shown {
    type Target = [Interface];

    fn deref(&self) -> &[Interface] {
        match self {
            Self::All(all) => all,
            Self::Own(own) => own,
        }
    }
}

/// The interfaces of `network`.
pub fn of(network: &Option<Arc<NetNs>>) -> Shown {
    let Some(network) = network else { return Shown::All(interfaces()) };
    let mut own = loopback();
    if !network.is_up() {
        own.flags = raw::net_device_flags::IFF_LOOPBACK as u32;
    }
    own.addresses = network.addresses();
    Shown::Own([own].into())
}

/// Changes an interface's flags: loopback of a program's own network can be turned on and off.
pub fn set_flags(current: &Current, network: &Option<Arc<NetNs>>, index: u32, up: bool) -> Result<(), Errno> {
    if !NetNs::holds(current, Cap::NetAdmin) {
        return Err(Errno::EPERM);
    }
    match network {
        Some(network) if index == LOOPBACK_INDEX => {
            network.set_up(up);
            Ok(())
        }
        Some(_) => Err(Errno::ENODEV),
        None => Err(Errno::EPERM),
    }
}

/// The interface with this number.
pub fn by_index(index: u32) -> Option<&'static Interface> {
    interfaces().iter().find(|interface| interface.index == index)
}

/// The interface with this name.
pub fn by_name(name: &[u8]) -> Option<&'static Interface> {
    interfaces().iter().find(|interface| interface.name == name)
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

impl Interface {
    /// ARPHRD_*.
    pub fn hardware_type(&self) -> u16 {
        if self.link.is_some() { ETHERNET_HARDWARE } else { LOOPBACK_HARDWARE }
    }

    /// The address for everybody in the network of an IPv4 address.
    pub fn broadcast(own: &Own) -> Option<Ipv4Addr> {
        match own.ip {
            IpAddr::V4(ip) if own.prefix < 31 => {
                Some(Ipv4Addr::from_bits(ip.to_bits() | u32::MAX.checked_shr(u32::from(own.prefix)).unwrap_or(0)))
            }
            _ => None,
        }
    }

    /// Whether `ip` is the address for everybody in one of its networks.
    pub fn is_broadcast(&self, ip: IpAddr) -> bool {
        self.link.is_some() && self.addresses.iter().any(|own| Self::broadcast(own).is_some_and(|all| ip == all))
    }

    /// The source address for packets to `to`: one of its network, else one as widely valid.
    pub fn source_for(&self, to: IpAddr) -> Option<IpAddr> {
        let same_family = || self.addresses.iter().filter(|own| own.ip.is_ipv4() == to.is_ipv4());
        let near = matches!(to, IpAddr::V6(ip) if is_link_local(ip));
        let as_wide = |own: &&Own| matches!(own.ip, IpAddr::V6(ip) if is_link_local(ip)) == near;
        let close = same_family().filter(as_wide).find(|own| is_in(to, own.ip, own.prefix));
        close.or_else(|| same_family().find(as_wide)).or_else(|| same_family().next()).map(|own| own.ip)
    }
}

/// fe80::/10, and groups of the link.
pub fn is_link_local(ip: Ipv6Addr) -> bool {
    let [first, ..] = ip.segments();
    first & 0xffc0 == 0xfe80 || first == 0xff02
}

/// Whether `ip` is an address of one of the interfaces.
pub fn is_own(ip: IpAddr) -> bool {
    interfaces().iter().any(|interface| interface.addresses.iter().any(|own| own.ip == ip))
}

const NAME: usize = raw::IFNAMSIZ as usize;

/// `struct ifreq`: a name and 24 bytes that the command gives a meaning.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct IfReq {
    name: [u8; NAME],
    value: [u8; 24],
}

/// `struct ifconf`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct IfConf {
    len: i32,
    pad: u32,
    buffer: u64,
}

const _: () = {
    assert!(size_of::<IfReq>() == NAME + size_of::<raw::ifmap>());
    assert!(size_of::<IfConf>() == size_of::<raw::ifconf>());
};

fn padded(name: &[u8]) -> [u8; NAME] {
    let mut padded = [0; NAME];
    for (to, from) in padded.iter_mut().zip(name) {
        *to = *from;
    }
    padded
}

fn v4(ip: Ipv4Addr) -> [u8; 24] {
    let mut value = [0; 24];
    let address = super::address::Address::Inet(core::net::SocketAddr::new(ip.into(), 0)).encode();
    for (to, from) in value.iter_mut().zip(address) {
        *to = from;
    }
    value
}

fn number(number: u32) -> [u8; 24] {
    let mut value = [0; 24];
    for (to, from) in value.iter_mut().zip(number.to_ne_bytes()) {
        *to = from;
    }
    value
}

/// `struct sockaddr` with the device's type and address.
fn hardware(interface: &Interface) -> [u8; 24] {
    let mut value = number(u32::from(interface.hardware_type()));
    if let Some(link) = &interface.link {
        for (to, from) in value.iter_mut().skip(2).zip(link.mac) {
            *to = from;
        }
    }
    value
}

/// SIOCGIF*: what the interfaces are. Changing them: EPERM.
pub fn ioctl(current: &Current, command: u32, arg: u64) -> Result<u64, Fail> {
    let at = UserVa::new(arg);
    match command {
        op::SIOCGIFCONF => return configuration(current, UserPtr::new(at)),
        op::SIOCGIFNAME
        | op::SIOCGIFFLAGS
        | op::SIOCGIFADDR
        | op::SIOCGIFDSTADDR
        | op::SIOCGIFBRDADDR
        | op::SIOCGIFNETMASK
        | op::SIOCGIFMTU
        | op::SIOCGIFHWADDR
        | op::SIOCGIFINDEX
        | op::SIOCGIFTXQLEN
        | op::SIOCGIFMETRIC => {}
        op::SIOCSIFFLAGS => {
            let request = UserPtr::<IfReq>::new(at).read(current)?;
            let name = request.name.split(|byte| *byte == 0).next().unwrap_or(&[]);
            let network = NetNs::of(current);
            let index = of(&network).iter().find(|found| found.name == name).map(|found| found.index);
            let flags = u32::from(u16::from_ne_bytes([request.value[0], request.value[1]]));
            let up = flags & raw::net_device_flags::IFF_UP as u32 != 0;
            set_flags(current, &network, index.ok_or(Errno::ENODEV)?, up)?;
            return Ok(0);
        }
        // No device here has anything to be asked of its driver.
        SIOCETHTOOL => {
            let request = UserPtr::<IfReq>::new(at).read(current)?;
            let name = request.name.split(|byte| *byte == 0).next().unwrap_or(&[]);
            let known = of(&NetNs::of(current)).iter().any(|found| found.name == name);
            return Err(if known { Errno::EOPNOTSUPP } else { Errno::ENODEV }.into());
        }
        op::SIOCSIFADDR | op::SIOCSIFMTU | op::SIOCSIFNETMASK => return Err(Errno::EPERM.into()),
        _ => return Err(Errno::ENOTTY.into()),
    }
    let pointer = UserPtr::<IfReq>::new(at);
    let mut request = pointer.read(current)?;
    let shown = of(&NetNs::of(current));
    if command == op::SIOCGIFNAME {
        let index = request.value.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        let found = shown.iter().find(|found| found.index == index).ok_or(Errno::ENODEV)?;
        request.name = padded(&found.name);
        pointer.write(current, &request)?;
        return Ok(0);
    }
    let name = request.name.split(|byte| *byte == 0).next().unwrap_or(&[]);
    let found = shown.iter().find(|found| found.name == name).ok_or(Errno::ENODEV)?;
    let first = found.addresses.iter().find_map(|own| match own.ip {
        IpAddr::V4(ip) => Some((ip, own)),
        IpAddr::V6(_) => None,
    });
    request.value = match command {
        op::SIOCGIFFLAGS => number(found.flags & 0xffff),
        op::SIOCGIFADDR | op::SIOCGIFDSTADDR => v4(first.ok_or(Errno::EADDRNOTAVAIL)?.0),
        op::SIOCGIFBRDADDR => {
            let (_, own) = first.ok_or(Errno::EADDRNOTAVAIL)?;
            let broadcast = if found.link.is_some() { Interface::broadcast(own) } else { None };
            v4(broadcast.unwrap_or(Ipv4Addr::UNSPECIFIED))
        }
        op::SIOCGIFNETMASK => {
            let (_, own) = first.ok_or(Errno::EADDRNOTAVAIL)?;
            let rest = 32_u32.saturating_sub(u32::from(own.prefix));
            v4(Ipv4Addr::from_bits(u32::MAX.checked_shl(rest).unwrap_or(0)))
        }
        op::SIOCGIFMTU => number(found.mtu),
        op::SIOCGIFINDEX => number(found.index),
        op::SIOCGIFTXQLEN => number(found.queue_length),
        op::SIOCGIFHWADDR => hardware(found),
        _ => number(0),
    };
    pointer.write(current, &request)?;
    Ok(0)
}

fn configuration(current: &Current, pointer: UserPtr<IfConf>) -> Result<u64, Fail> {
    let mut conf = pointer.read(current)?;
    let all: Vec<IfReq> = of(&NetNs::of(current))
        .iter()
        .flat_map(|interface| interface.addresses.iter().map(|own| (&interface.name, own.ip)))
        .filter_map(|(name, ip)| match ip {
            IpAddr::V4(ip) => Some(IfReq { name: padded(name), value: v4(ip) }),
            IpAddr::V6(_) => None,
        })
        .collect();
    let mut count = all.len();
    if conf.buffer != 0 {
        count = count.min(usize::try_from(conf.len).unwrap_or(0) / size_of::<IfReq>());
        UserPtr::<IfReq>::new(UserVa::new(conf.buffer)).write_slice(current, all.get(..count).unwrap_or(&[]))?;
    }
    conf.len = i32::try_from(count * size_of::<IfReq>()).unwrap_or(i32::MAX);
    pointer.write(current, &conf)?;
    Ok(0)
}
