//! Moves bytes between descriptors and guest memory without a copy in between. One of the three files of this crate that may
//! contain unsafe code: the kernel is given addresses in guest memory, which vm-memory has checked.

use crate::vm::Memory;
use linker::request::GuestBuf;
use rustix::io::{Errno, IoSlice, IoSliceMut, ReadWriteFlags};
use std::os::fd::BorrowedFd;
use vm_memory::{GuestAddress, GuestMemoryBackend, VolatileSlice};

/// Checked pieces of guest memory, in order.
#[derive(Debug, Default)]
pub struct Pieces<'a>(Vec<VolatileSlice<'a>>);

impl<'a> Pieces<'a> {
    /// Checks `buffers` against guest memory. An empty one is left out.
    pub fn new(memory: &'a Memory, buffers: &[GuestBuf]) -> Result<Self, Errno> {
        let mut pieces = Vec::with_capacity(buffers.len());
        for buffer in buffers.iter().filter(|buffer| buffer.len > 0) {
            let len = usize::try_from(buffer.len).map_err(|_| Errno::FAULT)?;
            pieces.push(memory.get_slice(GuestAddress(buffer.pa.raw()), len).map_err(|_| Errno::FAULT)?);
        }
        Ok(Self(pieces))
    }

    /// Shortens the pieces to `limit` bytes in all.
    pub fn truncate(&mut self, limit: usize) {
        let mut left = limit;
        self.0.retain_mut(|piece| {
            let len = piece.len().min(left);
            left -= len;
            match piece.subslice(0, len) {
                Ok(shorter) if len > 0 => {
                    *piece = shorter;
                    true
                }
                _ => false,
            }
        });
    }

    /// preadv2(2) into the pieces. `offset` `u64::MAX`: at the file's own position.
    pub fn read_from(&self, file: BorrowedFd<'_>, offset: u64, flags: ReadWriteFlags) -> Result<usize, Errno> {
        let mut vectors: Vec<IoSliceMut<'_>> = self
            .0
            .iter()
            .map(|piece| {
                let guard = piece.ptr_guard_mut();
                // SAFETY: the range lies in a mapping of guest memory that lives as long as `'a` (vm-memory checked it). The
                // slice is only handed to the kernel; no Rust code reads or writes through it, so that the guest writing
                // there at the same time is no data race of ours.
                IoSliceMut::new(unsafe { std::slice::from_raw_parts_mut(guard.as_ptr(), piece.len()) })
            })
            .collect();
        rustix::io::preadv2(file, &mut vectors, offset, flags)
    }

    /// pwritev2(2) from the pieces. `offset` `u64::MAX`: at the file's own position.
    pub fn write_to(&self, file: BorrowedFd<'_>, offset: u64, flags: ReadWriteFlags) -> Result<usize, Errno> {
        let vectors: Vec<IoSlice<'_>> = self
            .0
            .iter()
            .map(|piece| {
                let guard = piece.ptr_guard();
                // SAFETY: as in `read_from`: in bounds for `'a`, and read by the kernel alone.
                IoSlice::new(unsafe { std::slice::from_raw_parts(guard.as_ptr(), piece.len()) })
            })
            .collect();
        rustix::io::pwritev2(file, &vectors, offset, flags)
    }
}
