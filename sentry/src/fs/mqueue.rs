//! The mqueue file system: one file a POSIX message queue, to list and to read. Queues come and go by mq_open and mq_unlink.

use super::Inode;
use super::pseudo::{Context, Item, PseudoFs, What};
use crate::errno::Errno;
use crate::ipc::mqueue;
use crate::task::Current;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general as raw;

/// MQUEUE_MAGIC (ipc/mqueue.c; nobody exports it).
const MAGIC: u32 = 0x1980_0202;

/// A new one, of an IPC namespace; its root directory.
pub fn new(space: u32) -> Arc<dyn Inode> {
    PseudoFs::root(MAGIC, &ROOT, Space(space))
}

/// The namespace whose queues are shown.
#[derive(Clone)]
struct Space(u32);

impl Context for Space {
    const PERMANENT: bool = true;
}

static ROOT: Item<Space> = Item { name: "", mode: 0o1777, what: What::Dynamic(&[], list, find) };
static QUEUE: Item<Name> = Item { name: "", mode: 0o600, what: What::File(read) };

/// A queue's name.
#[derive(Clone)]
struct Name(u32, Arc<[u8]>);

impl Context for Name {
    const PERMANENT: bool = false;

    fn check(&self) -> Result<(), Errno> {
        mqueue::text(self.0, &self.1).map(drop)
    }
}

fn list(_: &Current, space: &Space) -> Result<Vec<(Vec<u8>, u32)>, Errno> {
    Ok(mqueue::names(space.0).into_iter().map(|name| (name, raw::DT_REG)).collect())
}

fn find(fs: &Arc<PseudoFs>, parent: u64, space: &Space, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
    mqueue::text(space.0, name)?;
    Ok(fs.node(&QUEUE, &Name(space.0, Arc::from(name)), parent, name, 0))
}

fn read(_: &Current, name: &Name) -> Result<Vec<u8>, Errno> {
    mqueue::text(name.0, &name.1)
}
