//! AF_INET and AF_INET6: TCP and UDP, between sockets of this sandbox and with others.
//!
//! Addresses are kept in one form: a v4-mapped address is its IPv4 address, and a socket's domain says how to show it.
//! `routes` decides what an address leads to, `ports` who is bound where, `options` serves the protocol levels' options.

mod connection;
mod end;
mod errors;
mod listing;
mod notes;
mod options;
mod ports;
mod raw;
mod relay;
mod routes;
mod tcp;
mod udp;

pub use self::raw::Raw;
pub use connection::Connection;
pub use listing::{Row, echo_rows, raw_rows, tcp_rows, udp_rows};
pub use notes::timestamps;
pub use relay::set_up as set_up_relays;
pub use routes::{Route, route};
pub use tcp::Tcp;
pub use udp::Udp;

use super::address::Address;
use super::options::Options;
use super::socket::{Kind, Protocol};
use crate::errno::Errno;
use crate::task::{Cap, Current};
use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use linux_raw_sys::net as abi;

/// Which of the two families a socket is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// AF_INET.
    V4,
    /// AF_INET6.
    V6,
}

impl Family {
    /// The address that stands for any.
    pub fn any(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Self::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// The address as a socket of this family shows it.
    pub fn show(self, address: SocketAddr) -> Address {
        Address::Inet(match (self, address) {
            (Self::V6, SocketAddr::V4(v4)) => {
                SocketAddr::V6(SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0))
            }
            (_, address) => address,
        })
    }

    /// What user space gave, in the one form. EAFNOSUPPORT for another family's address, EINVAL for none of the internet's.
    pub fn take(self, address: &Address, v6_only: bool) -> Result<SocketAddr, Errno> {
        let Address::Inet(address) = address else { return Err(Errno::EAFNOSUPPORT) };
        match (self, address) {
            (Self::V4, SocketAddr::V4(_)) => Ok(*address),
            (Self::V4, SocketAddr::V6(_)) => Err(Errno::EAFNOSUPPORT),
            (Self::V6, SocketAddr::V4(_)) => Err(Errno::EINVAL),
            (Self::V6, SocketAddr::V6(v6)) => match v6.ip().to_ipv4_mapped() {
                Some(_) if v6_only => Err(Errno::EINVAL),
                Some(v4) => Ok(SocketAddr::new(v4.into(), v6.port())),
                None => Ok(SocketAddr::new(IpAddr::V6(*v6.ip()), v6.port())),
            },
        }
    }
}

/// A new socket; `protocol` is 0 or IPPROTO_*.
pub fn new_socket(
    current: &Current,
    family: Family,
    kind: Kind,
    protocol: u32,
) -> Result<(Arc<dyn Protocol>, Arc<Options>, u32), Errno> {
    const TCP: u32 = abi::IPPROTO_TCP as u32;
    const UDP: u32 = abi::IPPROTO_UDP as u32;
    const ICMP: u32 = abi::IPPROTO_ICMP as u32;
    const ICMP6: u32 = abi::IPPROTO_ICMPV6;
    let echo = |family, protocol| -> (Arc<dyn Protocol>, Arc<Options>, u32) {
        let (socket, options) = Raw::new(family, protocol, true);
        (socket, options, u32::from(protocol))
    };
    match (kind, protocol) {
        (Kind::Stream, 0 | TCP) => {
            let (socket, options) = Tcp::new(family);
            Ok((socket, options, TCP))
        }
        (Kind::Datagram, 0 | UDP) => {
            let (socket, options) = Udp::new(family);
            Ok((socket, options, UDP))
        }
        // Whoever may use the network may ask for an echo (net.ipv4.ping_group_range, as Docker sets it).
        (Kind::Datagram, ICMP) if family == Family::V4 => Ok(echo(family, protocol as u8)),
        (Kind::Datagram, ICMP6) if family == Family::V6 => Ok(echo(family, protocol as u8)),
        (Kind::Raw, _) if !super::NetNs::holds(current, Cap::NetRaw) => Err(Errno::EPERM),
        (Kind::Raw, 1..=255) => {
            let (socket, options) = Raw::new(family, protocol as u8, false);
            Ok((socket, options, protocol))
        }
        (Kind::Stream | Kind::Datagram | Kind::Raw, _) => Err(Errno::EPROTONOSUPPORT),
        (Kind::SeqPacket, _) => Err(Errno::ESOCKTNOSUPPORT),
    }
}
