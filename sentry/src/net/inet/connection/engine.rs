//! TCP's state machine: smoltcp's, one instance a connection, fed with the connection's own packets. What smoltcp calls an
//! interface is here a mere frame around one socket: packets go in and out whole, and routes and neighbours are none of its
//! business.

use super::{ACK, FIN, RST, SYN};
use crate::net::stack::{self, Packet, TCP};
use crate::random;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::num::NonZeroUsize;
use linker::request::FrameHeader;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, PacketMeta, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpCidr, IpListenEndpoint};

pub use smoltcp::socket::tcp::State;

/// The largest packet that the host cuts up into segments.
const LARGEST: usize = 65535;
/// Where TCP's checksum stands in its header.
const CHECKSUM: u16 = 16;
/// How long an acknowledgement may wait for data to travel with (TCP_DELACK_MIN of the kernel).
const ACK_DELAY: Duration = Duration::from_millis(40);

/// One connection's state machine.
pub struct Engine {
    frame: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    capabilities: DeviceCapabilities,
    /// IP_TOS.
    pub tos: u8,
    window: Window,
}

/// The receive window as the peer knows it.
#[derive(Default)]
struct Window {
    /// What was acknowledged last, the window's size then, and how many bytes had come until then.
    acknowledged: u32,
    size: u32,
    received: u64,
    /// Bytes that the program has taken.
    taken: u64,
    /// The scale, and whether the peer agreed to it.
    shift: u8,
    scaled: bool,
    /// Something was acknowledged.
    known: bool,
}

/// The device that smoltcp sees: one packet to take, a list to put packets on.
struct Port<'a> {
    capabilities: &'a DeviceCapabilities,
    input: Option<&'a [u8]>,
    output: &'a mut Vec<(PacketMeta, Vec<u8>)>,
}

struct Taken<'a>(&'a [u8]);

struct Put<'a> {
    meta: PacketMeta,
    output: &'a mut Vec<(PacketMeta, Vec<u8>)>,
}

impl RxToken for Taken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

impl TxToken for Put<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut bytes = vec![0; len];
        let result = f(&mut bytes);
        self.output.push((self.meta, bytes));
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.meta = meta;
    }
}

impl Device for Port<'_> {
    type RxToken<'a>
        = Taken<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Put<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Taken<'_>, Put<'_>)> {
        let input = self.input.take()?;
        Some((Taken(input), Put { meta: PacketMeta::default(), output: self.output }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Put<'_>> {
        Some(Put { meta: PacketMeta::default(), output: self.output })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.capabilities.clone()
    }
}

/// Time as smoltcp has it.
fn instant(ns: u64) -> Instant {
    Instant::from_micros((ns / 1000) as i64)
}

impl Engine {
    /// A closed one at `local`, with buffers of these sizes.
    pub fn new(local: SocketAddr, mtu: usize, send: usize, receive: usize, now_ns: u64) -> Self {
        let mut checksum = ChecksumCapabilities::ignored();
        checksum.ipv4 = Checksum::Tx;
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = mtu.clamp(576, LARGEST);
        capabilities.checksum = checksum;
        // Over IPv6 smoltcp drops what is larger than a packet may be.
        capabilities.segmentation.tcpv4 = NonZeroUsize::new(LARGEST);
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = random::next_u64();
        let mut nothing = Vec::new();
        let mut port = Port { capabilities: &capabilities, input: None, output: &mut nothing };
        let mut frame = Interface::new(config, &mut port, instant(now_ns));
        let prefix = if local.is_ipv4() { 32 } else { 128 };
        frame.update_ip_addrs(|addresses| {
            // There is room for the one.
            let _ = addresses.push(IpCidr::new(local.ip().into(), prefix));
        });
        let mut socket =
            tcp::Socket::new(tcp::SocketBuffer::new(vec![0; receive]), tcp::SocketBuffer::new(vec![0; send]));
        socket.set_ack_delay(Some(ACK_DELAY));
        socket.set_congestion_control(tcp::CongestionControl::Reno);
        let mut sockets = SocketSet::new(Vec::new());
        let handle = sockets.add(socket);
        // As smoltcp chooses it.
        let shift = (usize::BITS - receive.leading_zeros()).saturating_sub(16) as u8;
        let window = Window { shift, ..Window::default() };
        Self { frame, sockets, handle, capabilities, tos: 0, window }
    }

    /// Waits for a SYN.
    pub fn listen(&mut self, local: SocketAddr) {
        let endpoint = IpListenEndpoint { addr: Some(local.ip().into()), port: local.port() };
        // It is new, and the port is not 0: nothing that could fail.
        let _ = self.tcp_mut().listen(endpoint);
    }

    /// Sends a SYN at the next `poll`. False where the addresses cannot be.
    pub fn connect(&mut self, local: SocketAddr, peer: SocketAddr) -> bool {
        let Self { frame, sockets, handle, .. } = self;
        let socket = sockets.get_mut::<tcp::Socket<'_>>(*handle);
        socket.connect(frame.context(), (peer.ip(), peer.port()), (local.ip(), local.port())).is_ok()
    }

    /// The socket.
    pub fn tcp(&self) -> &tcp::Socket<'static> {
        self.sockets.get(self.handle)
    }

    /// The socket.
    pub fn tcp_mut(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// Lets it work: on a packet that came, and on what time and its user have brought. Returns what it sends.
    pub fn poll(&mut self, input: Option<&[u8]>, now_ns: u64) -> Vec<Packet> {
        let mut packets = Vec::new();
        if let Some(acknowledgement) = input.and_then(|packet| self.acknowledgement_in(packet)) {
            packets = self.poll_once(Some(&acknowledgement), now_ns);
        }
        packets.append(&mut self.poll_once(input, now_ns));
        packets
    }

    fn poll_once(&mut self, input: Option<&[u8]>, now_ns: u64) -> Vec<Packet> {
        let now = instant(now_ns);
        let mut output = Vec::new();
        let mut port = Port { capabilities: &self.capabilities, input, output: &mut output };
        self.frame.poll(now, &mut port, &mut self.sockets);
        output.into_iter().map(|(meta, bytes)| self.finish(meta, bytes)).collect()
    }

    /// Takes received bytes: `take` is shown some and says how many it took.
    pub fn receive(&mut self, take: impl FnOnce(&[u8]) -> usize) -> usize {
        let taken = self.tcp_mut().recv(|data| {
            let taken = take(data);
            (taken, taken)
        });
        let taken = taken.unwrap_or(0);
        self.window.taken += taken as u64;
        taken
    }

    fn received(&self) -> u64 {
        self.window.taken + self.tcp().recv_queue() as u64
    }

    /// The acknowledgement in a segment that lies beyond the receive window, as a segment that does not. smoltcp ignores all of the
    /// former. They come when the window has shrunk by less than its scale can say, and both ends wait for ever if each has
    /// its buffers full (RFC 9293, 3.10.7.4: valid ACKs are accepted even if the window is closed).
    fn acknowledgement_in(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let parsed = stack::Parsed::new(packet)?;
        let segment = parsed.payload;
        let word =
            |at: usize| u32::from(stack::get_u16(segment, at)) << 16 | u32::from(stack::get_u16(segment, at + 2));
        let flags = *segment.get(13)?;
        let header = usize::from(*segment.get(12)? >> 4) * 4;
        if flags & SYN != 0 {
            self.window.scaled = has_window_scale(segment.get(20..header)?);
            return None;
        }
        if flags & RST != 0 || flags & ACK == 0 || !self.window.known {
            return None;
        }
        let edge = self.window.acknowledged.wrapping_add(self.window.size);
        let came = self.received().saturating_sub(self.window.received) as u32;
        let next = self.window.acknowledged.wrapping_add(came);
        let beyond = word(4).wrapping_sub(edge) as i32;
        let is_empty = segment.len() <= header && flags & FIN == 0;
        if beyond < 0 || beyond == 0 && is_empty && next == edge {
            return None;
        }
        let mut bare = segment.get(..20)?.to_vec();
        bare.get_mut(4..8)?.copy_from_slice(&next.to_be_bytes());
        *bare.get_mut(12)? = 5 << 4;
        *bare.get_mut(13)? = ACK;
        stack::Header::new(parsed.from, parsed.to, TCP)
            .packets(&bare, None, LARGEST, 0)
            .pop()
            .map(|packet| packet.bytes)
    }

    /// Leaves the checksum, and cutting it up where it is large, to the host.
    fn finish(&mut self, meta: PacketMeta, mut bytes: Vec<u8>) -> Packet {
        let v4 = bytes.first().is_some_and(|first| first >> 4 == 4);
        if self.tos != 0 {
            set_tos(&mut bytes, self.tos, v4);
        }
        let received = self.received();
        let Some(parsed) = stack::Parsed::new(&bytes) else { return Packet { bytes, checksum: None, segments: None } };
        let start = parsed.packet.len() - parsed.payload.len();
        let pseudo = stack::pseudo_header(parsed.from, parsed.to, TCP, parsed.payload.len());
        let tcp_header = usize::from(parsed.payload.get(12).copied().unwrap_or(0) >> 4) * 4;
        let flags = parsed.payload.get(13).copied().unwrap_or(0);
        if flags & ACK != 0 && flags & RST == 0 {
            let [high, low] = [8, 10].map(|at| u32::from(stack::get_u16(parsed.payload, at)));
            let size = u32::from(stack::get_u16(parsed.payload, 14));
            let shift = if self.window.scaled && flags & SYN == 0 { self.window.shift } else { 0 };
            self.window =
                Window { acknowledged: high << 16 | low, size: size << shift, received, known: true, ..self.window };
        }
        stack::set_u16(&mut bytes, start + usize::from(CHECKSUM), pseudo);
        let segments = meta.segmentation_offload_size.map(|size| {
            let kind = if v4 { FrameHeader::GSO_TCP4 } else { FrameHeader::GSO_TCP6 };
            (kind, size.get(), (start + tcp_header) as u16)
        });
        Packet { bytes, checksum: Some((start as u16, CHECKSUM)), segments }
    }

    /// When it wants to be polled again.
    pub fn next_ns(&mut self, now_ns: u64) -> Option<u64> {
        let at = self.frame.poll_at(instant(now_ns), &self.sockets)?;
        // Rounded up: time is cut to microseconds on the way in.
        Some(u64::try_from(at.total_micros()).unwrap_or(0).saturating_mul(1000).saturating_add(1000).max(now_ns))
    }
}

/// Whether the options of a SYN offer to scale windows (RFC 7323, 2.2).
fn has_window_scale(mut options: &[u8]) -> bool {
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    const WINDOW_SCALE: u8 = 3;
    loop {
        options = match *options {
            [NOTHING, ref rest @ ..] => rest,
            [WINDOW_SCALE, 3, _, ..] => return true,
            [END, ..] | [] | [_] => return false,
            [_, len, ..] => match options.get(usize::from(len.max(2))..) {
                Some(rest) => rest,
                None => return false,
            },
        };
    }
}

fn set_tos(bytes: &mut [u8], tos: u8, v4: bool) {
    if let (true, Some(field)) = (v4, bytes.get_mut(1)) {
        *field = tos;
        stack::set_u16(bytes, 10, 0);
        let sum = !stack::sum(bytes.get(..20).unwrap_or(&[]));
        stack::set_u16(bytes, 10, sum);
    } else if let Some([first, second]) = bytes.first_chunk_mut::<2>() {
        *first = 0x60 | tos >> 4;
        *second = tos << 4 | *second & 15;
    }
}
