//! File handles (open_by_handle_at(2)): what a file is known by without its name.
//!
//! A handle says number and generation. Each file system remembers, weakly, what handles were asked for; what is used by nobody and has
//! fallen out of the cache of names is not found again before somebody asks for its handle again (ESTALE, as for what is gone).

use super::dentry::Dentry;
use super::inode::{FileKind, Inode};
use super::path::Path;
use crate::errno::Errno;
use crate::sync::{Lock, Rank};
use alloc::format;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use hashbrown::HashMap;

/// What a handle says. The types are Linux's (include/linux/exportfs.h, which nobody exports).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Handle {
    /// How it is written.
    pub form: Form,
    /// The inode number.
    pub number: u64,
    /// Tells files apart that had the same number one after the other.
    pub generation: u32,
}

/// How a handle is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(i32)]
pub enum Form {
    /// FILEID_INO32_GEN, with the longer number of tmpfs: generation, number.
    Generation = 1,
    /// FILEID_INO64_GEN: number, generation. It is for comparing only.
    Compared = 0x81,
    /// FILEID_KERNFS: the number alone.
    Number = 0xfe,
}

/// The type of what is no handle (FILEID_INVALID).
pub const INVALID: i32 = 0xff;

impl Handle {
    /// A handle with a generation.
    pub fn new(number: u64, generation: u32) -> Self {
        Self { form: Form::Generation, number, generation }
    }

    /// The handle of a file in a file system that finds none: good for comparing.
    pub fn compared(number: u64) -> Self {
        Self { form: Form::Compared, number, generation: 0 }
    }

    /// Its type and bytes.
    pub fn encode(&self) -> (i32, Vec<u8>) {
        let (number, generation) = (self.number.to_ne_bytes(), self.generation.to_ne_bytes());
        let bytes = match self.form {
            Form::Generation => [&generation[..], &number].concat(),
            Form::Compared => [&number[..], &generation].concat(),
            Form::Number => number.to_vec(),
        };
        (self.form as i32, bytes)
    }

    /// The handle with this type and these bytes; what is behind them does not count.
    pub fn decode(kind: i32, bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
        let long = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes);
        if kind == Form::Number as i32 {
            Some(Self { form: Form::Number, number: long(0)?, generation: 0 })
        } else {
            // tmpfs does not look at the type.
            Some(Self::new(long(4)?, word(0)?))
        }
    }
}

/// The handles of one file system that were asked for.
pub(super) struct Handles(Lock<Known>);

#[derive(Default)]
struct Known {
    map: HashMap<Handle, Entry>,
    /// Dead entries are swept out when there are this many.
    sweep_at: usize,
}

#[derive(Clone)]
struct Entry {
    dentry: Weak<Dentry>,
    inode: Weak<dyn Inode>,
}

impl Handles {
    /// None yet.
    pub(super) fn new() -> Self {
        Self(Lock::new(Rank::FileSystem, Known::default()))
    }

    fn remember(&self, handle: Handle, dentry: &Arc<Dentry>) {
        let new = Entry { dentry: Arc::downgrade(dentry), inode: Arc::downgrade(dentry.inode()) };
        let mut gone = Vec::new();
        let mut known = self.0.lock();
        // Another name of the same file does not take the place of one that still counts.
        let old = known.map.get(&handle).and_then(|entry| entry.dentry.upgrade());
        if old.as_ref().is_none_or(|old| old.is_deleted()) {
            gone.extend(known.map.insert(handle, new));
        }
        if known.map.len() >= known.sweep_at {
            let dead = known.map.extract_if(|_, entry| entry.inode.strong_count() == 0);
            gone.extend(dead.map(|(_, entry)| entry));
            known.sweep_at = (known.map.len() * 2).max(256);
        }
        drop(known);
        drop((gone, old));
    }

    fn find(&self, handle: &Handle) -> Option<Arc<Dentry>> {
        let entry = self.0.lock().map.get(handle).cloned()?;
        if let Some(dentry) = entry.dentry.upgrade() {
            return Some(dentry);
        }
        // A directory without its place would have no "..".
        let inode = entry.inode.upgrade().filter(|inode| inode.kind() != FileKind::Directory)?;
        Some(Dentry::unnamed(None, inode, format!("#{}", handle.number).as_bytes()))
    }
}

/// The handle of the file at `place`; `None` where its file system has none. It is found from then on.
pub fn of(place: &Path) -> Option<Handle> {
    let handle = place.inode().handle()?;
    place.mount().file_system().handles().remember(handle, place.dentry());
    Some(handle)
}

/// The file that has `handle` in the file system of `mount`, as a place there. ESTALE where none is found.
pub fn find(mount: &Path, handle: &Handle) -> Result<Path, Errno> {
    let dentry = mount.mount().file_system().handles().find(handle).ok_or(Errno::ESTALE)?;
    Ok(Path::new(mount.mount().clone(), dentry))
}

#[cfg(test)]
mod tests {
    use super::{Form, Handle};
    use crate::errno::Errno;
    use crate::fs::tests::{find, mkdir, on_tmpfs, write_file};
    use crate::fs::{Path, rename, unlink};
    use crate::syscall::Fd;

    #[test]
    fn a_file_is_found_by_its_handle_as_long_as_it_has_a_name() {
        let current = on_tmpfs();
        let directory = mkdir(&current, "/d");
        write_file(&current, "/d/f", b"x");
        let root = find(&current, "/").unwrap();
        let handle = super::of(&find(&current, "/d/f").unwrap()).unwrap();
        let of_directory = super::of(&directory).unwrap();
        drop(directory);
        rename(&current, Fd::CWD, b"/d/f", Fd::CWD, b"/g", 0).unwrap();
        let found = super::find(&root, &handle).unwrap();
        assert_eq!(found.absolute(&root), b"/g");
        assert_eq!(super::of(&found), Some(handle));
        assert_eq!(super::find(&root, &of_directory).unwrap().absolute(&root), b"/d");
        drop(found);
        unlink(&current, Fd::CWD, b"/g", false).unwrap();
        unlink(&current, Fd::CWD, b"/d", true).unwrap();
        let errno = |result: Result<Path, Errno>| result.err();
        assert_eq!(errno(super::find(&root, &handle)), Some(Errno::ESTALE));
        assert_eq!(errno(super::find(&root, &of_directory)), Some(Errno::ESTALE));
    }

    #[test]
    fn a_handle_is_what_was_written() {
        for handle in [Handle::new(1 << 40 | 7, 9), Handle { form: Form::Number, number: 5, generation: 0 }] {
            let (kind, bytes) = handle.encode();
            assert_eq!(Handle::decode(kind, &bytes), Some(handle));
            assert_eq!(Handle::decode(kind, &bytes[..bytes.len() - 1]), None);
        }
        let compared = Handle::compared(5);
        let (kind, bytes) = compared.encode();
        assert_ne!(Handle::decode(kind, &bytes), Some(compared));
    }
}
