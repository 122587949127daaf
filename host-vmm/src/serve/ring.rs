//! The host's end of one vCPU's ring. The guest can write all of it at any time, so that nothing read from it is trusted:
//! the host keeps its own indices, and only ever publishes them.

use crate::serve::Answer;
use crate::vm::Memory;
use linker::layout::RINGS;
use linker::request::{Completion, Request};
use linker::ring::{ENTRIES, RING_BYTES, Ring};
use std::mem::{offset_of, size_of};
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Mutex, MutexGuard, PoisonError};
use vm_memory::{Bytes, GuestAddress};
use zerocopy::IntoBytes;

/// The host's end of a ring.
#[derive(Debug)]
pub struct RingHost {
    base: u64,
    /// Next submission slot to take.
    sq: Mutex<u32>,
    /// Next completion slot to fill.
    cq: Mutex<u32>,
}

impl RingHost {
    /// The ring of a vCPU.
    pub fn new(cpu: usize) -> Self {
        let base = RINGS.raw() + cpu as u64 * RING_BYTES;
        Self { base, sq: Mutex::new(0), cq: Mutex::new(0) }
    }

    fn at(&self, offset: usize) -> GuestAddress {
        GuestAddress(self.base + offset as u64)
    }

    /// The rings lie in RAM below the image, which every guest has; an error can only mean "nothing there".
    fn load(&self, memory: &Memory, offset: usize) -> u32 {
        memory.load(self.at(offset), SeqCst).unwrap_or(0)
    }

    fn store(&self, memory: &Memory, offset: usize, value: u32) {
        let _ = memory.store(value, self.at(offset), SeqCst);
    }

    /// Copies the next request out, if there is one.
    pub fn take(&self, memory: &Memory) -> Option<Request> {
        let mut head = lock(&self.sq);
        let tail = self.load(memory, offset_of!(Ring, sq_tail));
        let waiting = tail.wrapping_sub(*head);
        if waiting == 0 {
            return None;
        }
        if waiting > ENTRIES {
            // No honest guest gets here. What it meant is anybody's guess; the ring goes on from where it says.
            *head = tail;
            self.store(memory, offset_of!(Ring, sq_head), tail);
            return None;
        }
        let slot = offset_of!(Ring, sq) + (*head % ENTRIES) as usize * size_of::<Request>();
        let mut request = Request::default();
        let copied = memory.read_slice(request.as_mut_bytes(), self.at(slot));
        *head = head.wrapping_add(1);
        self.store(memory, offset_of!(Ring, sq_head), *head);
        copied.ok().map(|()| request)
    }

    /// Posts a completion. It is dropped when the guest left no room, against the protocol.
    pub fn complete(&self, memory: &Memory, tag: u64, answer: Answer) {
        let mut tail = lock(&self.cq);
        let head = self.load(memory, offset_of!(Ring, cq_head));
        if tail.wrapping_sub(head) >= ENTRIES {
            return;
        }
        let result = match answer {
            Ok(value) => i64::try_from(value).unwrap_or(i64::MAX),
            Err(errno) => -i64::from(errno.raw_os_error()),
        };
        let slot = offset_of!(Ring, cq) + (*tail % ENTRIES) as usize * size_of::<Completion>();
        let _ = memory.write_slice(Completion { tag, result }.as_bytes(), self.at(slot));
        *tail = tail.wrapping_add(1);
        self.store(memory, offset_of!(Ring, cq_tail), *tail);
    }

    /// Whether the vCPU sleeps and wants an interrupt.
    pub fn guest_sleeps(&self, memory: &Memory) -> bool {
        self.load(memory, offset_of!(Ring, guest_sleeps)) != 0
    }

    /// Says whether the worker sleeps, so that the guest rings `PORT_DOORBELL_ASYNC`.
    pub fn set_host_sleeps(&self, memory: &Memory, sleeps: bool) {
        self.store(memory, offset_of!(Ring, host_sleeps), u32::from(sleeps));
    }

    /// Whether a request waits.
    pub fn has_request(&self, memory: &Memory) -> bool {
        let head = lock(&self.sq);
        self.load(memory, offset_of!(Ring, sq_tail)) != *head
    }
}

/// Takes an eventfd's count away.
pub fn drain(event: &OwnedFd) {
    let mut count = [0; 8];
    let mut vectors = [rustix::io::IoSliceMut::new(&mut count)];
    let _ = rustix::io::preadv2(event, &mut vectors, u64::MAX, rustix::io::ReadWriteFlags::empty());
}

/// Locks, whatever happened to another holder: the data are plain numbers and tables, valid at every step.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
