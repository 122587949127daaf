//! What the sandbox process may ask of the host beside `sandbox_rows` with `--network=host`: sockets of IPv4 and IPv6, their
//! names, and options that are plain values.

use crate::pin::filter::{Arg, Row};
use linux_raw_sys::general::{O_CLOEXEC, O_NONBLOCK};
use linux_raw_sys::net as raw;
use syscalls::Sysno;

const STREAM: u32 = raw::SOCK_STREAM | O_NONBLOCK | O_CLOEXEC;
const DATAGRAM: u32 = raw::SOCK_DGRAM | O_NONBLOCK | O_CLOEXEC;
const ANY: &[&[Arg]] = &[];

/// The list of options that may be set, and the filter's alternatives made of it.
macro_rules! settable {
    ($($level:expr => $($name:expr),+;)*) => {
        /// Options that may be set: level and name.
        pub const SETTABLE: &[(u32, u32)] = &[$($(($level as u32, $name)),+),*];
        const SET: &[&[Arg]] = &[$($(&[Arg::Is(1, $level as u32), Arg::Is(2, $name)]),+),*];
    };
}

settable! {
    raw::SOL_SOCKET => raw::SO_REUSEADDR, raw::SO_REUSEPORT, raw::SO_BROADCAST, raw::SO_KEEPALIVE, raw::SO_OOBINLINE,
        raw::SO_SNDBUF, raw::SO_RCVBUF, raw::SO_LINGER, raw::SO_DONTROUTE, raw::SO_PRIORITY, raw::SO_RCVLOWAT,
        raw::SO_TIMESTAMP_OLD, raw::SO_TIMESTAMPNS_OLD;
    raw::IPPROTO_IP => raw::IP_TOS, raw::IP_TTL, raw::IP_RECVERR, raw::IP_MTU_DISCOVER, raw::IP_MULTICAST_TTL, raw::IP_MULTICAST_LOOP,
        raw::IP_MULTICAST_IF, raw::IP_ADD_MEMBERSHIP, raw::IP_DROP_MEMBERSHIP, raw::IP_FREEBIND, raw::IP_BIND_ADDRESS_NO_PORT,
        raw::IP_PKTINFO, raw::IP_RECVTTL, raw::IP_RECVTOS;
    raw::IPPROTO_IPV6 => raw::IPV6_V6ONLY, raw::IPV6_RECVERR, raw::IPV6_UNICAST_HOPS, raw::IPV6_MULTICAST_HOPS, raw::IPV6_MULTICAST_LOOP,
        raw::IPV6_MULTICAST_IF, raw::IPV6_ADD_MEMBERSHIP, raw::IPV6_DROP_MEMBERSHIP, raw::IPV6_TCLASS,
        raw::IPV6_MTU_DISCOVER, raw::IPV6_RECVPKTINFO, raw::IPV6_RECVHOPLIMIT, raw::IPV6_RECVTCLASS;
    raw::IPPROTO_TCP => raw::TCP_NODELAY, raw::TCP_CORK, raw::TCP_KEEPIDLE, raw::TCP_KEEPINTVL, raw::TCP_KEEPCNT,
        raw::TCP_SYNCNT, raw::TCP_LINGER2, raw::TCP_DEFER_ACCEPT, raw::TCP_QUICKACK, raw::TCP_USER_TIMEOUT,
        raw::TCP_MAXSEG, raw::TCP_NOTSENT_LOWAT, raw::TCP_FASTOPEN, raw::TCP_FASTOPEN_CONNECT;
}

/// One row a call.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    Row { call: Sysno::socket,      when: &[&[Arg::Is(0, raw::AF_INET), Arg::Is(1, STREAM)], &[Arg::Is(0, raw::AF_INET), Arg::Is(1, DATAGRAM)],
                                            &[Arg::Is(0, raw::AF_INET6), Arg::Is(1, STREAM)], &[Arg::Is(0, raw::AF_INET6), Arg::Is(1, DATAGRAM)]],
                                                 why: "the container's TCP, UDP and echo sockets" },
    Row { call: Sysno::bind,        when: ANY,   why: "as the container asks" },
    Row { call: Sysno::connect,     when: ANY,   why: "as the container asks" },
    Row { call: Sysno::listen,      when: ANY,   why: "as the container asks" },
    Row { call: Sysno::accept4,     when: &[&[Arg::Is(3, O_NONBLOCK | O_CLOEXEC)]], why: "as the container asks" },
    Row { call: Sysno::shutdown,    when: ANY,   why: "as the container asks" },
    Row { call: Sysno::getsockname, when: ANY,   why: "a socket's own address" },
    Row { call: Sysno::getpeername, when: ANY,   why: "its peer's" },
    Row { call: Sysno::getsockopt,  when: ANY,   why: "options, and whether a connection came to be" },
    Row { call: Sysno::setsockopt,  when: SET,   why: "options that are plain values" },
];
