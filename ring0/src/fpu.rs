//! Vector state of user threads. The kernel uses none, so a state stays in the hardware until another thread enters user
//! mode on that CPU; it is saved at every switch away, so that the thread may go on anywhere.

use crate::features::features;
use crate::percpu::PerCpu;
use crate::quirk;
use crate::ring;
use crate::thread::KThread;
use crate::x86::{cpuid, rdfsbase, rdmsr};
use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::arch::asm;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use linker::boot::vector_components;
use linker::layout::{PAGE_SIZE, PORT_VECTOR_SWAP};
use sentry::platform::NoMemory;

/// Bytes of the legacy (FXSAVE) area, of the XSAVE header behind it, and offsets within (Intel SDM vol. 1, 13.4).
const LEGACY: usize = 512;
const HEADER_END: usize = LEGACY + 64;
const MXCSR: usize = 24;
const MXCSR_MASK: usize = 28;
const XCOMP_BV: usize = LEGACY + 8;
/// Initial x87 control word and MXCSR.
const INITIAL_FCW: u16 = 0x37f;
const INITIAL_MXCSR: u32 = 0x1f80;
/// Features of which MXCSR must not have bits set, where FXSAVE does not say.
const DEFAULT_MXCSR_MASK: u32 = 0xffbf;

static SIZE: AtomicUsize = AtomicUsize::new(LEGACY);
static MASK: AtomicU64 = AtomicU64::new(0);
static MXCSR_BITS: AtomicU32 = AtomicU32::new(DEFAULT_MXCSR_MASK);

/// Turns the CPU's vector features on. On every CPU, after CR4.
pub fn init() {
    if quirk::host_switches_vectors() {
        // The host's XSAVE area in the standard format; which components are in use, ring 0 cannot ask there.
        SIZE.store(PAGE_SIZE as usize, Ordering::Relaxed);
        MASK.store(vector_components(u64::MAX), Ordering::Relaxed);
    } else if features().xsave {
        let mask = vector_components(features().xcr0);
        if xcr0() != mask {
            // SAFETY: CR4.OSXSAVE is set, and CPUID offers every bit; x87 and SSE are always among them.
            unsafe {
                asm!("xsetbv", in("ecx") 0, in("eax") mask as u32, in("edx") (mask >> 32) as u32,
                    options(nomem, nostack));
            }
        }
        MASK.store(mask, Ordering::Relaxed);
        SIZE.store((cpuid(0xd, 0).ebx as usize).max(HEADER_END), Ordering::Relaxed);
    }
}

/// The components that are switched on.
fn xcr0() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: CR4.OSXSAVE is set.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack)) }
    u64::from(high) << 32 | u64::from(low)
}

/// Reads which MXCSR bits the CPU knows. Once, when the heap is there.
pub fn init_once() {
    let area = VectorArea::new().expect("memory is empty at boot");
    // SAFETY: the area is ours, aligned, and has 512 bytes.
    unsafe { asm!("fxsave64 [{}]", in(reg) area.pointer(), options(nostack)) };
    // SAFETY: as above.
    let mask = unsafe { area.pointer().add(MXCSR_MASK).cast::<u32>().read() };
    MXCSR_BITS.store(if mask == 0 { DEFAULT_MXCSR_MASK } else { mask }, Ordering::Relaxed);
}

/// Bytes of a signal frame's area.
pub fn size() -> usize {
    SIZE.load(Ordering::Relaxed)
}

/// Components of a signal frame's area; 0 where it is a plain FXSAVE area.
pub fn mask() -> u64 {
    MASK.load(Ordering::Relaxed)
}

/// Memory for one thread's vector state, always a valid image.
pub struct VectorArea(NonNull<u8>);

// SAFETY: plain memory that the thread owns.
unsafe impl Send for VectorArea {}
// SAFETY: as above; `KThread` says who may use it when.
unsafe impl Sync for VectorArea {}

impl VectorArea {
    /// The initial state.
    pub fn new() -> Result<Self, NoMemory> {
        // SAFETY: the size is not zero.
        let area = Self(NonNull::new(unsafe { alloc_zeroed(layout()) }).ok_or(NoMemory)?);
        area.reset();
        Ok(area)
    }

    fn pointer(&self) -> *mut u8 {
        self.0.as_ptr()
    }

    /// Makes it the initial state.
    pub fn reset(&self) {
        // SAFETY: the area is ours, and has at least 512 bytes, aligned.
        unsafe {
            self.pointer().write_bytes(0, size());
            self.pointer().cast::<u16>().write(INITIAL_FCW);
            self.pointer().add(MXCSR).cast::<u32>().write(INITIAL_MXCSR);
        }
    }

    /// Takes over another area's state.
    pub fn copy_from(&self, other: &Self) {
        // SAFETY: two areas of the same size.
        unsafe { core::ptr::copy_nonoverlapping(other.pointer(), self.pointer(), size()) }
    }

    /// Copies the state out.
    pub fn read(&self, to: &mut [u8]) {
        let len = to.len().min(size());
        // SAFETY: `len` bytes are there on both sides.
        unsafe { core::ptr::copy_nonoverlapping(self.pointer().cast_const(), to.as_mut_ptr(), len) }
    }

    /// Replaces the state by one from user space, if the CPU would take it. A plain FXSAVE area leaves the rest initial.
    pub fn write(&self, from: &[u8]) -> bool {
        let Some(from) = from.get(..size().min(from.len())) else { return false };
        if from.len() < LEGACY || word32(from, MXCSR) & !MXCSR_BITS.load(Ordering::Relaxed) != 0 {
            return false;
        }
        let extended = mask() != 0 && from.len() >= HEADER_END;
        if extended {
            let components = word64(from, LEGACY);
            let reserved = from[XCOMP_BV..HEADER_END].iter().any(|&byte| byte != 0);
            if components & !mask() != 0 || reserved || from.len() < size() && components & !0b11 != 0 {
                return false;
            }
        }
        let len = if mask() == 0 || !extended { LEGACY } else { from.len() };
        if len < size() {
            self.reset();
        }
        // SAFETY: `len` is within both.
        unsafe { core::ptr::copy_nonoverlapping(from.as_ptr(), self.pointer(), len) };
        if mask() != 0 && !extended {
            // SAFETY: the header is within the area.
            unsafe { self.pointer().add(LEGACY).cast::<u64>().write(0b11) };
        }
        true
    }
}

impl Drop for VectorArea {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` with the same layout.
        unsafe { dealloc(self.pointer(), layout()) }
    }
}

fn layout() -> Layout {
    let (size, align) =
        if quirk::host_switches_vectors() { (PAGE_SIZE as usize, PAGE_SIZE as usize) } else { (size(), 64) };
    Layout::from_size_align(size, align).expect("a small power of two")
}

fn word32(from: &[u8], at: usize) -> u32 {
    from.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn word64(from: &[u8], at: usize) -> u64 {
    from.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Writes what the hardware holds to the area of the thread that owns it.
pub fn save(area: &VectorArea) {
    if quirk::host_switches_vectors() {
        swap_by_host(area.pointer(), area.pointer());
    } else if features().xsave {
        // SAFETY: the area is 64-aligned and as long as XCR0 asks for.
        unsafe {
            asm!("xsave64 [{}]", in(reg) area.pointer(), in("eax") u32::MAX, in("edx") u32::MAX, options(nostack));
        }
    } else {
        // SAFETY: the area is 16-aligned and 512 bytes long.
        unsafe { asm!("fxsave64 [{}]", in(reg) area.pointer(), options(nostack)) }
    }
}

/// Loads the hardware.
// Not inlined, so that the lint can name the one function that may use the instruction.
#[inline(never)]
pub fn load(area: &VectorArea) {
    if quirk::host_switches_vectors() {
        swap_by_host(core::ptr::null_mut(), area.pointer());
    } else if features().xsave {
        // SAFETY: the area is 64-aligned and holds an image that `write` checked, or that XSAVE or `reset` made.
        unsafe {
            asm!("xrstor64 [{}]", in(reg) area.pointer(), in("eax") u32::MAX, in("edx") u32::MAX, options(nostack));
        }
    } else {
        // SAFETY: as above, for FXRSTOR.
        unsafe { asm!("fxrstor64 [{}]", in(reg) area.pointer(), options(nostack)) }
    }
}

fn swap_by_host(save: *mut u8, load: *mut u8) {
    let number = ring::vector_swap(save, load);
    crate::x86::out32(PORT_VECTOR_SWAP, number);
}

/// The thread is about to be switched away from: its state goes to memory, as far as the hardware holds it.
pub fn leave(this: &PerCpu, thread: &KThread) {
    if !is_loaded(this, thread) {
        return;
    }
    if features().xsaveopt && !quirk::host_switches_vectors() {
        // SAFETY: as in `save`; the area was loaded with XRSTOR on this CPU, and not written since, or is loaded again first.
        unsafe {
            asm!("xsaveopt64 [{}]", in(reg) thread.vector.pointer(), in("eax") u32::MAX, in("edx") u32::MAX,
                options(nostack));
        }
    } else {
        save(&thread.vector);
    }
    thread.live_bases.set(if features().fsgsbase { live_bases() } else { thread.asked_bases.get() });
}

/// The bases that user mode has now, while in the kernel.
pub fn live_bases() -> (u64, u64) {
    // SAFETY: CR4.FSGSBASE is set where the feature is offered; while in the kernel, user mode's GS base is in this MSR.
    unsafe { (rdfsbase(), rdmsr(crate::boot::MSR_KERNEL_GS_BASE)) }
}

/// Whether this CPU's hardware holds the thread's user state.
pub fn is_loaded(this: &PerCpu, thread: &KThread) -> bool {
    core::ptr::eq(this.user_owner.get(), thread) && thread.user_cpu.get() == this.number.get()
}

/// The thread is about to enter user mode: loads its state, if the hardware holds somebody else's.
pub fn enter(this: &PerCpu, thread: &KThread) {
    if is_loaded(this, thread) {
        return;
    }
    load(&thread.vector);
    this.user_owner.set(thread);
    thread.user_cpu.set(this.number.get());
    let (fs, gs) = thread.live_bases.get();
    crate::run::set_fs_base(fs);
    crate::run::set_gs_base(gs);
}
