//! Network interfaces: the loopback device, as ioctl(2) and netlink show it.

use crate::errno::Errno;
use crate::syscall::{Fail, UserPtr};
use crate::task::Current;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use linker::addr::UserVa;
use linux_raw_sys::ioctl as op;
use linux_raw_sys::net as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Interface number of `lo`.
pub const LOOPBACK_INDEX: u32 = 1;
/// Its MTU.
pub const LOOPBACK_MTU: u32 = 65536;
/// ARPHRD_LOOPBACK (netdevice(7)).
pub const LOOPBACK_HARDWARE: u16 = 772;
/// Transmit queue length.
pub const QUEUE_LENGTH: u32 = 1000;

/// One interface.
pub struct Interface {
    /// Name.
    pub name: &'static [u8],
    /// Number.
    pub index: u32,
    /// IFF_*.
    pub flags: u32,
    /// MTU.
    pub mtu: u32,
    /// Addresses with their prefix lengths.
    pub addresses: &'static [(IpAddr, u8)],
}

/// All interfaces. Another network adds its own here.
pub const INTERFACES: &[Interface] = &[Interface {
    name: b"lo",
    index: LOOPBACK_INDEX,
    flags: raw::net_device_flags::IFF_UP as u32
        | raw::net_device_flags::IFF_LOOPBACK as u32
        | raw::net_device_flags::IFF_RUNNING as u32
        | raw::net_device_flags::IFF_LOWER_UP as u32,
    mtu: LOOPBACK_MTU,
    addresses: &[(IpAddr::V4(Ipv4Addr::LOCALHOST), 8), (IpAddr::V6(Ipv6Addr::LOCALHOST), 128)],
}];

/// Whether `ip` is an address of one of the interfaces.
pub fn is_own(ip: IpAddr) -> bool {
    INTERFACES.iter().any(|interface| interface.addresses.iter().any(|(own, _)| *own == ip))
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
        op::SIOCSIFADDR | op::SIOCSIFFLAGS | op::SIOCSIFMTU | op::SIOCSIFNETMASK => return Err(Errno::EPERM.into()),
        _ => return Err(Errno::ENOTTY.into()),
    }
    let pointer = UserPtr::<IfReq>::new(at);
    let mut request = pointer.read(current)?;
    if command == op::SIOCGIFNAME {
        let index = request.value.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        let found = INTERFACES.iter().find(|interface| interface.index == index).ok_or(Errno::ENODEV)?;
        request.name = padded(found.name);
        pointer.write(current, &request)?;
        return Ok(0);
    }
    let name = request.name.split(|byte| *byte == 0).next().unwrap_or(&[]);
    let found = INTERFACES.iter().find(|interface| interface.name == name).ok_or(Errno::ENODEV)?;
    let first = found.addresses.iter().find_map(|(ip, prefix)| match ip {
        IpAddr::V4(ip) => Some((*ip, *prefix)),
        IpAddr::V6(_) => None,
    });
    request.value = match command {
        op::SIOCGIFFLAGS => number(found.flags & 0xffff),
        op::SIOCGIFADDR | op::SIOCGIFDSTADDR => v4(first.ok_or(Errno::EADDRNOTAVAIL)?.0),
        op::SIOCGIFBRDADDR => v4(Ipv4Addr::UNSPECIFIED),
        op::SIOCGIFNETMASK => {
            let (_, prefix) = first.ok_or(Errno::EADDRNOTAVAIL)?;
            v4(Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)))
        }
        op::SIOCGIFMTU => number(found.mtu),
        op::SIOCGIFINDEX => number(found.index),
        op::SIOCGIFTXQLEN => number(QUEUE_LENGTH),
        op::SIOCGIFHWADDR => number(u32::from(LOOPBACK_HARDWARE)),
        _ => number(0),
    };
    pointer.write(current, &request)?;
    Ok(0)
}

fn configuration(current: &Current, pointer: UserPtr<IfConf>) -> Result<u64, Fail> {
    let mut conf = pointer.read(current)?;
    let all: Vec<IfReq> = INTERFACES
        .iter()
        .flat_map(|interface| interface.addresses.iter().map(|(ip, _)| (interface.name, *ip)))
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
