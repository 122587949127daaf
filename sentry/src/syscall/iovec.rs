//! Scatter lists: what readv, sendmsg and vmsplice are given.

use super::{UserBuf, UserPtr};
use crate::errno::Errno;
use crate::task::Current;
use alloc::vec::Vec;
use linker::addr::UserVa;
use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `struct iovec`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct IoVec {
    base: u64,
    len: u64,
}

const _: () = assert!(size_of::<IoVec>() == size_of::<raw::iovec>());

/// Bytes that one call moves at most (MAX_RW_COUNT): the rest is a short transfer.
pub const MAX_TRANSFER: usize = 0x7fff_f000;

/// Copies a scatter list in. EINVAL for more than UIO_MAXIOV pieces or a negative length; the pieces' sum is at most `MAX_TRANSFER`.
pub fn read_iovec(current: &Current, list: UserPtr<IoVec>, count: usize) -> Result<Vec<UserBuf>, Errno> {
    if count > raw::UIO_MAXIOV as usize {
        return Err(Errno::EINVAL);
    }
    let mut left = MAX_TRANSFER;
    let mut pieces = Vec::with_capacity(count);
    for piece in list.read_vec(current, count)? {
        if i64::try_from(piece.len).is_err() {
            return Err(Errno::EINVAL);
        }
        let len = usize::try_from(piece.len).unwrap_or(usize::MAX).min(left);
        left -= len;
        pieces.push(UserBuf { addr: UserVa::new(piece.base), len });
    }
    Ok(pieces)
}
