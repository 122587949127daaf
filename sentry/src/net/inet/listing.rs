//! The sockets there are, as `/proc/net` lists them.

use super::connection;
use super::{Family, Tcp, Udp};
use crate::net::NetNs;
use crate::net::options::Options;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// One socket, or a connection that has outlived its own.
pub struct Row {
    /// Of which table.
    pub family: Family,
    /// Where it is bound.
    pub local: SocketAddr,
    /// With whom it is connected.
    pub peer: Option<SocketAddr>,
    /// As the kernel numbers them (include/net/tcp_states.h).
    pub state: u8,
    /// Bytes to be sent; bytes to be read, or connections to be accepted.
    pub queued: (usize, usize),
    /// Whose it is.
    pub uid: u32,
    /// Its inode; 0 where no socket is left.
    pub inode: u64,
    /// The number of its network.
    pub network: u32,
}

impl Row {
    /// A socket's row.
    pub(super) fn of(options: &Options, family: Family, local: SocketAddr) -> Self {
        let (uid, inode) = options.identity();
        Self { family, local, peer: None, state: 7, queued: (0, 0), uid, inode, network: NetNs::key(options.network()) }
    }
}

/// TCP's.
pub fn tcp_rows() -> Vec<Row> {
    let mut rows: Vec<Row> = Tcp::all().iter().filter_map(|socket| socket.row()).collect();
    for connection in connection::list() {
        let (local, peer) = connection.ends();
        if connection.is_orphan() {
            let family = if local.is_ipv4() { Family::V4 } else { Family::V6 };
            let (state, queued) = (connection.state_number(), connection.queued());
            let (peer, queued) = (Some(peer), (queued.1, queued.0));
            rows.push(Row { family, local, peer, state, queued, uid: 0, inode: 0, network: 0 });
        }
    }
    rows
}

/// UDP's.
pub fn udp_rows() -> Vec<Row> {
    Udp::all().iter().filter_map(|socket| socket.row()).collect()
}
