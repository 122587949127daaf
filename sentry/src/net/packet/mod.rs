//! AF_PACKET (packet(7)): frames as they pass an interface, and sending them.
//!
//! `tap` is where frames come from, `ring` the memory that a program may have them put into, `options` SOL_PACKET. Lock: `Rank::Socket`.

mod options;
mod ring;
pub mod tap;

use super::NetNs;
use super::address::{Address, LinkAddress};
use super::control::Control;
use super::filter::Subject;
use super::inet::timestamps;
use super::interfaces::{self, Interface};
use super::options::Options;
use super::socket::{Call, Kind, MessageFlags, Outgoing, Protocol, Received, Shutdown};
use super::stack;
use crate::errno::Errno;
use crate::fs::{Sink, Source};
use crate::mm::Mapping;
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::task::{Cap, Current};
use crate::wait::{Events, WaitQueue};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use linux_raw_sys::if_ether::ETH_P_ALL;
use linux_raw_sys::net as raw;
use options::Settings;
pub use options::header_length;
use ring::{Entry, Ring};
use tap::{ETHERNET, Tapped};

/// Every frame, whatever its type.
const EVERY: u16 = ETH_P_ALL as u16;
/// What a frame takes of the receive buffer beyond its bytes.
const OVERHEAD: usize = 768;

struct Incoming {
    tapped: Tapped,
    /// Bytes that the filter left, from where this socket begins.
    kept: usize,
}

struct State {
    /// ETH_P_*; 0: none.
    protocol: u16,
    /// The interface that it is bound to.
    interface: Option<u32>,
    incoming: VecDeque<Incoming>,
    used: usize,
    packets: u32,
    drops: u32,
    ring: Option<Ring>,
    settings: Settings,
}

/// A packet socket.
pub struct Packet {
    /// SOCK_DGRAM: without the link's header.
    cooked: bool,
    queue: WaitQueue,
    options: Arc<Options>,
    state: Lock<State>,
}

/// socket(AF_PACKET): `protocol` is in network order, as the call's argument.
pub fn new_socket(current: &Current, kind: Kind, protocol: u32) -> Result<(Arc<dyn Protocol>, Arc<Options>), Errno> {
    if !NetNs::holds(current, Cap::NetRaw) {
        return Err(Errno::EPERM);
    }
    let cooked = match kind {
        Kind::Raw => false,
        Kind::Datagram => true,
        Kind::Stream | Kind::SeqPacket => return Err(Errno::ESOCKTNOSUPPORT),
    };
    let options = Arc::new(Options::default());
    let state = State {
        protocol: u16::from_be(protocol as u16),
        interface: None,
        incoming: VecDeque::new(),
        used: 0,
        packets: 0,
        drops: 0,
        ring: None,
        settings: Settings::default(),
    };
    let state = Lock::new(Rank::Socket, state);
    let socket = Arc::new(Packet { cooked, queue: WaitQueue::new(), options: options.clone(), state });
    tap::add(Arc::downgrade(&socket));
    Ok((socket, options))
}

/// What `/proc/net/packet` and sock_diag say of a socket.
pub struct Shown {
    /// SOCK_RAW or SOCK_DGRAM.
    pub kind: Kind,
    /// ETH_P_*.
    pub protocol: u16,
    /// Its interface, or 0.
    pub interface: u32,
    /// Bytes that wait.
    pub used: usize,
    /// Whose, its inode and its network.
    pub identity: (u32, u64, u32),
}

/// All sockets there are.
pub fn shown() -> Vec<Shown> {
    tap::all().iter().map(|socket| socket.shown()).collect()
}

impl Packet {
    fn shown(&self) -> Shown {
        let state = self.state.lock();
        let (uid, inode) = self.options.identity();
        Shown {
            kind: if self.cooked { Kind::Datagram } else { Kind::Raw },
            protocol: state.protocol,
            interface: state.interface.unwrap_or(0),
            used: state.used,
            identity: (uid, inode, NetNs::key(self.options.network())),
        }
    }

    /// Where this socket's data begins in a frame.
    fn start(&self) -> usize {
        if self.cooked { ETHERNET } else { 0 }
    }

    /// A number that tells this socket from all others.
    fn number(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// A frame passed.
    fn take(&self, tapped: &Tapped) {
        if tapped.origin == self.number() || tapped.network != NetNs::key(self.options.network()) {
            return;
        }
        let outgoing = tapped.kind == tap::Kind::OUTGOING;
        {
            let state = self.state.lock();
            let wanted = state.protocol == EVERY && !(outgoing && state.settings.ignores_outgoing())
                || state.protocol == tapped.protocol && state.protocol != 0 && !outgoing;
            if !wanted || state.interface.is_some_and(|interface| interface != tapped.interface) {
                return;
            }
        }
        let start = self.start();
        let filter = self.options.filter();
        let subject = Subject {
            bytes: &tapped.frame,
            start,
            network: ETHERNET,
            protocol: tapped.protocol,
            kind: tapped.kind.0 as u8,
            interface: tapped.interface,
            hardware: hardware(tapped.interface),
        };
        let all = tapped.frame.len().saturating_sub(start);
        let Some(kept) = filter.map_or(Some(all), |filter| filter.run(&subject)) else { return };
        self.queue_frame(tapped, kept);
        self.queue.wake(Events::READABLE);
    }

    fn queue_frame(&self, tapped: &Tapped, kept: usize) {
        let mut state = self.state.lock();
        let State { ring, incoming, used, packets, drops, .. } = &mut *state;
        *packets = packets.wrapping_add(1);
        let taken = match ring {
            Some(ring) => {
                let start = self.start();
                let entry = Entry {
                    data: tapped.frame.get(start..start + kept).unwrap_or(&[]),
                    len: tapped.frame.len() - start,
                    cooked: self.cooked,
                    status: tapped.checksum,
                    time_ns: tapped.time_ns,
                    address: &Address::Packet(origin(tapped)).encode(),
                };
                ring.put(&entry, *drops != 0)
            }
            None => {
                let cost = kept + OVERHEAD;
                let fits = *used + cost <= self.options.receive_buffer() || incoming.is_empty();
                if fits {
                    *used += cost;
                    incoming.push_back(Incoming { tapped: tapped.clone(), kept });
                }
                fits
            }
        };
        if !taken {
            *drops = drops.wrapping_add(1);
        }
    }

    /// The interface with this number, of the socket's own network.
    fn exists(&self, index: u32) -> bool {
        interfaces::of(self.options.network()).iter().any(|interface| interface.index == index)
    }

    /// Where a message goes: interface, type and hardware address.
    fn destination(&self, to: Option<&Address>) -> Result<(u32, u16, [u8; 6]), Errno> {
        let Some(address) = to else {
            let state = self.state.lock();
            return Ok((state.interface.ok_or(Errno::ENXIO)?, state.protocol, [0; 6]));
        };
        let Address::Packet(address) = address else { return Err(Errno::EINVAL) };
        let [a, b, c, d, e, f, ..] = address.address;
        Ok((address.interface, address.protocol, [a, b, c, d, e, f]))
    }
}

fn hardware(interface: u32) -> u16 {
    interfaces::by_index(interface).map_or(interfaces::LOOPBACK_HARDWARE, Interface::hardware_type)
}

/// The address that a frame came from, as recvfrom(2) tells it.
fn origin(tapped: &Tapped) -> LinkAddress {
    let mut address = [0; 8];
    for (to, from) in address.iter_mut().zip(tapped.frame.get(6..12).unwrap_or(&[])) {
        *to = *from;
    }
    LinkAddress {
        protocol: tapped.protocol,
        interface: tapped.interface,
        hardware: hardware(tapped.interface),
        kind: tapped.kind.0 as u8,
        len: 6,
        address,
        padded: true,
    }
}

impl Protocol for Packet {
    fn bind(&self, _: &Call<'_>, address: &Address) -> Result<(), Fail> {
        let Address::Packet(address) = address else { return Err(Errno::EINVAL.into()) };
        if address.interface != 0 && !self.exists(address.interface) {
            return Err(Errno::ENODEV.into());
        }
        let mut state = self.state.lock();
        if address.protocol != 0 {
            state.protocol = address.protocol;
        }
        state.interface = (address.interface != 0).then_some(address.interface);
        drop(state);
        if address.interface != 0 && !is_up(self.options.network(), address.interface) {
            self.options.set_error(Errno::ENETDOWN);
            self.queue.wake(Events::all());
        }
        Ok(())
    }

    fn connect(&self, _: &Call<'_>, _: &Address) -> Result<(), Fail> {
        Err(Errno::EOPNOTSUPP.into())
    }

    fn send(&self, call: &Call<'_>, source: &mut Source<'_>, message: Outgoing) -> Result<usize, Fail> {
        let (index, protocol, to) = self.destination(message.to.as_ref())?;
        let shown = interfaces::of(self.options.network());
        let interface = shown.iter().find(|interface| interface.index == index).ok_or(Errno::ENXIO)?;
        if !is_up(self.options.network(), index) {
            return Err(Errno::ENETDOWN.into());
        }
        let len = source.left();
        let own_header = if self.cooked { 0 } else { ETHERNET };
        if len > interface.mtu() as usize + own_header {
            return Err(Errno::EMSGSIZE.into());
        }
        if len < own_header {
            return Err(Errno::EINVAL.into());
        }
        let data = source.take_vec(len)?;
        if data.len() < len {
            return Err(Errno::EFAULT.into());
        }
        let frame = if self.cooked {
            let own = interface.link.as_ref().map_or([0; 6], |link| link.mac);
            [&to[..], &own, &protocol.to_be_bytes(), &data].concat()
        } else {
            data
        };
        if call.options.network().is_none() {
            stack::send_frame(index, &frame, self.number());
        } else {
            // Loopback of a program's own network carries no packets but those of packet sockets.
            let network = NetNs::key(call.options.network());
            let out = Tapped { network, ..Tapped::new(index, tap::Kind::OUTGOING, [&frame, &[]]) };
            let come = Tapped { kind: tap::Kind::of(&frame, &[0; 6]), ..out.clone() };
            tap::put(Tapped { origin: self.number(), ..out });
            tap::put(come);
            tap::deliver();
        }
        Ok(len)
    }

    fn receive(&self, call: &Call<'_>, sink: &mut Sink<'_>, flags: MessageFlags) -> Result<Received, Fail> {
        if flags.contains(MessageFlags::ERRQUEUE) {
            return Err(Errno::EAGAIN.into());
        }
        let known = MessageFlags::PEEK | MessageFlags::DONTWAIT | MessageFlags::TRUNC | MessageFlags::CMSG_CLOEXEC;
        if !known.contains(flags - MessageFlags::WAITFORONE) {
            return Err(Errno::EINVAL.into());
        }
        let peek = flags.contains(MessageFlags::PEEK);
        let (tapped, kept) = call.until(&self.queue, Events::READABLE, Options::receive_deadline, || {
            if let Some(errno) = call.options.take_error() {
                return Some(Err(errno));
            }
            let mut state = self.state.lock();
            if peek {
                return state.incoming.front().map(|first| Ok((first.tapped.clone(), first.kept)));
            }
            let first = state.incoming.pop_front()?;
            state.used = state.used.saturating_sub(first.kept + OVERHEAD);
            Some(Ok((first.tapped, first.kept)))
        })??;
        let start = self.start();
        let data = tapped.frame.get(start..start + kept).unwrap_or(&[]);
        let bytes = sink.put(data)?;
        let flags = if bytes < kept { MessageFlags::TRUNC } else { MessageFlags::empty() };
        let mut notes = timestamps(call.options, tapped.time_ns);
        let wants_aux = self.state.lock().settings.wants_auxdata();
        if wants_aux {
            notes.push(options::auxdata(&tapped, start, kept));
        }
        let control = (!notes.is_empty()).then(|| Box::new(Control { notes, ..Control::default() }));
        Ok(Received { bytes, length: kept, from: Some(Address::Packet(origin(&tapped))), control, flags })
    }

    fn shutdown(&self, _: Shutdown) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn close(&self) {
        tap::remove(self);
        let left = {
            let mut state = self.state.lock();
            (core::mem::take(&mut state.incoming), state.ring.take())
        };
        drop(left);
    }

    fn local_address(&self) -> Address {
        let (protocol, interface) = {
            let state = self.state.lock();
            (state.protocol, state.interface)
        };
        let shown = interfaces::of(self.options.network());
        let found = interface.and_then(|index| shown.iter().find(|interface| interface.index == index));
        let mut address = [0; 8];
        if let Some(link) = found.and_then(|interface| interface.link.as_ref()) {
            for (to, from) in address.iter_mut().zip(link.mac) {
                *to = from;
            }
        }
        Address::Packet(LinkAddress {
            protocol,
            interface: interface.unwrap_or(0),
            hardware: found.map_or(0, Interface::hardware_type),
            kind: 0,
            len: if found.is_some() { 6 } else { 0 },
            address,
            padded: false,
        })
    }

    fn peer_address(&self) -> Result<Address, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn filters(&self) -> bool {
        true
    }

    fn get_option(&self, _: &Call<'_>, level: u32, name: u32) -> Result<Vec<u8>, Errno> {
        if level == raw::SOL_PACKET { options::get(&mut self.state.lock(), name) } else { Err(Errno::ENOPROTOOPT) }
    }

    fn set_option(&self, _: &Call<'_>, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
        if level == raw::SOL_PACKET { options::set(self, name, value) } else { Err(Errno::ENOPROTOOPT) }
    }

    fn mapping(&self, offset: u64) -> Result<(Arc<Mapping>, u64), Errno> {
        let state = self.state.lock();
        let ring = state.ring.as_ref().filter(|_| offset == 0).ok_or(Errno::EINVAL)?;
        Ok((ring.mapping().clone(), 0))
    }

    fn poll(&self, options: &Options) -> Events {
        let state = self.state.lock();
        let mut events = Events::WRITABLE | Events::WRBAND;
        if !state.incoming.is_empty() || state.ring.as_ref().is_some_and(Ring::is_ready) {
            events |= Events::READABLE;
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
        Ok(self.state.lock().incoming.front().map_or(0, |first| first.kept))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn is_up(network: &Option<Arc<NetNs>>, index: u32) -> bool {
    interfaces::of(network).iter().any(|interface| interface.index == index && interface.is_up())
}
