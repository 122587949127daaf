//! Kernel threads: what a switch saves, and the states between which `sched` moves them.

use crate::asm::switch::{FIRST_WORDS, first_stack};
use crate::fpu::VectorArea;
use crate::ipi;
use crate::paging::UserPageTable;
use crate::percpu::cpu;
use crate::quirk;
use crate::sched;
use crate::stack::Stack;
use crate::time;
use crate::turn::Turn;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;
use core::cell::{Cell, UnsafeCell};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use sentry::platform::{NoMemory, Switches, Thread};

/// `KThread::state` bits.
pub mod state {
    /// Off the CPU (or about to be) until someone sets another bit.
    pub const PARKED: u32 = 1 << 0;
    /// Unparked: the next `park` returns. Whoever adds this or `ANSWER` to `PARKED` alone queues the thread.
    pub const TOKEN: u32 = 1 << 1;
    /// The host has answered the thread's request: apart from `TOKEN`, which is meant for the thread's own next `park`.
    pub const ANSWER: u32 = 1 << 2;
}

/// What `Thread::set_share` measures in.
pub const ORDINARY_SHARE: u32 = 1024;

/// A kernel thread. `Cell`s belong to the thread itself while it runs, and to the CPU that switches it otherwise:
/// `on_cpu` goes from false to true, and back, only there.
pub struct KThread {
    /// Stack pointer while it does not run.
    pub rsp: Cell<u64>,
    stack: Cell<Option<Stack>>,
    main: Cell<Option<Box<dyn FnOnce() + Send>>>,
    /// Its user page table.
    pub table: UnsafeCell<Option<Arc<UserPageTable>>>,
    /// Its vector state while the hardware does not hold it.
    pub vector: VectorArea,
    /// CPU whose hardware was last loaded with its user state; `usize::MAX`: none.
    pub user_cpu: Cell<usize>,
    /// FS and GS base that the hardware had when it was switched away from.
    pub live_bases: Cell<(u64, u64)>,
    /// FS and GS base that its context asked for last.
    pub asked_bases: Cell<(u64, u64)>,
    /// It wants to hear when it enters user mode on another CPU, or after another thread's (`Trap::Moved`).
    pub watches_moves: Cell<bool>,
    /// `state` bits.
    pub state: AtomicU32,
    /// Some CPU's stack pointer is on its stack.
    pub on_cpu: AtomicBool,
    /// It has ended; whoever runs next gives its stack back.
    pub dead: Cell<bool>,
    /// CPU it runs or last ran on.
    pub cpu: AtomicUsize,
    /// CPUs it may run on.
    pub affinity: AtomicU64,
    /// See `Thread::set_share`.
    pub share: AtomicU32,
    /// TSC ticks it has run, up to the last switch.
    pub ticks: AtomicU64,
    /// TSC at which it was switched to; 0 while it does not run.
    pub running_since: AtomicU64,
    /// Ticks spent in the kernel, estimated by sampling.
    pub kernel_ticks: AtomicU64,
    /// The most user ticks that anyone was told of.
    told_user_ticks: AtomicU64,
    /// Switches away from it while it waited, and while it could have run; and to it on another CPU than before. Written by whoever
    /// switches alone.
    pub voluntary: AtomicU64,
    /// See `voluntary`.
    pub involuntary: AtomicU64,
    /// See `voluntary`.
    pub migrations: AtomicU64,
    /// Whether it goes on once it has made work for others.
    pub turn: Turn,
    /// How often it left the machine to ask the host.
    pub exits: Cell<u64>,
    /// Next in its run queue; a counted reference.
    pub next: Cell<*const KThread>,
}

// SAFETY: see the type: `Cell`s have one user at a time, and `on_cpu`, stored with release and loaded with acquire order,
// hands them over. `next` belongs to the lock of the queue it is in.
unsafe impl Send for KThread {}
// SAFETY: as above.
unsafe impl Sync for KThread {}

impl KThread {
    /// A thread that will run `main`, with the current thread's vector state or the initial one.
    pub fn new(inherit_vector_state: bool, main: Box<dyn FnOnce() + Send>) -> Result<Arc<Self>, NoMemory> {
        let vector = VectorArea::new()?;
        let stack = Stack::new()?;
        if inherit_vector_state {
            sched::save_current_vector();
            vector.copy_from(&sched::current().vector);
        }
        let words = first_stack();
        let rsp = stack.top() - (FIRST_WORDS * size_of::<u64>()) as u64;
        // SAFETY: the stack is new and its top is mapped; nobody runs on it yet.
        unsafe { (rsp as *mut [u64; FIRST_WORDS]).write(words) };
        let mut thread = Self::bare(vector);
        thread.rsp = Cell::new(rsp);
        thread.stack = Cell::new(Some(stack));
        thread.main = Cell::new(Some(main));
        Ok(Arc::new(thread))
    }

    /// The thread that a CPU boots on: it becomes the idle thread.
    pub fn idle() -> Arc<Self> {
        let thread = Self::bare(VectorArea::new().expect("memory is empty at boot"));
        thread.on_cpu.store(true, Ordering::Relaxed);
        thread.cpu.store(cpu().number.get(), Ordering::Relaxed);
        Arc::new(thread)
    }

    fn bare(vector: VectorArea) -> Self {
        Self {
            rsp: Cell::new(0),
            exits: Cell::new(0),
            stack: Cell::new(None),
            main: Cell::new(None),
            table: UnsafeCell::new(None),
            vector,
            user_cpu: Cell::new(usize::MAX),
            live_bases: Cell::new((0, 0)),
            asked_bases: Cell::new((0, 0)),
            watches_moves: Cell::new(false),
            state: AtomicU32::new(0),
            on_cpu: AtomicBool::new(false),
            dead: Cell::new(false),
            cpu: AtomicUsize::new(cpu().number.get()),
            affinity: AtomicU64::new(u64::MAX),
            share: AtomicU32::new(ORDINARY_SHARE),
            ticks: AtomicU64::new(0),
            running_since: AtomicU64::new(0),
            kernel_ticks: AtomicU64::new(0),
            told_user_ticks: AtomicU64::new(0),
            voluntary: AtomicU64::new(0),
            involuntary: AtomicU64::new(0),
            migrations: AtomicU64::new(0),
            turn: Turn::new(),
            next: Cell::new(core::ptr::null()),
        }
    }

    /// Takes a dead thread's stack.
    pub fn take_stack(&self) -> Option<Stack> {
        self.stack.take()
    }
}

/// Where every new thread begins, called by the first stack's entry.
pub extern "C" fn thread_main() -> ! {
    sched::finish_switch();
    if let Some(main) = sched::current().main.take() {
        main();
    }
    sched::exit_thread()
}

impl KThread {
    /// Ends the thread's wait for the host. It goes before whoever only computes; but not where a switch is dear.
    pub fn answer(&self) {
        let Some(thread) = self.end_park(state::ANSWER) else { return };
        sched::enqueue(thread);
        if !quirk::switches_are_dear() {
            cpu().resched.set(true);
        }
    }

    /// The thread, to be queued, if it was parked.
    fn end_park(&self, why: u32) -> Option<Arc<Self>> {
        if self.state.fetch_or(why, Ordering::AcqRel) != state::PARKED {
            return None;
        }
        // SAFETY: every `KThread` lives in an `Arc` (see `new` and `idle`), and `self` keeps the count above zero.
        unsafe {
            Arc::increment_strong_count(self);
            Some(Arc::from_raw(self))
        }
    }
}

impl Thread for KThread {
    fn unpark(&self) {
        if let Some(thread) = self.end_park(state::TOKEN) {
            sched::wake(thread);
        }
    }

    fn kick(&self) {
        if self.on_cpu.load(Ordering::SeqCst) {
            let number = self.cpu.load(Ordering::Relaxed);
            if number != cpu().number.get() {
                ipi::reschedule(number);
            }
        }
    }

    fn cpu_time_ns(&self) -> (u64, u64) {
        let mut ticks = self.ticks.load(Ordering::Relaxed);
        let since = self.running_since.load(Ordering::Relaxed);
        if since != 0 {
            ticks += crate::x86::rdtsc().saturating_sub(since);
        }
        // A sample turns into the kernel's what was taken for user mode's before: what was told of that is not taken back.
        let user = ticks.saturating_sub(self.kernel_ticks.load(Ordering::Relaxed));
        let user = user.max(self.told_user_ticks.fetch_max(user, Ordering::Relaxed)).min(ticks);
        (time::ticks_to_ns(user), time::ticks_to_ns(ticks - user))
    }

    fn switches(&self) -> Switches {
        let n = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Switches { voluntary: n(&self.voluntary), involuntary: n(&self.involuntary), migrations: n(&self.migrations) }
    }

    fn cpu(&self) -> usize {
        self.cpu.load(Ordering::Relaxed)
    }

    fn is_runnable(&self) -> bool {
        self.state.load(Ordering::Relaxed) != state::PARKED
    }

    fn set_share(&self, share: u32) {
        self.share.store(share, Ordering::Relaxed);
    }

    fn set_affinity(&self, cpus: u64) {
        self.affinity.store(cpus, Ordering::Relaxed);
        self.kick();
        if core::ptr::eq(self, cpu().current.get()) && cpus & 1 << cpu().number.get() == 0 {
            sched::yield_now();
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
