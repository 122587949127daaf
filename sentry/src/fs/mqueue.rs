//! The mqueue file system: one file a POSIX message queue, to list and to read. Queues come and go by mq_open and mq_unlink.

use super::Inode;
use super::pseudo::{Context, Global, Item, PseudoFs, What};
use crate::errno::Errno;
use crate::ipc::mqueue;
use crate::task::Current;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general as raw;

/// MQUEUE_MAGIC (ipc/mqueue.c; nobody exports it).
const MAGIC: u32 = 0x1980_0202;

/// A new one; its root directory.
pub fn new() -> Arc<dyn Inode> {
    PseudoFs::root(MAGIC, &ROOT, Global)
}

static ROOT: Item<Global> = Item { name: "", mode: 0o1777, what: What::Dynamic(&[], list, find) };
static QUEUE: Item<Name> = Item { name: "", mode: 0o600, what: What::File(read) };

/// A queue's name.
#[derive(Clone)]
struct Name(Arc<[u8]>);

impl Context for Name {
    const PERMANENT: bool = false;

    fn check(&self) -> Result<(), Errno> {
        mqueue::text(&self.0).map(drop)
    }
}

fn list(_: &Current, _: &Global) -> Result<Vec<(Vec<u8>, u32)>, Errno> {
    Ok(mqueue::names().into_iter().map(|name| (name, raw::DT_REG)).collect())
}

fn find(fs: &Arc<PseudoFs>, parent: u64, _: &Global, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
    mqueue::text(name)?;
    Ok(fs.node(&QUEUE, &Name(Arc::from(name)), parent, name, 0))
}

fn read(_: &Current, name: &Name) -> Result<Vec<u8>, Errno> {
    mqueue::text(&name.0)
}
