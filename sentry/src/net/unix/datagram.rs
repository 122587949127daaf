//! Unix datagram sockets.

use super::{LARGEST, names};
use crate::errno::Errno;
use crate::fs::{Sink, Source};
use crate::net::NetNs;
use crate::net::address::{Address, UnixName};
use crate::net::control::{Control, Ucred};
use crate::net::options::{Options, Switch};
use crate::net::socket::{Call, MessageFlags, Outgoing, Protocol, Received, Shutdown};
use crate::net::table::{Doing, UnixRow};
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::wait::{Events, WaitQueue};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;

/// Datagrams that a receiver's queue holds (net.unix.max_dgram_qlen, as distributions set it).
const MAX_QUEUED: usize = 512;

struct Datagram {
    data: Vec<u8>,
    from: UnixName,
    control: Option<Box<Control>>,
}

/// A datagram socket.
pub struct UnixDatagram {
    this: Weak<Self>,
    queue: WaitQueue,
    options: Arc<Options>,
    state: Lock<State>,
}

struct State {
    name: UnixName,
    peer: Option<Weak<UnixDatagram>>,
    incoming: VecDeque<Datagram>,
    bytes: usize,
    no_read: bool,
    no_write: bool,
    closed: bool,
}

/// What one attempt to deliver found.
enum Delivery {
    Done,
    Failed(Errno),
}

impl UnixDatagram {
    /// A socket without name or peer.
    pub fn new(options: Arc<Options>) -> Arc<Self> {
        let state = State {
            name: UnixName::Unnamed,
            peer: None,
            incoming: VecDeque::new(),
            bytes: 0,
            no_read: false,
            no_write: false,
            closed: false,
        };
        let state = Lock::new(Rank::Socket, state);
        Arc::new_cyclic(|this| Self { this: this.clone(), queue: WaitQueue::new(), options, state })
    }

    /// Two that are connected to one another.
    pub fn pair(first: Arc<Options>, second: Arc<Options>) -> (Arc<Self>, Arc<Self>) {
        let (first, second) = (Self::new(first), Self::new(second));
        first.state.lock().peer = Some(Arc::downgrade(&second));
        second.state.lock().peer = Some(Arc::downgrade(&first));
        (first, second)
    }

    fn find(&self, call: &Call<'_>, address: &Address) -> Result<Arc<Self>, Errno> {
        let Address::Unix(name) = address else { return Err(Errno::EINVAL) };
        let found = names::find(call.current, NetNs::key(call.options.network()), name)?;
        let peer = found.downcast::<Self>().map_err(|_| names::other_type(name))?;
        if peer.accepts(self) && self.may_reach(call, &peer, name) { Ok(peer) } else { Err(Errno::EPERM) }
    }

    /// Whether the caller's landlock domain lets it send there by name. Who is connected already may.
    fn may_reach(&self, call: &Call<'_>, peer: &Arc<Self>, name: &UnixName) -> bool {
        let connected = || self.state.lock().peer.as_ref().is_some_and(|own| core::ptr::eq(own.as_ptr(), &**peer));
        !matches!(name, UnixName::Abstract(_)) || peer.options.is_reachable(call.current) || connected()
    }

    /// A connected socket takes datagrams from its peer only.
    fn accepts(&self, sender: &Self) -> bool {
        match &self.state.lock().peer {
            Some(peer) => core::ptr::eq(peer.as_ptr(), sender),
            None => true,
        }
    }

    /// The peer; ECONNREFUSED (and no peer any more) where it is closed.
    fn peer(&self) -> Result<Option<Arc<Self>>, Errno> {
        let mut state = self.state.lock();
        let Some(peer) = &state.peer else { return Ok(None) };
        match peer.upgrade() {
            Some(peer) => Ok(Some(peer)),
            None => {
                state.peer = None;
                Err(Errno::ECONNREFUSED)
            }
        }
    }

    fn deliver(&self, datagram: &mut Option<Datagram>, limit: usize) -> Option<Delivery> {
        let mut state = self.state.lock();
        if state.closed {
            return Some(Delivery::Failed(Errno::ECONNREFUSED));
        }
        if state.no_read {
            return Some(Delivery::Failed(Errno::EPIPE));
        }
        let len = datagram.as_ref().map_or(0, |datagram| datagram.data.len());
        if state.incoming.len() >= MAX_QUEUED || !state.incoming.is_empty() && state.bytes + len > limit {
            return None;
        }
        state.bytes += len;
        state.incoming.extend(datagram.take());
        Some(Delivery::Done)
    }

    fn full(&self, limit: usize) -> bool {
        let state = self.state.lock();
        state.incoming.len() >= MAX_QUEUED || state.bytes >= limit
    }
}

impl Protocol for UnixDatagram {
    fn bind(&self, call: &Call<'_>, address: &Address) -> Result<(), Fail> {
        let Address::Unix(name) = address else { return Err(Errno::EINVAL.into()) };
        if self.state.lock().name != UnixName::Unnamed {
            return names::bind_again(call.current, name).map_err(Fail::from);
        }
        let this: names::Bound = self.this.upgrade().ok_or(Errno::EINVAL)?;
        let bound = names::bind(call.current, NetNs::key(call.options.network()), name, &this)?;
        self.state.lock().name = bound;
        Ok(())
    }

    fn connect(&self, call: &Call<'_>, address: &Address) -> Result<(), Fail> {
        let peer = match address {
            Address::Unspecified => None,
            address => Some(Arc::downgrade(&self.find(call, address)?)),
        };
        self.state.lock().peer = peer;
        self.queue.wake(Events::all());
        Ok(())
    }

    fn send(&self, call: &Call<'_>, source: &mut Source<'_>, message: Outgoing) -> Result<usize, Fail> {
        if message.flags.contains(MessageFlags::OOB) {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let target = match &message.to {
            Some(address) => self.find(call, address)?,
            None => self.peer()?.ok_or(Errno::ENOTCONN)?,
        };
        let limit = call.options.send_buffer();
        let len = source.left();
        if len > limit {
            return Err(Errno::EMSGSIZE.into());
        }
        if len > LARGEST {
            return Err(Errno::ENOBUFS.into());
        }
        let data = source.take_vec(len)?;
        if data.len() < len {
            return Err(Errno::EFAULT.into());
        }
        let mut control = message.control;
        if let Some(files) = &control.files {
            target.options.raise_nesting(files.depth());
        }
        let wanted = call.options.is(Switch::PassCredentials) || target.options.is(Switch::PassCredentials);
        if wanted && control.creds.is_none() {
            control.creds = Some(Ucred::real(call.current));
        }
        let (from, shut) = {
            let state = self.state.lock();
            (state.name.clone(), state.no_write)
        };
        if shut {
            return Err(Errno::EPIPE.into());
        }
        let control = (!control.is_empty()).then(|| Box::new(control));
        let mut datagram = Some(Datagram { data, from, control });
        let delivery = call
            .until(&target.queue, Events::WRITABLE, Options::send_deadline, || target.deliver(&mut datagram, limit))?;
        match delivery {
            Delivery::Done => {
                target.queue.wake(Events::READABLE);
                Ok(len)
            }
            Delivery::Failed(errno) => Err(errno.into()),
        }
    }

    fn receive(&self, call: &Call<'_>, sink: &mut Sink<'_>, flags: MessageFlags) -> Result<Received, Fail> {
        if flags.contains(MessageFlags::OOB) {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let peek = flags.contains(MessageFlags::PEEK);
        let datagram = call.until(&self.queue, Events::READABLE, Options::receive_deadline, || {
            let mut state = self.state.lock();
            if peek && let Some(front) = state.incoming.front() {
                let control = front.control.as_ref().map(|control| Box::new(control.peek()));
                return Some(Ok(Some(Datagram { data: front.data.clone(), from: front.from.clone(), control })));
            }
            match state.incoming.pop_front() {
                Some(datagram) => {
                    state.bytes -= datagram.data.len();
                    if state.incoming.is_empty() {
                        self.options.reset_nesting();
                    }
                    Some(Ok(Some(datagram)))
                }
                None if call.options.has_error() => call.options.take_error().map(Err),
                None => state.no_read.then_some(Ok(None)),
            }
        })??;
        let Some(datagram) = datagram else { return Ok(Received::default()) };
        if !peek {
            self.queue.wake(Events::WRITABLE);
            if let Ok(Some(peer)) = self.peer() {
                peer.queue.wake(Events::WRITABLE);
            }
        }
        let bytes = sink.put(&datagram.data)?;
        let length = datagram.data.len();
        let flags = if bytes < length { MessageFlags::TRUNC } else { MessageFlags::empty() };
        let from = (datagram.from != UnixName::Unnamed).then_some(Address::Unix(datagram.from));
        Ok(Received { bytes, length, from, control: datagram.control, flags })
    }

    fn shutdown(&self, how: Shutdown) -> Result<(), Errno> {
        {
            let mut state = self.state.lock();
            state.no_read |= how.read;
            state.no_write |= how.write;
        }
        self.queue.wake(Events::all());
        Ok(())
    }

    fn close(&self) {
        let (name, peer, incoming) = {
            let mut state = self.state.lock();
            state.closed = true;
            (state.name.clone(), state.peer.take(), core::mem::take(&mut state.incoming))
        };
        drop(incoming);
        let this: *const Self = self;
        names::release(NetNs::key(self.options.network()), &name, this.cast());
        // A peer that is connected back is told that nobody is here any more.
        if let Some(peer) = peer.and_then(|peer| peer.upgrade()) {
            let back = peer.state.lock().peer.as_ref().is_some_and(|back| core::ptr::eq(back.as_ptr(), this));
            if back {
                peer.options.set_error(Errno::ECONNRESET);
            }
            peer.queue.wake(Events::all());
        }
        self.queue.wake(Events::all());
    }

    fn local_address(&self) -> Address {
        Address::Unix(self.state.lock().name.clone())
    }

    fn peer_address(&self) -> Result<Address, Errno> {
        let peer = self.peer().ok().flatten().ok_or(Errno::ENOTCONN)?;
        Ok(peer.local_address())
    }

    fn unix_row(&self) -> Option<UnixRow> {
        let (name, peer, first) = {
            let state = self.state.lock();
            let first = state.incoming.front().map_or(0, |datagram| datagram.data.len());
            (state.name.clone(), state.peer.as_ref().and_then(Weak::upgrade), first)
        };
        let doing = if peer.is_some() { Doing::Talking } else { Doing::Nothing };
        let peer = peer.map_or(0, |peer| peer.options.identity().1);
        Some(UnixRow { name, doing, peer, queued: (first, 0) })
    }

    fn poll(&self, options: &Options) -> Events {
        let (mut events, peer) = {
            let state = self.state.lock();
            let mut events = Events::empty();
            if !state.incoming.is_empty() || state.no_read {
                events |= Events::READABLE;
            }
            if state.no_read {
                events |= Events::RDHUP;
            }
            if state.no_read && state.no_write {
                events |= Events::HUP;
            }
            (events, state.peer.as_ref().and_then(Weak::upgrade))
        };
        if !peer.is_some_and(|peer| peer.full(options.send_buffer())) {
            events |= Events::WRITABLE | Events::WRBAND;
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
