//! ICMP: echo, and errors in both directions.

use super::packet::{DEFAULT_TTL, Header, ICMP, ICMP6, Parsed, TCP, UDP, get_u16, set_u16};
use super::{checksum, lookup, neighbour};
use crate::errno::Errno;
use crate::net::inet;
use crate::net::interfaces::{self, Interface};
use crate::platform::platform;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicU64, Ordering};

/// Types and codes (RFC 792, RFC 4443).
const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const ECHO: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
const PORT: u8 = 3;
const UNREACHABLE6: u8 = 1;
const TOO_BIG6: u8 = 2;
const TIME_EXCEEDED6: u8 = 3;
const PARAMETER6: u8 = 4;
const ECHO6: u8 = 128;
const ECHO_REPLY6: u8 = 129;
const PORT6: u8 = 4;
/// Bytes before the packet that an error is about.
const ERROR_HEAD: usize = 8;
/// An error carries no more of the packet than fits in what everybody can receive.
const QUOTE4: usize = 548;
const QUOTE6: usize = 1232;
/// Errors a second at most (net.ipv4.icmp_msgs_per_sec).
const PER_SECOND: u64 = 1000;

/// Why a packet did not arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unreachable {
    /// Nobody answers there.
    Host,
    /// No way there.
    Network,
    /// Nobody listens at the port.
    Port,
    /// The protocol is not spoken.
    Protocol,
    /// Somebody forbids it.
    Prohibited,
    /// Too large for some link on the way, which takes this many bytes.
    TooBig(u32),
    /// On the way for too long: transient.
    TimeExceeded,
}

impl Unreachable {
    /// What the sender sees.
    pub fn errno(self) -> Errno {
        match self {
            Self::Host | Self::TimeExceeded => Errno::EHOSTUNREACH,
            Self::Network => Errno::ENETUNREACH,
            Self::Port => Errno::ECONNREFUSED,
            Self::Protocol => Errno::ENOPROTOOPT,
            Self::Prohibited => Errno::EACCES,
            Self::TooBig(_) => Errno::EMSGSIZE,
        }
    }

    /// How much goes through, where that is the reason.
    pub fn mtu(self) -> u32 {
        if let Self::TooBig(mtu) = self { mtu } else { 0 }
    }

    fn parse(kind: u8, code: u8, word: u32, v6: bool) -> Option<Self> {
        Some(match (v6, kind, code) {
            (false, UNREACHABLE, 0 | 6 | 11) => Self::Network,
            (false, UNREACHABLE, 2) => Self::Protocol,
            (false, UNREACHABLE, PORT) => Self::Port,
            (false, UNREACHABLE, 4) => Self::TooBig(word & 0xffff),
            (false, UNREACHABLE, _) => Self::Host,
            (false, TIME_EXCEEDED, _) => Self::TimeExceeded,
            (true, UNREACHABLE6, 0) => Self::Network,
            (true, UNREACHABLE6, 1 | 5 | 6) => Self::Prohibited,
            (true, UNREACHABLE6, PORT6) => Self::Port,
            (true, UNREACHABLE6, _) => Self::Host,
            (true, TOO_BIG6, _) => Self::TooBig(word),
            (true, TIME_EXCEEDED6, _) => Self::TimeExceeded,
            _ => return None,
        })
    }
}

/// A message that says that a packet did not arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cause {
    /// What it means.
    pub why: Unreachable,
    /// Its type and code.
    pub kind: u8,
    #[allow(missing_docs)]
    pub code: u8,
    /// Who says so.
    pub from: IpAddr,
    /// Time to live, hop limit of the message.
    pub ttl: u8,
}

impl Cause {
    /// As we say it ourselves, of a packet to an address like `from`.
    pub fn here(why: Unreachable, from: IpAddr) -> Self {
        let (kind, code) = match (from.is_ipv4(), why) {
            (true, Unreachable::Port) => (UNREACHABLE, PORT),
            (true, _) => (UNREACHABLE, 1),
            (false, Unreachable::Port) => (UNREACHABLE6, PORT6),
            (false, _) => (UNREACHABLE6, 3),
        };
        Self { why, kind, code, from, ttl: DEFAULT_TTL }
    }
}

/// An ICMP or ICMPv6 message came.
pub fn receive(interface: &'static Interface, parsed: &Parsed<'_>) {
    let v6 = parsed.to.is_ipv6();
    let payload = parsed.payload;
    let Some([kind, code, ..]) = payload.first_chunk::<ERROR_HEAD>().copied() else { return };
    match (v6, kind) {
        (false, ECHO) => echo(interface, parsed, ECHO_REPLY),
        (true, ECHO6) => echo(interface, parsed, ECHO_REPLY6),
        (true, neighbour::SOLICITATION) => solicited(interface, parsed),
        (true, neighbour::ADVERTISEMENT) => advertised(interface, parsed),
        (false, UNREACHABLE | TIME_EXCEEDED) | (true, UNREACHABLE6 | TOO_BIG6 | TIME_EXCEEDED6) => {
            let word = u32::from(get_u16(payload, 4)) << 16 | u32::from(get_u16(payload, 6));
            if let (Some(why), Some(quote)) = (Unreachable::parse(kind, code, word, v6), payload.get(ERROR_HEAD..)) {
                let cause = Cause { why, kind, code, from: parsed.from, ttl: parsed.ttl };
                tell_sender(quote, Some(cause), why);
            }
        }
        _ => {}
    }
}

fn echo(interface: &'static Interface, parsed: &Parsed<'_>, kind: u8) {
    if parsed.to.is_multicast() || interface.is_broadcast(parsed.to) {
        return;
    }
    let mut payload = parsed.payload.to_vec();
    if let Some(first) = payload.first_mut() {
        *first = kind;
    }
    send(Some(interface), parsed.to, parsed.from, payload);
}

/// Completes a message and sends it, to this sandbox itself or out.
fn send(interface: Option<&'static Interface>, from: IpAddr, to: IpAddr, mut payload: Vec<u8>) {
    let protocol = if to.is_ipv4() { ICMP } else { ICMP6 };
    complete(&mut payload, from, to);
    let header = Header::new(from, to, protocol);
    if to.is_loopback() || interfaces::is_own(to) {
        for packet in header.packets(&payload, None, usize::from(u16::MAX), 0) {
            super::loop_back(&packet.bytes);
        }
        return;
    }
    let device = interface.map(|interface| interface.index);
    let Ok((hop, _)) = lookup(to, device).or_else(|_| lookup(to, None)) else { return };
    for packet in header.packets(&payload, None, hop.mtu(), super::next_id()) {
        hop.send(packet);
    }
}

/// Fills in a message's checksum.
pub fn complete(payload: &mut [u8], from: IpAddr, to: IpAddr) {
    set_u16(payload, 2, 0);
    let pseudo = if to.is_ipv4() { 0 } else { checksum::pseudo_header(from, to, ICMP6, payload.len()) };
    let sum = !checksum::add(&[pseudo, checksum::sum(payload)]);
    set_u16(payload, 2, sum);
}

fn solicited(interface: &'static Interface, parsed: &Parsed<'_>) {
    let (Some(link), IpAddr::V6(from)) = (&interface.link, parsed.from) else { return };
    let Some((target, mac)) = neighbour::parse_discovery(parsed.payload) else { return };
    if parsed.ttl != neighbour::HOP_LIMIT || !interface.has(target.into()) {
        return;
    }
    let answer = neighbour::advertisement(target, link.mac, from);
    match mac {
        _ if from.is_unspecified() => {
            if let Some(everybody) = neighbour::group_mac("ff02::1".parse().unwrap_or(parsed.to)) {
                link.push(everybody, &answer);
            }
        }
        Some(mac) => {
            link.neighbours.learn(parsed.from, mac, true, platform().monotonic_ns());
            link.push(mac, &answer);
        }
        None => super::Hop { interface, next: parsed.from }.send(answer),
    }
}

fn advertised(interface: &'static Interface, parsed: &Parsed<'_>) {
    let Some(link) = &interface.link else { return };
    let Some((target, Some(mac))) = neighbour::parse_discovery(parsed.payload) else { return };
    if parsed.ttl == neighbour::HOP_LIMIT {
        for packet in link.neighbours.learn(target.into(), mac, false, platform().monotonic_ns()) {
            link.push(mac, &packet);
        }
    }
}

/// Tells whoever sent `packet` (or its beginning) that it did not arrive, by whose word: without one it is ours.
pub fn tell_sender(packet: &[u8], cause: Option<Cause>, why: Unreachable) {
    // A quoted packet is cut short: its length says more than there is.
    let Some((from, to, protocol, payload)) = quoted(packet) else { return };
    if !interfaces::is_own(from) {
        return;
    }
    let cause = cause.unwrap_or(Cause::here(why, from));
    let local = SocketAddr::new(from, get_u16(payload, 0));
    let peer = SocketAddr::new(to, get_u16(payload, 2));
    match protocol {
        UDP if payload.len() >= 4 => {
            inet::Udp::undelivered(&None, (local, peer), cause, payload.get(8..).unwrap_or(&[]));
        }
        TCP if payload.len() >= 4 => inet::Connection::undelivered(local, peer, why),
        _ => inet::Raw::undelivered(protocol, (from, to), cause, payload),
    }
}

/// Addresses, protocol and payload of a packet that may be cut short.
fn quoted(packet: &[u8]) -> Option<(IpAddr, IpAddr, u8, &[u8])> {
    match packet.first()? >> 4 {
        4 => {
            let header = usize::from(packet.first()? & 15) * 4;
            let from: [u8; 4] = *packet.get(12..)?.first_chunk()?;
            let to: [u8; 4] = *packet.get(16..)?.first_chunk()?;
            Some((from.into(), to.into(), *packet.get(9)?, packet.get(header..)?))
        }
        6 => {
            let from: [u8; 16] = *packet.get(8..)?.first_chunk()?;
            let to: [u8; 16] = *packet.get(24..)?.first_chunk()?;
            Some((from.into(), to.into(), *packet.get(6)?, packet.get(40..)?))
        }
        _ => None,
    }
}

/// Tells the sender of a packet that came that nobody wants it.
pub fn report(interface: &'static Interface, parsed: &Parsed<'_>, why: Unreachable) {
    // Never about a group's packet, nor about an error (RFC 1122, 3.2.2).
    let is_error = parsed.protocol == ICMP || parsed.protocol == ICMP6;
    if is_error || !interfaces::is_own(parsed.to) || parsed.from.is_unspecified() || !allowed() {
        return;
    }
    let (kind, code, quote, pointer) = match (parsed.to.is_ipv4(), why) {
        (true, Unreachable::Port) => (UNREACHABLE, PORT, QUOTE4, 0),
        (true, _) => (UNREACHABLE, 2, QUOTE4, 0),
        (false, Unreachable::Port) => (UNREACHABLE6, PORT6, QUOTE6, 0),
        // A parameter problem: the number in the fixed header.
        (false, _) => (PARAMETER6, 1, QUOTE6, 6),
    };
    let mut payload = [kind, code, 0, 0, 0, 0, 0, pointer].to_vec();
    payload.extend_from_slice(parsed.packet.get(..quote).unwrap_or(parsed.packet));
    send(Some(interface), parsed.to, parsed.from, payload);
}

/// Counts errors, so that nobody can have us send more than a few.
fn allowed() -> bool {
    static SECOND: AtomicU64 = AtomicU64::new(0);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let second = platform().monotonic_ns() / 1_000_000_000;
    if SECOND.swap(second, Ordering::Relaxed) != second {
        COUNT.store(0, Ordering::Relaxed);
    }
    COUNT.fetch_add(1, Ordering::Relaxed) < PER_SECOND
}
