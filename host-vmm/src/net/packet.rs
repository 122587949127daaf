//! A packet socket on one interface: raw Ethernet frames, each with a `struct virtio_net_hdr` before it.

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, bind, setsockopt, socket, sockopt};
use nix::{setsockopt_impl, sockopt_impl};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use std::os::fd::{AsRawFd, OwnedFd};

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
    let here = getifaddrs().map_err(failed)?.find_map(|entry| {
        let address = entry.address?;
        address.as_link_addr().filter(|link| link.ifindex() == index as usize).copied()
    });
    let here = here.ok_or(Errno::NODEV)?;
    // Nobody else uses the description, so it may be nonblocking (unlike those that come from outside).
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll).map_err(failed)?;
    setsockopt(&fd, VirtioHeader, &true).map_err(failed)?;
    setsockopt(&fd, IgnoreOutgoing, &true).map_err(failed)?;
    // The larger the better; what the host allows is enough.
    let _ = setsockopt(&fd, sockopt::RcvBufForce, &BUFFER_BYTES)
        .or_else(|_| setsockopt(&fd, sockopt::RcvBuf, &BUFFER_BYTES));
    let _ = setsockopt(&fd, sockopt::SndBufForce, &BUFFER_BYTES)
        .or_else(|_| setsockopt(&fd, sockopt::SndBuf, &BUFFER_BYTES));
    // The address names the interface and no protocol: that of socket(2) stays.
    bind(fd.as_raw_fd(), &here).map_err(failed)?;
    // What other interfaces received before bind(2).
    let mut nothing = [0_u8; 1];
    while rustix::net::recv(&fd, &mut nothing, RecvFlags::DONTWAIT).is_ok() {}
    Ok(fd)
}
