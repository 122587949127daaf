//! The wire behind an interface: a packet socket of the host's. Frames go out in batches: whoever has something to send puts it
//! into the queue, and one thread at a time carries the queue to the host. Frames come in on a thread of the interface's own,
//! which sleeps at the host when there are none (`input`).
//!
//! Lock: `Rank::Leaf`, for the queue alone.

use super::neighbour::{BROADCAST, Mac, Neighbours, Resolved, group_mac};
use super::packet::Packet;
use crate::net::packet::tap;
use crate::platform::{ThreadRef, platform};
use crate::sync::{Lock, Rank};
use alloc::vec::Vec;
use core::mem::size_of;
use core::net::IpAddr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use linker::request::{FrameHeader, Op, Request};
use linux_raw_sys::if_ether::{ETH_P_ARP, ETH_P_IP, ETH_P_IPV6};
use zerocopy::IntoBytes;

/// Bytes of an Ethernet header: destination, source, type.
pub const ETHERNET: usize = 14;
/// ARP's frames.
pub const TYPE_ARP: u16 = ETH_P_ARP as u16;
/// IPv4's frames.
pub const TYPE_IP4: u16 = ETH_P_IP as u16;
/// IPv6's frames.
pub const TYPE_IP6: u16 = ETH_P_IPV6 as u16;
/// Bytes that wait to be sent; what comes on top is lost.
const MAX_QUEUED: usize = 8 << 20;
/// Senders that may sleep wait until no more than this is queued.
const CROWDED: usize = 2 << 20;

/// What has gone through an interface.
#[derive(Default)]
#[allow(missing_docs)]
pub struct Counters {
    pub rx_bytes: AtomicU64,
    pub rx_packets: AtomicU64,
    pub rx_dropped: AtomicU64,
    pub tx_bytes: AtomicU64,
    pub tx_packets: AtomicU64,
    pub tx_dropped: AtomicU64,
}

/// Adds to a counter.
pub fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}

/// Where frames go.
enum Wire {
    /// To the packet socket with this file handle.
    Host(u32),
    /// Nowhere: the host's kernel sends and receives.
    Elsewhere,
    /// Into a list, for tests.
    #[cfg(test)]
    List(Lock<Vec<Vec<u8>>>),
}

/// The wire behind an interface.
pub struct Link {
    wire: Wire,
    /// The number of its interface.
    index: u32,
    /// Our hardware address.
    pub mac: Mac,
    /// Who is there.
    pub neighbours: Neighbours,
    /// What has gone through.
    pub counters: Counters,
    /// Frames to send, as `Op::SendFrames` takes them.
    queue: Lock<Vec<u8>>,
    queued: AtomicU64,
    /// A thread is carrying frames to the host; it looks at the queue again when it is done.
    sending: AtomicBool,
    /// The thread that does it for those that may not sleep.
    carrier: spin::Once<ThreadRef>,
}

impl Link {
    /// A link over a packet socket of the host's; without one it is only shown.
    pub fn new(index: u32, socket: Option<u32>, mac: Mac) -> Self {
        Self::over(index, socket.map_or(Wire::Elsewhere, Wire::Host), mac)
    }

    /// A link that leads nowhere.
    #[cfg(test)]
    pub fn to_list(index: u32, mac: Mac) -> Self {
        Self::over(index, Wire::List(Lock::new(Rank::Leaf, Vec::new())), mac)
    }

    fn over(index: u32, wire: Wire, mac: Mac) -> Self {
        Self {
            wire,
            index,
            mac,
            neighbours: Neighbours::new(),
            counters: Counters::default(),
            queue: Lock::new(Rank::Leaf, Vec::new()),
            queued: AtomicU64::new(0),
            sending: AtomicBool::new(false),
            carrier: spin::Once::new(),
        }
    }

    /// The file handle of the packet socket.
    pub fn socket(&self) -> Option<u32> {
        match self.wire {
            Wire::Host(socket) => Some(socket),
            Wire::Elsewhere => None,
            #[cfg(test)]
            Wire::List(_) => None,
        }
    }

    /// Takes what was sent.
    #[cfg(test)]
    pub fn take_sent(&self) -> Vec<Vec<u8>> {
        self.flush();
        match &self.wire {
            Wire::Host(_) | Wire::Elsewhere => Vec::new(),
            Wire::List(list) => core::mem::take(&mut *list.lock()),
        }
    }

    /// Queues a packet for the neighbour `next`. True when the neighbour has to be asked for first.
    #[must_use]
    pub fn send(&self, next: IpAddr, packet: Packet) -> bool {
        if next == IpAddr::V4(core::net::Ipv4Addr::BROADCAST) {
            self.push(BROADCAST, &packet);
            return false;
        }
        if let Some(mac) = group_mac(next) {
            self.push(mac, &packet);
            return false;
        }
        match self.neighbours.resolve(next, packet, platform().monotonic_ns()) {
            Resolved::Go(packet, mac, ask) => {
                self.push(mac, &packet);
                ask
            }
            Resolved::Waits(ask) => ask,
        }
    }

    /// Queues a packet for a hardware address.
    pub fn push(&self, to: Mac, packet: &Packet) {
        let kind = if packet.bytes.first().is_some_and(|first| first >> 4 == 6) { TYPE_IP6 } else { TYPE_IP4 };
        let mut header = FrameHeader::default();
        if let Some((start, offset)) = packet.checksum {
            header.flags = FrameHeader::NEEDS_CHECKSUM;
            header.checksum_start = start + ETHERNET as u16;
            header.checksum_offset = offset;
        }
        if let Some((gso, size, headers)) = packet.segments {
            header.gso = gso;
            header.gso_size = size;
            header.header_len = headers + ETHERNET as u16;
        }
        self.push_frame(header, to, kind, &packet.bytes);
    }

    /// Queues a frame.
    pub fn push_frame(&self, header: FrameHeader, to: Mac, kind: u16, payload: &[u8]) {
        let [k0, k1] = kind.to_be_bytes();
        let ([t0, t1, t2, t3, t4, t5], [m0, m1, m2, m3, m4, m5]) = (to, self.mac);
        self.enqueue(header, &[t0, t1, t2, t3, t4, t5, m0, m1, m2, m3, m4, m5, k0, k1], payload, 0);
    }

    /// Queues a frame that is complete; `origin` is the packet socket that it comes from.
    pub fn push_whole(&self, frame: &[u8], origin: usize) {
        if let Some((ethernet, payload)) = frame.split_first_chunk::<ETHERNET>() {
            self.enqueue(FrameHeader::default(), ethernet, payload, origin);
        }
    }

    fn enqueue(&self, header: FrameHeader, ethernet: &[u8; ETHERNET], payload: &[u8], origin: usize) {
        let pending = header.flags & FrameHeader::NEEDS_CHECKSUM != 0;
        tap::out(self.index, [ethernet, payload], pending, origin);
        let header = FrameHeader { len: (ETHERNET + payload.len()) as u32, ..header };
        let mut queue = self.queue.lock();
        if queue.len() > MAX_QUEUED {
            drop(queue);
            count(&self.counters.tx_dropped, 1);
            return;
        }
        queue.reserve(size_of::<FrameHeader>() + ETHERNET + payload.len() + 4);
        queue.extend_from_slice(header.as_bytes());
        queue.extend_from_slice(ethernet);
        queue.extend_from_slice(payload);
        let padded = queue.len().next_multiple_of(4);
        queue.resize(padded, 0);
        self.queued.store(padded as u64, Ordering::SeqCst);
        drop(queue);
        count(&self.counters.tx_packets, 1);
        count(&self.counters.tx_bytes, ETHERNET + payload.len());
    }

    /// Whether a sender should wait before it queues more.
    pub fn is_crowded(&self) -> bool {
        self.queued.load(Ordering::Relaxed) > CROWDED as u64
    }

    /// Carries the queue to the host, unless another thread is at it. May sleep.
    pub fn flush(&self) {
        while self.queued.load(Ordering::SeqCst) != 0 {
            if self.sending.swap(true, Ordering::SeqCst) {
                break;
            }
            let batch = {
                let mut queue = self.queue.lock();
                self.queued.store(0, Ordering::SeqCst);
                core::mem::take(&mut *queue)
            };
            // Empty where somebody else was quicker.
            if !batch.is_empty() {
                self.carry(batch);
            }
            self.sending.store(false, Ordering::SeqCst);
        }
        // After the queue: whoever left frames there has left them for who listens as well.
        tap::deliver();
    }

    /// As `flush`, but lets another thread do it: for those that may not sleep.
    pub fn kick(&self) {
        if self.queued.load(Ordering::SeqCst) != 0
            && let Some(carrier) = self.carrier.get()
        {
            carrier.unpark();
        }
    }

    fn carry(&self, batch: Vec<u8>) {
        match &self.wire {
            Wire::Elsewhere => {}
            Wire::Host(socket) => {
                let request = Request { op: Op::SendFrames as u16, handle: *socket, ..Request::default() };
                // While the host is busy with frames anyway, or this thread with other things.
                if let Err(batch) = platform().host_post(request, batch) {
                    // Where it fails, the socket is gone, and so is the network.
                    let _ = platform().host_call(request, &batch, &mut []);
                }
            }
            #[cfg(test)]
            Wire::List(list) => {
                use zerocopy::FromBytes;
                assert!(!batch.is_empty(), "the host is asked to send nothing");
                let mut batch = batch.as_slice();
                while let Ok((header, rest)) = FrameHeader::read_from_prefix(batch) {
                    let len = header.len as usize;
                    list.lock().push(rest[..len].to_vec());
                    batch = &rest[len.next_multiple_of(4).min(rest.len())..];
                }
            }
        }
    }

    /// The carrier's work, for ever: on a thread of its own.
    pub fn carry_on(&self) {
        self.carrier.call_once(|| platform().current_thread());
        loop {
            self.flush();
            platform().park(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    #[test]
    fn who_finds_the_queue_carried_by_another_asks_the_host_for_nothing() {
        fake::install();
        let link = Link::to_list(2, [2, 0, 0, 0, 0, 2]);
        link.push_whole(&[0; ETHERNET], 0);
        // What it read just before the other one took the queue.
        let seen = link.queued.load(Ordering::SeqCst);
        link.flush();
        link.queued.store(seen, Ordering::SeqCst);
        link.flush();
        assert_eq!(link.take_sent().len(), 1);
    }
}
