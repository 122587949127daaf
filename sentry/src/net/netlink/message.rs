//! Netlink messages (netlink(7)): their header, their attributes, and the answers to one request.

use super::route::{AF_INET, AF_INET6};
use crate::net::NetNs;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use linux_raw_sys::netlink as nl;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of one datagram of a dump (NLMSG_GOODSIZE).
const MAX_PART: usize = 8192 - 256;

/// `struct nlmsghdr`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    pub len: u32,
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    pub port: u32,
}

const _: () = assert!(size_of::<Header>() == size_of::<nl::nlmsghdr>());

/// Answers to one request, one behind the other.
pub struct Reply {
    pub header: Header,
    pub port: u32,
    /// Datagrams: a dump comes in several, as readers have buffers of a few pages only.
    pub parts: Vec<Vec<u8>>,
    pub multi: bool,
    /// What a dump ends with: 0, or an errno below 0.
    pub outcome: i32,
    /// Whose interfaces it tells of.
    pub network: Option<Arc<NetNs>>,
}

/// Appends one attribute (rtnetlink(7)).
pub fn attribute(body: &mut Vec<u8>, kind: u32, data: &[u8]) {
    /// `struct rtattr`: length and type.
    const HEADER: usize = 4;
    body.extend_from_slice(&((HEADER + data.len()) as u16).to_ne_bytes());
    body.extend_from_slice(&(kind as u16).to_ne_bytes());
    body.extend_from_slice(data);
    body.resize(body.len().next_multiple_of(nl::RTA_ALIGNTO as usize), 0);
}

pub fn octets(ip: IpAddr) -> (u8, Vec<u8>) {
    match ip {
        IpAddr::V4(ip) => (AF_INET, ip.octets().to_vec()),
        IpAddr::V6(ip) => (AF_INET6, ip.octets().to_vec()),
    }
}

pub fn with_nul(name: &[u8]) -> Vec<u8> {
    let mut name = name.to_vec();
    name.push(0);
    name
}

/// The value of an attribute.
pub fn find_attribute(attributes: &[u8], kind: u32) -> Option<&[u8]> {
    let mut rest = attributes;
    while let Some(([l0, l1, k0, k1], _)) = rest.split_first_chunk::<4>() {
        let len = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let data = rest.get(4..len)?;
        if u32::from(u16::from_ne_bytes([*k0, *k1])) == kind {
            return Some(data);
        }
        rest = rest.get(len.next_multiple_of(4)..)?;
    }
    None
}

impl Reply {
    pub fn message(&mut self, kind: u16, body: &[u8]) {
        let flags = if self.multi { nl::NLM_F_MULTI as u16 } else { 0 };
        let len = size_of::<Header>() + body.len();
        let header = Header { len: len as u32, kind, flags, sequence: self.header.sequence, port: self.port };
        let mut part = self.parts.pop_if(|part| part.len() + len <= MAX_PART).unwrap_or_default();
        part.extend_from_slice(header.as_bytes());
        part.extend_from_slice(body);
        part.resize(part.len().next_multiple_of(nl::NLMSG_ALIGNTO as usize), 0);
        self.parts.push(part);
    }

    pub fn done(&mut self) {
        self.message(nl::NLMSG_DONE as u16, &self.outcome.to_ne_bytes());
    }

    pub fn error(&mut self, errno: i32) {
        self.multi = false;
        self.parts.clear();
        let mut body = errno.to_ne_bytes().to_vec();
        body.extend_from_slice(self.header.as_bytes());
        self.message(nl::NLMSG_ERROR as u16, &body);
    }
}
