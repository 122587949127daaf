//! pipe, pipe2, splice, tee, vmsplice.

use super::table::{Level, Row, arg, finish, row};
use super::{Fail, Fd, IoVec, UserPtr, read_iovec};
use crate::errno::Errno;
use crate::flags_from_arg;
use crate::fs::OpenFlags;
use crate::fs::pipe;
use crate::task::Current;
use bitflags::bitflags;
use linux_raw_sys::general as raw;
use syscalls::Sysno;

bitflags! {
    /// pipe2(2)'s flags.
    #[derive(Clone, Copy)]
    pub struct PipeFlags: u32 {
        /// FD_CLOEXEC on both.
        const CLOEXEC = raw::O_CLOEXEC;
        /// Nonblocking.
        const NONBLOCK = raw::O_NONBLOCK;
        /// Packets.
        const DIRECT = raw::O_DIRECT;
    }
}
flags_from_arg!(PipeFlags, EINVAL);

bitflags! {
    /// splice(2)'s flags.
    #[derive(Clone, Copy)]
    pub struct SpliceFlags: u32 {
        /// A hint.
        const MOVE = raw::SPLICE_F_MOVE;
        /// Do not wait for the pipe.
        const NONBLOCK = raw::SPLICE_F_NONBLOCK;
        /// A hint.
        const MORE = raw::SPLICE_F_MORE;
        /// A hint.
        const GIFT = raw::SPLICE_F_GIFT;
    }
}
flags_from_arg!(SpliceFlags, EINVAL);

/// pipe(2).
pub fn pipe(current: &mut Current, fds: UserPtr<[i32; 2]>) -> Result<(), Errno> {
    pipe2(current, fds, PipeFlags::empty())
}

/// pipe2(2).
pub fn pipe2(current: &mut Current, fds: UserPtr<[i32; 2]>, flags: PipeFlags) -> Result<(), Errno> {
    let (reader, writer) = pipe::new_pipe(current, OpenFlags::from_bits_retain(flags.bits()))?;
    let cloexec = flags.contains(PipeFlags::CLOEXEC);
    let read_fd = current.add_file(reader, cloexec)?;
    let write_fd = match current.add_file(writer, cloexec) {
        Ok(fd) => fd,
        Err(errno) => {
            drop(current.files.remove(read_fd));
            return Err(errno);
        }
    };
    fds.write(current, &[read_fd.raw(), write_fd.raw()]).inspect_err(|_| {
        drop(current.files.remove(read_fd));
        drop(current.files.remove(write_fd));
    })
}

/// splice(2).
pub fn splice(
    current: &mut Current,
    from: Fd,
    from_offset: UserPtr<i64>,
    to: Fd,
    to_offset: UserPtr<i64>,
    len: usize,
    flags: SpliceFlags,
) -> Result<usize, Fail> {
    if len == 0 {
        return Ok(0);
    }
    let (from, to) = (current.file(from)?, current.file(to)?);
    let read_offset = |pointer: UserPtr<i64>| match pointer.non_null() {
        Some(pointer) => u64::try_from(pointer.read(current)?).map(Some).map_err(|_| Errno::EINVAL),
        None => Ok(None),
    };
    let (mut offset_in, mut offset_out) = (read_offset(from_offset)?, read_offset(to_offset)?);
    let dont_wait = flags.contains(SpliceFlags::NONBLOCK);
    let len = len.min(super::MAX_TRANSFER);
    let moved = pipe::splice(current, &from, offset_in.as_mut(), &to, offset_out.as_mut(), len, dont_wait)?;
    for (pointer, offset) in [(from_offset, offset_in), (to_offset, offset_out)] {
        if let Some(offset) = offset {
            pointer.write(current, &i64::try_from(offset).unwrap_or(i64::MAX))?;
        }
    }
    Ok(moved)
}

/// tee(2).
pub fn tee(current: &mut Current, from: Fd, to: Fd, len: usize, flags: SpliceFlags) -> Result<usize, Fail> {
    if len == 0 {
        return Ok(0);
    }
    let (from, to) = (current.file(from)?, current.file(to)?);
    pipe::tee(current, &from, &to, len, flags.contains(SpliceFlags::NONBLOCK))
}

/// vmsplice(2).
pub fn vmsplice(
    current: &mut Current,
    fd: Fd,
    list: UserPtr<IoVec>,
    count: usize,
    flags: SpliceFlags,
) -> Result<usize, Fail> {
    let file = current.file(fd)?;
    let pieces = read_iovec(current, list, count)?;
    pipe::vmsplice(current, &file, &pieces, flags.contains(SpliceFlags::NONBLOCK))
}

pub(super) const ROWS: &[Row] = &[
    row!(pipe = pipe(1), Full, ""),
    row!(pipe2 = pipe2(2), Partial, "O_NOTIFICATION_PIPE: EINVAL"),
    row!(splice = splice(6), Full, ""),
    row!(tee = tee(4), Full, ""),
    row!(vmsplice = vmsplice(4), Full, "copies"),
];
