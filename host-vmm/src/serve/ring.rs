//! The host's end of one vCPU's ring. The guest can write all of it at any time, so that nothing read from it is trusted:
//! the host keeps its own indices, and only ever publishes them.

use crate::serve::Answer;
use crate::vm::Memory;
use linker::layout::RINGS;
use linker::request::{Completion, Request};
use linker::ring::{ENTRIES, MAX_COMPLETIONS, RING_BYTES, Ring};
use std::collections::VecDeque;
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
    /// What the guest is still to be told.
    cq: Mutex<Completions>,
}

/// The completion side.
#[derive(Debug, Default)]
struct Completions {
    /// Next slot to fill.
    tail: u32,
    /// What found no room.
    waiting: VecDeque<Completion>,
}

impl RingHost {
    /// The ring of a vCPU.
    pub fn new(cpu: usize) -> Self {
        let base = RINGS.raw() + cpu as u64 * RING_BYTES;
        Self { base, sq: Mutex::new(0), cq: Mutex::default() }
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
        self.take_if(memory, |_| true)
    }

    /// The same, if it is one that is wanted; otherwise it stays.
    pub fn take_if(&self, memory: &Memory, wanted: impl Fn(&Request) -> bool) -> Option<Request> {
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
        if copied.is_ok() && !wanted(&request) {
            return None;
        }
        *head = head.wrapping_add(1);
        self.store(memory, offset_of!(Ring, sq_head), *head);
        copied.ok().map(|()| request)
    }

    /// Posts a completion. One that finds no room waits for `retry`.
    pub fn complete(&self, memory: &Memory, tag: u64, answer: Answer) {
        let result = match answer {
            Ok(value) => i64::try_from(value).unwrap_or(i64::MAX),
            Err(errno) => -i64::from(errno.raw_os_error()),
        };
        let mut completions = lock(&self.cq);
        if completions.waiting.len() < MAX_COMPLETIONS {
            completions.waiting.push_back(Completion { tag, result });
        }
        self.post(memory, &mut completions);
    }

    /// Posts what found no room; whether there still is something.
    pub fn retry(&self, memory: &Memory) -> bool {
        let mut completions = lock(&self.cq);
        self.post(memory, &mut completions);
        !completions.waiting.is_empty()
    }

    fn post(&self, memory: &Memory, completions: &mut Completions) {
        let head = self.load(memory, offset_of!(Ring, cq_head));
        while completions.tail.wrapping_sub(head) < ENTRIES
            && let Some(completion) = completions.waiting.pop_front()
        {
            let slot = offset_of!(Ring, cq) + (completions.tail % ENTRIES) as usize * size_of::<Completion>();
            let _ = memory.write_slice(completion.as_bytes(), self.at(slot));
            completions.tail = completions.tail.wrapping_add(1);
            self.store(memory, offset_of!(Ring, cq_tail), completions.tail);
        }
    }

    /// Whether the vCPU sleeps and wants an interrupt.
    pub fn guest_sleeps(&self, memory: &Memory) -> bool {
        self.load(memory, offset_of!(Ring, guest_sleeps)) != 0
    }

    /// Says whether the worker sleeps, so that the guest rings `PORT_DOORBELL_ASYNC`.
    pub fn set_host_sleeps(&self, memory: &Memory, sleeps: bool) {
        self.store(memory, offset_of!(Ring, host_sleeps), u32::from(sleeps));
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
