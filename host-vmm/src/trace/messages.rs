//! Messages of sockets, with what they point to.

use super::arguments::{Captured, list};
use super::structs::{self, View};
use super::text::{address, quoted};
use super::{flags, socket_address};
use core::mem::offset_of;
use linker::calls::{Message, Set};
use linker::trace::Capture;
use linux_raw_sys::net;
use std::net::Ipv4Addr;

/// sendmsg(2)'s.
pub(super) fn sent(captured: &Captured) -> Option<String> {
    Some(message(captured, 0, &Message::read(captured.at_entry()?.1), None))
}

/// recvmsg(2)'s: as it was filled in, and how long a name might have been. Of one that came to nothing no more than that.
pub(super) fn received(captured: &Captured) -> Option<String> {
    let before = Message::read(captured.at_entry()?.1);
    Some(match captured.at_exit() {
        Some((_, bytes)) => message(captured, 0, &Message::read(bytes), Some(&before)),
        None => format!("{{msg_namelen={}}}", before.name_len.cast_signed()),
    })
}

/// sendmmsg(2)'s: those that were sent; where none was, all of them.
pub(super) fn many_sent(captured: &Captured) -> Option<String> {
    let (cut, bytes) = captured.at_exit().or_else(|| captured.at_entry())?;
    Some(many(captured, bytes, cut, captured.at_exit().is_some(), &[]))
}

/// recvmmsg(2)'s: those that came.
pub(super) fn many_received(captured: &Captured) -> Option<String> {
    let (cut, bytes) = captured.at_exit()?;
    Some(many(captured, bytes, cut, true, captured.at_entry()?.1))
}

fn many(captured: &Captured, bytes: &[u8], cut: bool, done: bool, before: &[u8]) -> String {
    const SIZE: usize = size_of::<net::mmsghdr>();
    let before: Vec<Message> = before.chunks_exact(SIZE).map(Message::read).collect();
    let one = |(index, bytes)| {
        let now = Message::read(bytes);
        let header = message(captured, index, &now, before.get(index));
        let len = if done { format!(", msg_len={}", now.len) } else { String::new() };
        format!("{{msg_hdr={header}{len}}}")
    };
    list(bytes.chunks_exact(SIZE).enumerate().map(one).collect(), cut)
}

fn message(captured: &Captured, index: usize, now: &Message, before: Option<&Message>) -> String {
    let room = before.map_or(u32::MAX, |before| before.name_len);
    let name = captured.part(Capture::NAME, index).and_then(|(_, bytes)| {
        let len = bytes.len().min(room as usize);
        socket_address::show(bytes.get(..len)?)
    });
    let changed = match before.map(|before| before.name_len) {
        Some(len) if len != now.name_len => format!("{} => ", len.cast_signed()),
        _ => String::new(),
    };
    let control = match (now.control_len, captured.part(Capture::CONTROL, index)) {
        (0, _) => String::new(),
        (_, Some((cut, bytes))) => format!(", msg_control={}", controls(bytes, cut)),
        (_, None) => format!(", msg_control={}", address(now.control)),
    };
    format!(
        "{{msg_name={}, msg_namelen={changed}{}, msg_iov={}, msg_iovlen={}{control}, msg_controllen={}, msg_flags={}}}",
        name.unwrap_or_else(|| address(now.name)),
        now.name_len.cast_signed(),
        captured.nested_vector(index).unwrap_or_else(|| address(now.vector)),
        now.vector_len,
        now.control_len,
        flags::show(Set::Message, now.flags.into()),
    )
}

/// cmsg(3).
fn controls(mut bytes: &[u8], cut: bool) -> String {
    const HEAD: usize = size_of::<net::cmsghdr>();
    let mut shown = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(HEAD) {
        let at = View(head);
        let len = at.u64(0);
        let [level, kind] =
            [offset_of!(net::cmsghdr, cmsg_level), offset_of!(net::cmsghdr, cmsg_type)].map(|at_| at.u32(at_));
        let data_len = usize::try_from(len).unwrap_or(usize::MAX).saturating_sub(HEAD);
        let data = rest.get(..data_len).unwrap_or(rest);
        let data = if data.is_empty() { String::new() } else { format!(", cmsg_data={}", control(level, kind, data)) };
        shown.push(format!(
            "{{cmsg_len={len}, cmsg_level={}, cmsg_type={}{data}}}",
            flags::show(Set::SocketLevel, level.into()),
            kind_name(level, kind),
        ));
        // A length that says less than its own head ends the list, as for the kernel.
        if usize::try_from(len).is_ok_and(|len| len < HEAD) {
            break;
        }
        bytes = rest.get(data_len.saturating_add(7) & !7..).unwrap_or_default();
    }
    list(shown, cut)
}

const IP: u32 = net::IPPROTO_IP as u32;
const IPV6: u32 = net::IPPROTO_IPV6 as u32;

fn kind_name(level: u32, kind: u32) -> String {
    match level {
        net::SOL_SOCKET => flags::named(flags::CONTROL, kind.into()),
        IP => flags::show(Set::IpOption, kind.into()),
        IPV6 => flags::show(Set::Ipv6Option, kind.into()),
        _ => format!("{kind:#x}"),
    }
}

fn control(level: u32, kind: u32, data: &[u8]) -> String {
    let at = View(data);
    let dotted = |offset: usize| Ipv4Addr::from(at.u32(offset).to_ne_bytes());
    match (level, kind) {
        (net::SOL_SOCKET, net::SCM_RIGHTS) => {
            let (fds, _) = data.as_chunks();
            list(fds.iter().map(|fd| i32::from_ne_bytes(*fd).to_string()).collect(), false)
        }
        (net::SOL_SOCKET, net::SCM_CREDENTIALS) if data.len() >= size_of::<net::ucred>() => {
            format!("{{pid={}, uid={}, gid={}}}", at.u32(0).cast_signed(), at.u32(4), at.u32(8))
        }
        (net::SOL_SOCKET, net::SCM_TIMESTAMP) if data.len() >= 16 => structs::timeval(at),
        (net::SOL_SOCKET, net::SCM_TIMESTAMPNS) if data.len() >= 16 => structs::timespec(at),
        (IP, net::IP_TTL) if data.len() >= 4 => format!("[{}]", at.u32(0)),
        (IP, net::IP_PKTINFO) if data.len() >= size_of::<net::in_pktinfo>() => format!(
            "{{ipi_ifindex={}, ipi_spec_dst=inet_addr(\"{}\"), ipi_addr=inet_addr(\"{}\")}}",
            at.u32(offset_of!(net::in_pktinfo, ipi_ifindex)),
            dotted(offset_of!(net::in_pktinfo, ipi_spec_dst)),
            dotted(offset_of!(net::in_pktinfo, ipi_addr)),
        ),
        _ => quoted(data, false),
    }
}
