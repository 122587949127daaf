//! Frames on their way past an interface, for the packet sockets that listen.
//!
//! Whoever sends or receives a frame may hold a socket's lock, so frames are put into a list first (`out`, `arrived`), and given to the
//! sockets by whoever comes by without locks (`deliver`, which `Link::flush` calls). While nobody listens all of it costs one load.

use super::Packet;
use crate::net::interfaces::{Interface, LOOPBACK_INDEX};
use crate::platform::platform;
use crate::sync::{Lock, Rank};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use linux_raw_sys::if_packet as raw;

/// Bytes of an Ethernet header. Frames of loopback have one, too, with addresses of zero.
pub const ETHERNET: usize = 14;
/// Types below are lengths: the frame is IEEE 802.3's (ETH_P_802_3_MIN), and shown as ETH_P_802_2.
const FIRST_TYPE: u16 = 1536;
const WITHOUT_TYPE: u16 = 4;
/// Frames that wait to be delivered; more are lost.
const MAX_PENDING: usize = 4096;

/// How a frame passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind(pub u32);

impl Kind {
    /// To us.
    pub const HOST: Self = Self(raw::PACKET_HOST);
    /// Sent by us.
    pub const OUTGOING: Self = Self(raw::PACKET_OUTGOING);

    /// That of a frame that came to an interface with this address.
    pub fn of(to: &[u8], own: &[u8; 6]) -> Self {
        match to.first_chunk::<6>() {
            Some(to) if to == own => Self::HOST,
            Some([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]) => Self(raw::PACKET_BROADCAST),
            Some([first, ..]) if first & 1 != 0 => Self(raw::PACKET_MULTICAST),
            _ => Self(raw::PACKET_OTHERHOST),
        }
    }
}

/// A frame that passed.
#[derive(Clone)]
pub struct Tapped {
    /// With its Ethernet header.
    pub frame: Arc<Vec<u8>>,
    /// Its type.
    pub protocol: u16,
    /// Its interface.
    pub interface: u32,
    /// Of which network (`NetNs::key`).
    pub network: u32,
    /// How it passed.
    pub kind: Kind,
    /// TP_STATUS_* about its checksum.
    pub checksum: u32,
    /// When.
    pub time_ns: u64,
    /// The packet socket that sent it, which does not see it; 0 for none.
    pub origin: usize,
}

impl Tapped {
    /// A frame that passes now.
    pub fn new(interface: u32, kind: Kind, parts: [&[u8]; 2]) -> Self {
        let frame = parts.concat();
        let protocol = match crate::net::stack::get_u16(&frame, 12) {
            length if length < FIRST_TYPE => WITHOUT_TYPE,
            protocol => protocol,
        };
        let time_ns = platform().realtime_ns();
        Self { frame: Arc::new(frame), protocol, interface, network: 0, kind, checksum: 0, time_ns, origin: 0 }
    }
}

/// The sockets that listen.
static SOCKETS: Lock<Vec<Weak<Packet>>> = Lock::new(Rank::SocketTable, Vec::new());
static LISTENING: AtomicUsize = AtomicUsize::new(0);
static PENDING: Lock<Vec<Tapped>> = Lock::new(Rank::Leaf, Vec::new());
static COUNT: AtomicUsize = AtomicUsize::new(0);
static DELIVERING: AtomicBool = AtomicBool::new(false);

/// Adds a socket.
pub fn add(socket: Weak<Packet>) {
    let mut sockets = SOCKETS.lock();
    sockets.push(socket);
    LISTENING.store(sockets.len(), Ordering::SeqCst);
}

/// Takes a socket away.
pub fn remove(gone: &Packet) {
    let mut sockets = SOCKETS.lock();
    sockets.retain(|socket| !core::ptr::eq(socket.as_ptr(), gone));
    LISTENING.store(sockets.len(), Ordering::SeqCst);
}

/// All of them.
pub fn all() -> Vec<Arc<Packet>> {
    SOCKETS.lock().iter().filter_map(Weak::upgrade).collect()
}

/// Whether anybody listens.
#[inline]
pub fn is_listened() -> bool {
    LISTENING.load(Ordering::Relaxed) != 0
}

/// A frame passed. May be called with a socket's lock held.
pub fn put(tapped: Tapped) {
    let mut pending = PENDING.lock();
    if pending.len() < MAX_PENDING {
        pending.push(tapped);
        COUNT.store(pending.len(), Ordering::SeqCst);
    }
}

/// An IP packet goes over loopback: it goes out, and comes.
pub fn loopback(packet: &[u8]) {
    if !is_listened() {
        return;
    }
    let v6 = packet.first().is_some_and(|first| first >> 4 == 6);
    let kind = if v6 { crate::net::stack::TYPE_IP6 } else { crate::net::stack::TYPE_IP4 };
    let mut head = [0; ETHERNET];
    crate::net::stack::set_u16(&mut head, 12, kind);
    let out = Tapped::new(LOOPBACK_INDEX, Kind::OUTGOING, [&head, packet]);
    let come = Tapped { kind: Kind::HOST, ..out.clone() };
    put(out);
    put(come);
    deliver();
}

/// A frame came. `valid`, `pending`: its checksum was looked at, or was never made.
pub fn arrived(interface: &Interface, own: &[u8; 6], frame: &[u8], (valid, pending): (bool, bool)) {
    if is_listened() {
        let checksum = match (valid, pending) {
            (_, true) => raw::TP_STATUS_CSUMNOTREADY,
            (true, _) => raw::TP_STATUS_CSUM_VALID,
            _ => 0,
        };
        put(Tapped { checksum, ..Tapped::new(interface.index, Kind::of(frame, own), [frame, &[]]) });
    }
}

/// A frame goes out. May be called with a socket's lock held.
pub fn out(interface: u32, parts: [&[u8]; 2], checksum_pending: bool, origin: usize) {
    if is_listened() {
        let checksum = if checksum_pending { raw::TP_STATUS_CSUMNOTREADY } else { 0 };
        put(Tapped { checksum, origin, ..Tapped::new(interface, Kind::OUTGOING, parts) });
    }
}

/// Gives what has passed to the sockets, unless another thread is at it. Call without locks.
#[inline]
pub fn deliver() {
    while COUNT.load(Ordering::SeqCst) != 0 {
        if DELIVERING.swap(true, Ordering::SeqCst) {
            return;
        }
        let batch = {
            let mut pending = PENDING.lock();
            COUNT.store(0, Ordering::SeqCst);
            core::mem::take(&mut *pending)
        };
        let sockets = all();
        for tapped in &batch {
            for socket in &sockets {
                socket.take(tapped);
            }
        }
        DELIVERING.store(false, Ordering::SeqCst);
    }
}
