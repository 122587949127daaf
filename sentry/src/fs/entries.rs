//! The entries of a directory at one time.

use alloc::vec::Vec;

/// Directory entries, their names in one piece: a block of the heap for each would cost more than all else.
#[derive(Debug, Default)]
pub struct Entries {
    list: Vec<Place>,
    names: Vec<u8>,
}

/// An entry, and where its name is.
#[derive(Debug)]
struct Place {
    ino: u64,
    kind: u8,
    len: u16,
    at: u32,
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

impl Entries {
    /// How many.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// The one at `index`.
    pub fn get(&self, index: usize) -> Option<Entry<'_>> {
        self.list.get(index).map(|place| self.entry(place))
    }

    /// All, in the host's order, without the first `skip`.
    pub fn iter_from(&self, skip: usize) -> impl Iterator<Item = Entry<'_>> {
        self.list.iter().skip(skip).map(|place| self.entry(place))
    }

    fn entry(&self, place: &Place) -> Entry<'_> {
        let at = place.at as usize;
        let name = self.names.get(at..at + usize::from(place.len)).unwrap_or_default();
        Entry { ino: place.ino, kind: place.kind, name }
    }

    /// Adds one; `None` where there are too many, or its name is too long.
    pub fn push(&mut self, ino: u64, kind: u8, name: &[u8]) -> Option<()> {
        let (at, len) = (u32::try_from(self.names.len()).ok()?, u16::try_from(name.len()).ok()?);
        self.names.extend_from_slice(name);
        self.list.push(Place { ino, kind, len, at });
        Some(())
    }
}
