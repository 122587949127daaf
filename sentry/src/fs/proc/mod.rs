//! proc: what the sentry tells about itself and its tasks. `system`, `cpu` and `sysctl` are about the system, `task` is
//! `/proc/PID`; how the tables below become files is `pseudo`'s.

mod cpu;
mod net;
mod sysctl;
mod system;
mod task;
#[cfg(test)]
mod tests;

use super::Inode;
use super::pseudo::{Context, Item, PseudoFs, What, directory, file, link};
use crate::errno::Errno;
use crate::task::{Current, PidSpace, Tid, registry};
use alloc::format;
use alloc::sync::Arc;
use linux_raw_sys::general as raw;
pub(in crate::fs) use task::status;
pub use task::{auxv, process_of};

/// A new proc, which shows the processes of `pids`; its root directory.
pub fn new(pids: PidSpace) -> Arc<dyn Inode> {
    PseudoFs::root(raw::PROC_SUPER_MAGIC, &ROOT, System { pids })
}

/// One proc: what is not about a task.
#[derive(Clone)]
pub struct System {
    /// The namespace whose numbers it shows.
    pub pids: PidSpace,
}

impl Context for System {
    const PERMANENT: bool = true;
}

/// Whoever reads, as this proc numbers it.
fn reader(current: &Current, system: &System) -> Result<(Tid, Tid), Errno> {
    let shown = |tid| registry().shown(tid, &system.pids);
    let (pid, tid) = (shown(current.process.pid()), shown(current.task.tid()));
    if pid.raw() == 0 { Err(Errno::ENOENT) } else { Ok((pid, tid)) }
}

static ROOT: Item<System> = Item { name: "", mode: 0o555, what: What::Dynamic(ENTRIES, task::list, task::find) };

const ENTRIES: &[Item<System>] = &[
    directory("bus", &[]),
    file("cgroups", system::cgroups),
    file("cmdline", system::cmdline),
    file("consoles", system::empty),
    file("cpuinfo", cpu::info),
    file("devices", system::devices),
    file("diskstats", system::empty),
    directory("driver", &[]),
    file("execdomains", |_, _| Ok(b"0-0\tLinux           \t[kernel]\n".to_vec())),
    file("filesystems", system::filesystems),
    directory("fs", &[]),
    file("interrupts", system::interrupts),
    file("iomem", system::empty),
    file("ioports", system::empty),
    directory("irq", &[]),
    file("key-users", |_, _| crate::keys::show::users()),
    file("keys", |current, _| crate::keys::show::keys(current)),
    file("loadavg", system::loadavg),
    file("locks", system::empty),
    file("meminfo", system::meminfo),
    file("modules", system::empty),
    link("mounts", |_, _| Ok(b"self/mounts".to_vec())),
    link("net", |_, _| Ok(b"self/net".to_vec())),
    file("partitions", system::partitions),
    directory(
        "pressure",
        &[file("cpu", system::pressure), file("io", system::pressure), file("memory", system::pressure)],
    ),
    link("self", |current, system| Ok(format!("{}", reader(current, system)?.0.raw()).into_bytes())),
    file("stat", system::stat),
    file("swaps", system::swaps),
    directory("sys", sysctl::ROOT),
    directory(
        "sysvipc",
        &[
            file("msg", |current, _| Ok(crate::ipc::msg::proc_text(current))),
            file("sem", |current, _| Ok(crate::ipc::sem::proc_text(current))),
            file("shm", |current, _| Ok(crate::mm::shm::proc_text(current))),
        ],
    ),
    link("thread-self", |current, system| {
        let (pid, tid) = reader(current, system)?;
        Ok(format!("{}/task/{}", pid.raw(), tid.raw()).into_bytes())
    }),
    directory(
        "tty",
        &[file("drivers", |_, _| {
            Ok(b"/dev/tty             /dev/tty        5       0 system:/dev/tty\n/dev/console         /dev/console    5       1 system:console\n/dev/ptmx            /dev/ptmx       5       2 system\npty_slave            /dev/pts      136 0-1048575 pty:slave\npty_master           /dev/ptm      128 0-1048575 pty:master\n".to_vec())
        })],
    ),
    file("uptime", system::uptime),
    file("version", system::version),
    file("vmstat", system::vmstat),
];
