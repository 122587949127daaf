//! Addresses of sockets, as much of them as was captured.

use super::flags;
use super::structs::View;
use super::text::quoted;
use core::mem::offset_of;
use linker::calls::Set;
use linux_raw_sys::{net, netlink};
use std::net::{Ipv4Addr, Ipv6Addr};

/// An address; none when not even its family is there.
pub(super) fn show(bytes: &[u8]) -> Option<String> {
    let (family, rest) = bytes.split_first_chunk::<2>()?;
    let family = u16::from_ne_bytes(*family);
    let name = flags::show(Set::Family, u64::from(family));
    let fields = match u32::from(family) {
        net::AF_UNIX => unix(rest),
        net::AF_INET => inet(bytes),
        net::AF_INET6 => inet6(bytes),
        net::AF_NETLINK => netlink(bytes),
        _ => None,
    };
    Some(match fields {
        Some(fields) => format!("{{sa_family={name}{fields}}}"),
        None => format!("{{sa_family={name}, sa_data={}}}", quoted(rest, false)),
    })
}

/// The path; one that begins with NUL is abstract, and one without any bytes has no name.
fn unix(path: &[u8]) -> Option<String> {
    Some(match path {
        [] => String::new(),
        [0, name @ ..] => format!(", sun_path=@{}", quoted(name, false)),
        path => {
            let path = path.split(|byte| *byte == 0).next().unwrap_or(path);
            format!(", sun_path={}", quoted(path, false))
        }
    })
}

fn inet(bytes: &[u8]) -> Option<String> {
    let address: [u8; 4] = *field(bytes, offset_of!(net::sockaddr_in, sin_addr))?;
    let port = port(bytes, offset_of!(net::sockaddr_in, sin_port))?;
    Some(format!(", sin_port=htons({port}), sin_addr=inet_addr(\"{}\")", Ipv4Addr::from(address)))
}

fn inet6(bytes: &[u8]) -> Option<String> {
    let address: [u8; 16] = *field(bytes, offset_of!(net::sockaddr_in6, sin6_addr))?;
    let port = port(bytes, offset_of!(net::sockaddr_in6, sin6_port))?;
    let flow = u32::from_be_bytes(*field(bytes, offset_of!(net::sockaddr_in6, sin6_flowinfo))?);
    let scope = View(bytes).u32(offset_of!(net::sockaddr_in6, sin6_scope_id));
    let address = Ipv6Addr::from(address);
    Some(format!(
        ", sin6_port=htons({port}), sin6_flowinfo=htonl({flow}), inet_pton(AF_INET6, \"{address}\", &sin6_addr), \
         sin6_scope_id={scope}"
    ))
}

fn netlink(bytes: &[u8]) -> Option<String> {
    let pid = u32::from_ne_bytes(*field(bytes, offset_of!(netlink::sockaddr_nl, nl_pid))?);
    let groups = u32::from_ne_bytes(*field(bytes, offset_of!(netlink::sockaddr_nl, nl_groups))?);
    Some(format!(", nl_pid={pid}, nl_groups={groups:08x}"))
}

fn port(bytes: &[u8], offset: usize) -> Option<u16> {
    field(bytes, offset).map(|port| u16::from_be_bytes(*port))
}

fn field<const N: usize>(bytes: &[u8], offset: usize) -> Option<&[u8; N]> {
    bytes.get(offset..)?.first_chunk()
}
