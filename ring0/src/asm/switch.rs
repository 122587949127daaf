//! From one kernel thread to another.
//!
//! `switch_stacks(RDI = where to keep this thread's RSP, RSI = the other's RSP)`: callee-saved registers go on this stack
//! and come from the other. It returns on the other stack, to where that thread called it. A new thread's stack is made by
//! `first_stack` to look as if it had called it from `thread_entry`.

use crate::thread::thread_main;
use core::arch::naked_asm;

/// Switches stacks.
///
/// # Safety
/// `next` was left by this function or made by `first_stack`, and nobody else will switch to it.
#[unsafe(naked)]
pub unsafe extern "C" fn switch_stacks(save: *mut u64, next: u64) {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
    )
}

/// What a new stack holds below its top: six zero registers, the return address, and two words that end backtraces and
/// leave RSP a multiple of 16 at `thread_entry`.
pub const FIRST_WORDS: usize = 9;

/// The words of a new stack, lowest first.
pub fn first_stack() -> [u64; FIRST_WORDS] {
    [0, 0, 0, 0, 0, 0, thread_entry as *const () as u64, 0, 0]
}

/// Where a new thread begins, RSP at the end marks, RBP 0.
#[unsafe(naked)]
unsafe extern "C" fn thread_entry() {
    naked_asm!("call {main}", "ud2", main = sym thread_main)
}
