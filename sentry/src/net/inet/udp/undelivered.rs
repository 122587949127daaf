//! Datagrams that did not arrive: whom it is told, and how.

use super::{PORTS, Udp};
use crate::net::NetNs;
use crate::net::inet::errors;
use crate::net::stack::{Cause, Unreachable};
use crate::wait::Events;
use alloc::sync::Arc;
use core::net::SocketAddr;

impl Udp {
    /// An ICMP error about a datagram from `local` to `peer` came, or nobody answers for its next hop. `payload`: what came back of it.
    pub fn undelivered(
        network: &Option<Arc<NetNs>>,
        (local, peer): (SocketAddr, SocketAddr),
        cause: Cause,
        payload: &[u8],
    ) {
        for socket in PORTS.find(NetNs::key(network), local) {
            socket.failed(peer, cause, payload);
        }
    }

    /// Its datagram to `peer` did not arrive.
    pub(super) fn failed(&self, peer: SocketAddr, cause: Cause, payload: &[u8]) {
        let recverr = errors::wanted(&self.levels, peer.ip());
        let connected = self.state.lock().peer == Some(peer);
        // What may pass is for those alone who ask for everything.
        let hard = !matches!(cause.why, Unreachable::TimeExceeded | Unreachable::TooBig(_) | Unreachable::Network);
        let told = if recverr { self.hears(peer) } else { connected && hard };
        if !told {
            return;
        }
        if recverr {
            self.errors.undelivered(peer, cause, payload);
        }
        self.options.set_error(cause.why.errno());
        self.queue.wake(Events::all());
    }

    /// A datagram is too large for the way out.
    pub(super) fn too_large(&self, to: SocketAddr, mtu: usize) {
        if errors::wanted(&self.levels, to.ip()) {
            self.errors.too_large(to, mtu);
            self.queue.wake(Events::all());
        }
    }
}
