//! Sockets.
//!
//! `Socket` is the file; `Protocol` is the seam behind it, which `unix`, `inet`, `packet` and `netlink` implement, and `host` in the place of
//! `inet` where sockets are to be the host's. `stream` carries bytes
//! between two connected sockets, for unix streams and loopback TCP alike; `control` is what travels with them; `table` lists all there are; `interfaces` and
//! `inet::routes` say what network there is, `stack` speaks with what lies beyond loopback. Locks: `Rank::Socket` (a socket's or a connection side's state) before
//! `Rank::SocketTable` (names and ports).

pub mod address;
pub mod control;
pub mod filter;
pub mod host;
pub mod inet;
pub mod interfaces;
pub mod namespace;
mod netlink;
pub mod options;
pub mod packet;
pub mod socket;
pub mod stack;
pub mod stream;
pub mod table;
#[cfg(test)]
mod tests;
pub mod unix;

pub use address::{Address, MAX_ADDRESS};
pub use namespace::NetNs;
pub use netlink::Mailbox;
pub use socket::{Kind, MessageFlags, Outgoing, Protocol, Received, Shutdown, Socket};

use crate::errno::Errno;
use crate::fs::OpenFile;
use crate::task::Current;
use alloc::sync::Arc;
use linux_raw_sys::net as raw;

/// The type in socket(2)'s second argument: EINVAL for no type at all, ESOCKTNOSUPPORT for one that is not served.
pub fn kind(number: u32) -> Result<Kind, Errno> {
    const STREAM: u32 = raw::SOCK_STREAM;
    const DATAGRAM: u32 = raw::SOCK_DGRAM;
    const RAW: u32 = raw::SOCK_RAW;
    const SEQPACKET: u32 = raw::SOCK_SEQPACKET;
    /// SOCK_MAX of the kernel: types from here on are no types.
    const END: u32 = 11;
    match number {
        STREAM => Ok(Kind::Stream),
        DATAGRAM => Ok(Kind::Datagram),
        RAW => Ok(Kind::Raw),
        SEQPACKET => Ok(Kind::SeqPacket),
        END.. => Err(Errno::EINVAL),
        _ => Err(Errno::ESOCKTNOSUPPORT),
    }
}

/// socket(2).
pub fn open(
    current: &Current,
    domain: u32,
    kind: Kind,
    protocol: u32,
    nonblocking: bool,
) -> Result<Arc<OpenFile>, Errno> {
    match domain {
        raw::AF_UNIX => {
            if protocol != 0 && protocol != raw::AF_UNIX {
                return Err(Errno::EPROTONOSUPPORT);
            }
            // SOCK_RAW is another name for SOCK_DGRAM here.
            let kind = if kind == Kind::Raw { Kind::Datagram } else { kind };
            let (ops, options) = unix::new_socket(kind);
            Ok(Socket::open(current, (domain, kind, 0), options, ops, nonblocking))
        }
        raw::AF_INET | raw::AF_INET6 => {
            let family = if domain == raw::AF_INET { inet::Family::V4 } else { inet::Family::V6 };
            // A network that a program made for itself has nothing of the host's.
            let outside = host::is_enabled() && NetNs::of(current).is_none();
            let new = if outside { host::new_socket } else { inet::new_socket };
            let (ops, options, protocol) = new(current, family, kind, protocol)?;
            Ok(Socket::open(current, (domain, kind, protocol), options, ops, nonblocking))
        }
        // With the host's sockets there are no frames here to see.
        raw::AF_PACKET if !host::is_enabled() || NetNs::of(current).is_some() => {
            let (ops, options) = packet::new_socket(current, kind, protocol)?;
            Ok(Socket::open(current, (domain, kind, protocol), options, ops, nonblocking))
        }
        raw::AF_NETLINK => {
            if kind != Kind::Raw && kind != Kind::Datagram {
                return Err(Errno::ESOCKTNOSUPPORT);
            }
            let (ops, options) = netlink::new_socket(current, protocol)?;
            Ok(Socket::open(current, (domain, kind, protocol), options, ops, nonblocking))
        }
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// socketpair(2).
pub fn open_pair(
    current: &Current,
    domain: u32,
    kind: Kind,
    protocol: u32,
    nonblocking: bool,
) -> Result<[Arc<OpenFile>; 2], Errno> {
    match domain {
        raw::AF_UNIX if protocol == 0 || protocol == raw::AF_UNIX => {
            let kind = if kind == Kind::Raw { Kind::Datagram } else { kind };
            Ok(unix::pair(current, kind)
                .map(|(ops, options)| Socket::open(current, (domain, kind, 0), options, ops, nonblocking)))
        }
        raw::AF_UNIX => Err(Errno::EPROTONOSUPPORT),
        _ => {
            drop(open(current, domain, kind, protocol, nonblocking)?);
            Err(Errno::EOPNOTSUPP)
        }
    }
}
