//! Control messages that go out with a datagram: of those that programs give, these alone, and made anew.

use crate::process;
use linux_raw_sys::net as raw;
use rustix::io::Errno;
use std::mem::size_of;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

/// Level, type and bytes of data: source address and interface, time to live, type of service. All are plain values.
const SENDABLE: &[(u32, u32, usize)] = &[
    (raw::IPPROTO_IP as u32, raw::IP_PKTINFO, size_of::<raw::in_pktinfo>()),
    (raw::IPPROTO_IP as u32, raw::IP_TTL, 4),
    (raw::IPPROTO_IP as u32, raw::IP_TOS, 1),
    (raw::IPPROTO_IP as u32, raw::IP_TOS, 4),
    (raw::IPPROTO_IPV6 as u32, raw::IPV6_PKTINFO, size_of::<raw::in6_pktinfo>()),
    (raw::IPPROTO_IPV6 as u32, raw::IPV6_HOPLIMIT, 4),
    (raw::IPPROTO_IPV6 as u32, raw::IPV6_TCLASS, 4),
];
const HEADER: usize = size_of::<raw::cmsghdr>();

/// The messages in `bytes` (cmsg(3)), one behind the other, nothing between them left as it was. EINVAL for any other.
pub fn checked(bytes: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut made = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (len, head) = rest.split_first_chunk::<8>().ok_or(Errno::INVAL)?;
        let (level, head) = head.split_first_chunk::<4>().ok_or(Errno::INVAL)?;
        let kind = head.first_chunk::<4>().ok_or(Errno::INVAL)?;
        let total = usize::try_from(u64::from_ne_bytes(*len)).map_err(|_| Errno::INVAL)?;
        let data = rest.get(HEADER..total).ok_or(Errno::INVAL)?;
        if !SENDABLE.contains(&(u32::from_ne_bytes(*level), u32::from_ne_bytes(*kind), data.len())) {
            return Err(Errno::INVAL);
        }
        made.extend_from_slice(&(total as u64).to_ne_bytes());
        made.extend_from_slice(level);
        made.extend_from_slice(kind);
        made.extend_from_slice(data);
        made.resize(made.len().next_multiple_of(size_of::<usize>()), 0);
        rest = rest.get(total.next_multiple_of(size_of::<usize>())..).unwrap_or(&[]);
    }
    Ok(made)
}

/// sendmsg(2) with messages that were checked.
pub fn send(
    socket: BorrowedFd<'_>,
    to: Option<SocketAddr>,
    data: &[u8],
    checked: &[u8],
    flags: u32,
) -> Result<usize, Errno> {
    process::send_message(socket, to, data, checked, flags)
}

#[cfg(test)]
mod tests {
    use super::{checked, raw};
    use rustix::io::Errno;

    fn message(level: u32, kind: u32, data: &[u8]) -> Vec<u8> {
        let len = (16 + data.len()) as u64;
        let mut bytes = [&len.to_ne_bytes()[..], &level.to_ne_bytes(), &kind.to_ne_bytes(), data].concat();
        bytes.resize(bytes.len().next_multiple_of(8), 0xee);
        bytes
    }

    #[test]
    fn what_is_on_the_list_goes_out_and_its_padding_is_made_anew() {
        let ttl = message(0, raw::IP_TTL, &7_u32.to_ne_bytes());
        let made = checked(&[ttl.clone(), message(0, raw::IP_PKTINFO, &[1; 12])].concat()).unwrap();
        assert_eq!((made.len(), &made[..20], &made[20..24]), (24 + 32, &ttl[..20], &[0; 4][..]));
    }

    #[test]
    fn descriptors_and_what_is_cut_short_do_not() {
        let rights = message(raw::SOL_SOCKET, raw::SCM_RIGHTS, &0_u32.to_ne_bytes());
        assert_eq!(checked(&rights), Err(Errno::INVAL));
        let ttl = message(0, raw::IP_TTL, &7_u32.to_ne_bytes());
        for len in 1..20 {
            assert_eq!(checked(&ttl[..len]), Err(Errno::INVAL), "{len}");
        }
        assert_eq!(checked(&message(0, raw::IP_TTL, &[7])), Err(Errno::INVAL));
        assert_eq!(checked(&u64::MAX.to_ne_bytes().repeat(3)), Err(Errno::INVAL));
    }
}
