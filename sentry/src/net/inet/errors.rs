//! The error queue (IP_RECVERR, IPV6_RECVERR, MSG_ERRQUEUE): what became of packets that did not arrive, for those who ask (ip(7)).
//!
//! Lock: `Rank::Leaf`.

use super::Family;
use super::options::Levels;
use crate::errno::Errno;
use crate::fs::Sink;
use crate::net::address::Address;
use crate::net::control::Control;
use crate::net::options::Options;
use crate::net::socket::{MessageFlags, Received};
use crate::net::stack::Cause;
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use linux_raw_sys::net as raw;

const IP: u32 = raw::IPPROTO_IP as u32;
const IPV6: u32 = raw::IPPROTO_IPV6 as u32;
// SO_EE_ORIGIN_* (include/uapi/linux/errqueue.h; nobody exports them).
const LOCAL: u8 = 1;
const ICMP: u8 = 2;
const ICMP6: u8 = 3;
/// Errors queued at most.
const MAX_QUEUED: usize = 128;

struct Failure {
    errno: Errno,
    /// `None`: it did not leave this machine.
    cause: Option<Cause>,
    /// What goes with it: the MTU where that was too small.
    info: u32,
    /// Where the packet was to go.
    to: SocketAddr,
    /// What is known of it, without headers.
    payload: Vec<u8>,
}

/// The errors of one socket.
pub struct Errors {
    queue: Lock<VecDeque<Failure>>,
}

/// Whether a socket asks for errors about packets to addresses of this kind.
pub fn wanted(levels: &Levels, to: IpAddr) -> bool {
    match to {
        IpAddr::V4(_) => levels.is(IP, raw::IP_RECVERR),
        IpAddr::V6(_) => levels.is(IPV6, raw::IPV6_RECVERR),
    }
}

impl Errors {
    /// None.
    pub const fn new() -> Self {
        Self { queue: Lock::new(Rank::Leaf, VecDeque::new()) }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.queue.lock().is_empty()
    }

    /// An ICMP error about a packet of this payload came.
    pub fn undelivered(&self, to: SocketAddr, cause: Cause, payload: &[u8]) {
        self.put(Failure {
            errno: cause.why.errno(),
            info: cause.why.mtu(),
            cause: Some(cause),
            to,
            payload: payload.to_vec(),
        });
    }

    /// A packet is too large for the way out.
    pub fn too_large(&self, to: SocketAddr, mtu: usize) {
        let info = u32::try_from(mtu).unwrap_or(u32::MAX);
        self.put(Failure { errno: Errno::EMSGSIZE, cause: None, info, to, payload: Vec::new() });
    }

    fn put(&self, failure: Failure) {
        let mut queue = self.queue.lock();
        if queue.len() < MAX_QUEUED {
            queue.push_back(failure);
        }
    }

    /// recvmsg(2) with MSG_ERRQUEUE: never waits.
    pub fn receive(
        &self,
        options: &Options,
        levels: &Levels,
        family: Family,
        sink: &mut Sink<'_>,
    ) -> Result<Received, Fail> {
        let (failure, next) = {
            let mut queue = self.queue.lock();
            let failure = queue.pop_front().ok_or(Errno::EAGAIN)?;
            let next = queue.front().filter(|next| next.cause.is_some()).map(|next| next.errno);
            (failure, next)
        };
        // The socket's error is that of the next one, which is to be read as well (sock_dequeue_err_skb).
        if failure.cause.is_some() {
            let _ = options.take_error();
        }
        if let Some(errno) = next {
            options.set_error(errno);
        }
        let bytes = sink.put(&failure.payload)?;
        let length = failure.payload.len();
        let cut = if bytes < length { MessageFlags::TRUNC } else { MessageFlags::empty() };
        let notes = failure.notes(levels, family);
        Ok(Received {
            bytes,
            length,
            from: Some(family.show(failure.to)),
            control: Some(Box::new(Control { notes, ..Control::default() })),
            flags: MessageFlags::ERRQUEUE | cut,
        })
    }
}

impl Failure {
    fn notes(&self, levels: &Levels, family: Family) -> Vec<(u32, u32, Vec<u8>)> {
        let mut notes = Vec::new();
        if let Some(cause) = self.cause.filter(|cause| cause.from.is_ipv4() && levels.is(IP, raw::IP_RECVTTL)) {
            notes.push((IP, raw::IP_TTL, i32::from(cause.ttl).to_ne_bytes().to_vec()));
        }
        if let Some(cause) = self.cause.filter(|cause| cause.from.is_ipv6() && levels.is(IPV6, raw::IPV6_RECVHOPLIMIT))
        {
            notes.push((IPV6, raw::IPV6_HOPLIMIT, i32::from(cause.ttl).to_ne_bytes().to_vec()));
        }
        let (level, name) = if family == Family::V4 { (IP, raw::IP_RECVERR) } else { (IPV6, raw::IPV6_RECVERR) };
        let (origin, kind, code) = match self.cause {
            None => (LOCAL, 0, 0),
            Some(Cause { kind, code, from, .. }) => (if from.is_ipv4() { ICMP } else { ICMP6 }, kind, code),
        };
        // `struct sock_extended_err`, and who says so.
        let mut body = u32::from(self.errno.raw()).to_ne_bytes().to_vec();
        body.extend_from_slice(&[origin, kind, code, 0]);
        body.extend_from_slice(&self.info.to_ne_bytes());
        body.extend_from_slice(&[0; 4]);
        let offender = match self.cause {
            Some(cause) => family.show(SocketAddr::new(cause.from, 0)).encode(),
            None => alloc::vec![0; Address::Inet(SocketAddr::new(family.any(), 0)).encode().len()],
        };
        body.extend_from_slice(&offender);
        notes.push((level, name, body));
        notes
    }
}
