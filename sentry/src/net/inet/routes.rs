//! Where an address leads: to the sandbox itself, or out.

use crate::errno::Errno;
use crate::net::NetNs;
use crate::net::interfaces::{self, interfaces};
use crate::net::stack::{self, Hop};
use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kind of routes that lead here.
const RTN_LOCAL: u32 = linux_raw_sys::netlink::RTN_LOCAL as u32;

/// Where a destination is.
#[derive(Clone, Copy)]
pub enum Route {
    /// In this sandbox: the address to look for, and the one that senders without an address of their own have.
    Local {
        /// Destination.
        to: IpAddr,
        /// Source.
        from: IpAddr,
    },
    /// To the members of a multicast group, in this sandbox and out there.
    Group {
        /// Source.
        from: IpAddr,
        /// The way out, if there is one.
        hop: Option<Hop>,
    },
    /// To everyone.
    Broadcast {
        /// Source.
        from: IpAddr,
        /// The way out, if there is one.
        hop: Option<Hop>,
    },
    /// Somewhere else.
    Remote {
        /// The way there.
        hop: Hop,
        /// Source.
        from: IpAddr,
    },
}

/// The route to `to` in a program's own network: to itself.
fn inside(network: &NetNs, to: IpAddr) -> Result<Route, Errno> {
    let home: IpAddr = if to.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    let to = if to.is_unspecified() { home } else { to };
    let lo = network.loopback();
    let routed = || network.routes().find(to, |_| true).map(|found| found.is_some_and(|entry| entry.is(RTN_LOCAL)));
    if !lo.is_local(to) && !routed()? {
        return Err(Errno::ENETUNREACH);
    }
    local(to, lo.source_here(to))
}

/// The route to `to` in `network`, only through `device` where one is given; ENETUNREACH where there is none.
pub fn route(network: &Option<Arc<NetNs>>, to: IpAddr, device: Option<u32>) -> Result<Route, Errno> {
    if let Some(network) = network {
        return inside(network, to);
    }
    let out = || stack::lookup(to, device);
    let is_broadcast = |ip: Ipv4Addr| {
        ip.is_broadcast()
            || ip.octets() == [127, 255, 255, 255]
            || interfaces().iter().any(|interface| interface.is_broadcast(ip.into()))
    };
    match to {
        IpAddr::V4(ip) if ip.is_unspecified() => local(Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()),
        IpAddr::V4(ip) if is_broadcast(ip) => {
            let out = out().ok().filter(|_| !ip.is_loopback());
            Ok(Route::Broadcast {
                from: out.map_or(Ipv4Addr::LOCALHOST.into(), |(_, from)| from),
                hop: out.map(|(hop, _)| Hop { next: to, ..hop }),
            })
        }
        // Every address of the loopback network is here, and answers as itself.
        IpAddr::V4(ip) if ip.is_loopback() => {
            local(to, if ip == Ipv4Addr::LOCALHOST { to } else { Ipv4Addr::LOCALHOST.into() })
        }
        IpAddr::V6(ip) if ip.is_unspecified() => local(Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()),
        _ if to.is_multicast() => {
            let lo = if to.is_ipv4() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { IpAddr::V6(Ipv6Addr::LOCALHOST) };
            let out = out().ok();
            Ok(Route::Group {
                from: out.map_or(lo, |(_, from)| from),
                hop: out.map(|(hop, _)| Hop { next: to, ..hop }),
            })
        }
        _ if interfaces::is_own(to) => local(to, interfaces().first().map_or(to, |lo| lo.source_here(to))),
        _ => out().map(|(hop, from)| Route::Remote { hop, from }),
    }
}

fn local(to: IpAddr, from: IpAddr) -> Result<Route, Errno> {
    Ok(Route::Local { to, from })
}

/// Whether a socket may be bound to `ip`.
pub fn bindable(network: &Option<Arc<NetNs>>, ip: IpAddr) -> bool {
    // The loopback network can be bound to even while the interface is down.
    ip.is_unspecified()
        || ip.is_multicast()
        || ip.is_loopback() && ip.is_ipv4()
        || matches!(route(network, ip, None), Ok(Route::Local { .. } | Route::Broadcast { .. }))
}
