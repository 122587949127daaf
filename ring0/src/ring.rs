//! Requests to the host. Each CPU has a ring (`linker::ring`); a request's tag names an entry in one table of calls, which
//! knows the thread to wake. Completions are taken off when the host interrupts, before a thread blocks, in the idle loop,
//! and after a synchronous doorbell.
//!
//! The host interrupts only while `guest_sleeps` is set: it is, from a CPU's entry into user mode or idleness with requests
//! in flight until it makes the next request.

use crate::frame::{direct, frame_pa};
use crate::lock::Lock;
use crate::paging::kernel;
use crate::percpu::{PerCpu, attention, cpu};
use crate::sched;
use crate::thread::{KThread, state};
use crate::x86::out32;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use linker::addr::GuestPa;
use linker::boot::VectorSwap;
use linker::layout::{DIRECT_MAP, PAGE_SIZE, PORT_DOORBELL_ASYNC, PORT_DOORBELL_SYNC, RINGS};
use linker::request::{Completion, GuestBuf, MAX_SEGMENTS, Op, Request};
use linker::ring::{ENTRIES, RING_BYTES, Ring};
use sentry::errno::Errno;
use sentry::platform::{Frame, Thread, Ticket};

/// Bytes of one line of `Op::Log`.
const LOG_BYTES: usize = 1024;

/// A request in flight.
enum Call {
    /// Nobody's.
    Free,
    /// This thread waits for it.
    Waiting(Arc<KThread>),
    /// Answered; the thread has not looked yet.
    Done(i64),
    /// Nobody waits; the input lives until then.
    Detached(Vec<u8>),
    /// Begun by `start`: what the host writes to, and who waits for it in `finish`.
    Started(Box<[u8]>, Option<Arc<KThread>>),
    /// One of those, answered.
    Finished(Box<[u8]>, i64),
}

/// What an answer means for somebody.
enum Notice {
    /// A thread waits for it.
    Wake(Arc<KThread>),
    /// Nobody needs this any more.
    Drop(Vec<u8>),
}

struct Slot {
    generation: u32,
    call: Call,
}

struct Calls {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

static CALLS: Lock<Calls> = Lock::new(Calls { slots: Vec::new(), free: Vec::new() });

impl Calls {
    fn begin(&mut self, call: Call) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, call: Call::Free });
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        slot.call = call;
        u64::from(slot.generation) << 32 | u64::from(index)
    }

    fn slot(&mut self, tag: u64) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(tag as u32 as usize)?;
        (u64::from(slot.generation) == tag >> 32).then_some(slot)
    }

    /// The answer is there: returns whom to wake, or what to drop.
    fn complete(&mut self, tag: u64, result: i64) -> Option<Notice> {
        let slot = self.slot(tag)?;
        match core::mem::replace(&mut slot.call, Call::Free) {
            Call::Waiting(thread) => {
                slot.call = Call::Done(result);
                Some(Notice::Wake(thread))
            }
            Call::Started(output, thread) => {
                slot.call = Call::Finished(output, result);
                thread.map(Notice::Wake)
            }
            Call::Detached(input) => {
                self.free.push(tag as u32);
                Some(Notice::Drop(input))
            }
            // Against the protocol.
            other @ (Call::Free | Call::Done(_) | Call::Finished(..)) => {
                slot.call = other;
                None
            }
        }
    }

    fn take(&mut self, tag: u64) -> Option<i64> {
        let slot = self.slot(tag)?;
        let Call::Done(result) = slot.call else { return None };
        slot.call = Call::Free;
        self.free.push(tag as u32);
        Some(result)
    }

    /// Whether a request of `start` has no answer yet.
    fn is_open(&mut self, tag: u64) -> bool {
        self.slot(tag).is_some_and(|slot| matches!(slot.call, Call::Started(..)))
    }

    /// What came of a request of `start`; without an answer, `thread` will be told.
    fn finish(&mut self, tag: u64, thread: Arc<KThread>) -> Option<(Box<[u8]>, i64)> {
        let slot = self.slot(tag)?;
        match core::mem::replace(&mut slot.call, Call::Free) {
            Call::Finished(output, result) => {
                self.free.push(tag as u32);
                Some((output, result))
            }
            Call::Started(output, _) => {
                slot.call = Call::Started(output, Some(thread));
                None
            }
            other => {
                slot.call = other;
                None
            }
        }
    }
}

fn ring(number: usize) -> *mut Ring {
    direct(RINGS.raw() + number as u64 * RING_BYTES)
}

fn shared(this: &PerCpu) -> &'static Ring {
    // SAFETY: the region is this CPU's ring; both sides use the indices through atomics. The slots are accessed through
    // raw pointers only.
    unsafe { &*ring(this.number.get()) }
}

/// Asks the host and blocks until the answer is there. ENOMEM: a buffer that is longer than a request's may be does not lie in one
/// piece.
pub fn call(mut request: Request, input: &[u8], output: &mut [u8]) -> Result<u64, Errno> {
    request.input = buffer(input.as_ptr() as u64, input.len()).ok_or(Errno::ENOMEM)?;
    request.output = buffer(output.as_mut_ptr() as u64, output.len()).ok_or(Errno::ENOMEM)?;
    call_prepared(request)
}

/// `Op::Read` into frames, or `Op::Write` from them: `len` bytes, beginning `skip` bytes into the first.
pub fn call_frames(op: Op, file: u32, offset: u64, frames: &[Frame], skip: usize, len: usize) -> Result<usize, Errno> {
    let mut segments: Vec<GuestBuf> = Vec::new();
    let (mut rest, mut skip, mut left) = (frames, skip as u64, len as u64);
    while let Some(first) = rest.first()
        && left > 0
        && segments.len() < MAX_SEGMENTS
    {
        let run = crate::frame::run(rest);
        let bytes = run as u64 * PAGE_SIZE;
        let skipped = skip.min(bytes);
        let used = left.min(bytes - skipped);
        let pa = frame_pa(first.pfn()).raw() + skipped;
        segments.extend((used > 0).then_some(GuestBuf { pa: GuestPa::new(pa), len: used }));
        rest = &rest[run..];
        skip -= skipped;
        left -= used;
    }
    let mut request = Request { op: op as u16, handle: file, offset, ..Request::default() };
    let data = match segments.as_slice() {
        [] => GuestBuf::default(),
        [one] => *one,
        list => {
            request.flags |= Request::FLAG_SEGMENTS;
            buffer(list.as_ptr() as u64, size_of_val(list)).ok_or(Errno::ENOMEM)?
        }
    };
    if op == Op::Write {
        request.input = data
    } else {
        request.output = data
    }
    call_prepared(request).map(|bytes| bytes as usize)
}

/// Begins a request without waiting for its answer, which `finish` takes. The host looks at the rings again after it has answered, so
/// no doorbell is needed while `before`, an earlier request of this kind from the same CPU, has no answer.
pub fn start(mut request: Request, mut output: Box<[u8]>, before: Option<&Ticket>) -> Ticket {
    request.output = buffer(output.as_mut_ptr() as u64, output.len()).expect(SHORT);
    let tag = CALLS.lock().begin(Call::Started(output, None));
    submit(Request { tag, ..request });
    // After the submission: one of us sees what the other did.
    drain();
    let cpu = cpu().number.get();
    let is_open = |before: &Ticket| before.cpu == cpu && CALLS.lock().is_open(before.tag);
    if !before.is_some_and(is_open) {
        ring_doorbell(false);
    }
    Ticket { tag, cpu }
}

/// Makes a request that nobody waits for, if the host's worker is the one for it: it is awake, or this thread has other things to do, and
/// it is not behind. Otherwise the input comes back.
pub fn post(mut request: Request, input: Vec<u8>) -> Result<(), Vec<u8>> {
    drain();
    let this = cpu();
    let behind = this.in_flight.get() >= ENTRIES / 2 || POSTED.load(Ordering::Relaxed) + input.len() > MAX_POSTED;
    let sleeps = shared(this).host_sleeps.0.load(Ordering::Relaxed) != 0;
    if behind || sleeps && !sched::current().turn.goes_on() {
        return Err(input);
    }
    let Some(from) = buffer(input.as_ptr() as u64, input.len()) else { return Err(input) };
    POSTED.fetch_add(input.len(), Ordering::Relaxed);
    request.input = from;
    request.flags |= Request::FLAG_QUIET;
    let tag = CALLS.lock().begin(Call::Detached(input));
    submit(Request { tag, ..request });
    // It may also have fallen asleep meanwhile.
    ring_doorbell(false);
    Ok(())
}

/// Bytes that were posted and not yet answered.
static POSTED: AtomicUsize = AtomicUsize::new(0);
/// The most of that.
const MAX_POSTED: usize = 1 << 20;

/// The answer of a request that was begun, and its buffer. Blocks until it is there.
pub fn finish(ticket: Ticket) -> (Result<u64, Errno>, Box<[u8]>) {
    drain();
    let mut unparked = false;
    loop {
        let finished = CALLS.lock().finish(ticket.tag, sched::current_arc());
        if let Some((output, result)) = finished {
            end_wait(unparked);
            return (answer(result), output);
        }
        unparked |= sched::park_with_token(None);
    }
}

/// A line for the host's stderr. Does not wait, so that it can be called with locks held.
pub fn log(text: &str) {
    let len = text.floor_char_boundary(LOG_BYTES);
    let text: Vec<u8> = text.as_bytes()[..len].into();
    let input = buffer(text.as_ptr() as u64, text.len()).expect(SHORT);
    let request = Request { op: Op::Log as u16, flags: Request::FLAG_SYNC, input, ..Request::default() };
    POSTED.fetch_add(text.len(), Ordering::Relaxed);
    let tag = CALLS.lock().begin(Call::Detached(text));
    submit(Request { tag, ..request });
    ring_doorbell(true);
}

/// What buffers of our own are: the heap has them in one piece.
const SHORT: &str = "buffers of a length that ring0 chooses lie in one piece";

/// The guest-physical buffer behind kernel memory: statics, stacks, and heap blocks but for the longest are contiguous; `None`: it is one of
/// those. No bytes are nowhere: an empty slice's address means nothing.
fn buffer(at: u64, len: usize) -> Option<GuestBuf> {
    if len == 0 {
        return Some(GuestBuf::default());
    }
    kernel::physical(at).map(|pa| GuestBuf { pa, len: len as u64 })
}

fn call_prepared(request: Request) -> Result<u64, Errno> {
    let tag = CALLS.lock().begin(Call::Waiting(sched::current_arc()));
    // With nothing else to run here, the host may as well use this CPU.
    let sync = cpu().queue.len() == 0;
    let flags = request.flags | if sync { Request::FLAG_SYNC } else { 0 };
    submit(Request { tag, flags, ..request });
    ring_doorbell(sync);
    drain();
    let mut unparked = false;
    loop {
        let result = CALLS.lock().take(tag);
        if let Some(result) = result {
            end_wait(unparked);
            return answer(result);
        }
        unparked |= sched::park_with_token(None);
    }
}

/// The calling thread has its answer; whether somebody unparked it meanwhile.
fn end_wait(unparked: bool) {
    let thread = sched::current();
    thread.state.fetch_and(!state::ANSWER, Ordering::AcqRel);
    if unparked {
        // Whoever did that meant the thread's own next `park`.
        thread.unpark();
    }
}

fn answer(result: i64) -> Result<u64, Errno> {
    u64::try_from(result).map_err(|_| Errno::from_raw(result.wrapping_neg()))
}

fn submit(request: Request) {
    let this = cpu();
    let shared = shared(this);
    if this.host_armed.replace(false) {
        shared.guest_sleeps.0.store(0, Ordering::Relaxed);
    }
    let tail = shared.sq_tail.0.load(Ordering::Relaxed);
    while tail.wrapping_sub(shared.sq_head.0.load(Ordering::Acquire)) >= ENTRIES {
        out32(PORT_DOORBELL_SYNC, this.number.get() as u32);
        drain();
    }
    let slot = (tail % ENTRIES) as usize;
    // SAFETY: the slot is free (the host has taken what was there), and only this CPU fills slots of its ring.
    unsafe { (&raw mut (*ring(this.number.get())).sq[slot]).write_volatile(request) };
    shared.sq_tail.0.swap(tail.wrapping_add(1), Ordering::SeqCst);
    this.in_flight.set(this.in_flight.get() + 1);
    this.attention.fetch_or(attention::HOST, Ordering::Relaxed);
}

fn ring_doorbell(sync: bool) {
    let this = cpu();
    let number = this.number.get() as u32;
    let port = if sync { PORT_DOORBELL_SYNC } else { PORT_DOORBELL_ASYNC };
    if sync || shared(this).host_sleeps.0.load(Ordering::SeqCst) != 0 {
        let exits = &sched::current().exits;
        exits.set(exits.get() + 1);
        out32(port, number);
    }
}

/// Takes completions off this CPU's ring and wakes who waits for them.
#[inline]
pub fn drain() {
    let this = cpu();
    if this.in_flight.get() != 0 {
        drain_ring(this);
    }
}

fn drain_ring(this: &PerCpu) {
    while take_completions(this) >= ENTRIES {
        // The queue was full, and the host may have more.
        out32(PORT_DOORBELL_SYNC, this.number.get() as u32);
    }
}

/// Takes the completions that are there; how many.
fn take_completions(this: &PerCpu) -> u32 {
    let shared = shared(this);
    let first = shared.cq_head.0.load(Ordering::Relaxed);
    let mut head = first;
    while head != shared.cq_tail.0.load(Ordering::Acquire) {
        let slot = (head % ENTRIES) as usize;
        // SAFETY: the host has filled the slot, and fills it again only after `cq_head` has passed it.
        let Completion { tag, result } = unsafe { (&raw const (*ring(this.number.get())).cq[slot]).read_volatile() };
        head = head.wrapping_add(1);
        shared.cq_head.0.store(head, Ordering::Release);
        this.in_flight.set(this.in_flight.get().saturating_sub(1));
        let notice = CALLS.lock().complete(tag, result);
        if let Some(Notice::Drop(input)) = &notice {
            POSTED.fetch_sub(input.len(), Ordering::Relaxed);
        }
        if let Some(Notice::Wake(thread)) = notice {
            // The thread that runs this, unless it is just going to sleep, looks for its answer itself.
            let is_us = core::ptr::eq(Arc::as_ptr(&thread), this.current.get());
            if !is_us || thread.state.load(Ordering::Relaxed) & state::PARKED != 0 {
                thread.answer();
            }
        }
    }
    head.wrapping_sub(first)
}

/// Makes the host interrupt for completions from now on, if any are to come.
pub fn arm(this: &PerCpu) {
    if this.in_flight.get() == 0 || this.host_armed.get() {
        return;
    }
    shared(this).guest_sleeps.0.swap(1, Ordering::SeqCst);
    this.host_armed.set(true);
    drain_ring(this);
}

/// Fills in the operands of `PORT_VECTOR_SWAP`: heap blocks, or null. Returns the CPU's number.
pub fn vector_swap(save: *mut u8, load: *mut u8) -> u32 {
    let number = cpu().number.get();
    let pa = |area: *mut u8| GuestPa::new(if area.is_null() { 0 } else { area as u64 - DIRECT_MAP.raw() });
    let swap = VectorSwap { save: pa(save), load: pa(load) };
    // SAFETY: the record is this CPU's; the host reads it only while this CPU is in the doorbell.
    unsafe { (&raw mut (*ring(number)).vector_swap).write_volatile(swap) };
    number as u32
}
