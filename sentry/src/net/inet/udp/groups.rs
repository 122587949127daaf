//! Multicast groups that a socket has joined (ip(7), ipv6(7)).

use super::Udp;
use crate::errno::Errno;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use linux_raw_sys::net as raw;

impl Udp {
    /// IP_ADD_MEMBERSHIP, IP_DROP_MEMBERSHIP.
    pub(super) fn membership(&self, name: u32, value: &[u8]) -> Result<(), Errno> {
        let group: IpAddr = match value.first_chunk::<4>() {
            Some(octets) => Ipv4Addr::from(*octets).into(),
            None => return Err(Errno::EINVAL),
        };
        self.set_membership(group, name == raw::IP_ADD_MEMBERSHIP)
    }

    /// IPV6_ADD_MEMBERSHIP, IPV6_DROP_MEMBERSHIP.
    pub(super) fn membership6(&self, name: u32, value: &[u8]) -> Result<(), Errno> {
        let group: IpAddr = match value.first_chunk::<16>() {
            Some(octets) => Ipv6Addr::from(*octets).into(),
            None => return Err(Errno::EINVAL),
        };
        self.set_membership(group, name == raw::IPV6_ADD_MEMBERSHIP)
    }

    fn set_membership(&self, group: IpAddr, join: bool) -> Result<(), Errno> {
        /// net.ipv4.igmp_max_memberships.
        const MAX_GROUPS: usize = 20;
        if !group.is_multicast() {
            return Err(Errno::EINVAL);
        }
        let mut state = self.state.lock();
        match state.groups.iter().position(|member| *member == group) {
            Some(_) if join => Err(Errno::EADDRINUSE),
            Some(index) => {
                state.groups.swap_remove(index);
                Ok(())
            }
            None if !join => Err(Errno::EADDRNOTAVAIL),
            None if state.groups.len() >= MAX_GROUPS => Err(Errno::ENOBUFS),
            None => {
                state.groups.push(group);
                Ok(())
            }
        }
    }
}
