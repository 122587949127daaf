//! Path resolution (path_resolution(7)).
//!
//! `Walk` goes component by component; where the cache knows the way it allocates nothing. Only a symbolic link makes a new
//! rest of the path. `lookup` resolves to a place; `lookup_parent` stops before the last component, for what makes or removes names.

use super::dentry::Dentry;
use super::inode::FileKind;
use super::mount::MountFlags;
use super::path::Path;
use super::permission::{May, permission};
use super::ways::{self, Walked};
use crate::errno::Errno;
use crate::syscall::Fd;
use crate::task::{Credentials, Current};
use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bitflags::bitflags;
use core::ops::Range;
use linux_raw_sys::general as raw;

bitflags! {
    /// How a path is resolved.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct LookupFlags: u32 {
        /// Follow a symbolic link in the last component.
        const FOLLOW = 1 << 8;
        /// The result has to be a directory.
        const DIRECTORY = 1 << 9;
        /// An empty path means `dirfd` itself (AT_EMPTY_PATH).
        const EMPTY = 1 << 10;
        /// openat2's RESOLVE_NO_XDEV.
        const NO_XDEV = raw::RESOLVE_NO_XDEV;
        /// RESOLVE_NO_MAGICLINKS.
        const NO_MAGICLINKS = raw::RESOLVE_NO_MAGICLINKS;
        /// RESOLVE_NO_SYMLINKS.
        const NO_SYMLINKS = raw::RESOLVE_NO_SYMLINKS;
        /// RESOLVE_BENEATH.
        const BENEATH = raw::RESOLVE_BENEATH;
        /// RESOLVE_IN_ROOT.
        const IN_ROOT = raw::RESOLVE_IN_ROOT;
        /// All that has a say on the way.
        const RESOLVE = raw::RESOLVE_NO_XDEV | raw::RESOLVE_NO_MAGICLINKS | raw::RESOLVE_NO_SYMLINKS | raw::RESOLVE_BENEATH
            | raw::RESOLVE_IN_ROOT;
    }
}

/// Symbolic links followed in one resolution at most (path_resolution(7)).
const MAX_LINKS: u32 = 40;
/// Shorter paths have no way worth remembering, bytes.
const SHORT: usize = 8;

/// The place `path` leads to, from `dirfd` where it is relative.
pub fn lookup(current: &Current, dirfd: Fd, path: &[u8], flags: LookupFlags) -> Result<Path, Errno> {
    Walk::new(current, &current.creds, dirfd, path, flags)?.finish()
}

/// As `lookup`, with other credentials (access(2) uses the real ids).
pub fn lookup_as(
    current: &Current,
    creds: &Credentials,
    dirfd: Fd,
    path: &[u8],
    flags: LookupFlags,
) -> Result<Path, Errno> {
    Walk::new(current, creds, dirfd, path, flags)?.finish()
}

/// The directory that holds (or would hold) the last component of `path`, and that component.
pub fn lookup_parent(current: &Current, dirfd: Fd, path: &[u8]) -> Result<Parent, Errno> {
    let mut walk = Walk::new(current, &current.creds, dirfd, path, LookupFlags::default())?;
    let last = walk.reach_last()?;
    let name = walk.name(&last).to_vec();
    Ok(Parent { dir: walk.way.at, name, kind: last.kind, trailing_slash: last.trailing_slash })
}

/// The result of `lookup_parent`.
pub struct Parent {
    /// The directory (searchable by the caller).
    pub dir: Path,
    /// The last component.
    pub name: Vec<u8>,
    /// What kind of component it is.
    pub kind: LastKind,
    /// Whether slashes follow it.
    pub trailing_slash: bool,
}

/// What the last component is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LastKind {
    /// A name.
    Name,
    /// ".".
    Dot,
    /// "..".
    DotDot,
    /// Nothing: the path is "/" or ends in a magic link.
    Nothing,
}

/// The last component, as a range of the rest of the path.
pub(super) struct Last {
    range: Range<usize>,
    pub kind: LastKind,
    pub trailing_slash: bool,
}

/// A resolution under way.
pub(super) struct Walk<'a> {
    pub way: Way<'a>,
    rest: Cow<'a, [u8]>,
    position: usize,
    learning: Option<Learning>,
}

/// What has to be known of a walk to learn its way.
struct Learning {
    /// Where it began; `None`: at the root.
    from: Option<Path>,
    /// `ways::changes` at the beginning.
    changes: u64,
    /// Where the known part of the path ends.
    known: usize,
    /// Directories gone through since.
    through: u32,
}

/// The part of a walk that does not borrow the path.
pub(super) struct Way<'a> {
    current: &'a Current,
    creds: &'a Credentials,
    root: Path,
    pub at: Path,
    links: u32,
    pub flags: LookupFlags,
}

impl<'a> Walk<'a> {
    pub fn new(
        current: &'a Current,
        creds: &'a Credentials,
        dirfd: Fd,
        path: &'a [u8],
        flags: LookupFlags,
    ) -> Result<Self, Errno> {
        if path.is_empty() && !flags.contains(LookupFlags::EMPTY) {
            return Err(Errno::ENOENT);
        }
        let mut root = current.fs.root();
        let scoped = flags.intersects(LookupFlags::BENEATH | LookupFlags::IN_ROOT);
        let absolute = path.first() == Some(&b'/');
        let at = if absolute && !scoped {
            root.clone()
        } else if dirfd == Fd::CWD {
            current.fs.cwd()
        } else if absolute && flags.contains(LookupFlags::BENEATH) {
            return Err(Errno::EXDEV);
        } else {
            let file = current.file(dirfd)?;
            match file.path() {
                Some(place) if path.is_empty() || place.dentry().is_directory() => place.clone(),
                None if path.is_empty() => Path::detached(file.inode().clone(), b"anon_inode:"),
                _ => return Err(Errno::ENOTDIR),
            }
        };
        if absolute && flags.contains(LookupFlags::BENEATH) {
            return Err(Errno::EXDEV);
        }
        if scoped {
            root = at.clone();
        }
        let way = Way { current, creds, root, at, links: 0, flags };
        let mut walk = Self { way, rest: Cow::Borrowed(path), position: 0, learning: None };
        if path.len() >= SHORT && core::ptr::eq(creds, &*current.creds) && !flags.intersects(LookupFlags::RESOLVE) {
            walk.take_known_way(path, absolute);
        }
        Ok(walk)
    }

    /// Begins behind what of the path is known, and learns the rest.
    fn take_known_way(&mut self, path: &[u8], absolute: bool) {
        let Way { current, at, .. } = &mut self.way;
        let Ok(ways) = current.ways.try_borrow() else { return };
        let changes = ways::changes();
        let from = match ways.find(changes, at, &current.creds, path) {
            Some((to, known)) => {
                self.position = known;
                Some(core::mem::replace(at, to))
            }
            None if absolute => None,
            None => Some(at.clone()),
        };
        self.learning = Some(Learning { from, changes, known: self.position, through: 0 });
    }

    /// The way to the last component, which begins at `end`, was walked.
    #[inline]
    fn learn(&mut self, end: usize) {
        if let Some(Learning { from, changes, known, through }) = &self.learning
            && *through > 0
            && through + u32::from(*known > 0) > 1
        {
            let from = from.as_ref().unwrap_or(&self.way.root);
            let walked = Walked { text: &self.rest[..end], from, to: &self.way.at, changes: *changes };
            ways::note(self.way.current, &walked);
        }
        self.learning = None;
    }

    /// The component's bytes.
    pub fn name(&self, last: &Last) -> &[u8] {
        &self.rest[last.range.clone()]
    }

    /// Walks up to the last component, whose directory the caller may search.
    pub fn reach_last(&mut self) -> Result<Last, Errno> {
        loop {
            let rest = &self.rest;
            let start = skip(rest, self.position, true);
            let end = skip(rest, start, false);
            let next = skip(rest, end, true);
            let trailing_slash = next > end || start == end && start > self.position;
            let name = &rest[start..end];
            let kind = match name {
                b"" => LastKind::Nothing,
                b"." => LastKind::Dot,
                b".." => LastKind::DotDot,
                _ => LastKind::Name,
            };
            if kind == LastKind::Nothing {
                return Ok(Last { range: start..end, kind, trailing_slash });
            }
            self.way.may_search()?;
            if name.len() > raw::NAME_MAX as usize {
                return Err(Errno::ENAMETOOLONG);
            }
            if next == rest.len() {
                self.position = next;
                self.learn(start);
                return Ok(Last { range: start..end, kind, trailing_slash });
            }
            match kind {
                LastKind::Name => {
                    let child = self.way.child(name)?.ok_or(Errno::ENOENT)?;
                    if child.inode().kind() == FileKind::Symlink {
                        self.position = end;
                        self.learning = None;
                        self.follow(&child)?;
                        continue;
                    }
                    self.way.at = child;
                    if let Some(learning) = &mut self.learning {
                        learning.through += 1;
                    }
                }
                LastKind::DotDot => {
                    self.learning = None;
                    self.way.up()?;
                }
                LastKind::Dot | LastKind::Nothing => {}
            }
            self.position = next;
        }
    }

    /// `follow` for a path's last component, where the rule of `fs.protected_symlinks` counts: in a directory that anyone may
    /// write to and whose sticky bit is set, only one's own links and the directory owner's are followed.
    pub fn follow_last(&mut self, link: &Path) -> Result<(), Errno> {
        let dir = self.way.at.inode().attr()?;
        let shared = raw::S_ISVTX | raw::S_IWOTH;
        if dir.mode & shared == shared {
            let owner = link.inode().attr()?.uid;
            if owner != self.way.creds.fsuid && owner != dir.uid {
                return Err(Errno::EACCES);
            }
        }
        self.follow(link)
    }

    /// Goes on with the symbolic link `link`, whose component ends at `position`.
    pub fn follow(&mut self, link: &Path) -> Result<(), Errno> {
        match self.way.follow(link)? {
            None => {}
            Some(mut target) => {
                target.extend_from_slice(&self.rest[self.position..]);
                self.rest = Cow::Owned(target);
                self.position = 0;
            }
        }
        Ok(())
    }

    /// Sets the position behind the last component, so that `follow` keeps its trailing slash.
    pub fn behind(&mut self, last: &Last) {
        self.position = last.range.end;
    }

    /// Goes back before the last component, to look at it again.
    pub fn again(&mut self, last: &Last) {
        self.position = last.range.start;
    }

    /// Resolves all of it.
    pub fn finish(mut self) -> Result<Path, Errno> {
        loop {
            let last = self.reach_last()?;
            let must_be_directory = last.trailing_slash || self.way.flags.contains(LookupFlags::DIRECTORY);
            match last.kind {
                LastKind::Name => {
                    let child = self.way.child(self.name(&last))?.ok_or(Errno::ENOENT)?;
                    let follow = last.trailing_slash || self.way.flags.contains(LookupFlags::FOLLOW);
                    if follow && child.inode().kind() == FileKind::Symlink {
                        self.behind(&last);
                        self.follow_last(&child)?;
                        continue;
                    }
                    self.way.at = child;
                }
                LastKind::DotDot => self.way.up()?,
                LastKind::Dot | LastKind::Nothing => {}
            }
            if must_be_directory && !self.way.at.dentry().is_directory() {
                return Err(Errno::ENOTDIR);
            }
            return Ok(self.way.at);
        }
    }
}

impl Way<'_> {
    fn may_search(&self) -> Result<(), Errno> {
        if !self.at.dentry().is_directory() {
            return Err(Errno::ENOTDIR);
        }
        permission(self.creds, &**self.at.inode(), May::EXEC)
    }

    /// The entry `name` of where the walk is, with mounts crossed.
    pub fn child(&self, name: &[u8]) -> Result<Option<Path>, Errno> {
        let Some(dentry) = self.at.dentry().child(name)? else { return Ok(None) };
        self.entered(dentry).map(Some)
    }

    /// The place of a child dentry of where the walk is.
    pub fn entered(&self, dentry: Arc<Dentry>) -> Result<Path, Errno> {
        let path = Path::new(self.at.mount().clone(), dentry).cross_mounts();
        self.check_device(&path)?;
        Ok(path)
    }

    fn check_device(&self, path: &Path) -> Result<(), Errno> {
        if self.flags.contains(LookupFlags::NO_XDEV) && !Arc::ptr_eq(path.mount(), self.at.mount()) {
            return Err(Errno::EXDEV);
        }
        Ok(())
    }

    /// "..".
    pub fn up(&mut self) -> Result<(), Errno> {
        if self.flags.contains(LookupFlags::BENEATH) && self.at == self.root {
            return Err(Errno::EXDEV);
        }
        let up = self.at.up(&self.root);
        self.check_device(&up)?;
        self.at = up;
        Ok(())
    }

    /// Follows `link`: `None` when the walk is there already (a magic link), else the text to resolve from where the walk is now.
    fn follow(&mut self, link: &Path) -> Result<Option<Vec<u8>>, Errno> {
        self.links += 1;
        if self.links > MAX_LINKS || self.flags.contains(LookupFlags::NO_SYMLINKS) {
            return Err(Errno::ELOOP);
        }
        if link.mount().flags().contains(MountFlags::NOSYMFOLLOW) {
            return Err(Errno::ELOOP);
        }
        if let Some(target) = link.inode().magic_link(self.current) {
            if self.flags.contains(LookupFlags::NO_MAGICLINKS) {
                return Err(Errno::ELOOP);
            }
            if self.flags.intersects(LookupFlags::BENEATH | LookupFlags::IN_ROOT) {
                return Err(Errno::EXDEV);
            }
            let target = target?;
            self.check_device(&target)?;
            self.at = target;
            return Ok(None);
        }
        let text = link.inode().read_link(self.current)?;
        if text.is_empty() {
            return Err(Errno::ENOENT);
        }
        if text.first() == Some(&b'/') {
            if self.flags.contains(LookupFlags::BENEATH) {
                return Err(Errno::EXDEV);
            }
            let root = self.root.clone();
            self.check_device(&root)?;
            self.at = root;
        }
        Ok(Some(text))
    }
}

/// The first index from `from` on whose byte is no slash (`slashes`) or is one.
#[inline]
fn skip(bytes: &[u8], from: usize, slashes: bool) -> usize {
    let found = bytes[from..].iter().position(|byte| (*byte == b'/') != slashes);
    found.map_or(bytes.len(), |at| from + at)
}
