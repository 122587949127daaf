//! What a receiver is told about a packet besides its bytes (ip(7), ipv6(7), SO_TIMESTAMP).

use super::options::Levels;
use crate::net::control::Control;
use crate::net::interfaces;
use crate::net::options::{Options, Switch};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use linux_raw_sys::net as raw;

const IP: u32 = raw::IPPROTO_IP as u32;
const IPV6: u32 = raw::IPPROTO_IPV6 as u32;

/// How a packet came.
pub struct Arrival {
    /// Source.
    pub from: IpAddr,
    /// Destination.
    pub to: IpAddr,
    /// By which interface.
    pub interface: u32,
    /// Time to live, hop limit.
    pub ttl: u8,
    /// Type of service, traffic class.
    pub tos: u8,
    /// When.
    pub time_ns: u64,
}

/// SO_TIMESTAMP and SO_TIMESTAMPNS, for what came at this time.
pub fn timestamps(options: &Options, ns: u64) -> Vec<(u32, u32, Vec<u8>)> {
    let mut notes = Vec::new();
    if options.is(Switch::Timestamp) {
        let words = [ns / 1_000_000_000, ns % 1_000_000_000 / 1000];
        notes.push((raw::SOL_SOCKET, raw::SO_TIMESTAMP_OLD, words.map(u64::to_ne_bytes).concat()));
    }
    if options.is(Switch::TimestampNs) {
        let words = [ns / 1_000_000_000, ns % 1_000_000_000];
        notes.push((raw::SOL_SOCKET, raw::SO_TIMESTAMPNS_OLD, words.map(u64::to_ne_bytes).concat()));
    }
    notes
}

/// What the receiver asked to be told.
pub fn of(options: &Options, levels: &Levels, arrival: &Arrival) -> Option<Box<Control>> {
    let mut notes = timestamps(options, arrival.time_ns);
    if let IpAddr::V4(to) = arrival.to {
        if levels.is(IP, raw::IP_PKTINFO) {
            let mut info = arrival.interface.to_ne_bytes().to_vec();
            // The address of ours that it came to, and the one in its header.
            let own = interfaces::by_index(arrival.interface).and_then(|interface| {
                match interface.source_for(arrival.from) {
                    Some(IpAddr::V4(own)) if to.is_multicast() || to.is_broadcast() => Some(own),
                    _ => None,
                }
            });
            info.extend_from_slice(&own.unwrap_or(to).octets());
            info.extend_from_slice(&to.octets());
            notes.push((IP, raw::IP_PKTINFO, info));
        }
        if levels.is(IP, raw::IP_RECVTTL) {
            notes.push((IP, raw::IP_TTL, i32::from(arrival.ttl).to_ne_bytes().to_vec()));
        }
        if levels.is(IP, raw::IP_RECVTOS) {
            notes.push((IP, raw::IP_TOS, [arrival.tos].to_vec()));
        }
    }
    if levels.is(IPV6, raw::IPV6_RECVPKTINFO) {
        let to: Ipv6Addr = match arrival.to {
            IpAddr::V4(to) => to.to_ipv6_mapped(),
            IpAddr::V6(to) => to,
        };
        let mut info = to.octets().to_vec();
        info.extend_from_slice(&arrival.interface.to_ne_bytes());
        notes.push((IPV6, raw::IPV6_PKTINFO, info));
    }
    if arrival.to.is_ipv6() {
        if levels.is(IPV6, raw::IPV6_RECVHOPLIMIT) {
            notes.push((IPV6, raw::IPV6_HOPLIMIT, i32::from(arrival.ttl).to_ne_bytes().to_vec()));
        }
        if levels.is(IPV6, raw::IPV6_RECVTCLASS) {
            notes.push((IPV6, raw::IPV6_TCLASS, i32::from(arrival.tos).to_ne_bytes().to_vec()));
        }
    }
    (!notes.is_empty()).then(|| Box::new(Control { notes, ..Control::default() }))
}
