//! Landlock: threads that give up rights for good (landlock(7)).
//!
//! A `Ruleset` is made and filled through a descriptor. landlock_restrict_self puts what it says as a `Layer` on top of the
//! caller's `Domain`, which is a part of its credentials, so that fork and execve pass it on. What a layer handles is denied
//! unless one of its rules allows it; every layer has to allow. `files` says what becomes of paths, `limits` of all else.
//! A thread without a domain pays for one test of `Confined`.

pub mod files;
pub mod limits;
mod ruleset;
#[cfg(test)]
mod tests;

pub use ruleset::Ruleset;

use crate::errno::Errno;
use crate::fs::{Dentry, Trust};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bitflags::bitflags;
use core::fmt;
use hashbrown::HashMap;
use linux_raw_sys::landlock as raw;

/// The version that is answered: rights up to LANDLOCK_SCOPE_SIGNAL, and the flags about logging (there is no audit log).
pub const ABI: u32 = 7;
/// What was wrong in Linux's first versions and is not here: which sockets are TCP, signals within a process, directories
/// that were moved out of a bind mount (security/landlock/errata/abi-{1,4,6}.h).
pub const ERRATA: u32 = 0b111;
/// Layers at most (LANDLOCK_MAX_NUM_LAYERS, security/landlock/limits.h).
const MAX_LAYERS: usize = 16;
/// Rules of one ruleset at most. Linux's limit is memory.
const MAX_RULES: usize = 1 << 16;

bitflags! {
    /// LANDLOCK_ACCESS_FS_*.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    #[allow(missing_docs)]
    pub struct Files: u32 {
        const EXECUTE = raw::LANDLOCK_ACCESS_FS_EXECUTE;
        const WRITE_FILE = raw::LANDLOCK_ACCESS_FS_WRITE_FILE;
        const READ_FILE = raw::LANDLOCK_ACCESS_FS_READ_FILE;
        const READ_DIR = raw::LANDLOCK_ACCESS_FS_READ_DIR;
        const REMOVE_DIR = raw::LANDLOCK_ACCESS_FS_REMOVE_DIR;
        const REMOVE_FILE = raw::LANDLOCK_ACCESS_FS_REMOVE_FILE;
        const MAKE_CHAR = raw::LANDLOCK_ACCESS_FS_MAKE_CHAR;
        const MAKE_DIR = raw::LANDLOCK_ACCESS_FS_MAKE_DIR;
        const MAKE_REG = raw::LANDLOCK_ACCESS_FS_MAKE_REG;
        const MAKE_SOCK = raw::LANDLOCK_ACCESS_FS_MAKE_SOCK;
        const MAKE_FIFO = raw::LANDLOCK_ACCESS_FS_MAKE_FIFO;
        const MAKE_BLOCK = raw::LANDLOCK_ACCESS_FS_MAKE_BLOCK;
        const MAKE_SYM = raw::LANDLOCK_ACCESS_FS_MAKE_SYM;
        const REFER = raw::LANDLOCK_ACCESS_FS_REFER;
        const TRUNCATE = raw::LANDLOCK_ACCESS_FS_TRUNCATE;
        const IOCTL_DEV = raw::LANDLOCK_ACCESS_FS_IOCTL_DEV;
    }
}

bitflags! {
    /// LANDLOCK_ACCESS_NET_*.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    #[allow(missing_docs)]
    pub struct Ports: u32 {
        const BIND_TCP = raw::LANDLOCK_ACCESS_NET_BIND_TCP;
        const CONNECT_TCP = raw::LANDLOCK_ACCESS_NET_CONNECT_TCP;
    }
}

bitflags! {
    /// LANDLOCK_SCOPE_*: what reaches no further than the domain.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    #[allow(missing_docs)]
    pub struct Scope: u32 {
        const ABSTRACT_UNIX_SOCKET = raw::LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET;
        const SIGNAL = raw::LANDLOCK_SCOPE_SIGNAL;
    }
}

impl Files {
    /// The rights that files have which are no directories.
    pub const OF_FILES: Self =
        Self::EXECUTE.union(Self::WRITE_FILE).union(Self::READ_FILE).union(Self::TRUNCATE).union(Self::IOCTL_DEV);
}

/// The domain a thread is in, if any.
#[derive(Clone, Default)]
pub struct Confined(Option<Arc<Domain>>);

impl fmt::Debug for Confined {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Confined({})", self.0.as_ref().map_or(0, |domain| domain.layers.len()))
    }
}

impl Confined {
    /// The domain.
    #[inline]
    pub fn domain(&self) -> Option<&Domain> {
        self.0.as_deref()
    }
}

/// Layers of restrictions, the oldest first. A layer belongs to one call of landlock_restrict_self: a domain that begins with
/// all layers of another is that one or below it.
#[derive(Clone)]
pub struct Domain {
    layers: Vec<Arc<Layer>>,
}

/// What one landlock_restrict_self put on.
struct Layer {
    /// As it was given.
    handled: Handled,
    rules: Arc<Rules>,
}

/// What a ruleset is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct Handled {
    pub files: Files,
    pub ports: Ports,
    pub scope: Scope,
}

#[derive(Clone, Default)]
struct Rules {
    /// By the inode's address, which the rule keeps.
    files: HashMap<usize, FileRule>,
    ports: BTreeMap<u16, Ports>,
}

#[derive(Clone)]
struct FileRule {
    beneath: Arc<Dentry>,
    /// Device and inode number, where the file system makes its inodes anew each time.
    number: Option<(u64, u64)>,
    allowed: Files,
}

impl Confined {
    /// What a thread is in that takes a ruleset on. E2BIG where there are too many layers.
    pub fn with(&self, ruleset: &Ruleset) -> Result<Self, Errno> {
        let mut layers = self.domain().map_or_else(Vec::new, |domain| domain.layers.clone());
        if layers.len() >= MAX_LAYERS {
            return Err(Errno::E2BIG);
        }
        layers.push(Arc::new(ruleset.layer()));
        Ok(Self(Some(Arc::new(Domain { layers }))))
    }
}

impl Domain {
    /// Whether `other` is this domain or below it.
    fn is_above(&self, other: Option<&Self>) -> bool {
        let Some(last) = self.layers.last() else { return true };
        let same = other.and_then(|other| other.layers.get(self.layers.len() - 1));
        same.is_some_and(|layer| Arc::ptr_eq(layer, last))
    }

    /// Whether something of `scope` may not go from here to `other`: some layer keeps it, and `other` is not in that one.
    fn keeps(&self, other: Option<&Self>, scope: Scope) -> bool {
        self.layers.iter().enumerate().any(|(index, layer)| {
            let shared = other.and_then(|other| other.layers.get(index)).is_some_and(|its| Arc::ptr_eq(its, layer));
            layer.handled.scope.contains(scope) && !shared
        })
    }

    fn handles_files(&self) -> bool {
        self.layers.iter().any(|layer| !layer.handled.files.is_empty())
    }
}

impl Layer {
    /// What has to be allowed: with REFER, which is denied wherever anything is handled.
    fn files(&self) -> Files {
        if self.handled.files.is_empty() { Files::empty() } else { self.handled.files | Files::REFER }
    }
}

impl Rules {
    /// What the rule for this very file allows.
    fn of(&self, dentry: &Dentry) -> Files {
        let inode = dentry.inode();
        if let Some(rule) = self.files.get(&address(dentry))
            && Arc::ptr_eq(rule.beneath.inode(), inode)
        {
            return rule.allowed;
        }
        if inode.trust() != Trust::Never || self.files.values().all(|rule| rule.number.is_none()) {
            return Files::empty();
        }
        let Ok(attr) = inode.attr() else { return Files::empty() };
        let rule = self.files.values().find(|rule| rule.number == Some((attr.dev, attr.ino)));
        rule.map_or(Files::empty(), |rule| rule.allowed)
    }
}

/// Where the inode is: what names it while somebody keeps it.
fn address(dentry: &Dentry) -> usize {
    Arc::as_ptr(dentry.inode()).cast::<()>().addr()
}
