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

    /// The key of a word that other address spaces may share; private memory's is the address space's own.
    pub fn shared_futex_key(&self, at: UserVa) -> FutexKey {
        match self.shared_place(at) {
            // Numbers of mappings are small, addresses of address spaces are not.
            Ok(Some((object, offset))) => FutexKey { object, offset },
            _ => self.private_futex_key(at),
        }
    }
}
