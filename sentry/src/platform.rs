//! What the sentry needs of the machine, as one trait. `ring0` implements it on hardware, `fake` on the host for tests.
//!
//! All sentry code runs in kernel-thread context: there are no interrupt handlers here. A thread is preempted only in user
//! mode and gives up its CPU only in `park`, `yield_now`, `host_call` and `exit_thread`. User memory and frames are untyped
//! bytes reached by copying; a copy that meets a missing page returns where, it never blocks.

use crate::errno::Errno;
use crate::task::Current;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;
use linker::addr::UserVa;
use linker::boot::BootInfo;
use linker::request::Request;

/// A user thread's registers, in the order the entry stubs push them. The tail is what the CPU pushes for an exception,
/// so that `TSS.RSP0` can point just behind it; hence the alignment.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct UserContext {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// Exception vector of the last trap; after a system call, its number.
    pub vector: u64,
    /// Error code of the last trap; after a system call, when it came (`Platform::clock`), where the sandbox counts its calls.
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
    /// FS base (thread pointer). See `Platform::load_segment_bases`.
    pub fs_base: u64,
    /// GS base of user mode.
    pub gs_base: u64,
}

const _: () = assert!((core::mem::offset_of!(UserContext, ss) + 8) % 16 == 0);

/// Why user mode was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// `SYSCALL`, where nobody served it. Number in `rax` and `vector`; arguments in rdi, rsi, rdx, r10, r8, r9; `rcx`/`r11` hold
    /// what SYSCALL leaves there.
    Syscall,
    /// A system call ended the thread: `Current::ended`.
    Ended,
    /// #PF.
    PageFault {
        /// CR2.
        address: UserVa,
        /// What was tried.
        access: Access,
        /// A translation was there, but did not allow it.
        present: bool,
    },
    /// Any other exception, by vector; error code and RIP are in the context.
    Exception {
        /// Intel SDM vol. 3, table 6-1.
        vector: u8,
    },
    /// An interrupt was handled: reschedule if due, look for signals, go on.
    Interrupt,
    /// User mode was not entered: the kernel lives on its reserve of memory (`Platform::memory_is_low`).
    MemoryLow,
    /// User mode was not entered: for a thread that `watch_moves`, this is another CPU than before, or another thread's user
    /// mode came between where the last trap was no system call.
    Moved,
}

/// A kind of memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Access {
    Read,
    Write,
    Execute,
}

/// What a mapping allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct Prot {
    pub read: bool,
    pub write: bool,
    pub execute: bool,
}

/// A user copy stopped: `done` bytes were copied, the next byte at `address` is not mapped for that access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyFault {
    /// Bytes copied before.
    pub done: usize,
    /// Where it stopped.
    pub address: UserVa,
}

/// No memory for a frame, a page table or a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

impl From<NoMemory> for Errno {
    fn from(_: NoMemory) -> Self {
        Errno::ENOMEM
    }
}

/// A reference-counted 4 KiB frame of untyped memory. Cloning counts a reference, dropping gives it back; the last one frees it.
#[derive(PartialEq, Eq, Debug)]
pub struct Frame(u64);

impl Frame {
    /// Takes over one reference to frame number `pfn` that the platform counted. For platforms only; they check the number
    /// against the frame's type on every use, so a wrong one is caught, not undefined.
    pub const fn adopt(pfn: u64) -> Self {
        Self(pfn)
    }

    /// Gives the counted reference to the caller (a platform storing it in a page-table entry).
    pub fn into_pfn(self) -> u64 {
        let pfn = self.0;
        core::mem::forget(self);
        pfn
    }

    /// The frame number: physical address / 4096.
    pub const fn pfn(&self) -> u64 {
        self.0
    }
}

impl Clone for Frame {
    fn clone(&self) -> Self {
        platform().frame_get(self.0);
        Self(self.0)
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        platform().frame_put(self.0);
    }
}

/// One translation of a page table.
#[derive(Debug)]
pub struct Translation {
    /// The frame (a new reference).
    pub frame: Frame,
    /// What the entry allows.
    pub prot: Prot,
    /// The entry was written through since it was mapped or last cleaned.
    pub dirty: bool,
}

/// A user address space's page tables. Entries own a reference to their frame. All methods may be called from any thread;
/// TLB entries of other CPUs are gone when a method that takes something away returns. Ranges are page-aligned, `[start, end)`.
pub trait PageTable: Send + Sync {
    /// Maps `frame` at `va`, replacing (and releasing) what was there.
    fn map(&self, va: UserVa, frame: Frame, prot: Prot) -> Result<(), NoMemory>;
    /// Maps a 2 MiB block of fresh, zero, exclusively owned frames at the 2 MiB-aligned `va` where nothing is mapped.
    /// `Ok(false)`: no such block at hand (or something is mapped there); use small pages.
    fn map_large_zeroed(&self, va: UserVa, prot: Prot) -> Result<bool, NoMemory>;
    /// Maps `frame` only if nothing is mapped at `va`; `Ok(false)` otherwise (and the frame is released).
    fn map_if_absent(&self, va: UserVa, frame: Frame, prot: Prot) -> Result<bool, NoMemory>;
    /// Maps zeroed frames where nothing is mapped, from `va` on: one, or up to `most` where the page below is mapped and writable
    /// (memory that is filled upwards). Ends early where something is mapped, at the end of a 2 MiB block and when memory runs
    /// short. Returns how many pages it mapped; 0 if something is at `va`.
    fn map_zeroed(&self, va: UserVa, most: usize, prot: Prot) -> Result<usize, NoMemory>;
    /// Maps what `frame` gives for those of `count` pages from `va` on where nothing is mapped; it is asked by position. The
    /// pages lie in one 2 MiB block. Returns how many it mapped.
    fn map_run<'a>(
        &self,
        va: UserVa,
        count: usize,
        prot: Prot,
        frame: &mut dyn FnMut(usize) -> Option<&'a Frame>,
    ) -> Result<usize, NoMemory>;
    /// Releases everything in the range. Returns the number of pages that were mapped.
    fn unmap(&self, start: UserVa, end: UserVa) -> usize;
    /// Changes what present entries in the range allow. With `cow`, a writable `prot` only takes write away, never gives it
    /// (the next write faults and is resolved by reference count).
    fn protect(&self, start: UserVa, end: UserVa, prot: Prot, cow: bool);
    /// What is mapped at `va`.
    fn translate(&self, va: UserVa) -> Option<Translation>;
    /// If the frame at `va` has no other reference, makes the entry writable and returns true (COW resolved without a copy).
    fn reclaim_exclusive(&self, va: UserVa, prot: Prot) -> bool;
    /// Copies the range's entries to `child` (same addresses), a reference each. With `cow`, write permission is taken from both.
    /// Returns the number of pages copied.
    fn fork_into(&self, child: &dyn PageTable, start: UserVa, end: UserVa, cow: bool) -> Result<usize, NoMemory>;
    /// Moves the entries of `[from, from+len)` to `to`; nothing is mapped there.
    fn relocate(&self, from: UserVa, to: UserVa, len: u64) -> Result<(), NoMemory>;
    /// Calls `f` for each present page in the range: address, frame number, dirty; clears dirty where `clean`.
    fn scan(&self, start: UserVa, end: UserVa, clean: bool, f: &mut dyn FnMut(UserVa, u64, bool));
    /// For the implementation to recognise its own kind.
    fn as_any(&self) -> &dyn core::any::Any;
}

/// A kernel thread, for others to wake.
pub trait Thread: Send + Sync {
    /// Makes the thread's next (or current) `park` return. A token, as in std: an unpark before the park is not lost.
    fn unpark(&self);
    /// Makes the thread leave user mode soon, if it is there, so that it looks at its signals. Does not wait.
    fn kick(&self);
    /// CPU time used so far, ns: in user mode and in the kernel. Neither ever gets less.
    fn cpu_time_ns(&self) -> (u64, u64);
    /// How often it gave its CPU to others.
    fn switches(&self) -> Switches;
    /// The CPU it runs or last ran on.
    fn cpu(&self) -> usize;
    /// Whether it runs or waits for a CPU, rather than being parked.
    fn is_runnable(&self) -> bool {
        true
    }
    /// Restricts it to these CPUs (bit n for CPU n; never 0).
    fn set_affinity(&self, cpus: u64);
    /// How long its turns are on a CPU that others wait for, in 1/1024 of an ordinary thread's.
    fn set_share(&self, share: u32);
    /// For the implementation to recognise its own kind.
    fn as_any(&self) -> &dyn core::any::Any;
}

/// How often a thread gave its CPU to others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Switches {
    /// To wait.
    pub voluntary: u64,
    /// While it could have run.
    pub involuntary: u64,
    /// And how often it went on on another CPU.
    pub migrations: u64,
}

/// A handle on a kernel thread.
pub type ThreadRef = Arc<dyn Thread>;

/// Sizes of memory, in 4 KiB pages.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryInfo {
    /// All of RAM.
    pub total_pages: u64,
    /// Free.
    pub free_pages: u64,
}

/// The machine.
pub trait Platform: Send + Sync {
    // Boot.

    /// The boot page.
    fn boot_info(&self) -> &BootInfo;
    /// The encoded start specification.
    fn start_spec(&self) -> &[u8];

    // User mode.

    /// Runs the current thread in user mode, and has its system calls served (`task::serve`), until one ends it or something
    /// else comes. Its page table is the one last given to `use_page_table`.
    fn run_user(&self, current: &mut Current) -> Trap;
    /// Brings `fs_base` and `gs_base` of the current thread's context up to date where user mode can set them itself
    /// (FSGSBASE). Call before a context is copied or its bases are reported.
    fn sync_segment_bases(&self, context: &mut UserContext);
    /// Gives the current thread's user mode the context's `fs_base` and `gs_base`. Call after changing them in it: `run_user`
    /// looks at them only when a thread first runs or runs elsewhere.
    fn load_segment_bases(&self, context: &UserContext);
    /// Whether the current thread wants to hear of `Trap::Moved`.
    fn watch_moves(&self, on: bool);
    /// Makes `table` the current thread's (kept referenced), or none.
    fn use_page_table(&self, table: Option<Arc<dyn PageTable>>);
    /// A new, empty page table.
    fn new_page_table(&self) -> Result<Arc<dyn PageTable>, NoMemory>;
    /// Copies from the current thread's user memory. Checks that the range is in the user half.
    fn copy_from_user(&self, from: UserVa, to: &mut [u8]) -> Result<(), CopyFault>;
    /// Copies to the current thread's user memory.
    fn copy_to_user(&self, to: UserVa, from: &[u8]) -> Result<(), CopyFault>;
    /// Zeroes the current thread's user memory.
    fn zero_user(&self, to: UserVa, len: usize) -> Result<(), CopyFault>;
    /// Copies up to and including the first NUL, `to.len()` bytes at most. Returns the bytes before the NUL, or `None` if there was none.
    fn copy_string_from_user(&self, from: UserVa, to: &mut [u8]) -> Result<Option<usize>, CopyFault>;
    /// Loads the 32-bit word at `at` (4-aligned) atomically.
    fn load_user_u32(&self, at: UserVa) -> Result<u32, CopyFault>;
    /// Compare-and-exchange of the 32-bit word at `at` (4-aligned). `Ok(Ok(old))` when it was `expected` and is now `new`.
    fn cmpxchg_user_u32(&self, at: UserVa, expected: u32, new: u32) -> Result<Result<u32, u32>, CopyFault>;

    // Vector state (XSAVE area, standard format) of the current thread, for signal frames, fork and exec.

    /// Bytes of the XSAVE (or FXSAVE) area that a signal frame carries.
    fn vector_state_size(&self) -> usize;
    /// The feature mask (XCR0) to announce in the frame, 0 when only FXSAVE is in use.
    fn vector_state_mask(&self) -> u64;
    /// Saves the current thread's state.
    fn save_vector_state(&self, to: &mut [u8]);
    /// Loads a state that may come from user space: reserved bits are rejected, never a fault. False: invalid, nothing changed.
    fn load_vector_state(&self, from: &[u8]) -> bool;
    /// Resets the current thread's to the initial state (execve).
    fn reset_vector_state(&self);

    // Frames.

    /// A new frame, zeroed or with unspecified content (of this sandbox's own earlier use only).
    fn alloc_frame(&self, zeroed: bool) -> Result<Frame, NoMemory>;
    /// Adds new frames with unspecified content until there are `count`; on an error, those that it got stay.
    fn alloc_frames(&self, count: usize, frames: &mut Vec<Frame>) -> Result<(), NoMemory> {
        while frames.len() < count {
            frames.push(self.alloc_frame(false)?);
        }
        Ok(())
    }
    /// Counts a reference (`Frame::clone`).
    fn frame_get(&self, pfn: u64);
    /// Drops a reference (`Frame::drop`).
    fn frame_put(&self, pfn: u64);
    /// References to the frame right now.
    fn frame_references(&self, frame: &Frame) -> u32;
    /// Copies out of a frame. `offset + to.len()` is within the frame (panics otherwise: sentry's bug).
    fn frame_read(&self, frame: &Frame, offset: usize, to: &mut [u8]);
    /// Copies into a frame.
    fn frame_write(&self, frame: &Frame, offset: usize, from: &[u8]);
    /// Loads the 32-bit word at `offset` (4-aligned), before all that follows.
    fn frame_load_u32(&self, frame: &Frame, offset: usize) -> u32 {
        let mut word = [0; 4];
        self.frame_read(frame, offset, &mut word);
        u32::from_ne_bytes(word)
    }
    /// Stores the 32-bit word at `offset` (4-aligned), after all that goes before.
    fn frame_store_u32(&self, frame: &Frame, offset: usize, value: u32) {
        self.frame_write(frame, offset, &value.to_ne_bytes());
    }
    /// Zeroes part of a frame.
    fn frame_zero(&self, frame: &Frame, offset: usize, len: usize);
    /// Copies a whole frame.
    fn frame_copy(&self, from: &Frame, to: &Frame);
    /// Copies between a frame and the current thread's user memory.
    fn frame_to_user(&self, frame: &Frame, offset: usize, to: UserVa, len: usize) -> Result<(), CopyFault>;
    /// Copies between the current thread's user memory and a frame.
    fn frame_from_user(&self, frame: &Frame, offset: usize, from: UserVa, len: usize) -> Result<(), CopyFault>;
    /// How much memory there is.
    fn memory_info(&self) -> MemoryInfo;
    /// Whether the kernel lives on its reserve, which user memory is refused long before. Goes along with `Trap::MemoryLow`.
    fn memory_is_low(&self) -> bool;

    // Threads.

    /// Starts a kernel thread. `inherit_vector_state`: it begins with a copy of the current thread's vector state (fork, clone), otherwise with the initial one.
    fn spawn(&self, inherit_vector_state: bool, main: Box<dyn FnOnce() + Send>) -> Result<ThreadRef, NoMemory>;
    /// The calling thread.
    fn current_thread(&self) -> ThreadRef;
    /// Sleeps until `unpark`, or until `monotonic_ns()` reaches `deadline_ns`. May return early for no reason.
    fn park(&self, deadline_ns: Option<u64>);
    /// Lets others run.
    fn yield_now(&self);
    /// Called on `Trap::Interrupt`, and now and then in a system call that takes long: serves the interrupts that wait, and
    /// lets others run if the time slice is over. Without locks.
    fn preempt(&self);
    /// Spin-loop hint that also serves what other CPUs wait for (TLB shootdowns); every spin loop calls it.
    fn relax(&self);
    /// This CPU's set of held lock ranks, for the lock-order assertion.
    fn held_locks(&self) -> &AtomicU64;
    /// CPUs of the sandbox.
    fn cpus(&self) -> usize;
    /// The one that the calling thread is on, until it gives it up.
    fn cpu(&self) -> usize;
    /// membarrier(2): every CPU that runs one of this process's threads passes a full barrier before this returns.
    fn barrier_all(&self);

    /// What reads the time stamp counter: a function, so that whoever reads it at each system call calls it directly.
    fn clock(&self) -> fn() -> u64;
    /// How far that goes in a millisecond.
    fn ticks_per_ms(&self) -> u64;
    /// How often the calling thread has left the virtual machine to ask the host.
    fn exits(&self) -> u64;

    // Time, ns.

    /// CLOCK_MONOTONIC.
    fn monotonic_ns(&self) -> u64;
    /// CLOCK_REALTIME.
    fn realtime_ns(&self) -> u64;
    /// Steps CLOCK_REALTIME for this sandbox.
    fn set_realtime_ns(&self, ns: u64);
    /// The frames to map read-only for the vDSO: the data page, then the code.
    fn vdso(&self) -> Vdso;

    // The host.

    /// Asks the host and blocks the calling thread (alone) until the answer is there. `input`/`output` replace the request's own buffers.
    fn host_call(&self, request: Request, input: &[u8], output: &mut [u8]) -> Result<u64, Errno>;
    /// Makes a request that nobody waits for, where that is better than to wait for it; else the input comes back. Never sleeps.
    fn host_post(&self, request: Request, input: Vec<u8>) -> Result<(), Vec<u8>>;
    /// Begins a request that waits for something outside, such as `Op::ReceiveFrames`; `host_finish` takes the answer and gives the
    /// buffer back. With `before`, an earlier one for the same file, the host is not called: it looks for more by itself when it has answered that.
    fn host_start(&self, request: Request, output: Box<[u8]>, before: Option<&Ticket>) -> Ticket;
    /// The answer of a request that was begun, and its buffer, once it is there.
    fn host_finish(&self, ticket: Ticket) -> (Result<u64, Errno>, Box<[u8]>);
    /// `Op::Read` into frames, in order; the last may be partly filled. Returns bytes.
    fn host_read(&self, file: u32, offset: u64, frames: &[Frame]) -> Result<usize, Errno>;
    /// `Op::Write` of `len` bytes from frames, in order, beginning `skip` bytes into the first. Returns bytes.
    fn host_write(&self, file: u32, offset: u64, frames: &[Frame], skip: usize, len: usize) -> Result<usize, Errno>;
    /// Ends the sandbox. `status`: as for `layout::PORT_EXIT`.
    fn exit(&self, status: u32) -> !;
    /// A line for the host's stderr.
    fn log(&self, text: &str);
}

/// A request that was begun and must be finished.
#[must_use]
#[derive(Debug)]
pub struct Ticket {
    /// Whatever the platform knows it by.
    pub tag: u64,
    /// The CPU that it was begun on.
    pub cpu: usize,
}

/// The vDSO's pages.
#[derive(Clone, Debug)]
pub struct Vdso {
    /// `linker::vdso::VdsoData`, mapped read-only one page below the code.
    pub data: Frame,
    /// The ELF image, mapped read-execute.
    pub code: alloc::vec::Vec<Frame>,
}

static PLATFORM: spin::Once<&'static dyn Platform> = spin::Once::new();

/// Sets the platform, once, before anything else of the sentry is used.
pub fn set_platform(platform: &'static dyn Platform) {
    PLATFORM.call_once(|| platform);
}

/// The platform.
///
/// # Panics
/// Before `set_platform`: a bug of the boot code, never reachable by a container.
#[inline]
pub fn platform() -> &'static dyn Platform {
    *PLATFORM.get().expect("platform is set at boot")
}
