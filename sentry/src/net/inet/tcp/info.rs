//! What a TCP socket says about itself: TCP_INFO and the like.

use super::{PORTS, Role, Tcp};
use crate::net::inet::end::End;
use crate::net::inet::listing::Row;
use crate::net::socket::Protocol;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::mem::offset_of;
use linux_raw_sys::net as raw;

/// Segment size that a connection over the loopback device has.
const LOOPBACK_SEGMENT: u32 = 65483;

impl Tcp {
    /// Bytes of a segment at most.
    pub(super) fn segment(&self) -> u32 {
        match self.end() {
            Some(End::Remote(connection)) => {
                let headers = if connection.ends().1.is_ipv4() { 40 } else { 60 };
                (connection.mtu() as u32).saturating_sub(headers)
            }
            _ => LOOPBACK_SEGMENT,
        }
    }

    /// All that are bound.
    pub fn all() -> Vec<Arc<Self>> {
        PORTS.all()
    }

    /// Its row in `/proc/net/tcp`.
    pub fn row(&self) -> Option<Row> {
        let (local, peer, pending, backlog) = {
            let state = self.state.lock();
            let local = state.binding.as_ref()?.local;
            match &state.role {
                Role::Connected { peer, .. } => (local, Some(*peer), 0, None),
                Role::Listening { pending, backlog } => (local, None, pending.len(), Some(*backlog)),
                // One that does nothing is in no table of the kernel's.
                Role::Idle | Role::Refused => return None,
            }
        };
        let queued = self.end().map_or((0, pending), |end| (end.unacknowledged_bytes(), end.readable_bytes()));
        Some(Row { peer, backlog, state: self.state_number(), queued, ..Row::of(&self.options, self.family, local) })
    }

    /// Its state, as the kernel numbers them (include/net/tcp_states.h).
    pub fn state_number(&self) -> u8 {
        const ESTABLISHED: u8 = 1;
        const CLOSE: u8 = 7;
        const LISTEN: u8 = 10;
        match self.end() {
            Some(End::Remote(connection)) => connection.state_number(),
            Some(end) if !end.is_over() => ESTABLISHED,
            _ if self.listening() => LISTEN,
            _ => CLOSE,
        }
    }

    pub(super) fn info(&self) -> Vec<u8> {
        let state = self.state_number();
        let mtu = match self.end() {
            Some(End::Remote(connection)) => connection.mtu() as u32,
            _ => 65535,
        };
        let mut info = vec![0; size_of::<raw::tcp_info>()];
        let mut put = |offset: usize, value: u32| {
            if let Some(field) = info.get_mut(offset..offset + 4) {
                field.copy_from_slice(&value.to_ne_bytes());
            }
        };
        put(offset_of!(raw::tcp_info, tcpi_rto), 201_000);
        let segment = self.segment();
        put(offset_of!(raw::tcp_info, tcpi_snd_mss), segment);
        put(offset_of!(raw::tcp_info, tcpi_rcv_mss), segment);
        put(offset_of!(raw::tcp_info, tcpi_pmtu), mtu);
        put(offset_of!(raw::tcp_info, tcpi_rtt), 20);
        put(offset_of!(raw::tcp_info, tcpi_snd_cwnd), 10);
        if let Some(first) = info.get_mut(offset_of!(raw::tcp_info, tcpi_state)) {
            *first = state;
        }
        info
    }
}
