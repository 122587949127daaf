//! What belongs to one CPU, found through GS. `Cell`s are touched by the owner alone (interrupts are off, so nothing
//! interferes); what others may touch is atomic or locked.

use crate::boot::MSR_GS_BASE;
use crate::frame::FrameCache;
use crate::gdt::{GDT_ENTRIES, Pointer};
use crate::heap::HeapCache;
use crate::paging::UserPageTable;
use crate::probe::Probes;
use crate::runqueue::RunQueue;
use crate::thread::KThread;
use crate::timer::Timers;
use crate::x86;
use alloc::sync::Arc;
use core::arch::asm;
use core::cell::{Cell, UnsafeCell};
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64};
use linker::layout::{self, MAX_CPUS};
use x86_64::structures::tss::TaskStateSegment;

/// `PerCpu::attention` bits: what must be looked at before user mode is entered.
pub mod attention {
    /// The hardware does not hold the current thread's vector state and segment bases.
    pub const USER_STATE: u32 = 1 << 0;
    /// A thread was queued here.
    pub const RUNNABLE: u32 = 1 << 1;
    /// Requests are in flight, and the host does not know that it must interrupt.
    pub const HOST: u32 = 1 << 2;
    /// User mode can be entered by IRET only; never cleared.
    pub const IRET: u32 = 1 << 3;
    /// The kernel lives on its reserve of memory.
    pub const MEMORY: u32 = 1 << 4;
}

/// One CPU's data. The first fields are known to the entry stubs.
#[repr(C, align(64))]
pub struct PerCpu {
    this: Cell<*const PerCpu>,
    /// `enter_user`'s frame on the kernel stack, while in user mode.
    pub kernel_rsp: Cell<u64>,
    /// Scratch of the SYSCALL entry.
    pub user_rsp: Cell<u64>,
    /// This CPU's number.
    pub number: Cell<usize>,
    /// First address that is not a program's: what SYSRET must not return to.
    user_end: Cell<u64>,
    /// `attention` bits.
    pub attention: AtomicU32,
    /// `TSS.RSP0` is just behind the running thread's `UserContext::ss`.
    pub tss: UnsafeCell<TaskStateSegment>,
    /// Descriptor table.
    pub gdt: UnsafeCell<[u64; GDT_ENTRIES]>,

    /// LAPIC number, for IPIs.
    pub apic_id: AtomicU32,
    /// Flushes asked of this CPU, ever.
    pub flush_wanted: AtomicU64,
    /// Flushes done.
    pub flush_done: AtomicU64,

    /// Threads that wait for this CPU.
    pub queue: RunQueue,
    /// Threads that sleep with a deadline.
    pub timers: Timers,
    /// TSC value that the timer is set to; `u64::MAX`: off.
    pub timer_tsc: Cell<u64>,
    /// TSC value of the next tick of CPU time accounting; `u64::MAX`: none is due.
    pub tick_tsc: Cell<u64>,
    /// TSC value of the last sample of CPU time accounting.
    pub sampled_tsc: Cell<u64>,
    /// Where user mode faulted last.
    pub fault_rip: Cell<u64>,

    /// The running thread; a counted reference.
    pub current: Cell<*const KThread>,
    /// The thread that was switched away from and is still to be let go; a counted reference.
    pub previous: Cell<*const KThread>,
    /// This CPU's idle thread; a counted reference.
    pub idle: Cell<*const KThread>,
    /// The thread whose vector state and segment bases the hardware holds (compared, never followed).
    pub user_owner: Cell<*const KThread>,
    /// The user page table that CR3 holds.
    pub loaded: UnsafeCell<Option<Arc<UserPageTable>>>,
    /// TSC at the last switch of threads.
    pub switched_tsc: Cell<u64>,
    /// The running thread should let others run.
    pub resched: Cell<bool>,

    /// Requests of this CPU's ring that the host has not answered.
    pub in_flight: Cell<u32>,
    /// The host was told to interrupt.
    pub host_armed: Cell<bool>,

    /// Free frames at hand.
    pub frames: UnsafeCell<FrameCache>,
    /// Free small blocks at hand.
    pub heap: UnsafeCell<HeapCache>,
    /// System calls made here, where they are counted; only this CPU adds to it.
    pub syscalls: AtomicU64,
    /// When a system call was where, where that is asked for.
    pub probes: Probes,
    /// Held lock ranks of the sentry.
    pub held_locks: AtomicU64,
}

// SAFETY: other CPUs only use the atomic and locked fields and `number`, which never changes after boot; the `Cell`s are
// the owner's. Every function in this crate that touches another CPU's data keeps to that.
unsafe impl Sync for PerCpu {}

/// Offsets that the entry stubs use.
pub const KERNEL_RSP: usize = offset_of!(PerCpu, kernel_rsp);
/// See `KERNEL_RSP`.
pub const USER_RSP: usize = offset_of!(PerCpu, user_rsp);
/// See `KERNEL_RSP`.
pub const USER_END: usize = offset_of!(PerCpu, user_end);
/// See `KERNEL_RSP`.
pub const ATTENTION: usize = offset_of!(PerCpu, attention);
/// See `KERNEL_RSP`.
pub const SYSCALLS: usize = offset_of!(PerCpu, syscalls);
/// See `KERNEL_RSP`.
pub const PROBES: usize = offset_of!(PerCpu, probes);
/// See `KERNEL_RSP`.
pub const TSS_RSP0: usize = offset_of!(PerCpu, tss) + offset_of!(TaskStateSegment, privilege_stack_table);

impl PerCpu {
    const fn new() -> Self {
        Self {
            this: Cell::new(core::ptr::null()),
            kernel_rsp: Cell::new(0),
            user_rsp: Cell::new(0),
            number: Cell::new(0),
            user_end: Cell::new(layout::USER_END),
            attention: AtomicU32::new(0),
            tss: UnsafeCell::new(TaskStateSegment::new()),
            gdt: UnsafeCell::new([0; GDT_ENTRIES]),
            apic_id: AtomicU32::new(0),
            flush_wanted: AtomicU64::new(0),
            flush_done: AtomicU64::new(0),
            queue: RunQueue::new(),
            timers: Timers::new(),
            timer_tsc: Cell::new(u64::MAX),
            tick_tsc: Cell::new(u64::MAX),
            sampled_tsc: Cell::new(0),
            fault_rip: Cell::new(0),
            current: Cell::new(core::ptr::null()),
            previous: Cell::new(core::ptr::null()),
            idle: Cell::new(core::ptr::null()),
            user_owner: Cell::new(core::ptr::null()),
            loaded: UnsafeCell::new(None),
            switched_tsc: Cell::new(0),
            resched: Cell::new(false),
            in_flight: Cell::new(0),
            host_armed: Cell::new(false),
            frames: UnsafeCell::new(FrameCache::new()),
            heap: UnsafeCell::new(HeapCache::new()),
            syscalls: AtomicU64::new(0),
            probes: Probes::new(),
            held_locks: AtomicU64::new(0),
        }
    }

    /// What GS base must be on this CPU; also sets the self pointer.
    pub fn gs_value(&'static self) -> u64 {
        self.this.set(self);
        core::ptr::from_ref(self) as u64
    }
}

static CPUS: [PerCpu; MAX_CPUS] = [const { PerCpu::new() }; MAX_CPUS];

/// The CPU this runs on. Never keep it across anything that can switch threads.
#[inline(always)]
pub fn cpu() -> &'static PerCpu {
    let this: *const PerCpu;
    // SAFETY: GS base points to this CPU's `PerCpu`, whose first field is its own address, from early boot on.
    // Volatile (no `pure`), because the answer changes when the thread moves.
    unsafe {
        asm!("mov {}, gs:[{offset}]", out(reg) this, offset = const offset_of!(PerCpu, this),
            options(nostack, preserves_flags, readonly));
        &*this
    }
}

/// Makes GS base what it must be, and returns what it was where it was something else: a fault between SWAPGS and user mode. Whose
/// CPU this is, the descriptor table says, which lies in its data.
#[cold]
pub fn restore_gs() -> Option<u64> {
    let mut table = Pointer { limit: 0, base: 0 };
    // SAFETY: SGDT writes the ten bytes of the operand.
    unsafe { asm!("sgdt [{}]", in(reg) &raw mut table, options(nostack, preserves_flags)) };
    let first = (&raw const CPUS) as u64 + offset_of!(PerCpu, gdt) as u64;
    let number = table.base.wrapping_sub(first) as usize / size_of::<PerCpu>();
    let this = CPUS.get(number)?.gs_value();
    // SAFETY: every CPU with long mode has the register.
    let base = unsafe { x86::rdmsr(MSR_GS_BASE) };
    if base == this {
        return None;
    }
    // SAFETY: what `cpu` reads from then on is this CPU's own.
    unsafe { x86::wrmsr(MSR_GS_BASE, this) };
    Some(base)
}

/// The data of CPU `number`.
///
/// # Panics
/// When there is no such CPU: a bug of this crate.
pub fn nth(number: usize) -> &'static PerCpu {
    &CPUS[number]
}
