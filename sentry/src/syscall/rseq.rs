//! Restartable sequences.

use super::table::{Level, Row, arg, finish, row};
use crate::errno::Errno;
use crate::task::Current;
use crate::task::rseq::{self, Registration};
use syscalls::Sysno;

/// RSEQ_FLAG_UNREGISTER (include/uapi/linux/rseq.h).
const UNREGISTER: u32 = 1;

/// rseq(2).
pub fn rseq(current: &mut Current, at: u64, len: u32, flags: u32, signature: u32) -> Result<(), Errno> {
    let given = Registration { at, len, signature };
    match flags {
        0 => rseq::register(current, given),
        UNREGISTER => rseq::unregister(current, given),
        _ => Err(Errno::EINVAL),
    }
}

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row!(rseq = rseq(4), Partial, "as before Linux 6.3: no node_id, no mm_cid"),
];
