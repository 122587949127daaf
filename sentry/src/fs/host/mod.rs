//! Files of the host, through the gofer.
//!
//! `mount` attaches a tree and gives its root inode. `client` speaks the request ABI; `HostInode` caches what the gofer said;
//! `data` is the source of a file's pages (`mm::Mapping` is the cache); `file` and `directory` are what opening gives.
//! `ahead` has names told before they are asked for, with the contents of small files where those are read.
//! An exclusive tree is nobody else's: what was learnt once stays true but for our own changes. Of a shared one, names that are there
//! and attributes are good for a millisecond, or for as long as 64 questions take where that is longer (250 ms at most), or until a
//! verb comes from outside; that a name is missing is not believed at all. A quiet one is shared with somebody who changes it by
//! hand (a container's root, and `docker cp`): all that is known of it is good for a second, or until a verb comes from outside.
//!
//! Locks: `HostFs::inodes` (Rank::FileSystem) and `HostInode::state` (Rank::Inode) never nest; `HostInode::names` is
//! of that rank, too. No request is made under any.

mod ahead;
#[cfg(test)]
mod ahead_tests;
pub mod client;
mod data;
mod deferred;
mod directory;
mod file;
mod inode;
mod reader;
#[cfg(test)]
mod tests;
mod tree;
pub mod watch;

use super::Inode;
use crate::errno::Errno;
use alloc::sync::Arc;
pub use inode::HostInode;
pub use tree::{HostFs, Sharing};

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
