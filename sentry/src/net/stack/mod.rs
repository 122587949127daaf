//! The network beyond loopback: Ethernet frames over packet sockets of the host's, ARP and neighbour discovery, IPv4 and IPv6,
//! ICMP. `inet` stands above it: its sockets hand packets to a `Hop`, and get theirs from `input`.
//!
//! ```text
//! inet::udp   inet::connection (TCP, smoltcp's state machine)   icmp, inet::raw
//!      │ Packet, Hop                 ▲ Parsed
//!      ▼                             │
//!   Hop::send ── neighbour       input ── reassembly
//!      ▼                             ▲
//!   link: queue ─ SendFrames     ReceiveFrames ── a thread an interface
//! ```
//!
//! Nothing here is called with a lock held but that of a socket's own for `Hop::send`, which takes leaves only and never sleeps;
//! `flush` may sleep and is called without any.

mod checksum;
mod icmp;
mod input;
mod link;
mod neighbour;
mod packet;
mod reassembly;
mod reroute;
mod routes;
#[cfg(test)]
pub mod tests;

pub use checksum::{add as add_sums, pseudo_header, sum};
pub use icmp::{Cause, Unreachable, complete as complete_icmp, report};
pub use link::{Counters, Link, TYPE_IP4, TYPE_IP6};
pub use neighbour::Neighbour;
pub use packet::{DEFAULT_TTL, Header, ICMP, ICMP6, Packet, Parsed, TCP, UDP, get_u16, set_u16};
pub use reroute::{Wanted, add as add_route, down, follow, local as local_routes, remove as remove_route, unfollow};
pub use routes::{Entry, MAIN, Routes, is_local, lookup, routes};

use super::interfaces::{self, Interface, interfaces};
use super::packet::tap;
use crate::errno::Errno;
use crate::platform::platform;
use crate::sync::{Lock, Rank};
use crate::time::{Expire, TimerEntry};
use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use core::net::{IpAddr, Ipv6Addr};
use core::sync::atomic::{AtomicU32, Ordering};
use linker::request::FrameHeader;
use linker::spec::NetworkSpec;
use neighbour::{Arp, BROADCAST};

/// The next stop of a packet.
#[derive(Clone, Copy)]
pub struct Hop {
    /// Out of this interface.
    pub interface: &'static Interface,
    /// To this neighbour, or group, or everybody.
    pub next: IpAddr,
}

impl Hop {
    /// Largest packet that goes there.
    pub fn mtu(&self) -> usize {
        self.interface.mtu() as usize
    }

    /// Queues a packet. `flush` or `kick` sends it on its way.
    pub fn send(&self, packet: Packet) {
        let next = if self.interface.is_broadcast(self.next) { IpAddr::from([255; 4]) } else { self.next };
        if let Some(link) = self.interface.link.as_ref().filter(|_| self.interface.is_up())
            && link.send(next, packet)
        {
            ask(self.interface, link, self.next);
        }
    }

    /// Sends what is queued. May sleep.
    pub fn flush(&self) {
        if let Some(link) = &self.interface.link {
            link.flush();
        }
    }

    /// Has what is queued sent.
    pub fn kick(&self) {
        if let Some(link) = &self.interface.link {
            link.kick();
        }
    }

    /// Waits while so much is queued that more would be lost.
    pub fn wait_for_room(&self) {
        if let Some(link) = &self.interface.link {
            while link.is_crowded() {
                link.flush();
                platform().yield_now();
            }
        }
    }
}

/// A number for packets that are cut up.
pub fn next_id() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A packet from this sandbox to itself, complete.
pub fn loop_back(packet: &[u8]) {
    tap::loopback(packet);
    if let Some(loopback) = interfaces().first().filter(|loopback| loopback.is_up()) {
        input::ip(loopback, packet, true);
    }
}

/// A frame of a packet socket's, whole, to the interface with this number. May sleep.
pub fn send_frame(interface: u32, frame: &[u8], origin: usize) {
    let Some(interface) = interfaces::by_index(interface) else { return };
    if let Some(link) = &interface.link {
        link.push_whole(frame, origin);
        let hop = Hop { interface, next: Ipv6Addr::UNSPECIFIED.into() };
        hop.flush();
        hop.wait_for_room();
        return;
    }
    let come = tap::Tapped::new(interface.index, tap::Kind::of(frame, &[0; 6]), [frame, &[]]);
    tap::out(interface.index, [frame, &[]], false, origin);
    if tap::is_listened() {
        tap::put(come.clone());
    }
    tap::deliver();
    // IPv4 takes no 127.0.0.0/8 from a frame that its own output did not make (ip_route_input_slow: martians).
    let [.., from, _, _, _, to, _, _, _] = frame.get(link::ETHERNET..link::ETHERNET + 20).unwrap_or(&[0; 20]) else {
        return;
    };
    let martian = come.protocol == link::TYPE_IP4 && [from, to].contains(&&127);
    let to_us = come.kind != tap::Kind(linux_raw_sys::if_packet::PACKET_OTHERHOST) && !martian;
    if let (link::TYPE_IP4 | link::TYPE_IP6, true, Some(packet)) = (come.protocol, to_us, frame.get(link::ETHERNET..)) {
        input::ip(interface, packet, true);
    }
}

/// Asks who has `ip`.
fn ask(interface: &'static Interface, link: &Link, ip: IpAddr) {
    match ip {
        IpAddr::V4(target) => {
            if let Some(IpAddr::V4(own)) = interface.source_for(ip) {
                let arp = Arp { reply: false, sender: (link.mac, own), target: ([0; 6], target) };
                link.push_frame(FrameHeader::default(), BROADCAST, link::TYPE_ARP, &arp.bytes());
            }
        }
        IpAddr::V6(target) => {
            let own = match interface.source_for(ip) {
                Some(IpAddr::V6(own)) => own,
                _ => Ipv6Addr::UNSPECIFIED,
            };
            let group = neighbour::solicited_group(target);
            if let Some(mac) = neighbour::group_mac(group.into()) {
                link.push(mac, &neighbour::solicitation(own, link.mac, target));
            }
        }
    }
    Asker::arm(platform().monotonic_ns() + neighbour::RETRY_NS);
}

/// Asks again, and gives up.
struct Asker {
    timer: TimerEntry,
    armed: Lock<bool>,
}

static ASKER: spin::Once<Arc<Asker>> = spin::Once::new();

impl Asker {
    fn arm(at_ns: u64) {
        let asker = ASKER.call_once(|| {
            Arc::new_cyclic(|this: &Weak<Self>| {
                let this: Weak<dyn Expire> = this.clone();
                Self { timer: TimerEntry::new(this), armed: Lock::new(Rank::Leaf, false) }
            })
        });
        if !core::mem::replace(&mut *asker.armed.lock(), true) {
            asker.timer.arm(at_ns);
        }
    }
}

impl Expire for Asker {
    fn expire(&self) {
        *self.armed.lock() = false;
        let now_ns = platform().monotonic_ns();
        let mut next_ns: Option<u64> = None;
        for interface in interfaces() {
            let Some(link) = &interface.link else { continue };
            let due = link.neighbours.due(now_ns);
            for ip in due.ask {
                ask(interface, link, ip);
            }
            for packet in due.failed {
                icmp::tell_sender(&packet.bytes, None, Unreachable::Host);
            }
            next_ns = next_ns.into_iter().chain(due.next_ns).min();
            link.kick();
        }
        if let Some(at_ns) = next_ns {
            Self::arm(at_ns);
        }
    }
}

/// Takes the network of the start specification into use.
pub fn start(spec: &NetworkSpec) -> Result<(), Errno> {
    interfaces::set_up(spec);
    routes::set_up(spec);
    super::inet::set_up_relays(spec);
    if spec.host {
        // Packets are the host's kernel's affair.
        super::host::enable();
        return Ok(());
    }
    for neighbour in &spec.neighbours {
        if let Some(link) = interfaces::by_index(neighbour.interface).and_then(|interface| interface.link.as_ref()) {
            let known = Neighbour { mac: neighbour.mac, permanent: true, fresh: true };
            drop(link.neighbours.enter(neighbour.ip, known, 0));
        }
    }
    for interface in interfaces() {
        let Some(link) = &interface.link else { continue };
        platform().spawn(false, Box::new(move || input::run(interface)))?;
        platform().spawn(false, Box::new(move || link.carry_on()))?;
        announce(interface, link);
    }
    Ok(())
}

/// Tells the neighbours who is here now: the address may have been somebody else's a moment ago.
fn announce(interface: &'static Interface, link: &Link) {
    for own in interface.addresses() {
        match own.ip {
            IpAddr::V4(ip) => {
                let arp = Arp { reply: false, sender: (link.mac, ip), target: ([0; 6], ip) };
                link.push_frame(FrameHeader::default(), BROADCAST, link::TYPE_ARP, &arp.bytes());
            }
            IpAddr::V6(ip) => {
                let packet = neighbour::advertisement(ip, link.mac, Ipv6Addr::UNSPECIFIED);
                let everybody = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
                if let Some(mac) = neighbour::group_mac(everybody) {
                    link.push(mac, &packet);
                }
            }
        }
    }
    link.kick();
}
