//! Mount propagation (mount_namespaces(7), "Shared subtrees"): a mount or unmount on a shared mount happens on its peers and on
//! their slaves too.
//!
//! A peer group is a number; every mount that is in one, or a slave of one, is in `MEMBERS`. All of this happens under the
//! tree's `CHANGE`; a mount's own state is a leaf.

use super::mount::Mount;
use super::path::Path;
use crate::errno::Errno;
use crate::sync::{Lock, Rank};
use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use hashbrown::HashSet;
use linux_raw_sys::general as raw;

/// What a mount does with mounts on it, and where it gets some from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Propagation {
    /// Its peer group, 0 for none.
    shared: u32,
    /// The peer group that it follows, 0 for none.
    master: u32,
    unbindable: bool,
}

/// Kinds that mount(2) can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Shared,
    Private,
    Slave,
    Unbindable,
}

static MEMBERS: Lock<Vec<Weak<Mount>>> = Lock::new(Rank::Leaf, Vec::new());

fn new_group() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Kind {
    /// What exactly one of MS_SHARED and its like means.
    pub fn from_flags(flags: u32) -> Result<Self, Errno> {
        match flags & (raw::MS_SHARED | raw::MS_PRIVATE | raw::MS_SLAVE | raw::MS_UNBINDABLE) {
            raw::MS_SHARED => Ok(Self::Shared),
            raw::MS_PRIVATE => Ok(Self::Private),
            raw::MS_SLAVE => Ok(Self::Slave),
            raw::MS_UNBINDABLE => Ok(Self::Unbindable),
            _ => Err(Errno::EINVAL),
        }
    }
}

impl Propagation {
    /// Whether mounts on it happen elsewhere too.
    pub fn is_shared(&self) -> bool {
        self.shared != 0
    }

    /// Whether it neither shares nor follows.
    pub fn is_alone(&self) -> bool {
        self.shared == 0 && self.master == 0
    }

    /// Whether binds of it are refused.
    pub fn is_unbindable(&self) -> bool {
        self.unbindable
    }

    /// MS_SHARED and its like.
    pub fn flags(&self) -> u32 {
        let rows = [
            (self.shared != 0, raw::MS_SHARED),
            (self.master != 0, raw::MS_SLAVE),
            (self.unbindable, raw::MS_UNBINDABLE),
        ];
        let flags = rows.iter().filter(|(on, _)| *on).fold(0, |all, (_, flag)| all | flag);
        if flags == 0 { raw::MS_PRIVATE } else { flags }
    }

    /// The numbers of its peer group and of the one that it follows, 0 for none.
    pub fn groups(&self) -> (u64, u64) {
        (self.shared.into(), self.master.into())
    }

    /// What mountinfo says of it, each word behind a blank.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if self.shared != 0 {
            text += &format!(" shared:{}", self.shared);
        }
        if self.master != 0 {
            text += &format!(" master:{}", self.master);
        }
        if self.unbindable {
            text += " unbindable";
        }
        text
    }

    /// A copy's, for a namespace with less privilege: it follows, and nothing comes back.
    fn as_slave(self) -> Self {
        if self.shared == 0 { self } else { Self { shared: 0, master: self.shared, unbindable: false } }
    }
}

fn members() -> Vec<Arc<Mount>> {
    let (alive, dead) = {
        let mut members = MEMBERS.lock();
        let alive: Vec<Arc<Mount>> = members.iter().filter_map(Weak::upgrade).collect();
        let dead: Vec<Weak<Mount>> = members.extract_if(.., |member| member.strong_count() == 0).collect();
        (alive, dead)
    };
    drop(dead);
    alive
}

/// Sets a mount's state.
fn set(mount: &Arc<Mount>, state: Propagation) {
    let old = mount.replace_propagation(state);
    let member = |state: &Propagation| state.shared != 0 || state.master != 0;
    if member(&state) && !member(&old) {
        MEMBERS.lock().push(Arc::downgrade(mount));
    } else if !member(&state) && member(&old) {
        let gone: Vec<_> =
            MEMBERS.lock().extract_if(.., |other| core::ptr::eq(other.as_ptr(), Arc::as_ptr(mount))).collect();
        drop(gone);
    }
}

/// Makes a mount (`recursive`: and those on it) shared, private and so on.
pub(super) fn change(mount: &Arc<Mount>, kind: Kind, recursive: bool) {
    match recursive {
        true => mount.tree().iter().for_each(|mount| change_alone(mount, kind)),
        false => change_alone(mount, kind),
    }
}

fn change_alone(mount: &Arc<Mount>, kind: Kind) {
    let state = mount.propagation();
    let new = match kind {
        Kind::Shared => Propagation { shared: if state.shared == 0 { new_group() } else { state.shared }, ..state },
        Kind::Private => Propagation::default(),
        Kind::Unbindable => Propagation { unbindable: true, ..Propagation::default() },
        Kind::Slave if state.shared != 0 => {
            // Alone in its group it has nobody to follow.
            let others =
                members().iter().any(|other| !Arc::ptr_eq(other, mount) && other.propagation().shared == state.shared);
            Propagation { shared: 0, master: if others { state.shared } else { state.master }, unbindable: false }
        }
        Kind::Slave => state,
    };
    let new = if kind == Kind::Shared { Propagation { unbindable: false, ..new } } else { new };
    set(mount, new);
}

/// A copy of `original` is its peer; or follows it alone.
pub(super) fn inherit(copy: &Arc<Mount>, original: &Mount, as_slave: bool) {
    let state = original.propagation();
    let state = if as_slave { state.as_slave() } else { state };
    if state != Propagation::default() {
        set(copy, Propagation { unbindable: false, ..state });
    }
}

/// Where what happens on `place` happens as well, and whether only as a slave.
fn receivers(place: &Path) -> Vec<(Path, bool)> {
    let mut found: Vec<(Path, bool)> = Vec::new();
    let mut known = HashSet::new();
    let first = place.mount().propagation().shared;
    if first == 0 {
        return found;
    }
    let all = members();
    let mut groups = alloc::vec![(first, false)];
    let mut seen = groups.clone();
    while let Some((group, below)) = groups.pop() {
        for mount in &all {
            let state = mount.propagation();
            let slave = state.master == group;
            if Arc::ptr_eq(mount, place.mount()) || state.shared != group && !slave {
                continue;
            }
            if known.contains(&Arc::as_ptr(mount)) {
                continue;
            }
            if slave && state.shared != 0 && !seen.iter().any(|(group, _)| *group == state.shared) {
                seen.push((state.shared, true));
                groups.push((state.shared, true));
            }
            if mount.root().is_above(place.dentry()) {
                known.insert(Arc::as_ptr(mount));
                found.push((Path::new(mount.clone(), place.dentry().clone()), below || slave));
            }
        }
    }
    found
}

/// ENOSPC where there may not be as many mounts as `mounted` makes.
pub(super) fn check_room(mount: &Arc<Mount>, place: &Path) -> Result<(), Errno> {
    match receivers(place).len() {
        0 => super::mount::check_room(0),
        times => super::mount::check_room(mount.tree().len().saturating_mul(times)),
    }
}

/// `mount` was attached at `place`: copies of it go to all who follow.
pub(super) fn mounted(mount: &Arc<Mount>, place: &Path) {
    if place.mount().propagation().shared == 0 {
        return;
    }
    // What is mounted on itself (a bind of a shared mount into itself) is not mounted there once more.
    let receivers = receivers(place).into_iter().filter(|(at, _)| !at.mount().is_below(mount));
    let receivers: Vec<_> = receivers.collect();
    share(mount);
    for (at, slave) in receivers {
        let copy = mount.copy(mount.root(), true, slave);
        if at.mount().is_foreign() {
            copy.lock_down(false);
        }
        copy.attach(&at);
    }
}

/// What hangs on a shared mount is shared itself.
fn share(mount: &Arc<Mount>) {
    mount
        .tree()
        .iter()
        .filter(|mount| mount.propagation().shared == 0)
        .for_each(|mount| change_alone(mount, Kind::Shared));
}

/// The mount at `place` is being taken away: those that came with it go too, unless something is on them.
pub(super) fn unmounted(place: &Path) {
    for (at, _) in receivers(place) {
        if let Some(mount) = at.mount().mounted_at(at.dentry())
            && mount.children().is_empty()
        {
            mount.detach();
        }
    }
}
