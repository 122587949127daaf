//! Access to the memory of an address space that is not (necessarily) the current one: `/proc/PID/{mem,cmdline,environ}`,
//! process_vm_readv, execve's stack, ptrace. Works on frames, through the other's page table.

use super::address_space::{AddressSpace, MemoryFault};
use crate::platform::{Access, Frame, platform};
use linker::addr::UserVa;
use linker::layout::PAGE_SIZE;

impl AddressSpace {
    /// The frame at `address`, faulted in for `access` if need be.
    pub fn frame_at(&self, address: UserVa, access: Access) -> Result<Frame, MemoryFault> {
        loop {
            if let Some(there) = self.table.translate(address.page_floor()) {
                let allowed = match access {
                    Access::Read => there.prot.read || there.prot.write || there.prot.execute,
                    Access::Write => there.prot.write,
                    Access::Execute => there.prot.execute,
                };
                if allowed {
                    return Ok(there.frame);
                }
            }
            self.fault(address, access)?;
        }
    }

    /// Walks `len` bytes at `address` page by page; `f` gets frame, offset in it, offset in the range, length. Returns the
    /// bytes walked; an error only where it is none.
    fn walk(
        &self,
        address: UserVa,
        len: usize,
        access: Access,
        mut f: impl FnMut(&Frame, usize, usize, usize),
    ) -> Result<usize, MemoryFault> {
        let mut done = 0;
        while done < len {
            let step = address.checked_add(done as u64).ok_or(MemoryFault::NotMapped).and_then(|at| {
                let frame = self.frame_at(at, access)?;
                let offset = at.page_offset() as usize;
                let step = (PAGE_SIZE as usize - offset).min(len - done);
                f(&frame, offset, done, step);
                Ok(step)
            });
            match step {
                Ok(step) => done += step,
                Err(_) if done > 0 => break,
                Err(fault) => return Err(fault),
            }
        }
        Ok(done)
    }

    /// Reads its memory; short where a later page cannot be had.
    pub fn read_remote(&self, address: UserVa, to: &mut [u8]) -> Result<usize, MemoryFault> {
        self.walk(address, to.len(), Access::Read, |frame, offset, done, step| {
            if let Some(part) = to.get_mut(done..done + step) {
                platform().frame_read(frame, offset, part);
            }
        })
    }

    /// Writes its memory; short where a later page cannot be had.
    pub fn write_remote(&self, address: UserVa, from: &[u8]) -> Result<usize, MemoryFault> {
        self.walk(address, from.len(), Access::Write, |frame, offset, done, step| {
            if let Some(part) = from.get(done..done + step) {
                platform().frame_write(frame, offset, part);
            }
        })
    }

    /// Writes its memory for a debugger: private pages that the program itself may not write get a copy (ptrace(2), POKE).
    pub fn write_forced(&self, address: UserVa, from: &[u8]) -> Result<usize, MemoryFault> {
        let mut done = 0;
        while let Some(rest) = from.get(done..).filter(|rest| !rest.is_empty()) {
            let step = address.checked_add(done as u64).ok_or(MemoryFault::NotMapped).and_then(|at| {
                let step = (PAGE_SIZE - at.page_offset()).min(rest.len() as u64) as usize;
                let bytes = rest.get(..step).unwrap_or_default();
                match self.write_remote(at, bytes) {
                    Err(MemoryFault::NotAllowed) => self.force_private(at, bytes).map(|()| step),
                    result => result,
                }
            });
            match step {
                Ok(step) => done += step,
                Err(_) if done > 0 => break,
                Err(fault) => return Err(fault),
            }
        }
        Ok(done)
    }

    /// Zeroes its memory.
    pub fn zero_remote(&self, address: UserVa, len: usize) -> Result<usize, MemoryFault> {
        self.walk(address, len, Access::Write, |frame, offset, _, step| platform().frame_zero(frame, offset, step))
    }
}
