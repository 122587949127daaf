//! Copies that may meet a missing page. An instruction that touches user memory has an entry in `.fixups`: the address of
//! the instruction and where to go on after a page fault on it (`run::kernel_trap`).
//!
//! All of them return in RAX the number of bytes that were not done. Words first, then bytes: a fault in a word is
//! retried byte by byte, so that the first byte that could not be reached is known exactly.

use core::arch::naked_asm;

/// One entry of the fix-up table.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Fixup {
    /// Instruction that may fault.
    pub at: u64,
    /// Where to go on then.
    pub to: u64,
}

unsafe extern "C" {
    static fixups_start: Fixup;
    static fixups_end: Fixup;
}

/// The table.
pub fn fixups() -> &'static [Fixup] {
    let start = &raw const fixups_start;
    let end = &raw const fixups_end;
    // SAFETY: the linker script puts both symbols around the table's entries, in read-only memory.
    unsafe { core::slice::from_raw_parts(start, end.offset_from_unsigned(start)) }
}

/// An entry of the table: label of the instruction, label to go on at.
macro_rules! fixup {
    ($at:literal, $to:literal) => {
        concat!(".pushsection .fixups, \"a\"\n.quad ", $at, ", ", $to, "\n.popsection")
    };
}

/// Copies RDX bytes from RSI to RDI.
///
/// # Safety
/// Both ranges are either valid kernel memory or in the user half, where SMAP lets the kernel in.
#[unsafe(naked)]
pub unsafe extern "C" fn copy(to: *mut u8, from: *const u8, len: usize) -> usize {
    naked_asm!(
        "mov rcx, rdx",
        "and edx, 7",
        "shr rcx, 3",
        "jz 3f",
        "cmp rcx, 32",
        "ja 6f",
        "2:",
        "21: mov rax, [rsi]",
        "22: mov [rdi], rax",
        "add rsi, 8",
        "add rdi, 8",
        "dec rcx",
        "jnz 2b",
        "3: mov rcx, rdx",
        "test rcx, rcx",
        "jz 5f",
        "4:",
        "41: mov al, [rsi]",
        "42: mov [rdi], al",
        "inc rsi",
        "inc rdi",
        "dec rcx",
        "jnz 4b",
        "5: mov rax, rcx",
        "ret",
        "6:",
        "61: rep movsq",
        "jmp 3b",
        "7: lea rcx, [rdx + rcx * 8]",
        "jmp 4b",
        fixup!("21b", "7b"),
        fixup!("22b", "7b"),
        fixup!("61b", "7b"),
        fixup!("41b", "5b"),
        fixup!("42b", "5b"),
    )
}

/// Zeroes RSI bytes at RDI.
///
/// # Safety
/// As for `copy`.
#[unsafe(naked)]
pub unsafe extern "C" fn zero(to: *mut u8, len: usize) -> usize {
    naked_asm!(
        "xor eax, eax",
        "mov rcx, rsi",
        "and esi, 7",
        "shr rcx, 3",
        "21: rep stosq",
        "mov rcx, rsi",
        "3: test rcx, rcx",
        "jz 5f",
        "4:",
        "41: mov [rdi], al",
        "inc rdi",
        "dec rcx",
        "jnz 4b",
        "5: mov rax, rcx",
        "ret",
        "7: lea rcx, [rsi + rcx * 8]",
        "jmp 3b",
        fixup!("21b", "7b"),
        fixup!("41b", "5b"),
    )
}

/// Copies RDX (at least 1) bytes from RSI to RDI, ending behind the first NUL. Returns in RAX the bytes not done; in RDX 1
/// when it ended at a NUL.
///
/// # Safety
/// As for `copy`.
#[unsafe(naked)]
pub unsafe extern "C" fn copy_string(to: *mut u8, from: *const u8, len: usize) -> StringCopy {
    naked_asm!(
        "mov rcx, rdx",
        "xor edx, edx",
        "mov r8, 0x0101010101010101",
        "mov r9, 0x8080808080808080",
        // A word at a time while none of its bytes is 0: then (word - 01…) & ~word has the top bit of a byte.
        "2: cmp rcx, 8",
        "jb 6f",
        "21: mov rax, [rsi]",
        "mov r10, rax",
        "mov r11, rax",
        "sub r10, r8",
        "not r11",
        "and r10, r11",
        "test r10, r9",
        "jnz 5f",
        "mov [rdi], rax",
        "add rsi, 8",
        "add rdi, 8",
        "sub rcx, 8",
        "jmp 2b",
        "6: test rcx, rcx",
        "jz 7f",
        "5:",
        "51: mov al, [rsi]",
        "mov [rdi], al",
        "inc rsi",
        "inc rdi",
        "dec rcx",
        "test al, al",
        "jz 3f",
        "test rcx, rcx",
        "jnz 5b",
        "7: mov rax, rcx",
        "ret",
        "3: mov edx, 1",
        "mov rax, rcx",
        "ret",
        "4: mov rax, rcx",
        "mov edx, 2",
        "ret",
        fixup!("21b", "5b"),
        fixup!("51b", "4b"),
    )
}

/// What `copy_string` returns.
#[repr(C)]
pub struct StringCopy {
    /// Bytes not done.
    pub left: usize,
    /// 0: the room ended, 1: the string ended, 2: a fault.
    pub end: u64,
}

/// Loads the word at RDI to `*RSI`.
///
/// # Safety
/// `at` is 4-aligned and in the user half, where SMAP lets the kernel in.
#[unsafe(naked)]
pub unsafe extern "C" fn load_u32(at: *const u32, to: &mut u32) -> usize {
    naked_asm!(
        "21: mov eax, [rdi]",
        "mov [rsi], eax",
        "xor eax, eax",
        "ret",
        "3: mov eax, 4",
        "ret",
        fixup!("21b", "3b"),
    )
}

/// Compares the word at RDI with `*RSI` and, if equal, stores EDX there; `*RSI` becomes what was found.
///
/// # Safety
/// As for `load_u32`.
#[unsafe(naked)]
pub unsafe extern "C" fn cmpxchg_u32(at: *mut u32, expected: &mut u32, new: u32) -> usize {
    naked_asm!(
        "mov eax, [rsi]",
        "21: lock cmpxchg [rdi], edx",
        "mov [rsi], eax",
        "xor eax, eax",
        "ret",
        "3: mov eax, 4",
        "ret",
        fixup!("21b", "3b"),
    )
}
