//! From the ELF entry to the first kernel thread. CPU 0 sets up what all share; the others wait for it, and every CPU ends
//! in its idle loop, from which the scheduler takes over.

use crate::asm::syscall::{SYSCALL_FLAG_MASK, compat_syscall_entry};
use crate::features::features;
use crate::frame::{self, direct};
use crate::gdt::{self, KERNEL_CS, USER_CS32};
use crate::paging::kernel;
use crate::percpu::{PerCpu, nth};
use crate::platform::PLATFORM;
use crate::x86::{rdtsc, wrmsr};
use crate::{fpu, idt, lapic, quirk, run, sched, selftest, time, usercopy, vdso};
use alloc::boxed::Box;
use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};
use linker::boot::{BootFlags, BootInfo, MAGIC, VERSION};
use linker::layout::{BOOT_INFO, MAX_CPUS};
use x86_64::registers::control::{Cr0Flags, Cr4Flags, EferFlags};

/// Bytes of a CPU's boot stack, which becomes the idle thread's.
pub const BOOT_STACK_BYTES: usize = 16 << 10;
/// Bytes of a stack for #DF, NMI or #MC: what says of a fault what it was formats text, in a checked build with all its assertions.
/// Nothing guards the end of one.
const IST_STACK_BYTES: usize = 16 << 10;

// Model-specific registers (Intel SDM vol. 4, table 2-2).
const MSR_EFER: u32 = 0xc000_0080;
const MSR_STAR: u32 = 0xc000_0081;
const MSR_LSTAR: u32 = 0xc000_0082;
const MSR_CSTAR: u32 = 0xc000_0083;
const MSR_SFMASK: u32 = 0xc000_0084;
/// FS base.
pub const MSR_FS_BASE: u32 = 0xc000_0100;
/// The active GS base.
pub const MSR_GS_BASE: u32 = 0xc000_0101;
/// The GS base that SWAPGS exchanges with.
pub const MSR_KERNEL_GS_BASE: u32 = 0xc000_0102;

/// Memory that only its CPU uses.
#[repr(C, align(4096))]
pub struct Stacks<const BYTES: usize>(UnsafeCell<[[u8; BYTES]; MAX_CPUS]>);

// SAFETY: CPU `n` uses element `n` alone.
unsafe impl<const BYTES: usize> Sync for Stacks<BYTES> {}

/// Boot stacks, found by the entry code.
pub static BOOT_STACKS: Stacks<BOOT_STACK_BYTES> = Stacks(UnsafeCell::new([[0; BOOT_STACK_BYTES]; MAX_CPUS]));
static IST_STACKS: [Stacks<IST_STACK_BYTES>; 3] =
    [const { Stacks(UnsafeCell::new([[0; IST_STACK_BYTES]; MAX_CPUS])) }; 3];

static SHARED_READY: AtomicBool = AtomicBool::new(false);

/// The boot page.
pub fn boot_info() -> &'static BootInfo {
    // SAFETY: the host wrote the page before the first instruction, and never changes it.
    unsafe { &*direct::<BootInfo>(BOOT_INFO.raw()).cast_const() }
}

/// The encoded start specification.
pub fn start_spec() -> &'static [u8] {
    let spec = boot_info().spec;
    // SAFETY: the host put it below `free`, in memory that nobody else uses.
    unsafe { core::slice::from_raw_parts(direct::<u8>(spec.start.raw()).cast_const(), spec.len as usize) }
}

/// Called by the entry code on every CPU, on its boot stack.
pub extern "C" fn boot(number: usize) -> ! {
    let first_tsc = rdtsc();
    let boot = boot_info();
    let this = nth(number);
    if number == 0 {
        quirk::init(boot);
        run::init(boot);
        init_cpu(this, number);
        assert!(boot.magic == MAGIC && boot.version == VERSION, "the boot page is of another version");
        init_shared(boot, first_tsc);
    } else {
        // No lock and no per-CPU data before this CPU has its own; the first one is quick.
        while !SHARED_READY.load(Ordering::Acquire) {
            core::hint::spin_loop();
        }
        init_cpu(this, number);
        fpu::init();
        lapic::init();
    }
    this.attention.fetch_or(quirk::standing_attention(), Ordering::Relaxed);
    sched::init(boot.cpus as usize);
    if number == 0 {
        SHARED_READY.store(true, Ordering::Release);
        let main: fn() -> ! = if BootFlags::from_bits_retain(boot.flags).contains(BootFlags::SELF_TEST) {
            selftest::run
        } else {
            sentry::start
        };
        frame::report::init();
        sched::spawn(false, Box::new(move || main())).expect("memory is empty at boot");
    }
    sched::idle_loop()
}

/// What CPU 0 does for all.
fn init_shared(boot: &'static BootInfo, first_tsc: u64) {
    frame::init(boot);
    kernel::init();
    usercopy::init();
    fpu::init();
    fpu::init_once();
    time::init(boot, first_tsc);
    lapic::init_once();
    lapic::init();
    vdso::init();
    sentry::platform::set_platform(&PLATFORM);
}

/// Registers and tables of one CPU.
fn init_cpu(this: &'static PerCpu, number: usize) {
    this.number.set(number);
    let mut tops = [0; 3];
    for (top, stacks) in tops.iter_mut().zip(&IST_STACKS) {
        *top = stacks.0.get() as u64 + ((number + 1) * IST_STACK_BYTES) as u64 - 16;
        // SAFETY: the last 16 bytes of this CPU's own stack; `asm/trap.rs` finds GS base there.
        unsafe { (*top as *mut u64).write(this.gs_value()) };
    }
    gdt::load(this, tops);
    idt::load();
    // SAFETY: GS base is this CPU's data from now on; the other registers are as the entry stubs expect them, and the
    // features that are turned on are offered by CPUID.
    unsafe {
        wrmsr(MSR_GS_BASE, this.gs_value());
        wrmsr(MSR_KERNEL_GS_BASE, 0);
        wrmsr(MSR_FS_BASE, 0);
        write_control_registers();
        let efer = EferFlags::SYSTEM_CALL_EXTENSIONS
            | EferFlags::LONG_MODE_ENABLE
            | EferFlags::LONG_MODE_ACTIVE
            | EferFlags::NO_EXECUTE_ENABLE;
        wrmsr(MSR_EFER, efer.bits());
        wrmsr(MSR_STAR, u64::from(USER_CS32) << 48 | u64::from(KERNEL_CS) << 32);
        wrmsr(MSR_LSTAR, run::entry());
        wrmsr(MSR_CSTAR, compat_syscall_entry as *const () as u64);
        wrmsr(MSR_SFMASK, SYSCALL_FLAG_MASK);
    }
}

/// # Safety
/// Paging is on in long mode, and this runs before anything relies on the features.
unsafe fn write_control_registers() {
    let cr0 = Cr0Flags::PROTECTED_MODE_ENABLE
        | Cr0Flags::MONITOR_COPROCESSOR
        | Cr0Flags::EXTENSION_TYPE
        | Cr0Flags::NUMERIC_ERROR
        | Cr0Flags::WRITE_PROTECT
        | Cr0Flags::ALIGNMENT_MASK
        | Cr0Flags::PAGING;
    let features = features();
    let mut cr4 =
        Cr4Flags::PHYSICAL_ADDRESS_EXTENSION | Cr4Flags::PAGE_GLOBAL | Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE;
    for (offered, flag) in [
        (features.smep, Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION),
        (features.smap, Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION),
        (features.umip, Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION),
        (features.fsgsbase, Cr4Flags::FSGSBASE),
        (features.xsave, Cr4Flags::OSXSAVE),
    ] {
        cr4.set(flag, offered);
    }
    // SAFETY: passed on to the caller.
    unsafe {
        asm!("mov cr0, {}", in(reg) cr0.bits(), options(nostack, preserves_flags));
        asm!("mov cr4, {}", in(reg) cr4.bits(), options(nostack, preserves_flags));
    }
}
