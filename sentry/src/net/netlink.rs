//! NETLINK_ROUTE, as far as asking goes: links, addresses, routes and neighbours (getifaddrs(3), `ip addr`). Changes get EPERM, but
//! for loopback of a program's own network.

mod change;

use super::NetNs;
use super::address::Address;
use super::inet::{Route, route};
use super::interfaces::{self, Interface};
use super::options::{Options, int};
use super::socket::{Call, MessageFlags, Outgoing, Protocol, Received, Shutdown, Socket};
use super::stack::{self, Counters};
use crate::errno::Errno;
use crate::fs::{OpenFile, Sink, Source};
use crate::platform::platform;
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::task::Current;
use crate::wait::{Events, WaitQueue};
use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::net::IpAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use linux_raw_sys::netlink as nl;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes that one sendmsg may bring.
const MAX_REQUEST: usize = 65536;
/// Bytes of one datagram of a dump (NLMSG_GOODSIZE).
const MAX_PART: usize = 8192 - 256;
/// Datagrams queued at most.
const MAX_QUEUED: usize = 1024;
const AF_INET: u8 = linux_raw_sys::net::AF_INET as u8;
const AF_INET6: u8 = linux_raw_sys::net::AF_INET6 as u8;

/// `struct nlmsghdr`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    len: u32,
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
}

const _: () = assert!(size_of::<Header>() == size_of::<nl::nlmsghdr>());

static PORTS: Lock<BTreeSet<u32>> = Lock::new(Rank::SocketTable, BTreeSet::new());

struct State {
    port: u32,
    groups: u32,
    answers: VecDeque<Vec<u8>>,
}

/// A netlink socket.
struct Netlink {
    queue: WaitQueue,
    state: Lock<State>,
}

/// A new socket of a netlink protocol: EPROTONOSUPPORT for one that is not served.
pub fn new_socket(_: &Current, protocol: u32) -> Result<(Arc<dyn Protocol>, Arc<Options>), Errno> {
    if protocol != nl::NETLINK_ROUTE && protocol != nl::NETLINK_KOBJECT_UEVENT {
        return Err(Errno::EPROTONOSUPPORT);
    }
    let state = State { port: 0, groups: 0, answers: VecDeque::new() };
    let socket = Netlink { queue: WaitQueue::new(), state: Lock::new(Rank::Socket, state) };
    Ok((Arc::new(socket), Arc::new(Options::default())))
}

/// A netlink socket that the sentry itself sends messages to.
#[derive(Clone)]
pub struct Mailbox(Arc<dyn Protocol>);

impl Mailbox {
    /// The one behind a descriptor. ENOTSOCK where it is no socket, EINVAL where it is another.
    pub fn of(file: &OpenFile) -> Result<Self, Errno> {
        let ops = Socket::of(file)?.ops().clone();
        if ops.as_any().is::<Netlink>() { Ok(Self(ops)) } else { Err(Errno::EINVAL) }
    }

    /// Queues a message; it is lost where too many wait. Call without locks.
    pub fn put(&self, message: &[u8]) {
        let Some(socket) = self.0.as_any().downcast_ref::<Netlink>() else { return };
        {
            let mut state = socket.state.lock();
            if state.answers.len() < MAX_QUEUED {
                state.answers.push_back(message.to_vec());
            }
        }
        socket.queue.wake(Events::READABLE);
    }
}

impl Netlink {
    /// Gives the socket `port`, or a free one for 0: the process's number, if it has not got it already.
    fn bind_port(&self, current: &Current, port: u32) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.port != 0 {
            return if port == 0 || port == state.port { Ok(()) } else { Err(Errno::EINVAL) };
        }
        let mut ports = PORTS.lock();
        if port != 0 {
            if !ports.insert(port) {
                return Err(Errno::EADDRINUSE);
            }
            state.port = port;
            return Ok(());
        }
        let mut candidate = current.process.pid().raw();
        while !ports.insert(candidate) {
            candidate = candidate.wrapping_sub(1) | 1 << 31;
        }
        state.port = candidate;
        Ok(())
    }

    fn serve(&self, call: &Call<'_>, request: &[u8]) {
        let mut rest = request;
        while let Ok((header, _)) = Header::read_from_prefix(rest) {
            let len = header.len as usize;
            let Some(message) = rest.get(size_of::<Header>()..len) else { return };
            self.answer(call, &header, message);
            rest = rest.get(len.next_multiple_of(nl::NLMSG_ALIGNTO as usize)..).unwrap_or(&[]);
        }
    }

    fn answer(&self, call: &Call<'_>, header: &Header, message: &[u8]) {
        let kind = u32::from(header.kind);
        let flags = u32::from(header.flags);
        if flags & nl::NLM_F_REQUEST == 0 || kind < nl::NLMSG_MIN_TYPE {
            return;
        }
        let family = message.first().copied().unwrap_or(0);
        let dump = flags & nl::NLM_F_DUMP == nl::NLM_F_DUMP;
        let port = self.state.lock().port;
        let network = call.options.network();
        let mut reply = Reply { header: *header, port, parts: Vec::new(), multi: dump, network: network.clone() };
        let result = match header.kind {
            GET_LINK => reply.links(message, dump),
            GET_ADDRESS if dump => {
                reply.addresses(family);
                Ok(())
            }
            GET_ROUTE if dump => {
                reply.routes(family);
                Ok(())
            }
            GET_NEIGHBOUR if dump => {
                reply.neighbours(family);
                Ok(())
            }
            GET_RULE if dump => Ok(()),
            GET_NETWORK if !dump => {
                reply.network_number();
                Ok(())
            }
            GET_ROUTE => reply.route_to(message),
            GET_ADDRESS | GET_RULE | GET_NEIGHBOUR => Err(Errno::EOPNOTSUPP),
            NEW_LINK | SET_LINK => change::link(call.current, network, message),
            NEW_ADDRESS | DELETE_ADDRESS => change::address(call.current, network, header, message),
            _ => Err(Errno::EPERM),
        };
        match result {
            Ok(()) if dump => reply.done(),
            Ok(()) if flags & nl::NLM_F_ACK != 0 => reply.error(0),
            Ok(()) => {}
            Err(errno) => reply.error(-i32::from(errno.raw())),
        }
        let mut state = self.state.lock();
        for part in reply.parts {
            if state.answers.len() < MAX_QUEUED {
                state.answers.push_back(part);
            }
        }
        drop(state);
        self.queue.wake(Events::READABLE);
    }
}

const NEW_LINK: u16 = nl::RTM_NEWLINK as u16;
const SET_LINK: u16 = nl::RTM_SETLINK as u16;
const DELETE_ADDRESS: u16 = nl::RTM_DELADDR as u16;
const GET_LINK: u16 = nl::RTM_GETLINK as u16;
const NEW_ADDRESS: u16 = nl::RTM_NEWADDR as u16;
const GET_ADDRESS: u16 = nl::RTM_GETADDR as u16;
const NEW_ROUTE: u16 = nl::RTM_NEWROUTE as u16;
const GET_ROUTE: u16 = nl::RTM_GETROUTE as u16;
const NEW_NETWORK: u16 = nl::RTM_NEWNSID as u16;
const GET_NETWORK: u16 = nl::RTM_GETNSID as u16;
const GET_RULE: u16 = nl::RTM_GETRULE as u16;
const NEW_NEIGHBOUR: u16 = nl::RTM_NEWNEIGH as u16;
const GET_NEIGHBOUR: u16 = nl::RTM_GETNEIGH as u16;

/// Answers to one request, one behind the other.
struct Reply {
    header: Header,
    port: u32,
    /// Datagrams: a dump comes in several, as readers have buffers of a few pages only.
    parts: Vec<Vec<u8>>,
    multi: bool,
    /// Whose interfaces it tells of.
    network: Option<Arc<NetNs>>,
}

/// Appends one attribute (rtnetlink(7)).
fn attribute(body: &mut Vec<u8>, kind: u32, data: &[u8]) {
    /// `struct rtattr`: length and type.
    const HEADER: usize = 4;
    body.extend_from_slice(&((HEADER + data.len()) as u16).to_ne_bytes());
    body.extend_from_slice(&(kind as u16).to_ne_bytes());
    body.extend_from_slice(data);
    body.resize(body.len().next_multiple_of(nl::RTA_ALIGNTO as usize), 0);
}

fn octets(ip: IpAddr) -> (u8, Vec<u8>) {
    match ip {
        IpAddr::V4(ip) => (AF_INET, ip.octets().to_vec()),
        IpAddr::V6(ip) => (AF_INET6, ip.octets().to_vec()),
    }
}

fn with_nul(name: &[u8]) -> Vec<u8> {
    let mut name = name.to_vec();
    name.push(0);
    name
}

impl Reply {
    fn message(&mut self, kind: u16, body: &[u8]) {
        let flags = if self.multi { nl::NLM_F_MULTI as u16 } else { 0 };
        let len = size_of::<Header>() + body.len();
        let header = Header { len: len as u32, kind, flags, sequence: self.header.sequence, port: self.port };
        let mut part = self.parts.pop_if(|part| part.len() + len <= MAX_PART).unwrap_or_default();
        part.extend_from_slice(header.as_bytes());
        part.extend_from_slice(body);
        part.resize(part.len().next_multiple_of(nl::NLMSG_ALIGNTO as usize), 0);
        self.parts.push(part);
    }

    fn done(&mut self) {
        self.message(nl::NLMSG_DONE as u16, &0_i32.to_ne_bytes());
    }

    fn error(&mut self, errno: i32) {
        self.multi = false;
        self.parts.clear();
        let mut body = errno.to_ne_bytes().to_vec();
        body.extend_from_slice(self.header.as_bytes());
        self.message(nl::NLMSG_ERROR as u16, &body);
    }

    fn links(&mut self, message: &[u8], dump: bool) -> Result<(), Errno> {
        // `ifi_index` of `struct ifinfomsg`.
        let index =
            message.get(4..8).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        let named = message.get(size_of::<nl::ifinfomsg>()..).and_then(name_attribute);
        let mut found = false;
        for interface in interfaces::of(&self.network.clone()).iter() {
            let named = named.is_none_or(|name| name == interface.name);
            if dump || index == interface.index || index == 0 && named {
                found = true;
                let body = link(interface);
                self.message(NEW_LINK, &body);
            }
        }
        if found || dump { Ok(()) } else { Err(Errno::ENODEV) }
    }

    fn addresses(&mut self, family: u8) {
        for interface in interfaces::of(&self.network.clone()).iter() {
            for own in &interface.addresses {
                let (own_family, octets) = octets(own.ip);
                if family != 0 && family != own_family {
                    continue;
                }
                // `struct ifaddrmsg`: family, prefix length, flags, scope, index.
                let mut body = [own_family, own.prefix, nl::IFA_F_PERMANENT as u8, own.scope].to_vec();
                body.extend_from_slice(&interface.index.to_ne_bytes());
                attribute(&mut body, nl::IFA_ADDRESS as u32, &octets);
                if own_family == AF_INET {
                    attribute(&mut body, nl::IFA_LOCAL as u32, &octets);
                    if let (Some(_), Some(all)) = (&interface.link, Interface::broadcast(own)) {
                        attribute(&mut body, nl::IFA_BROADCAST as u32, &all.octets());
                    }
                    attribute(&mut body, nl::IFA_LABEL as u32, &with_nul(&interface.name));
                }
                attribute(&mut body, nl::IFA_FLAGS as u32, &nl::IFA_F_PERMANENT.to_ne_bytes());
                // `struct ifa_cacheinfo`: both lifetimes without end.
                attribute(
                    &mut body,
                    nl::IFA_CACHEINFO as u32,
                    &[u32::MAX, u32::MAX, 0, 0].map(u32::to_ne_bytes).concat(),
                );
                self.message(NEW_ADDRESS, &body);
            }
        }
    }

    fn routes(&mut self, family: u8) {
        let routes = if self.network.is_some() { &[] } else { stack::routes() };
        for entry in routes {
            let spec = &entry.spec;
            let (own_family, octets) = octets(spec.to);
            if family != 0 && family != own_family {
                continue;
            }
            let table = nl::rt_class_t::RT_TABLE_MAIN as u8;
            let head = [own_family, spec.prefix, 0, 0, table, spec.protocol, spec.scope, spec.kind];
            let mut body = route_head(head, (spec.prefix > 0).then_some(&octets), entry.interface.index);
            if let Some(gateway) = spec.gateway {
                attribute(&mut body, nl::rtattr_type_t::RTA_GATEWAY as u32, &self::octets(gateway).1);
            }
            if let Some(source) = spec.source {
                attribute(&mut body, nl::rtattr_type_t::RTA_PREFSRC as u32, &self::octets(source).1);
            }
            if spec.metric != 0 {
                attribute(&mut body, nl::rtattr_type_t::RTA_PRIORITY as u32, &spec.metric.to_ne_bytes());
            }
            self.message(NEW_ROUTE, &body);
        }
        for interface in interfaces::of(&self.network.clone()).iter() {
            for own in &interface.addresses {
                let (own_family, octets) = octets(own.ip);
                if family != 0 && family != own_family {
                    continue;
                }
                let table = nl::rt_class_t::RT_TABLE_LOCAL as u8;
                let (scope, kind) = (nl::rt_scope_t::RT_SCOPE_HOST as u8, nl::RTN_LOCAL as u8);
                // lo's network is local as a whole.
                let whole = if own_family == AF_INET { 32 } else { 128 };
                let prefix = if interface.link.is_none() { own.prefix } else { whole };
                let head = [own_family, prefix, 0, 0, table, nl::RTPROT_KERNEL as u8, scope, kind];
                let body = route_head(head, Some(&octets), interface.index);
                self.message(NEW_ROUTE, &body);
            }
        }
    }

    /// The number by which this network knows another one: networks are joined by nothing here, so none has one.
    fn network_number(&mut self) {
        /// NETNSA_NSID and NETNSA_NSID_NOT_ASSIGNED (include/uapi/linux/net_namespace.h; nobody exports them).
        const NUMBER: u32 = 1;
        const NONE: i32 = -1;
        // `struct rtgenmsg`, padded.
        let mut body = alloc::vec![0; 4];
        attribute(&mut body, NUMBER, &NONE.to_ne_bytes());
        self.message(NEW_NETWORK, &body);
    }

    /// The route to one destination (`ip route get`).
    fn route_to(&mut self, message: &[u8]) -> Result<(), Errno> {
        let attributes = message.get(size_of::<nl::rtmsg>()..).ok_or(Errno::EINVAL)?;
        let wanted = find_attribute(attributes, nl::rtattr_type_t::RTA_DST as u32).ok_or(Errno::EINVAL)?;
        let to = match (<[u8; 4]>::try_from(wanted), <[u8; 16]>::try_from(wanted)) {
            (Ok(v4), _) => IpAddr::from(v4),
            (_, Ok(v6)) => IpAddr::from(v6),
            _ => return Err(Errno::EINVAL),
        };
        let device = find_attribute(attributes, nl::rtattr_type_t::RTA_OIF as u32)
            .and_then(|value| value.first_chunk())
            .map(|bytes| u32::from_ne_bytes(*bytes));
        let (family, octets) = octets(to);
        let (main, local) = (nl::rt_class_t::RT_TABLE_MAIN as u8, nl::rt_class_t::RT_TABLE_LOCAL as u8);
        let (kind, table, index, gateway, from) = match route(&self.network, to, device)? {
            Route::Local { from, .. } => (nl::RTN_LOCAL, local, 1, None, from),
            Route::Remote { hop, from } => {
                (nl::RTN_UNICAST, main, hop.interface.index, Some(hop.next).filter(|next| *next != to), from)
            }
            Route::Group { hop, from } => {
                (nl::RTN_MULTICAST, main, hop.map_or(1, |hop| hop.interface.index), None, from)
            }
            Route::Broadcast { hop, from } => {
                (nl::RTN_BROADCAST, local, hop.map_or(1, |hop| hop.interface.index), None, from)
            }
        };
        let bits = (octets.len() * 8) as u8;
        let mut body = route_head([family, bits, 0, 0, table, 0, 0, kind as u8], Some(&octets), index);
        if let Some(gateway) = gateway {
            attribute(&mut body, nl::rtattr_type_t::RTA_GATEWAY as u32, &self::octets(gateway).1);
        }
        attribute(&mut body, nl::rtattr_type_t::RTA_PREFSRC as u32, &self::octets(from).1);
        self.message(NEW_ROUTE, &body);
        Ok(())
    }

    fn neighbours(&mut self, family: u8) {
        for interface in interfaces::of(&self.network.clone()).iter() {
            let Some(link) = &interface.link else { continue };
            for (ip, mac, permanent, fresh) in link.neighbours.list(platform().monotonic_ns()) {
                let (own_family, octets) = octets(ip);
                if family != 0 && family != own_family {
                    continue;
                }
                let state = match (permanent, fresh) {
                    (true, _) => nl::NUD_PERMANENT,
                    (_, true) => nl::NUD_REACHABLE,
                    _ => nl::NUD_STALE,
                };
                // `struct ndmsg`: family, padding, index, state, flags, type.
                let mut body = [own_family, 0, 0, 0].to_vec();
                body.extend_from_slice(&interface.index.to_ne_bytes());
                body.extend_from_slice(&(state as u16).to_ne_bytes());
                body.extend_from_slice(&[0, nl::RTN_UNICAST as u8]);
                attribute(&mut body, nl::NDA_DST as u32, &octets);
                attribute(&mut body, nl::NDA_LLADDR as u32, &mac);
                self.message(NEW_NEIGHBOUR, &body);
            }
        }
    }
}

/// `struct rtmsg` (family, lengths of both addresses, tos, table, protocol, scope, type, flags) and what every route has.
fn route_head(head: [u8; 8], to: Option<&Vec<u8>>, index: u32) -> Vec<u8> {
    let [_, _, _, _, table, ..] = head;
    let mut body = head.to_vec();
    body.extend_from_slice(&0_u32.to_ne_bytes());
    attribute(&mut body, nl::rtattr_type_t::RTA_TABLE as u32, &u32::from(table).to_ne_bytes());
    if let Some(to) = to {
        attribute(&mut body, nl::rtattr_type_t::RTA_DST as u32, to);
    }
    attribute(&mut body, nl::rtattr_type_t::RTA_OIF as u32, &index.to_ne_bytes());
    body
}

/// The value of IFLA_IFNAME, without its NUL.
fn name_attribute(attributes: &[u8]) -> Option<&[u8]> {
    find_attribute(attributes, nl::IFLA_IFNAME as u32)?.split(|byte| *byte == 0).next()
}

/// The value of an attribute.
fn find_attribute(attributes: &[u8], kind: u32) -> Option<&[u8]> {
    let mut rest = attributes;
    while let Some(([l0, l1, k0, k1], _)) = rest.split_first_chunk::<4>() {
        let len = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let data = rest.get(4..len)?;
        if u32::from(u16::from_ne_bytes([*k0, *k1])) == kind {
            return Some(data);
        }
        rest = rest.get(len.next_multiple_of(4)..)?;
    }
    None
}

/// `struct rtnl_link_stats64`: packets, bytes, errors and losses, received and sent in turns.
fn statistics(counters: &Counters) -> Vec<u8> {
    let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let mut stats = [
        value(&counters.rx_packets),
        value(&counters.tx_packets),
        value(&counters.rx_bytes),
        value(&counters.tx_bytes),
        0,
        0,
        value(&counters.rx_dropped),
        value(&counters.tx_dropped),
    ]
    .map(u64::to_ne_bytes)
    .concat();
    stats.resize(size_of::<nl::rtnl_link_stats64>(), 0);
    stats
}

fn link(interface: &Interface) -> Vec<u8> {
    // `struct ifinfomsg`: family, padding, device type, index, flags, changes.
    let mut body = [0, 0].to_vec();
    body.extend_from_slice(&interface.hardware_type().to_ne_bytes());
    body.extend_from_slice(&interface.index.to_ne_bytes());
    body.extend_from_slice(&interface.flags.to_ne_bytes());
    body.extend_from_slice(&0_u32.to_ne_bytes());
    attribute(&mut body, nl::IFLA_IFNAME as u32, &with_nul(&interface.name));
    attribute(&mut body, nl::IFLA_TXQLEN as u32, &interface.queue_length.to_ne_bytes());
    // IF_OPER_UNKNOWN, as Linux says of lo, or IF_OPER_UP.
    attribute(&mut body, nl::IFLA_OPERSTATE as u32, &[if interface.link.is_some() { 6 } else { 0 }]);
    attribute(&mut body, nl::IFLA_LINKMODE as u32, &[0]);
    attribute(&mut body, nl::IFLA_MTU as u32, &interface.mtu.to_ne_bytes());
    attribute(&mut body, nl::IFLA_QDISC as u32, b"noqueue\0");
    let (own, everybody) = interface.link.as_ref().map_or(([0; 6], [0; 6]), |link| (link.mac, [0xff; 6]));
    attribute(&mut body, nl::IFLA_ADDRESS as u32, &own);
    attribute(&mut body, nl::IFLA_BROADCAST as u32, &everybody);
    let stats = interface.link.as_ref().map_or(statistics(&Counters::default()), |link| statistics(&link.counters));
    attribute(&mut body, nl::IFLA_STATS64 as u32, &stats);
    body
}

impl Protocol for Netlink {
    fn bind(&self, call: &Call<'_>, address: &Address) -> Result<(), Fail> {
        let Address::Netlink { pid, groups } = address else { return Err(Errno::EINVAL.into()) };
        self.bind_port(call.current, *pid)?;
        self.state.lock().groups = *groups;
        Ok(())
    }

    fn connect(&self, call: &Call<'_>, address: &Address) -> Result<(), Fail> {
        match address {
            Address::Unspecified | Address::Netlink { pid: 0, .. } => Ok(self.bind_port(call.current, 0)?),
            Address::Netlink { .. } => Err(Errno::ECONNREFUSED.into()),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    fn send(&self, call: &Call<'_>, source: &mut Source<'_>, message: Outgoing) -> Result<usize, Fail> {
        match message.to {
            None | Some(Address::Netlink { pid: 0, .. }) => {}
            Some(Address::Netlink { .. }) => return Err(Errno::ECONNREFUSED.into()),
            Some(_) => return Err(Errno::EINVAL.into()),
        }
        if source.left() > MAX_REQUEST {
            return Err(Errno::EMSGSIZE.into());
        }
        self.bind_port(call.current, 0)?;
        let len = source.left();
        let request = source.take_vec(len)?;
        self.serve(call, &request);
        Ok(len)
    }

    fn receive(&self, call: &Call<'_>, sink: &mut Sink<'_>, flags: MessageFlags) -> Result<Received, Fail> {
        let peek = flags.contains(MessageFlags::PEEK);
        let answer = call.until(&self.queue, Events::READABLE, Options::receive_deadline, || {
            let mut state = self.state.lock();
            if peek { state.answers.front().cloned() } else { state.answers.pop_front() }
        })?;
        let bytes = sink.put(&answer)?;
        let length = answer.len();
        let flags = if bytes < length { MessageFlags::TRUNC } else { MessageFlags::empty() };
        Ok(Received { bytes, length, from: Some(Address::Netlink { pid: 0, groups: 0 }), control: None, flags })
    }

    fn shutdown(&self, _: Shutdown) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn close(&self) {
        let port = core::mem::take(&mut self.state.lock().port);
        if port != 0 {
            PORTS.lock().remove(&port);
        }
    }

    fn local_address(&self) -> Address {
        let state = self.state.lock();
        Address::Netlink { pid: state.port, groups: state.groups }
    }

    fn peer_address(&self) -> Result<Address, Errno> {
        Ok(Address::Netlink { pid: 0, groups: 0 })
    }

    fn get_option(&self, _: &Call<'_>, level: u32, _: u32) -> Result<Vec<u8>, Errno> {
        if level != linux_raw_sys::net::SOL_NETLINK {
            return Err(Errno::ENOPROTOOPT);
        }
        Ok(0_i32.to_ne_bytes().to_vec())
    }

    fn set_option(&self, _: &Call<'_>, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
        if level != linux_raw_sys::net::SOL_NETLINK {
            return Err(Errno::ENOPROTOOPT);
        }
        int(value)?;
        match name {
            nl::NETLINK_ADD_MEMBERSHIP
            | nl::NETLINK_DROP_MEMBERSHIP
            | nl::NETLINK_PKTINFO
            | nl::NETLINK_NO_ENOBUFS
            | nl::NETLINK_CAP_ACK
            | nl::NETLINK_EXT_ACK => Ok(()),
            // Requests are not checked strictly, so the promise is not made.
            nl::NETLINK_GET_STRICT_CHK => Err(Errno::ENOPROTOOPT),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn poll(&self, _: &Options) -> Events {
        let readable = if self.state.lock().answers.is_empty() { Events::empty() } else { Events::READABLE };
        readable | Events::WRITABLE
    }

    fn queue(&self) -> &WaitQueue {
        &self.queue
    }

    fn readable_bytes(&self) -> Result<usize, Errno> {
        Ok(self.state.lock().answers.front().map_or(0, Vec::len))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
