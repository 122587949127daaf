//! Where an address leads. For now to the sandbox itself or nowhere: this is the one place that another network is added to.

use crate::errno::Errno;
use crate::net::interfaces;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where a destination is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    /// In this sandbox: the address to look for, and the one that senders without an address of their own have.
    Local {
        /// Destination.
        to: IpAddr,
        /// Source.
        from: IpAddr,
    },
    /// To the members of a multicast group, in this sandbox.
    Group {
        /// Source.
        from: IpAddr,
    },
    /// To everyone.
    Broadcast,
}

/// The route to `to`; ENETUNREACH where there is none.
pub fn route(to: IpAddr) -> Result<Route, Errno> {
    match to {
        IpAddr::V4(ip) if ip.is_unspecified() => local(Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()),
        IpAddr::V4(ip) if ip.is_broadcast() || ip.octets() == [127, 255, 255, 255] => Ok(Route::Broadcast),
        // Every address of the loopback network is here, and answers as itself.
        IpAddr::V4(ip) if ip.is_loopback() => {
            local(to, if ip == Ipv4Addr::LOCALHOST { to } else { Ipv4Addr::LOCALHOST.into() })
        }
        IpAddr::V4(ip) if ip.is_multicast() => Ok(Route::Group { from: Ipv4Addr::LOCALHOST.into() }),
        IpAddr::V6(ip) if ip.is_unspecified() => local(Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_multicast() => Ok(Route::Group { from: Ipv6Addr::LOCALHOST.into() }),
        _ if interfaces::is_own(to) => local(to, to),
        _ => Err(Errno::ENETUNREACH),
    }
}

fn local(to: IpAddr, from: IpAddr) -> Result<Route, Errno> {
    Ok(Route::Local { to, from })
}

/// Whether a socket may be bound to `ip`.
pub fn bindable(ip: IpAddr) -> bool {
    ip.is_unspecified() || ip.is_multicast() || matches!(route(ip), Ok(Route::Local { .. } | Route::Broadcast))
}
