//! UDP, between sockets of this sandbox and with others.

mod groups;
mod said;
mod seen;
mod undelivered;

use super::Family;
use super::errors::{self, Errors};
use super::listing::Row;
use super::notes;
use super::options::{Levels, has_level};
use super::ports::{Binding, Ports, Scope, choice};
use super::relay;
use super::routes::{Route, bindable, route};
use super::tcp::sharing;
use crate::errno::Errno;
use crate::fs::{Sink, Source};
use crate::net::NetNs;
use crate::net::address::Address;
use crate::net::interfaces::{Interface, LOOPBACK_INDEX, interfaces};
use crate::net::options::{Options, Switch};
use crate::net::socket::{Call, MessageFlags, Outgoing, Protocol, Received, Shutdown};
use crate::net::stack::{self, Cause, DEFAULT_TTL, Header, Hop, Parsed, Unreachable};
use crate::platform::platform;
use crate::settings::first_unprivileged_port;
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::task::Cap;
use crate::wait::{Events, WaitQueue};
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::net::{IpAddr, SocketAddr};
use linux_raw_sys::net as raw;

const UDP: u32 = raw::IPPROTO_UDP as u32;
const IP: u32 = raw::IPPROTO_IP as u32;
const IPV6: u32 = raw::IPPROTO_IPV6 as u32;

/// Bytes of UDP's header, and where the checksum stands in it.
const HEADER: usize = 8;
const CHECKSUM: u16 = 6;
/// Bytes of a datagram at most: 64 KiB less the headers.
const MAX_PAYLOAD: usize = 65507;
/// What a datagram takes of the receive buffer beyond its bytes (Linux counts its bookkeeping).
const OVERHEAD: usize = 768;

static PORTS: Ports<Udp> = Ports::new();

#[derive(Clone)]
struct Datagram {
    data: Arc<Vec<u8>>,
    from: SocketAddr,
    to: IpAddr,
    time_ns: u64,
    /// How it came.
    interface: u32,
    ttl: u8,
    tos: u8,
}

/// A UDP socket.
pub struct Udp {
    this: Weak<Self>,
    family: Family,
    queue: WaitQueue,
    options: Arc<Options>,
    levels: Levels,
    errors: Errors,
    state: Lock<State>,
}

struct State {
    binding: Option<Binding<Udp>>,
    /// The address was chosen by connect, and goes with it.
    chosen: bool,
    peer: Option<SocketAddr>,
    incoming: VecDeque<Datagram>,
    used: usize,
    groups: Vec<IpAddr>,
    no_read: bool,
    no_write: bool,
}

impl Udp {
    /// An unbound socket.
    pub fn new(family: Family) -> (Arc<Self>, Arc<Options>) {
        let options = Arc::new(Options::default());
        let state = State {
            binding: None,
            chosen: false,
            peer: None,
            incoming: VecDeque::new(),
            used: 0,
            groups: Vec::new(),
            no_read: false,
            no_write: false,
        };
        let state = Lock::new(Rank::Socket, state);
        let socket = Arc::new_cyclic(|this: &Weak<Self>| Self {
            this: this.clone(),
            family,
            queue: WaitQueue::new(),
            options: options.clone(),
            levels: Levels::default(),
            errors: Errors::new(),
            state,
        });
        (socket, options)
    }

    fn v6_only(&self) -> bool {
        self.levels.is(IPV6, raw::IPV6_V6ONLY)
    }

    fn bind_to(&self, call: &Call<'_>, local: SocketAddr) -> Result<(), Errno> {
        if !bindable(self.options.network(), local.ip()) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let port = local.port();
        if port != 0 && port < first_unprivileged_port() && !NetNs::holds(call.current, Cap::NetBindService) {
            return Err(Errno::EACCES);
        }
        let mut state = self.state.lock();
        if state.binding.is_some() {
            return Err(Errno::EINVAL);
        }
        let scope = Scope::new(NetNs::key(self.options.network()), self.family, local.ip(), self.v6_only());
        state.binding = Some(PORTS.bind(&self.this, local, scope, sharing(call))?);
        Ok(())
    }

    fn bind_anywhere(&self, call: &Call<'_>) -> Result<(), Errno> {
        if self.state.lock().binding.is_some() {
            return Ok(());
        }
        self.bind_to(call, SocketAddr::new(self.family.any(), 0))
    }

    /// Whether a datagram from `from` is for this socket: a connected one hears its peer alone.
    fn hears(&self, from: SocketAddr) -> bool {
        self.state.lock().peer.is_none_or(|peer| peer == from)
    }

    /// Queues a datagram, unless the buffer is full: then it is lost.
    fn deliver(&self, datagram: Datagram, port: u16) {
        let Some(datagram) = self.filtered(datagram, port) else { return };
        let cost = datagram.data.len() + OVERHEAD;
        {
            let mut state = self.state.lock();
            if state.used + cost > self.options.receive_buffer() && !state.incoming.is_empty() {
                return;
            }
            state.used += cost;
            state.incoming.push_back(datagram);
        }
        self.queue.wake(Events::READABLE);
    }

    /// To the sockets of this sandbox, or to a service that has its place among them. May sleep.
    fn send_inside(&self, datagram: Datagram, to: SocketAddr, connected: bool) {
        seen::on_loopback(&datagram, to);
        if self.options.network().is_none()
            && let Some(relay) = relay::find(to)
            && PORTS.find(0, to).is_empty()
        {
            return relay.send(datagram.from, &datagram.data);
        }
        // The answer would be an ICMP error, which only a connected socket hears of, or who asks for such.
        let hears = connected || errors::wanted(&self.levels, to.ip());
        let payload = if hears { datagram.data.clone() } else { Arc::default() };
        if !Self::hand_out(self.options.network(), datagram, to) && hears && !to.ip().is_multicast() {
            self.failed(to, Cause::here(Unreachable::Port, to.ip()), &payload);
        }
    }

    /// To somebody outside.
    fn send_outside(&self, hop: &Hop, header: Header, ports: (u16, u16), data: &[u8]) -> Result<(), Errno> {
        let mut payload = Vec::with_capacity(HEADER + data.len());
        payload.extend_from_slice(&ports.0.to_be_bytes());
        payload.extend_from_slice(&ports.1.to_be_bytes());
        payload.extend_from_slice(&((HEADER + data.len()) as u16).to_be_bytes());
        payload.extend_from_slice(&[0, 0]);
        payload.extend_from_slice(data);
        if header.whole && header.header_bytes() + payload.len() > hop.mtu() {
            self.too_large(SocketAddr::new(header.to, ports.1), hop.mtu());
            return Err(Errno::EMSGSIZE);
        }
        for packet in header.packets(&payload, Some(CHECKSUM), hop.mtu(), stack::next_id()) {
            hop.send(packet);
        }
        hop.flush();
        hop.wait_for_room();
        Ok(())
    }

    /// The header of a datagram out.
    fn header(&self, from: IpAddr, to: IpAddr) -> Header {
        let number = |level, name| self.levels.number(level, name);
        let group = to.is_multicast();
        let (ttl, tos, discover) = match to {
            IpAddr::V4(_) => {
                let ttl = number(IP, if group { raw::IP_MULTICAST_TTL } else { raw::IP_TTL });
                (ttl, number(IP, raw::IP_TOS), number(IP, raw::IP_MTU_DISCOVER))
            }
            IpAddr::V6(_) => {
                let hops = number(IPV6, if group { raw::IPV6_MULTICAST_HOPS } else { raw::IPV6_UNICAST_HOPS });
                (hops, number(IPV6, raw::IPV6_TCLASS), number(IPV6, raw::IPV6_MTU_DISCOVER))
            }
        };
        Header {
            ttl: u8::try_from(ttl).unwrap_or(DEFAULT_TTL),
            tos: u8::try_from(tos).unwrap_or(0),
            whole: discover == raw::IP_PMTUDISC_DO as i32 || discover == raw::IP_PMTUDISC_PROBE as i32,
            ..Header::new(from, to, stack::UDP)
        }
    }

    /// Gives a datagram to the socket it is for, or to all members of its group; false where there is none.
    fn hand_out(network: &Option<Arc<NetNs>>, datagram: Datagram, to: SocketAddr) -> bool {
        let targets = PORTS.find(NetNs::key(network), to);
        let here = |target: &&Arc<Self>| target.options.device().is_none_or(|device| device == datagram.interface);
        let everybody = matches!(to.ip(), IpAddr::V4(ip) if ip.is_broadcast())
            || network.is_none() && interfaces().iter().any(|interface| interface.is_broadcast(to.ip()));
        if to.ip().is_multicast() || everybody {
            let member = |target: &&Arc<Self>| everybody || target.state.lock().groups.contains(&to.ip());
            let members: Vec<&Arc<Self>> = targets.iter().filter(here).filter(member).collect();
            for target in &members {
                target.deliver(datagram.clone(), to.port());
            }
            return !members.is_empty();
        }
        // Connected sockets go first; among several that share a port one is chosen.
        let hearing: Vec<&Arc<Self>> =
            targets.iter().filter(here).filter(|target| target.hears(datagram.from)).collect();
        let connected_to = hearing.iter().find(|target| target.state.lock().peer.is_some());
        let shared = hearing.iter().take_while(|target| target.shares()).count();
        match connected_to.or_else(|| hearing.get(choice(shared))) {
            Some(target) => target.deliver(datagram, to.port()),
            None => return false,
        }
        true
    }

    /// All that are bound.
    pub fn all() -> Vec<Arc<Self>> {
        PORTS.all()
    }

    /// Its row in `/proc/net/udp`.
    pub fn row(&self) -> Option<Row> {
        let state = self.state.lock();
        let local = state.binding.as_ref()?.local;
        let number = if state.peer.is_some() { 1 } else { 7 };
        Some(Row {
            peer: state.peer,
            state: number,
            queued: (0, state.used),
            ..Row::of(&self.options, self.family, local)
        })
    }

    /// A datagram came from outside.
    pub fn receive_packet(interface: &'static Interface, parsed: &Parsed<'_>) {
        let payload = parsed.payload;
        let length = usize::from(stack::get_u16(payload, 4));
        let Some(data) = payload.get(HEADER..length) else { return };
        let from = SocketAddr::new(parsed.from, stack::get_u16(payload, 0));
        let to = SocketAddr::new(parsed.to, stack::get_u16(payload, 2));
        let datagram = Datagram {
            data: Arc::new(data.to_vec()),
            from,
            to: to.ip(),
            time_ns: platform().realtime_ns(),
            interface: interface.index,
            ttl: parsed.ttl,
            tos: parsed.tos,
        };
        if !Self::hand_out(&None, datagram, to) && !to.ip().is_multicast() && !interface.is_broadcast(to.ip()) {
            stack::report(interface, parsed, Unreachable::Port);
        }
    }

    /// A service outside that looks like one inside sent a datagram; lost where nobody wants it any more.
    pub fn relayed(from: SocketAddr, to: SocketAddr, data: &[u8]) {
        let datagram = Datagram {
            data: Arc::new(data.to_vec()),
            from,
            to: to.ip(),
            time_ns: platform().realtime_ns(),
            interface: LOOPBACK_INDEX,
            ttl: DEFAULT_TTL,
            tos: 0,
        };
        Self::hand_out(&None, datagram, to);
    }

    /// Whether its datagrams to a group come to members in this sandbox too.
    fn loops_back(&self) -> bool {
        match self.family {
            Family::V4 => self.levels.is(IP, raw::IP_MULTICAST_LOOP),
            Family::V6 => self.levels.is(IPV6, raw::IPV6_MULTICAST_LOOP),
        }
    }

    fn shares(&self) -> bool {
        self.options.is(Switch::ReusePort)
    }
}

impl Protocol for Udp {
    fn bind(&self, call: &Call<'_>, address: &Address) -> Result<(), Fail> {
        let local = self.family.take(address, self.v6_only())?;
        Ok(self.bind_to(call, local)?)
    }

    fn connect(&self, call: &Call<'_>, address: &Address) -> Result<(), Fail> {
        if *address == Address::Unspecified {
            let mut state = self.state.lock();
            state.peer = None;
            let binding = if state.chosen { state.binding.take() } else { None };
            state.chosen = false;
            drop(state);
            drop(binding);
            return Ok(());
        }
        let peer = self.family.take(address, self.v6_only())?;
        let (to, from) = match route(call.options.network(), peer.ip(), call.options.device())? {
            Route::Local { to, from } => (to, from),
            Route::Group { from, .. } | Route::Remote { from, .. } => (peer.ip(), from),
            Route::Broadcast { .. } if !call.options.is(Switch::Broadcast) => return Err(Errno::EACCES.into()),
            Route::Broadcast { from, .. } => (peer.ip(), from),
        };
        let chosen = self.state.lock().binding.is_none();
        self.bind_anywhere(call)?;
        let mut state = self.state.lock();
        state.chosen |= chosen;
        if let Some(binding) = &mut state.binding
            && binding.local.ip().is_unspecified()
        {
            binding.narrow(from);
        }
        state.peer = Some(SocketAddr::new(to, peer.port()));
        drop(state);
        self.queue.wake(Events::WRITABLE);
        Ok(())
    }

    fn send(&self, call: &Call<'_>, source: &mut Source<'_>, message: Outgoing) -> Result<usize, Fail> {
        if message.flags.contains(MessageFlags::OOB) {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let len = source.left();
        if len > MAX_PAYLOAD {
            return Err(Errno::EMSGSIZE.into());
        }
        let (peer, shut) = {
            let state = self.state.lock();
            (state.peer, state.no_write)
        };
        if let Some(errno) = call.options.take_error() {
            return Err(errno.into());
        }
        if shut {
            return Err(Errno::EPIPE.into());
        }
        let to = match &message.to {
            Some(Address::Unspecified) | None => peer.ok_or(Errno::EDESTADDRREQ)?,
            Some(address) => self.family.take(address, self.v6_only())?,
        };
        if to.port() == 0 {
            return Err(Errno::EINVAL.into());
        }
        let said = said::Said::new(&message.control.notes, call.options.network(), self.family, to.ip())?;
        let device = said.interface.or(call.options.device());
        let (ip, from, inside, hop) = match route(call.options.network(), to.ip(), device)? {
            Route::Local { to, from } => (to, from, true, None),
            Route::Group { from, hop } => (to.ip(), from, self.loops_back(), hop),
            Route::Remote { hop, from } => (to.ip(), from, false, Some(hop)),
            Route::Broadcast { .. } if !call.options.is(Switch::Broadcast) => return Err(Errno::EACCES.into()),
            Route::Broadcast { hop: None, .. } => return Err(Errno::ENETUNREACH.into()),
            Route::Broadcast { hop, from } => (to.ip(), from, true, hop),
        };
        let data = source.take_vec(len)?;
        if data.len() < len {
            return Err(Errno::EFAULT.into());
        }
        self.bind_anywhere(call)?;
        let local = self.state.lock().binding.as_ref().map(|binding| binding.local).ok_or(Errno::EINVAL)?;
        let from = if local.ip().is_unspecified() { SocketAddr::new(from, local.port()) } else { local };
        let from = said.from.map_or(from, |ip| SocketAddr::new(ip, local.port()));
        let header = self.header(from.ip(), ip);
        let header = Header { ttl: said.ttl.unwrap_or(header.ttl), tos: said.tos.unwrap_or(header.tos), ..header };
        if let Some(hop) = hop {
            if from.ip().is_loopback() {
                return Err(Errno::EINVAL.into());
            }
            self.send_outside(&hop, header, (from.port(), to.port()), &data)?;
        }
        if inside {
            let datagram = Datagram {
                data: Arc::new(data),
                from,
                to: ip,
                time_ns: platform().realtime_ns(),
                interface: hop.map_or(LOOPBACK_INDEX, |hop| hop.interface.index),
                ttl: header.ttl,
                tos: header.tos,
            };
            let connected = message.to.is_none() && peer.is_some();
            self.send_inside(datagram, SocketAddr::new(ip, to.port()), connected);
        }
        Ok(len)
    }

    fn receive(&self, call: &Call<'_>, sink: &mut Sink<'_>, flags: MessageFlags) -> Result<Received, Fail> {
        if flags.contains(MessageFlags::ERRQUEUE) {
            return self.errors.receive(call.options, &self.levels, self.family, sink);
        }
        let peek = flags.contains(MessageFlags::PEEK);
        let datagram = call.until(&self.queue, Events::READABLE, Options::receive_deadline, || {
            if let Some(errno) = call.options.take_error() {
                return Some(Err(errno));
            }
            let mut state = self.state.lock();
            if peek && let Some(front) = state.incoming.front() {
                return Some(Ok(Some(front.clone())));
            }
            match state.incoming.pop_front() {
                Some(datagram) => {
                    state.used -= datagram.data.len() + OVERHEAD;
                    Some(Ok(Some(datagram)))
                }
                None => state.no_read.then_some(Ok(None)),
            }
        })??;
        let Some(datagram) = datagram else { return Ok(Received::default()) };
        let bytes = sink.put(&datagram.data)?;
        let length = datagram.data.len();
        let flags = if bytes < length { MessageFlags::TRUNC } else { MessageFlags::empty() };
        let control = notes::of(
            call.options,
            &self.levels,
            &notes::Arrival {
                from: datagram.from.ip(),
                to: datagram.to,
                interface: datagram.interface,
                ttl: datagram.ttl,
                tos: datagram.tos,
                time_ns: datagram.time_ns,
            },
        );
        let from = Some(self.family.show(datagram.from));
        Ok(Received { bytes, length, from, control, flags })
    }

    fn shutdown(&self, how: Shutdown) -> Result<(), Errno> {
        let connected = {
            let mut state = self.state.lock();
            state.no_read |= how.read;
            state.no_write |= how.write;
            state.peer.is_some()
        };
        self.queue.wake(Events::all());
        if connected { Ok(()) } else { Err(Errno::ENOTCONN) }
    }

    fn close(&self) {
        let binding = self.state.lock().binding.take();
        drop(binding);
    }

    fn local_address(&self) -> Address {
        let local = self.state.lock().binding.as_ref().map(|binding| binding.local);
        self.family.show(local.unwrap_or(SocketAddr::new(self.family.any(), 0)))
    }

    fn peer_address(&self) -> Result<Address, Errno> {
        self.state.lock().peer.map(|peer| self.family.show(peer)).ok_or(Errno::ENOTCONN)
    }

    fn get_option(&self, _: &Call<'_>, level: u32, name: u32) -> Result<Vec<u8>, Errno> {
        if !has_level(UDP, self.family == Family::V6, level) {
            return Err(Errno::EOPNOTSUPP);
        }
        match (level, name) {
            (IP, raw::IP_MTU) | (IPV6, raw::IPV6_MTU) => {
                let peer = self.state.lock().peer.ok_or(Errno::ENOTCONN)?;
                let mtu = match route(self.options.network(), peer.ip(), self.options.device()) {
                    Ok(Route::Remote { hop, .. }) => hop.mtu() as u32,
                    _ => 65535,
                };
                Ok(mtu.to_ne_bytes().to_vec())
            }
            (IP, raw::IP_MULTICAST_IF) => Ok([0; 4].to_vec()),
            _ => self.levels.get(level, name),
        }
    }

    fn set_option(&self, _: &Call<'_>, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
        if !has_level(UDP, self.family == Family::V6, level) {
            return Err(Errno::ENOPROTOOPT);
        }
        match (level, name) {
            (IP, raw::IP_ADD_MEMBERSHIP | raw::IP_DROP_MEMBERSHIP) => self.membership(name, value),
            (IPV6, raw::IPV6_ADD_MEMBERSHIP | raw::IPV6_DROP_MEMBERSHIP) => self.membership6(name, value),
            (IP, raw::IP_MULTICAST_IF) => Ok(()),
            (IP, raw::IP_HDRINCL) => Err(Errno::ENOPROTOOPT),
            (IPV6, raw::IPV6_V6ONLY) if self.state.lock().binding.is_some() => Err(Errno::EINVAL),
            _ => self.levels.set(level, name, value),
        }
    }

    fn own_option(&self, level: u32, name: u32) -> Option<Vec<u8>> {
        self.levels.get(level, name).ok()
    }

    fn filters(&self) -> bool {
        true
    }

    fn poll(&self, options: &Options) -> Events {
        let state = self.state.lock();
        let mut events = Events::WRITABLE | Events::WRBAND;
        if !state.incoming.is_empty() || state.no_read {
            events |= Events::READABLE;
        }
        if state.no_read {
            events |= Events::RDHUP;
        }
        if state.no_read && state.no_write {
            events |= Events::HUP;
        }
        if options.has_error() || !self.errors.is_empty() {
            events |= Events::ERR;
        }
        events
    }

    fn queue(&self) -> &WaitQueue {
        &self.queue
    }

    fn readable_bytes(&self) -> Result<usize, Errno> {
        Ok(self.state.lock().incoming.front().map_or(0, |datagram| datagram.data.len()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
