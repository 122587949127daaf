//! `impl sentry::platform::Platform`: one line to the module that does it.

use crate::boot;
use crate::fpu;
use crate::frame::{self, frame_ptr};
use crate::ipi;
use crate::lock::relax;
use crate::paging::UserPageTable;
use crate::percpu::{cpu, nth};
use crate::ring;
use crate::run;
use crate::sched;
use crate::time;
use crate::usercopy;
use crate::vdso;
use crate::x86::{self, halt_forever, out32};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use linker::addr::UserVa;
use linker::boot::{BootFlags, BootInfo, ExitRecord};
use linker::layout::{EXIT_RECORD, PAGE_SIZE, PORT_EXIT};
use linker::request::{Op, Request};
use sentry::errno::Errno;
use sentry::platform::{
    CopyFault, Frame, MemoryInfo, NoMemory, PageTable, Platform, ThreadRef, Ticket, Trap, UserContext, Vdso,
};
use sentry::task::Current;

/// This machine.
pub struct Ring0;

/// The one `Ring0`.
pub static PLATFORM: Ring0 = Ring0;

/// The pointer to `offset` in a user frame of which `len` bytes are wanted.
fn within(frame: &Frame, offset: usize, len: usize) -> *mut u8 {
    frame::check_user(frame.pfn());
    let end = offset.checked_add(len);
    assert!(end.is_some_and(|end| end <= PAGE_SIZE as usize), "{len} bytes at {offset} are not within a frame");
    // SAFETY: within the frame, as was just checked.
    unsafe { frame_ptr(frame.pfn()).add(offset) }
}

impl Platform for Ring0 {
    fn boot_info(&self) -> &BootInfo {
        boot::boot_info()
    }

    fn start_spec(&self) -> &[u8] {
        boot::start_spec()
    }

    #[inline]
    fn run_user(&self, current: &mut Current) -> Trap {
        run::run_user(current)
    }

    fn sync_segment_bases(&self, context: &mut UserContext) {
        run::sync_segment_bases(context);
    }

    fn load_segment_bases(&self, context: &UserContext) {
        run::load_segment_bases(context);
    }

    fn watch_moves(&self, on: bool) {
        sched::current().watches_moves.set(on);
    }

    fn use_page_table(&self, table: Option<Arc<dyn PageTable>>) {
        sched::use_page_table(table.map(UserPageTable::from_dyn));
    }

    fn new_page_table(&self) -> Result<Arc<dyn PageTable>, NoMemory> {
        Ok(UserPageTable::new()?)
    }

    fn copy_from_user(&self, from: UserVa, to: &mut [u8]) -> Result<(), CopyFault> {
        usercopy::from_user(from, to)
    }

    fn copy_to_user(&self, to: UserVa, from: &[u8]) -> Result<(), CopyFault> {
        usercopy::to_user(to, from)
    }

    fn zero_user(&self, to: UserVa, len: usize) -> Result<(), CopyFault> {
        usercopy::zero_user(to, len)
    }

    fn copy_string_from_user(&self, from: UserVa, to: &mut [u8]) -> Result<Option<usize>, CopyFault> {
        usercopy::string_from_user(from, to)
    }

    fn load_user_u32(&self, at: UserVa) -> Result<u32, CopyFault> {
        usercopy::load_u32(at)
    }

    fn cmpxchg_user_u32(&self, at: UserVa, expected: u32, new: u32) -> Result<Result<u32, u32>, CopyFault> {
        usercopy::cmpxchg_u32(at, expected, new)
    }

    fn vector_state_size(&self) -> usize {
        fpu::size()
    }

    fn vector_state_mask(&self) -> u64 {
        fpu::mask()
    }

    fn save_vector_state(&self, to: &mut [u8]) {
        sched::save_current_vector();
        sched::current().vector.read(to);
    }

    fn load_vector_state(&self, from: &[u8]) -> bool {
        sched::replace_vector(|area| area.write(from))
    }

    fn reset_vector_state(&self) {
        sched::replace_vector(|area| {
            area.reset();
            true
        });
    }

    fn alloc_frame(&self, zeroed: bool) -> Result<Frame, NoMemory> {
        frame::alloc_user(zeroed).map(Frame::adopt)
    }

    fn alloc_frames(&self, count: usize, frames: &mut Vec<Frame>) -> Result<(), NoMemory> {
        frame::alloc_many(count.saturating_sub(frames.len()), frames)
    }

    fn frame_get(&self, pfn: u64) {
        frame::get(pfn);
    }

    fn frame_put(&self, pfn: u64) {
        frame::put(pfn);
    }

    fn frame_references(&self, frame: &Frame) -> u32 {
        frame::references(frame.pfn())
    }

    fn frame_read(&self, frame: &Frame, offset: usize, to: &mut [u8]) {
        let from = within(frame, offset, to.len());
        // SAFETY: the frame is untyped memory that lives as long as the reference; user code may change it meanwhile,
        // and then any bytes will do.
        unsafe { core::ptr::copy_nonoverlapping(from.cast_const(), to.as_mut_ptr(), to.len()) }
    }

    fn frame_write(&self, frame: &Frame, offset: usize, from: &[u8]) {
        let to = within(frame, offset, from.len());
        // SAFETY: as in `frame_read`.
        unsafe { core::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) }
    }

    fn frame_load_u32(&self, frame: &Frame, offset: usize) -> u32 {
        assert!(offset.is_multiple_of(4), "a word is aligned");
        let at = within(frame, offset, 4);
        // SAFETY: the word is in the frame, which lives as long as the reference, and aligned; everybody here goes by atomics.
        unsafe { AtomicU32::from_ptr(at.cast()) }.load(Ordering::Acquire)
    }

    fn frame_store_u32(&self, frame: &Frame, offset: usize, value: u32) {
        assert!(offset.is_multiple_of(4), "a word is aligned");
        let at = within(frame, offset, 4);
        // SAFETY: as in `frame_load_u32`.
        unsafe { AtomicU32::from_ptr(at.cast()) }.store(value, Ordering::SeqCst);
    }

    fn frame_zero(&self, frame: &Frame, offset: usize, len: usize) {
        let to = within(frame, offset, len);
        // SAFETY: as in `frame_read`.
        unsafe { to.write_bytes(0, len) }
    }

    fn frame_copy(&self, from: &Frame, to: &Frame) {
        let len = PAGE_SIZE as usize;
        let (from, to) = (within(from, 0, len), within(to, 0, len));
        // SAFETY: as in `frame_read`; the two may be one frame.
        unsafe { core::ptr::copy(from.cast_const(), to, len) }
    }

    fn frame_to_user(&self, frame: &Frame, offset: usize, to: UserVa, len: usize) -> Result<(), CopyFault> {
        // SAFETY: the frame is untyped memory that lives as long as the reference. The copy is done in assembly, to which
        // a change meanwhile makes no difference.
        usercopy::to_user(to, unsafe { core::slice::from_raw_parts(within(frame, offset, len), len) })
    }

    fn frame_from_user(&self, frame: &Frame, offset: usize, from: UserVa, len: usize) -> Result<(), CopyFault> {
        // SAFETY: as in `frame_to_user`.
        usercopy::from_user(from, unsafe { core::slice::from_raw_parts_mut(within(frame, offset, len), len) })
    }

    fn memory_info(&self) -> MemoryInfo {
        frame::info()
    }

    fn memory_is_low(&self) -> bool {
        frame::is_low()
    }

    fn spawn(&self, inherit_vector_state: bool, main: Box<dyn FnOnce() + Send>) -> Result<ThreadRef, NoMemory> {
        sched::spawn(inherit_vector_state, main)
    }

    fn current_thread(&self) -> ThreadRef {
        sched::current_arc()
    }

    fn park(&self, deadline_ns: Option<u64>) {
        sched::park(deadline_ns);
    }

    fn yield_now(&self) {
        sched::yield_now();
    }

    fn preempt(&self) {
        sched::preempt();
    }

    fn relax(&self) {
        relax();
    }

    fn held_locks(&self) -> &AtomicU64 {
        &cpu().held_locks
    }

    fn cpus(&self) -> usize {
        sched::cpus()
    }

    fn cpu(&self) -> usize {
        cpu().number.get()
    }

    fn barrier_all(&self) {
        ipi::flush_others(sched::busy_others());
    }

    fn clock(&self) -> fn() -> u64 {
        x86::rdtsc
    }

    fn ticks_per_ms(&self) -> u64 {
        time::ns_to_ticks(1_000_000)
    }

    fn exits(&self) -> u64 {
        sched::current().exits.get()
    }

    fn monotonic_ns(&self) -> u64 {
        time::monotonic_ns()
    }

    fn realtime_ns(&self) -> u64 {
        time::realtime_ns()
    }

    fn set_realtime_ns(&self, ns: u64) {
        time::set_realtime_ns(ns);
    }

    fn vdso(&self) -> Vdso {
        vdso::frames()
    }

    fn host_call(&self, request: Request, input: &[u8], output: &mut [u8]) -> Result<u64, Errno> {
        ring::call(request, input, output)
    }

    fn host_post(&self, request: Request, input: Vec<u8>) -> Result<(), Vec<u8>> {
        ring::post(request, input)
    }

    fn host_start(&self, request: Request, output: Box<[u8]>, before: Option<&Ticket>) -> Ticket {
        ring::start(request, output, before)
    }

    fn host_finish(&self, ticket: Ticket) -> (Result<u64, Errno>, Box<[u8]>) {
        ring::finish(ticket)
    }

    fn host_read(&self, file: u32, offset: u64, frames: &[Frame]) -> Result<usize, Errno> {
        ring::call_frames(Op::Read, file, offset, frames, 0, frames.len() * PAGE_SIZE as usize)
    }

    fn host_write(&self, file: u32, offset: u64, frames: &[Frame], skip: usize, len: usize) -> Result<usize, Errno> {
        ring::call_frames(Op::Write, file, offset, frames, skip, len)
    }

    fn exit(&self, status: u32) -> ! {
        leave_counts();
        out32(PORT_EXIT, status);
        halt_forever()
    }

    fn log(&self, text: &str) {
        ring::log(text);
    }
}

/// Writes the exit record if the host wants it.
fn leave_counts() {
    let boot = boot::boot_info();
    if boot.flags & BootFlags::STATISTICS.bits() == 0 {
        return;
    }
    let syscalls = (0..boot.cpus as usize).map(|cpu| nth(cpu).syscalls.load(Ordering::Relaxed)).sum();
    let record = frame::direct::<ExitRecord>(EXIT_RECORD.raw());
    // SAFETY: the page is RAM that nothing else in the guest uses; at worst two CPUs end the sandbox at once and one of
    // two true records stays.
    unsafe { record.write_volatile(ExitRecord { syscalls }) };
}
