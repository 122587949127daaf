//! Buffers as system calls give them: one, or a vector of them.

use super::{UserBuf, UserPtr};
use crate::errno::Errno;
use crate::task::Current;
use alloc::vec::Vec;
use core::mem::{offset_of, size_of};
use linker::addr::UserVa;
use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// One transfer moves this much at most (Linux's MAX_RW_COUNT: INT_MAX, page-aligned).
pub const MAX_TRANSFER: usize = i32::MAX as usize & !4095;

/// `struct iovec`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct IoVec {
    /// First byte.
    pub base: u64,
    /// Bytes.
    pub len: u64,
}

const _: () = {
    assert!(size_of::<IoVec>() == size_of::<raw::iovec>());
    assert!(offset_of!(IoVec, len) == offset_of!(raw::iovec, iov_len));
};

/// A single buffer, its length capped.
pub fn buffer(addr: UserVa, len: usize) -> [UserBuf; 1] {
    [UserBuf { addr, len: len.min(MAX_TRANSFER) }]
}

/// Copies a vector in: EINVAL for too many pieces or a negative length; the total is capped.
pub fn read_iovec(current: &Current, vector: UserPtr<IoVec>, count: usize) -> Result<Vec<UserBuf>, Errno> {
    if count > raw::UIO_MAXIOV as usize {
        return Err(Errno::EINVAL);
    }
    let mut left = MAX_TRANSFER;
    let mut pieces = Vec::with_capacity(count);
    for piece in vector.read_vec(current, count)? {
        let len = usize::try_from(piece.len).ok().filter(|len| isize::try_from(*len).is_ok()).ok_or(Errno::EINVAL)?;
        let len = len.min(left);
        left -= len;
        pieces.push(UserBuf { addr: UserVa::new(piece.base), len });
    }
    Ok(pieces)
}
