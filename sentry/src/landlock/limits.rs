//! What a domain says to anything but files: TCP ports, signals, abstract unix sockets, and looking into processes.

use super::{Confined, Domain, Ports, Scope};
use crate::errno::Errno;
use crate::net::{Kind, Socket};
use crate::task::{Credentials, Current};
use core::mem::offset_of;
use linux_raw_sys::net as raw;

/// EPERM for a process that is not in the caller's domain or below it (ptrace(2), and what asks as it does).
#[inline]
pub fn may_trace(creds: &Credentials, target: &Credentials) -> bool {
    creds.landlock.domain().is_none_or(|domain| domain.is_above(target.landlock.domain()))
}

/// Whether a signal may go from who is in `from` to `target`, a thread of another process.
#[inline]
pub fn may_signal(from: &Confined, target: &Credentials) -> bool {
    from.domain().is_none_or(|domain| !domain.keeps(target.landlock.domain(), Scope::SIGNAL))
}

/// Whether the caller may reach a socket with an abstract name that was made in `owner`.
#[inline]
pub fn may_reach(current: &Current, owner: &Confined) -> bool {
    let domain = current.creds.landlock.domain();
    domain.is_none_or(|domain| !domain.keeps(owner.domain(), Scope::ABSTRACT_UNIX_SOCKET))
}

/// Whether the caller may bind or connect a socket to `address`, which is as it came: EACCES where not, and what is wrong with
/// it otherwise before the socket itself looks.
#[inline]
pub fn may_use(current: &Current, socket: &Socket, address: &[u8], how: Ports) -> Result<(), Errno> {
    match current.creds.landlock.domain() {
        None => Ok(()),
        Some(domain) => domain.may_use(socket, address, how),
    }
}

impl Domain {
    fn may_use(&self, socket: &Socket, address: &[u8], how: Ports) -> Result<(), Errno> {
        const TCP: u32 = raw::IPPROTO_TCP as u32;
        let handled = self.layers.iter().any(|layer| !layer.handled.ports.is_empty());
        let internet = matches!(socket.domain, raw::AF_INET | raw::AF_INET6);
        let tcp = internet && socket.kind == Kind::Stream && matches!(socket.protocol, 0 | TCP);
        if !handled || !tcp {
            return Ok(());
        }
        let family: [u8; 2] = piece(address, 0).ok_or(Errno::EINVAL)?;
        let family = u32::from(u16::from_ne_bytes(family));
        let needed = match family {
            raw::AF_UNSPEC | raw::AF_INET => size_of::<raw::sockaddr_in>(),
            // Without the scope, as old programs have it (RFC 2133).
            raw::AF_INET6 => offset_of!(raw::sockaddr_in6, sin6_scope_id),
            _ => return Ok(()),
        };
        if address.len() < needed {
            return Err(Errno::EINVAL);
        }
        if family == raw::AF_UNSPEC {
            // It ends an association.
            if how == Ports::CONNECT_TCP {
                return Ok(());
            }
            if socket.domain != raw::AF_INET {
                return Err(Errno::EINVAL);
            }
            if piece(address, offset_of!(raw::sockaddr_in, sin_addr)) != Some([0; 4]) {
                return Err(Errno::EAFNOSUPPORT);
            }
        } else if family != socket.domain {
            return Err(Errno::EINVAL);
        }
        // The port is at the same place in both.
        let port = piece(address, offset_of!(raw::sockaddr_in, sin_port)).map_or(0, u16::from_be_bytes);
        let allowed = self.layers.iter().all(|layer| {
            let given = layer.rules.ports.get(&port).copied().unwrap_or_default();
            !layer.handled.ports.contains(how) || given.contains(how)
        });
        if allowed { Ok(()) } else { Err(Errno::EACCES) }
    }
}

fn piece<const LEN: usize>(bytes: &[u8], at: usize) -> Option<[u8; LEN]> {
    bytes.get(at..)?.first_chunk().copied()
}
