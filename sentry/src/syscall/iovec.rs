//! Buffers as system calls give them: one, or a vector of them.

use super::{UserBuf, UserPtr};
use crate::errno::Errno;
use crate::task::Current;
use alloc::vec::Vec;
use core::mem::{offset_of, size_of};
use linker::addr::UserVa;
use linker::layout::USER_END;
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

/// A single buffer, its length capped; EFAULT where it leaves the user's half, whether it is touched or not.
#[inline]
pub fn buffer(addr: UserVa, len: usize) -> Result<[UserBuf; 1], Errno> {
    check_half(addr, len)?;
    Ok([UserBuf { addr, len: len.min(MAX_TRANSFER) }])
}

/// Linux's access_ok.
#[inline]
fn check_half(addr: UserVa, len: usize) -> Result<(), Errno> {
    match addr.raw().checked_add(len as u64) {
        Some(end) if end <= USER_END => Ok(()),
        _ => Err(Errno::EFAULT),
    }
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
        let addr = UserVa::new(piece.base);
        check_half(addr, len)?;
        let len = len.min(left);
        left -= len;
        pieces.push(UserBuf { addr, len });
    }
    Ok(pieces)
}
