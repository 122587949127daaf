//! Frames as heap memory, with reference counts that catch use after free.

use crate::platform::{Frame, NoMemory};
use std::boxed::Box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::vec::Vec;

/// Bytes in a frame.
pub(super) const BYTES: usize = 4096;

struct Slot {
    references: AtomicU32,
    bytes: Mutex<Box<[u8; BYTES]>>,
}

#[derive(Default)]
struct Store {
    slots: Vec<Arc<Slot>>,
    free: Vec<usize>,
}

static STORE: RwLock<Store> = RwLock::new(Store { slots: Vec::new(), free: Vec::new() });

/// Frame numbers start here, so that 0 is never one.
const FIRST: u64 = 0x100;

fn slot(pfn: u64) -> Arc<Slot> {
    let store = STORE.read().expect("frame store");
    let slot = store.slots[(pfn - FIRST) as usize].clone();
    assert!(slot.references.load(Ordering::SeqCst) > 0, "frame {pfn:#x} is used after it was freed");
    slot
}

/// A new frame; not zeroed ones hold a pattern, so that a test sees who relies on it.
pub(super) fn alloc(zeroed: bool) -> Result<Frame, NoMemory> {
    super::machine().take_frame()?;
    let fill = if zeroed { 0 } else { 0xa5 };
    let mut store = STORE.write().expect("frame store");
    let index = match store.free.pop() {
        Some(index) => {
            store.slots[index].bytes.lock().expect("frame").fill(fill);
            index
        }
        None => {
            let bytes = Mutex::new(Box::new([fill; BYTES]));
            store.slots.push(Arc::new(Slot { references: AtomicU32::new(0), bytes }));
            store.slots.len() - 1
        }
    };
    store.slots[index].references.store(1, Ordering::SeqCst);
    Ok(Frame::adopt(index as u64 + FIRST))
}

pub(super) fn get(pfn: u64) {
    slot(pfn).references.fetch_add(1, Ordering::SeqCst);
}

pub(super) fn put(pfn: u64) {
    if slot(pfn).references.fetch_sub(1, Ordering::SeqCst) == 1 {
        STORE.write().expect("frame store").free.push((pfn - FIRST) as usize);
    }
}

pub(super) fn references(pfn: u64) -> u32 {
    slot(pfn).references.load(Ordering::SeqCst)
}

/// Runs `f` on the frame's bytes.
pub(super) fn with<T>(pfn: u64, f: impl FnOnce(&mut [u8; BYTES]) -> T) -> T {
    let slot = slot(pfn);
    let mut bytes = slot.bytes.lock().expect("frame");
    f(&mut bytes)
}
