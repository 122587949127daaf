//! What listmount(2) and statmount(2) tell of the mount tree: mounts by numbers that are never used again.

use super::mount::{Mount, MountFlags, Namespace};
use super::path::Path;
use crate::errno::Errno;
use crate::task::{Cap, Current, registry};
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general as raw;

/// Numbers begin behind this one (fs/namespace.c: MNT_UNIQUE_ID_OFFSET), so that none is one of mountinfo's.
pub const FIRST: u64 = 1 << 31;

/// The number that stands for the caller's root directory.
pub const ROOT: u64 = raw::LSMT_ROOT as i64 as u64;

/// The mount's number for these calls.
pub fn unique_id(mount: &Mount) -> u64 {
    FIRST + u64::from(mount.id())
}

/// A mount namespace as the caller may look at it, and what it takes for "/" there.
pub struct View {
    namespace: Arc<Namespace>,
    root: Path,
    /// Whether also mounts that cannot be reached from that are shown.
    all: bool,
}

impl View {
    /// The namespace with this number, 0 for the caller's own; ENOENT where it may not know of it.
    pub fn of(current: &Current, number: u64) -> Result<Self, Errno> {
        let own = current.fs.namespace();
        if number == 0 || number == u64::from(own.number()) {
            let all = current.creds.has_in(own.owner(), Cap::SysAdmin);
            return Ok(Self { namespace: own, root: current.fs.root(), all });
        }
        let tasks = registry().processes().into_iter().flat_map(|process| process.threads());
        let mut others = tasks.filter_map(|task| task.published().fs).map(|fs| fs.namespace());
        let namespace = others.find(|other| u64::from(other.number()) == number).ok_or(Errno::ENOENT)?;
        if !current.creds.has_in(namespace.owner(), Cap::SysAdmin) {
            return Err(Errno::ENOENT);
        }
        Ok(Self { root: namespace.root_path(), namespace, all: true })
    }

    /// The namespace's number.
    pub fn number(&self) -> u64 {
        u64::from(self.namespace.number())
    }

    /// The mount with this number. ENOENT where there is none, EPERM where the caller cannot reach it.
    pub fn find(&self, id: u64) -> Result<Arc<Mount>, Errno> {
        let mut mounts = self.namespace.mounts().into_iter();
        let mount = mounts.find(|mount| unique_id(mount) == id).ok_or(Errno::ENOENT)?;
        if self.all || self.place(&mount).is_some() { Ok(mount) } else { Err(Errno::EPERM) }
    }

    /// Where the mount is, if that can be reached.
    pub fn place(&self, mount: &Arc<Mount>) -> Option<Vec<u8>> {
        let (place, reachable) = mount.root_path().text(&self.root);
        reachable.then_some(place)
    }

    /// The numbers of all mounts below the one with number `parent`, the lowest first. `after`: only those behind this one, and
    /// with `reverse`, the highest first.
    pub fn list(&self, parent: u64, after: u64, reverse: bool) -> Result<Vec<u64>, Errno> {
        let top = if parent == ROOT { self.root.clone() } else { self.find(parent)?.root_path() };
        let mut ids: Vec<u64> = self
            .namespace
            .mounts()
            .iter()
            .filter(|mount| mount.root_path().text(&top).1)
            .map(|mount| unique_id(mount))
            .filter(|id| *id != parent && (after == 0 || if reverse { *id < after } else { *id > after }))
            .collect();
        ids.sort_unstable();
        if reverse {
            ids.reverse();
        }
        Ok(ids)
    }
}

/// The part of its file system that a mount shows.
pub fn shown_part(mount: &Mount) -> Vec<u8> {
    let mut names = Vec::new();
    let mut at = mount.root().clone();
    while let Some(parent) = at.parent() {
        names.push(at.name());
        at = parent;
    }
    if names.is_empty() {
        return b"/".to_vec();
    }
    names.iter().rev().flat_map(|name| core::iter::once(b'/').chain(name.iter().copied())).collect()
}

/// Flags as MOUNT_ATTR_*.
pub fn attributes(flags: MountFlags) -> u64 {
    let rows = [
        (MountFlags::RDONLY, raw::MOUNT_ATTR_RDONLY),
        (MountFlags::NOSUID, raw::MOUNT_ATTR_NOSUID),
        (MountFlags::NODEV, raw::MOUNT_ATTR_NODEV),
        (MountFlags::NOEXEC, raw::MOUNT_ATTR_NOEXEC),
        (MountFlags::NODIRATIME, raw::MOUNT_ATTR_NODIRATIME),
        (MountFlags::NOSYMFOLLOW, raw::MOUNT_ATTR_NOSYMFOLLOW),
    ];
    let time = if flags.contains(MountFlags::NOATIME) {
        raw::MOUNT_ATTR_NOATIME
    } else if flags.contains(MountFlags::STRICTATIME) {
        raw::MOUNT_ATTR_STRICTATIME
    } else {
        raw::MOUNT_ATTR_RELATIME
    };
    rows.iter().filter(|(flag, _)| flags.contains(*flag)).fold(u64::from(time), |all, (_, bit)| all | u64::from(*bit))
}
