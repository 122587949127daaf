//! Interfaces as ioctl(2) shows them (netdevice(7)): SIOCGIF*. What changes something is in `set`.

use super::{Interface, set};
use crate::errno::Errno;
use crate::net::NetNs;
use crate::net::address::Address;
use crate::syscall::{Fail, UserPtr};
use crate::task::Current;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use linker::addr::UserVa;
use linux_raw_sys::ioctl as op;
use linux_raw_sys::net as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Questions to a device's driver (include/uapi/linux/sockios.h; nobody exports it).
const SIOCETHTOOL: u32 = 0x8946;

pub(super) const NAME: usize = raw::IFNAMSIZ as usize;

/// `struct ifreq`: a name and 24 bytes that the command gives a meaning.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct IfReq {
    pub name: [u8; NAME],
    pub value: [u8; 24],
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
    let address = Address::Inet(SocketAddr::new(ip.into(), 0)).encode();
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

impl IfReq {
    /// The name, without what pads it.
    pub fn name(&self) -> &[u8] {
        self.name.split(|byte| *byte == 0).next().unwrap_or(&[])
    }
}

/// What a socket of the family `domain` answers to an ioctl that every socket has.
pub fn ioctl(current: &Current, domain: u32, command: u32, arg: u64) -> Result<u64, Fail> {
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
        // No device here has anything to be asked of its driver.
        SIOCETHTOOL => {
            let request = UserPtr::<IfReq>::new(at).read(current)?;
            let known = super::named(&NetNs::of(current), request.name()).is_some();
            return Err(if known { Errno::EOPNOTSUPP } else { Errno::ENODEV }.into());
        }
        _ => return set::ioctl(current, domain, command, at),
    }
    let pointer = UserPtr::<IfReq>::new(at);
    let mut request = pointer.read(current)?;
    let shown = super::of(&NetNs::of(current));
    if command == op::SIOCGIFNAME {
        let index = request.value.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        let found = shown.iter().find(|found| found.index == index).ok_or(Errno::ENODEV)?;
        request.name = padded(&found.name());
        pointer.write(current, &request)?;
        return Ok(0);
    }
    let found = shown.iter().find(|found| found.is_named(request.name())).ok_or(Errno::ENODEV)?;
    let first = found.addresses().into_iter().find_map(|own| match own.ip {
        IpAddr::V4(ip) => Some((ip, own)),
        IpAddr::V6(_) => None,
    });
    request.value = match command {
        op::SIOCGIFFLAGS => number(found.flags() & 0xffff),
        op::SIOCGIFADDR | op::SIOCGIFDSTADDR => v4(first.ok_or(Errno::EADDRNOTAVAIL)?.0),
        op::SIOCGIFBRDADDR => {
            let (_, own) = first.ok_or(Errno::EADDRNOTAVAIL)?;
            v4(own.broadcast.unwrap_or(Ipv4Addr::UNSPECIFIED))
        }
        op::SIOCGIFNETMASK => {
            let (_, own) = first.ok_or(Errno::EADDRNOTAVAIL)?;
            let rest = 32_u32.saturating_sub(u32::from(own.prefix));
            v4(Ipv4Addr::from_bits(u32::MAX.checked_shl(rest).unwrap_or(0)))
        }
        op::SIOCGIFMTU => number(found.mtu()),
        op::SIOCGIFINDEX => number(found.index),
        op::SIOCGIFTXQLEN => number(found.queue_length()),
        op::SIOCGIFHWADDR => hardware(found),
        _ => number(0),
    };
    pointer.write(current, &request)?;
    Ok(0)
}

fn configuration(current: &Current, pointer: UserPtr<IfConf>) -> Result<u64, Fail> {
    let mut conf = pointer.read(current)?;
    let mut all = Vec::new();
    for interface in super::of(&NetNs::of(current)).iter() {
        for own in interface.addresses() {
            if let IpAddr::V4(ip) = own.ip {
                all.push(IfReq { name: padded(&interface.name()), value: v4(ip) });
            }
        }
    }
    let mut count = all.len();
    if conf.buffer != 0 {
        count = count.min(usize::try_from(conf.len).unwrap_or(0) / size_of::<IfReq>());
        UserPtr::<IfReq>::new(UserVa::new(conf.buffer)).write_slice(current, all.get(..count).unwrap_or(&[]))?;
    }
    conf.len = i32::try_from(count * size_of::<IfReq>()).unwrap_or(i32::MAX);
    pointer.write(current, &conf)?;
    Ok(0)
}
