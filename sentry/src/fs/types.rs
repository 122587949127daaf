//! File systems by name: what mount(2) and the start specification can ask for.

use super::{Inode, dev, mqueue, proc, sys, tmpfs};
use crate::errno::Errno;
use crate::ipc::IpcNs;
use crate::task::Current;
use alloc::sync::Arc;

/// The names that programs are told of.
pub const FILE_SYSTEMS: &[&str] =
    &["sysfs", "tmpfs", "bdev", "proc", "cgroup", "cgroup2", "devtmpfs", "devpts", "mqueue", "overlay"];

/// The root of a new file system of the sentry's own, with the options of mount(2)'s `data`. It shows the namespaces of `maker`,
/// the first ones without. ENODEV for a name that is none.
pub fn new_file_system(maker: Option<&Current>, name: &str, options: &str) -> Result<Arc<dyn Inode>, Errno> {
    match name {
        "tmpfs" => tmpfs::new(&tmpfs::Options::parse(options)?),
        "devtmpfs" => dev::new(&tmpfs::Options::parse(options)?),
        "proc" => Ok(proc::new(maker.and_then(|current| current.process.space().clone()))),
        "devpts" => crate::tty::new_devpts(options),
        "sysfs" => Ok(sys::new()),
        "mqueue" => Ok(mqueue::new(maker.map_or_else(|| IpcNs::number(&None), IpcNs::of))),
        "cgroup2" => Ok(sys::cgroup::new()),
        _ => Err(Errno::ENODEV),
    }
}
