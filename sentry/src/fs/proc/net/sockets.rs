//! `/proc/net`: sockets that are not TCP's and UDP's, and sums of all.

use super::{TIME_WAIT, rows, table};
use crate::errno::Errno;
use crate::net::address::UnixName;
use crate::net::inet::{Family, echo_rows, raw_rows, tcp_rows, udp_rows};
use crate::net::table::{self as sockets, Doing};
use crate::net::{Address, NetNs, packet};
use crate::task::Current;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use linux_raw_sys::net as abi;

type Content = Result<Vec<u8>, Errno>;

const UNIX_HEAD: &str = "Num       RefCount Protocol Flags    Type St Inode Path\n";
const PACKET_HEAD: &str = "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n";
const NETLINK_HEAD: &str =
    "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode    \n";
const RAW_HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops";
const RAW6_HEAD: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops";
const TAIL: &str = "2 0000000000000000 0";

pub(super) fn raw<C>(current: &Current, _: &C) -> Content {
    Ok(table(RAW_HEAD, Family::V4, &rows(current, raw_rows()), TAIL))
}

pub(super) fn raw6<C>(current: &Current, _: &C) -> Content {
    Ok(table(RAW6_HEAD, Family::V6, &rows(current, raw_rows()), TAIL))
}

pub(super) fn icmp<C>(current: &Current, _: &C) -> Content {
    Ok(table(RAW_HEAD, Family::V4, &rows(current, echo_rows()), TAIL))
}

pub(super) fn icmp6<C>(current: &Current, _: &C) -> Content {
    Ok(table(RAW6_HEAD, Family::V6, &rows(current, echo_rows()), TAIL))
}

pub(super) fn unix<C>(current: &Current, _: &C) -> Content {
    /// __SO_ACCEPTCON; SS_UNCONNECTED and SS_CONNECTED.
    const LISTENING: u32 = abi::__SO_ACCEPTCON;
    const UNCONNECTED: u8 = 1;
    const CONNECTED: u8 = 3;
    let mut text = Vec::from(UNIX_HEAD);
    for listed in sockets::of(abi::AF_UNIX, NetNs::key(&NetNs::of(current))) {
        let Some(row) = listed.ops.unix_row() else { continue };
        let (flags, state, references) = match row.doing {
            Doing::Nothing => (0, UNCONNECTED, 2),
            Doing::Listening => (LISTENING, UNCONNECTED, 2),
            Doing::Talking => (0, CONNECTED, 3),
        };
        let (kind, inode) = (listed.kind.number(), listed.options.identity().1);
        text.extend_from_slice(
            format!("{:016x}: {references:08X} 00000000 {flags:08X} {kind:04X} {state:02X} {inode:5}", 0).as_bytes(),
        );
        match row.name {
            UnixName::Unnamed => {}
            UnixName::Path(path) => text.extend([b" ", &path[..]].concat()),
            // Bytes of zero are shown as `@`, the first as well.
            UnixName::Abstract(name) => {
                text.extend_from_slice(b" @");
                text.extend(name.iter().map(|byte| if *byte == 0 { b'@' } else { *byte }));
            }
        }
        text.push(b'\n');
    }
    Ok(text)
}

pub(super) fn packet<C>(current: &Current, _: &C) -> Content {
    let network = NetNs::key(&NetNs::of(current));
    let mut text = String::from(PACKET_HEAD);
    for shown in packet::shown() {
        let (uid, inode, its) = shown.identity;
        if its == network {
            let (kind, running) = (shown.kind.number(), u8::from(shown.protocol != 0));
            text += &format!(
                "{:016x} {:<6} {kind:<4} {:04x}   {:<5} {running:1} {:<6} {uid:<6} {inode:<6}\n",
                0, 3, shown.protocol, shown.interface, shown.used
            );
        }
    }
    Ok(text.into_bytes())
}

pub(super) fn netlink<C>(current: &Current, _: &C) -> Content {
    let mut text = String::from(NETLINK_HEAD);
    for listed in sockets::of(abi::AF_NETLINK, NetNs::key(&NetNs::of(current))) {
        let Address::Netlink { pid, groups } = listed.ops.local_address() else { continue };
        let (protocol, inode) = (listed.protocol, listed.options.identity().1);
        text += &format!(
            "{:016x} {protocol:<3} {pid:<10} {groups:08x} {:<8} {:<8} {:<5} {:<8} {:<8} {inode:<8}\n",
            0, 0, 0, 0, 2, 0
        );
    }
    Ok(text.into_bytes())
}

pub(super) fn sockstat<C>(current: &Current, _: &C) -> Content {
    let (tcp, udp, raw) = (rows(current, tcp_rows()), rows(current, udp_rows()), rows(current, raw_rows()));
    let orphans = tcp.iter().filter(|row| row.inode == 0 && row.state != TIME_WAIT).count();
    let waiting = tcp.iter().filter(|row| row.state == TIME_WAIT).count();
    let v4 = |rows: &[crate::net::inet::Row]| {
        rows.iter().filter(|row| row.family == Family::V4 && row.state != TIME_WAIT).count()
    };
    let used = sockets::count(NetNs::key(&NetNs::of(current)));
    let alloc = tcp.len() - waiting;
    Ok(format!(
        "sockets: used {used}\nTCP: inuse {} orphan {orphans} tw {waiting} alloc {alloc} mem 0\nUDP: inuse {} mem 0\nUDPLITE: inuse 0\nRAW: inuse {}\nFRAG: inuse 0 memory 0\n",
        v4(&tcp),
        v4(&udp),
        v4(&raw),
    )
    .into_bytes())
}

pub(super) fn sockstat6<C>(current: &Current, _: &C) -> Content {
    let count =
        |all| rows(current, all).iter().filter(|row| row.family == Family::V6 && row.state != TIME_WAIT).count();
    Ok(format!(
        "TCP6: inuse {}\nUDP6: inuse {}\nUDPLITE6: inuse 0\nRAW6: inuse {}\nFRAG6: inuse 0 memory 0\n",
        count(tcp_rows()),
        count(udp_rows()),
        count(raw_rows())
    )
    .into_bytes())
}

/// Counters of the protocols; what is counted is how many connections there are.
pub(super) fn snmp<C>(current: &Current, _: &C) -> Content {
    /// TCP_ESTABLISHED and TCP_CLOSE_WAIT (include/net/tcp_states.h).
    const CURRENT: [u8; 2] = [1, 8];
    let established = rows(current, tcp_rows()).iter().filter(|row| CURRENT.contains(&row.state)).count();
    let ttl = crate::settings::TTL.load(core::sync::atomic::Ordering::Relaxed);
    let mut text = String::new();
    let mut counters = |name: &str, heads: &str, known: &[(usize, &str)]| {
        text += &format!("{name}: {heads}\n{name}:");
        for (index, _) in heads.split(' ').enumerate() {
            let value = known.iter().find(|(place, _)| *place == index).map_or("0", |(_, value)| *value);
            text += &format!(" {value}");
        }
        text.push('\n');
    };
    counters("Ip", IP, &[(0, "2"), (1, &format!("{ttl}"))]);
    counters("Icmp", ICMP, &[]);
    let established = format!("{established}");
    counters("Tcp", TCP, &[(0, "1"), (1, "200"), (2, "120000"), (3, "-1"), (8, &established)]);
    counters("Udp", UDP, &[]);
    counters("UdpLite", UDP, &[]);
    Ok(text.into_bytes())
}

const IP: &str = "Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates";
const ICMP: &str = "InMsgs InErrors InCsumErrors InDestUnreachs InTimeExcds InParmProbs InSrcQuenchs InRedirects InEchos InEchoReps InTimestamps InTimestampReps InAddrMasks InAddrMaskReps OutMsgs OutErrors OutRateLimitGlobal OutRateLimitHost OutDestUnreachs OutTimeExcds OutParmProbs OutSrcQuenchs OutRedirects OutEchos OutEchoReps OutTimestamps OutTimestampReps OutAddrMasks OutAddrMaskReps";
const TCP: &str = "RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors";
const UDP: &str =
    "InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors";
