//! Filling a table of the lowest level where it maps nothing. Callers hold the page table's lock.

use super::entry::{PRESENT, WRITABLE, flags, is_mapped};
use crate::frame;
use core::sync::atomic::{AtomicU64, Ordering};
use linker::layout::PAGE_SIZE;
use sentry::platform::{Frame, NoMemory, Prot};

/// Zeroed frames from entry `first` on: one, or up to `most` where the entry before it is writable.
pub(super) fn zeroed(entries: &[AtomicU64], first: usize, most: usize, prot: Prot) -> Result<usize, NoMemory> {
    let goes_on = first.checked_sub(1).is_some_and(|below| {
        const MINE: u64 = PRESENT | WRITABLE;
        entries[below].load(Ordering::Relaxed) & MINE == MINE
    });
    let flags = flags(prot);
    let mut mapped = 0;
    for slot in entries[first..].iter().take(if goes_on { most } else { 1 }) {
        if is_mapped(slot.load(Ordering::Relaxed)) {
            break;
        }
        match frame::alloc_user(true) {
            Ok(number) => slot.store((number * PAGE_SIZE) | flags, Ordering::Release),
            Err(NoMemory) if mapped == 0 => return Err(NoMemory),
            Err(NoMemory) => break,
        }
        mapped += 1;
    }
    Ok(mapped)
}

/// What `frame` gives, by position, for those of `slots` that map nothing.
pub(super) fn run<'a>(slots: &[AtomicU64], prot: Prot, frame: &mut dyn FnMut(usize) -> Option<&'a Frame>) -> usize {
    let flags = flags(prot);
    let mut mapped = 0;
    for (n, slot) in slots.iter().enumerate() {
        if !is_mapped(slot.load(Ordering::Relaxed))
            && let Some(frame) = frame(n)
        {
            // The entry's reference; this panics where the frame is not a live one.
            frame::get(frame.pfn());
            slot.store((frame.pfn() * PAGE_SIZE) | flags, Ordering::Release);
            mapped += 1;
        }
    }
    mapped
}
