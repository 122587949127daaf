//! `/proc/net`: interfaces and sockets, as far as they are counted.

use crate::errno::Errno;
use crate::fs::pseudo::{Context, Item, What, file};
use crate::task::Current;
use alloc::format;
use alloc::vec::Vec;
use core::marker::PhantomData;

/// A table that has no rows: its head line.
macro_rules! empty_table {
    ($name:literal, $head:literal) => {
        file($name, |_, _| Ok(concat!($head, "\n").into()))
    };
}

fn dev<C>(_: &Current, _: &C) -> Result<Vec<u8>, Errno> {
    let head = "Inter-|   Receive                                                |  Transmit\n \
                face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";
    let zeroes = "       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0";
    Ok(format!("{head}    lo:{zeroes}\n").into_bytes())
}

/// The entries of `/proc/PID/net`.
pub struct Net<C>(PhantomData<C>);

impl<C: Context> Net<C> {
    /// The table.
    pub const ITEMS: &'static [Item<C>] = &[
        Item { name: "dev", mode: 0o444, what: What::File(dev::<C>) },
        empty_table!(
            "tcp",
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                                                     "
        ),
        empty_table!(
            "tcp6",
            "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
        ),
        empty_table!(
            "udp",
            "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops             "
        ),
        empty_table!(
            "udp6",
            "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops"
        ),
        empty_table!(
            "raw",
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops"
        ),
        empty_table!("unix", "Num       RefCount Protocol Flags    Type St Inode Path"),
        empty_table!(
            "route",
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT                                                       "
        ),
        empty_table!("arp", "IP address       HW type     Flags       HW address            Mask     Device"),
        empty_table!("packet", "sk       RefCnt Type Proto  Iface R Rmem   User   Inode"),
        empty_table!(
            "netlink",
            "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode"
        ),
        file("if_inet6", |_, _| Ok(b"00000000000000000000000000000001 01 80 10 80       lo\n".to_vec())),
        file("ipv6_route", |_, _| Ok(Vec::new())),
        file("sockstat", |_, _| {
            Ok(b"sockets: used 0\nTCP: inuse 0 orphan 0 tw 0 alloc 0 mem 0\nUDP: inuse 0 mem 0\nRAW: inuse 0\n"
                .to_vec())
        }),
        file("protocols", |_, _| {
            Ok(b"protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re sp bi br ha uh gp em\n".to_vec())
        }),
        file("snmp", |_, _| Ok(SNMP.into())),
    ];
}

const SNMP: &str = "Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates\n\
Ip: 2 64 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n\
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors\n\
Tcp: 1 200 120000 -1 0 0 0 0 0 0 0 0 0 0 0\n\
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors\n\
Udp: 0 0 0 0 0 0 0 0 0\n";
