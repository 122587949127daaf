//! The rings' memory, as Linux lays it out (struct io_rings): heads and tails, the array of request numbers, completions; and,
//! apart from it, the requests.

use crate::errno::Errno;
use crate::mm::Mapping;
use crate::platform::{Frame, platform};
use alloc::sync::Arc;
use alloc::vec::Vec;
use linker::layout::PAGE_SIZE;
use linux_raw_sys::io_uring as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How many there are of each; both are powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Requests.
    pub requests: u32,
    /// Completions.
    pub completions: u32,
}

/// `struct io_uring_sqe`, with its unions as what most requests have there.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs)]
pub struct Sqe {
    pub opcode: u8,
    pub flags: u8,
    pub priority: u16,
    pub fd: i32,
    /// `addr2` too.
    pub offset: u64,
    pub address: u64,
    pub len: u32,
    /// Flags of the operation.
    pub operation: u32,
    pub user_data: u64,
    pub buffer: u16,
    pub personality: u16,
    /// `splice_fd_in`, `file_index`.
    pub file_index: u32,
    pub address3: u64,
    pub pad: u64,
}

/// `struct io_uring_cqe`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs)]
pub struct Completion {
    pub user_data: u64,
    pub result: i32,
    pub flags: u32,
}

const _: () = {
    assert!(size_of::<Sqe>() == size_of::<raw::io_uring_sqe>());
    assert!(core::mem::offset_of!(Sqe, user_data) == core::mem::offset_of!(raw::io_uring_sqe, user_data));
    assert!(size_of::<Completion>() == 16);
};

/// Where the words are in the ring region (io_uring/io_uring.c: struct io_rings).
const SQ_HEAD: u32 = 0;
const SQ_TAIL: u32 = 4;
const CQ_HEAD: u32 = 8;
const CQ_TAIL: u32 = 12;
const SQ_MASK: u32 = 16;
const CQ_MASK: u32 = 20;
const SQ_ENTRIES: u32 = 24;
const CQ_ENTRIES: u32 = 28;
const SQ_DROPPED: u32 = 32;
const SQ_FLAGS: u32 = 36;
const CQ_FLAGS: u32 = 40;
const CQ_OVERFLOW: u32 = 44;
const COMPLETIONS: u32 = 64;

/// `struct io_sqring_offsets` and `struct io_cqring_offsets`.
pub type Offsets = [u32; 10];

impl Sizes {
    fn array(self) -> u32 {
        COMPLETIONS + self.completions * size_of::<Completion>() as u32
    }

    /// `sq_off` and `cq_off` of io_uring_setup(2).
    pub fn offsets(self) -> (Offsets, Offsets) {
        let sq = [SQ_HEAD, SQ_TAIL, SQ_MASK, SQ_ENTRIES, SQ_FLAGS, SQ_DROPPED, self.array(), 0, 0, 0];
        let cq = [CQ_HEAD, CQ_TAIL, CQ_MASK, CQ_ENTRIES, CQ_OVERFLOW, COMPLETIONS, CQ_FLAGS, 0, 0, 0];
        (sq, cq)
    }
}

/// Both regions. The frames are held beside the mappings, so that they are reached without a wait.
pub(super) struct Memory {
    sizes: Sizes,
    rings: Arc<Mapping>,
    requests: Arc<Mapping>,
    ring_frames: Vec<Frame>,
    request_frames: Vec<Frame>,
}

fn region(bytes: u64) -> Result<(Arc<Mapping>, Vec<Frame>), Errno> {
    let bytes = bytes.next_multiple_of(PAGE_SIZE);
    let mapping = Mapping::in_memory(bytes, None);
    let frame = |index| mapping.frame(index, true).map_err(|_| Errno::ENOMEM);
    let frames = (0..bytes / PAGE_SIZE).map(frame).collect::<Result<Vec<_>, _>>()?;
    Ok((mapping, frames))
}

impl Memory {
    pub(super) fn new(sizes: Sizes) -> Result<Self, Errno> {
        let (rings, ring_frames) = region(u64::from(sizes.array()) + u64::from(sizes.requests) * 4)?;
        let (requests, request_frames) = region(u64::from(sizes.requests) * size_of::<Sqe>() as u64)?;
        let memory = Self { sizes, rings, requests, ring_frames, request_frames };
        memory.store(SQ_MASK, sizes.requests - 1);
        memory.store(CQ_MASK, sizes.completions - 1);
        memory.store(SQ_ENTRIES, sizes.requests);
        memory.store(CQ_ENTRIES, sizes.completions);
        Ok(memory)
    }

    pub(super) fn rings(&self) -> &Arc<Mapping> {
        &self.rings
    }

    pub(super) fn requests(&self) -> &Arc<Mapping> {
        &self.requests
    }

    fn load(&self, at: u32) -> u32 {
        let (page, offset) = (at as usize / PAGE_SIZE as usize, at as usize % PAGE_SIZE as usize);
        self.ring_frames.get(page).map_or(0, |frame| platform().frame_load_u32(frame, offset))
    }

    fn store(&self, at: u32, value: u32) {
        let (page, offset) = (at as usize / PAGE_SIZE as usize, at as usize % PAGE_SIZE as usize);
        if let Some(frame) = self.ring_frames.get(page) {
            platform().frame_store_u32(frame, offset, value);
        }
    }

    /// Requests that the program says are there: never more than there is room for, whatever it says.
    pub(super) fn waiting(&self) -> u32 {
        self.load(SQ_TAIL).wrapping_sub(self.load(SQ_HEAD)).min(self.sizes.requests)
    }

    /// Takes the next request; none where its number is none, which is counted as dropped. One thread at a time; what the program
    /// writes at the same time is its own affair.
    pub(super) fn next_request(&self) -> Option<Sqe> {
        let head = self.load(SQ_HEAD);
        if head == self.load(SQ_TAIL) {
            return None;
        }
        let index = self.load(self.sizes.array() + (head & (self.sizes.requests - 1)) * 4);
        let sqe = (index < self.sizes.requests).then(|| {
            // 64 divides the page's size, so that a request is in one page.
            let at = index as usize * size_of::<Sqe>();
            let mut sqe = Sqe::default();
            if let Some(frame) = self.request_frames.get(at / PAGE_SIZE as usize) {
                platform().frame_read(frame, at % PAGE_SIZE as usize, sqe.as_mut_bytes());
            }
            sqe
        });
        self.store(SQ_HEAD, head.wrapping_add(1));
        if sqe.is_none() {
            self.store(SQ_DROPPED, self.load(SQ_DROPPED).wrapping_add(1));
        }
        sqe
    }

    /// Whether the program has filled the request ring.
    pub(super) fn is_full(&self) -> bool {
        self.load(SQ_TAIL).wrapping_sub(self.load(SQ_HEAD)) >= self.sizes.requests
    }

    /// Adds a completion; false where there is no room. One at a time.
    pub(super) fn put(&self, completion: &Completion) -> bool {
        let (head, tail) = (self.load(CQ_HEAD), self.load(CQ_TAIL));
        if tail.wrapping_sub(head) >= self.sizes.completions {
            return false;
        }
        let slot = tail & (self.sizes.completions - 1);
        let at = COMPLETIONS as usize + slot as usize * size_of::<Completion>();
        if let Some(frame) = self.ring_frames.get(at / PAGE_SIZE as usize) {
            platform().frame_write(frame, at % PAGE_SIZE as usize, completion.as_bytes());
        }
        self.store(CQ_TAIL, tail.wrapping_add(1));
        true
    }

    /// Completions that the program has not taken.
    pub(super) fn ready(&self) -> u32 {
        self.load(CQ_TAIL).wrapping_sub(self.load(CQ_HEAD)).min(self.sizes.completions)
    }

    /// One more completion that will never be there.
    pub(super) fn count_dropped(&self) {
        self.store(CQ_OVERFLOW, self.load(CQ_OVERFLOW).wrapping_add(1));
    }

    /// Says whether there are completions that did not fit.
    pub(super) fn set_overflow(&self, on: bool) {
        let flags = self.load(SQ_FLAGS);
        let bit = raw::IORING_SQ_CQ_OVERFLOW;
        self.store(SQ_FLAGS, if on { flags | bit } else { flags & !bit });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    #[test]
    fn requests_are_taken_in_order_and_bad_numbers_dropped() {
        fake::install();
        let memory = Memory::new(Sizes { requests: 4, completions: 8 }).unwrap();
        let array = memory.sizes.array();
        let frame = &memory.request_frames[0];
        for index in 0..4_u64 {
            let sqe = Sqe { user_data: index, ..Sqe::default() };
            platform().frame_write(frame, index as usize * 64, sqe.as_bytes());
        }
        for (slot, index) in [2, 9, 1].into_iter().enumerate() {
            memory.store(array + slot as u32 * 4, index);
        }
        memory.store(SQ_TAIL, 3);
        assert_eq!(memory.next_request().map(|sqe| sqe.user_data), Some(2));
        assert!(memory.next_request().is_none());
        assert_eq!(memory.load(SQ_DROPPED), 1);
        assert_eq!(memory.next_request().map(|sqe| sqe.user_data), Some(1));
        // A tail that runs away is no more than a full ring.
        memory.store(SQ_TAIL, 1 << 28);
        assert_eq!(memory.waiting(), 4);
    }

    #[test]
    fn a_full_ring_takes_no_completion() {
        fake::install();
        let memory = Memory::new(Sizes { requests: 1, completions: 2 }).unwrap();
        let one = Completion { user_data: 7, result: -1, flags: 0 };
        assert!(memory.put(&one) && memory.put(&one) && !memory.put(&one));
        memory.store(CQ_HEAD, 1);
        assert!(memory.put(&one));
        assert_eq!(memory.ready(), 2);
    }
}
