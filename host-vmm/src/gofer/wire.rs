//! Messages between the sandbox process and the gofer: one call and one answer a datagram, over SOCK_SEQPACKET.

use linker::request::Op;
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a message's data at most. Below the socket's send buffer, so that one message always fits.
pub const MAX_DATA: usize = 64 << 10;
/// Bytes of a message at most.
pub const MAX_MESSAGE: usize = MAX_DATA + size_of::<CallHeader>();

/// Instead of an `Op`: there may be something on the control socket. Whoever says so says no more than that, and need not be believed.
pub const LOOK: u16 = u16::MAX;

/// Head of a call; `input` follows.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CallHeader {
    /// Comes back in the answer.
    pub id: u64,
    /// Whose reply socket the answer goes to.
    pub client: u32,
    /// Node or mount.
    pub handle: u32,
    /// From the request.
    pub offset: u64,
    /// From the request.
    pub arg: u64,
    /// Bytes the guest has room for.
    pub output_len: u32,
    /// `Op`.
    pub op: u16,
    /// Explicit padding.
    pub pad: u16,
}

/// Head of an answer; data follow.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AnswerHeader {
    /// From the call.
    pub id: u64,
    /// Zero or more: what the op returns. Negative: an errno.
    pub result: i64,
}

/// A call, on its way from a request.
#[derive(Clone, Debug)]
pub struct Call {
    /// `Op`.
    pub op: u16,
    /// Node or mount.
    pub handle: u32,
    /// From the request.
    pub offset: u64,
    /// From the request.
    pub arg: u64,
    /// Bytes the guest has room for.
    pub output_len: u32,
    /// The request's input.
    pub input: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// What the op returns.
    pub result: Result<u64, Errno>,
    /// Its output.
    pub data: Vec<u8>,
    /// The file it donates.
    pub file: Option<OwnedFd>,
}

/// Whether this op's success comes with an open file.
pub fn donates(op: u16) -> bool {
    [Op::Open, Op::Create, Op::Connect].into_iter().any(|donor| donor as u16 == op)
}
