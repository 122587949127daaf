//! Marks: what a group wants to know of.

use super::abi;
use crate::errno::Errno;
use alloc::vec::Vec;

/// Kinds of marks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Kind {
    Inode,
    Mount,
    FileSystem,
}

/// What is marked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// A file: device and inode number.
    Inode(u64, u64),
    /// A mount's number.
    Mount(u32),
    /// A file system's device number.
    FileSystem(u64),
}

impl Target {
    fn kind(self) -> Kind {
        match self {
            Self::Inode(..) => Kind::Inode,
            Self::Mount(_) => Kind::Mount,
            Self::FileSystem(_) => Kind::FileSystem,
        }
    }
}

/// A file that something happens to.
pub(super) struct Seen {
    pub(super) inode: (u64, u64),
    /// The directory that it is in.
    pub(super) parent: Option<(u64, u64)>,
    pub(super) mount: u32,
    pub(super) directory: bool,
}

struct Mark {
    target: Target,
    mask: u64,
    ignored: u64,
    /// The ignored events stay ignored when the file changes.
    survives: bool,
}

/// A change of a mark.
pub struct Change {
    /// Events.
    pub mask: u64,
    /// They are events to ignore.
    pub ignored: bool,
    /// FAN_MARK_IGNORED_SURV_MODIFY.
    pub survives: bool,
}

/// A group's marks.
#[derive(Default)]
pub(super) struct Marks(Vec<Mark>);

impl Marks {
    /// Adds to a mark, which is made if need be. ENOSPC where there are `most` already.
    pub(super) fn add(&mut self, target: Target, change: &Change, most: usize) -> Result<(), Errno> {
        if !self.0.iter().any(|mark| mark.target == target) {
            if self.0.len() >= most {
                return Err(Errno::ENOSPC);
            }
            self.0.push(Mark { target, mask: 0, ignored: 0, survives: false });
        }
        if let Some(mark) = self.0.iter_mut().find(|mark| mark.target == target) {
            if change.ignored {
                mark.ignored |= change.mask;
                mark.survives |= change.survives;
            } else {
                mark.mask |= change.mask;
            }
        }
        Ok(())
    }

    /// Takes from a mark, which is gone when nothing is left. ENOENT where there is none.
    pub(super) fn remove(&mut self, target: Target, change: &Change) -> Result<(), Errno> {
        let mark = self.0.iter_mut().find(|mark| mark.target == target).ok_or(Errno::ENOENT)?;
        if change.ignored {
            mark.ignored &= !change.mask;
        } else {
            mark.mask &= !change.mask;
        }
        self.0.retain(|mark| mark.mask & !abi::EVENT_FLAGS != 0 || mark.ignored & !abi::EVENT_FLAGS != 0);
        Ok(())
    }

    /// Takes all marks of a kind.
    pub(super) fn flush(&mut self, kind: Kind) {
        self.0.retain(|mark| mark.target.kind() != kind);
    }

    /// What of `events` is wanted.
    pub(super) fn wanted(&mut self, seen: &Seen, events: u64) -> u64 {
        let (mut wanted, mut ignored) = (0, 0);
        for mark in &mut self.0 {
            let on_child = mark.mask & abi::ON_CHILD != 0;
            let own = match mark.target {
                Target::Inode(dev, ino) if seen.inode == (dev, ino) => true,
                Target::Inode(dev, ino) if on_child && seen.parent == Some((dev, ino)) => false,
                Target::Mount(id) if id == seen.mount => true,
                Target::FileSystem(dev) if dev == seen.inode.0 => true,
                _ => continue,
            };
            if own && events & abi::MODIFY != 0 && !mark.survives {
                mark.ignored = 0;
            }
            if own {
                ignored |= mark.ignored;
            }
            if !seen.directory || mark.mask & abi::ON_DIR != 0 {
                wanted |= mark.mask;
            }
        }
        events & wanted & !ignored
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, Kind, Marks, Seen, Target, abi};
    use crate::errno::Errno;

    fn change(mask: u64, ignored: bool) -> Change {
        Change { mask, ignored, survives: false }
    }

    #[test]
    fn marks_say_what_is_wanted_and_changes_end_what_is_ignored() {
        let mut marks = Marks::default();
        let file = Seen { inode: (1, 2), parent: Some((1, 1)), mount: 7, directory: false };
        let both = abi::OPEN | abi::MODIFY;
        marks.add(Target::Mount(7), &change(both, false), 2).unwrap();
        marks.add(Target::Inode(1, 2), &change(abi::OPEN, true), 2).unwrap();
        assert_eq!(marks.add(Target::FileSystem(1), &change(both, false), 2), Err(Errno::ENOSPC));
        assert_eq!(marks.wanted(&file, abi::OPEN), 0);
        assert_eq!(marks.wanted(&file, abi::MODIFY), abi::MODIFY);
        assert_eq!(marks.wanted(&file, abi::OPEN), abi::OPEN);
        let directory = Seen { inode: (1, 1), parent: None, mount: 7, directory: true };
        assert_eq!(marks.wanted(&directory, abi::OPEN), 0);
        marks.flush(Kind::Mount);
        assert_eq!(marks.remove(Target::Mount(7), &change(both, false)), Err(Errno::ENOENT));
        marks.add(Target::Inode(1, 1), &change(both | abi::ON_CHILD, false), 2).unwrap();
        assert_eq!(marks.wanted(&file, abi::OPEN), abi::OPEN);
    }
}
