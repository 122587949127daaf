//! The compiler's own memory functions. Those of its library move short blocks byte by byte and compare so; the kernel's blocks
//! are names and small structures. Up to 32 bytes go in two halves that may overlap, longer ones by string instructions with
//! the odd bytes at one end done apart.

use core::arch::naked_asm;

/// memcpy(3), memmove(3) up to 32 bytes: loads everything before it stores anything. RDI: to, RSI: from, RDX: length, RAX: to.
macro_rules! short_copy {
    () => {
        concat!(
            "cmp rdx, 16\n",
            "jae 2f\n",
            "cmp edx, 8\n",
            "jae 3f\n",
            "cmp edx, 4\n",
            "jae 4f\n",
            "test edx, edx\n",
            "jz 5f\n",
            "mov r8d, edx\n",
            "shr r8d, 1\n",
            "movzx ecx, byte ptr [rsi]\n",
            "movzx r9d, byte ptr [rsi + r8]\n",
            "movzx r10d, byte ptr [rsi + rdx - 1]\n",
            "mov [rdi], cl\n",
            "mov [rdi + r8], r9b\n",
            "mov [rdi + rdx - 1], r10b\n",
            "5: ret\n",
            "4: mov ecx, [rsi]\n",
            "mov r8d, [rsi + rdx - 4]\n",
            "mov [rdi], ecx\n",
            "mov [rdi + rdx - 4], r8d\n",
            "ret\n",
            "3: mov rcx, [rsi]\n",
            "mov r8, [rsi + rdx - 8]\n",
            "mov [rdi], rcx\n",
            "mov [rdi + rdx - 8], r8\n",
            "ret\n",
            "2: cmp rdx, 32\n",
            "ja 6f\n",
            "mov rcx, [rsi]\n",
            "mov r8, [rsi + 8]\n",
            "mov r9, [rsi + rdx - 16]\n",
            "mov r10, [rsi + rdx - 8]\n",
            "mov [rdi], rcx\n",
            "mov [rdi + 8], r8\n",
            "mov [rdi + rdx - 16], r9\n",
            "mov [rdi + rdx - 8], r10\n",
            "ret\n",
        )
    };
}

/// memcpy(3) upwards of more than 32 bytes, the last word apart.
macro_rules! long_copy {
    () => {
        concat!(
            "mov r8, [rsi + rdx - 8]\n",
            "lea r9, [rdi + rdx - 8]\n",
            "mov rcx, rdx\n",
            "shr rcx, 3\n",
            "rep movsq\n",
            "mov [r9], r8\n",
            "ret\n",
        )
    };
}

/// memcpy(3). Returns `to`.
///
/// # Safety
/// `len` bytes can be read at `from` and written at `to`, and do not overlap.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    naked_asm!("mov rax, rdi", short_copy!(), "6:", long_copy!())
}

/// memmove(3). Returns `to`.
///
/// # Safety
/// `len` bytes can be read at `from` and written at `to`.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        short_copy!(),
        "6: mov rcx, rdi",
        "sub rcx, rsi",
        "cmp rcx, rdx",
        "jb 7f",
        long_copy!(),
        // `to` lies within what is read: downwards, the first word apart.
        "7: mov r8, [rsi]",
        "lea rsi, [rsi + rdx - 8]",
        "lea rdi, [rdi + rdx - 8]",
        "mov rcx, rdx",
        "shr rcx, 3",
        "std",
        "rep movsq",
        "cld",
        "mov [rax], r8",
        "ret",
    )
}

/// memset(3). Returns `to`.
///
/// # Safety
/// `len` bytes can be written at `to`.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    naked_asm!(
        "mov r8, rdi",
        "movzx eax, sil",
        "mov rcx, 0x0101010101010101",
        "imul rax, rcx",
        "cmp rdx, 16",
        "ja 6f",
        "cmp edx, 8",
        "jae 3f",
        "cmp edx, 4",
        "jae 4f",
        "test edx, edx",
        "jz 5f",
        "mov ecx, edx",
        "shr ecx, 1",
        "mov [rdi], al",
        "mov [rdi + rcx], al",
        "mov [rdi + rdx - 1], al",
        "5: mov rax, r8",
        "ret",
        "4: mov [rdi], eax",
        "mov [rdi + rdx - 4], eax",
        "jmp 5b",
        "3: mov [rdi], rax",
        "mov [rdi + rdx - 8], rax",
        "jmp 5b",
        "6: mov [rdi + rdx - 8], rax",
        "mov rcx, rdx",
        "shr rcx, 3",
        "rep stosq",
        "jmp 5b",
    )
}

/// memcmp(3): negative, 0 or positive.
///
/// # Safety
/// `len` bytes can be read at `a` and at `b`.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    naked_asm!(
        "cmp rdx, 8",
        "jb 4f",
        "2: mov rax, [rdi]",
        "mov rcx, [rsi]",
        "cmp rax, rcx",
        "jne 3f",
        "add rdi, 8",
        "add rsi, 8",
        "sub rdx, 8",
        "cmp rdx, 8",
        "jae 2b",
        // What is left is the end of a last word, which begins in what is equal.
        "mov rax, [rdi + rdx - 8]",
        "mov rcx, [rsi + rdx - 8]",
        "cmp rax, rcx",
        "jne 3f",
        "xor eax, eax",
        "ret",
        // The first byte in memory decides.
        "3: bswap rax",
        "bswap rcx",
        "cmp rax, rcx",
        "sbb eax, eax",
        "or eax, 1",
        "ret",
        "4: test edx, edx",
        "jz 6f",
        "5: movzx eax, byte ptr [rdi]",
        "movzx ecx, byte ptr [rsi]",
        "sub eax, ecx",
        "jnz 7f",
        "inc rdi",
        "inc rsi",
        "dec edx",
        "jnz 5b",
        "6: xor eax, eax",
        "7: ret",
    )
}

/// bcmp(3): 0 if the bytes are equal.
///
/// # Safety
/// As for `memcmp`.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    naked_asm!("jmp {memcmp}", memcmp = sym memcmp)
}
