//! Names of what requests of aio and io_uring have.

use super::{Name, number};
use linux_raw_sys::io_uring;

/// linux/aio_abi.h numbers them; no crate exports them.
pub(in crate::trace) const REQUEST: &[Name] = &[
    number(0, "IOCB_CMD_PREAD"),
    number(1, "IOCB_CMD_PWRITE"),
    number(2, "IOCB_CMD_FSYNC"),
    number(3, "IOCB_CMD_FDSYNC"),
    number(5, "IOCB_CMD_POLL"),
    number(6, "IOCB_CMD_NOOP"),
    number(7, "IOCB_CMD_PREADV"),
    number(8, "IOCB_CMD_PWRITEV"),
];

/// The same.
pub(in crate::trace) const REQUEST_FLAGS: &[Name] =
    &[super::part(1, 1, "IOCB_FLAG_RESFD"), super::part(2, 2, "IOCB_FLAG_IOPRIO")];

pub(in crate::trace) const SETUP: &[Name] = names! {
    bits {
        io_uring::IORING_SETUP_IOPOLL, io_uring::IORING_SETUP_SQPOLL, io_uring::IORING_SETUP_SQ_AFF,
        io_uring::IORING_SETUP_CQSIZE, io_uring::IORING_SETUP_CLAMP, io_uring::IORING_SETUP_ATTACH_WQ,
        io_uring::IORING_SETUP_R_DISABLED, io_uring::IORING_SETUP_SUBMIT_ALL, io_uring::IORING_SETUP_COOP_TASKRUN,
        io_uring::IORING_SETUP_TASKRUN_FLAG, io_uring::IORING_SETUP_SQE128, io_uring::IORING_SETUP_CQE32,
        io_uring::IORING_SETUP_SINGLE_ISSUER, io_uring::IORING_SETUP_DEFER_TASKRUN, io_uring::IORING_SETUP_NO_MMAP,
        io_uring::IORING_SETUP_REGISTERED_FD_ONLY, io_uring::IORING_SETUP_NO_SQARRAY,
        io_uring::IORING_SETUP_HYBRID_IOPOLL,
    }
};

pub(in crate::trace) const FEATURES: &[Name] = names! {
    bits {
        io_uring::IORING_FEAT_SINGLE_MMAP, io_uring::IORING_FEAT_NODROP, io_uring::IORING_FEAT_SUBMIT_STABLE,
        io_uring::IORING_FEAT_RW_CUR_POS, io_uring::IORING_FEAT_CUR_PERSONALITY, io_uring::IORING_FEAT_FAST_POLL,
        io_uring::IORING_FEAT_POLL_32BITS, io_uring::IORING_FEAT_SQPOLL_NONFIXED, io_uring::IORING_FEAT_EXT_ARG,
        io_uring::IORING_FEAT_NATIVE_WORKERS, io_uring::IORING_FEAT_RSRC_TAGS, io_uring::IORING_FEAT_CQE_SKIP,
        io_uring::IORING_FEAT_LINKED_FILE, io_uring::IORING_FEAT_REG_REG_RING, io_uring::IORING_FEAT_RECVSEND_BUNDLE,
        io_uring::IORING_FEAT_MIN_TIMEOUT, io_uring::IORING_FEAT_RW_ATTR, io_uring::IORING_FEAT_NO_IOWAIT,
    }
};
