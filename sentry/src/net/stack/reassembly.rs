//! Putting fragments together again (RFC 791, RFC 8200 4.5). Lock: `Rank::Leaf`.

use super::packet::{HEADER4, HEADER6, Header, Parsed};
use crate::sync::{Lock, Rank};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

/// How long the rest of a packet may take (net.ipv4.ipfrag_time).
const PATIENCE_NS: u64 = 30_000_000_000;
/// Bytes of all packets that are incomplete (net.ipv4.ipfrag_high_thresh).
const MAX_BYTES: usize = 4 << 20;
/// Pieces of one packet.
const MAX_PIECES: usize = 128;
/// Payload of an IP packet at most.
const MAX_PAYLOAD: usize = 65535;

type Key = (IpAddr, IpAddr, u8, u32);

struct Partial {
    until_ns: u64,
    /// Bytes by their offset.
    pieces: BTreeMap<usize, Vec<u8>>,
    total: Option<usize>,
    bytes: usize,
    ttl: u8,
    tos: u8,
}

#[derive(Default)]
struct Table {
    partial: BTreeMap<Key, Partial>,
    bytes: usize,
}

static TABLE: Lock<Table> = Lock::new(Rank::Leaf, Table { partial: BTreeMap::new(), bytes: 0 });

/// Takes a fragment; the whole packet, without fragment headers, when this was the last that was missing.
pub fn add(parsed: &Parsed<'_>, now_ns: u64) -> Option<Vec<u8>> {
    let fragment = parsed.fragment?;
    let key = (parsed.from, parsed.to, parsed.protocol, fragment.id);
    let end = fragment.offset + parsed.payload.len();
    let ragged = fragment.more && !parsed.payload.len().is_multiple_of(8);
    let mut table = TABLE.lock();
    table.expire(now_ns);
    if end > MAX_PAYLOAD || ragged || parsed.payload.is_empty() {
        return None;
    }
    while table.bytes + parsed.payload.len() > MAX_BYTES {
        let oldest = table.partial.iter().min_by_key(|(_, partial)| partial.until_ns).map(|(key, _)| *key)?;
        table.remove(&oldest);
    }
    let partial = table.partial.entry(key).or_insert_with(|| Partial {
        until_ns: now_ns + PATIENCE_NS,
        pieces: BTreeMap::new(),
        total: None,
        bytes: 0,
        ttl: parsed.ttl,
        tos: parsed.tos,
    });
    // Overlapping pieces are an attack or an accident: such a packet is dropped (RFC 5722), but a piece that came twice is not.
    let before = partial.pieces.range(..end).next_back().map(|(offset, piece)| (*offset, piece.len()));
    if let Some((offset, len)) = before {
        if offset == fragment.offset && len == parsed.payload.len() {
            return None;
        }
        if offset + len > fragment.offset {
            table.remove(&key);
            return None;
        }
    }
    if partial.pieces.len() >= MAX_PIECES || partial.total.is_some_and(|total| end > total) {
        table.remove(&key);
        return None;
    }
    if !fragment.more {
        partial.total = Some(end);
    }
    partial.pieces.insert(fragment.offset, parsed.payload.to_vec());
    partial.bytes += parsed.payload.len();
    let (have, total) = (partial.bytes, partial.total);
    table.bytes += parsed.payload.len();
    if total != Some(have) {
        return None;
    }
    let whole = table.remove(&key)?;
    let mut payload = vec![0; have];
    for (offset, piece) in whole.pieces {
        payload.get_mut(offset..offset + piece.len())?.copy_from_slice(&piece);
    }
    let header = Header { ttl: whole.ttl, tos: whole.tos, ..Header::new(parsed.from, parsed.to, parsed.protocol) };
    let room = if parsed.to.is_ipv4() { MAX_PAYLOAD - HEADER4 } else { MAX_PAYLOAD };
    if have > room {
        return None;
    }
    let mut bytes = Vec::with_capacity(HEADER6 + have);
    header.put(&mut bytes, have);
    bytes.extend_from_slice(&payload);
    Some(bytes)
}

impl Table {
    fn expire(&mut self, now_ns: u64) {
        let late: Vec<Key> =
            self.partial.iter().filter(|(_, partial)| partial.until_ns <= now_ns).map(|(key, _)| *key).collect();
        for key in late {
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &Key) -> Option<Partial> {
        let partial = self.partial.remove(key)?;
        self.bytes = self.bytes.saturating_sub(partial.bytes);
        Some(partial)
    }
}

#[cfg(test)]
mod tests {
    use super::{Parsed, add};
    use crate::fake;
    use crate::net::stack::packet::{Header, UDP};
    use std::vec::Vec;

    fn fragments(from: [u8; 4], id: u32) -> (Vec<u8>, Vec<Vec<u8>>) {
        let payload: Vec<u8> = (0..5000_u32).map(|n| (n / 7) as u8).collect();
        let header = Header::new(from.into(), [192, 0, 2, 2].into(), UDP);
        let packets = header.packets(&payload, None, 1500, id);
        (payload, packets.into_iter().map(|packet| packet.bytes).collect())
    }

    #[test]
    fn fragments_in_any_order_make_the_packet() {
        fake::install();
        let (payload, mut pieces) = fragments([192, 0, 2, 1], 5);
        pieces.reverse();
        pieces.insert(1, pieces[0].clone());
        let mut whole = Vec::new();
        for piece in &pieces {
            whole.extend(add(&Parsed::new(piece).unwrap(), 0));
        }
        assert_eq!(whole.len(), 1);
        let parsed = Parsed::new(&whole[0]).unwrap();
        assert_eq!((parsed.payload, parsed.fragment), (&payload[..], None));
    }

    #[test]
    fn a_late_or_overlapping_fragment_ends_the_packet() {
        fake::install();
        let (_, pieces) = fragments([192, 0, 2, 3], 6);
        let (last, first) = pieces.split_last().unwrap();
        let late: Vec<_> = first.iter().filter_map(|piece| add(&Parsed::new(piece).unwrap(), 0)).collect();
        assert!(late.is_empty());
        assert_eq!(add(&Parsed::new(last).unwrap(), 31_000_000_000), None);
        let header = Header::new([192, 0, 2, 4].into(), [192, 0, 2, 2].into(), UDP);
        let other = header.packets(&[1; 3000], None, 1000, 9);
        add(&Parsed::new(&other[0].bytes).unwrap(), 0);
        let shifted = header.packets(&[1; 3000], None, 900, 9);
        assert_eq!(add(&Parsed::new(&shifted[1].bytes).unwrap(), 0), None);
    }
}
