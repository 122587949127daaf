//! Rulesets: what is handled, and rules for it, until a thread takes them on.

use super::{FileRule, Files, Handled, Layer, MAX_RULES, Ports, Rules, address};
use crate::errno::Errno;
use crate::fs::anon::AnonInode;
use crate::fs::{FileOps, OpenFile, OpenFlags, Path, Trust};
use crate::sync::{Lock, Rank};
use alloc::sync::Arc;
use core::any::Any;

/// A ruleset, behind a descriptor.
pub struct Ruleset {
    handled: Handled,
    rules: Lock<Arc<Rules>>,
}

impl FileOps for Ruleset {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Ruleset {
    /// landlock_create_ruleset(2). ENOMSG for one that is about nothing.
    pub fn open(handled: Handled) -> Result<Arc<OpenFile>, Errno> {
        if handled == Handled::default() {
            return Err(Errno::ENOMSG);
        }
        let rules = Lock::new(Rank::Leaf, Arc::default());
        let inode = AnonInode::anonymous("[landlock-ruleset]");
        Ok(OpenFile::new(Arc::new(Self { handled, rules }), OpenFlags::RDWR, inode, None))
    }

    /// Allows `allowed` at `place` and, if that is a directory, below it.
    pub fn allow_beneath(&self, place: &Path, allowed: Files) -> Result<(), Errno> {
        let dentry = place.dentry();
        if !dentry.is_directory() && !Files::OF_FILES.contains(allowed) {
            return Err(Errno::EINVAL);
        }
        let number = match dentry.inode().trust() {
            Trust::Never => dentry.inode().attr().ok().map(|attr| (attr.dev, attr.ino)),
            _ => None,
        };
        self.change(|rules| {
            if rules.files.len() >= MAX_RULES {
                return Err(Errno::E2BIG);
            }
            let new = || FileRule { beneath: dentry.clone(), number, allowed: Files::empty() };
            rules.files.entry(address(dentry)).or_insert_with(new).allowed |= allowed;
            Ok(())
        })
    }

    /// Allows `allowed` with a TCP port.
    pub fn allow_port(&self, port: u16, allowed: Ports) -> Result<(), Errno> {
        self.change(|rules| {
            *rules.ports.entry(port).or_default() |= allowed;
            Ok(())
        })
    }

    /// What it is about.
    pub fn handled(&self) -> Handled {
        self.handled
    }

    /// What a thread takes on: the rules as they are now.
    pub(super) fn layer(&self) -> Layer {
        Layer { handled: self.handled, rules: self.rules.lock().clone() }
    }

    /// Changes the rules. Those that threads have taken on stay; what is replaced goes away outside the lock.
    fn change<T>(&self, change: impl FnOnce(&mut Rules) -> Result<T, Errno>) -> Result<T, Errno> {
        let mut rules = self.rules.lock();
        change(Arc::make_mut(&mut rules))
    }
}
