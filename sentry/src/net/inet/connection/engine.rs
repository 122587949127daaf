//! TCP's state machine: smoltcp's, one instance a connection, fed with the connection's own packets. What smoltcp calls an
//! interface is here a mere frame around one socket: packets go in and out whole, and routes and neighbours are none of its
//! business.

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
        Self { frame, sockets, handle, capabilities, tos: 0 }
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
        let now = instant(now_ns);
        let mut output = Vec::new();
        let mut port = Port { capabilities: &self.capabilities, input, output: &mut output };
        self.frame.poll(now, &mut port, &mut self.sockets);
        let tos = self.tos;
        output.into_iter().map(|(meta, bytes)| finish(meta, bytes, tos)).collect()
    }

    /// When it wants to be polled again.
    pub fn next_ns(&mut self, now_ns: u64) -> Option<u64> {
        let at = self.frame.poll_at(instant(now_ns), &self.sockets)?;
        // Rounded up: time is cut to microseconds on the way in.
        Some(u64::try_from(at.total_micros()).unwrap_or(0).saturating_mul(1000).saturating_add(1000).max(now_ns))
    }
}

/// Leaves the checksum, and cutting it up where it is large, to the host.
fn finish(meta: PacketMeta, mut bytes: Vec<u8>, tos: u8) -> Packet {
    let v4 = bytes.first().is_some_and(|first| first >> 4 == 4);
    if tos != 0 {
        set_tos(&mut bytes, tos, v4);
    }
    let Some(parsed) = stack::Parsed::new(&bytes) else { return Packet { bytes, checksum: None, segments: None } };
    let start = parsed.packet.len() - parsed.payload.len();
    let pseudo = stack::pseudo_header(parsed.from, parsed.to, TCP, parsed.payload.len());
    let tcp_header = usize::from(parsed.payload.get(12).copied().unwrap_or(0) >> 4) * 4;
    stack::set_u16(&mut bytes, start + usize::from(CHECKSUM), pseudo);
    let segments = meta.segmentation_offload_size.map(|size| {
        let kind = if v4 { FrameHeader::GSO_TCP4 } else { FrameHeader::GSO_TCP6 };
        (kind, size.get(), (start + tcp_header) as u16)
    });
    Packet { bytes, checksum: Some((start as u16, CHECKSUM)), segments }
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
