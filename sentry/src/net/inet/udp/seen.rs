//! A datagram as a packet, for those who look at packets: socket filters, and packet sockets on loopback.

use super::{CHECKSUM, Datagram, HEADER, Udp};
use crate::net::filter::Subject;
use crate::net::interfaces::LOOPBACK_INDEX;
use crate::net::packet::tap;
use crate::net::stack::{self, Header, TYPE_IP4, TYPE_IP6};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// The datagram with UDP's header, its checksum left open.
fn with_header(datagram: &Datagram, port: u16) -> Vec<u8> {
    let data = &datagram.data;
    let mut bytes = Vec::with_capacity(HEADER + data.len());
    for word in [datagram.from.port(), port, (HEADER + data.len()) as u16, 0] {
        bytes.extend_from_slice(&word.to_be_bytes());
    }
    bytes.extend_from_slice(data);
    bytes
}

impl Udp {
    /// What the socket's filter leaves of a datagram; a filter sees UDP's header first.
    pub(super) fn filtered(&self, datagram: Datagram, port: u16) -> Option<Datagram> {
        let Some(filter) = self.options.filter() else { return Some(datagram) };
        let bytes = with_header(&datagram, port);
        let protocol = if datagram.to.is_ipv4() { TYPE_IP4 } else { TYPE_IP6 };
        let interface = datagram.interface;
        let kept = filter.run(&Subject { bytes: &bytes, protocol, interface, ..Subject::default() })?;
        let left = kept.saturating_sub(HEADER).min(datagram.data.len());
        if left == datagram.data.len() {
            return Some(datagram);
        }
        let data = Arc::new(datagram.data.get(..left).unwrap_or(&[]).to_vec());
        Some(Datagram { data, ..datagram })
    }
}

/// Shows a datagram between two sockets of this sandbox to whoever listens on loopback: it never was a packet.
pub(super) fn on_loopback(datagram: &Datagram, to: SocketAddr) {
    if !tap::is_listened() || datagram.interface != LOOPBACK_INDEX {
        return;
    }
    let header =
        Header { ttl: datagram.ttl, tos: datagram.tos, ..Header::new(datagram.from.ip(), to.ip(), stack::UDP) };
    let payload = with_header(datagram, to.port());
    for packet in header.packets(&payload, Some(CHECKSUM), usize::from(u16::MAX), 0) {
        tap::loopback(&packet.bytes);
    }
}
