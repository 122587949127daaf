//! The table: one row a system call, grouped by family.

mod descriptors;
mod files;
mod ipc;
mod memory;
mod mounts;
mod process;
mod signals;
mod sockets;
mod system;
mod time;

use super::Signature;

/// Every family's rows.
pub(super) const FAMILIES: &[&[Signature]] = &[
    descriptors::ROWS,
    files::ROWS,
    ipc::ROWS,
    memory::ROWS,
    mounts::ROWS,
    process::ROWS,
    signals::ROWS,
    sockets::ROWS,
    system::ROWS,
    time::ROWS,
];
