//! The sockets there are, as `/proc/net` lists them.

use super::connection;
use super::{Family, Raw, Tcp, Udp};
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
    /// Of a listener, how many may wait.
    pub backlog: Option<usize>,
    /// RCV_SHUTDOWN and SEND_SHUTDOWN of the kernel.
    pub shut: u8,
    /// The interface that it is bound to, or 0.
    pub device: u32,
    /// SO_COOKIE.
    pub cookie: u64,
    /// The number of its network.
    pub network: u32,
}

impl Row {
    /// A socket's row.
    pub(super) fn of(options: &Options, family: Family, local: SocketAddr) -> Self {
        let (uid, inode) = options.identity();
        let (device, cookie) = (options.device().unwrap_or(0), options.cookie());
        let network = NetNs::key(options.network());
        let (peer, state, queued, backlog) = (None, 7, (0, 0), None);
        Self { family, local, peer, state, queued, uid, inode, backlog, shut: 0, device, cookie, network }
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
            let (backlog, shut, device, cookie) = (None, 3, 0, 0);
            let (uid, inode, network) = (0, 0, 0);
            rows.push(Row { family, local, peer, state, queued, uid, inode, backlog, shut, device, cookie, network });
        }
    }
    rows
}

/// Those of raw sockets.
pub fn raw_rows() -> Vec<Row> {
    Raw::all().iter().filter(|socket| !socket.is_echo()).map(|socket| socket.row()).collect()
}

/// Those of sockets that ask for echoes.
pub fn echo_rows() -> Vec<Row> {
    Raw::all().iter().filter(|socket| socket.is_echo()).map(|socket| socket.row()).collect()
}

/// UDP's.
pub fn udp_rows() -> Vec<Row> {
    Udp::all().iter().filter_map(|socket| socket.row()).collect()
}
