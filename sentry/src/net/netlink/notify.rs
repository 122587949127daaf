//! Telling who listens to netlink's groups what has changed (rtnetlink(7), RTNLGRP_*).

use super::message::{Header, octets};
use super::{Netlink, route, tables};
use crate::net::NetNs;
use crate::net::interfaces::{Interface, Own};
use crate::net::stack::{Entry, Neighbour};
use crate::sync::{Lock, Rank};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::net::IpAddr;
use linux_raw_sys::netlink as nl;
use linux_raw_sys::netlink::rtnetlink_groups as groups;
use zerocopy::IntoBytes;

/// Groups that a protocol has at least, and NETLINK_ROUTE.
pub(super) const FEW_GROUPS: u32 = 32;
pub(super) const ROUTE_GROUPS: u32 = groups::__RTNLGRP_MAX as u32 - 1;

/// Sockets that are in a group, or were.
static LISTENERS: Lock<Vec<Weak<Netlink>>> = Lock::new(Rank::SocketTable, Vec::new());

/// Who asked for a change: the socket's number and its message's; none for the kernel itself.
#[derive(Clone, Copy, Default)]
pub struct By {
    /// Number of the socket.
    pub port: u32,
    /// Number of the message.
    pub sequence: u32,
}

/// What became of something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// It is new, or as it is said now. With these flags of the message.
    New(u32),
    /// It is gone.
    Gone,
}

/// A socket joins its first group.
pub(super) fn listen(socket: &Weak<Netlink>) {
    let mut listeners = LISTENERS.lock();
    listeners.retain(|other| other.strong_count() != 0 && !other.ptr_eq(socket));
    listeners.push(socket.clone());
}

/// A route.
pub fn route(network: &Option<Arc<NetNs>>, entry: &Entry, what: Happened, by: By) {
    let group = if entry.spec.to.is_ipv4() { groups::RTNLGRP_IPV4_ROUTE } else { groups::RTNLGRP_IPV6_ROUTE };
    let kinds = (nl::RTM_NEWROUTE as u16, nl::RTM_DELROUTE as u16);
    tell(network, group, kinds, what, by, || tables::body(entry));
}

/// An address of an interface's.
pub fn address(network: &Option<Arc<NetNs>>, interface: &Interface, own: &Own, what: Happened, by: By) {
    let group = if own.ip.is_ipv4() { groups::RTNLGRP_IPV4_IFADDR } else { groups::RTNLGRP_IPV6_IFADDR };
    let kinds = (nl::RTM_NEWADDR as u16, nl::RTM_DELADDR as u16);
    tell(network, group, kinds, what, by, || route::address(interface, own));
}

/// An interface, and which of its flags have changed.
pub fn link(network: &Option<Arc<NetNs>>, interface: &Interface, changed: u32, by: By) {
    let kinds = (nl::RTM_NEWLINK as u16, nl::RTM_DELLINK as u16);
    tell(network, groups::RTNLGRP_LINK, kinds, Happened::New(0), by, || route::link(interface, changed));
}

/// A neighbour.
pub fn neighbour(index: u32, ip: IpAddr, known: &Neighbour, what: Happened, by: By) {
    let kinds = (nl::RTM_NEWNEIGH as u16, nl::RTM_DELNEIGH as u16);
    tell(&None, groups::RTNLGRP_NEIGH, kinds, what, by, || route::neighbour(index, octets(ip), known));
}

fn tell(
    network: &Option<Arc<NetNs>>,
    group: groups,
    kinds: (u16, u16),
    what: Happened,
    by: By,
    body: impl FnOnce() -> Vec<u8>,
) {
    let (group, key) = (group as u32, NetNs::key(network));
    let listeners: Vec<Arc<Netlink>> = LISTENERS.lock().iter().filter_map(Weak::upgrade).collect();
    let mut members = listeners.iter().filter(|socket| socket.hears(key, group)).peekable();
    if members.peek().is_none() {
        return;
    }
    let body = body();
    let (kind, flags) = match what {
        Happened::New(flags) => (kinds.0, flags),
        Happened::Gone => (kinds.1, 0),
    };
    let len = (size_of::<Header>() + body.len()) as u32;
    let header = Header { len, kind, flags: flags as u16, sequence: by.sequence, port: by.port };
    let message = [header.as_bytes(), &body].concat();
    for socket in members {
        socket.hear(&message, group);
    }
}
