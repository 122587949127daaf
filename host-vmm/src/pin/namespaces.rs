//! Namespaces of a process's own with nothing in them, an empty root, no capabilities.
//!
//! With privilege all of it must succeed. Without, the sandbox process tries a user namespace first; where the host forbids
//! those, and in the gofer, the process stays in its namespaces, and the system call filter alone holds it.

use crate::pin::{Error, call};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::{CapabilitySet, CapabilitySets, LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use std::os::fd::{AsFd, OwnedFd};

const WITHOUT_NETWORK: UnshareFlags = UnshareFlags::NEWNS.union(UnshareFlags::NEWIPC).union(UnshareFlags::NEWUTS);

/// A network namespace with nothing in it, for all processes of a sandbox; the caller, which has one thread, stays in its own.
/// `None` without the privilege to make one. Who waits for the sandbox holds it until then: to take a network namespace down
/// the kernel waits for others for tens of milliseconds, and to take a VM down it would wait for that.
pub fn empty_network() -> Result<Option<OwnedFd>, Error> {
    let open = || rustix::fs::open("/proc/thread-self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let own = open().map_err(call("network namespace"))?;
    #[allow(deprecated)]
    match rustix::thread::unshare(UnshareFlags::NEWNET) {
        Err(Errno::PERM) => return Ok(None),
        other => other.map_err(call("unshare"))?,
    }
    let empty = open();
    move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::Network)).map_err(call("setns"))?;
    empty.map(Some).map_err(call("network namespace"))
}

/// Leaves the namespaces, for `network` where one is given, the root and all capabilities.
pub fn leave(network: Option<OwnedFd>) -> Result<(), Error> {
    leave_for(network, CapabilitySet::empty(), UnshareFlags::NEWUSER)
}

/// As `leave`, but stays in the network namespace: what others know a container's by.
pub fn leave_but_network() -> Result<(), Error> {
    leave_these(WITHOUT_NETWORK, CapabilitySet::empty(), UnshareFlags::NEWUSER)
}

/// As `leave`, but stays in the network namespace, whose sockets it makes, and keeps the right to low ports if it has it. It keeps
/// its user namespace, too: another one's capabilities count for nothing there.
pub fn leave_for_sockets() -> Result<(), Error> {
    leave_these(WITHOUT_NETWORK, CapabilitySet::NET_BIND_SERVICE, UnshareFlags::empty())
}

/// As `leave`, for a process that looks at files, and keeps those of `keep` that it has. Open descriptors stay usable. Without
/// privilege it stays where it is: in a user namespace of its own every file would seem to belong to nobody.
pub fn leave_keeping(network: Option<OwnedFd>, keep: CapabilitySet) -> Result<(), Error> {
    leave_for(network, keep, UnshareFlags::empty())
}

fn leave_for(network: Option<OwnedFd>, keep: CapabilitySet, user: UnshareFlags) -> Result<(), Error> {
    match network {
        Some(network) => {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).map_err(call("setns"))?;
            leave_these(WITHOUT_NETWORK, keep, user)
        }
        None => leave_these(WITHOUT_NETWORK | UnshareFlags::NEWNET, keep, user),
    }
}

/// `user` is the user namespace that makes it possible without privilege, if the process may have one.
fn leave_these(namespaces: UnshareFlags, keep: CapabilitySet, user: UnshareFlags) -> Result<(), Error> {
    let have = rustix::thread::capabilities(None).map_err(call("capget"))?.effective;
    if have.contains(CapabilitySet::SYS_ADMIN) {
        #[allow(deprecated)]
        rustix::thread::unshare(namespaces).map_err(call("unshare"))?;
        empty_root().map_err(call("empty root"))?;
    } else if !user.is_empty() {
        #[allow(deprecated)]
        let unshared = rustix::thread::unshare(namespaces | user);
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
pub fn drop_capabilities(keep: CapabilitySet) -> Result<(), Error> {
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
