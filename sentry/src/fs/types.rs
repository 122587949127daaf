//! File systems by name: what mount(2) and the start specification can ask for.

use super::{Inode, dev, mqueue, proc, sys, tmpfs};
use crate::errno::Errno;
use alloc::sync::Arc;

/// The root of a new file system of the sentry's own, with the options of mount(2)'s `data`. ENODEV for a name that is none.
pub fn new_file_system(name: &str, options: &str) -> Result<Arc<dyn Inode>, Errno> {
    match name {
        "tmpfs" => tmpfs::new(&tmpfs::Options::parse(options)?),
        "devtmpfs" => dev::new(),
        "proc" => Ok(proc::new()),
        "devpts" => crate::tty::new_devpts(options),
        "sysfs" => Ok(sys::new()),
        "mqueue" => Ok(mqueue::new()),
        "cgroup2" => Ok(sys::cgroup::new()),
        _ => Err(Errno::ENODEV),
    }
}
