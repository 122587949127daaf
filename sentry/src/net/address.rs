//! Socket addresses, in and out of user space's form.

use crate::errno::Errno;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use linux_raw_sys::net as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `sa_family` values as they stand in an address.
const UNSPEC: u16 = raw::AF_UNSPEC as u16;
const UNIX: u16 = raw::AF_UNIX as u16;
const INET: u16 = raw::AF_INET as u16;
const INET6: u16 = raw::AF_INET6 as u16;
const NETLINK: u16 = raw::AF_NETLINK as u16;
const PACKET: u16 = raw::AF_PACKET as u16;

/// Bytes of an address at most (`struct sockaddr_storage`).
pub const MAX_ADDRESS: usize = 128;
/// Bytes of `sun_path`.
const SUN_PATH: usize = 108;
/// `sockaddr_in6` without its scope, which old programs leave out (RFC 2133).
const OLD_INET6: usize = 24;

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct InetAddress {
    family: u16,
    port: [u8; 2],
    address: [u8; 4],
    zero: [u8; 8],
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Inet6Address {
    family: u16,
    port: [u8; 2],
    flow: u32,
    address: [u8; 16],
    scope: u32,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct NetlinkAddress {
    family: u16,
    pad: u16,
    pid: u32,
    groups: u32,
}

/// `struct sockaddr_ll`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct PacketAddress {
    family: u16,
    protocol: [u8; 2],
    interface: u32,
    hardware: u16,
    kind: u8,
    len: u8,
    address: [u8; 8],
}

/// An address of the link layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkAddress {
    /// ETH_P_*.
    pub protocol: u16,
    /// Number of the interface.
    pub interface: u32,
    /// ARPHRD_*.
    pub hardware: u16,
    /// PACKET_*.
    pub kind: u8,
    /// Bytes of `address` that count.
    pub len: u8,
    /// Hardware address.
    pub address: [u8; 8],
    /// Shown whole, not only with the bytes that count.
    pub padded: bool,
}

const _: () = {
    assert!(size_of::<PacketAddress>() == size_of::<linux_raw_sys::if_packet::sockaddr_ll>());
    assert!(size_of::<InetAddress>() == size_of::<raw::sockaddr_in>());
    assert!(size_of::<Inet6Address>() == size_of::<raw::sockaddr_in6>());
    assert!(size_of::<NetlinkAddress>() == size_of::<linux_raw_sys::netlink::sockaddr_nl>());
    assert!(size_of::<raw::sockaddr_un>() == SUN_PATH + 2);
};

/// A unix socket's name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum UnixName {
    /// Not bound.
    #[default]
    Unnamed,
    /// A path, as it was given.
    Path(Vec<u8>),
    /// In the abstract name space.
    Abstract(Vec<u8>),
}

/// A socket address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// AF_UNSPEC: dissolves an association.
    Unspecified,
    /// AF_UNIX.
    Unix(UnixName),
    /// AF_INET, and AF_INET6 (where `SocketAddr::V6` may hold a v4-mapped address).
    Inet(SocketAddr),
    /// AF_NETLINK.
    Netlink {
        /// Port.
        pid: u32,
        /// Multicast groups.
        groups: u32,
    },
    /// AF_PACKET.
    Packet(LinkAddress),
    /// A family that no socket here has.
    Other(u16),
}

impl Address {
    /// Parses what user space gave. EINVAL where it is too short for its family.
    pub fn parse(bytes: &[u8]) -> Result<Self, Errno> {
        let (family, rest) = bytes.split_at_checked(2).ok_or(Errno::EINVAL)?;
        let family = u16::from_ne_bytes([family[0], family[1]]);
        Ok(match family {
            UNSPEC => Self::Unspecified,
            UNIX => {
                if rest.len() > SUN_PATH {
                    return Err(Errno::EINVAL);
                }
                Self::Unix(match rest.split_first() {
                    None => UnixName::Unnamed,
                    Some((0, name)) => UnixName::Abstract(name.to_vec()),
                    Some(_) => {
                        let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
                        UnixName::Path(rest[..end].to_vec())
                    }
                })
            }
            INET => {
                let (address, _) = InetAddress::read_from_prefix(bytes).map_err(|_| Errno::EINVAL)?;
                let ip = IpAddr::V4(Ipv4Addr::from(address.address));
                Self::Inet(SocketAddr::new(ip, u16::from_be_bytes(address.port)))
            }
            INET6 => {
                let mut padded = [0; size_of::<Inet6Address>()];
                if bytes.len() < OLD_INET6 {
                    return Err(Errno::EINVAL);
                }
                let len = bytes.len().min(padded.len());
                padded[..len].copy_from_slice(&bytes[..len]);
                let address = Inet6Address::read_from_bytes(&padded).map_err(|_| Errno::EINVAL)?;
                let ip = Ipv6Addr::from(address.address);
                let port = u16::from_be_bytes(address.port);
                Self::Inet(SocketAddr::V6(SocketAddrV6::new(ip, port, address.flow, address.scope)))
            }
            NETLINK => {
                let (address, _) = NetlinkAddress::read_from_prefix(bytes).map_err(|_| Errno::EINVAL)?;
                Self::Netlink { pid: address.pid, groups: address.groups }
            }
            PACKET => {
                let (address, _) = PacketAddress::read_from_prefix(bytes).map_err(|_| Errno::EINVAL)?;
                Self::Packet(LinkAddress {
                    protocol: u16::from_be_bytes(address.protocol),
                    interface: address.interface,
                    hardware: address.hardware,
                    kind: address.kind,
                    len: address.len,
                    address: address.address,
                    padded: true,
                })
            }
            other => Self::Other(other),
        })
    }

    /// User space's form.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Unspecified => UNSPEC.to_ne_bytes().to_vec(),
            Self::Unix(name) => {
                let mut bytes = UNIX.to_ne_bytes().to_vec();
                match name {
                    UnixName::Unnamed => {}
                    UnixName::Path(path) => {
                        bytes.extend_from_slice(path);
                        if path.len() < SUN_PATH {
                            bytes.push(0);
                        }
                    }
                    UnixName::Abstract(name) => {
                        bytes.push(0);
                        bytes.extend_from_slice(name);
                    }
                }
                bytes
            }
            Self::Inet(SocketAddr::V4(address)) => InetAddress {
                family: INET,
                port: address.port().to_be_bytes(),
                address: address.ip().octets(),
                zero: [0; 8],
            }
            .as_bytes()
            .to_vec(),
            Self::Inet(SocketAddr::V6(address)) => Inet6Address {
                family: INET6,
                port: address.port().to_be_bytes(),
                flow: address.flowinfo(),
                address: address.ip().octets(),
                scope: address.scope_id(),
            }
            .as_bytes()
            .to_vec(),
            Self::Netlink { pid, groups } => {
                NetlinkAddress { family: NETLINK, pad: 0, pid: *pid, groups: *groups }.as_bytes().to_vec()
            }
            Self::Packet(address) => {
                let whole = PacketAddress {
                    family: PACKET,
                    protocol: address.protocol.to_be_bytes(),
                    interface: address.interface,
                    hardware: address.hardware,
                    kind: address.kind,
                    len: address.len,
                    address: address.address,
                };
                let counts = size_of::<PacketAddress>() - address.address.len() + usize::from(address.len);
                let len = if address.padded { size_of::<PacketAddress>() } else { counts };
                whole.as_bytes().get(..len).unwrap_or(whole.as_bytes()).to_vec()
            }
            Self::Other(family) => family.to_ne_bytes().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, UnixName};
    use crate::errno::Errno;

    #[test]
    fn addresses_survive_the_way_in_and_out() {
        let inet = Address::Inet("127.0.0.1:8080".parse().unwrap());
        assert_eq!(Address::parse(&inet.encode()), Ok(inet));
        let inet6 = Address::Inet("[::1]:80".parse().unwrap());
        assert_eq!(Address::parse(&inet6.encode()), Ok(inet6));
        for name in [UnixName::Unnamed, UnixName::Path(b"/tmp/x".to_vec()), UnixName::Abstract(b"a\0b".to_vec())] {
            let address = Address::Unix(name);
            assert_eq!(Address::parse(&address.encode()), Ok(address));
        }
    }

    #[test]
    fn short_addresses_are_invalid() {
        assert_eq!(Address::parse(&[1]), Err(Errno::EINVAL));
        assert_eq!(Address::parse(&[2, 0, 0, 80, 127]), Err(Errno::EINVAL));
        assert_eq!(Address::parse(&[1; 200]), Ok(Address::Other(0x0101)));
    }
}
