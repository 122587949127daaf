//! The memory devices (major 1): null, zero, full, random, urandom.

use crate::errno::Errno;
use crate::fs::{FileOps, OpenFile, OpenFlags, Sink, Source};
use crate::random;
use crate::syscall::{Fail, UserPtr};
use crate::task::{Cap, Current};
use alloc::sync::Arc;
use core::any::Any;
use linker::addr::UserVa;
use linux_raw_sys::ioctl;

/// Major number of these devices. (Numbers: Linux, Documentation/admin-guide/devices.txt.)
pub const MAJOR: u32 = 1;
/// Bits that random says its pool holds, as Linux does once it is seeded.
pub const POOL_BITS: u32 = 256;

/// The devices by minor number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Device {
    /// Takes everything, gives nothing.
    Null = 3,
    /// Gives zeroes.
    Zero = 5,
    /// Gives zeroes, has no room.
    Full = 7,
    /// Gives random numbers.
    Random = 8,
    /// The same.
    Urandom = 9,
}

impl Device {
    const ALL: [Self; 5] = [Self::Null, Self::Zero, Self::Full, Self::Random, Self::Urandom];
}

/// Opens the device `rdev` (major << 32 | minor).
pub fn open(_current: &Current, rdev: u64, _flags: OpenFlags) -> Result<Arc<dyn FileOps>, Fail> {
    let minor = rdev as u32;
    let device = Device::ALL.into_iter().find(|device| *device as u32 == minor).ok_or(Errno::ENXIO)?;
    Ok(Arc::new(MemFile(device)))
}

/// An open memory device.
struct MemFile(Device);

impl FileOps for MemFile {
    fn read(&self, _current: &Current, _file: &OpenFile, sink: &mut Sink<'_>, _offset: u64) -> Result<usize, Fail> {
        match self.0 {
            Device::Null => Ok(0),
            Device::Zero | Device::Full => {
                const STEP: usize = 1 << 20;
                while sink.left() > 0 {
                    let want = sink.left().min(STEP);
                    match sink.put_zeros(want) {
                        Ok(put) if put == want && !sink.interrupted() => {}
                        Ok(_) => break,
                        Err(_) if sink.done() > 0 => break,
                        Err(errno) => return Err(errno.into()),
                    }
                }
                Ok(sink.done())
            }
            Device::Random | Device::Urandom => Ok(random::fill_sink(sink)?),
        }
    }

    fn write(
        &self,
        _current: &Current,
        _file: &OpenFile,
        source: &mut Source<'_>,
        offset: u64,
    ) -> Result<(usize, u64), Fail> {
        match self.0 {
            // Linux does not look at what it throws away either.
            Device::Null | Device::Zero => Ok((source.left(), offset)),
            Device::Full => Err(Errno::ENOSPC.into()),
            Device::Random | Device::Urandom => Ok((random::mix_source(source)?, offset)),
        }
    }

    fn seekable(&self) -> bool {
        true
    }

    fn keeps_position(&self) -> bool {
        true
    }

    fn seek(&self, _file: &OpenFile, _offset: i64, _whence: u32) -> Result<u64, Errno> {
        // null_lseek: wherever one goes, one is at 0.
        Ok(0)
    }

    fn maps_anonymous(&self) -> bool {
        self.0 == Device::Zero
    }

    fn ioctl(&self, current: &Current, _file: &OpenFile, command: u32, arg: u64) -> Result<u64, Fail> {
        if !matches!(self.0, Device::Random | Device::Urandom) {
            return Err(Errno::ENOTTY.into());
        }
        match command {
            ioctl::RNDGETENTCNT => {
                UserPtr::<u32>::new(UserVa::new(arg)).write(current, &POOL_BITS)?;
                Ok(0)
            }
            ioctl::RNDADDTOENTCNT | ioctl::RNDADDENTROPY | ioctl::RNDZAPENTCNT | ioctl::RNDCLEARPOOL
                if !current.creds.has(Cap::SysAdmin) =>
            {
                Err(Errno::EPERM.into())
            }
            // The pool counts as full, whatever is credited to it or taken from it.
            ioctl::RNDADDTOENTCNT | ioctl::RNDZAPENTCNT | ioctl::RNDCLEARPOOL => Ok(0),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
