//! Files of the host, through the gofer.
//!
//! `mount` attaches a tree and gives its root inode. `client` speaks the request ABI; `HostInode` caches what the gofer said;
//! `data` is the source of a file's pages (`mm::Mapping` is the cache); `file` and `directory` are what opening gives.
//! An exclusive tree is nobody else's: what was learnt once stays true but for our own changes. A shared one is asked again
//! on every look-up and open, and attributes are good for a millisecond. A quiet one is shared with somebody who changes it by
//! hand (a container's root, and `docker cp`): all that is known of it is good for a second, or until a verb comes from outside.
//!
//! Locks: `HostFs::inodes` (Rank::FileSystem) and `HostInode::state` (Rank::Inode) never nest; no request is made under either.

pub mod client;
mod data;
mod deferred;
mod directory;
mod file;
mod inode;
#[cfg(test)]
mod tests;
pub mod watch;

use super::Inode;
use crate::errno::Errno;
use alloc::sync::Arc;
pub use inode::{HostFs, HostInode, Sharing};

/// Attaches mount `index` of the start specification; its root.
pub fn mount(index: u32, sharing: Sharing) -> Result<Arc<dyn Inode>, Errno> {
    deferred::start();
    let (node, attr) = client::Node::attach(index)?;
    let root = HostFs::new(sharing).inode(node, attr);
    Ok(root)
}

/// Starts what gives handles back in the background; for streams that are passed in without any mount.
pub fn start() {
    deferred::start();
}
