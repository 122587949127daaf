//! Guest RAM: one or two private anonymous mappings, reserved lazily, so that a page costs nothing before the guest touches it.

use crate::vm::{Error, Memory, kvm};
use linker::layout::{DIRECT_MAP_BYTES, HIGH_RAM_START, LARGE_PAGE_SIZE, LOW_RAM_END};
use vm_memory::mmap::FromRangesError;
use vm_memory::{GuestAddress, GuestRegionMmap};

/// Smallest RAM that a guest can start in.
pub const MIN_BYTES: u64 = 64 << 20;

/// The RAM ranges of a guest with `bytes` of memory: below the LAPIC's window, and above 4 GiB what does not fit there.
pub fn ranges(bytes: u64) -> Vec<(u64, u64)> {
    let bytes = bytes.clamp(MIN_BYTES, DIRECT_MAP_BYTES / 2) & !(LARGE_PAGE_SIZE - 1);
    let low = bytes.min(LOW_RAM_END.raw());
    let mut ranges = vec![(0, low)];
    if bytes > low {
        ranges.push((HIGH_RAM_START.raw(), bytes - low));
    }
    ranges
}

/// Reserves RAM.
pub fn create(bytes: u64) -> Result<Memory, Error> {
    let region = |(start, len)| {
        let region = GuestRegionMmap::new(kvm::reserve(len as usize)?, GuestAddress(start));
        region.ok_or(FromRangesError::InvalidGuestRegion)
    };
    let failed = |source| Error::Memory { mib: bytes >> 20, source };
    let regions = ranges(bytes).into_iter().map(region).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    Memory::from_regions(regions).map_err(|error| failed(FromRangesError::Collection(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_beyond_3_gib_goes_above_4_gib() {
        assert_eq!(ranges(4 << 30), [(0, 3 << 30), (4 << 30, 1 << 30)]);
        assert_eq!(ranges(1 << 30), [(0, 1 << 30)]);
    }

    #[test]
    fn memory_is_a_multiple_of_a_large_page_and_not_too_small() {
        assert_eq!(ranges((100 << 20) + 12345), [(0, 100 << 20)]);
        assert_eq!(ranges(0), [(0, MIN_BYTES)]);
    }
}
