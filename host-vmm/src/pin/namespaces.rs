//! Namespaces of a process's own with nothing in them, an empty root, no capabilities.
//!
//! With privilege all of it must succeed. Without, a user namespace is tried first; where the host forbids those, the process
//! stays in its namespaces, and the system call filter alone holds it.

use crate::pin::{Error, call};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};

const NAMESPACES: UnshareFlags =
    UnshareFlags::NEWNS.union(UnshareFlags::NEWNET).union(UnshareFlags::NEWIPC).union(UnshareFlags::NEWUTS);

/// Leaves the namespaces, the root and all capabilities.
pub fn leave() -> Result<(), Error> {
    leave_keeping(CapabilitySet::empty())
}

/// As `leave`, but stays in the network namespace: what others know a container's by.
pub fn leave_but_network() -> Result<(), Error> {
    leave_these(NAMESPACES.difference(UnshareFlags::NEWNET), CapabilitySet::empty())
}

/// As `leave`, but keeps those of `keep` that the process has. Open descriptors stay usable.
pub fn leave_keeping(keep: CapabilitySet) -> Result<(), Error> {
    leave_these(NAMESPACES, keep)
}

fn leave_these(namespaces: UnshareFlags, keep: CapabilitySet) -> Result<(), Error> {
    let have = rustix::thread::capabilities(None).map_err(call("capget"))?.effective;
    if have.contains(CapabilitySet::SYS_ADMIN) {
        #[allow(deprecated)]
        rustix::thread::unshare(namespaces).map_err(call("unshare"))?;
        empty_root().map_err(call("empty root"))?;
    } else {
        #[allow(deprecated)]
        let unshared = rustix::thread::unshare(namespaces | UnshareFlags::NEWUSER);
        if unshared.is_ok() {
            // A half-empty root is no reason to fail: the filter lets no path through.
            let _ = empty_root();
        }
    }
    drop_capabilities(keep & have)?;
    rustix::thread::set_no_new_privs(true).map_err(call("no_new_privs"))
}

/// Makes an empty, read-only tmpfs the root, and lets go of everything else. The working directory stays where it was.
fn empty_root() -> Result<(), Errno> {
    let before =
        rustix::fs::open(".", rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC, rustix::fs::Mode::empty())?;
    let recursive = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", recursive)?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let options = c"size=4k,nr_inodes=1,mode=0";
    // Any directory that every system has will do; the mount is seen by nobody else.
    let place = ["/proc", "/tmp", "/dev", "/sys"]
        .into_iter()
        .find(|place| rustix::mount::mount("none", *place, "tmpfs", flags, options).is_ok())
        .ok_or(Errno::NOENT)?;
    rustix::process::chdir(place)?;
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::fchdir(before)
}

/// Drops capabilities from every set.
fn drop_capabilities(keep: CapabilitySet) -> Result<(), Error> {
    let have = rustix::thread::capabilities(None).map_err(call("capget"))?.effective;
    if have.contains(CapabilitySet::SETPCAP) {
        for capability in CapabilitySet::all().difference(keep).iter() {
            // One that this kernel does not know is no loss.
            let _ = rustix::thread::remove_capability_from_bounding_set(capability);
        }
    }
    let _ = rustix::thread::clear_ambient_capability_set();
    let sets = CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).map_err(call("capset"))
}
