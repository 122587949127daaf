//! A packet socket on one interface: raw Ethernet frames, each with a `struct virtio_net_hdr` before it.

use crate::process;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket, sockopt};
use nix::{setsockopt_impl, sockopt_impl};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// Bytes of frames that the host keeps for us and for the wire: bursts of large frames come at once.
const BUFFER_BYTES: usize = 4 << 20;

sockopt_impl!(
    /// A virtio header stands before each frame, so that checksums and segmentation may be left to the host (packet(7)).
    VirtioHeader, SetOnly, libc::SOL_PACKET, libc::PACKET_VNET_HDR, bool);
sockopt_impl!(
    /// Frames that others of this namespace send are not received (packet(7)).
    IgnoreOutgoing, SetOnly, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, bool);

/// Opens one on the interface with this number.
pub fn open(index: u32) -> Result<OwnedFd, Errno> {
    let failed = |errno: nix::Error| Errno::from_raw_os_error(errno as i32);
    // Nobody else uses the description, so it may be nonblocking (unlike those that come from outside).
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    // It has no protocol before bind(2) names that together with the interface. Until then nothing comes in, and there is nothing to
    // be taken back by bind(2), which would wait until all of Linux's CPUs have passed by.
    let fd = socket(AddressFamily::Packet, SockType::Raw, flags, None).map_err(failed)?;
    setsockopt(&fd, VirtioHeader, &true).map_err(failed)?;
    setsockopt(&fd, IgnoreOutgoing, &true).map_err(failed)?;
    // The larger the better; what the host allows is enough.
    let _ = setsockopt(&fd, sockopt::RcvBufForce, &BUFFER_BYTES)
        .or_else(|_| setsockopt(&fd, sockopt::RcvBuf, &BUFFER_BYTES));
    let _ = setsockopt(&fd, sockopt::SndBufForce, &BUFFER_BYTES)
        .or_else(|_| setsockopt(&fd, sockopt::SndBuf, &BUFFER_BYTES));
    process::bind_packet(fd.as_fd(), index)?;
    Ok(fd)
}
