//! `impl Platform` over the fake's parts.

use super::frames::{self, BYTES};
use super::machine;
use super::page_table::FakeTable;
use super::thread::{self, FakeThread, VECTOR_BYTES, local};
use crate::errno::Errno;
use crate::platform::{
    Access, CopyFault, Frame, MemoryInfo, NoMemory, PageTable, Platform, ThreadRef, Ticket, Trap, UserContext, Vdso,
    set_platform,
};
use crate::task::Current;
use crate::task::run::{Next, serve};
use linker::addr::UserVa;
use linker::boot::BootInfo;
use linker::layout::USER_END;
use linker::request::{Op, Request};
use std::boxed::Box;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Instant, SystemTime};
use std::vec;
use std::vec::Vec;
use zerocopy::FromZeros;

/// The fake.
pub struct FakePlatform {
    boot_info: BootInfo,
}

/// What `Platform::exit` panics with.
#[derive(Debug, PartialEq, Eq)]
pub struct Exit(pub u32);

/// Makes the fake the platform; any number of times, from any thread.
pub fn install() {
    static FAKE: OnceLock<FakePlatform> = OnceLock::new();
    set_platform(FAKE.get_or_init(|| {
        let mut boot_info = BootInfo::new_zeroed();
        boot_info.magic = linker::boot::MAGIC;
        boot_info.version = linker::boot::VERSION;
        boot_info.cpus = 2;
        boot_info.seed = [7; 32];
        FakePlatform { boot_info }
    }));
}

/// The clock that nobody stopped.
pub(super) fn monotonic_ns() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let running = || u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX);
    // Not 0 at the first call: a deadline of 0 is in the past.
    machine().stopped_ns().unwrap_or_else(|| running() + 1_000_000_000)
}

/// Walks `len` bytes at `at` page by page; `f` gets the page's frame, the offset in it, the offset in the range, and a length.
fn walk(
    at: UserVa,
    len: usize,
    access: Access,
    mut f: impl FnMut(&Frame, usize, usize, usize),
) -> Result<(), CopyFault> {
    crate::sync::assert_none_held();
    let table = local(|local| local.table.clone());
    let mut done = 0;
    while done < len {
        let address = UserVa::new(at.raw().wrapping_add(done as u64));
        let fault = CopyFault { done, address };
        if address.raw() < at.raw() || address.raw() >= USER_END {
            return Err(fault);
        }
        let table = table.as_ref().and_then(|table| table.as_any().downcast_ref::<FakeTable>()).ok_or(fault)?;
        let frame = table.access(address, access).ok_or(fault)?;
        let offset = address.page_offset() as usize;
        let step = (BYTES - offset).min(len - done);
        f(&frame, offset, done, step);
        done += step;
    }
    Ok(())
}

impl Platform for FakePlatform {
    fn boot_info(&self) -> &BootInfo {
        &self.boot_info
    }

    fn start_spec(&self) -> &[u8] {
        machine().start_spec()
    }

    fn run_user(&self, current: &mut Current) -> Trap {
        loop {
            crate::sync::assert_none_held();
            if local(|local| local.thread.take_kick()) {
                return Trap::Interrupt;
            }
            let trap = machine().run_user(&mut current.regs);
            if trap != Trap::Syscall {
                return trap;
            }
            current.regs.vector = current.regs.rax;
            let served = serve::<true>(current, self.clock(), |_| {});
            match served.next {
                Next::Resume => current.regs.rax = served.value,
                Next::Reload => {}
                Next::End => return Trap::Ended,
            }
        }
    }

    fn watch_moves(&self, _on: bool) {}

    fn load_segment_bases(&self, _context: &UserContext) {}

    fn sync_segment_bases(&self, _context: &mut UserContext) {}

    fn use_page_table(&self, table: Option<Arc<dyn PageTable>>) {
        let old = local(|local| core::mem::replace(&mut local.table, table));
        drop(old);
    }

    fn new_page_table(&self) -> Result<Arc<dyn PageTable>, NoMemory> {
        Ok(Arc::new(FakeTable::default()))
    }

    fn copy_from_user(&self, from: UserVa, to: &mut [u8]) -> Result<(), CopyFault> {
        walk(from, to.len(), Access::Read, |frame, offset, done, step| {
            self.frame_read(frame, offset, &mut to[done..done + step]);
        })
    }

    fn copy_to_user(&self, to: UserVa, from: &[u8]) -> Result<(), CopyFault> {
        walk(to, from.len(), Access::Write, |frame, offset, done, step| {
            self.frame_write(frame, offset, &from[done..done + step]);
        })
    }

    fn zero_user(&self, to: UserVa, len: usize) -> Result<(), CopyFault> {
        walk(to, len, Access::Write, |frame, offset, _, step| self.frame_zero(frame, offset, step))
    }

    fn copy_string_from_user(&self, from: UserVa, to: &mut [u8]) -> Result<Option<usize>, CopyFault> {
        for index in 0..to.len() {
            let at = UserVa::new(from.raw().wrapping_add(index as u64));
            let byte = &mut to[index..=index];
            self.copy_from_user(at, byte).map_err(|fault| CopyFault { done: index, ..fault })?;
            if byte[0] == 0 {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    fn load_user_u32(&self, at: UserVa) -> Result<u32, CopyFault> {
        assert!(at.raw().is_multiple_of(4), "{at:?} is not 4-aligned");
        let mut bytes = [0; 4];
        self.copy_from_user(at, &mut bytes)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    fn cmpxchg_user_u32(&self, at: UserVa, expected: u32, new: u32) -> Result<Result<u32, u32>, CopyFault> {
        assert!(at.raw().is_multiple_of(4), "{at:?} is not 4-aligned");
        let mut result = Err(0);
        walk(at, 4, Access::Write, |frame, offset, _, _| {
            result = frames::with(frame.pfn(), |bytes| {
                let word = &mut bytes[offset..offset + 4];
                let old = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
                if old != expected {
                    return Err(old);
                }
                word.copy_from_slice(&new.to_ne_bytes());
                Ok(old)
            });
        })?;
        Ok(result)
    }

    fn vector_state_size(&self) -> usize {
        VECTOR_BYTES
    }

    fn vector_state_mask(&self) -> u64 {
        0
    }

    fn save_vector_state(&self, to: &mut [u8]) {
        local(|local| to[..VECTOR_BYTES].copy_from_slice(&local.vector));
    }

    fn load_vector_state(&self, from: &[u8]) -> bool {
        // MXCSR, Intel SDM vol. 1, 10.2.3: the upper half is reserved and would fault.
        if from.len() < VECTOR_BYTES || from[26] != 0 || from[27] != 0 {
            return false;
        }
        local(|local| local.vector.copy_from_slice(&from[..VECTOR_BYTES]));
        true
    }

    fn reset_vector_state(&self) {
        local(|local| local.vector.fill(0));
    }

    fn alloc_frame(&self, zeroed: bool) -> Result<Frame, NoMemory> {
        frames::alloc(zeroed)
    }

    fn frame_get(&self, pfn: u64) {
        frames::get(pfn);
    }

    fn frame_put(&self, pfn: u64) {
        frames::put(pfn);
    }

    fn frame_references(&self, frame: &Frame) -> u32 {
        frames::references(frame.pfn())
    }

    fn frame_read(&self, frame: &Frame, offset: usize, to: &mut [u8]) {
        frames::with(frame.pfn(), |bytes| to.copy_from_slice(&bytes[offset..offset + to.len()]));
    }

    fn frame_write(&self, frame: &Frame, offset: usize, from: &[u8]) {
        frames::with(frame.pfn(), |bytes| bytes[offset..offset + from.len()].copy_from_slice(from));
    }

    fn frame_zero(&self, frame: &Frame, offset: usize, len: usize) {
        frames::with(frame.pfn(), |bytes| bytes[offset..offset + len].fill(0));
    }

    fn frame_copy(&self, from: &Frame, to: &Frame) {
        let copy = frames::with(from.pfn(), |bytes| *bytes);
        frames::with(to.pfn(), |bytes| *bytes = copy);
    }

    fn frame_to_user(&self, frame: &Frame, offset: usize, to: UserVa, len: usize) -> Result<(), CopyFault> {
        let mut bytes = vec![0; len];
        self.frame_read(frame, offset, &mut bytes);
        self.copy_to_user(to, &bytes)
    }

    fn frame_from_user(&self, frame: &Frame, offset: usize, from: UserVa, len: usize) -> Result<(), CopyFault> {
        let mut bytes = vec![0; len];
        let result = self.copy_from_user(from, &mut bytes);
        let done = result.map_or_else(|fault| fault.done, |()| len);
        self.frame_write(frame, offset, &bytes[..done]);
        result
    }

    fn memory_info(&self) -> MemoryInfo {
        machine().memory_info()
    }

    fn memory_is_low(&self) -> bool {
        machine().memory_info().free_pages == 0
    }

    fn spawn(&self, inherit_vector_state: bool, main: Box<dyn FnOnce() + Send>) -> Result<ThreadRef, NoMemory> {
        thread::spawn(inherit_vector_state, main)
    }

    fn current_thread(&self) -> ThreadRef {
        let thread: Arc<FakeThread> = local(|local| local.thread.clone());
        thread
    }

    fn park(&self, deadline_ns: Option<u64>) {
        crate::sync::assert_none_held();
        thread::park(deadline_ns);
    }

    fn yield_now(&self) {
        crate::sync::assert_none_held();
        std::thread::yield_now();
    }

    fn preempt(&self) {
        self.yield_now();
    }

    fn relax(&self) {
        std::thread::yield_now();
    }

    fn held_locks(&self) -> &AtomicU64 {
        thread::held_locks()
    }

    fn cpus(&self) -> usize {
        self.boot_info.cpus as usize
    }

    fn cpu(&self) -> usize {
        0
    }

    fn barrier_all(&self) {
        fence(Ordering::SeqCst);
    }

    fn clock(&self) -> fn() -> u64 {
        monotonic_ns
    }

    fn ticks_per_ms(&self) -> u64 {
        1_000_000
    }

    fn exits(&self) -> u64 {
        0
    }

    fn monotonic_ns(&self) -> u64 {
        monotonic_ns()
    }

    fn realtime_ns(&self) -> u64 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let base = machine().stopped_ns().map_or(now as i128, i128::from);
        u64::try_from(base + machine().realtime_offset_ns()).unwrap_or(0)
    }

    fn set_realtime_ns(&self, ns: u64) {
        machine().set_realtime_offset_ns(0);
        machine().set_realtime_offset_ns(i128::from(ns) - i128::from(self.realtime_ns()));
    }

    fn vdso(&self) -> Vdso {
        static VDSO: Mutex<Option<Vdso>> = Mutex::new(None);
        let page = || self.alloc_frame(true).expect("a frame for the vDSO");
        VDSO.lock().expect("vdso").get_or_insert_with(|| Vdso { data: page(), code: vec![page()] }).clone()
    }

    fn host_call(&self, request: Request, input: &[u8], output: &mut [u8]) -> Result<u64, Errno> {
        crate::sync::assert_none_held();
        machine().host(&request, input, output)
    }

    fn host_post(&self, _request: Request, input: Vec<u8>) -> Result<(), Vec<u8>> {
        Err(input)
    }

    fn host_start(&self, request: Request, mut output: Box<[u8]>, _before: Option<&Ticket>) -> Ticket {
        let answer = self.host_call(request, &[], &mut output);
        Ticket { tag: machine().keep_answer(answer, output), cpu: 0 }
    }

    fn host_finish(&self, ticket: Ticket) -> (Result<u64, Errno>, Box<[u8]>) {
        machine().take_answer(ticket.tag)
    }

    fn host_read(&self, file: u32, offset: u64, frames: &[Frame]) -> Result<usize, Errno> {
        let mut bytes = vec![0; frames.len() * BYTES];
        let request = Request { op: Op::Read as u16, handle: file, offset, ..Request::default() };
        let done = self.host_call(request, &[], &mut bytes)? as usize;
        for (frame, chunk) in frames.iter().zip(bytes[..done].chunks(BYTES)) {
            self.frame_write(frame, 0, chunk);
        }
        Ok(done)
    }

    fn host_write(&self, file: u32, offset: u64, frames: &[Frame], skip: usize, len: usize) -> Result<usize, Errno> {
        let mut bytes = vec![0; frames.len() * BYTES];
        for (frame, chunk) in frames.iter().zip(bytes.chunks_mut(BYTES)) {
            self.frame_read(frame, 0, chunk);
        }
        let request = Request { op: Op::Write as u16, handle: file, offset, ..Request::default() };
        self.host_call(request, &bytes[skip..skip + len], &mut []).map(|done| done as usize)
    }

    fn exit(&self, status: u32) -> ! {
        std::panic::panic_any(Exit(status))
    }

    fn log(&self, text: &str) {
        machine().log(text);
    }
}
