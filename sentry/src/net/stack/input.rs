//! Frames that come: who they are for, and handing them up.

use super::icmp::{self, Unreachable};
use super::link::{self, ETHERNET, Link, count};
use super::neighbour::Arp;
use super::packet::{ICMP, ICMP6, Parsed, TCP, UDP};
use super::{checksum, reassembly};
use crate::fs::heard;
use crate::net::inet;
use crate::net::interfaces::{self, Interface};
use crate::net::packet::tap;
use crate::platform::platform;
use alloc::vec;
use core::mem::size_of;
use core::net::IpAddr;
use linker::request::{FrameHeader, Op, Request};
use zerocopy::FromBytes;

/// The largest frame there is: 64 KiB of IP, where several segments come as one.
const MAX_FRAME: usize = 65535 + ETHERNET;
/// Room for one.
const SLOT: usize = (size_of::<FrameHeader>() + MAX_FRAME).next_multiple_of(64);
/// Frames that come at once at most.
const SLOTS: usize = 8;

/// Receives on an interface for as long as the host has it. Two requests are begun, so that while the frames of one are looked at, the
/// host has where to put the next, and need not be called for it.
pub fn run(interface: &'static Interface) {
    let Some(link) = &interface.link else { return };
    let Some(socket) = link.socket() else { return };
    let request = Request { op: Op::ReceiveFrames as u16, handle: socket, arg: SLOT as u64, ..Request::default() };
    let room = || vec![0_u8; SLOT * SLOTS].into_boxed_slice();
    let mut first = platform().host_start(request, room(), None);
    let mut second = platform().host_start(request, room(), Some(&first));
    loop {
        let (frames, buffer) = platform().host_finish(first);
        let Ok(frames) = frames else {
            // The socket is gone, for the other request, too.
            drop(platform().host_finish(second));
            return;
        };
        heard();
        for slot in buffer.chunks_exact(SLOT).take(usize::try_from(frames).unwrap_or(SLOTS)) {
            if let Ok((header, rest)) = FrameHeader::read_from_prefix(slot) {
                frame(interface, link, &header, rest.get(..header.len as usize).unwrap_or(rest));
            }
        }
        first = second;
        second = platform().host_start(request, buffer, Some(&first));
        link.flush();
    }
}

/// A frame came.
pub fn frame(interface: &'static Interface, link: &Link, header: &FrameHeader, frame: &[u8]) {
    count(&link.counters.rx_packets, 1);
    count(&link.counters.rx_bytes, frame.len());
    let (valid, pending) =
        (header.flags & FrameHeader::CHECKSUM_VALID != 0, header.flags & FrameHeader::NEEDS_CHECKSUM != 0);
    tap::arrived(interface, &link.mac, frame, (valid, pending));
    let up = || frame.split_at_checked(ETHERNET).filter(|_| interface.is_up());
    let taken = up().is_some_and(|(ethernet, payload)| {
        let Some(to) = ethernet.first_chunk::<6>() else { return false };
        if to[0] & 1 == 0 && *to != link.mac {
            return false;
        }
        match ethernet.last_chunk::<2>().map_or(0, |kind| u16::from_be_bytes(*kind)) {
            link::TYPE_ARP => arp(interface, link, payload),
            link::TYPE_IP4 | link::TYPE_IP6 => {
                let checked = header.flags & (FrameHeader::NEEDS_CHECKSUM | FrameHeader::CHECKSUM_VALID) != 0;
                ip(interface, payload, checked).is_some()
            }
            _ => false,
        }
    });
    if !taken {
        count(&link.counters.rx_dropped, 1);
    }
}

fn arp(interface: &'static Interface, link: &Link, payload: &[u8]) -> bool {
    let Some(arp) = Arp::parse(payload) else { return false };
    let (mac, ip) = arp.sender;
    let for_us = interface.has(arp.target.1.into());
    if interface.has(ip.into()) {
        return false;
    }
    if !ip.is_unspecified() {
        let now_ns = platform().monotonic_ns();
        for packet in link.neighbours.learn(ip.into(), mac, for_us && !arp.reply, now_ns) {
            link.push(mac, &packet);
        }
    }
    if for_us && !arp.reply {
        let answer = Arp { reply: true, sender: (link.mac, arp.target.1), target: arp.sender };
        link.push_frame(FrameHeader::default(), mac, link::TYPE_ARP, &answer.bytes());
    }
    true
}

/// A packet came. `checked`: its checksum is right, or was never made because it did not leave the machine.
pub fn ip(interface: &'static Interface, bytes: &[u8], checked: bool) -> Option<()> {
    let parsed = Parsed::new(bytes)?;
    let inside = interface.link.is_none();
    let ours = interfaces::is_own(parsed.to)
        || inside && parsed.to.is_loopback()
        || parsed.to.is_multicast()
        || is_broadcast(interface, parsed.to);
    // Loopback addresses never come over a wire, and nobody's packets come from a group.
    let forged = !inside && (parsed.to.is_loopback() || parsed.from.is_loopback());
    if !ours || forged || parsed.from.is_multicast() {
        return None;
    }
    if parsed.fragment.is_some() {
        // The parts of a packet have no checksum of their own.
        if let Some(whole) = reassembly::add(&parsed, platform().monotonic_ns()) {
            deliver(interface, &Parsed::new(&whole)?, false)?;
        }
        return Some(());
    }
    deliver(interface, &parsed, checked)
}

fn deliver(interface: &'static Interface, parsed: &Parsed<'_>, checked: bool) -> Option<()> {
    if !checked && !sum_is_right(parsed) {
        return None;
    }
    let raw = inet::Raw::receive(interface, parsed);
    match parsed.protocol {
        TCP => inet::Connection::receive(interface, parsed),
        UDP => inet::Udp::receive_packet(interface, parsed),
        ICMP if parsed.to.is_ipv4() => icmp::receive(interface, parsed),
        ICMP6 if parsed.to.is_ipv6() => icmp::receive(interface, parsed),
        _ if raw => {}
        _ => icmp::report(interface, parsed, Unreachable::Protocol),
    }
    Some(())
}

fn is_broadcast(interface: &Interface, ip: IpAddr) -> bool {
    ip == IpAddr::from([255; 4]) || interface.is_broadcast(ip)
}

fn sum_is_right(parsed: &Parsed<'_>) -> bool {
    let payload = parsed.payload;
    let pseudo = || checksum::pseudo_header(parsed.from, parsed.to, parsed.protocol, payload.len());
    match parsed.protocol {
        // UDP over IPv4 need not have one.
        UDP if parsed.to.is_ipv4() && super::get_u16(payload, 6) == 0 => true,
        TCP | UDP | ICMP6 => checksum::add(&[pseudo(), checksum::sum(payload)]) == 0xffff,
        ICMP => checksum::sum(payload) == 0xffff,
        _ => true,
    }
}
