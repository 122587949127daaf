//! AF_UNIX. Stream and seqpacket sockets are `connected`, datagram sockets `datagram`; `names` leads from an address to a socket.

mod connected;
mod datagram;
mod names;

pub use connected::{Connected, MAX_BACKLOG};
pub use datagram::UnixDatagram;

use super::control::Ucred;
use super::options::Options;
use super::socket::{Kind, Protocol};
use crate::task::Current;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The largest message, in bytes, whatever SO_SNDBUFFORCE allows: what Linux finds room for in one piece and a few pages.
pub(in crate::net) const LARGEST: usize = (4 << 20) + (64 << 10);

/// Who is at the other end.
#[derive(Clone)]
struct Peer {
    creds: Ucred,
    groups: Vec<u32>,
}

impl Peer {
    fn of(current: &Current) -> Self {
        Self { creds: Ucred::of(current), groups: current.creds.groups.clone() }
    }
}

/// A new socket.
pub fn new_socket(kind: Kind) -> (Arc<dyn Protocol>, Arc<Options>) {
    let options = Arc::new(Options::default());
    match kind {
        Kind::Datagram | Kind::Raw => (UnixDatagram::new(options.clone()), options),
        Kind::Stream | Kind::SeqPacket => (Connected::new(kind, options.clone()), options),
    }
}

/// socketpair(2).
pub fn pair(current: &Current, kind: Kind) -> [(Arc<dyn Protocol>, Arc<Options>); 2] {
    let (first, second) = (Arc::new(Options::default()), Arc::new(Options::default()));
    match kind {
        Kind::Datagram | Kind::Raw => {
            let (a, b) = UnixDatagram::pair(first.clone(), second.clone());
            [(a, first), (b, second)]
        }
        Kind::Stream | Kind::SeqPacket => {
            let (a, b) = Connected::pair(current, kind, first.clone(), second.clone());
            [(a, first), (b, second)]
        }
    }
}
