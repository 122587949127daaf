//! Netlink sockets. `route` answers what links, addresses, routes and neighbours there are (getifaddrs(3), `ip addr`), `change` decodes
//! what is to be changed, `notify` tells the groups; `diag` says which sockets there are; `message` is their common form.

mod change;
mod diag;
mod message;
pub mod notify;
mod route;
mod tables;

use super::NetNs;
use super::address::Address;
use super::options::{Options, int};
use super::socket::{Call, MessageFlags, Outgoing, Protocol, Received, Shutdown, Socket};
use crate::errno::Errno;
use crate::fs::{OpenFile, Sink, Source};
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::task::Current;
use crate::wait::{Events, WaitQueue};
use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use linux_raw_sys::netlink as nl;
use message::{Header, Reply};
use zerocopy::FromBytes;

/// Bytes that one sendmsg may bring.
const MAX_REQUEST: usize = 65536;
/// Datagrams queued at most.
const MAX_QUEUED: usize = 1024;

/// Those in use, by protocol.
static PORTS: Lock<BTreeSet<(u32, u32)>> = Lock::new(Rank::SocketTable, BTreeSet::new());

struct State {
    port: u32,
    /// Bit n - 1 for group n.
    groups: u64,
    /// Each with the group that it went to, 0 for an answer.
    answers: VecDeque<(Vec<u8>, u32)>,
}

/// A netlink socket.
struct Netlink {
    this: Weak<Self>,
    protocol: u32,
    options: Arc<Options>,
    queue: WaitQueue,
    state: Lock<State>,
}

/// A new socket of a netlink protocol: EPROTONOSUPPORT for one that is not served.
pub fn new_socket(_: &Current, protocol: u32) -> Result<(Arc<dyn Protocol>, Arc<Options>), Errno> {
    if ![nl::NETLINK_ROUTE, nl::NETLINK_SOCK_DIAG, nl::NETLINK_KOBJECT_UEVENT].contains(&protocol) {
        return Err(Errno::EPROTONOSUPPORT);
    }
    let state = State { port: 0, groups: 0, answers: VecDeque::new() };
    let options = Arc::new(Options::default());
    let socket = Arc::new_cyclic(|this| Netlink {
        this: this.clone(),
        protocol,
        options: options.clone(),
        queue: WaitQueue::new(),
        state: Lock::new(Rank::Socket, state),
    });
    Ok((socket, options))
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
                state.answers.push_back((message.to_vec(), 0));
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
            if !ports.insert((self.protocol, port)) {
                return Err(Errno::EADDRINUSE);
            }
            state.port = port;
            return Ok(());
        }
        let mut candidate = current.process.pid().raw();
        while !ports.insert((self.protocol, candidate)) {
            candidate = candidate.wrapping_sub(1) | 1 << 31;
        }
        state.port = candidate;
        Ok(())
    }

    /// Joins groups, one bit each, beside those of `keep`.
    fn join(&self, groups: u64, keep: u64) {
        {
            let mut state = self.state.lock();
            state.groups = state.groups & keep | groups;
        }
        if groups != 0 {
            notify::listen(&self.this);
        }
    }

    /// Whether what a network tells this group is for it.
    fn hears(&self, network: u32, group: u32) -> bool {
        self.protocol == nl::NETLINK_ROUTE && NetNs::key(self.options.network()) == network && {
            // One without a number looks like the kernel, which does not hear itself (do_one_broadcast).
            let state = self.state.lock();
            state.port != 0 && state.groups & group_bit(group) != 0
        }
    }

    /// Something for a group. Where too much waits, it is lost, and the reader is told so.
    fn hear(&self, message: &[u8], group: u32) {
        {
            let mut state = self.state.lock();
            if state.answers.len() < MAX_QUEUED {
                state.answers.push_back((message.to_vec(), group));
            } else {
                self.options.set_error(Errno::ENOBUFS);
            }
        }
        self.queue.wake(Events::READABLE);
    }

    /// The group that an option names.
    fn group(&self, value: &[u8]) -> Result<u64, Errno> {
        let most = if self.protocol == nl::NETLINK_ROUTE { notify::ROUTE_GROUPS } else { notify::FEW_GROUPS };
        let group = u32::try_from(int(value)?).ok().filter(|group| (1..=most).contains(group));
        group.map(group_bit).ok_or(Errno::EINVAL)
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
        let dump = flags & nl::NLM_F_DUMP == nl::NLM_F_DUMP;
        let port = self.state.lock().port;
        let network = call.options.network();
        let mut reply =
            Reply { header: *header, port, parts: Vec::new(), multi: dump, outcome: 0, network: network.clone() };
        let result = if self.protocol == nl::NETLINK_SOCK_DIAG {
            diag::answer(call.current, &mut reply, message, dump)
        } else {
            route::answer(call.current, &mut reply, message, dump)
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
                state.answers.push_back((part, 0));
            }
        }
        drop(state);
        self.queue.wake(Events::READABLE);
    }
}

fn group_bit(group: u32) -> u64 {
    1_u64.checked_shl(group.wrapping_sub(1)).unwrap_or(0)
}

impl Protocol for Netlink {
    fn bind(&self, call: &Call<'_>, address: &Address) -> Result<(), Fail> {
        let Address::Netlink { pid, groups } = address else { return Err(Errno::EINVAL.into()) };
        self.bind_port(call.current, *pid)?;
        self.join(u64::from(*groups), !u64::from(u32::MAX));
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
            if let Some(errno) = self.options.take_error() {
                return Some(Err(errno));
            }
            let next = if peek { state.answers.front().cloned() } else { state.answers.pop_front() };
            next.map(Ok)
        })?;
        let (answer, group) = answer?;
        let bytes = sink.put(&answer)?;
        let length = answer.len();
        let flags = if bytes < length { MessageFlags::TRUNC } else { MessageFlags::empty() };
        Ok(Received {
            bytes,
            length,
            from: Some(Address::Netlink { pid: 0, groups: group_bit(group) as u32 }),
            control: None,
            flags,
        })
    }

    fn shutdown(&self, _: Shutdown) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn close(&self) {
        let port = core::mem::take(&mut self.state.lock().port);
        if port != 0 {
            PORTS.lock().remove(&(self.protocol, port));
        }
    }

    fn local_address(&self) -> Address {
        let state = self.state.lock();
        Address::Netlink { pid: state.port, groups: state.groups as u32 }
    }

    fn peer_address(&self) -> Result<Address, Errno> {
        Ok(Address::Netlink { pid: 0, groups: 0 })
    }

    fn get_option(&self, _: &Call<'_>, level: u32, name: u32) -> Result<Vec<u8>, Errno> {
        if level != linux_raw_sys::net::SOL_NETLINK {
            return Err(Errno::ENOPROTOOPT);
        }
        if name == nl::NETLINK_LIST_MEMBERSHIPS {
            return Ok(self.state.lock().groups.to_ne_bytes().to_vec());
        }
        Ok(0_i32.to_ne_bytes().to_vec())
    }

    fn set_option(&self, _: &Call<'_>, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
        if level != linux_raw_sys::net::SOL_NETLINK {
            return Err(Errno::ENOPROTOOPT);
        }
        int(value)?;
        match name {
            nl::NETLINK_ADD_MEMBERSHIP => {
                self.join(self.group(value)?, u64::MAX);
                Ok(())
            }
            nl::NETLINK_DROP_MEMBERSHIP => {
                self.join(0, !self.group(value)?);
                Ok(())
            }
            nl::NETLINK_PKTINFO | nl::NETLINK_NO_ENOBUFS | nl::NETLINK_CAP_ACK | nl::NETLINK_EXT_ACK => Ok(()),
            // Requests are not checked strictly, so the promise is not made.
            nl::NETLINK_GET_STRICT_CHK => Err(Errno::ENOPROTOOPT),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn poll(&self, _: &Options) -> Events {
        let readable = if self.state.lock().answers.is_empty() { Events::empty() } else { Events::READABLE };
        let failed = if self.options.has_error() { Events::ERR } else { Events::empty() };
        readable | failed | Events::WRITABLE
    }

    fn queue(&self) -> &WaitQueue {
        &self.queue
    }

    fn readable_bytes(&self) -> Result<usize, Errno> {
        Ok(self.state.lock().answers.front().map_or(0, |(first, _)| first.len()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
