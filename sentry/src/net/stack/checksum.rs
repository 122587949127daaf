//! The internet checksum (RFC 1071).

use core::net::IpAddr;

/// The sum of 16-bit words in network order, folded to 16 bits, not complemented. An odd byte at the end counts as the high one.
pub fn sum(bytes: &[u8]) -> u16 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut total: u64 = words.iter().map(|word| u64::from(u32::from_be_bytes(*word))).sum();
    let (pairs, odd) = rest.as_chunks::<2>();
    total += pairs.iter().map(|pair| u64::from(u16::from_be_bytes(*pair))).sum::<u64>();
    total += odd.first().map_or(0, |byte| u64::from(*byte) << 8);
    fold(total)
}

fn fold(mut total: u64) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

/// Sums of parts that begin at even offsets, as one.
pub fn add(parts: &[u16]) -> u16 {
    fold(parts.iter().map(|part| u64::from(*part)).sum())
}

/// The sum of TCP's, UDP's and ICMPv6's pseudo header (RFC 9293, 3.1; RFC 8200, 8.1).
pub fn pseudo_header(from: IpAddr, to: IpAddr, protocol: u8, len: usize) -> u16 {
    let ip = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => sum(&ip.octets()),
        IpAddr::V6(ip) => sum(&ip.octets()),
    };
    add(&[ip(from), ip(to), u16::from(protocol), fold(len as u64)])
}

#[cfg(test)]
mod tests {
    use super::{pseudo_header, sum};

    #[test]
    fn the_sum_is_that_of_rfc_1071s_example() {
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
        assert_eq!(sum(&[0x12, 0x34, 0x56]), 0x6834);
        assert_eq!(pseudo_header([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 6, 20), 0x141d);
    }
}
