//! The per-vCPU request ring: a submission queue that the guest fills and a completion queue that the host fills, in one
//! region of `RING_BYTES` at `layout::RINGS + cpu * RING_BYTES`. Indices run freely and wrap at 2^32; a slot is `index % ENTRIES`.
//!
//! Sleep protocol, both ways the same: the consumer sets its flag, re-checks the queue, and only then sleeps; the producer
//! publishes its entry, and rings only when it reads the flag as set. Both use sequentially consistent accesses, so no wake-up is lost.
//!
//! While its worker is awake the host looks at all rings before it sleeps again, so that most requests need no doorbell. Completions that
//! find no room wait at the host until there is some; a guest that takes none at all loses what is more than `MAX_COMPLETIONS`.
//! When `PORT_DOORBELL_SYNC` returns, the submission queue was seen empty and what this thread took is completed, except `Poll` and
//! `NextEvent`, and except what the worker had taken before: for those the guest sleeps as always.

use crate::boot::VectorSwap;
use crate::request::{Completion, Request};
use core::sync::atomic::AtomicU32;

/// Entries of each queue. A power of two.
pub const ENTRIES: u32 = 128;
/// Completions that wait for room at most: more than there can be of honest requests.
pub const MAX_COMPLETIONS: usize = 1 << 14;
/// Bytes of one vCPU's ring, rounded to pages.
pub const RING_BYTES: u64 = 0x4000;

/// Head and tail of one queue, each on a cache line of its own.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Index(pub AtomicU32, [u32; 15]);

/// One vCPU's ring. The guest maps it; the host reaches it through vm-memory by `offset_of!`.
#[repr(C)]
#[derive(Debug)]
pub struct Ring {
    /// Next submission slot to fill; guest writes.
    pub sq_tail: Index,
    /// Next submission slot to take; host writes.
    pub sq_head: Index,
    /// Next completion slot to fill; host writes.
    pub cq_tail: Index,
    /// Next completion slot to take; guest writes.
    pub cq_head: Index,
    /// Non-zero while the host's worker sleeps and wants `PORT_DOORBELL_ASYNC`; host writes.
    pub host_sleeps: Index,
    /// Non-zero while this vCPU sleeps and wants `VECTOR_HOST`; guest writes.
    pub guest_sleeps: Index,
    /// Operands of `PORT_VECTOR_SWAP`.
    pub vector_swap: VectorSwap,
    pad: [u64; 6],
    /// Submission slots.
    pub sq: [Request; ENTRIES as usize],
    /// Completion slots.
    pub cq: [Completion; ENTRIES as usize],
}

const _: () = {
    assert!(core::mem::size_of::<Ring>() as u64 <= RING_BYTES);
    assert!(core::mem::offset_of!(Ring, vector_swap) == 384);
    assert!(core::mem::offset_of!(Ring, sq) == 448);
};
