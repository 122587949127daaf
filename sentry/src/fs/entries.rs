//! The entries of a directory at one time, laid out as getdents64(2) gives them.

use super::regular::FIRST_ENTRY;
use alloc::vec::Vec;
use core::mem::offset_of;
use linux_raw_sys::general::linux_dirent64;

/// Where the name begins in a record.
const HEAD: usize = offset_of!(linux_dirent64, d_name);

/// Directory entries in one piece: a block of the heap for each would cost more than all else.
#[derive(Debug, Default)]
pub struct Entries {
    /// What getdents64(2) gives of them; the first's position is `FIRST_ENTRY`.
    records: Vec<u8>,
    list: Vec<Place>,
}

/// Where an entry's record is, and how long its name.
#[derive(Debug)]
struct Place {
    at: u32,
    len: u16,
}

/// One directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Inode number.
    pub ino: u64,
    /// `DT_*`.
    pub kind: u8,
    /// Name.
    pub name: &'a [u8],
}

/// Bytes of the record of an entry whose name has `len`.
pub fn record_size(len: usize) -> usize {
    (HEAD + len + 1).next_multiple_of(8)
}

/// Adds a `struct linux_dirent64`: d_ino, d_off, d_reclen, d_type, d_name with its NUL; padded to 8 bytes.
#[inline]
pub fn push_record(to: &mut Vec<u8>, Entry { ino, kind, name }: Entry<'_>, next: u64) {
    let size = record_size(name.len());
    let end = to.len() + size;
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&ino.to_le_bytes());
    head[8..16].copy_from_slice(&next.to_le_bytes());
    head[16..18].copy_from_slice(&(size as u16).to_le_bytes());
    head[18] = kind;
    to.extend_from_slice(&head);
    to.extend_from_slice(name);
    // One to eight bytes are missing.
    to.extend_from_slice(&[0; 8]);
    to.truncate(end);
}

/// Takes directory entries.
pub trait DirSink {
    /// Inode number, `DT_*`, name, and the position behind the entry. False: no room, stop (the entry was not taken).
    fn put(&mut self, ino: u64, kind: u8, name: &[u8], next: u64) -> bool;

    /// Those of `entries` from `position` on, as far as there is room.
    fn put_all(&mut self, entries: &Entries, position: u64) {
        put_each(self, entries, position);
    }
}

/// `DirSink::put_all`, one by one.
pub fn put_each(sink: &mut (impl DirSink + ?Sized), entries: &Entries, position: u64) {
    let skip = usize::try_from(position.saturating_sub(FIRST_ENTRY)).unwrap_or(usize::MAX);
    for (next, entry) in (FIRST_ENTRY + 1..).zip(entries.iter()).skip(skip) {
        if !sink.put(entry.ino, entry.kind, entry.name, next) {
            break;
        }
    }
}

impl<F: FnMut(u64, u8, &[u8], u64) -> bool> DirSink for F {
    fn put(&mut self, ino: u64, kind: u8, name: &[u8], next: u64) -> bool {
        self(ino, kind, name, next)
    }
}

impl Entries {
    /// How many.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// The one at `index`.
    pub fn get(&self, index: usize) -> Option<Entry<'_>> {
        self.list.get(index).map(|place| self.entry(place))
    }

    /// All, in the host's order.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.list.iter().map(|place| self.entry(place))
    }

    fn entry(&self, place: &Place) -> Entry<'_> {
        let record = self.records.get(place.at as usize..).and_then(|rest| rest.split_first_chunk::<HEAD>());
        let Some((head, rest)) = record else { return Entry { ino: 0, kind: 0, name: &[] } };
        let [a, b, c, d, e, f, g, h, .., kind] = *head;
        let name = rest.get(..usize::from(place.len)).unwrap_or_default();
        Entry { ino: u64::from_le_bytes([a, b, c, d, e, f, g, h]), kind, name }
    }

    /// The records from `position` on that fit into `room` bytes, the position behind them, and whether they are all there are.
    pub fn records(&self, position: u64, room: usize) -> (&[u8], u64, bool) {
        let first = usize::try_from(position.saturating_sub(FIRST_ENTRY)).unwrap_or(usize::MAX);
        let Some(begin) = self.list.get(first).map(|place| place.at as usize) else { return (&[], position, true) };
        let (mut end, mut last) = (self.records.len(), self.list.len());
        let all = end - begin <= room;
        if !all {
            // The last that begins within the room does not end there.
            last = self.list.partition_point(|place| place.at as usize <= begin + room).saturating_sub(1);
            end = self.list.get(last).map_or(begin, |place| place.at as usize);
        }
        (self.records.get(begin..end).unwrap_or_default(), FIRST_ENTRY + last as u64, all)
    }

    /// Makes room for entries whose records take `bytes`.
    pub fn reserve(&mut self, bytes: usize) {
        self.records.reserve(bytes);
        self.list.reserve(bytes / record_size(1));
    }

    /// Adds one; `None` where there are too many, or its name is too long.
    pub fn push(&mut self, ino: u64, kind: u8, name: &[u8]) -> Option<()> {
        // The length of the record has to fit, too.
        let len = u16::try_from(name.len()).ok().filter(|len| *len <= u16::MAX - HEAD as u16 - 8)?;
        let at = u32::try_from(self.records.len()).ok()?;
        self.list.push(Place { at, len });
        push_record(&mut self.records, Entry { ino, kind, name }, FIRST_ENTRY + self.list.len() as u64);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Entries {
        let mut entries = Entries::default();
        for (ino, name) in [(1, &b"a"[..]), (2, b"four"), (3, b"fives")] {
            entries.push(ino, 8, name).expect("room");
        }
        entries
    }

    #[test]
    fn entries_are_what_was_pushed() {
        let entries = three();
        let names: Vec<_> = entries.iter().map(|entry| (entry.ino, entry.kind, entry.name)).collect();
        assert_eq!(names, [(1, 8, &b"a"[..]), (2, 8, b"four"), (3, 8, b"fives")]);
        assert_eq!(entries.get(1), Some(Entry { ino: 2, kind: 8, name: b"four" }));
        assert_eq!(entries.get(3), None);
        assert_eq!(Entries::default().push(1, 8, &[b'x'; u16::MAX as usize - 8]), None);
    }

    #[test]
    fn records_are_whole_and_say_where_the_next_one_is() {
        let entries = three();
        let (all, next, whole) = entries.records(0, 80);
        assert_eq!((all.len(), next, whole), (80, 5, true));
        assert_eq!(all[24..48], *b"\x02\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\x18\0\x08four\0");
        assert_eq!(all[48 + HEAD..], *b"fives\0\0\0\0\0\0\0\0");
        for (position, room, bytes, next, whole) in [
            (2, 79, 0..48, 4, false),
            (2, 48, 0..48, 4, false),
            (2, 47, 0..24, 3, false),
            (2, 23, 0..0, 2, false),
            (3, 24, 24..48, 4, false),
            (4, 32, 48..80, 5, true),
            (4, 31, 0..0, 4, false),
            (5, 80, 0..0, 5, true),
            (u64::MAX, 80, 0..0, u64::MAX, true),
        ] {
            assert_eq!(entries.records(position, room), (&all[bytes], next, whole), "{position} {room}");
        }
    }
}
