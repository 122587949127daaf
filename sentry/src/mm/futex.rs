//! What identifies a futex word (futex(2), "private" and shared).

use super::AddressSpace;
use linker::addr::UserVa;

/// A word's identity: an address space and an address, or a shared object and an offset in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FutexKey {
    /// The address space or object.
    pub object: u64,
    /// Bytes in it.
    pub offset: u64,
}

impl AddressSpace {
    /// The key of a word that only threads of this address space use.
    #[inline]
    pub fn private_futex_key(&self, at: UserVa) -> FutexKey {
        FutexKey { object: core::ptr::from_ref(self).addr() as u64, offset: at.raw() }
    }

    /// The key of a word that other address spaces may share.
    pub fn shared_futex_key(&self, at: UserVa) -> FutexKey {
        self.private_futex_key(at)
    }

    /// Until the address space's own lands.
    pub fn fork(&self) -> Result<alloc::sync::Arc<Self>, crate::platform::NoMemory> {
        Err(crate::platform::NoMemory)
    }

    /// Until the address space's own lands.
    pub fn resident_pages(&self) -> (u64, u64) {
        (0, 0)
    }
}
