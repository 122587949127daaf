//! Names of what calls on sockets take.

use super::{CHOICE, Name};
use linux_raw_sys::{general, net, netlink};

pub(super) const FAMILY: &[Name] = names! {
    in (CHOICE) {
        net::AF_UNSPEC, net::AF_UNIX, net::AF_INET, net::AF_AX25, net::AF_IPX, net::AF_APPLETALK, net::AF_INET6,
        net::AF_KEY, net::AF_NETLINK, net::AF_PACKET, net::AF_RDS, net::AF_CAN, net::AF_TIPC, net::AF_BLUETOOTH,
        net::AF_ALG, net::AF_NFC, net::AF_VSOCK, net::AF_KCM, net::AF_QIPCRTR, net::AF_SMC, net::AF_XDP,
    }
};

pub(super) const SOCKET_TYPE: &[Name] = names! {
    in (!(general::O_CLOEXEC|general::O_NONBLOCK)) {
        net::SOCK_STREAM, net::SOCK_DGRAM, net::SOCK_RAW, net::SOCK_RDM, net::SOCK_SEQPACKET,
    }
    bits { general::O_CLOEXEC = "SOCK_CLOEXEC", general::O_NONBLOCK = "SOCK_NONBLOCK" }
};

pub(super) const SOCKET_FLAGS: &[Name] = names! {
    bits { general::O_CLOEXEC = "SOCK_CLOEXEC", general::O_NONBLOCK = "SOCK_NONBLOCK" }
};

pub(super) const PROTOCOL: &[Name] = names! {
    in (CHOICE) {
        net::IPPROTO_IP, net::IPPROTO_ICMP, net::IPPROTO_IGMP, net::IPPROTO_IPIP, net::IPPROTO_TCP, net::IPPROTO_EGP,
        net::IPPROTO_UDP, net::IPPROTO_DCCP, net::IPPROTO_IPV6, net::IPPROTO_GRE, net::IPPROTO_ESP, net::IPPROTO_AH,
        net::IPPROTO_ICMPV6, net::IPPROTO_SCTP, net::IPPROTO_UDPLITE, net::IPPROTO_RAW, net::IPPROTO_MPTCP,
    }
};

pub(super) const NETLINK: &[Name] = names! {
    in (CHOICE) {
        netlink::NETLINK_ROUTE, netlink::NETLINK_USERSOCK, netlink::NETLINK_FIREWALL, netlink::NETLINK_SOCK_DIAG,
        netlink::NETLINK_NFLOG, netlink::NETLINK_XFRM, netlink::NETLINK_SELINUX, netlink::NETLINK_AUDIT,
        netlink::NETLINK_FIB_LOOKUP, netlink::NETLINK_CONNECTOR, netlink::NETLINK_NETFILTER,
        netlink::NETLINK_KOBJECT_UEVENT, netlink::NETLINK_GENERIC, netlink::NETLINK_CRYPTO,
    }
};

pub(super) const MESSAGE: &[Name] = names! {
    bits {
        net::MSG_OOB, net::MSG_PEEK, net::MSG_DONTROUTE, net::MSG_CTRUNC, net::MSG_TRUNC, net::MSG_DONTWAIT,
        net::MSG_EOR, net::MSG_WAITALL, net::MSG_FIN, net::MSG_SYN, net::MSG_CONFIRM, net::MSG_RST, net::MSG_ERRQUEUE,
        net::MSG_NOSIGNAL, net::MSG_MORE, libc::MSG_WAITFORONE, libc::MSG_ZEROCOPY, libc::MSG_FASTOPEN,
        net::MSG_CMSG_CLOEXEC,
    }
};

/// Kinds of control messages of the socket itself.
pub(in crate::trace) const CONTROL: &[Name] = names! {
    in (CHOICE) {
        net::SCM_RIGHTS, net::SCM_CREDENTIALS, net::SCM_SECURITY, net::SCM_TIMESTAMP = "SO_TIMESTAMP_OLD",
        net::SCM_TIMESTAMPNS = "SO_TIMESTAMPNS_OLD", net::SCM_TIMESTAMPING = "SO_TIMESTAMPING_OLD",
    }
};

pub(super) const SHUTDOWN: &[Name] = names! {
    in (CHOICE) { net::SHUT_RD, net::SHUT_WR, net::SHUT_RDWR }
};

pub(super) const SOCKET_LEVEL: &[Name] = names! {
    in (CHOICE) {
        net::SOL_SOCKET, net::SOL_IP, net::SOL_TCP, net::SOL_UDP, net::SOL_IPV6, net::SOL_RAW, net::SOL_NETLINK,
        net::SOL_PACKET,
    }
};

pub(super) const SOCKET_OPTION: &[Name] = names! {
    in (CHOICE) {
        net::SO_DEBUG, net::SO_REUSEADDR, net::SO_TYPE, net::SO_ERROR, net::SO_DONTROUTE, net::SO_BROADCAST,
        net::SO_SNDBUF, net::SO_RCVBUF, net::SO_KEEPALIVE, net::SO_OOBINLINE, net::SO_NO_CHECK, net::SO_PRIORITY,
        net::SO_LINGER, net::SO_BSDCOMPAT, net::SO_REUSEPORT, net::SO_PASSCRED, net::SO_PEERCRED, net::SO_RCVLOWAT,
        net::SO_SNDLOWAT, net::SO_RCVTIMEO, net::SO_SNDTIMEO, net::SO_BINDTODEVICE, net::SO_ATTACH_FILTER,
        net::SO_DETACH_FILTER, net::SO_PEERNAME, net::SO_TIMESTAMP, net::SO_ACCEPTCONN, net::SO_PEERSEC,
        net::SO_SNDBUFFORCE, net::SO_RCVBUFFORCE, net::SO_PASSSEC, net::SO_TIMESTAMPNS, net::SO_MARK,
        net::SO_TIMESTAMPING, net::SO_PROTOCOL, net::SO_DOMAIN, net::SO_RXQ_OVFL, net::SO_PEEK_OFF,
        net::SO_LOCK_FILTER, net::SO_BUSY_POLL, net::SO_INCOMING_CPU, net::SO_ATTACH_BPF, net::SO_INCOMING_NAPI_ID,
        net::SO_COOKIE, net::SO_PEERGROUPS, net::SO_ZEROCOPY, net::SO_TXTIME,
    }
};

pub(super) const IP_OPTION: &[Name] = names! {
    in (CHOICE) {
        net::IP_TOS, net::IP_TTL, net::IP_HDRINCL, net::IP_OPTIONS, net::IP_ROUTER_ALERT, net::IP_RECVOPTS,
        net::IP_RETOPTS, net::IP_PKTINFO, net::IP_PKTOPTIONS, net::IP_MTU_DISCOVER, net::IP_RECVERR, net::IP_RECVTTL,
        net::IP_RECVTOS, net::IP_MTU, net::IP_FREEBIND, net::IP_PASSSEC, net::IP_TRANSPARENT,
        net::IP_BIND_ADDRESS_NO_PORT, net::IP_MULTICAST_IF, net::IP_MULTICAST_TTL, net::IP_MULTICAST_LOOP,
        net::IP_ADD_MEMBERSHIP, net::IP_DROP_MEMBERSHIP,
    }
};

pub(super) const IPV6_OPTION: &[Name] = names! {
    in (CHOICE) {
        net::IPV6_UNICAST_HOPS, net::IPV6_MULTICAST_IF, net::IPV6_MULTICAST_HOPS, net::IPV6_MULTICAST_LOOP,
        net::IPV6_ADD_MEMBERSHIP, net::IPV6_DROP_MEMBERSHIP, net::IPV6_MTU_DISCOVER, net::IPV6_MTU, net::IPV6_RECVERR,
        net::IPV6_V6ONLY, net::IPV6_RECVPKTINFO, net::IPV6_PKTINFO, net::IPV6_RECVHOPLIMIT, net::IPV6_HOPLIMIT,
        net::IPV6_RECVTCLASS, net::IPV6_TCLASS, net::IPV6_TRANSPARENT, net::IPV6_FREEBIND,
    }
};

pub(super) const TCP_OPTION: &[Name] = names! {
    in (CHOICE) {
        net::TCP_NODELAY, net::TCP_MAXSEG, net::TCP_CORK, net::TCP_KEEPIDLE, net::TCP_KEEPINTVL, net::TCP_KEEPCNT,
        net::TCP_SYNCNT, net::TCP_LINGER2, net::TCP_DEFER_ACCEPT, net::TCP_WINDOW_CLAMP, net::TCP_INFO,
        net::TCP_QUICKACK, net::TCP_CONGESTION, net::TCP_MD5SIG, net::TCP_USER_TIMEOUT, net::TCP_REPAIR,
        net::TCP_FASTOPEN, net::TCP_TIMESTAMP, net::TCP_NOTSENT_LOWAT, net::TCP_SAVE_SYN, net::TCP_SAVED_SYN,
        net::TCP_ULP, net::TCP_FASTOPEN_CONNECT, net::TCP_INQ,
    }
};
