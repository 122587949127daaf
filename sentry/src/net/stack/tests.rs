//! The stack against another one, over a wire that is a list.

use super::link::{ETHERNET, Link, TYPE_ARP};
use super::neighbour::Arp;
use super::packet::{Header, ICMP, Parsed};
use super::{checksum, icmp, input};
use crate::errno::Errno;
use crate::fake;
use crate::net::interfaces::change::Changer;
use crate::net::interfaces::{self, Interface, Own};
use crate::net::netlink::notify::By;
use core::net::IpAddr;
use linker::request::FrameHeader;
use linker::spec::{AddressSpec, InterfaceSpec, RouteSpec};
use linux_raw_sys::netlink as nl;
use std::vec::Vec;

/// The interface of all tests: 198.51.100.2/24 and 2001:db8:7::2/64.
pub fn interface() -> Interface {
    let spec = InterfaceSpec {
        name: b"eth0".to_vec(),
        index: 2,
        flags: 0x11043,
        mtu: 1500,
        queue_length: 1000,
        addresses: [
            AddressSpec { ip: [198, 51, 100, 2].into(), prefix: 24, scope: 0 },
            AddressSpec { ip: "2001:db8:7::2".parse().expect("an address"), prefix: 64, scope: 0 },
        ]
        .into(),
        ..InterfaceSpec::default()
    };
    Interface::over(&spec, Link::to_list(2, [2, 0, 0, 0, 0, 2]))
}

/// Its routes.
pub fn routes() -> Vec<RouteSpec> {
    let networks: [(IpAddr, u8); 2] =
        [([198, 51, 100, 0].into(), 24), ("2001:db8:7::".parse().expect("an address"), 64)];
    let route = |(to, prefix)| RouteSpec {
        to,
        prefix,
        gateway: None,
        interface: 2,
        source: None,
        metric: 0,
        protocol: 2,
        scope: 253,
        kind: 1,
    };
    networks.map(route).into()
}

/// One test at a time has the wire.
pub fn wire() -> std::sync::MutexGuard<'static, ()> {
    static WIRE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    fake::install();
    let guard = WIRE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    link().take_sent();
    guard
}

fn link() -> &'static Link {
    interfaces::by_index(2).and_then(|interface| interface.link.as_ref()).expect("the interface of all tests")
}

/// A packet comes over the wire, its checksum not looked at.
pub fn arrive(packet: &[u8]) {
    let interface = interfaces::by_index(2).expect("the interface of all tests");
    input::ip(interface, packet, true);
}

/// The packets that were sent. Whoever is looked for answers that it is there.
pub fn sent() -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    loop {
        let frames = link().take_sent();
        if frames.is_empty() {
            return packets;
        }
        for frame in frames {
            let (ethernet, payload) = frame.split_at(ETHERNET);
            match u16::from_be_bytes([ethernet[12], ethernet[13]]) {
                TYPE_ARP => answer(payload),
                _ => packets.push(payload.to_vec()),
            }
        }
    }
}

fn answer(payload: &[u8]) {
    let arp = Arp::parse(payload).expect("ARP");
    if arp.reply {
        return;
    }
    let reply = Arp { reply: true, sender: ([4, 0, 0, 0, 0, 1], arp.target.1), target: arp.sender };
    let mut frame = [&link().mac[..], &[4, 0, 0, 0, 0, 1]].concat();
    frame.extend_from_slice(&TYPE_ARP.to_be_bytes());
    frame.extend_from_slice(&reply.bytes());
    let interface = interfaces::by_index(2).expect("the interface of all tests");
    input::frame(interface, link(), &FrameHeader::default(), &frame);
}

const OWN: [u8; 4] = [198, 51, 100, 2];
const OTHER: [u8; 4] = [198, 51, 100, 77];

#[test]
fn an_echo_is_answered_and_a_packet_for_somebody_else_is_not() {
    let _wire = wire();
    let mut payload = [8, 0, 0, 0, 1, 2, 0, 1, 42].to_vec();
    icmp::complete(&mut payload, OTHER.into(), OWN.into());
    let header = Header::new(OTHER.into(), OWN.into(), ICMP);
    arrive(&header.packets(&payload, None, 1500, 1)[0].bytes);
    let stranger = Header::new(OTHER.into(), [198, 51, 100, 3].into(), ICMP);
    arrive(&stranger.packets(&payload, None, 1500, 1)[0].bytes);
    let packets = sent();
    assert_eq!(packets.len(), 1);
    let reply = Parsed::new(&packets[0]).expect("a packet");
    assert_eq!((reply.to, reply.payload[0], &reply.payload[4..]), (OTHER.into(), 0, &payload[4..]));
    assert_eq!(checksum::sum(reply.payload), 0xffff);
}

#[test]
fn a_wrong_checksum_is_dropped_unless_the_host_vouches_for_it() {
    let _wire = wire();
    let payload = [8, 0, 0xde, 0xad, 1, 2, 0, 1].to_vec();
    let packet = &Header::new(OTHER.into(), OWN.into(), ICMP).packets(&payload, None, 1500, 1)[0];
    let interface = interfaces::by_index(2).expect("the interface of all tests");
    assert!(input::ip(interface, &packet.bytes, false).is_none());
    assert!(sent().is_empty());
}

#[test]
fn routes_prefer_the_longest_prefix_and_leave_by_the_device_that_is_asked_for() {
    let _wire = wire();
    let (hop, from) = super::lookup(OTHER.into(), None).expect("on the link");
    assert_eq!((hop.interface.index, hop.next, from), (2, OTHER.into(), OWN.into()));
    assert!(super::lookup([8, 8, 8, 8].into(), None).is_err());
    assert!(super::lookup([8, 8, 8, 8].into(), Some(2)).is_ok());
    assert!(super::lookup(OTHER.into(), Some(9)).is_err());
}

#[test]
fn frames_of_garbage_are_dropped_quietly() {
    let _wire = wire();
    let interface = interfaces::by_index(2).expect("the interface of all tests");
    let mut seed: u32 = 7;
    for len in 0..400 {
        let mut frame: Vec<u8> = (0..len)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 24) as u8
            })
            .collect();
        for (to, from) in frame.iter_mut().zip(link().mac) {
            *to = from;
        }
        for (version, kind) in [(0x45, [8, 0]), (0x60, [0x86, 0xdd]), (0, [8, 6])] {
            if let Some(place) = frame.get_mut(12..15) {
                place.copy_from_slice(&[kind[0], kind[1], version]);
            }
            input::frame(interface, link(), &FrameHeader::default(), &frame);
        }
    }
    sent();
}

#[test]
fn an_added_address_is_answered_for_and_leads_to_its_network_until_it_is_removed() {
    let _wire = wire();
    let current = fake::current();
    let changer = Changer::new(&current, &None, By::default()).expect("somebody who may");
    let (own, other): ([u8; 4], [u8; 4]) = ([203, 0, 113, 9], [203, 0, 113, 77]);
    let echo = || {
        let mut payload = [8, 0, 0, 0, 1, 2, 0, 1, 42].to_vec();
        icmp::complete(&mut payload, other.into(), own.into());
        arrive(&Header::new(other.into(), own.into(), ICMP).packets(&payload, None, 1500, 1)[0].bytes);
        sent().len()
    };
    assert_eq!((echo(), super::lookup(other.into(), None).err()), (0, Some(Errno::ENETUNREACH)));
    changer.add_address(2, Own::new(own.into(), 24, 0), nl::NLM_F_EXCL).expect("an address");
    assert_eq!(changer.add_address(2, Own::new(own.into(), 24, 0), nl::NLM_F_EXCL).err(), Some(Errno::EEXIST));
    let (hop, from) = super::lookup(other.into(), None).expect("a route");
    assert_eq!((hop.interface.index, hop.next, from, echo()), (2, other.into(), own.into(), 1));
    changer.remove_address(2, own.into(), Some(24)).expect("an address");
    assert_eq!((echo(), super::lookup(other.into(), None).err()), (0, Some(Errno::ENETUNREACH)));
}
