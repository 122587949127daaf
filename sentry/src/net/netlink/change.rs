//! Changes by NETLINK_ROUTE: loopback of a program's own network.

use super::super::NetNs;
use super::super::interfaces::{self, LOOPBACK_INDEX, Own};
use super::message::{Header, find_attribute};
use super::route::{AF_INET, AF_INET6, DELETE_ADDRESS, name_attribute};
use crate::errno::Errno;
use crate::task::{Cap, Current};
use alloc::sync::Arc;
use core::net::IpAddr;
use linux_raw_sys::net as raw;
use linux_raw_sys::netlink as nl;

/// RTM_NEWLINK, RTM_SETLINK: turns loopback of a program's own network on and off. New interfaces there are none.
pub(super) fn link(current: &Current, network: &Option<Arc<NetNs>>, message: &[u8]) -> Result<(), Errno> {
    // `struct ifinfomsg`: index, flags, and which flags change at 4, 8 and 12.
    let word =
        |at: usize| message.get(at..).and_then(|rest| rest.first_chunk()).map(|bytes| u32::from_ne_bytes(*bytes));
    let (mut index, flags, change) = (word(4).ok_or(Errno::EINVAL)?, word(8).unwrap_or(0), word(12).unwrap_or(0));
    if let Some(name) = message.get(size_of::<nl::ifinfomsg>()..).and_then(name_attribute).filter(|_| index == 0) {
        let shown = interfaces::of(network);
        let found = shown.iter().find(|interface| interface.name == name);
        // One that is not there would have to be made.
        index = found.map(|interface| interface.index).ok_or(Errno::EOPNOTSUPP)?;
    }
    const UP: u32 = raw::net_device_flags::IFF_UP as u32;
    // Zero means all of them, for who does not say (rtnetlink(7)).
    if change != 0 && change & UP == 0 {
        return if NetNs::holds(current, Cap::NetAdmin) { Ok(()) } else { Err(Errno::EPERM) };
    }
    interfaces::set_flags(current, network, index, flags & UP != 0)
}

/// RTM_NEWADDR, RTM_DELADDR, of loopback of a program's own network.
pub(super) fn address(
    current: &Current,
    network: &Option<Arc<NetNs>>,
    header: &Header,
    message: &[u8],
) -> Result<(), Errno> {
    let network = network.as_ref().filter(|_| NetNs::holds(current, Cap::NetAdmin)).ok_or(Errno::EPERM)?;
    // `struct ifaddrmsg`: family, prefix length, flags, scope, index.
    let &[family, prefix, _, scope, a, b, c, d] = message.first_chunk().ok_or(Errno::EINVAL)?;
    if u32::from_ne_bytes([a, b, c, d]) != LOOPBACK_INDEX {
        return Err(Errno::ENODEV);
    }
    let attributes = message.get(size_of::<nl::ifaddrmsg>()..).unwrap_or(&[]);
    let value = find_attribute(attributes, nl::IFA_LOCAL as u32);
    let value = value.or_else(|| find_attribute(attributes, nl::IFA_ADDRESS as u32)).ok_or(Errno::EINVAL)?;
    let ip = match family {
        AF_INET => IpAddr::from(<[u8; 4]>::try_from(value).map_err(|_| Errno::EINVAL)?),
        AF_INET6 => IpAddr::from(<[u8; 16]>::try_from(value).map_err(|_| Errno::EINVAL)?),
        _ => return Err(Errno::EAFNOSUPPORT),
    };
    if header.kind == DELETE_ADDRESS {
        return if network.remove(ip) { Ok(()) } else { Err(Errno::EADDRNOTAVAIL) };
    }
    let added = network.add(Own { ip, prefix, scope });
    if added || u32::from(header.flags) & nl::NLM_F_EXCL == 0 { Ok(()) } else { Err(Errno::EEXIST) }
}
