//! UDP between sockets of this sandbox.

use super::Family;
use super::options::{Levels, has_level};
use super::ports::{Binding, Ports, Scope, choice};
use super::routes::{Route, bindable, route};
use super::tcp::{FIRST_UNPRIVILEGED, sharing};
use crate::errno::Errno;
use crate::fs::{Sink, Source};
use crate::net::address::Address;
use crate::net::control::Control;
use crate::net::interfaces::LOOPBACK_INDEX;
use crate::net::options::{Options, Switch};
use crate::net::socket::{Call, MessageFlags, Outgoing, Protocol, Received, Shutdown};
use crate::platform::platform;
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::task::Cap;
use crate::wait::{Events, WaitQueue};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use linux_raw_sys::net as raw;

const UDP: u32 = raw::IPPROTO_UDP as u32;
const IP: u32 = raw::IPPROTO_IP as u32;
const IPV6: u32 = raw::IPPROTO_IPV6 as u32;

/// Bytes of a datagram at most: 64 KiB less the headers.
const MAX_PAYLOAD: usize = 65507;
/// What a datagram takes of the receive buffer beyond its bytes (Linux counts its bookkeeping).
const OVERHEAD: usize = 768;

static PORTS: Ports<Udp> = Ports::new();

struct Datagram {
    data: Arc<Vec<u8>>,
    from: SocketAddr,
    to: IpAddr,
    time_ns: u64,
}

/// A UDP socket.
pub struct Udp {
    this: Weak<Self>,
    family: Family,
    queue: WaitQueue,
    options: Arc<Options>,
    levels: Levels,
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
            state,
        });
        (socket, options)
    }

    fn v6_only(&self) -> bool {
        self.levels.is(IPV6, raw::IPV6_V6ONLY)
    }

    fn bind_to(&self, call: &Call<'_>, local: SocketAddr) -> Result<(), Errno> {
        if !bindable(local.ip()) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let port = local.port();
        if port != 0 && port < FIRST_UNPRIVILEGED && !call.current.creds.has(Cap::NetBindService) {
            return Err(Errno::EACCES);
        }
        let mut state = self.state.lock();
        if state.binding.is_some() {
            return Err(Errno::EINVAL);
        }
        let scope = Scope::new(self.family, local.ip(), self.v6_only());
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
    fn deliver(&self, datagram: Datagram) {
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

    fn send_to(&self, to: SocketAddr, from: SocketAddr, data: Vec<u8>, connected: bool) -> Result<(), Errno> {
        let data = Arc::new(data);
        let time_ns = platform().realtime_ns();
        let targets = PORTS.find(to);
        if to.ip().is_multicast() {
            for target in targets.iter().filter(|target| target.state.lock().groups.contains(&to.ip())) {
                target.deliver(Datagram { data: data.clone(), from, to: to.ip(), time_ns });
            }
            return Ok(());
        }
        // Connected sockets go first; among several that share a port one is chosen.
        let hearing: Vec<&Arc<Self>> = targets.iter().filter(|target| target.hears(from)).collect();
        let connected_to = hearing.iter().find(|target| target.state.lock().peer.is_some());
        let shared = hearing.iter().take_while(|target| target.shares()).count();
        let target = connected_to.or_else(|| hearing.get(choice(shared)));
        match target {
            Some(target) => target.deliver(Datagram { data, from, to: to.ip(), time_ns }),
            // The answer would be an ICMP error, which only a connected socket hears of.
            None if connected => {
                self.options.set_error(Errno::ECONNREFUSED);
                self.queue.wake(Events::all());
            }
            None => {}
        }
        Ok(())
    }

    fn shares(&self) -> bool {
        self.options.is(Switch::ReusePort)
    }

    fn notes(&self, datagram: &Datagram) -> Option<Box<Control>> {
        let mut notes = Vec::new();
        let ns = datagram.time_ns;
        if self.options.is(Switch::Timestamp) {
            let words = [ns / 1_000_000_000, ns % 1_000_000_000 / 1000];
            notes.push((raw::SOL_SOCKET, raw::SO_TIMESTAMP_OLD, words.map(u64::to_ne_bytes).concat()));
        }
        if self.options.is(Switch::TimestampNs) {
            let words = [ns / 1_000_000_000, ns % 1_000_000_000];
            notes.push((raw::SOL_SOCKET, raw::SO_TIMESTAMPNS_OLD, words.map(u64::to_ne_bytes).concat()));
        }
        if let IpAddr::V4(to) = datagram.to {
            if self.levels.is(IP, raw::IP_PKTINFO) {
                let mut info = LOOPBACK_INDEX.to_ne_bytes().to_vec();
                info.extend_from_slice(&to.octets());
                info.extend_from_slice(&to.octets());
                notes.push((IP, raw::IP_PKTINFO, info));
            }
            if self.levels.is(IP, raw::IP_RECVTTL) {
                notes.push((IP, raw::IP_TTL, 64_i32.to_ne_bytes().to_vec()));
            }
            if self.levels.is(IP, raw::IP_RECVTOS) {
                notes.push((IP, raw::IP_TOS, [0].to_vec()));
            }
        }
        if self.levels.is(IPV6, raw::IPV6_RECVPKTINFO) {
            let to: Ipv6Addr = match datagram.to {
                IpAddr::V4(to) => to.to_ipv6_mapped(),
                IpAddr::V6(to) => to,
            };
            let mut info = to.octets().to_vec();
            info.extend_from_slice(&LOOPBACK_INDEX.to_ne_bytes());
            notes.push((IPV6, raw::IPV6_PKTINFO, info));
        }
        (!notes.is_empty()).then(|| Box::new(Control { notes, ..Control::default() }))
    }

    fn membership(&self, name: u32, value: &[u8]) -> Result<(), Errno> {
        let group: IpAddr = match value.first_chunk::<4>() {
            Some(octets) => Ipv4Addr::from(*octets).into(),
            None => return Err(Errno::EINVAL),
        };
        self.set_membership(group, name == raw::IP_ADD_MEMBERSHIP)
    }

    fn membership6(&self, name: u32, value: &[u8]) -> Result<(), Errno> {
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
        let (to, from) = match route(peer.ip())? {
            Route::Local { to, from } => (to, from),
            Route::Group { from } => (peer.ip(), from),
            Route::Broadcast if call.options.is(Switch::Broadcast) => return Err(Errno::ENETUNREACH.into()),
            Route::Broadcast => return Err(Errno::EACCES.into()),
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
        let (ip, from) = match route(to.ip())? {
            Route::Local { to, from } => (to, from),
            Route::Group { from } => (to.ip(), from),
            Route::Broadcast if call.options.is(Switch::Broadcast) => return Err(Errno::ENETUNREACH.into()),
            Route::Broadcast => return Err(Errno::EACCES.into()),
        };
        let data = source.take_vec(len)?;
        if data.len() < len {
            return Err(Errno::EFAULT.into());
        }
        self.bind_anywhere(call)?;
        let local = self.state.lock().binding.as_ref().map(|binding| binding.local).ok_or(Errno::EINVAL)?;
        let from = if local.ip().is_unspecified() { SocketAddr::new(from, local.port()) } else { local };
        let connected = message.to.is_none() && peer.is_some();
        self.send_to(SocketAddr::new(ip, to.port()), from, data, connected)?;
        Ok(len)
    }

    fn receive(&self, call: &Call<'_>, sink: &mut Sink<'_>, flags: MessageFlags) -> Result<Received, Fail> {
        if flags.contains(MessageFlags::ERRQUEUE) {
            return Err(Errno::EAGAIN.into());
        }
        let peek = flags.contains(MessageFlags::PEEK);
        let datagram = call.until(&self.queue, Events::READABLE, Options::receive_deadline, || {
            if let Some(errno) = call.options.take_error() {
                return Some(Err(errno));
            }
            let mut state = self.state.lock();
            if peek && let Some(front) = state.incoming.front() {
                let Datagram { from, to, time_ns, .. } = *front;
                return Some(Ok(Some(Datagram { data: front.data.clone(), from, to, time_ns })));
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
        let from = Some(self.family.show(datagram.from));
        Ok(Received { bytes, length, from, control: self.notes(&datagram), flags })
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
            (IP, raw::IP_MTU) => match self.state.lock().peer {
                Some(_) => Ok(65535_i32.to_ne_bytes().to_vec()),
                None => Err(Errno::ENOTCONN),
            },
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
            (IPV6, raw::IPV6_V6ONLY) if self.state.lock().binding.is_some() => Err(Errno::EINVAL),
            _ => self.levels.set(level, name, value),
        }
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
        if options.has_error() {
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
