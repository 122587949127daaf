//! The terminal devices that are opened by number: `/dev/tty`, `/dev/console`, `/dev/ptmx`, and nodes like those in `/dev/pts`.

use super::{devpts, session};
use crate::errno::Errno;
use crate::fs::{FileOps, OpenFlags, device};
use crate::syscall::Fail;
use crate::task::Current;
use alloc::sync::Arc;

/// Major number of `/dev/tty` (0), `/dev/console` (1) and `/dev/ptmx` (2). (Documentation/admin-guide/devices.txt.)
const TTYAUX_MAJOR: u32 = 5;
/// Major number of pseudo-terminals' own sides.
pub(super) const PTS_MAJOR: u32 = 136;
/// Minor number of `ptmx`.
pub(super) const PTMX: u64 = (TTYAUX_MAJOR as u64) << 32 | 2;

/// Registers the drivers. At start.
pub fn register() {
    device::register_char(TTYAUX_MAJOR, open_aux);
    device::register_char(PTS_MAJOR, open_pts);
}

fn open_aux(current: &Current, rdev: u64, flags: OpenFlags) -> Result<Arc<dyn FileOps>, Fail> {
    match rdev as u32 {
        0 => {
            let terminal = session::controlling(&current.process).ok_or(Errno::ENXIO)?;
            Ok(terminal.open(current)?)
        }
        1 => {
            let terminal = super::console::console().ok_or(Errno::ENODEV)?;
            let file = terminal.open(current)?;
            Ok(file)
        }
        2 => devpts::open_master(current, &devpts::default_instance().ok_or(Errno::ENODEV)?, flags),
        _ => Err(Errno::ENXIO.into()),
    }
}

fn open_pts(current: &Current, rdev: u64, flags: OpenFlags) -> Result<Arc<dyn FileOps>, Fail> {
    let devpts = devpts::default_instance().ok_or(Errno::ENXIO)?;
    devpts::open_number(current, &devpts, rdev as u32, flags)
}
