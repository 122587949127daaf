//! IP packets: taking headers apart and putting them together.

use super::checksum;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use linux_raw_sys::net as raw;

/// Protocol numbers.
pub const ICMP: u8 = raw::IPPROTO_ICMP as u8;
/// TCP.
pub const TCP: u8 = raw::IPPROTO_TCP as u8;
/// UDP.
pub const UDP: u8 = raw::IPPROTO_UDP as u8;
/// ICMPv6.
pub const ICMP6: u8 = raw::IPPROTO_ICMPV6 as u8;
const FRAGMENT: u8 = raw::IPPROTO_FRAGMENT as u8;
const HOP_BY_HOP: u8 = raw::IPPROTO_HOPOPTS as u8;
const ROUTING: u8 = raw::IPPROTO_ROUTING as u8;
const DESTINATION: u8 = raw::IPPROTO_DSTOPTS as u8;

/// Bytes of an IPv4 header without options, and of an IPv6 header.
pub const HEADER4: usize = 20;
/// IPv6.
pub const HEADER6: usize = 40;
/// Bytes of an IPv6 fragment header.
const FRAGMENT_HEADER: usize = 8;
/// Hop limit where nobody says otherwise.
pub const DEFAULT_TTL: u8 = 64;
/// IPv4's flags, beside the fragment offset.
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;

/// A packet to send, from its IP header on.
#[derive(Debug, Default)]
pub struct Packet {
    /// The packet.
    pub bytes: Vec<u8>,
    /// A checksum that the host completes: where its bytes begin, and where it goes from there on.
    pub checksum: Option<(u16, u16)>,
    /// Several segments in one: `FrameHeader::GSO_*`, payload bytes of each, bytes of all headers.
    pub segments: Option<(u8, u16, u16)>,
}

/// What a fragment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Identification.
    pub id: u32,
    /// Byte offset of the payload.
    pub offset: usize,
    /// More follow.
    pub more: bool,
}

/// A packet that came, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Parsed<'a> {
    /// All of it, without what stands behind.
    pub packet: &'a [u8],
    /// Source.
    pub from: IpAddr,
    /// Destination.
    pub to: IpAddr,
    /// What the payload is.
    pub protocol: u8,
    /// Time to live, hop limit.
    pub ttl: u8,
    /// Type of service, traffic class.
    pub tos: u8,
    /// Behind all headers of IP.
    pub payload: &'a [u8],
    /// Where it is only a part.
    pub fragment: Option<Fragment>,
}

impl<'a> Parsed<'a> {
    /// Takes a packet apart; `None` where it is malformed.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => Self::v4(bytes),
            6 => Self::v6(bytes),
            _ => None,
        }
    }

    fn v4(bytes: &'a [u8]) -> Option<Self> {
        let head = bytes.first_chunk::<HEADER4>()?;
        let [first, tos, l0, l1, i0, i1, f0, f1, ttl, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = *head;
        let header = usize::from(first & 15) * 4;
        let packet = bytes.get(..usize::from(u16::from_be_bytes([l0, l1])))?;
        if header < HEADER4 || checksum::sum(packet.get(..header)?) != 0xffff {
            return None;
        }
        let flags = u16::from_be_bytes([f0, f1]);
        let (offset, more) = (usize::from(flags & OFFSET_MASK) * 8, flags & MORE_FRAGMENTS != 0);
        let id = u32::from(u16::from_be_bytes([i0, i1]));
        Some(Self {
            packet,
            from: Ipv4Addr::new(s0, s1, s2, s3).into(),
            to: Ipv4Addr::new(d0, d1, d2, d3).into(),
            protocol,
            ttl,
            tos,
            payload: packet.get(header..)?,
            fragment: (offset != 0 || more).then_some(Fragment { id, offset, more }),
        })
    }

    fn v6(bytes: &'a [u8]) -> Option<Self> {
        let head = bytes.first_chunk::<HEADER6>()?;
        let (fixed, addresses) = head.split_first_chunk::<8>()?;
        let (from, to) = addresses.split_first_chunk::<16>()?;
        let to = to.first_chunk::<16>()?;
        let [b0, b1, _, _, l0, l1, mut protocol, ttl] = *fixed;
        let packet = bytes.get(..HEADER6 + usize::from(u16::from_be_bytes([l0, l1])))?;
        let mut payload = packet.get(HEADER6..)?;
        let mut fragment = None;
        loop {
            let skip = match protocol {
                HOP_BY_HOP | ROUTING | DESTINATION => (usize::from(*payload.get(1)?) + 1) * 8,
                FRAGMENT => {
                    let [_, _, o0, o1, i0, i1, i2, i3] = *payload.first_chunk::<FRAGMENT_HEADER>()?;
                    let word = u16::from_be_bytes([o0, o1]);
                    let id = u32::from_be_bytes([i0, i1, i2, i3]);
                    fragment = Some(Fragment { id, offset: usize::from(word & !7), more: word & 1 != 0 });
                    FRAGMENT_HEADER
                }
                _ => break,
            };
            protocol = *payload.first()?;
            payload = payload.get(skip..)?;
            if fragment.is_some() {
                break;
            }
        }
        Some(Self {
            packet,
            from: Ipv6Addr::from(*from).into(),
            to: Ipv6Addr::from(*to).into(),
            protocol,
            ttl,
            tos: b0 << 4 | b1 >> 4,
            payload,
            fragment,
        })
    }
}

/// Where a packet goes, and how.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Source.
    pub from: IpAddr,
    /// Destination; of the same family.
    pub to: IpAddr,
    /// What the payload is.
    pub protocol: u8,
    /// Time to live, hop limit.
    pub ttl: u8,
    /// Type of service, traffic class.
    pub tos: u8,
    /// Nobody on the way may cut it up.
    pub whole: bool,
}

impl Header {
    /// With the usual time to live.
    pub fn new(from: IpAddr, to: IpAddr, protocol: u8) -> Self {
        Self { from, to, protocol, ttl: DEFAULT_TTL, tos: 0, whole: false }
    }

    /// Bytes of it.
    pub fn header_bytes(&self) -> usize {
        if self.to.is_ipv4() { HEADER4 } else { HEADER6 }
    }

    /// Appends the header of a packet with `payload` bytes.
    pub fn put(&self, bytes: &mut Vec<u8>, payload: usize) {
        self.put_part(bytes, payload, None);
    }

    fn put_part(&self, bytes: &mut Vec<u8>, payload: usize, part: Option<Fragment>) {
        match (self.from, self.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let flags = part.map_or(if self.whole { DONT_FRAGMENT } else { 0 }, |part| {
                    (part.offset / 8) as u16 & OFFSET_MASK | if part.more { MORE_FRAGMENTS } else { 0 }
                });
                let id = part.map_or(0, |part| part.id as u16);
                let start = bytes.len();
                bytes.extend_from_slice(&[0x45, self.tos]);
                bytes.extend_from_slice(&((HEADER4 + payload) as u16).to_be_bytes());
                bytes.extend_from_slice(&id.to_be_bytes());
                bytes.extend_from_slice(&flags.to_be_bytes());
                bytes.extend_from_slice(&[self.ttl, self.protocol, 0, 0]);
                bytes.extend_from_slice(&from.octets());
                bytes.extend_from_slice(&to.octets());
                let sum = !checksum::sum(bytes.get(start..).unwrap_or(&[]));
                set_u16(bytes, start + 10, sum);
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let extra = if part.is_some() { FRAGMENT_HEADER } else { 0 };
                bytes.extend_from_slice(&[0x60 | self.tos >> 4, self.tos << 4, 0, 0]);
                bytes.extend_from_slice(&((extra + payload) as u16).to_be_bytes());
                bytes.extend_from_slice(&[if part.is_some() { FRAGMENT } else { self.protocol }, self.ttl]);
                bytes.extend_from_slice(&from.octets());
                bytes.extend_from_slice(&to.octets());
                if let Some(part) = part {
                    let word = part.offset as u16 & !7 | u16::from(part.more);
                    bytes.extend_from_slice(&[self.protocol, 0]);
                    bytes.extend_from_slice(&word.to_be_bytes());
                    bytes.extend_from_slice(&part.id.to_be_bytes());
                }
            }
            // Both are of one family: whoever chose the source saw to that.
            _ => {}
        }
    }

    /// The packet with this payload, its checksum at `offset` left to the host where it fits in one; otherwise in parts of
    /// at most `mtu` bytes, complete.
    pub fn packets(&self, payload: &[u8], offset: Option<u16>, mtu: usize, id: u32) -> Vec<Packet> {
        let len = self.header_bytes() + payload.len();
        if len <= mtu {
            let mut bytes = Vec::with_capacity(len);
            self.put(&mut bytes, payload.len());
            bytes.extend_from_slice(payload);
            let start = self.header_bytes() as u16;
            if let Some(offset) = offset {
                let pseudo = checksum::pseudo_header(self.from, self.to, self.protocol, payload.len());
                set_u16(&mut bytes, usize::from(start + offset), pseudo);
            }
            return [Packet { bytes, checksum: offset.map(|offset| (start, offset)), segments: None }].into();
        }
        let mut payload = payload.to_vec();
        if let Some(offset) = offset {
            set_u16(&mut payload, usize::from(offset), 0);
            let pseudo = checksum::pseudo_header(self.from, self.to, self.protocol, payload.len());
            let sum = !checksum::add(&[pseudo, checksum::sum(&payload)]);
            // UDP: 0 would mean that there is none (RFC 768).
            set_u16(&mut payload, usize::from(offset), if sum == 0 { 0xffff } else { sum });
        }
        let headers = self.header_bytes() + if self.to.is_ipv4() { 0 } else { FRAGMENT_HEADER };
        let step = (mtu.saturating_sub(headers) & !7).max(8);
        let mut packets = Vec::new();
        for (index, chunk) in payload.chunks(step).enumerate() {
            let offset = index * step;
            let mut bytes = Vec::with_capacity(headers + chunk.len());
            let more = offset + chunk.len() < payload.len();
            self.put_part(&mut bytes, chunk.len(), Some(Fragment { id, offset, more }));
            bytes.extend_from_slice(chunk);
            packets.push(Packet { bytes, checksum: None, segments: None });
        }
        packets
    }
}

/// Writes a number in network order, if it fits.
pub fn set_u16(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// Reads a number in network order; 0 where there is none.
pub fn get_u16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |pair| u16::from_be_bytes(*pair))
}

#[cfg(test)]
mod tests {
    use super::{Fragment, Header, Parsed, UDP};
    use std::vec;
    use std::vec::Vec;

    fn headers() -> [Header; 2] {
        let v4 = Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), UDP);
        let v6 = Header::new("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap(), UDP);
        [v4, Header { tos: 0x2e, ttl: 3, ..v6 }]
    }

    #[test]
    fn what_is_put_together_comes_apart_again() {
        for header in headers() {
            let packets = header.packets(&[7; 100], Some(6), 1500, 1);
            let [packet] = packets.as_slice() else { panic!("one packet") };
            let parsed = Parsed::new(&packet.bytes).unwrap();
            assert_eq!((parsed.from, parsed.to, parsed.protocol), (header.from, header.to, UDP));
            assert_eq!((parsed.ttl, parsed.tos, parsed.payload.len()), (header.ttl, header.tos, 100));
            assert_eq!(packet.checksum, Some((header.header_bytes() as u16, 6)));
            for len in 0..packet.bytes.len() {
                assert!(Parsed::new(&packet.bytes[..len]).is_none(), "{len}");
            }
        }
    }

    #[test]
    fn a_large_payload_goes_in_parts_that_say_where_they_belong() {
        for header in headers() {
            let payload: Vec<u8> = (0..3000_u32).map(|n| n as u8).collect();
            let mut whole = vec![0; 3000];
            let packets = header.packets(&payload, None, 1400, 77);
            for (index, packet) in packets.iter().enumerate() {
                assert!(packet.bytes.len() <= 1400);
                let parsed = Parsed::new(&packet.bytes).unwrap();
                let Some(Fragment { id: 77, offset, more }) = parsed.fragment else { panic!("a fragment") };
                assert_eq!(more, index + 1 < packets.len());
                whole[offset..offset + parsed.payload.len()].copy_from_slice(parsed.payload);
            }
            assert_eq!(whole, payload);
        }
    }
}
