//! What a sender says with one datagram (sendmsg's control messages, ip(7) and ipv6(7)): source, interface, time to live, type of service.

use super::{IP, IPV6};
use crate::errno::Errno;
use crate::net::NetNs;
use crate::net::inet::Family;
use crate::net::inet::routes::{Route, route};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use linux_raw_sys::net as raw;

/// What was said; `None`: as the socket's options have it.
#[derive(Clone, Copy, Default)]
pub(super) struct Said {
    pub from: Option<IpAddr>,
    pub interface: Option<u32>,
    pub ttl: Option<u8>,
    pub tos: Option<u8>,
}

impl Said {
    /// Takes the messages of a datagram to `to` apart. EINVAL for what is none of these, or not possible.
    pub fn new(
        notes: &[(u32, u32, Vec<u8>)],
        network: &Option<Arc<NetNs>>,
        family: Family,
        to: IpAddr,
    ) -> Result<Self, Errno> {
        let mut said = Self::default();
        for (level, name, data) in notes {
            let number = || data.as_slice().try_into().map(i32::from_ne_bytes).map_err(|_| Errno::EINVAL);
            let byte = |number: i32, least: i32| match number {
                -1 if least < 0 => Ok(None),
                number if number >= least => u8::try_from(number).map(Some).map_err(|_| Errno::EINVAL),
                _ => Err(Errno::EINVAL),
            };
            match (*level, *name) {
                // Of IPv6 a socket of IPv4 takes nothing, but does not mind.
                (IPV6, _) if family == Family::V4 => {}
                (IP, _) if to.is_ipv6() => {}
                (IP, raw::IP_PKTINFO) => {
                    // `struct in_pktinfo`: interface, source, and a destination that means nothing here.
                    let &[a, b, c, d, e, f, g, h, _, _, _, _] = data.as_slice() else { return Err(Errno::EINVAL) };
                    said.interface(u32::from_ne_bytes([a, b, c, d]));
                    said.source(network, Ipv4Addr::new(e, f, g, h).into(), Errno::ENETUNREACH)?;
                }
                (IP, raw::IP_TTL) => said.ttl = byte(number()?, 1)?,
                (IP, raw::IP_TOS) => {
                    let number = if let &[tos] = data.as_slice() { i32::from(tos) } else { number()? };
                    said.tos = byte(number, 0)?;
                }
                (IPV6, raw::IPV6_PKTINFO) => {
                    // `struct in6_pktinfo`: source, interface.
                    let (ip, rest) = data.split_first_chunk::<16>().ok_or(Errno::EINVAL)?;
                    let index = <[u8; 4]>::try_from(rest).map_err(|_| Errno::EINVAL)?;
                    said.interface(u32::from_ne_bytes(index));
                    let ip = Ipv6Addr::from(*ip);
                    let ip = ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4);
                    said.source(network, ip, Errno::EINVAL)?;
                }
                (IPV6, raw::IPV6_HOPLIMIT) => said.ttl = byte(number()?, -1)?,
                (IPV6, raw::IPV6_TCLASS) => said.tos = byte(number()?, -1)?,
                _ => return Err(Errno::EINVAL),
            }
        }
        if said.from.is_some_and(|from| from.is_ipv4() != to.is_ipv4()) {
            return Err(Errno::EINVAL);
        }
        Ok(said)
    }

    fn interface(&mut self, index: u32) {
        if index != 0 {
            self.interface = Some(index);
        }
    }

    /// One of ours, or none in particular.
    fn source(&mut self, network: &Option<Arc<NetNs>>, ip: IpAddr, other: Errno) -> Result<(), Errno> {
        if ip.is_unspecified() {
            return Ok(());
        }
        let own = matches!(route(network, ip, None), Ok(Route::Local { .. }));
        self.from = Some(ip);
        if own { Ok(()) } else { Err(other) }
    }
}
