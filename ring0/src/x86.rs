//! The privileged instructions that the `x86_64` crate does not wrap the way this kernel needs them.

use core::arch::asm;

/// Writes a 32-bit value to an I/O port: every doorbell to the host.
pub fn out32(port: u16, value: u32) {
    // SAFETY: all ports of this machine are the host's doorbells (`linker::layout`), which read at most memory that was
    // published before; the compiler must therefore not move stores across, so no `nomem`.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nostack, preserves_flags)) }
}

/// Reads the time stamp counter.
#[inline]
pub fn rdtsc() -> u64 {
    // SAFETY: no memory is touched; CR4.TSD is clear and ring 0 may always read it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Reads a model-specific register.
///
/// # Safety
/// The register exists on this CPU.
pub unsafe fn rdmsr(msr: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the caller knows that the register exists; reading it touches no memory.
    unsafe { asm!("rdmsr", in("ecx") msr, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags)) }
    u64::from(high) << 32 | u64::from(low)
}

/// Writes a model-specific register.
///
/// # Safety
/// The register exists, and the new value keeps every assumption of the running code.
pub unsafe fn wrmsr(msr: u32, value: u64) {
    // SAFETY: passed on to the caller.
    unsafe {
        asm!("wrmsr", in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32,
            options(nostack, preserves_flags));
    }
}

/// The physical address of the active root table.
pub fn cr3() -> u64 {
    let value: u64;
    // SAFETY: reads a control register.
    unsafe { asm!("mov {}, cr3", out(reg) value, options(nomem, nostack, preserves_flags)) }
    value
}

/// Activates a root table, dropping all non-global translations.
///
/// # Safety
/// `root` is a root table whose kernel half is the kernel's, and it stays allocated while it is active.
pub unsafe fn set_cr3(root: u64) {
    // SAFETY: passed on to the caller.
    unsafe { asm!("mov cr3, {}", in(reg) root, options(nostack, preserves_flags)) }
}

/// The address of the last page fault.
#[inline]
pub fn cr2() -> u64 {
    let value: u64;
    // SAFETY: reads a control register.
    unsafe { asm!("mov {}, cr2", out(reg) value, options(nomem, nostack, preserves_flags)) }
    value
}

/// Drops the translation of one page.
pub fn invlpg(va: u64) {
    // SAFETY: dropping a cached translation only makes the CPU read the tables again.
    unsafe { asm!("invlpg [{}]", in(reg) va, options(nostack, preserves_flags)) }
}

/// FS base by instruction.
///
/// # Safety
/// CR4.FSGSBASE is set.
#[inline]
pub unsafe fn rdfsbase() -> u64 {
    let value: u64;
    // SAFETY: passed on to the caller.
    unsafe { asm!("rdfsbase {}", out(reg) value, options(nomem, nostack, preserves_flags)) }
    value
}

/// Sets FS base by instruction. The kernel does not use FS.
///
/// # Safety
/// CR4.FSGSBASE is set, and `value` is canonical.
#[inline]
pub unsafe fn wrfsbase(value: u64) {
    // SAFETY: passed on to the caller.
    unsafe { asm!("wrfsbase {}", in(reg) value, options(nomem, nostack, preserves_flags)) }
}

/// Waits with interrupts on until one has been served, then turns them off again.
pub fn wait_for_interrupt() {
    // SAFETY: STI holds interrupts off for one more instruction, so none can slip in before HLT; the handlers keep
    // all registers, and CLI restores the kernel's rule that interrupts are off. Memory is clobbered: handlers run here.
    unsafe { asm!("sti", "hlt", "cli") }
}

/// Serves the interrupts that wait, if any.
#[inline]
pub fn serve_interrupts() {
    // SAFETY: as in `wait_for_interrupt`; STI takes effect after the NOP.
    unsafe { asm!("sti", "nop", "cli") }
}

/// Stops this CPU for good.
pub fn halt_forever() -> ! {
    loop {
        // SAFETY: HLT with interrupts off waits for an NMI, which ends in a panic; it touches nothing.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) }
    }
}

/// One CPUID leaf.
pub fn cpuid(leaf: u32, subleaf: u32) -> core::arch::x86_64::CpuidResult {
    core::arch::x86_64::__cpuid_count(leaf, subleaf)
}
