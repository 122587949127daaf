//! `HostFs`: an attached tree, the inodes that are in use of it, and how long what is known of them is believed.

use super::client::{File, Node, Told};
use super::inode::HostInode;
use super::reader::{Key, Reader, Stamp};
use crate::fs::inode::doubted_ns;
use crate::fs::{FileKind, Trust};
use crate::platform::platform;
use crate::sync::{Lock, Rank};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use hashbrown::HashMap;
use linker::request::Attr;

/// How long everything is believed of a tree that others change seldom and by hand: a container's root.
const QUIET_NS: u64 = 1_000_000_000;

/// Who else changes a tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// Nobody: what was learnt once stays true but for our own changes.
    Exclusive,
    /// Somebody, now and then: a change is seen within a second, and by what is started after it.
    Quiet,
    /// Anybody: what was learnt is true for a moment.
    Shared,
}

/// One attached tree.
pub struct HostFs {
    /// Who else changes it.
    pub(super) sharing: Sharing,
    inodes: Lock<Inodes>,
    /// Counts changes that may touch attributes of files we cannot name: those cached before are asked for again.
    pub(super) changes: AtomicU64,
    /// How it is read.
    pub(super) reader: Reader,
}

#[derive(Default)]
struct Inodes {
    /// By device and inode number.
    map: HashMap<Key, Weak<HostInode>>,
    /// Dead entries are swept out when there are this many.
    sweep_at: usize,
}

impl HostFs {
    /// A tree without files yet.
    pub fn new(sharing: Sharing) -> Arc<Self> {
        Arc::new(Self {
            sharing,
            inodes: Lock::new(Rank::FileSystem, Inodes { map: HashMap::new(), sweep_at: 1024 }),
            changes: AtomicU64::new(0),
            reader: Reader::new(sharing == Sharing::Shared),
        })
    }

    /// How long names and entries are believed.
    pub(super) fn trust(&self) -> Trust {
        match self.sharing {
            Sharing::Exclusive => Trust::Always,
            Sharing::Quiet => Trust::Quietly(QUIET_NS),
            Sharing::Shared => Trust::Never,
        }
    }

    /// Attributes that were told at this moment (monotonic, ns) or later are believed, and so is what was told of names.
    pub(super) fn believed_ns(&self) -> u64 {
        match self.sharing {
            Sharing::Exclusive => 0,
            Sharing::Quiet => doubted_ns().max((platform().monotonic_ns() + 1).saturating_sub(QUIET_NS)),
            Sharing::Shared => doubted_ns().max(self.reader.believed_ns()),
        }
    }

    pub(super) fn is_exclusive(&self) -> bool {
        self.sharing == Sharing::Exclusive
    }

    /// The inode of `node`, whose attributes the host has just told.
    pub fn inode(self: &Arc<Self>, node: Node, attr: Attr) -> Arc<HostInode> {
        self.inode_with(node, attr, None, None)
    }

    /// The inode of what was told ahead, unless something that we did since may have changed it.
    pub(super) fn told_inode(self: &Arc<Self>, told: Told, stamp: Stamp) -> Option<Arc<HostInode>> {
        self.reader.holds(stamp, (told.attr.dev, told.attr.ino)).then(|| self.inode_of(told, stamp))
    }

    /// The inode of what was told when it was asked for at `stamp`.
    pub(super) fn inode_of(self: &Arc<Self>, told: Told, stamp: Stamp) -> Arc<HostInode> {
        let Told { node, attr, content } = told;
        let inode = self.inode_with(node, attr, None, Some(stamp));
        if let (Some(content), Some((_, mapping))) = (content, inode.data())
            && !content.is_empty()
            && mapping.cached_pages() == 0
            && inode.attr_is(&attr)
        {
            mapping.offer(&content, || self.reader.holds(stamp, inode.key));
        }
        inode
    }

    /// `asked`: when its attributes were asked for, if that is a while ago.
    pub(super) fn inode_with(
        self: &Arc<Self>,
        node: Node,
        attr: Attr,
        file: Option<File>,
        asked: Option<Stamp>,
    ) -> Arc<HostInode> {
        let key = (attr.dev, attr.ino);
        let known = self.known(key).filter(|inode| inode.kind == FileKind::of_mode(attr.mode));
        let at_ns = asked.map_or_else(|| platform().monotonic_ns(), |asked| asked.ns);
        self.reader.saw(attr.ctime);
        if let Some(inode) = known {
            // Not what is older than what is known, and not what was done meanwhile and is known to nobody yet.
            if !inode.knows_newer(at_ns) && asked.is_none_or(|asked| self.reader.holds(asked, key)) {
                inode.learn(attr, at_ns);
            }
            return inode;
        }
        let new = Arc::new(HostInode::new(self.clone(), node, attr, file, at_ns));
        let dead = {
            let mut inodes = self.inodes.lock();
            inodes.map.insert(key, Arc::downgrade(&new));
            let mut dead = Vec::new();
            if inodes.map.len() >= inodes.sweep_at {
                dead.extend(inodes.map.extract_if(|_, inode| inode.strong_count() == 0));
                inodes.sweep_at = (inodes.map.len() * 2).max(1024);
            }
            dead
        };
        drop(dead);
        new
    }

    pub(super) fn known(&self, key: Key) -> Option<Arc<HostInode>> {
        self.inodes.lock().map.get(&key).and_then(Weak::upgrade)
    }

    /// We changed files, and do not know which.
    pub(super) fn changed_some(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.reader.void();
    }

    /// A name of the file with attributes `before` is gone.
    pub(super) fn lost_name(&self, before: &Attr) {
        if before.ino == 0 {
            self.changed_some();
            return;
        }
        self.reader.touch((before.dev, before.ino));
        if let Some(inode) = self.known((before.dev, before.ino)) {
            inode.expire();
            if before.nlink <= 1 || inode.kind == FileKind::Directory {
                inode.node.mark_gone();
            }
        }
    }
}
