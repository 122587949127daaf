//! The boot page: what the VMM tells ring0 before the first instruction. Written once by the host, read-only afterwards.

use crate::addr::GuestPa;
use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `BootInfo::magic`: "ringwall" in ASCII, little-endian.
pub const MAGIC: u64 = u64::from_le_bytes(*b"ringwall");
/// `BootInfo::version`: raised with every incompatible change of `linker`.
pub const VERSION: u32 = 1;

bitflags! {
    /// What the host found out about its KVM, by self-test, never by name.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Quirks: u32 {
        /// `SYSCALL` arrives as #PF (error 0x15, CR2 = RIP = LSTAR) at CPL 3, and ring 0 is interpreted.
        const SYSCALL_AS_FAULT = 1 << 0;
        /// Vector state of ring 3 can only be switched by the host (`PORT_VECTOR_SWAP`).
        const HOST_VECTOR_SWITCH = 1 << 1;
    }
}

bitflags! {
    /// What the host wants beside a container.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct BootFlags: u32 {
        /// Run ring0's self-test instead of the sentry: exits with 0, or panics saying what failed.
        const SELF_TEST = 1 << 0;
        /// Leave an `ExitRecord` behind for the host to show.
        const STATISTICS = 1 << 1;
        /// The guest's TSC is the host's own, without offset or scale: ring 3 reads the same one even where it runs natively.
        const HOST_TSC = 1 << 2;
        /// Tell the sentry when each system call came (`UserContext::error`).
        const TIME_CALLS = 1 << 3;
        /// Look at when each system call is where, for programs that ask (`probe`).
        const PROBE_CALLS = 1 << 4;
    }
}

/// Components of vector state (XCR0 bits) that programs get, of those that CPUID leaf 0xD offers: x87, SSE, AVX, and all of
/// AVX-512 or none of it. Others need an opt-in (AMX) or kernel support of their own (protection keys, MPX).
///
/// The host sets XCR0 to this before the first instruction, and ring0 only where it finds something else: some emulators run
/// XSETBV of a nested guest without telling its KVM, which then takes the new value away again.
pub const fn vector_components(offered: u64) -> u64 {
    const BASE: u64 = 0b111;
    const AVX512: u64 = 0b111 << 5;
    let mask = if offered & AVX512 == AVX512 { BASE | AVX512 } else { BASE };
    offered & mask
}

/// A range of guest-physical memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PhysRange {
    /// First byte.
    pub start: GuestPa,
    /// Length in bytes.
    pub len: u64,
}

/// The boot page, at `layout::BOOT_INFO`. vCPU `n` starts at the blob's ELF entry with RDI = n and RSP undefined,
/// interrupts off, x2APIC on, paging on with the VMM's tables (kernel image W^X at `KERNEL_BASE`, RAM at `DIRECT_MAP`,
/// nothing below). CS is 0x10 and the data segments 0x18, but there is no descriptor table yet.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BootInfo {
    /// `MAGIC`.
    pub magic: u64,
    /// `VERSION`.
    pub version: u32,
    /// vCPUs, all started at once.
    pub cpus: u32,
    /// RAM, low then high; an unused entry has length 0.
    pub ram: [PhysRange; 2],
    /// Kernel image with its BSS.
    pub image: PhysRange,
    /// First byte of RAM above the image that nothing uses yet. Everything from here on (in `ram`) is free and zero.
    pub free: GuestPa,
    /// Start specification, postcard (`spec::StartSpec`), below `free`.
    pub spec: PhysRange,
    /// `Quirks` bits.
    pub quirks: u32,
    /// TSC ticks a millisecond (kHz), as KVM says.
    pub tsc_khz: u32,
    /// Host `CLOCK_REALTIME` at `tsc_base`, in ns.
    pub realtime_ns: u64,
    /// Host `CLOCK_MONOTONIC` at `tsc_base`, in ns; the guest's monotonic clock continues it.
    pub monotonic_ns: u64,
    /// The guest's TSC when the two clocks above were read. 0: take the TSC of the first instruction instead.
    pub tsc_base: u64,
    /// Entropy for the ChaCha generator.
    pub seed: [u8; 32],
    /// Bytes of the blob's ring of trace records, 0 while tracing is off.
    pub trace_bytes: u64,
    /// `BootFlags` bits.
    pub flags: u32,
    /// Explicit padding.
    pub pad: u32,
}

const _: () = {
    assert!(core::mem::size_of::<BootInfo>() <= crate::layout::PAGE_SIZE as usize);
    assert!(core::mem::offset_of!(BootInfo, ram) == 16);
};

/// Operands of `PORT_VECTOR_SWAP`: where to save ring 3's vector state and where to load it from; 0 means skip / initial state.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VectorSwap {
    /// 4 KiB area to save to, or 0.
    pub save: GuestPa,
    /// 4 KiB area to load from, or 0 for the initial state.
    pub load: GuestPa,
}

/// What ring0 leaves behind at the end when the host wants `BootFlags::STATISTICS`, at `layout::EXIT_RECORD`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExitRecord {
    /// System calls that user mode has made.
    pub syscalls: u64,
}

/// Frames of a panic's backtrace at most.
pub const PANIC_FRAMES: usize = 32;

/// What ring0 leaves behind when it panics, at `layout::PANIC_RECORD`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PanicRecord {
    /// vCPU that panicked.
    pub cpu: u32,
    /// Bytes of `message` that are used.
    pub message_len: u32,
    /// Return addresses, innermost first, 0-terminated.
    pub frames: [u64; PANIC_FRAMES],
    /// UTF-8 text.
    pub message: [u8; 1024],
}

const _: () = assert!(core::mem::size_of::<PanicRecord>() <= crate::layout::PAGE_SIZE as usize);
