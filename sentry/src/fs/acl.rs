//! POSIX access control lists (acl(5)): who else may do what with a file, and what new files in a directory begin with.
//!
//! A list that says no more than the mode is not kept. Beside a list, the mode's group bits are its mask; `Acl` keeps both in step.

use super::inode::{FileKind, Inode};
use super::permission::{May, holds, owner_or_capable};
use crate::errno::Errno;
use crate::task::{Cap, Credentials};
use alloc::sync::Arc;
use alloc::vec::Vec;
use linker::request::Attr;

/// Which of a file's two lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// `system.posix_acl_access`.
    Access,
    /// `system.posix_acl_default`: of directories.
    Default,
}

/// An access control list. Its entries are in order: owner, users, group, groups, mask, others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Acl {
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    tag: Tag,
    /// Read, write, execute: 4, 2, 1.
    allowed: u32,
}

/// Who is meant. Ids are those of the first user namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Tag {
    Owner,
    User(u32),
    OwningGroup,
    Group(u32),
    Mask,
    Other,
}

// ACL_* of include/uapi/linux/posix_acl.h, and the form in extended attributes of posix_acl_xattr.h; nobody exports them.
const VERSION: u32 = 2;
const ENTRY: usize = 8;
const NO_ID: u32 = u32::MAX;
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

const RWX: u32 = 0o7;

impl Which {
    /// The list that an extended attribute is.
    pub fn of_name(name: &[u8]) -> Option<Self> {
        [Self::Access, Self::Default].into_iter().find(|which| which.name() == name)
    }

    /// The extended attribute.
    pub const fn name(self) -> &'static [u8] {
        match self {
            Self::Access => b"system.posix_acl_access",
            Self::Default => b"system.posix_acl_default",
        }
    }
}

/// getxattr(2) of a list. ENODATA where there is none, EOPNOTSUPP where there cannot be.
pub fn get(creds: &Credentials, inode: &dyn Inode, which: Which) -> Result<Vec<u8>, Errno> {
    if inode.kind() == FileKind::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    inode.acl(which)?.map(|acl| acl.to_bytes(creds)).ok_or(Errno::ENODATA)
}

/// setxattr(2) of a list; removexattr(2) with nothing in `value`.
pub fn set(creds: &Credentials, inode: &dyn Inode, which: Which, value: &[u8]) -> Result<(), Errno> {
    change(creds, inode, which, value)?;
    super::attr::permissions_changed(inode);
    Ok(())
}

fn change(creds: &Credentials, inode: &dyn Inode, which: Which, value: &[u8]) -> Result<(), Errno> {
    let acl = if value.is_empty() { None } else { Acl::parse(creds, value)? };
    if inode.kind() == FileKind::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    inode.acl(which)?;
    if which == Which::Default && inode.kind() != FileKind::Directory {
        return if acl.is_some() { Err(Errno::EACCES) } else { Ok(()) };
    }
    let attr = inode.attr()?;
    if !owner_or_capable(creds, &attr) {
        return Err(Errno::EPERM);
    }
    let Some(acl) = acl else { return inode.set_acl(which, None, None) };
    if !acl.is_valid() {
        return Err(Errno::EINVAL);
    }
    if which == Which::Default {
        return inode.set_acl(which, Some(Arc::new(acl)), None);
    }
    let mut mode = attr.mode & !0o777 | acl.mode();
    if !creds.in_group(attr.gid) && !holds(creds, Cap::Fsetid, &attr) {
        mode &= !linux_raw_sys::general::S_ISGID;
    }
    inode.set_acl(which, acl.says_more().then(|| Arc::new(acl)), Some(mode & 0o7777))
}

/// What a new file begins with: permissions, and its lists.
pub struct Start {
    /// Mode, with the type.
    pub mode: u32,
    access: Option<Arc<Acl>>,
    default: Option<Arc<Acl>>,
}

impl Start {
    /// For a new file of `mode` in `dir`: its default list counts instead of the umask.
    pub fn new(dir: &dyn Inode, mode: u32, umask: u32) -> Self {
        let kind = FileKind::of_mode(mode);
        let plain = |mode| Self { mode, access: None, default: None };
        if kind == FileKind::Symlink {
            return plain(mode);
        }
        let Ok(Some(default)) = dir.acl(Which::Default) else { return plain(mode & !(umask & 0o777)) };
        let mut access = (*default).clone();
        let mode = access.narrow(mode);
        let access = access.says_more().then(|| Arc::new(access));
        Self { mode, access, default: (kind == FileKind::Directory).then_some(default) }
    }

    /// Gives them to the file.
    pub fn give(self, inode: &dyn Inode) -> Result<(), Errno> {
        for (which, acl) in [(Which::Access, self.access), (Which::Default, self.default)] {
            if acl.is_some() {
                inode.set_acl(which, acl, None)?;
            }
        }
        Ok(())
    }
}

impl Acl {
    /// `None` for a list without entries. EOPNOTSUPP for another version.
    fn parse(creds: &Credentials, bytes: &[u8]) -> Result<Option<Self>, Errno> {
        let (version, rest) = bytes.split_first_chunk().ok_or(Errno::EINVAL)?;
        if u32::from_le_bytes(*version) != VERSION {
            return Err(Errno::EOPNOTSUPP);
        }
        if rest.len() % ENTRY != 0 {
            return Err(Errno::EINVAL);
        }
        let entries =
            rest.chunks_exact(ENTRY).map(|entry| Entry::parse(creds, entry)).collect::<Result<Vec<_>, _>>()?;
        Ok((!entries.is_empty()).then_some(Self { entries }))
    }

    fn to_bytes(&self, creds: &Credentials) -> Vec<u8> {
        let entries = self.entries.iter().map(|entry| entry.to_bytes(creds));
        core::iter::once(VERSION.to_le_bytes().to_vec()).chain(entries).flatten().collect()
    }

    /// Each entry at its place, all that have to be there, and a mask where users or groups are named.
    fn is_valid(&self) -> bool {
        let place = |entry: &Entry| match entry.tag {
            Tag::Owner => 0,
            Tag::User(_) => 1,
            Tag::OwningGroup => 2,
            Tag::Group(_) => 3,
            Tag::Mask => 4,
            Tag::Other => 5,
        };
        let many = |entry: &Entry| matches!(entry.tag, Tag::User(_) | Tag::Group(_));
        let ordered = self.entries.is_sorted_by(|a, b| place(a) < place(b) || place(a) == place(b) && many(a));
        let has = |tag: Tag| self.entries.iter().any(|entry| entry.tag == tag);
        let complete = has(Tag::Owner) && has(Tag::OwningGroup) && has(Tag::Other);
        let masked = has(Tag::Mask) || !self.entries.iter().any(many);
        ordered && complete && masked && self.entries.iter().all(|entry| entry.allowed & !RWX == 0)
    }

    /// Whether it says more than a mode can.
    fn says_more(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry.tag, Tag::User(_) | Tag::Group(_) | Tag::Mask))
    }

    fn allowed(&self, tag: Tag) -> Option<u32> {
        self.entries.iter().find(|entry| entry.tag == tag).map(|entry| entry.allowed)
    }

    /// The permissions that the mode shows.
    fn mode(&self) -> u32 {
        let of = |tag| self.allowed(tag).unwrap_or(0);
        of(Tag::Owner) << 6 | self.allowed(Tag::Mask).unwrap_or(of(Tag::OwningGroup)) << 3 | of(Tag::Other)
    }

    /// The entries that the mode's bits are, and where in it: owner, mask or else group, others.
    fn of_mode(&mut self) -> impl Iterator<Item = (&mut Entry, u32)> {
        let masked = self.allowed(Tag::Mask).is_some();
        self.entries.iter_mut().filter_map(move |entry| match entry.tag {
            Tag::Owner => Some((entry, 6)),
            Tag::OwningGroup if !masked => Some((entry, 3)),
            Tag::Mask => Some((entry, 3)),
            Tag::Other => Some((entry, 0)),
            _ => None,
        })
    }

    /// What it is after chmod(2).
    pub fn with_mode(&self, mode: u32) -> Self {
        let mut new = self.clone();
        new.of_mode().for_each(|(entry, shift)| entry.allowed = mode >> shift & RWX);
        new
    }

    /// Takes away what `mode` does not allow; what both allow is the new mode.
    fn narrow(&mut self, mode: u32) -> u32 {
        self.of_mode().for_each(|(entry, shift)| entry.allowed &= mode >> shift & RWX);
        mode & !0o777 | self.mode()
    }

    /// Whether someone who is not the owner may do all of `wanted`.
    pub fn allows(&self, creds: &Credentials, attr: &Attr, wanted: May) -> bool {
        let wanted = wanted.bits();
        let gives = |entry: &Entry| entry.allowed & wanted == wanted;
        let mask = self.allowed(Tag::Mask).is_none_or(|mask| mask & wanted == wanted);
        let mut in_group = false;
        for entry in &self.entries {
            let meant = match entry.tag {
                Tag::User(uid) if uid == creds.fsuid => return gives(entry) && mask,
                Tag::OwningGroup => creds.in_group(attr.gid),
                Tag::Group(gid) => creds.in_group(gid),
                Tag::Other => return !in_group && gives(entry),
                _ => false,
            };
            if meant && gives(entry) {
                return mask;
            }
            in_group |= meant;
        }
        false
    }
}

impl Entry {
    fn parse(creds: &Credentials, bytes: &[u8]) -> Result<Self, Errno> {
        let word = |at: usize| bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().map(u16::from_le_bytes);
        let (tag, allowed) = word(0).zip(word(2)).ok_or(Errno::EINVAL)?;
        let id = bytes.last_chunk().copied().map(u32::from_le_bytes).ok_or(Errno::EINVAL)?;
        let tag = match tag {
            USER_OBJ => Tag::Owner,
            USER if id != NO_ID => Tag::User(creds.global_uid(id)?),
            GROUP_OBJ => Tag::OwningGroup,
            GROUP if id != NO_ID => Tag::Group(creds.global_gid(id)?),
            MASK => Tag::Mask,
            OTHER => Tag::Other,
            _ => return Err(Errno::EINVAL),
        };
        Ok(Self { tag, allowed: allowed.into() })
    }

    fn to_bytes(self, creds: &Credentials) -> Vec<u8> {
        let (tag, id) = match self.tag {
            Tag::Owner => (USER_OBJ, NO_ID),
            Tag::User(uid) => (USER, creds.shown_uid(uid)),
            Tag::OwningGroup => (GROUP_OBJ, NO_ID),
            Tag::Group(gid) => (GROUP, creds.shown_gid(gid)),
            Tag::Mask => (MASK, NO_ID),
            Tag::Other => (OTHER, NO_ID),
        };
        // Three bits.
        let allowed = self.allowed as u16;
        [&tag.to_le_bytes()[..], &allowed.to_le_bytes(), &id.to_le_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::{Acl, Entry, Tag};
    use std::vec::Vec;

    fn acl(entries: &[(Tag, u32)]) -> Acl {
        Acl { entries: entries.iter().map(|(tag, allowed)| Entry { tag: *tag, allowed: *allowed }).collect::<Vec<_>>() }
    }

    #[test]
    fn a_new_file_gets_what_both_its_mode_and_the_list_allow() {
        let (owner, user, group) = ((Tag::Owner, 7), (Tag::User(5), 6), (Tag::OwningGroup, 5));
        let mut list = acl(&[owner, user, group, (Tag::Mask, 7), (Tag::Other, 1)]);
        assert_eq!(list.narrow(0o100_664), 0o100_660);
        assert_eq!(list, acl(&[(Tag::Owner, 6), user, group, (Tag::Mask, 6), (Tag::Other, 0)]));
        let mut plain = acl(&[owner, group, (Tag::Other, 1)]);
        assert_eq!(plain.narrow(0o666), 0o640);
        assert!(!plain.says_more() && list.says_more());
    }

    #[test]
    fn who_is_named_needs_a_mask() {
        let three = [(Tag::Owner, 6), (Tag::OwningGroup, 4), (Tag::Other, 4)];
        assert!(acl(&three).is_valid());
        let [owner, group, other] = three;
        assert!(!acl(&[owner, (Tag::User(5), 4), group, other]).is_valid());
        assert!(acl(&[owner, (Tag::User(5), 4), group, (Tag::Mask, 4), other]).is_valid());
        assert!(!acl(&[owner, group]).is_valid());
        assert!(!acl(&[owner, owner, group, other]).is_valid());
        assert!(!acl(&[group, owner, other]).is_valid());
    }
}
