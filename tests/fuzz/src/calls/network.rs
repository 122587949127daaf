//! Sockets.

use super::{Call, Gives, bits, calls};
use crate::pool::Class;
use crate::structs;
use crate::value::Kind::{self, Buf, Bytes, Flags, Len, Make, Of, One, Small};

const SOCKET: Kind = Of(&[Class::Unix, Class::Inet, Class::Listener, Class::Netlink]);
const ADDRESS: Kind = Make(structs::address);
const ADDRESS0: Kind = Make(structs::address_or_null);
const ADDRESS_LEN: Kind = Make(structs::address_len);
const ADDRESS_LEN_AT: Kind = Make(structs::address_len_at);
const MESSAGE_FLAGS: Kind = Flags(
    bits!(libc: MSG_DONTWAIT MSG_DONTWAIT MSG_PEEK MSG_TRUNC MSG_WAITALL MSG_NOSIGNAL MSG_OOB MSG_MORE MSG_EOR MSG_CTRUNC MSG_ERRQUEUE
    MSG_CMSG_CLOEXEC MSG_WAITFORONE MSG_DONTROUTE MSG_CONFIRM MSG_FASTOPEN MSG_ZEROCOPY),
);
const LEVEL: Kind = One(
    bits!(libc: SOL_SOCKET SOL_SOCKET IPPROTO_TCP IPPROTO_IP IPPROTO_IPV6 IPPROTO_UDP SOL_NETLINK SOL_PACKET IPPROTO_ICMPV6),
);
const TYPE: Kind = Make(|gen_| {
    let kind = gen_.rng.pick(bits!(libc: SOCK_STREAM SOCK_STREAM SOCK_DGRAM SOCK_DGRAM SOCK_SEQPACKET SOCK_RAW));
    kind | if gen_.rng.chance(70) { libc::SOCK_NONBLOCK as u64 } else { 0 } | gen_.flags(bits!(libc: SOCK_CLOEXEC))
});

/// All of them.
#[rustfmt::skip]
pub const SOCKETS: &[Call] = calls![
    socket(One(bits!(libc: AF_UNIX AF_UNIX AF_INET AF_INET AF_INET6 AF_NETLINK AF_PACKET AF_ALG AF_VSOCK AF_BLUETOOTH)), TYPE,
        One(&[0, 0, 0, 0, 6, 17, 1, 58, 15, 4, 12, 255])) = Gives::Fd(Class::Inet);
    socketpair(One(bits!(libc: AF_UNIX AF_UNIX AF_UNIX AF_INET)), TYPE, One(&[0]), Bytes(8)) = Gives::Pair(3, Class::Unix);
    bind(SOCKET, ADDRESS, ADDRESS_LEN);
    connect(SOCKET, ADDRESS, ADDRESS_LEN);
    listen(SOCKET, Small(6));
    accept(SOCKET, ADDRESS0, ADDRESS_LEN_AT) = Gives::Fd(Class::Inet), 1 in 2;
    accept4(SOCKET, ADDRESS0, ADDRESS_LEN_AT, Flags(bits!(libc: SOCK_NONBLOCK SOCK_NONBLOCK SOCK_CLOEXEC))) = Gives::Fd(Class::Inet), 1 in 2;
    shutdown(SOCKET, Small(3)), 1 in 3;
    getsockname(SOCKET, ADDRESS, ADDRESS_LEN_AT);
    getpeername(SOCKET, ADDRESS, ADDRESS_LEN_AT);
    sendto(SOCKET, Make(|gen_| if gen_.rng.chance(30) { structs::netlink(gen_) } else { gen_.buffer() }), Len, MESSAGE_FLAGS, ADDRESS0, ADDRESS_LEN);
    recvfrom(SOCKET, Buf, Len, MESSAGE_FLAGS, ADDRESS0, ADDRESS_LEN_AT);
    sendmsg(SOCKET, Make(structs::message), MESSAGE_FLAGS);
    recvmsg(SOCKET, Make(structs::message), MESSAGE_FLAGS);
    sendmmsg(SOCKET, Make(structs::messages), Small(4), MESSAGE_FLAGS);
    recvmmsg(SOCKET, Make(structs::messages), Small(4), MESSAGE_FLAGS, Make(structs::timespec_or_null));
    getsockopt(SOCKET, LEVEL, Small(80), Make(|gen_| gen_.any(64)), ADDRESS_LEN_AT);
    setsockopt(SOCKET, LEVEL, Small(80), Make(option), One(&[4, 4, 4, 4, 1, 8, 16, 16, 12, 20, 40, 0, 136]));
];

/// An option's value: a number, a time, a filter, a group.
fn option(gen_: &mut crate::value::Gen) -> u64 {
    match gen_.rng.below(6) {
        0 => structs::filter(gen_),
        1 => structs::timespec(gen_),
        2 => structs::address(gen_),
        3 => gen_.any(32),
        _ => {
            let number = gen_.int() as u32;
            gen_.halves(&[number, 0, 0, 0])
        }
    }
}
