//! Device numbers to drivers: who opens what mknod(2) made.

use super::inode::{FileKind, Inode};
use super::open_file::{FileOps, OpenFlags};
use crate::errno::Errno;
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::task::Current;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Opens the character device `rdev` (major << 32 | minor).
pub type OpenDevice = fn(current: &Current, rdev: u64, flags: OpenFlags) -> Result<Arc<dyn FileOps>, Fail>;

static DRIVERS: Lock<Vec<(u32, OpenDevice)>> = Lock::new(Rank::Leaf, Vec::new());

/// Makes `driver` the one of all character devices with this major number. At start.
pub fn register_char(major: u32, driver: OpenDevice) {
    DRIVERS.lock().push((major, driver));
}

/// Opens a device node: for file systems that hold them. ENXIO where no driver serves the number.
pub fn open_device(current: &Current, kind: FileKind, rdev: u64, flags: OpenFlags) -> Result<Arc<dyn FileOps>, Fail> {
    if kind != FileKind::CharDevice {
        return Err(Errno::ENXIO.into());
    }
    let major = (rdev >> 32) as u32;
    let driver = DRIVERS.lock().iter().find(|(number, _)| *number == major).map(|(_, driver)| *driver);
    driver.ok_or(Errno::ENXIO)?(current, rdev, flags)
}

/// Opens `inode` as a FIFO; `None` where it has no slot (the inode opens itself).
pub(super) fn open_fifo(
    current: &Current,
    inode: &Arc<dyn Inode>,
    flags: OpenFlags,
) -> Option<Result<Arc<dyn FileOps>, Fail>> {
    inode.fifo_slot().map(|slot| super::pipe::open_fifo(current, slot, flags))
}
