//! Trees of mounts that are in no namespace: what open_tree(2) copies and fsmount(2) makes. A descriptor holds one until
//! move_mount(2) puts it somewhere; with the descriptor it is gone. Also what moves and changes mounts in general.

use super::mount::{CHANGE, FileSystem, MOUNT_CHANGES, Mount, MountFlags, Namespace, copy_tree};
use super::path::Path;
use super::propagation::{self, Kind};
use crate::errno::Errno;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A mount of `file_system` that is nowhere yet.
pub(super) fn mount(flags: MountFlags, file_system: Arc<FileSystem>) -> Path {
    let mount = Mount::new(file_system, flags);
    mount.set_detached(true);
    mount.root_path()
}

/// A copy of the mount at `source` that shows this place, with (`recursive`) copies of those below it.
pub fn copy(namespace: &Namespace, source: &Path, recursive: bool) -> Result<Path, Errno> {
    let _change = CHANGE.lock();
    // Namespaces' files are in no tree, and can be bound all the same.
    if !ours(namespace, source.mount()) && !super::nsfs::is_file(source.inode()) {
        return Err(Errno::EINVAL);
    }
    let copy = copy_tree(source, recursive)?;
    copy.set_detached(true);
    Ok(copy.root_path())
}

/// Whether a mount may be worked with from `namespace`: it is in its tree, or in one that is nowhere yet.
fn ours(namespace: &Namespace, mount: &Arc<Mount>) -> bool {
    let mut top = mount.clone();
    while let Some(place) = top.mount_point() {
        top = place.mount().clone();
    }
    top.is_detached() || Arc::ptr_eq(&top, &namespace.root())
}

fn is_root(place: &Path) -> bool {
    Arc::ptr_eq(place.mount().root(), place.dentry())
}

/// Moves the mount whose root is `from`, from its place in the tree or from nowhere (move_mount(2), MS_MOVE).
pub fn move_mount(namespace: &Namespace, from: &Path, to: &Path) -> Result<(), Errno> {
    let change = CHANGE.lock();
    let to = to.clone().cross_mounts();
    if to.dentry().is_deleted() {
        return Err(Errno::ENOENT);
    }
    let mount = from.mount();
    let parent = mount.mount_point();
    let movable = if parent.is_some() { namespace.holds(mount) } else { mount.is_detached() };
    if !movable || !namespace.holds(to.mount()) || mount.is_locked() || !is_root(from) {
        return Err(Errno::EINVAL);
    }
    if from.dentry().is_directory() != to.dentry().is_directory() {
        return Err(Errno::EINVAL);
    }
    if parent.is_some_and(|place| place.mount().propagation().is_shared()) {
        return Err(Errno::EINVAL);
    }
    if to.mount().propagation().is_shared() && mount.tree().iter().any(|mount| mount.propagation().is_unbindable()) {
        return Err(Errno::EINVAL);
    }
    if to.mount().is_below(mount) {
        return Err(Errno::ELOOP);
    }
    propagation::check_room(mount, &to)?;
    mount.detach();
    mount.set_detached(false);
    mount.attach(&to);
    propagation::mounted(mount, &to);
    drop(change);
    MOUNT_CHANGES.add();
    Ok(())
}

/// Makes the mount at `to` a peer of the one at `from`, or a slave of the same master (MOVE_MOUNT_SET_GROUP).
pub fn set_group(namespace: &Namespace, from: &Path, to: &Path) -> Result<(), Errno> {
    let _change = CHANGE.lock();
    let (source, target) = (from.mount(), to.mount());
    let fit = ours(namespace, source)
        && ours(namespace, target)
        && is_root(from)
        && is_root(to)
        && Arc::ptr_eq(source.file_system(), target.file_system())
        && source.root().is_above(target.root())
        && target.propagation().is_alone()
        && !source.propagation().is_alone();
    if !fit {
        return Err(Errno::EINVAL);
    }
    propagation::inherit(target, source, false);
    MOUNT_CHANGES.add();
    Ok(())
}

/// What mount_setattr(2) asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change {
    /// Flags to take away, first.
    pub clear: MountFlags,
    /// Flags to add.
    pub set: MountFlags,
    /// What becomes of mounts on it.
    pub propagation: Option<Kind>,
    /// Whether the mounts below are meant too.
    pub recursive: bool,
}

/// Changes the mount whose root is `at`: all that is asked for, or nothing.
pub fn change(namespace: &Namespace, at: &Path, change: &Change) -> Result<(), Errno> {
    let _change = CHANGE.lock();
    if !is_root(at) {
        return Err(Errno::EINVAL);
    }
    let mount = at.mount();
    let mine = if mount.mount_point().is_some() {
        namespace.holds(mount)
    } else {
        mount.is_detached() || Arc::ptr_eq(mount, &namespace.root())
    };
    if !mine {
        return Err(Errno::EINVAL);
    }
    let all = if change.recursive { mount.tree() } else { Vec::from([mount.clone()]) };
    let new = |mount: &Mount| mount.flags().difference(change.clear).union(change.set);
    all.iter().try_for_each(|mount| mount.may_have(new(mount)))?;
    for mount in &all {
        mount.set_flags(new(mount));
    }
    if let Some(kind) = change.propagation {
        propagation::change(mount, kind, change.recursive);
        MOUNT_CHANGES.add();
    }
    Ok(())
}
