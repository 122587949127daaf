//! Kernel stacks: 32 KiB of contiguous frames in slots of 64 KiB, so that what lies below each is not mapped. A stack that
//! is no longer used is kept, mapped, for the next thread.

use crate::frame;
use crate::lock::Lock;
use crate::paging::kernel;
use alloc::vec::Vec;
use linker::addr::KernelVa;
use linker::layout::{KERNEL_STACKS, KERNEL_STACKS_BYTES, PAGE_SIZE};
use sentry::platform::NoMemory;

/// Order of a stack's frames.
const ORDER: usize = 3;
/// Bytes of a stack.
pub const BYTES: u64 = PAGE_SIZE << ORDER;
/// Bytes from one stack's top to the next one's.
pub const SLOT_BYTES: u64 = 2 * BYTES;

/// Stacks at hand, and the number of slots ever used.
static POOL: Lock<(Vec<Stack>, u64)> = Lock::new((Vec::new(), 0));

/// A kernel stack; `give_back` returns it. (No `Drop`: a thread cannot free the stack it runs on.)
pub struct Stack {
    top: u64,
}

impl Stack {
    /// A stack with unspecified content.
    pub fn new() -> Result<Self, NoMemory> {
        let mut pool = POOL.lock();
        if let Some(stack) = pool.0.pop() {
            return Ok(stack);
        }
        // User memory and page tables were refused before; threads without end must not take the rest.
        if frame::is_low() {
            return Err(NoMemory);
        }
        if (pool.1 + 1) * SLOT_BYTES > KERNEL_STACKS_BYTES {
            return Err(NoMemory);
        }
        let block = frame::alloc_kernel(ORDER).ok_or(NoMemory)?;
        let top = KERNEL_STACKS.raw() + (pool.1 + 1) * SLOT_BYTES;
        for page in 0..1 << ORDER {
            let va = KernelVa::new(top - BYTES + page * PAGE_SIZE);
            if let Err(error) = kernel::map(va, block.pfn + page) {
                // What is mapped already is mapped again by whoever takes the slot next; nobody uses it until then.
                frame::free_kernel(block.pfn, ORDER);
                return Err(error);
            }
        }
        pool.1 += 1;
        Ok(Self { top })
    }

    /// The address behind its last byte.
    pub fn top(&self) -> u64 {
        self.top
    }

    /// Returns it for another thread.
    pub fn give_back(self) {
        POOL.lock().0.push(self);
    }
}
