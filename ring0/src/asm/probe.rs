//! User-mode code of the self-test: position-independent snippets that are copied to a user page.
//!
//! Every snippet is entered at its first byte with the registers that the test chose, and ends in SYSCALL.

use core::arch::global_asm;

unsafe extern "C" {
    static probe_start: u8;
    static probe_end: u8;
    static probe_syscall: u8;
    static probe_load: u8;
    static probe_store: u8;
    static probe_spin: u8;
    static probe_vector_set: u8;
    static probe_vector_get: u8;
    static probe_call: u8;
    static probe_ud2: u8;
    static probe_int3: u8;
    static probe_divide: u8;
    static probe_hlt: u8;
    static probe_count: u8;
    static probe_calls: u8;
}

// `probe_spin`, `probe_count` and `probe_calls` go on until something else ends them; `probe_load` again and again reads until it faults.
global_asm!(
    ".pushsection .rodata.probe, \"a\"",
    ".global probe_start, probe_end, probe_syscall, probe_load, probe_store",
    ".global probe_spin, probe_vector_set, probe_vector_get, probe_call",
    ".global probe_ud2, probe_int3, probe_divide, probe_hlt, probe_count, probe_calls",
    "probe_start:",
    "probe_syscall: syscall",
    "ud2",
    "probe_load: mov rax, [rdi]",
    "syscall",
    "probe_store: mov [rdi], rax",
    "syscall",
    "probe_spin: mov rax, [rdi]",
    "pause",
    "jmp probe_spin",
    "probe_vector_set: movq xmm7, rdi",
    "movq xmm15, rsi",
    "fld1",
    "syscall",
    "probe_vector_get: movq rdi, xmm7",
    "movq rsi, xmm15",
    "syscall",
    "probe_call: call rax",
    "syscall",
    "probe_ud2: ud2",
    "probe_int3: int3",
    "probe_divide: xor ecx, ecx",
    "div ecx",
    "probe_hlt: hlt",
    "probe_count: lock inc qword ptr [rdi]",
    "jmp probe_count",
    "probe_calls: syscall",
    "jmp probe_calls",
    "probe_end:",
    ".popsection",
);

/// All snippets.
pub fn image() -> &'static [u8] {
    let (start, end) = (&raw const probe_start, &raw const probe_end);
    // SAFETY: the two symbols bound the snippets, in read-only memory.
    unsafe { core::slice::from_raw_parts(start, end.offset_from_unsigned(start)) }
}

/// One of the snippets.
#[derive(Clone, Copy, Debug)]
pub enum Probe {
    /// Nothing but SYSCALL.
    Syscall,
    /// Loads RAX from `[RDI]`.
    Load,
    /// Stores RAX at `[RDI]`.
    Store,
    /// Loads from `[RDI]` for ever.
    Spin,
    /// Sets vector registers from RDI and RSI, and pushes to the x87 stack.
    VectorSet,
    /// Returns the vector registers in RDI and RSI.
    VectorGet,
    /// Calls RAX.
    Call,
    /// #UD.
    Ud2,
    /// #BP.
    Int3,
    /// #DE.
    Divide,
    /// #GP.
    Hlt,
    /// Counts at `[RDI]` for ever.
    Count,
    /// SYSCALL for ever.
    Calls,
}

/// Where in the image the snippet begins.
pub fn offset(probe: Probe) -> u64 {
    let at = match probe {
        Probe::Syscall => &raw const probe_syscall,
        Probe::Load => &raw const probe_load,
        Probe::Store => &raw const probe_store,
        Probe::Spin => &raw const probe_spin,
        Probe::VectorSet => &raw const probe_vector_set,
        Probe::VectorGet => &raw const probe_vector_get,
        Probe::Call => &raw const probe_call,
        Probe::Ud2 => &raw const probe_ud2,
        Probe::Int3 => &raw const probe_int3,
        Probe::Divide => &raw const probe_divide,
        Probe::Hlt => &raw const probe_hlt,
        Probe::Count => &raw const probe_count,
        Probe::Calls => &raw const probe_calls,
    };
    at as u64 - &raw const probe_start as u64
}
