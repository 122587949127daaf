//! Who has which address on a link: ARP (RFC 826) and neighbour discovery (RFC 4861).
//!
//! Packets for a neighbour that is not known yet wait here, a few of them, while it is asked for. Lock: `Rank::Leaf`; nothing is
//! sent with it held.

use super::checksum;
use super::packet::{Header, ICMP6, Packet, set_u16};
use crate::sync::{Lock, Rank};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An Ethernet address.
pub type Mac = [u8; 6];

/// Everybody.
pub const BROADCAST: Mac = [0xff; 6];
/// How long an answer counts without being confirmed (RFC 4861, 10: REACHABLE_TIME).
const FRESH_NS: u64 = 30_000_000_000;
/// Between two questions (RETRANS_TIMER).
pub const RETRY_NS: u64 = 1_000_000_000;
/// Questions before giving up (MAX_MULTICAST_SOLICIT).
const TRIES: u32 = 3;
/// Packets that wait for one neighbour (Linux's unres_qlen counts about as many).
const MAX_WAITING: usize = 64;
/// Neighbours remembered (gc_thresh3 of the kernel).
const MAX_NEIGHBOURS: usize = 1024;

enum State {
    /// Asked for; how often, when again, and what waits.
    Asked { tries: u32, next_ns: u64, waiting: Vec<Packet> },
    /// Known until then; after that it is asked for again, and used meanwhile.
    Known { mac: Mac, until_ns: u64, asked: u32 },
    /// Somebody entered it for good.
    Permanent(Mac),
}

/// What is known of a neighbour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// Its hardware address.
    pub mac: Mac,
    /// Somebody entered it for good.
    pub permanent: bool,
    /// It answered a moment ago.
    pub fresh: bool,
}

impl State {
    fn known(&self, now_ns: u64) -> Option<Neighbour> {
        match self {
            Self::Permanent(mac) => Some(Neighbour { mac: *mac, permanent: true, fresh: true }),
            Self::Known { mac, until_ns, .. } => {
                Some(Neighbour { mac: *mac, permanent: false, fresh: now_ns < *until_ns })
            }
            Self::Asked { .. } => None,
        }
    }
}

/// The neighbours on one link.
pub struct Neighbours {
    table: Lock<BTreeMap<IpAddr, State>>,
}

/// What becomes of a packet.
pub enum Resolved {
    /// It can go; the flag says that the neighbour should be asked for besides.
    Go(Packet, Mac, bool),
    /// It waits; the flag says that the neighbour is to be asked for.
    Waits(bool),
}

/// What is due.
#[derive(Default)]
pub struct Due {
    /// Ask for these.
    pub ask: Vec<IpAddr>,
    /// These did not answer; what waited for them.
    pub failed: Vec<Packet>,
    /// When to look again.
    pub next_ns: Option<u64>,
}

impl Neighbours {
    /// None.
    pub const fn new() -> Self {
        Self { table: Lock::new(Rank::Leaf, BTreeMap::new()) }
    }

    /// Enters one: for good, or as if it had just answered, or a while ago. Returns what waited for it.
    pub fn enter(&self, ip: IpAddr, known: Neighbour, now_ns: u64) -> Vec<Packet> {
        let Neighbour { mac, permanent, fresh } = known;
        let until_ns = if fresh { now_ns + FRESH_NS } else { now_ns };
        let state = if permanent { State::Permanent(mac) } else { State::Known { mac, until_ns, asked: 0 } };
        let mut table = self.table.lock();
        if !table.contains_key(&ip) {
            make_room(&mut table);
        }
        match table.insert(ip, state) {
            Some(State::Asked { waiting, .. }) => waiting,
            _ => Vec::new(),
        }
    }

    /// Finds the way for a packet.
    pub fn resolve(&self, ip: IpAddr, packet: Packet, now_ns: u64) -> Resolved {
        let mut table = self.table.lock();
        match table.get_mut(&ip) {
            Some(State::Permanent(mac)) => Resolved::Go(packet, *mac, false),
            Some(State::Known { mac, until_ns, asked }) => {
                let ask = now_ns >= *until_ns;
                let mac = *mac;
                if ask && *asked >= TRIES {
                    let waiting = Vec::from([packet]);
                    table.insert(ip, State::Asked { tries: 1, next_ns: now_ns + RETRY_NS, waiting });
                    return Resolved::Waits(true);
                }
                if ask {
                    *asked += 1;
                    *until_ns = now_ns + RETRY_NS;
                }
                Resolved::Go(packet, mac, ask)
            }
            Some(State::Asked { waiting, .. }) => {
                if waiting.len() < MAX_WAITING {
                    waiting.push(packet);
                }
                Resolved::Waits(false)
            }
            None => {
                make_room(&mut table);
                let waiting = Vec::from([packet]);
                table.insert(ip, State::Asked { tries: 1, next_ns: now_ns + RETRY_NS, waiting });
                Resolved::Waits(true)
            }
        }
    }

    /// `ip` is at `mac`. Unless `create`, only where somebody asked before. Returns what waited for it.
    pub fn learn(&self, ip: IpAddr, mac: Mac, create: bool, now_ns: u64) -> Vec<Packet> {
        // Multicast and all-zero addresses are nobody's.
        if mac[0] & 1 != 0 || mac == [0; 6] {
            return Vec::new();
        }
        let mut table = self.table.lock();
        let known = State::Known { mac, until_ns: now_ns + FRESH_NS, asked: 0 };
        match table.get_mut(&ip) {
            Some(State::Permanent(_)) => Vec::new(),
            Some(state) => match core::mem::replace(state, known) {
                State::Asked { waiting, .. } => waiting,
                _ => Vec::new(),
            },
            None if create => {
                make_room(&mut table);
                table.insert(ip, known);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// Looks which questions are to be asked again and which are given up.
    pub fn due(&self, now_ns: u64) -> Due {
        let mut table = self.table.lock();
        let mut due = Due::default();
        table.retain(|ip, state| {
            let State::Asked { tries, next_ns, waiting } = state else { return true };
            if now_ns >= *next_ns {
                if *tries >= TRIES {
                    due.failed.append(waiting);
                    return false;
                }
                *tries += 1;
                *next_ns = now_ns + RETRY_NS;
                due.ask.push(*ip);
            }
            due.next_ns = Some(due.next_ns.map_or(*next_ns, |least| least.min(*next_ns)));
            true
        });
        due
    }

    /// Takes one out; what was known.
    pub fn forget(&self, ip: IpAddr, now_ns: u64) -> Option<Neighbour> {
        self.table.lock().remove(&ip)?.known(now_ns)
    }

    /// What is known of one.
    pub fn get(&self, ip: IpAddr, now_ns: u64) -> Option<Neighbour> {
        self.table.lock().get(&ip)?.known(now_ns)
    }

    /// Forgets all.
    pub fn clear(&self) {
        let gone = core::mem::take(&mut *self.table.lock());
        drop(gone);
    }

    /// All that are known.
    pub fn list(&self, now_ns: u64) -> Vec<(IpAddr, Neighbour)> {
        self.table.lock().iter().filter_map(|(ip, state)| Some((*ip, state.known(now_ns)?))).collect()
    }
}

/// Forgets somebody when there are too many: one whose answer is oldest.
fn make_room(table: &mut BTreeMap<IpAddr, State>) {
    if table.len() < MAX_NEIGHBOURS {
        return;
    }
    let age = |state: &State| match state {
        State::Permanent(_) => u64::MAX,
        State::Known { until_ns, .. } => *until_ns,
        State::Asked { next_ns, .. } => *next_ns,
    };
    if let Some(ip) = table.iter().min_by_key(|(_, state)| age(state)).map(|(ip, _)| *ip) {
        table.remove(&ip);
    }
}

/// The hardware address of a multicast group (RFC 1112, RFC 2464); `None` for one neighbour's address.
pub fn group_mac(ip: IpAddr) -> Option<Mac> {
    match ip {
        IpAddr::V4(ip) if ip.is_multicast() => {
            let [_, b, c, d] = ip.octets();
            Some([0x01, 0x00, 0x5e, b & 0x7f, c, d])
        }
        IpAddr::V6(ip) if ip.is_multicast() => {
            let [.., a, b, c, d] = ip.octets();
            Some([0x33, 0x33, a, b, c, d])
        }
        _ => None,
    }
}

/// The group in which a neighbour listens for those who look for it.
pub fn solicited_group(ip: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = ip.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// ARP's operations.
const REQUEST: u16 = 1;
const REPLY: u16 = 2;
/// Hardware Ethernet, protocol IPv4, their lengths.
const ARP_HEAD: [u8; 6] = [0, 1, 8, 0, 6, 4];
/// Bytes of an ARP packet.
const ARP_BYTES: usize = 28;

/// An ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// An answer, not a question.
    pub reply: bool,
    /// Who says it.
    pub sender: (Mac, Ipv4Addr),
    /// Whom it is about.
    pub target: (Mac, Ipv4Addr),
}

impl Arp {
    /// Takes one apart.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<ARP_BYTES>()?;
        let (head, rest) = bytes.split_first_chunk::<6>()?;
        let (operation, rest) = rest.split_first_chunk::<2>()?;
        let reply = match u16::from_be_bytes(*operation) {
            REQUEST => false,
            REPLY => true,
            _ => return None,
        };
        let (sender_mac, rest) = rest.split_first_chunk::<6>()?;
        let (sender_ip, rest) = rest.split_first_chunk::<4>()?;
        let (target_mac, rest) = rest.split_first_chunk::<6>()?;
        let target_ip = rest.first_chunk::<4>()?;
        let pair = |mac: &Mac, ip: &[u8; 4]| (*mac, Ipv4Addr::from(*ip));
        (*head == ARP_HEAD).then(|| Self {
            reply,
            sender: pair(sender_mac, sender_ip),
            target: pair(target_mac, target_ip),
        })
    }

    /// Puts it together.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ARP_BYTES);
        bytes.extend_from_slice(&ARP_HEAD);
        bytes.extend_from_slice(&(if self.reply { REPLY } else { REQUEST }).to_be_bytes());
        for (mac, ip) in [self.sender, self.target] {
            bytes.extend_from_slice(&mac);
            bytes.extend_from_slice(&ip.octets());
        }
        bytes
    }
}

/// ICMPv6 types of neighbour discovery.
pub const SOLICITATION: u8 = 135;
/// An answer.
pub const ADVERTISEMENT: u8 = 136;
/// Options: the sender's and the target's hardware address.
const SOURCE_OPTION: u8 = 1;
const TARGET_OPTION: u8 = 2;
/// Only packets that no router has touched count (RFC 4861, 7.1).
pub const HOP_LIMIT: u8 = 255;
/// Flags of an advertisement: solicited, override.
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// The question who has `target`, from `from` at `mac`.
pub fn solicitation(from: Ipv6Addr, mac: Mac, target: Ipv6Addr) -> Packet {
    let to = solicited_group(target);
    discovery(from, to, [SOLICITATION, 0, 0, 0, 0, 0, 0, 0], target, SOURCE_OPTION, mac)
}

/// The answer to `to` that `target` is at `mac`.
pub fn advertisement(target: Ipv6Addr, mac: Mac, to: Ipv6Addr) -> Packet {
    // Whoever has no address yet is answered through everybody (RFC 4861, 7.2.4).
    let (to, flags) = match to.is_unspecified() {
        true => (Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), OVERRIDE),
        false => (to, SOLICITED | OVERRIDE),
    };
    discovery(target, to, [ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0], target, TARGET_OPTION, mac)
}

fn discovery(from: Ipv6Addr, to: Ipv6Addr, head: [u8; 8], target: Ipv6Addr, option: u8, mac: Mac) -> Packet {
    let mut payload = head.to_vec();
    payload.extend_from_slice(&target.octets());
    payload.extend_from_slice(&[option, 1]);
    payload.extend_from_slice(&mac);
    let pseudo = checksum::pseudo_header(from.into(), to.into(), ICMP6, payload.len());
    let sum = !checksum::add(&[pseudo, checksum::sum(&payload)]);
    set_u16(&mut payload, 2, sum);
    let header = Header { ttl: HOP_LIMIT, ..Header::new(from.into(), to.into(), ICMP6) };
    let mut bytes = Vec::with_capacity(header.header_bytes() + payload.len());
    header.put(&mut bytes, payload.len());
    bytes.extend_from_slice(&payload);
    Packet { bytes, checksum: None, segments: None }
}

/// What a solicitation or advertisement is about, and the hardware address that it tells.
pub fn parse_discovery(payload: &[u8]) -> Option<(Ipv6Addr, Option<Mac>)> {
    let kind = *payload.first()?;
    let target = Ipv6Addr::from(*payload.get(8..)?.first_chunk::<16>()?);
    let wanted = if kind == SOLICITATION { SOURCE_OPTION } else { TARGET_OPTION };
    let mut rest = payload.get(24..)?;
    while let [option, units, ..] = *rest {
        let len = usize::from(units) * 8;
        // Length 0 makes the whole message void (RFC 4861, 4.6).
        let body = rest.get(2..len)?;
        if option == wanted
            && let Some(mac) = body.first_chunk::<6>()
        {
            return Some((target, Some(*mac)));
        }
        rest = rest.get(len..)?;
    }
    Some((target, None))
}

#[cfg(test)]
mod tests {
    use super::{Arp, Neighbours, Resolved, advertisement, parse_discovery, solicitation, solicited_group};
    use crate::fake;
    use crate::net::stack::packet::{Packet, Parsed};
    use core::net::IpAddr;

    #[test]
    fn packets_wait_for_the_answer_and_are_given_up_after_three_questions() {
        fake::install();
        let neighbours = Neighbours::new();
        let ip: IpAddr = [10, 0, 0, 9].into();
        let second = 1_000_000_000;
        assert!(matches!(neighbours.resolve(ip, Packet::default(), 0), Resolved::Waits(true)));
        assert!(matches!(neighbours.resolve(ip, Packet::default(), 0), Resolved::Waits(false)));
        assert_eq!(neighbours.learn(ip, [2, 0, 0, 0, 0, 1], false, 0).len(), 2);
        assert!(matches!(neighbours.resolve(ip, Packet::default(), 0), Resolved::Go(_, [2, ..], false)));
        // Stale: used, and asked for; after three questions without an answer it is gone.
        assert!(matches!(neighbours.resolve(ip, Packet::default(), 31 * second), Resolved::Go(_, _, true)));
        assert!(matches!(neighbours.resolve(ip, Packet::default(), 33 * second), Resolved::Go(_, _, true)));
        assert!(matches!(neighbours.resolve(ip, Packet::default(), 35 * second), Resolved::Go(_, _, true)));
        assert!(matches!(neighbours.resolve(ip, Packet::default(), 37 * second), Resolved::Waits(true)));
        assert_eq!(neighbours.due(38 * second).ask, [ip]);
        assert_eq!(neighbours.due(39 * second).ask, [ip]);
        let due = neighbours.due(40 * second);
        assert_eq!((due.ask.len(), due.failed.len(), due.next_ns), (0, 1, None));
    }

    #[test]
    fn strangers_are_learned_only_when_they_ask_and_groups_never() {
        fake::install();
        let neighbours = Neighbours::new();
        neighbours.learn([10, 0, 0, 1].into(), [2; 6], false, 0);
        neighbours.learn([10, 0, 0, 2].into(), [3; 6], true, 0);
        neighbours.learn([10, 0, 0, 3].into(), [4; 6], true, 0);
        let known: std::vec::Vec<_> = neighbours.list(0).into_iter().map(|(ip, _)| ip).collect();
        assert_eq!(known, [IpAddr::from([10, 0, 0, 3])]);
    }

    #[test]
    fn arp_comes_apart_as_it_was_put_together() {
        let arp = Arp { reply: true, sender: ([2; 6], [10, 0, 0, 1].into()), target: ([4; 6], [10, 0, 0, 2].into()) };
        assert_eq!(Arp::parse(&arp.bytes()), Some(arp));
        assert_eq!(Arp::parse(&arp.bytes()[..27]), None);
    }

    #[test]
    fn discovery_tells_target_and_hardware_address() {
        let (own, other) = ("fd00::1".parse().unwrap(), "fd00::1:2:3".parse().unwrap());
        let question = solicitation(own, [2, 0, 0, 0, 0, 1], other);
        let parsed = Parsed::new(&question.bytes).unwrap();
        assert_eq!(parsed.to, IpAddr::V6(solicited_group(other)));
        assert_eq!(parse_discovery(parsed.payload), Some((other, Some([2, 0, 0, 0, 0, 1]))));
        let answer = advertisement(other, [6, 0, 0, 0, 0, 1], own);
        let parsed = Parsed::new(&answer.bytes).unwrap();
        assert_eq!(parse_discovery(parsed.payload), Some((other, Some([6, 0, 0, 0, 0, 1]))));
        assert_eq!(parse_discovery(&parsed.payload[..31]), None);
    }
}
