//! What a directory's names are, told before they are asked for: a program that has looked some of them up mostly wants the next.
//!
//! A question that nothing answers yet takes others along: names that follow in the listing that the program was given, or in one
//! made for it, in the host's order or by name. Batches grow while most of what they tell is used, and shrink otherwise; what
//! small files contain comes along while such files are read.
//! With a shared tree, answers are good as long as attributes are, and never say that a name is missing.
//!
//! Locks: `HostInode::names` (Rank::Inode) is held for a look only.

use super::client::Told;
use super::directory::Listing;
use super::inode::HostInode;
use super::reader::{Pending, Stamp};
use super::{Sharing, deferred};
use crate::errno::Errno;
use crate::fs::FileKind;
use crate::platform::platform;
use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use hashbrown::HashMap;
use linker::request::MAX_NAMES;

/// Names that a question takes along when there is reason to hope, and at most.
const FIRST_BATCH: u32 = 16;
const MAX_BATCH: u32 = MAX_NAMES as u32 - 1;
/// Questions in a directory before others are taken along: where a listing is there, and where that is still to be made.
const LISTED_PATIENCE: u32 = 2;
const PATIENCE: u32 = 4;
/// So many times as much after disappointments, at most.
const MAX_FACTOR: u32 = 64;
/// Names that a directory remembers.
const NAMES: usize = 1024;
/// Bytes of a directory that is listed for this, at most.
const LISTED_BYTES: u64 = 256 << 10;

/// What a directory was told.
#[derive(Default)]
pub(super) struct Names {
    known: HashMap<Box<[u8]>, (Stamp, What)>,
    /// A listing to go by, and whether the program was given it; it need not be true any more.
    listing: Option<(Arc<Listing>, bool)>,
    /// The name that was wanted last.
    last: Box<[u8]>,
    /// Names to take along.
    batch: u32,
    /// How many times the usual patience.
    factor: u32,
    /// Questions since the last disappointment.
    questions: u32,
    /// Names taken along since the last judgement, and how many of them were used.
    told: u32,
    used: u32,
    /// The reader knows already that most were.
    praised: bool,
}

enum What {
    /// Told, and not used yet.
    Told(Box<Told>, Pending),
    /// It was asked for, and was this then; in trees that others do not change at any time the cache of names knows what.
    Asked(Option<Weak<HostInode>>),
}

impl What {
    /// Whether there is nothing to ask.
    fn is_known(&self) -> bool {
        match self {
            Self::Told(..) | Self::Asked(None) => true,
            Self::Asked(Some(inode)) => inode.strong_count() > 0,
        }
    }
}

/// How to ask for a name.
enum Plan {
    /// With these names.
    With(Vec<Box<[u8]>>),
    /// The directory should be listed before.
    List,
}

impl Names {
    /// Something that was told is used. True: that makes it most of it.
    fn count_used(&mut self) -> bool {
        self.used += 1;
        let good = !self.praised && self.used * 2 >= self.told;
        self.praised |= good;
        good
    }

    /// Sizes batches by how much of what was told since the last time was used. Returns what the reader does not know yet.
    fn judge(&mut self) -> Option<bool> {
        let (told, used) = (core::mem::take(&mut self.told), core::mem::take(&mut self.used));
        let praised = core::mem::take(&mut self.praised);
        if told == 0 {
            return None;
        }
        if used * 2 >= told {
            self.batch = (self.batch * 2).clamp(FIRST_BATCH, MAX_BATCH);
            self.factor = 1;
            return (!praised).then_some(true);
        }
        if used * 4 < told {
            self.batch /= 4;
            self.questions = 0;
            self.factor = (self.factor * 2).clamp(2, MAX_FACTOR);
            return Some(false);
        }
        None
    }

    /// How to ask for `name`.
    fn plan(&mut self, name: &[u8], start: u32, listed: bool) -> Plan {
        let factor = self.factor.max(1);
        self.questions += 1;
        let hopeful = if factor == 1 { self.batch.max(start) } else { self.batch };
        let patience = if self.listing.is_some() { LISTED_PATIENCE } else { PATIENCE } * factor;
        let batch = if self.questions >= patience { hopeful.max(FIRST_BATCH) } else { hopeful };
        if batch <= 1 || *self.last == *name {
            return Plan::With(Vec::new());
        }
        match &self.listing {
            Some((listing, given)) => {
                let Some(following) = listing.following(name, &self.last, batch as usize, *given) else {
                    // It is not what it was.
                    self.listing = None;
                    return Plan::With(Vec::new());
                };
                let new = following
                    .filter(|name| !self.known.get(*name).is_some_and(|(_, what)| what.is_known()))
                    .take(batch as usize);
                Plan::With(new.map(Box::from).collect())
            }
            None if listed || batch < FIRST_BATCH => Plan::With(Vec::new()),
            None => Plan::List,
        }
    }
}

impl HostInode {
    /// The entry `name`, where it was told what that is and this is believed still.
    pub(super) fn told(&self, name: &[u8]) -> Option<Arc<Self>> {
        let believed_ns = self.fs.believed_ns();
        let mut guard = self.names.lock();
        let names = guard.as_mut()?;
        let (stamp, what) = names.known.get_mut(name)?;
        let stamp = *stamp;
        if stamp.ns < believed_ns {
            return None;
        }
        let (told, pending) = match what {
            What::Asked(inode) => return inode.as_ref().and_then(Weak::upgrade),
            What::Told(..) => match core::mem::replace(what, What::Asked(None)) {
                What::Told(told, pending) => (told, pending),
                What::Asked(_) => return None,
            },
        };
        let good = names.count_used();
        names.last = name.into();
        drop(guard);
        if good {
            self.fs.reader.judge(true);
        }
        let inode = self.fs.told_inode(*told, stamp);
        drop(pending);
        self.remember(name, stamp, inode.as_ref()?);
        inode
    }

    /// What was asked of `name` was answered with `inode`.
    fn remember(&self, name: &[u8], stamp: Stamp, inode: &Arc<Self>) {
        let known = (self.fs.sharing == Sharing::Shared).then(|| Arc::downgrade(inode));
        if inode.kind == FileKind::Regular {
            self.fs.reader.looked_up(inode.size_now());
        }
        if let Some(names) = &mut *self.names.lock() {
            names.known.insert(name.into(), (stamp, What::Asked(known)));
        }
    }

    /// Asks the host for the entry `name`, and for those that will be wanted next.
    pub(super) fn ask(&self, name: &[u8]) -> Result<Arc<Self>, Errno> {
        // Also what is not believed any more.
        let was_there = self.names.lock().as_ref().is_some_and(|names| names.known.contains_key(name));
        let found = self.ask_with_others(name);
        if was_there && matches!(found, Err(Errno::ENOENT)) {
            self.fs.reader.missed();
            let old = self.names.lock().as_mut().and_then(|names| names.known.remove(name));
            drop(old);
        }
        found
    }

    fn ask_with_others(&self, name: &[u8]) -> Result<Arc<Self>, Errno> {
        let others = self.others(name);
        let reader = &self.fs.reader;
        let content = reader.content();
        let pending = reader.pending();
        let asked_ns = platform().monotonic_ns();
        let stamp = reader.stamp(asked_ns);
        if others.is_empty() && content == 0 {
            let found = self.node.lookup(name);
            reader.took(platform().monotonic_ns().saturating_sub(asked_ns));
            let (node, attr) = match found {
                Err(Errno::EMFILE | Errno::ENFILE) => {
                    self.fs.forget_told();
                    self.node.lookup(name)?
                }
                found => found?,
            };
            let inode = self.fs.inode(node, attr);
            self.remember(name, stamp, &inode);
            return Ok(inode);
        }
        let mut wanted: Vec<&[u8]> = Vec::with_capacity(others.len() + 1);
        wanted.push(name);
        wanted.extend(others.iter().map(|name| &**name));
        let mut all = self.node.lookup_many(&wanted, content)?.into_iter();
        let first = match all.next().ok_or(Errno::EIO)? {
            Err(Errno::EMFILE | Errno::ENFILE) => {
                self.fs.forget_told();
                let (node, attr) = self.node.lookup(name)?;
                return Ok(self.fs.inode(node, attr));
            }
            first => first?,
        };
        self.put_told(stamp, others.into_iter().zip(all));
        drop(pending);
        let inode = self.fs.inode_of(first, stamp);
        self.remember(name, stamp, &inode);
        Ok(inode)
    }

    /// The names to ask for along with `name`.
    fn others(&self, name: &[u8]) -> Vec<Box<[u8]>> {
        let believed_ns = self.fs.believed_ns();
        let reader = &self.fs.reader;
        let mut listed = false;
        loop {
            let (plan, judgement) = {
                let mut guard = self.names.lock();
                let names = guard.get_or_insert_default();
                if names.known.len() > NAMES {
                    names.known.clear();
                }
                if names.told > 0 {
                    names.known.retain(|_, (stamp, _)| stamp.ns >= believed_ns);
                }
                let judgement = names.judge();
                // What is hoped of a new directory is less with each, until it comes true.
                let start = if names.questions == 0 && !listed { reader.take_start() } else { reader.start() };
                let plan = names.plan(name, start, listed);
                names.last = name.into();
                (plan, judgement)
            };
            if let Some(good) = judgement {
                reader.judge(good);
            }
            match plan {
                Plan::With(others) => return others,
                Plan::List => {
                    listed = true;
                    let Some(listing) = (self.size_now() <= LISTED_BYTES).then(|| self.listing().ok()).flatten() else {
                        return Vec::new();
                    };
                    self.note_listing(&listing, false);
                }
            }
        }
    }

    /// Keeps what was told of other names.
    fn put_told(&self, stamp: Stamp, told: impl Iterator<Item = (Box<[u8]>, Result<Told, Errno>)>) {
        let reader = &self.fs.reader;
        let mut guard = self.names.lock();
        let names = guard.get_or_insert_default();
        for (name, told) in told {
            if let Ok(told) = told {
                names.told += 1;
                names.known.insert(name, (stamp, What::Told(Box::new(told), reader.pending())));
            }
        }
        drop(guard);
        if let Some(other) = reader.note(self.key).and_then(|key| self.fs.known(key)) {
            other.forget_told();
        }
    }

    /// A listing was made, for the program or not: the names that will be asked for are probably in it.
    pub(super) fn note_listing(&self, listing: &Arc<Listing>, given: bool) {
        let old = self.names.lock().get_or_insert_default().listing.replace((listing.clone(), given));
        drop(old);
    }

    /// We changed these entries.
    pub(super) fn changed_names(&self, changed: &[&[u8]]) {
        if let Some(names) = &mut *self.names.lock() {
            for name in changed {
                if let Some((_, What::Told(told, _))) = names.known.remove(*name) {
                    // It may have been the last name.
                    told.node.mark_gone();
                }
            }
        }
    }

    /// Forgets what was told.
    pub(super) fn forget_told(&self) {
        let old = self.names.lock().take();
        if let Some(good) = old.and_then(|mut names| names.judge()) {
            self.fs.reader.judge(good);
        }
    }
}

impl super::HostFs {
    /// Makes room at the host: forgets what was told, and gives back what is not needed.
    fn forget_told(&self) {
        for directory in self.reader.take_recent() {
            if let Some(directory) = self.known(directory) {
                directory.forget_told();
            }
        }
        deferred::flush();
    }
}
