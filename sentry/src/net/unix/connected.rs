//! Unix sockets that connect: SOCK_STREAM and SOCK_SEQPACKET.

use super::{Peer, names};
use crate::errno::Errno;
use crate::fs::{Sink, Source};
use crate::net::NetNs;
use crate::net::address::{Address, UnixName};
use crate::net::control::Ucred;
use crate::net::options::Options;
use crate::net::socket::{Call, Kind, MessageFlags, Outgoing, Protocol, Received, Shutdown};
use crate::net::stream::{self, Endpoint, Rules};
use crate::net::table::{Doing, UnixRow};
use crate::settings;
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::task::Current;
use crate::wait::{Events, WaitQueue};
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::Ordering;

/// Connections that a listener holds at most, whatever it asked for (net.core.somaxconn).
pub const MAX_BACKLOG: usize = 4096;

/// A stream or seqpacket socket.
pub struct Connected {
    this: Weak<Self>,
    kind: Kind,
    queue: Arc<WaitQueue>,
    options: Arc<Options>,
    state: Lock<State>,
}

struct State {
    name: UnixName,
    role: Role,
}

enum Role {
    Idle,
    Listening { pending: VecDeque<Arc<Connected>>, backlog: usize, peer: Peer },
    Connected { end: Arc<Endpoint>, peer: Peer, peer_name: UnixName },
}

impl Connected {
    /// A socket without a peer.
    pub fn new(kind: Kind, options: Arc<Options>) -> Arc<Self> {
        Self::with(kind, Arc::new(WaitQueue::new()), options, UnixName::Unnamed, Role::Idle)
    }

    fn with(kind: Kind, queue: Arc<WaitQueue>, options: Arc<Options>, name: UnixName, role: Role) -> Arc<Self> {
        let state = Lock::new(Rank::Socket, State { name, role });
        Arc::new_cyclic(|this| Self { this: this.clone(), kind, queue, options, state })
    }

    /// Two connected sockets.
    pub fn pair(current: &Current, kind: Kind, first: Arc<Options>, second: Arc<Options>) -> (Arc<Self>, Arc<Self>) {
        let queues = (Arc::new(WaitQueue::new()), Arc::new(WaitQueue::new()));
        let ends = stream::connect(rules(kind), (queues.0.clone(), first.clone()), (queues.1.clone(), second.clone()));
        let role = |end| Role::Connected { end: Arc::new(end), peer: Peer::of(current), peer_name: UnixName::Unnamed };
        (
            Self::with(kind, queues.0, first, UnixName::Unnamed, role(ends.0)),
            Self::with(kind, queues.1, second, UnixName::Unnamed, role(ends.1)),
        )
    }

    fn endpoint(&self) -> Option<Arc<Endpoint>> {
        match &self.state.lock().role {
            Role::Connected { end, .. } => Some(end.clone()),
            _ => None,
        }
    }

    /// One attempt to connect `client` to this listener; `None` while the backlog is full.
    fn enqueue(&self, current: &Current, client: &Self, client_name: &UnixName) -> Option<Result<Role, Errno>> {
        let mut state = self.state.lock();
        let name = state.name.clone();
        let Role::Listening { pending, backlog, peer } = &mut state.role else {
            return Some(Err(Errno::ECONNREFUSED));
        };
        if pending.len() > *backlog {
            return None;
        }
        if matches!(name, UnixName::Abstract(_)) && !self.options.is_reachable(current) {
            return Some(Err(Errno::EPERM));
        }
        let queue = Arc::new(WaitQueue::new());
        let options = Arc::new(Options::default());
        let (near, far) = stream::connect(
            rules(self.kind),
            (client.queue.clone(), client.options.clone()),
            (queue.clone(), options.clone()),
        );
        let server_side =
            Role::Connected { end: Arc::new(far), peer: Peer::of(current), peer_name: client_name.clone() };
        pending.push_back(Self::with(self.kind, queue, options, name.clone(), server_side));
        Some(Ok(Role::Connected { end: Arc::new(near), peer: peer.clone(), peer_name: name }))
    }
}

fn rules(kind: Kind) -> Rules {
    if kind == Kind::SeqPacket { Rules::UnixRecords } else { Rules::UnixStream }
}

impl Protocol for Connected {
    fn bind(&self, call: &Call<'_>, address: &Address) -> Result<(), Fail> {
        let Address::Unix(name) = address else { return Err(Errno::EINVAL.into()) };
        if self.state.lock().name != UnixName::Unnamed {
            // Autobind of a bound socket does nothing.
            return names::bind_again(call.current, name).map_err(Fail::from);
        }
        let this: names::Bound = self.this.upgrade().ok_or(Errno::EINVAL)?;
        let bound = names::bind(call.current, NetNs::key(call.options.network()), name, &this)?;
        self.state.lock().name = bound;
        Ok(())
    }

    fn connect(&self, call: &Call<'_>, address: &Address) -> Result<(), Fail> {
        let Address::Unix(name) = address else { return Err(Errno::EINVAL.into()) };
        let own_name = {
            let state = self.state.lock();
            match &state.role {
                Role::Idle => state.name.clone(),
                Role::Connected { .. } => return Err(Errno::EISCONN.into()),
                Role::Listening { .. } => return Err(Errno::EINVAL.into()),
            }
        };
        let found = names::find(call.current, NetNs::key(call.options.network()), name)?;
        let listener = found.downcast::<Self>().ok().filter(|listener| listener.kind == self.kind);
        let listener = listener.ok_or_else(|| names::other_type(name))?;
        let role = call.until(&listener.queue, Events::WRITABLE, Options::send_deadline, || {
            listener.enqueue(call.current, self, &own_name)
        })??;
        // What two racing connects leave behind is closed without the lock.
        let old = core::mem::replace(&mut self.state.lock().role, role);
        drop(old);
        listener.queue.wake(Events::READABLE);
        self.queue.wake(Events::all());
        Ok(())
    }

    fn listen(&self, call: &Call<'_>, backlog: usize) -> Result<(), Fail> {
        {
            let mut state = self.state.lock();
            if state.name == UnixName::Unnamed {
                return Err(Errno::EINVAL.into());
            }
            let limit = backlog.min(settings::BACKLOG.load(Ordering::Relaxed) as usize);
            match &mut state.role {
                Role::Connected { .. } => return Err(Errno::EINVAL.into()),
                Role::Listening { backlog, .. } => *backlog = limit,
                role => {
                    *role = Role::Listening { pending: VecDeque::new(), backlog: limit, peer: Peer::of(call.current) };
                }
            }
        }
        self.queue.wake(Events::all());
        Ok(())
    }

    fn accept(&self, call: &Call<'_>) -> Result<(Arc<dyn Protocol>, Arc<Options>, Address), Fail> {
        let accepted = call.until(&self.queue, Events::READABLE, Options::receive_deadline, || {
            match &mut self.state.lock().role {
                Role::Listening { pending, .. } => pending.pop_front().map(Ok),
                _ => Some(Err(Errno::EINVAL)),
            }
        })??;
        self.queue.wake(Events::WRITABLE);
        let peer = accepted.peer_address().unwrap_or(Address::Unix(UnixName::Unnamed));
        let options = accepted.options.clone();
        options.inherit_credentials(call.options);
        Ok((accepted, options, peer))
    }

    fn send(&self, call: &Call<'_>, source: &mut Source<'_>, message: Outgoing) -> Result<usize, Fail> {
        if message.flags.contains(MessageFlags::OOB) {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let end = self.endpoint();
        if message.to.is_some() && self.kind == Kind::Stream {
            return Err(if end.is_some() { Errno::EISCONN } else { Errno::EOPNOTSUPP }.into());
        }
        end.ok_or(Errno::ENOTCONN)?.send(call, source, message.control)
    }

    fn receive(&self, call: &Call<'_>, sink: &mut Sink<'_>, flags: MessageFlags) -> Result<Received, Fail> {
        if flags.contains(MessageFlags::OOB) {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let unconnected = if self.kind == Kind::Stream { Errno::EINVAL } else { Errno::ENOTCONN };
        let end = self.endpoint().ok_or(unconnected)?;
        let mut received = end.receive(call, sink, flags)?;
        if received.bytes > 0
            && let Role::Connected { peer_name, .. } = &self.state.lock().role
            && *peer_name != UnixName::Unnamed
        {
            received.from = Some(Address::Unix(peer_name.clone()));
        }
        Ok(received)
    }

    fn shutdown(&self, how: Shutdown) -> Result<(), Errno> {
        if let Some(end) = self.endpoint() {
            end.shutdown(how);
            return Ok(());
        }
        let pending = match &mut self.state.lock().role {
            // A listener that is shut down accepts nothing any more.
            Role::Listening { pending, backlog, .. } if how.read => {
                *backlog = 0;
                core::mem::take(pending)
            }
            _ => VecDeque::new(),
        };
        drop(pending);
        Ok(())
    }

    fn close(&self) {
        let (name, role) = {
            let mut state = self.state.lock();
            (state.name.clone(), core::mem::replace(&mut state.role, Role::Idle))
        };
        let this: *const Self = self;
        names::release(NetNs::key(self.options.network()), &name, this.cast());
        if let Role::Listening { pending, .. } = role {
            // Who connected and was not accepted sees a reset.
            for end in pending.iter().filter_map(|refused| refused.endpoint()) {
                end.abort();
            }
        }
        // Those who wait for room in the backlog learn that there is no listener.
        self.queue.wake(Events::all());
    }

    fn local_address(&self) -> Address {
        Address::Unix(self.state.lock().name.clone())
    }

    fn peer_address(&self) -> Result<Address, Errno> {
        match &self.state.lock().role {
            Role::Connected { peer_name, .. } => Ok(Address::Unix(peer_name.clone())),
            _ => Err(Errno::ENOTCONN),
        }
    }

    fn listening(&self) -> bool {
        matches!(self.state.lock().role, Role::Listening { .. })
    }

    fn peer_credentials(&self) -> Ucred {
        match &self.state.lock().role {
            Role::Connected { peer, .. } | Role::Listening { peer, .. } => peer.creds,
            Role::Idle => Ucred { pid: 0, uid: u32::MAX, gid: u32::MAX },
        }
    }

    fn peer_groups(&self) -> Result<Vec<u32>, Errno> {
        match &self.state.lock().role {
            Role::Connected { peer, .. } | Role::Listening { peer, .. } => Ok(peer.groups.clone()),
            Role::Idle => Err(Errno::ENODATA),
        }
    }

    fn unix_row(&self) -> Option<UnixRow> {
        let state = self.state.lock();
        let (doing, peer, queued) = match &state.role {
            Role::Idle => (Doing::Nothing, 0, (0, 0)),
            Role::Listening { pending, backlog, .. } => (Doing::Listening, 0, (pending.len(), *backlog)),
            Role::Connected { end, .. } => (Doing::Talking, end.peer_options().identity().1, (0, 0)),
        };
        let (name, end) = match &state.role {
            Role::Connected { end, .. } => (state.name.clone(), Some(end.clone())),
            _ => (state.name.clone(), None),
        };
        drop(state);
        let queued = end.map_or(queued, |end| (end.readable_bytes(), 0));
        Some(UnixRow { name, doing, peer, queued })
    }

    fn poll(&self, options: &Options) -> Events {
        let end = match &self.state.lock().role {
            Role::Connected { end, .. } => end.clone(),
            Role::Listening { pending, .. } => {
                return if pending.is_empty() { Events::empty() } else { Events::READABLE };
            }
            Role::Idle => {
                let error = if options.has_error() { Events::ERR } else { Events::empty() };
                return Events::WRITABLE | Events::WRBAND | Events::HUP | error;
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
        Ok(self.endpoint().map_or(0, |end| end.readable_bytes()))
    }

    fn unread_bytes(&self) -> usize {
        self.endpoint().map_or(0, |end| end.unread_bytes())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
