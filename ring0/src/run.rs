//! Around user mode: what must be seen to before it is entered, and what its end means. Also the kernel's own traps.

use crate::asm::syscall::{
    Serve, enter_user, probed_syscall_entry, syscall_entry, tallied_syscall_entry, timed_syscall_entry,
};
use crate::asm::trap::TrapFrame;
use crate::asm::usercopy::fixups;
use crate::features::features;
use crate::fpu;
use crate::frame;
use crate::gdt::{USER_CS, USER_CS32, USER_SS};
use crate::idt::{FIRST_INTERRUPT, GENERAL_PROTECTION, PAGE_FAULT};
use crate::ipi;
use crate::lapic;
use crate::percpu::{PerCpu, attention, cpu};
use crate::probe::serve_probed;
use crate::quirk;
use crate::ring;
use crate::sched;
use crate::thread::KThread;
use crate::timer;
use crate::usercopy;
use crate::x86::{self, wrfsbase, wrmsr};
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use linker::addr::UserVa;
use linker::boot::{BootFlags, BootInfo};
use linker::layout::{USER_END, VECTOR_HOST, VECTOR_SHOOTDOWN, VECTOR_TIMER};
use sentry::platform::{Access, Trap, UserContext};
use sentry::task::Current;
use sentry::task::run::{Next, Served, serve};
use x86_64::registers::rflags::RFlags;
use x86_64::structures::idt::PageFaultErrorCode;

/// Flags that a program may set; everything else is ours.
const USER_FLAGS: RFlags = RFlags::ID
    .union(RFlags::ALIGNMENT_CHECK)
    .union(RFlags::RESUME_FLAG)
    .union(RFlags::OVERFLOW_FLAG)
    .union(RFlags::DIRECTION_FLAG)
    .union(RFlags::TRAP_FLAG)
    .union(RFlags::SIGN_FLAG)
    .union(RFlags::ZERO_FLAG)
    .union(RFlags::AUXILIARY_CARRY_FLAG)
    .union(RFlags::PARITY_FLAG)
    .union(RFlags::CARRY_FLAG);
/// Bit 1 of RFLAGS reads as one.
const RESERVED_FLAG: u64 = 1 << 1;

/// Whether `UserContext::error` says when a call came.
static TIMED: AtomicBool = AtomicBool::new(false);

/// Whether it is looked at when calls are where (`probe`).
static PROBED: AtomicBool = AtomicBool::new(false);
/// The first and not the second: what most sandboxes are.
static USUAL: AtomicBool = AtomicBool::new(false);
/// The stub that SYSCALL lands in.
static ENTRY: AtomicU64 = AtomicU64::new(0);

/// Takes over what is looked at in calls. Before any CPU asks for its entry.
pub fn init(boot: &BootInfo) {
    let flags = BootFlags::from_bits_retain(boot.flags);
    TIMED.store(flags.contains(BootFlags::TIME_CALLS), Ordering::Relaxed);
    PROBED.store(flags.contains(BootFlags::PROBE_CALLS), Ordering::Relaxed);
    USUAL.store(flags & (BootFlags::TIME_CALLS | BootFlags::PROBE_CALLS) == BootFlags::TIME_CALLS, Ordering::Relaxed);
    ENTRY.store(entry_for(flags), Ordering::Relaxed);
}

/// What belongs into `LSTAR`.
pub fn entry() -> u64 {
    ENTRY.load(Ordering::Relaxed)
}

fn entry_for(flags: BootFlags) -> u64 {
    let entry = if flags.contains(BootFlags::PROBE_CALLS) {
        probed_syscall_entry as *const ()
    } else if flags.contains(BootFlags::STATISTICS) {
        tallied_syscall_entry as *const ()
    } else if flags.contains(BootFlags::TIME_CALLS) {
        timed_syscall_entry as *const ()
    } else {
        syscall_entry as *const ()
    };
    entry as u64
}

/// See `Platform::run_user`.
#[inline]
pub fn run_user(current: &mut Current) -> Trap {
    if USUAL.load(Ordering::Relaxed) { run_task(current, serve_counted) } else { run_unusual(current) }
}

/// `run_user` where calls are not counted, or probed.
#[cold]
fn run_unusual(current: &mut Current) -> Trap {
    let serve = match (PROBED.load(Ordering::Relaxed), TIMED.load(Ordering::Relaxed)) {
        (false, true) => serve_counted,
        (false, false) => serve_uncounted,
        (true, true) => probed_counted,
        (true, false) => probed_uncounted,
    };
    run_task(current, serve)
}

#[inline(always)]
fn run_task(current: &mut Current, serve: Serve) -> Trap {
    let current: *mut Current = current;
    // SAFETY: it is ours alone until the call returns, and `serve` finds the whole around its context.
    unsafe { run_served(&raw mut (*current).regs, serve) }
}

/// Runs a context that is no task's in user mode, until it is left: also by a system call, which nobody serves.
pub fn run_context(context: &mut UserContext) -> Trap {
    extern "C" fn nobody(_: *mut UserContext) -> Served {
        Served { value: 0, next: Next::End }
    }
    // SAFETY: the context is ours alone until the call returns.
    match unsafe { run_served(context, nobody) } {
        Trap::Ended => Trap::Syscall,
        trap => trap,
    }
}

/// Runs a context in user mode until something other than a system call ends that, or one that `serve` says ends it.
///
/// # Safety
/// Nobody else uses the context until the call returns, and it is one that `serve` may be called with.
#[inline(always)]
pub unsafe fn run_served(context: *mut UserContext, serve: Serve) -> Trap {
    loop {
        let mut trap = Trap::Ended;
        // SAFETY: as the caller says; `trap` is ours.
        unsafe { enter_user(context, &mut trap, serve) };
        if trap != Trap::Syscall {
            return trap;
        }
        // A system call that came as something else.
        // SAFETY: as the caller says.
        let served = unsafe { serve(context) };
        match served.next {
            // SAFETY: as the caller says, and `serve` is over.
            Next::Resume => unsafe { (*context).rax = served.value },
            Next::Reload => {}
            Next::End => return Trap::Ended,
        }
        if PROBED.load(Ordering::Relaxed) {
            cpu().probes.left();
        }
    }
}

/// Serves a system call that is counted.
///
/// # Safety
/// The context is the one in a `Current` that nobody else uses meanwhile.
unsafe extern "C" fn serve_counted(context: *mut UserContext) -> Served {
    // SAFETY: as the caller says.
    serve::<true>(unsafe { current_of(context) }, x86::rdtsc, |_| {})
}

/// The same for one that is not.
///
/// # Safety
/// As for `serve_counted`.
unsafe extern "C" fn serve_uncounted(context: *mut UserContext) -> Served {
    // SAFETY: as the caller says.
    serve::<false>(unsafe { current_of(context) }, x86::rdtsc, |_| {})
}

/// `serve_counted`, probed.
///
/// # Safety
/// As for `serve_counted`.
unsafe extern "C" fn probed_counted(context: *mut UserContext) -> Served {
    // SAFETY: as the caller says.
    serve_probed::<true>(unsafe { current_of(context) })
}

/// `serve_uncounted`, probed.
///
/// # Safety
/// As for `serve_counted`.
unsafe extern "C" fn probed_uncounted(context: *mut UserContext) -> Served {
    // SAFETY: as the caller says.
    serve_probed::<false>(unsafe { current_of(context) })
}

/// # Safety
/// As for `serve_counted`.
#[inline(always)]
unsafe fn current_of<'a>(context: *mut UserContext) -> &'a mut Current {
    // SAFETY: the pointer was made from one to the whole, in `run_user`.
    unsafe { &mut *context.byte_sub(offset_of!(Current, regs)).cast() }
}

/// What `prepare` says: the fast way may be tried.
const WAY_ANY: u8 = 0;
/// What `prepare` says: by IRET only.
const WAY_IRET: u8 = 1;
/// What `prepare` says: not into user mode; the trap says why.
pub const WAY_BACK: u8 = 2;

/// Called by `go_back` when there is something in `PerCpu::attention`. Returns which way to take.
pub extern "C" fn prepare(context: &mut UserContext, trap: &mut Trap) -> u8 {
    let this = cpu();
    let (mut moved, mut low, mut yields) = (false, false, false);
    loop {
        let bits = this.attention.swap(quirk::standing_attention(), Ordering::Acquire);
        if bits & attention::USER_STATE != 0 {
            moved |= is_move(this, sched::current(), context);
            fpu::enter(this, sched::current());
            load_segment_bases(context);
        }
        if bits & attention::HOST != 0 {
            ring::arm(this);
        }
        if bits & attention::RUNNABLE != 0 && this.queue.len() != 0 {
            if this.resched.get() {
                yields = true;
            } else {
                timer::start_slice(this);
            }
        }
        if bits & attention::MEMORY != 0 {
            low = frame::is_low();
        }
        if bits & !attention::IRET == 0 {
            break;
        }
    }
    if moved || low {
        // The rest is for the next round.
        let rest = if low && moved { attention::MEMORY } else { 0 } | if yields { attention::RUNNABLE } else { 0 };
        this.attention.fetch_or(rest, Ordering::Relaxed);
    }
    if moved {
        *trap = Trap::Moved;
        WAY_BACK
    } else if low {
        *trap = Trap::MemoryLow;
        WAY_BACK
    } else if yields {
        // As if an interrupt had come at once, without the timer that would bring it.
        *trap = Trap::Interrupt;
        WAY_BACK
    } else if quirk::standing_attention() & attention::IRET != 0 {
        WAY_IRET
    } else {
        WAY_ANY
    }
}

/// Whether a thread that asked for it must hear that it enters user mode elsewhere than it left it, or that another thread's
/// user mode came between where it was not in a system call (SYSCALL leaves RIP in RCX and the flags in R11).
fn is_move(this: &PerCpu, thread: &KThread, context: &UserContext) -> bool {
    let in_call = || context.rcx == context.rip && context.r11 == context.rflags;
    thread.watches_moves.get()
        && !fpu::is_loaded(this, thread)
        && (thread.user_cpu.get() != this.number.get() || !in_call())
}

/// See `Platform::load_segment_bases`. Nothing changes for a context that asks for what it asked for last, so that what a
/// program has set itself stays.
pub fn load_segment_bases(context: &UserContext) {
    let this = cpu();
    let thread = sched::current();
    let (fs, gs) = (context.fs_base, context.gs_base);
    let (asked_fs, asked_gs) = thread.asked_bases.replace((fs, gs));
    if !fpu::is_loaded(this, thread) {
        let (live_fs, live_gs) = thread.live_bases.get();
        let live = (if fs == asked_fs { live_fs } else { fs }, if gs == asked_gs { live_gs } else { gs });
        thread.live_bases.set(live);
        // Another CPU's hardware, where the thread may come to again, holds what was.
        thread.user_cpu.set(usize::MAX);
        return;
    }
    if fs != asked_fs {
        set_fs_base(fs);
    }
    if gs != asked_gs {
        set_gs_base(gs);
    }
}

/// See `Platform::sync_segment_bases`.
pub fn sync_segment_bases(context: &mut UserContext) {
    let thread = sched::current();
    if !features().fsgsbase || (context.fs_base, context.gs_base) != thread.asked_bases.get() {
        return;
    }
    let live = if fpu::is_loaded(cpu(), thread) { fpu::live_bases() } else { thread.live_bases.get() };
    thread.asked_bases.set(live);
    (context.fs_base, context.gs_base) = live;
}

/// Sets user mode's FS base.
pub fn set_fs_base(base: u64) {
    let base = canonical(base);
    if features().fsgsbase {
        // SAFETY: the feature is on, and the base canonical.
        unsafe { wrfsbase(base) }
    } else {
        // SAFETY: every 64-bit CPU has this register, and the kernel does not use FS.
        unsafe { wrmsr(crate::boot::MSR_FS_BASE, base) }
    }
}

/// Sets user mode's GS base, which is in its own register while in the kernel.
pub fn set_gs_base(base: u64) {
    // SAFETY: every 64-bit CPU has this register; SWAPGS exchanges it on the way out.
    unsafe { wrmsr(crate::boot::MSR_KERNEL_GS_BASE, canonical(base)) }
}

/// An address in the user half as it is; anything else becomes 0, because loading it could fault.
fn canonical(base: u64) -> u64 {
    if base < USER_END { base } else { 0 }
}

/// Called before IRET: makes the frame one that it cannot fault on. False: RIP is not canonical, and `trap` says so.
pub extern "C" fn sanitize(context: &mut UserContext, trap: &mut Trap) -> bool {
    if context.cs != u64::from(USER_CS32) {
        context.cs = u64::from(USER_CS);
    }
    context.ss = u64::from(USER_SS);
    context.rflags = context.rflags & USER_FLAGS.bits() | RFlags::INTERRUPT_FLAG.bits() | RESERVED_FLAG;
    let is_canonical = context.rip >> 47 == 0;
    if !is_canonical {
        context.error = 0;
        context.vector = u64::from(GENERAL_PROTECTION);
        *trap = Trap::Exception { vector: GENERAL_PROTECTION };
    }
    is_canonical
}

/// Called by the stubs when user mode ended other than by SYSCALL.
pub extern "C" fn trapped(context: &mut UserContext, trap: &mut Trap) {
    usercopy::close();
    let vector = context.vector as u8;
    *trap = if vector == PAGE_FAULT {
        let address = x86::cr2();
        if quirk::fault_is_syscall(context, address) {
            arrived(context);
            Trap::Syscall
        } else {
            cpu().fault_rip.set(context.rip);
            page_fault(address, context.error)
        }
    } else if vector < FIRST_INTERRUPT {
        Trap::Exception { vector }
    } else {
        if vector == VECTOR_TIMER {
            let this = cpu();
            // SYSRET leaves RIP in RCX; a fault goes back to where it was.
            timer::sample(this, context.rip == context.rcx || context.rip == this.fault_rip.get());
        }
        interrupt(vector);
        Trap::Interrupt
    };
}

/// What the entry stub would have done for a system call that came as something else.
#[inline(never)]
fn arrived(context: &mut UserContext) {
    let (this, now) = (cpu(), x86::rdtsc());
    this.syscalls.fetch_add(1, Ordering::Relaxed);
    this.probes.first.set(now);
    (context.vector, context.error) = (context.rax, now);
}

fn page_fault(address: u64, error: u64) -> Trap {
    let error = PageFaultErrorCode::from_bits_truncate(error);
    let access = if error.contains(PageFaultErrorCode::INSTRUCTION_FETCH) {
        Access::Execute
    } else if error.contains(PageFaultErrorCode::CAUSED_BY_WRITE) {
        Access::Write
    } else {
        Access::Read
    };
    let present = error.contains(PageFaultErrorCode::PROTECTION_VIOLATION);
    Trap::PageFault { address: UserVa::new(address), access, present }
}

/// Serves an interrupt. Only in user mode's stead, the idle loop's or within `sched::preempt`, so no lock is held.
fn interrupt(vector: u8) {
    let this = cpu();
    lapic::end_of_interrupt();
    match vector {
        VECTOR_TIMER => timer::expire(this),
        VECTOR_SHOOTDOWN => ipi::serve(),
        VECTOR_HOST => {
            let before = this.queue.len();
            ring::drain();
            // Whoever waited for the host goes before whoever only computes.
            this.resched.set(this.resched.get() || this.queue.len() > before);
        }
        _ => {}
    }
}

/// A trap from kernel mode: an interrupt of the idle loop or of a long call, a fault in a user copy, or a bug.
pub extern "C" fn kernel_trap(frame: &mut TrapFrame) {
    let vector = frame.vector as u8;
    if vector >= FIRST_INTERRUPT {
        let this = cpu();
        if vector == VECTOR_TIMER && !sched::is_idle(this) {
            timer::sample(this, true);
        }
        return interrupt(vector);
    }
    let address = x86::cr2();
    if vector == PAGE_FAULT
        && address < USER_END
        && let Some(fixup) = fixups().iter().find(|fixup| fixup.at == frame.rip)
    {
        frame.rip = fixup.to;
        return;
    }
    crate::panic::trap(frame, address)
}

/// An NMI, a double fault or a machine check.
pub extern "C" fn severe_trap(frame: &TrapFrame) -> ! {
    crate::panic::trap(frame, x86::cr2())
}
