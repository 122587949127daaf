//! rtnetlink(7), as much as taking a network over needs: dumps of links, addresses, routes and neighbours, and removing an
//! address. Messages are read field by field at the kernel's own offsets, so that a short one is no more than a missing value.

use linux_raw_sys::netlink as nl;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::mem::size_of;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

/// `struct rtattr`: length and type.
const ATTRIBUTE: usize = 4;

/// A socket that talks to the kernel about its network.
#[derive(Debug)]
pub struct Route {
    socket: OwnedFd,
    sequence: u32,
}

/// One message of a dump: its fixed part and its attributes.
#[derive(Clone, Debug)]
pub struct Message {
    fixed: Vec<u8>,
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Message {
    /// A byte of the fixed part.
    pub fn u8(&self, offset: usize) -> u8 {
        self.fixed.get(offset).copied().unwrap_or(0)
    }

    /// Two bytes of it.
    pub fn u16(&self, offset: usize) -> u16 {
        self.fixed.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u16::from_ne_bytes(*bytes))
    }

    /// Four bytes of it.
    pub fn u32(&self, offset: usize) -> u32 {
        self.fixed.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    }

    /// An attribute's value.
    pub fn attribute(&self, kind: u32) -> Option<&[u8]> {
        self.attributes.iter().find(|(own, _)| u32::from(*own) == kind).map(|(_, value)| value.as_slice())
    }

    /// An attribute that is a number.
    pub fn number(&self, kind: u32) -> Option<u32> {
        self.attribute(kind)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
    }

    /// An attribute that is an address.
    pub fn address(&self, kind: u32) -> Option<IpAddr> {
        let value = self.attribute(kind)?;
        match value.len() {
            4 => value.first_chunk::<4>().map(|octets| IpAddr::from(*octets)),
            16 => value.first_chunk::<16>().map(|octets| IpAddr::from(*octets)),
            _ => None,
        }
    }

    /// An attribute that is an Ethernet address.
    pub fn mac(&self, kind: u32) -> Option<[u8; 6]> {
        self.attribute(kind).and_then(|value| value.try_into().ok())
    }

    /// A string, without its NUL.
    pub fn string(&self, kind: u32) -> Option<Vec<u8>> {
        let value = self.attribute(kind)?;
        value.split(|byte| *byte == 0).next().map(<[u8]>::to_vec)
    }
}

impl Route {
    /// Opens one in the caller's network namespace.
    pub fn open() -> Result<Self, Errno> {
        // NETLINK_ROUTE is protocol 0.
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// All objects of a kind (`RTM_GETLINK` and so on); `fixed` is the length of their fixed part.
    pub fn dump(&mut self, request: u32, fixed: usize) -> Result<Vec<Message>, Errno> {
        self.send(request, nl::NLM_F_REQUEST | nl::NLM_F_DUMP, &vec![0; fixed])?;
        let mut messages = Vec::new();
        self.answers(|kind, body| {
            let Some((own, attributes)) = body.split_at_checked(fixed) else { return };
            if u32::from(kind) >= nl::NLMSG_MIN_TYPE {
                messages.push(Message { fixed: own.to_vec(), attributes: parse(attributes) });
            }
        })?;
        Ok(messages)
    }

    /// Removes what `message` of a dump of addresses is about.
    pub fn remove_address(&mut self, message: &Message) -> Result<(), Errno> {
        let mut body = message.fixed.clone();
        for kind in [nl::IFA_LOCAL as u32, nl::IFA_ADDRESS as u32] {
            if let Some(value) = message.attribute(kind) {
                body.extend_from_slice(&((ATTRIBUTE + value.len()) as u16).to_ne_bytes());
                body.extend_from_slice(&(kind as u16).to_ne_bytes());
                body.extend_from_slice(value);
            }
        }
        self.send(nl::RTM_DELADDR as u32, nl::NLM_F_REQUEST | nl::NLM_F_ACK, &body)?;
        self.answers(|_, _| {})
    }

    fn send(&mut self, kind: u32, flags: u32, body: &[u8]) -> Result<(), Errno> {
        self.sequence += 1;
        let mut bytes = Vec::with_capacity(size_of::<nl::nlmsghdr>() + body.len());
        bytes.extend_from_slice(&((size_of::<nl::nlmsghdr>() + body.len()) as u32).to_ne_bytes());
        bytes.extend_from_slice(&(kind as u16).to_ne_bytes());
        bytes.extend_from_slice(&(flags as u16).to_ne_bytes());
        bytes.extend_from_slice(&self.sequence.to_ne_bytes());
        bytes.extend_from_slice(&0_u32.to_ne_bytes());
        bytes.extend_from_slice(body);
        rustix::net::sendto(&self.socket, &bytes, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).map(drop)
    }

    /// Takes answers until the last; `each` gets the kind and the body.
    fn answers(&self, mut each: impl FnMut(u16, &[u8])) -> Result<(), Errno> {
        // Enough for what the kernel puts into one message of a dump (netlink(7): 8 KiB, 32 KiB since 4.9).
        let mut buffer = vec![0; 64 << 10];
        loop {
            let (received, _) = rustix::net::recv(&self.socket, buffer.as_mut_slice(), RecvFlags::empty())?;
            let mut rest = buffer.get(..received).unwrap_or(&[]);
            while let Some(header) = rest.first_chunk::<16>() {
                let [l0, l1, l2, l3, k0, k1, _, _, s0, s1, s2, s3, ..] = *header;
                let len = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
                let (kind, sequence) = (u16::from_ne_bytes([k0, k1]), u32::from_ne_bytes([s0, s1, s2, s3]));
                let body = rest.get(header.len()..len).ok_or(Errno::PROTO)?;
                if sequence == self.sequence {
                    match u32::from(kind) {
                        nl::NLMSG_DONE => return Ok(()),
                        nl::NLMSG_ERROR => {
                            let errno = body.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
                            return if errno == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(-errno)) };
                        }
                        _ => each(kind, body),
                    }
                }
                rest = rest.get(len.next_multiple_of(nl::NLMSG_ALIGNTO as usize)..).unwrap_or(&[]);
            }
        }
    }
}

fn parse(mut rest: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut attributes = Vec::new();
    while let Some([l0, l1, k0, k1]) = rest.first_chunk::<ATTRIBUTE>() {
        let len = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let Some(value) = rest.get(ATTRIBUTE..len) else { break };
        // NLA_F_NESTED and NLA_F_NET_BYTEORDER are not part of the number.
        attributes.push((u16::from_ne_bytes([*k0, *k1]) & 0x3fff, value.to_vec()));
        rest = rest.get(len.next_multiple_of(nl::RTA_ALIGNTO as usize)..).unwrap_or(&[]);
    }
    attributes
}

#[cfg(test)]
mod tests {
    use super::{Message, Route, parse};
    use linux_raw_sys::netlink as nl;
    use std::mem::offset_of;

    #[test]
    fn attributes_cut_short_are_left_out() {
        let bytes = [8, 0, 3, 0, b'l', b'o', 0, 0, 12, 0, 4, 0, 1];
        assert_eq!(parse(&bytes), [(3, b"lo\0\0".to_vec())]);
        let message = Message { fixed: vec![2], attributes: parse(&bytes) };
        assert_eq!(message.string(3), Some(b"lo".to_vec()));
        assert_eq!((message.u8(0), message.u32(0), message.number(4)), (2, 0, None));
    }

    #[test]
    fn the_loopback_interface_is_in_the_dump() {
        let links = Route::open().and_then(|mut route| route.dump(nl::RTM_GETLINK as u32, size_of::<nl::ifinfomsg>()));
        let links = links.expect("every network namespace has links");
        let lo = links.iter().find(|link| link.string(nl::IFLA_IFNAME as u32).as_deref() == Some(b"lo"));
        assert_eq!(lo.map(|link| link.u32(offset_of!(nl::ifinfomsg, ifi_index))), Some(1));
    }
}
