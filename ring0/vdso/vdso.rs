//! The vDSO: the clocks and the CPU number without a system call. Compiled alone by `build.rs`, position-independent,
//! without relocations; runs in user mode. The data page (`linker::vdso::VdsoData`) lies right below the image; what it
//! does not allow, the system call answers.
#![no_std]
#![allow(dead_code)]

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU64, Ordering, compiler_fence};

#[path = "../../linker/src/vdso.rs"]
mod data;
use data::{CPU_SELECTOR, VdsoData, mode};

// System call numbers, clocks and EFAULT-free structures of Linux's x86-64 ABI (asm/unistd_64.h, linux/time.h). This file
// is compiled without the crates that export them.
const SYS_GETTIMEOFDAY: u64 = 96;
const SYS_TIME: u64 = 201;
const SYS_CLOCK_GETTIME: u64 = 228;
const SYS_CLOCK_GETRES: u64 = 229;
const SYS_GETCPU: u64 = 309;
const CLOCK_REALTIME: i32 = 0;
const CLOCK_MONOTONIC: i32 = 1;
const CLOCK_MONOTONIC_RAW: i32 = 4;
const CLOCK_REALTIME_COARSE: i32 = 5;
const CLOCK_MONOTONIC_COARSE: i32 = 6;
const CLOCK_BOOTTIME: i32 = 7;
const CLOCK_TAI: i32 = 11;

const NS_PER_S: u64 = 1_000_000_000;
const NS_PER_US: u64 = 1_000;

/// `timespec` and `timeval`.
#[repr(C)]
pub struct Time {
    seconds: u64,
    fraction: u64,
}

/// `struct timezone`.
#[repr(C)]
pub struct Zone {
    minutes_west: i32,
    dst: i32,
}

// The names without a prefix are what Linux's own vDSO has as well.
global_asm!(
    ".macro alias name, target",
    ".weak \\name",
    ".type \\name, @function",
    ".set \\name, \\target",
    ".endm",
    "alias clock_gettime, __vdso_clock_gettime",
    "alias clock_getres, __vdso_clock_getres",
    "alias gettimeofday, __vdso_gettimeofday",
    "alias time, __vdso_time",
    "alias getcpu, __vdso_getcpu",
);

/// clock_gettime(2).
///
/// # Safety
/// As the system call, except that a bad pointer is a fault here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_clock_gettime(clock: i32, to: *mut Time) -> i64 {
    match read_clock(clock) {
        // SAFETY: the caller's pointer.
        Some(ns) => unsafe { to.write(Time { seconds: ns / NS_PER_S, fraction: ns % NS_PER_S }) },
        None => return syscall(SYS_CLOCK_GETTIME, clock as u64, to as u64, 0),
    }
    0
}

/// clock_getres(2).
///
/// # Safety
/// As for `__vdso_clock_gettime`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_clock_getres(clock: i32, to: *mut Time) -> i64 {
    syscall(SYS_CLOCK_GETRES, clock as u64, to as u64, 0)
}

/// gettimeofday(2).
///
/// # Safety
/// As for `__vdso_clock_gettime`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_gettimeofday(to: *mut Time, zone: *mut Zone) -> i64 {
    let Some(ns) = read_clock(CLOCK_REALTIME) else {
        return syscall(SYS_GETTIMEOFDAY, to as u64, zone as u64, 0);
    };
    if !to.is_null() {
        // SAFETY: the caller's pointer.
        unsafe { to.write(Time { seconds: ns / NS_PER_S, fraction: ns % NS_PER_S / NS_PER_US }) }
    }
    if !zone.is_null() {
        // SAFETY: the caller's pointer.
        unsafe { zone.write(Zone { minutes_west: 0, dst: 0 }) }
    }
    0
}

/// time(2).
///
/// # Safety
/// As for `__vdso_clock_gettime`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_time(to: *mut u64) -> i64 {
    let Some(ns) = read_clock(CLOCK_REALTIME) else { return syscall(SYS_TIME, to as u64, 0, 0) };
    let seconds = ns / NS_PER_S;
    if !to.is_null() {
        // SAFETY: the caller's pointer.
        unsafe { to.write(seconds) }
    }
    seconds as i64
}

/// getcpu(2).
///
/// # Safety
/// As for `__vdso_clock_gettime`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_getcpu(cpu: *mut u32, node: *mut u32, unused: u64) -> i64 {
    if data().mode.load(Ordering::Relaxed) & mode::CPU_IN_SEGMENT == 0 {
        return syscall(SYS_GETCPU, cpu as u64, node as u64, unused);
    }
    let number: u64;
    // SAFETY: LSL reads a descriptor's limit and changes nothing else but flags.
    unsafe { asm!("lsl {0}, {1:r}", out(reg) number, in(reg) u64::from(CPU_SELECTOR), options(nomem, nostack)) }
    if !cpu.is_null() {
        // SAFETY: the caller's pointer.
        unsafe { cpu.write(number as u32) }
    }
    if !node.is_null() {
        // SAFETY: the caller's pointer.
        unsafe { node.write(0) }
    }
    0
}

/// The data page.
fn data() -> &'static VdsoData {
    let image: *const u8;
    // SAFETY: only an address is computed.
    unsafe {
        asm!(".hidden __ehdr_start", "lea {}, [rip + __ehdr_start]", out(reg) image,
            options(nomem, nostack, preserves_flags, pure));
    }
    // SAFETY: whoever maps the image maps the data page right below it, readable.
    unsafe { &*image.sub(4096).cast() }
}

/// A clock in ns, if it can be read here. The coarse clocks are no coarser.
#[inline(always)]
fn read_clock(clock: i32) -> Option<u64> {
    let data = data();
    let base = match clock {
        CLOCK_REALTIME | CLOCK_REALTIME_COARSE | CLOCK_TAI => &data.realtime_ns,
        CLOCK_MONOTONIC | CLOCK_MONOTONIC_RAW | CLOCK_MONOTONIC_COARSE | CLOCK_BOOTTIME => &data.monotonic_ns,
        _ => return None,
    };
    if data.mode.load(Ordering::Relaxed) & mode::CLOCKS == 0 {
        return None;
    }
    let offset_ns = if clock == CLOCK_BOOTTIME { data.boottime_offset_ns.load(Ordering::Relaxed) } else { 0 };
    Some(read_base(data, base).wrapping_add(offset_ns))
}

#[inline(always)]
fn read_base(data: &VdsoData, base: &AtomicU64) -> u64 {
    loop {
        let sequence = data.sequence.load(Ordering::Acquire);
        if sequence & 1 != 0 {
            core::hint::spin_loop();
            continue;
        }
        let ticks = rdtsc().saturating_sub(data.tsc_base.load(Ordering::Relaxed));
        let product = u128::from(ticks) * u128::from(data.mult.load(Ordering::Relaxed));
        let ns = (product >> (data.shift.load(Ordering::Relaxed) & 63)) as u64;
        let ns = base.load(Ordering::Relaxed).wrapping_add(ns);
        // Loads are not reordered by the CPU; the compiler must not do it either.
        compiler_fence(Ordering::Acquire);
        if data.sequence.load(Ordering::Relaxed) == sequence {
            return ns;
        }
    }
}

/// The TSC, not before everything above it is done.
#[inline(always)]
fn rdtsc() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: user mode may execute both.
    unsafe { asm!("lfence", "rdtsc", out("eax") low, out("edx") high, options(nostack, preserves_flags)) }
    u64::from(high) << 32 | u64::from(low)
}

fn syscall(number: u64, first: u64, second: u64, third: u64) -> i64 {
    let result;
    // SAFETY: the call that the program asked for, on its own arguments.
    unsafe {
        asm!("syscall", inlateout("rax") number as i64 => result, in("rdi") first, in("rsi") second, in("rdx") third,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}
