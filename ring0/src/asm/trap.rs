//! Exceptions and interrupts. From user mode the CPU has pushed its frame into the running `UserContext` already
//! (`TSS.RSP0`); the stub saves the other registers below it, calls `run::trapped`, and returns from `enter_user`.
//! From the kernel it calls `run::kernel_trap` and continues where that leaves the frame.
//!
//! | from | stack at the stub |
//! | --- | --- |
//! | user | the context: error code or nothing, RIP, CS, RFLAGS, RSP, SS |
//! | kernel | the same on the current stack |
//! | NMI, #DF, #MC | the same on a stack of its own, `PerCpu` pointer on top; does not return |

use super::syscall::{FRAME_TRAP, leave};
use crate::idt::FIRST_INTERRUPT;
use crate::percpu::KERNEL_RSP;
use crate::run::{kernel_trap, severe_trap, trapped};
use core::arch::{global_asm, naked_asm};
use core::mem::offset_of;
use sentry::platform::UserContext;
use x86_64::registers::rflags::RFlags;

/// Vectors with a stub of their own: the exceptions and this kernel's interrupts.
pub const STUBS: usize = 0x50;
/// Bytes from one stub to the next.
pub const STUB_BYTES: usize = 16;

const _: () = assert!(linker::layout::VECTOR_HOST < STUBS as u8 && STUBS < 0x80);

unsafe extern "C" {
    /// The first of `STUBS` stubs.
    pub fn trap_stubs();
    /// For every other vector: LAPIC spurious interrupts, which need no EOI.
    pub fn spurious_stub();
}

// Exceptions 8, 10-14, 17, 21, 29 and 30 push an error code (Intel SDM vol. 3, table 6-1; AMD APM vol. 2, 8.1).
// 2, 8 and 18 run on stacks of their own and never return.
global_asm!(
    ".pushsection .text.trap_stubs, \"ax\"",
    ".balign 16",
    ".global trap_stubs",
    "trap_stubs:",
    "vector = 0",
    ".rept {stubs}",
    "77:",
    ".if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30",
    ".else",
    "push 0",
    ".endif",
    ".byte 0x6a, vector", // push imm8
    ".if vector == 2 || vector == 8 || vector == 18",
    "jmp {severe}",
    ".else",
    "jmp {common}",
    ".endif",
    ".fill {stub_bytes} - (. - 77b), 1, 0xcc",
    "vector = vector + 1",
    ".endr",
    ".global spurious_stub",
    "spurious_stub:",
    "iretq",
    ".popsection",
    stubs = const STUBS,
    stub_bytes = const STUB_BYTES,
    common = sym common,
    severe = sym severe,
);

/// What the stubs for kernel traps leave on the stack: the order of `UserContext`, without its tail.
#[repr(C)]
#[allow(missing_docs)]
#[derive(Debug)]
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub vector: u64,
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

const _: () = {
    assert!(offset_of!(UserContext, r15) == 0);
    assert!(offset_of!(TrapFrame, vector) == offset_of!(UserContext, vector));
    assert!(offset_of!(TrapFrame, ss) == offset_of!(UserContext, ss));
};

/// Pushes what a `TrapFrame` has below the vector.
macro_rules! save_registers {
    () => {
        "push rdi; push rsi; push rdx; push rcx; push rax; push r8; push r9; push r10; push r11; push rbx; push rbp; \
         push r12; push r13; push r14; push r15"
    };
}
pub(super) use save_registers;

/// From user mode there is no branch between the first register that is saved and the kernel's stack: below the context, on whose end
/// the stack pointer is meanwhile, lies what is not ours.
///
/// No machine interrupts code that has interrupts off, but QEMU's SVM does: an interrupt that was injected may come once more, before
/// the first is acknowledged (docs/testing.md). Such a one is nothing.
#[unsafe(naked)]
unsafe extern "C" fn common() {
    naked_asm!(
        "test byte ptr [rsp + {cs}], 3",
        "jz 2f",
        "swapgs",
        save_registers!(),
        "cld",
        "mov rdi, rsp",
        "mov rsp, gs:[{kernel_rsp}]",
        "mov rsi, [rsp + {frame_trap}]",
        "call {trapped}",
        "jmp {leave}",
        "2:",
        "cmp byte ptr [rsp], {first_interrupt}",
        "jb 3f",
        "test dword ptr [rsp + {rflags}], {interrupt_flag}",
        "jz 4f",
        "3:",
        save_registers!(),
        "cld",
        "mov rdi, rsp",
        "call {kernel_trap}",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "pop r11",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rax",
        "pop rcx",
        "pop rdx",
        "pop rsi",
        "pop rdi",
        "4:",
        "add rsp, 16",
        "iretq",
        cs = const offset_of!(TrapFrame, cs) - offset_of!(TrapFrame, vector),
        rflags = const offset_of!(TrapFrame, rflags) - offset_of!(TrapFrame, vector),
        first_interrupt = const FIRST_INTERRUPT,
        interrupt_flag = const RFlags::INTERRUPT_FLAG.bits(),
        frame_trap = const FRAME_TRAP,
        leave = sym leave,
        trapped = sym trapped,
        kernel_rsp = const KERNEL_RSP,
        kernel_trap = sym kernel_trap,
    )
}

/// NMI, #DF, #MC: GS may be anyone's, so it is set from the top of the stack. The interrupted code is not returned to.
#[unsafe(naked)]
unsafe extern "C" fn severe() {
    naked_asm!(
        save_registers!(),
        "cld",
        "mov rax, [rsp + {frame_bytes}]",
        "mov rdx, rax",
        "shr rdx, 32",
        "mov ecx, {gs_base}",
        "wrmsr",
        "mov rdi, rsp",
        "call {severe_trap}",
        "ud2",
        frame_bytes = const size_of::<TrapFrame>(),
        gs_base = const crate::boot::MSR_GS_BASE,
        severe_trap = sym severe_trap,
    )
}
