//! Raw sockets (raw(7)), and those that can do nothing but ask for an echo (SOCK_DGRAM with IPPROTO_ICMP).
//!
//! Lock: `Rank::Socket` a socket's, after `Rank::SocketTable` has been given back.

use super::Family;
use super::errors::{self, Errors};
use super::listing::Row;
use super::options::Levels;
use super::routes::{Route, bindable, route};
use crate::errno::Errno;
use crate::fs::{Sink, Source};
use crate::net::address::Address;
use crate::net::filter::Subject;
use crate::net::interfaces::Interface;
use crate::net::options::{Options, Switch};
use crate::net::socket::{Call, MessageFlags, Outgoing, Protocol, Received, Shutdown};
use crate::net::stack::{self, Cause, Header, ICMP, ICMP6, Packet, Parsed, Unreachable};
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::wait::{Events, WaitQueue};
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicU16, Ordering};
use linux_raw_sys::net as raw;

const IP: u32 = raw::IPPROTO_IP as u32;
const IPV6: u32 = raw::IPPROTO_IPV6 as u32;
/// SOL_RAW and its one option (raw(7)).
const SOL_RAW: u32 = 255;
const ICMP_FILTER: u32 = 1;
/// ICMPV6_FILTER of IPPROTO_ICMPV6 (RFC 3542, 3.2).
const ICMP6_FILTER: u32 = 1;
const SOL_ICMP6: u32 = ICMP6 as u32;
/// IPV6_CHECKSUM.
const IPV6_CHECKSUM: u32 = raw::IPV6_CHECKSUM;
/// A protocol that is sent only.
const RAW: u8 = raw::IPPROTO_RAW as u8;
/// Echo requests and replies.
const ECHO: [u8; 2] = [8, 128];
const ECHO_REPLY: [u8; 2] = [0, 129];
/// Bytes of a packet at most.
const MAX_PAYLOAD: usize = 65515;
/// What a packet takes of the buffer beyond its bytes.
const OVERHEAD: usize = 768;

static SOCKETS: Lock<Vec<Weak<Raw>>> = Lock::new(Rank::SocketTable, Vec::new());

struct Incoming {
    bytes: Vec<u8>,
    from: IpAddr,
    to: IpAddr,
    interface: u32,
    ttl: u8,
}

struct State {
    bound: Option<IpAddr>,
    peer: Option<IpAddr>,
    incoming: VecDeque<Incoming>,
    used: usize,
    /// ICMP types that are not wanted, a bit each; of ICMPv6 there are 256.
    blocked: [u32; 8],
    /// An echo socket's number.
    identifier: u16,
    no_read: bool,
    no_write: bool,
}

/// A raw or echo socket.
pub struct Raw {
    family: Family,
    protocol: u8,
    /// It can ask for an echo, and nothing else.
    echo: bool,
    queue: WaitQueue,
    options: Arc<Options>,
    levels: Levels,
    errors: Errors,
    state: Lock<State>,
}

impl Raw {
    /// A socket for this protocol; the caller has looked whether it may be.
    pub fn new(family: Family, protocol: u8, echo: bool) -> (Arc<Self>, Arc<Options>) {
        let options = Arc::new(Options::default());
        let state = State {
            bound: None,
            peer: None,
            incoming: VecDeque::new(),
            used: 0,
            blocked: [0; 8],
            identifier: 0,
            no_read: false,
            no_write: false,
        };
        let socket = Arc::new(Self {
            family,
            protocol,
            echo,
            queue: WaitQueue::new(),
            options: options.clone(),
            levels: Levels::default(),
            errors: Errors::new(),
            state: Lock::new(Rank::Socket, state),
        });
        SOCKETS.lock().push(Arc::downgrade(&socket));
        (socket, options)
    }

    /// A packet came; true where a raw socket took a copy of it.
    pub fn receive(interface: &'static Interface, parsed: &Parsed<'_>) -> bool {
        let sockets: Vec<Arc<Self>> = {
            let table = SOCKETS.lock();
            if table.is_empty() {
                return false;
            }
            table.iter().filter_map(Weak::upgrade).collect()
        };
        sockets.iter().filter(|socket| socket.take(interface, parsed)).count() > 0
    }

    /// A packet of this protocol did not arrive; `payload`: what came back of it.
    pub fn undelivered(protocol: u8, (from, to): (IpAddr, IpAddr), cause: Cause, payload: &[u8]) {
        for socket in Self::all().into_iter().filter(|socket| socket.protocol == protocol) {
            let (concerned, connected) = {
                let state = socket.state.lock();
                let other_echo = socket.echo
                    && (!payload.first().is_some_and(|kind| ECHO.contains(kind))
                        || stack::get_u16(payload, 4) != state.identifier);
                let ends = state.bound.is_none_or(|own| own == from) && state.peer.is_none_or(|peer| peer == to);
                (ends && !other_echo && socket.options.network().is_none(), state.peer.is_some())
            };
            let recverr = errors::wanted(&socket.levels, to);
            let hard = !matches!(cause.why, Unreachable::TimeExceeded | Unreachable::TooBig(_) | Unreachable::Network);
            if !concerned || !(recverr || connected && hard) {
                continue;
            }
            if recverr {
                socket.errors.undelivered(SocketAddr::new(to, 0), cause, payload);
            }
            socket.options.set_error(cause.why.errno());
            socket.queue.wake(Events::all());
        }
    }

    /// All there are.
    pub fn all() -> Vec<Arc<Self>> {
        SOCKETS.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Whether it can do nothing but ask for an echo.
    pub fn is_echo(&self) -> bool {
        self.echo
    }

    /// Its row in `/proc/net/raw` and `/proc/net/icmp`.
    pub fn row(&self) -> Row {
        let state = self.state.lock();
        let number = if self.echo { state.identifier } else { u16::from(self.protocol) };
        let local = SocketAddr::new(state.bound.unwrap_or(self.family.any()), number);
        let peer = state.peer.map(|peer| SocketAddr::new(peer, 0));
        let connected = if peer.is_some() { 1 } else { 7 };
        Row { peer, state: connected, queued: (0, state.used), ..Row::of(&self.options, self.family, local) }
    }

    /// Takes a copy, if it is for this socket.
    fn take(&self, interface: &'static Interface, parsed: &Parsed<'_>) -> bool {
        let v4 = parsed.to.is_ipv4();
        if self.protocol != parsed.protocol || (self.family == Family::V4) != v4 {
            return false;
        }
        // What comes here is of the first network.
        if self.options.network().is_some() {
            return false;
        }
        if self.options.device().is_some_and(|device| device != interface.index) {
            return false;
        }
        let kind = parsed.payload.first().copied().unwrap_or(0);
        let is_icmp = self.protocol == ICMP || self.protocol == ICMP6;
        let mut state = self.state.lock();
        let for_us = state.bound.is_none_or(|own| own == parsed.to || parsed.to.is_multicast())
            && state.peer.is_none_or(|peer| peer == parsed.from);
        let blocked = state.blocked.get(usize::from(kind / 32)).is_some_and(|word| word >> (kind % 32) & 1 != 0);
        let other_echo =
            self.echo && (!ECHO_REPLY.contains(&kind) || stack::get_u16(parsed.payload, 4) != state.identifier);
        if !for_us || is_icmp && blocked || other_echo {
            return false;
        }
        // Over IPv4 a raw socket sees the header too.
        let bytes = if v4 && !self.echo { parsed.packet } else { parsed.payload };
        let bytes = match self.options.filter() {
            None => bytes,
            Some(filter) => {
                let protocol = if v4 { stack::TYPE_IP4 } else { stack::TYPE_IP6 };
                let subject = Subject { bytes, protocol, interface: interface.index, ..Subject::default() };
                match filter.run(&subject).and_then(|kept| bytes.get(..kept)) {
                    Some(bytes) => bytes,
                    None => return false,
                }
            }
        };
        if state.used + bytes.len() + OVERHEAD <= self.options.receive_buffer() || state.incoming.is_empty() {
            state.used += bytes.len() + OVERHEAD;
            let (from, to, ttl) = (parsed.from, parsed.to, parsed.ttl);
            state.incoming.push_back(Incoming { bytes: bytes.to_vec(), from, to, interface: interface.index, ttl });
        }
        drop(state);
        self.queue.wake(Events::READABLE);
        !self.echo
    }

    fn any(&self) -> SocketAddr {
        SocketAddr::new(self.family.any(), 0)
    }

    /// An echo socket's number, chosen at its first use.
    fn identifier(&self) -> u16 {
        static NEXT: AtomicU16 = AtomicU16::new(0x5a31);
        let mut state = self.state.lock();
        if state.identifier == 0 {
            state.identifier = NEXT.fetch_add(1, Ordering::Relaxed).max(1);
        }
        state.identifier
    }

    fn header(&self, from: IpAddr, to: IpAddr) -> Header {
        let (ttl, tos) = match to {
            IpAddr::V4(ip) if ip.is_multicast() => (self.levels.number(IP, raw::IP_MULTICAST_TTL), 0),
            IpAddr::V4(_) => (self.levels.number(IP, raw::IP_TTL), self.levels.number(IP, raw::IP_TOS)),
            IpAddr::V6(ip) if ip.is_multicast() => (self.levels.number(IPV6, raw::IPV6_MULTICAST_HOPS), 0),
            IpAddr::V6(_) => {
                (self.levels.number(IPV6, raw::IPV6_UNICAST_HOPS), self.levels.number(IPV6, raw::IPV6_TCLASS))
            }
        };
        Header {
            ttl: u8::try_from(ttl).unwrap_or(stack::DEFAULT_TTL),
            tos: u8::try_from(tos).unwrap_or(0),
            ..Header::new(from, to, self.protocol)
        }
    }

    /// What goes out for `data`.
    fn packets(&self, from: IpAddr, to: IpAddr, mut data: Vec<u8>, mtu: usize) -> Result<Vec<Packet>, Errno> {
        if self.echo {
            let asks = data.first().is_some_and(|kind| ECHO.contains(kind)) && data.len() >= 8;
            if !asks {
                return Err(Errno::EINVAL);
            }
            stack::set_u16(&mut data, 4, self.identifier());
            stack::complete_icmp(&mut data, from, to);
        } else if self.protocol == ICMP6 {
            stack::complete_icmp(&mut data, from, to);
        } else if self.family == Family::V4 && (self.protocol == RAW || self.levels.is(IP, raw::IP_HDRINCL)) {
            return own_header(from, data, mtu).map(|packet| [packet].into());
        }
        Ok(self.header(from, to).packets(&data, None, mtu, stack::next_id()))
    }
}

/// A packet whose header the program has made: length, checksum and what it left open are filled in (raw(7)).
fn own_header(from: IpAddr, mut data: Vec<u8>, mtu: usize) -> Result<Packet, Errno> {
    if data.len() > mtu {
        return Err(Errno::EMSGSIZE);
    }
    let header = usize::from(data.first().copied().unwrap_or(0) & 15) * 4;
    if header < 20 || data.len() < header {
        return Err(Errno::EINVAL);
    }
    let len = data.len() as u16;
    stack::set_u16(&mut data, 2, len);
    if let (IpAddr::V4(from), Some(source)) = (from, data.get_mut(12..16))
        && source == [0; 4]
    {
        source.copy_from_slice(&from.octets());
    }
    stack::set_u16(&mut data, 10, 0);
    let sum = !stack::sum(data.get(..header).unwrap_or(&[]));
    stack::set_u16(&mut data, 10, sum);
    Ok(Packet { bytes: data, checksum: None, segments: None })
}

impl Protocol for Raw {
    fn bind(&self, _: &Call<'_>, address: &Address) -> Result<(), Fail> {
        let local = self.family.take(address, false)?;
        if !bindable(self.options.network(), local.ip()) {
            return Err(Errno::EADDRNOTAVAIL.into());
        }
        let mut state = self.state.lock();
        state.bound = (!local.ip().is_unspecified()).then_some(local.ip());
        if self.echo && local.port() != 0 {
            state.identifier = local.port();
        }
        Ok(())
    }

    fn connect(&self, call: &Call<'_>, address: &Address) -> Result<(), Fail> {
        if *address == Address::Unspecified {
            self.state.lock().peer = None;
            return Ok(());
        }
        let peer = self.family.take(address, false)?;
        route(call.options.network(), peer.ip(), call.options.device())?;
        self.state.lock().peer = Some(peer.ip());
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
        let (peer, bound, shut) = {
            let state = self.state.lock();
            (state.peer, state.bound, state.no_write)
        };
        if shut {
            return Err(Errno::EPIPE.into());
        }
        if let Some(errno) = call.options.take_error() {
            return Err(errno.into());
        }
        let to = match &message.to {
            Some(Address::Unspecified) | None => peer.ok_or(Errno::EDESTADDRREQ)?,
            Some(address) => self.family.take(address, false)?.ip(),
        };
        let (to, from, hop) = match route(call.options.network(), to, call.options.device())? {
            Route::Local { to, from } => (to, from, None),
            Route::Remote { hop, from } => (to, from, Some(hop)),
            Route::Broadcast { .. } if !call.options.is(Switch::Broadcast) => return Err(Errno::EACCES.into()),
            Route::Group { hop, from } | Route::Broadcast { hop, from } => (to, from, hop),
        };
        let data = source.take_vec(len)?;
        if data.len() < len {
            return Err(Errno::EFAULT.into());
        }
        let from = bound.filter(|own| own.is_ipv4() == to.is_ipv4()).unwrap_or(from);
        match hop {
            Some(hop) => {
                for packet in self.packets(from, to, data, hop.mtu())? {
                    hop.send(packet);
                }
                hop.flush();
                hop.wait_for_room();
            }
            // Networks of a program's own carry no raw packets.
            None if call.options.network().is_some() => return Err(Errno::ENETUNREACH.into()),
            None => {
                for packet in self.packets(from, to, data, usize::from(u16::MAX))? {
                    stack::loop_back(&packet.bytes);
                }
            }
        }
        Ok(len)
    }

    fn receive(&self, call: &Call<'_>, sink: &mut Sink<'_>, flags: MessageFlags) -> Result<Received, Fail> {
        if flags.contains(MessageFlags::ERRQUEUE) {
            return self.errors.receive(call.options, &self.levels, self.family, sink);
        }
        let peek = flags.contains(MessageFlags::PEEK);
        let found = call.until(&self.queue, Events::READABLE, Options::receive_deadline, || {
            if let Some(errno) = call.options.take_error() {
                return Some(Err(errno));
            }
            let mut state = self.state.lock();
            match state.incoming.pop_front() {
                Some(packet) => {
                    let copy = (packet.bytes.clone(), packet.from, packet.to, packet.interface, packet.ttl);
                    if peek {
                        state.incoming.push_front(packet);
                    } else {
                        state.used = state.used.saturating_sub(packet.bytes.len() + OVERHEAD);
                    }
                    Some(Ok(Some(copy)))
                }
                None => state.no_read.then_some(Ok(None)),
            }
        })??;
        let Some((data, from, to, interface, ttl)) = found else { return Ok(Received::default()) };
        let bytes = sink.put(&data)?;
        let flags = if bytes < data.len() { MessageFlags::TRUNC } else { MessageFlags::empty() };
        let control = super::notes::of(
            call.options,
            &self.levels,
            &super::notes::Arrival {
                from,
                to,
                interface,
                ttl,
                tos: 0,
                time_ns: crate::platform::platform().realtime_ns(),
            },
        );
        let from = Some(self.family.show(SocketAddr::new(from, 0)));
        Ok(Received { bytes, length: data.len(), from, control, flags })
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
        SOCKETS.lock().retain(|socket| !core::ptr::eq(socket.as_ptr(), self));
    }

    fn local_address(&self) -> Address {
        let (bound, identifier) = {
            let state = self.state.lock();
            (state.bound, state.identifier)
        };
        let port = if self.echo { identifier } else { u16::from(self.protocol) };
        self.family.show(SocketAddr::new(bound.unwrap_or(self.any().ip()), port))
    }

    fn peer_address(&self) -> Result<Address, Errno> {
        let peer = self.state.lock().peer.ok_or(Errno::ENOTCONN)?;
        Ok(self.family.show(SocketAddr::new(peer, 0)))
    }

    fn get_option(&self, _: &Call<'_>, level: u32, name: u32) -> Result<Vec<u8>, Errno> {
        match (level, name) {
            (SOL_RAW, ICMP_FILTER) if self.protocol == ICMP => {
                Ok(self.state.lock().blocked.first().map_or(0, |word| *word).to_ne_bytes().to_vec())
            }
            (IP | IPV6, _) => self.levels.get(level, name),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn set_option(&self, _: &Call<'_>, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
        match (level, name) {
            (SOL_RAW, ICMP_FILTER) if self.protocol == ICMP => {
                let mask = value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes)).ok_or(Errno::EINVAL)?;
                self.state.lock().blocked = [mask, 0, 0, 0, 0, 0, 0, 0];
                Ok(())
            }
            (SOL_ICMP6, ICMP6_FILTER) if self.protocol == ICMP6 => {
                let (words, _) = value.as_chunks::<4>();
                let mut state = self.state.lock();
                for (own, word) in state.blocked.iter_mut().zip(words) {
                    *own = u32::from_ne_bytes(*word);
                }
                Ok(())
            }
            // The checksum of ICMPv6 is always made.
            (IPV6 | SOL_RAW, IPV6_CHECKSUM) if self.family == Family::V6 => Ok(()),
            (IP | IPV6, _) => self.levels.set(level, name, value),
            _ => Err(Errno::ENOPROTOOPT),
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
        if options.has_error() || !self.errors.is_empty() {
            events |= Events::ERR;
        }
        events
    }

    fn queue(&self) -> &WaitQueue {
        &self.queue
    }

    fn readable_bytes(&self) -> Result<usize, Errno> {
        Ok(self.state.lock().incoming.front().map_or(0, |packet| packet.bytes.len()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
