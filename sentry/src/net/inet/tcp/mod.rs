//! TCP's sockets. Between two of this sandbox what is written is in the other's queue at once, without segments or
//! acknowledgements; with somebody outside there is a `Connection`.

mod info;
mod outside;

use super::Family;
use super::end::End;
use super::options::{Levels, has_level};
use super::ports::{Binding, Ports, Scope, Sharing, choice};
use super::routes::{Route, bindable, route};
use crate::errno::Errno;
use crate::fs::{Sink, Source};
use crate::net::NetNs;
use crate::net::address::Address;
use crate::net::options::{Options, Switch};
use crate::net::socket::{Call, MessageFlags, Outgoing, Protocol, Received, Shutdown};
use crate::net::stream::{self, Endpoint, Rules};
use crate::net::unix::MAX_BACKLOG;
use crate::platform::platform;
use crate::settings::{self, first_unprivileged_port};
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::task::Cap;
use crate::wait::{Events, WaitQueue};
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec;
use alloc::vec::Vec;
use core::any::Any;
use core::net::SocketAddr;
use core::sync::atomic::Ordering;
use linux_raw_sys::net as raw;

const TCP: u32 = raw::IPPROTO_TCP as u32;
const IP: u32 = raw::IPPROTO_IP as u32;
const IPV6: u32 = raw::IPPROTO_IPV6 as u32;

/// Buffer sizes as getsockopt shows them: the defaults of net.ipv4.tcp_{w,r}mem.
const SEND_BUFFER: u32 = 16384;
const RECEIVE_BUFFER: u32 = 131_072;

/// Bytes that MSG_TRUNC throws away at a time.
const DISCARD: usize = 65536;
/// The one congestion control there is to name.
const CONGESTION: &[u8; 16] = b"cubic\0\0\0\0\0\0\0\0\0\0\0";

static PORTS: Ports<Tcp> = Ports::new();

/// A TCP socket.
pub struct Tcp {
    this: Weak<Self>,
    family: Family,
    queue: Arc<WaitQueue>,
    options: Arc<Options>,
    levels: Levels,
    state: Lock<State>,
}

struct State {
    binding: Option<Binding<Tcp>>,
    role: Role,
}

enum Role {
    Idle,
    /// A nonblocking connect was refused; the next connect says so.
    Refused,
    Listening {
        pending: VecDeque<Arc<Tcp>>,
        backlog: usize,
    },
    Connected {
        end: End,
        peer: SocketAddr,
        /// connect(2) has reported it.
        reported: bool,
    },
}

impl Tcp {
    /// An unbound socket.
    pub fn new(family: Family) -> (Arc<Self>, Arc<Options>) {
        let options = Arc::new(Options::with_buffers(SEND_BUFFER, RECEIVE_BUFFER));
        let socket = Self::with(family, Arc::new(WaitQueue::new()), options.clone(), Levels::default());
        (socket, options)
    }

    fn with(family: Family, queue: Arc<WaitQueue>, options: Arc<Options>, levels: Levels) -> Arc<Self> {
        let state = Lock::new(Rank::Socket, State { binding: None, role: Role::Idle });
        Arc::new_cyclic(|this| Self { this: this.clone(), family, queue, options, levels, state })
    }

    fn v6_only(&self) -> bool {
        self.levels.is(IPV6, raw::IPV6_V6ONLY)
    }

    fn end(&self) -> Option<End> {
        match &self.state.lock().role {
            Role::Connected { end, .. } => Some(end.clone()),
            _ => None,
        }
    }

    fn bind_to(&self, call: &Call<'_>, local: SocketAddr) -> Result<(), Errno> {
        if !bindable(self.options.network(), local.ip()) || local.ip().is_multicast() {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let port = local.port();
        if port != 0 && port < first_unprivileged_port() && !NetNs::holds(call.current, Cap::NetBindService) {
            return Err(Errno::EACCES);
        }
        let mut state = self.state.lock();
        if state.binding.is_some() || !matches!(state.role, Role::Idle | Role::Refused) {
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

    /// Puts a connection from `client` (at `from`) into this listener's backlog; the client's end of it.
    fn enqueue(&self, client: &Self, from: SocketAddr, to: SocketAddr) -> Result<Endpoint, Errno> {
        let mut state = self.state.lock();
        let State { binding, role } = &mut *state;
        let (Role::Listening { pending, backlog }, Some(binding)) = (role, binding) else {
            return Err(Errno::ECONNREFUSED);
        };
        // A full backlog would make the client try again until there is room: here it may wait in the queue.
        if pending.len() > (*backlog).max(MAX_BACKLOG) {
            return Err(Errno::ECONNREFUSED);
        }
        let queue = Arc::new(WaitQueue::new());
        let options = Arc::new(self.options.inherit());
        let (near, far) = stream::connect(
            Rules::Tcp,
            (client.queue.clone(), client.options.clone()),
            (queue.clone(), options.clone()),
        );
        let server = Self::with(self.family, queue, options, self.levels.inherit());
        {
            let mut server_state = server.state.lock_second();
            server_state.binding = Some(PORTS.share(binding, &server.this, to));
            server_state.role = Role::Connected { end: End::Local(Arc::new(far)), peer: from, reported: true };
        }
        pending.push_back(server);
        Ok(near)
    }

    fn disconnect(&self) {
        let old = {
            let mut state = self.state.lock();
            (core::mem::replace(&mut state.role, Role::Idle), state.binding.take())
        };
        if let (Role::Connected { end, .. }, _) = &old {
            end.close(true);
        }
        drop(old);
        self.queue.wake(Events::all());
    }

    fn connect_to(&self, call: &Call<'_>, peer: SocketAddr) -> Result<(), Errno> {
        let (to, from, hop) = match route(call.options.network(), peer.ip(), call.options.device())? {
            Route::Local { to, from } => (to, from, None),
            Route::Remote { hop, from } => (peer.ip(), from, Some(hop)),
            Route::Group { .. } | Route::Broadcast { .. } => return Err(Errno::ENETUNREACH),
        };
        let to = SocketAddr::new(to, peer.port());
        self.bind_anywhere(call)?;
        let local = {
            let mut state = self.state.lock();
            let binding = state.binding.as_mut().ok_or(Errno::EINVAL)?;
            if binding.local.ip().is_unspecified() {
                binding.narrow(from);
            }
            binding.local
        };
        let end = match hop {
            None => self.connect_inside(local, to)?,
            Some(hop) => self.connect_outside(local, to, hop)?,
        };
        let reported = !call.nonblocking;
        // What two racing connects leave behind is closed without the lock.
        let old = core::mem::replace(&mut self.state.lock().role, Role::Connected { end, peer: to, reported });
        drop(old);
        self.queue.wake(Events::all());
        Ok(())
    }

    fn connect_inside(&self, local: SocketAddr, to: SocketAddr) -> Result<End, Errno> {
        let listeners = PORTS.listeners(NetNs::key(self.options.network()), to);
        let listener = listeners.get(choice(listeners.len())).ok_or(Errno::ECONNREFUSED)?;
        let end = listener.enqueue(self, local, to)?;
        listener.queue.wake(Events::READABLE);
        Ok(End::Local(Arc::new(end)))
    }
}

/// How willing the socket is to share its port.
pub(super) fn sharing(call: &Call<'_>) -> Sharing {
    Sharing {
        reuse_address: call.options.is(Switch::ReuseAddress),
        reuse_port: call.options.is(Switch::ReusePort).then_some(call.current.creds.euid),
    }
}

impl Protocol for Tcp {
    fn bind(&self, call: &Call<'_>, address: &Address) -> Result<(), Fail> {
        let local = self.family.take(address, self.v6_only())?;
        Ok(self.bind_to(call, local)?)
    }

    fn connect(&self, call: &Call<'_>, address: &Address) -> Result<(), Fail> {
        if *address == Address::Unspecified {
            self.disconnect();
            return Ok(());
        }
        let peer = self.family.take(address, self.v6_only())?;
        if let Some(End::Remote(connection)) = self.unreported() {
            return match connection.is_opening() {
                true if call.nonblocking => Err(Errno::EALREADY.into()),
                _ => self.wait_for_peer(call, &connection),
            };
        }
        {
            let mut state = self.state.lock();
            match &mut state.role {
                Role::Idle => {}
                Role::Refused => {
                    state.role = Role::Idle;
                    drop(state);
                    return Err(call.options.take_error().unwrap_or(Errno::ECONNABORTED).into());
                }
                Role::Connected { reported, .. } if !*reported => {
                    *reported = true;
                    return Ok(());
                }
                Role::Connected { .. } | Role::Listening { .. } => return Err(Errno::EISCONN.into()),
            }
        }
        let result = self.connect_to(call, peer);
        if let (Ok(()), false, Some(End::Remote(connection))) = (&result, call.nonblocking, self.end()) {
            if let Role::Connected { reported, .. } = &mut self.state.lock().role {
                *reported = false;
            }
            return self.wait_for_peer(call, &connection);
        }
        match result {
            Ok(()) if call.nonblocking => Err(Errno::EINPROGRESS.into()),
            Err(Errno::ECONNREFUSED) if call.nonblocking => {
                self.state.lock().role = Role::Refused;
                call.options.set_error(Errno::ECONNREFUSED);
                self.queue.wake(Events::all());
                Err(Errno::EINPROGRESS.into())
            }
            other => Ok(other?),
        }
    }

    fn listen(&self, call: &Call<'_>, backlog: usize) -> Result<(), Fail> {
        self.bind_anywhere(call)?;
        let mut state = self.state.lock();
        let State { binding, role } = &mut *state;
        let limit = backlog.min(settings::BACKLOG.load(Ordering::Relaxed) as usize);
        match role {
            Role::Listening { backlog, .. } => *backlog = limit,
            Role::Connected { .. } => return Err(Errno::EINVAL.into()),
            Role::Idle | Role::Refused => {
                binding.as_ref().ok_or(Errno::EINVAL)?.set_listening(true)?;
                *role = Role::Listening { pending: VecDeque::new(), backlog: limit };
            }
        }
        Ok(())
    }

    fn accept(&self, call: &Call<'_>) -> Result<(Arc<dyn Protocol>, Arc<Options>, Address), Fail> {
        let accepted = call.until(&self.queue, Events::READABLE, Options::receive_deadline, || {
            match &mut self.state.lock().role {
                Role::Listening { pending, .. } => pending.pop_front().map(Ok),
                _ => Some(Err(Errno::EINVAL)),
            }
        })??;
        let peer = match &accepted.state.lock().role {
            Role::Connected { peer, .. } => self.family.show(*peer),
            _ => Address::Unspecified,
        };
        let options = accepted.options.clone();
        Ok((accepted, options, peer))
    }

    fn send(&self, call: &Call<'_>, source: &mut Source<'_>, message: Outgoing) -> Result<usize, Fail> {
        if message.flags.contains(MessageFlags::OOB) {
            return Err(Errno::EOPNOTSUPP.into());
        }
        match self.end() {
            Some(end) => end.send(call, source, message.flags),
            None => Err(call.options.take_error().unwrap_or(Errno::EPIPE).into()),
        }
    }

    fn receive(&self, call: &Call<'_>, sink: &mut Sink<'_>, flags: MessageFlags) -> Result<Received, Fail> {
        if flags.contains(MessageFlags::OOB) {
            return Err(Errno::EINVAL.into());
        }
        if flags.contains(MessageFlags::ERRQUEUE) {
            return Err(Errno::EAGAIN.into());
        }
        let Some(end) = self.end() else {
            return Err(call.options.take_error().unwrap_or(Errno::ENOTCONN).into());
        };
        if flags.contains(MessageFlags::TRUNC) && !flags.contains(MessageFlags::PEEK) {
            let mut nowhere = vec![0; sink.left().min(DISCARD)];
            return end.receive(call, &mut Sink::kernel(&mut nowhere), flags);
        }
        end.receive(call, sink, flags)
    }

    fn shutdown(&self, how: Shutdown) -> Result<(), Errno> {
        if let Some(end) = self.end() {
            if end.is_over() || end.is_opening() {
                return Err(Errno::ENOTCONN);
            }
            end.shutdown(how);
            return Ok(());
        }
        let refused = {
            let mut state = self.state.lock();
            let State { binding, role } = &mut *state;
            match role {
                Role::Listening { pending, .. } if how.read => {
                    if let Some(binding) = binding {
                        binding.set_listening(false)?;
                    }
                    let pending = core::mem::take(pending);
                    *role = Role::Idle;
                    pending
                }
                Role::Listening { .. } => return Ok(()),
                _ => return Err(Errno::ENOTCONN),
            }
        };
        refuse(refused);
        self.queue.wake(Events::all());
        Ok(())
    }

    fn close(&self) {
        let (role, binding) = {
            let mut state = self.state.lock();
            (core::mem::replace(&mut state.role, Role::Idle), state.binding.take())
        };
        match role {
            Role::Listening { pending, .. } => refuse(pending),
            Role::Connected { end, .. } => end.close(self.options.linger() == Some(0)),
            Role::Idle | Role::Refused => {}
        }
        drop(binding);
        self.queue.wake(Events::all());
    }

    fn local_address(&self) -> Address {
        let local = self.state.lock().binding.as_ref().map(|binding| binding.local);
        self.family.show(local.unwrap_or(SocketAddr::new(self.family.any(), 0)))
    }

    fn peer_address(&self) -> Result<Address, Errno> {
        let (end, peer) = match &self.state.lock().role {
            Role::Connected { end, peer, .. } => (end.clone(), *peer),
            _ => return Err(Errno::ENOTCONN),
        };
        if end.is_over() || end.is_opening() { Err(Errno::ENOTCONN) } else { Ok(self.family.show(peer)) }
    }

    fn listening(&self) -> bool {
        matches!(self.state.lock().role, Role::Listening { .. })
    }

    fn get_option(&self, _: &Call<'_>, level: u32, name: u32) -> Result<Vec<u8>, Errno> {
        if !has_level(TCP, self.family == Family::V6, level) {
            return Err(Errno::EOPNOTSUPP);
        }
        match (level, name) {
            (TCP, raw::TCP_INFO) => Ok(self.info()),
            (TCP, raw::TCP_CONGESTION) => Ok(CONGESTION.to_vec()),
            // The clock of its timestamps, of which it sends none.
            (TCP, raw::TCP_TIMESTAMP) => Ok(((platform().monotonic_ns() / 1_000_000) as u32).to_ne_bytes().to_vec()),
            // None: a name of no bytes.
            (TCP, raw::TCP_ULP) => Ok(Vec::new()),
            (TCP, raw::TCP_MAXSEG) if self.end().is_some() => Ok(self.segment().to_ne_bytes().to_vec()),
            (IP, raw::IP_MTU) | (IPV6, raw::IPV6_MTU) => match self.end() {
                Some(End::Local(_)) => Ok(65535_i32.to_ne_bytes().to_vec()),
                Some(End::Remote(connection)) => Ok((connection.mtu() as u32).to_ne_bytes().to_vec()),
                None => Err(Errno::ENOTCONN),
            },
            _ => self.levels.get(level, name),
        }
    }

    fn set_option(&self, _: &Call<'_>, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
        if !has_level(TCP, self.family == Family::V6, level) {
            return Err(Errno::ENOPROTOOPT);
        }
        match (level, name) {
            (TCP, raw::TCP_CONGESTION) => {
                let name = value.split(|byte| *byte == 0).next().unwrap_or(&[]);
                if name == b"cubic" || name == b"reno" { Ok(()) } else { Err(Errno::ENOENT) }
            }
            (TCP, raw::TCP_ULP) => Err(Errno::ENOENT),
            // Only of a connection that is being repaired.
            (TCP, raw::TCP_TIMESTAMP) => Err(Errno::EPERM),
            (IP, raw::IP_HDRINCL) => Err(Errno::ENOPROTOOPT),
            // The bits of congestion notification are TCP's own (INET_ECN_MASK).
            (IP, raw::IP_TOS) => self.levels.set(level, name, &[value.first().copied().ok_or(Errno::EINVAL)? & !3]),
            (IPV6, raw::IPV6_V6ONLY) if self.state.lock().binding.is_some() => Err(Errno::EINVAL),
            _ => {
                self.levels.set(level, name, value)?;
                self.reconfigure();
                Ok(())
            }
        }
    }

    fn own_option(&self, level: u32, name: u32) -> Option<Vec<u8>> {
        match (level, name) {
            (TCP, raw::TCP_INFO) => Some(self.info()),
            (TCP, raw::TCP_CONGESTION) => Some(CONGESTION.to_vec()),
            _ => self.levels.get(level, name).ok(),
        }
    }

    fn general_option_set(&self) {
        self.reconfigure();
    }

    fn poll(&self, options: &Options) -> Events {
        let end = match &self.state.lock().role {
            Role::Connected { end, .. } => end.clone(),
            Role::Listening { pending, .. } => {
                return if pending.is_empty() { Events::empty() } else { Events::READABLE };
            }
            role => {
                let mut events = Events::WRITABLE | Events::HUP;
                if matches!(role, Role::Refused) {
                    events |= Events::READABLE | Events::RDHUP;
                }
                if options.has_error() {
                    events |= Events::ERR;
                }
                return events;
            }
        };
        end.poll()
    }

    fn queue(&self) -> &WaitQueue {
        &self.queue
    }

    fn readable_bytes(&self) -> Result<usize, Errno> {
        if self.listening() {
            return Err(Errno::EINVAL);
        }
        Ok(self.end().map_or(0, |end| end.readable_bytes()))
    }

    fn unread_bytes(&self) -> usize {
        self.end().map_or(0, |end| end.unacknowledged_bytes())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Connections that nobody will accept: a reset for each.
fn refuse(pending: VecDeque<Arc<Tcp>>) {
    for refused in pending {
        if let Some(end) = refused.end() {
            end.close(true);
        }
    }
}
