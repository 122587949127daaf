//! NETLINK_SOCK_DIAG (sock_diag(7)): TCP, UDP, raw and unix sockets, as `ss` asks for them. Filters that a request brings
//! (INET_DIAG_REQ_BYTECODE) are not run: who sends one gets all, and filters itself, as `ss` does.

use super::message::{Reply, attribute};
use crate::errno::Errno;
use crate::net::NetNs;
use crate::net::address::UnixName;
use crate::net::inet::{self, Family, Row};
use crate::net::table::{self, Doing, Listed, UnixRow};
use crate::task::{Cap, Current};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use linux_raw_sys::net as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

// include/uapi/linux/{sock_diag,inet_diag,unix_diag}.h; nobody exports them.
const BY_FAMILY: u16 = 20;
const DESTROY: u16 = 21;
const INFO: u8 = 2;
const CONGESTION: u8 = 4;
const TOS: u8 = 5;
const TCLASS: u8 = 6;
const SHUTDOWN: u32 = 8;
const V6_ONLY: u32 = 11;
const UNIX_NAME: u32 = 0;
const UNIX_PEER: u32 = 2;
const UNIX_QUEUES: u32 = 4;
const UNIX_SHUTDOWN: u32 = 6;
const UNIX_UID: u32 = 7;
const SHOW_NAME: u32 = 1;
const SHOW_PEER: u32 = 4;
const SHOW_QUEUES: u32 = 16;
const SHOW_UID: u32 = 64;

/// States (include/net/tcp_states.h).
const ESTABLISHED: u8 = 1;
const CLOSE: u8 = 7;
const LISTEN: u8 = 10;

const TCP: u32 = raw::IPPROTO_TCP as u32;
const UDP: u32 = raw::IPPROTO_UDP as u32;
const RAW: u32 = raw::IPPROTO_RAW as u32;

/// `struct inet_diag_sockid`.
#[derive(Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Id {
    port: [u8; 2],
    peer_port: [u8; 2],
    address: [u8; 16],
    peer: [u8; 16],
    interface: u32,
    cookie: [u32; 2],
}

/// `struct inet_diag_req_v2`.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Request {
    family: u8,
    protocol: u8,
    extensions: u8,
    pad: u8,
    states: u32,
    id: Id,
}

/// `struct inet_diag_msg`.
#[derive(Clone, Copy, IntoBytes, Immutable)]
#[repr(C)]
struct Message {
    family: u8,
    state: u8,
    timer: u8,
    retransmits: u8,
    id: Id,
    expires: u32,
    to_read: u32,
    to_send: u32,
    uid: u32,
    inode: u32,
}

/// `struct unix_diag_req`.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct UnixRequest {
    family: u8,
    protocol: u8,
    pad: u16,
    states: u32,
    inode: u32,
    show: u32,
    cookie: [u32; 2],
}

/// `struct unix_diag_msg`.
#[derive(Clone, Copy, IntoBytes, Immutable)]
#[repr(C)]
struct UnixMessage {
    family: u8,
    kind: u8,
    state: u8,
    pad: u8,
    inode: u32,
    cookie: [u32; 2],
}

const _: () = {
    assert!(size_of::<Id>() == 48 && size_of::<Request>() == 56 && size_of::<Message>() == 72);
    assert!(size_of::<UnixRequest>() == 24 && size_of::<UnixMessage>() == 16);
};

/// Answers one request.
pub(super) fn answer(current: &Current, reply: &mut Reply, message: &[u8], dump: bool) -> Result<(), Errno> {
    match reply.header.kind {
        BY_FAMILY => {}
        DESTROY if !NetNs::holds(current, Cap::NetAdmin) => return Err(Errno::EPERM),
        DESTROY => return Err(Errno::EOPNOTSUPP),
        _ => return Err(Errno::EINVAL),
    }
    match message.first().map_or(raw::AF_UNSPEC, |family| u32::from(*family)) {
        raw::AF_UNIX => {
            let (request, _) = UnixRequest::read_from_prefix(message).map_err(|_| Errno::EINVAL)?;
            unix(current, reply, &request, dump)
        }
        raw::AF_INET | raw::AF_INET6 => {
            let (request, _) = Request::read_from_prefix(message).map_err(|_| Errno::EINVAL)?;
            internet(current, reply, &request, dump)
        }
        // Linux looks for a module that knows the family.
        family if family < raw::AF_MAX => Err(Errno::ENOENT),
        _ => Err(Errno::EINVAL),
    }
}

fn internet(current: &Current, reply: &mut Reply, request: &Request, dump: bool) -> Result<(), Errno> {
    let family = if u32::from(request.family) == raw::AF_INET { Family::V4 } else { Family::V6 };
    let protocol = u32::from(request.protocol);
    let rows = match protocol {
        TCP => inet::tcp_rows(),
        UDP => inet::udp_rows(),
        RAW => inet::raw_rows(),
        // A dump ends with what went wrong after it began.
        _ if dump => {
            reply.outcome = -i32::from(Errno::ENOENT.raw());
            return Ok(());
        }
        _ => return Err(Errno::ENOENT),
    };
    let network = NetNs::key(&reply.network);
    let listed = table::of(u32::from(request.family), network);
    let mut found = false;
    for row in rows.iter().filter(|row| row.network == network && row.family == family) {
        let id = id(row, family, current);
        let wanted = if dump {
            let port = |asked: [u8; 2], own: [u8; 2]| asked == [0, 0] || asked == own;
            1_u32.checked_shl(u32::from(row.state)).is_some_and(|bit| request.states & bit != 0)
                && port(request.id.port, id.port)
                && port(request.id.peer_port, id.peer_port)
        } else {
            let asked = (request.id.port, request.id.address, request.id.peer_port, request.id.peer);
            let any_peer = request.id.peer_port == [0, 0];
            asked == (id.port, id.address, id.peer_port, id.peer)
                || any_peer && row.state == LISTEN && request.id.port == id.port
        };
        if !wanted || found && !dump {
            continue;
        }
        found = true;
        let owner = listed.iter().find(|listed| row.inode != 0 && listed.options.identity().1 == row.inode);
        let body = internet_row(current, request, row, id, owner);
        reply.message(BY_FAMILY, &body);
    }
    if found || dump { Ok(()) } else { Err(Errno::ENOENT) }
}

fn octets(ip: IpAddr, family: Family) -> [u8; 16] {
    let v6 = match (ip, family) {
        (IpAddr::V6(ip), _) => ip,
        (IpAddr::V4(ip), Family::V6) if ip.is_unspecified() => Ipv6Addr::UNSPECIFIED,
        (IpAddr::V4(ip), Family::V6) => ip.to_ipv6_mapped(),
        (IpAddr::V4(ip), Family::V4) => {
            let [a, b, c, d] = ip.octets();
            return [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        }
    };
    v6.octets()
}

fn id(row: &Row, family: Family, _: &Current) -> Id {
    let peer = row.peer.unwrap_or(SocketAddr::new(family.any(), 0));
    Id {
        port: row.local.port().to_be_bytes(),
        peer_port: peer.port().to_be_bytes(),
        address: octets(row.local.ip(), family),
        peer: octets(peer.ip(), family),
        interface: row.device,
        cookie: [row.cookie as u32, (row.cookie >> 32) as u32],
    }
}

fn internet_row(current: &Current, request: &Request, row: &Row, id: Id, owner: Option<&Listed>) -> Vec<u8> {
    let message = Message {
        family: request.family,
        state: row.state,
        timer: 0,
        retransmits: 0,
        id,
        expires: 0,
        to_read: row.queued.1 as u32,
        to_send: row.backlog.unwrap_or(row.queued.0) as u32,
        uid: current.creds.shown_uid(row.uid),
        inode: row.inode as u32,
    };
    let mut body = message.as_bytes().to_vec();
    attribute(&mut body, SHUTDOWN, &[row.shut]);
    let Some(owner) = owner else { return body };
    let asked = |extension: u8| request.extensions & 1 << (extension - 1) != 0;
    let get = |level: i32, name: u32| owner.ops.own_option(level as u32, name);
    if asked(TOS)
        && let Some(tos) = get(raw::IPPROTO_IP as i32, raw::IP_TOS)
    {
        attribute(&mut body, u32::from(TOS), tos.get(..1).unwrap_or(&[0]));
    }
    let v6 = u32::from(request.family) == raw::AF_INET6;
    if v6
        && asked(TCLASS)
        && let Some(class) = get(raw::IPPROTO_IPV6 as i32, raw::IPV6_TCLASS)
    {
        attribute(&mut body, u32::from(TCLASS), class.get(..1).unwrap_or(&[0]));
    }
    if v6
        && matches!(row.state, LISTEN | CLOSE)
        && let Some(only) = get(raw::IPPROTO_IPV6 as i32, raw::IPV6_V6ONLY)
    {
        attribute(&mut body, V6_ONLY, only.get(..1).unwrap_or(&[0]));
    }
    if u32::from(request.protocol) == TCP {
        if asked(INFO)
            && let Some(info) = get(TCP as i32, raw::TCP_INFO)
        {
            attribute(&mut body, u32::from(INFO), &info);
        }
        if asked(CONGESTION)
            && let Some(name) = get(TCP as i32, raw::TCP_CONGESTION)
        {
            let end = name.iter().position(|byte| *byte == 0).map_or(name.len(), |end| end + 1);
            attribute(&mut body, u32::from(CONGESTION), name.get(..end).unwrap_or(&name));
        }
    }
    body
}

fn unix(current: &Current, reply: &mut Reply, request: &UnixRequest, dump: bool) -> Result<(), Errno> {
    let mut found = false;
    for listed in table::of(raw::AF_UNIX, NetNs::key(&reply.network)) {
        let Some(row) = listed.ops.unix_row() else { continue };
        let (uid, inode) = listed.options.identity();
        let state = match row.doing {
            Doing::Nothing => CLOSE,
            Doing::Listening => LISTEN,
            Doing::Talking => ESTABLISHED,
        };
        let wanted = if dump { request.states & 1 << state != 0 } else { u64::from(request.inode) == inode };
        if wanted {
            found = true;
            let uid = current.creds.shown_uid(uid);
            let body = unix_row(&listed, &row, state, request.show, (uid, inode));
            reply.message(BY_FAMILY, &body);
        }
    }
    if found || dump { Ok(()) } else { Err(Errno::ENOENT) }
}

fn unix_row(listed: &Listed, row: &UnixRow, state: u8, show: u32, (uid, inode): (u32, u64)) -> Vec<u8> {
    let message = UnixMessage {
        family: raw::AF_UNIX as u8,
        kind: listed.kind.number() as u8,
        state,
        pad: 0,
        inode: inode as u32,
        cookie: [listed.cookie as u32, (listed.cookie >> 32) as u32],
    };
    let mut body = message.as_bytes().to_vec();
    if show & SHOW_NAME != 0 {
        match &row.name {
            UnixName::Unnamed => {}
            UnixName::Path(path) => attribute(&mut body, UNIX_NAME, &[&path[..], &[0]].concat()),
            UnixName::Abstract(name) => attribute(&mut body, UNIX_NAME, &[&[0], &name[..]].concat()),
        }
    }
    if show & SHOW_PEER != 0 && row.peer != 0 {
        attribute(&mut body, UNIX_PEER, &(row.peer as u32).to_ne_bytes());
    }
    if show & SHOW_QUEUES != 0 {
        let (first, second) = row.queued;
        attribute(&mut body, UNIX_QUEUES, &[first as u32, second as u32].map(u32::to_ne_bytes).concat());
    }
    attribute(&mut body, UNIX_SHUTDOWN, &[0]);
    if show & SHOW_UID != 0 {
        attribute(&mut body, UNIX_UID, &uid.to_ne_bytes());
    }
    body
}
