//! One process's memory map.

use crate::platform::{Access, NoMemory, PageTable, platform};
use alloc::sync::Arc;
use linker::addr::UserVa;

/// An address space, shared by the threads of a process (and by CLONE_VM children).
pub struct AddressSpace {
    table: Arc<dyn PageTable>,
}

/// Why a page cannot be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemoryFault {
    /// SIGSEGV, SEGV_MAPERR: nothing is mapped there.
    NotMapped,
    /// SIGSEGV, SEGV_ACCERR: the area does not allow it.
    NotAllowed,
    /// SIGBUS, BUS_ADRERR: beyond the end of the file, or it could not be read.
    BeyondEnd,
    /// No memory: the OOM killer's business.
    OutOfMemory,
}

impl AddressSpace {
    /// An empty address space.
    pub fn new() -> Result<Arc<Self>, NoMemory> {
        Ok(Arc::new(Self { table: platform().new_page_table()? }))
    }

    /// The page tables, for `Platform::use_page_table`.
    pub fn table(&self) -> &Arc<dyn PageTable> {
        &self.table
    }

    /// Makes the page at `address` present for `access`. May block (file pages). Called with no lock held.
    pub fn fault(&self, _address: UserVa, _access: Access) -> Result<(), MemoryFault> {
        Err(MemoryFault::NotMapped)
    }

    /// Takes pages `[first, end)` of a file out of every mapping of it here (truncation).
    pub(in crate::mm) fn unmap_file(&self, _mapping: &super::Mapping, _first: u64, _end: u64) {}

    /// Takes write permission from pages `[first, end)` of a file in every shared mapping of it here (write-back).
    pub(in crate::mm) fn protect_file(&self, _mapping: &super::Mapping, _first: u64, _end: u64) {}
}
