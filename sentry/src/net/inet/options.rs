//! Options of the IP, IPv6, TCP and UDP levels. Most are numbers that are kept and shown and change nothing on loopback.

use crate::errno::Errno;
use crate::net::options::int;
use crate::settings;
use crate::sync::{Lock, Rank};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use linux_raw_sys::net as raw;

const IP: u32 = raw::IPPROTO_IP as u32;
const IPV6: u32 = raw::IPPROTO_IPV6 as u32;
const TCP: u32 = raw::IPPROTO_TCP as u32;
const UDP: u32 = raw::IPPROTO_UDP as u32;

/// An option that is a number: level, name, default, least and greatest value.
type Number = (u32, u32, i32, i32, i32);

const MAX: i32 = i32::MAX;
/// As greatest value: any number but 0 turns it on.
const FLAG: i32 = i32::MIN;
/// Seconds that TCP_LINGER2 can be at most (TCP_FIN_TIMEOUT_MAX of the kernel).
const MAX_LINGER: i32 = 120;
/// Seconds between two attempts to connect at most (TCP_RTO_MAX).
const MAX_RETRY: i32 = 120;

#[rustfmt::skip]
const NUMBERS: &[Number] = &[
    (IP, raw::IP_TOS, 0, i32::MIN, MAX),
    (IP, raw::IP_TTL, 64, -1, 255),
    (IP, raw::IP_HDRINCL, 0, 0, 1),
    (IP, raw::IP_RECVOPTS, 0, 0, FLAG),
    (IP, raw::IP_RETOPTS, 0, 0, FLAG),
    (IP, raw::IP_PKTINFO, 0, 0, FLAG),
    (IP, raw::IP_MTU_DISCOVER, 1, 0, 5),
    (IP, raw::IP_RECVERR, 0, 0, FLAG),
    (IP, raw::IP_RECVTTL, 0, 0, FLAG),
    (IP, raw::IP_RECVTOS, 0, 0, FLAG),
    (IP, raw::IP_FREEBIND, 0, 0, FLAG),
    (IP, raw::IP_MULTICAST_TTL, 1, -1, 255),
    (IP, raw::IP_MULTICAST_LOOP, 1, 0, FLAG),
    (IP, raw::IP_MULTICAST_ALL, 1, 0, 1),
    (IP, raw::IP_BIND_ADDRESS_NO_PORT, 0, 0, FLAG),
    (IP, raw::IP_MINTTL, 0, 0, 255),
    (IP, raw::IP_RECVORIGDSTADDR, 0, 0, FLAG),
    (IPV6, raw::IPV6_V6ONLY, 0, 0, MAX),
    (IPV6, raw::IPV6_UNICAST_HOPS, 64, -1, 255),
    (IPV6, raw::IPV6_MULTICAST_HOPS, 1, -1, 255),
    (IPV6, raw::IPV6_MULTICAST_LOOP, 1, 0, 1),
    (IPV6, raw::IPV6_MULTICAST_IF, 0, 0, MAX),
    (IPV6, raw::IPV6_RECVPKTINFO, 0, 0, MAX),
    (IPV6, raw::IPV6_RECVERR, 0, 0, MAX),
    (IPV6, raw::IPV6_RECVHOPLIMIT, 0, 0, MAX),
    (IPV6, raw::IPV6_RECVTCLASS, 0, 0, MAX),
    (IPV6, raw::IPV6_TCLASS, 0, -1, 255),
    (IPV6, raw::IPV6_MTU_DISCOVER, 1, 0, 5),
    (IPV6, raw::IPV6_DONTFRAG, 0, 0, MAX),
    (IPV6, raw::IPV6_AUTOFLOWLABEL, 1, 0, MAX),
    (IPV6, raw::IPV6_FREEBIND, 0, 0, MAX),
    (TCP, raw::TCP_NODELAY, 0, 0, FLAG),
    (TCP, raw::TCP_CORK, 0, 0, FLAG),
    (TCP, raw::TCP_KEEPIDLE, 7200, 1, 32767),
    (TCP, raw::TCP_KEEPINTVL, 75, 1, 32767),
    (TCP, raw::TCP_KEEPCNT, 9, 1, 127),
    (TCP, raw::TCP_SYNCNT, 6, 1, 127),
    (TCP, raw::TCP_LINGER2, 60, i32::MIN, MAX),
    (TCP, raw::TCP_DEFER_ACCEPT, 0, 0, MAX),
    (TCP, raw::TCP_WINDOW_CLAMP, 0, 0, MAX),
    (TCP, raw::TCP_QUICKACK, 1, i32::MIN, MAX),
    (TCP, raw::TCP_USER_TIMEOUT, 0, 0, MAX),
    (TCP, raw::TCP_MAXSEG, 536, 88, 32767),
    (TCP, raw::TCP_FASTOPEN, 0, 0, MAX),
    (TCP, raw::TCP_FASTOPEN_CONNECT, 0, 0, 1),
    (TCP, raw::TCP_NOTSENT_LOWAT, 0, 0, MAX),
    (TCP, raw::TCP_THIN_LINEAR_TIMEOUTS, 0, 0, 1),
    (TCP, raw::TCP_FASTOPEN_NO_COOKIE, 0, 0, 1),
    (TCP, raw::TCP_INQ, 0, 0, 1),
    // UDP_CORK is level-local number 1, as TCP_NODELAY is.
    (UDP, raw::TCP_NODELAY, 0, 0, FLAG),
];

/// Seconds as a number of attempts to connect takes that are at least as many: that is what TCP_DEFER_ACCEPT counts in.
fn whole_attempts(seconds: i32) -> i32 {
    if seconds <= 0 {
        return 0;
    }
    let (mut all, mut step) = (1, 1);
    while all < seconds && all < i32::MAX - MAX_RETRY {
        step = (step * 2).min(MAX_RETRY);
        all += step;
        // A byte counts them (icsk_accept_queue.rskq_defer_accept).
        if all > MAX_RETRY * 255 {
            break;
        }
    }
    all
}

/// The options of one socket that were set.
pub struct Levels {
    set: Lock<BTreeMap<(u32, u32), i32>>,
}

impl Default for Levels {
    fn default() -> Self {
        Self { set: Lock::new(Rank::Leaf, BTreeMap::new()) }
    }
}

/// Whether a socket speaking `protocol` on `v6` or not has options of `level` at all.
pub fn has_level(protocol: u32, v6: bool, level: u32) -> bool {
    level == protocol || level == IP || level == IPV6 && v6
}

impl Levels {
    /// A copy, for a connection that inherits.
    pub fn inherit(&self) -> Self {
        Self { set: Lock::new(Rank::Leaf, self.set.lock().clone()) }
    }

    /// A number option's value; 0 for an unknown one.
    pub fn number(&self, level: u32, name: u32) -> i32 {
        let known = NUMBERS.iter().find(|number| (number.0, number.1) == (level, name));
        let value = self.set.lock().get(&(level, name)).copied();
        // What was not set may be set for all sockets.
        let general = |place: &AtomicU32| Some(place.load(Ordering::Relaxed) as i32);
        let default = match (level, name) {
            (IP, raw::IP_TTL) => general(&settings::TTL),
            (TCP, raw::TCP_KEEPIDLE) => general(&settings::KEEP_ALIVE[0]),
            (TCP, raw::TCP_KEEPINTVL) => general(&settings::KEEP_ALIVE[1]),
            (TCP, raw::TCP_KEEPCNT) => general(&settings::KEEP_ALIVE[2]),
            _ => known.map(|number| number.2),
        };
        value.or(default).unwrap_or(0)
    }

    /// Whether an option is on.
    pub fn is(&self, level: u32, name: u32) -> bool {
        self.number(level, name) != 0
    }

    /// Sets a number option. ENOPROTOOPT for an unknown one, EINVAL for an impossible value.
    pub fn set(&self, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
        let number = NUMBERS.iter().find(|number| (number.0, number.1) == (level, name)).ok_or(Errno::ENOPROTOOPT)?;
        // The IP level takes a single byte too.
        let value = match value {
            [byte] | [byte, _] | [byte, _, _] if level == IP => i32::from(*byte),
            value => int(value)?,
        };
        let value = match (level, name) {
            _ if number.4 == FLAG => i32::from(value != 0),
            (IP, raw::IP_TOS) => value & 0xff,
            (IP, raw::IP_TTL) if value == 0 => return Err(Errno::EINVAL),
            (TCP, raw::TCP_LINGER2) => value.clamp(-1, MAX_LINGER),
            (TCP, raw::TCP_DEFER_ACCEPT) => whole_attempts(value),
            _ => value,
        };
        if number.4 != FLAG && (value < number.3 || value > number.4) {
            return Err(Errno::EINVAL);
        }
        let value = if value == -1 && number.3 == -1 { number.2 } else { value };
        self.set.lock().insert((level, name), value);
        Ok(())
    }

    /// Gets a number option.
    pub fn get(&self, level: u32, name: u32) -> Result<Vec<u8>, Errno> {
        if !NUMBERS.iter().any(|number| (number.0, number.1) == (level, name)) {
            return Err(Errno::ENOPROTOOPT);
        }
        Ok(self.number(level, name).to_ne_bytes().to_vec())
    }
}
