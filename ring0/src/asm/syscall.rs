//! Into user mode and, by SYSCALL, back: the path that every system call takes.
//!
//! `enter_user(RDI = context, RSI = trap, RDX = serve)` leaves a frame on the kernel stack and its address in the CPU's `kernel_rsp`;
//! `TSS.RSP0` (where the CPU pushes its frame for a trap) becomes the end of the context's frame. SYSCALL saves the registers into the
//! context and calls `serve` on that stack, which may wait and wake up on another CPU. What it says decides the way back: at once,
//! by `go_back`, or none: then `enter_user` returns, as it does through `run::trapped` for all else that ends user mode (see
//! `asm/trap.rs`). What is rare is looked for here and done in `run::prepare`.
//!
//! | register | user at SYSCALL | at `syscall_entry` | in the context |
//! | --- | --- | --- | --- |
//! | RIP | next instruction | `LSTAR` | `rip` and `rcx` |
//! | RCX | any | user RIP | `rcx` |
//! | RFLAGS | any | masked by `SFMASK` | `rflags` and `r11` |
//! | R11 | any | user RFLAGS | `r11` |
//! | RSP | any | unchanged | `rsp` |
//! | GS base | user's | user's, swapped at once | `gs_base` |
//! | others | any | unchanged | saved |
//!
//! SYSRET is taken when it reproduces the context exactly (`rcx == rip`, `r11 == rflags`), when the flags are ones that a
//! program may have, and when RIP is in the user half: SYSRET to a non-canonical RIP faults in ring 0 with the user's stack.

use super::trap::save_registers;
use crate::gdt::{USER_CS, USER_SS};
use crate::percpu::{ATTENTION, KERNEL_RSP, PROBES, SYSCALLS, TSS_RSP0, USER_END, USER_RSP};
use crate::probe::Probes;
use crate::run::{WAY_BACK, prepare, sanitize};
use core::arch::naked_asm;
use core::mem::offset_of;
use sentry::platform::{Trap, UserContext};
use sentry::task::run::{Next, Served};
use x86_64::registers::rflags::RFlags;

/// End of the frame that the CPU pushes.
pub const FRAME_END: usize = offset_of!(UserContext, ss) + 8;

/// Flags whose value SYSRET must not be trusted with: it would load IOPL, and clear IF, for user mode.
const CHECKED_FLAGS: u64 = RFlags::INTERRUPT_FLAG.bits()
    | RFlags::IOPL_LOW.bits()
    | RFlags::IOPL_HIGH.bits()
    | RFlags::TRAP_FLAG.bits()
    | RFlags::NESTED_TASK.bits()
    | RFlags::RESUME_FLAG.bits()
    | RFlags::VIRTUAL_8086_MODE.bits();

/// Flags cleared by SYSCALL (`SFMASK`): everything that would change how the kernel runs.
pub const SYSCALL_FLAG_MASK: u64 = RFlags::all().bits() & !RFlags::ID.bits();

/// What serves a system call. The context is the one that `enter_user` was given.
pub type Serve = unsafe extern "C" fn(*mut UserContext) -> Served;

/// Offset of `trap` in the frame.
pub const FRAME_TRAP: usize = 16;
/// Bytes of the frame below the callee-saved registers.
pub const FRAME_BYTES: usize = 24;

/// Enters user mode, and returns when it is left and not at once gone back to. `trap` says why it was, unless a system call was
/// the reason. At `kernel_rsp` are then: context, serve, trap, callee-saved registers, return address.
///
/// # Safety
/// The context is not referred to by anyone else until the call returns, except through the pointer that `serve` gets.
#[unsafe(naked)]
pub unsafe extern "C" fn enter_user(context: *mut UserContext, trap: *mut Trap, serve: Serve) {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push rsi",
        "push rdx",
        "push rdi",
        "jmp {go_back}",
        go_back = sym go_back,
    )
}

/// Enters user mode with all that the context says. RDI = context, RSP = frame.
#[unsafe(naked)]
unsafe extern "C" fn go_back() {
    naked_asm!(
        "cmp dword ptr gs:[{attention}], 0",
        "jne 3f",
        "2:",
        "mov gs:[{kernel_rsp}], rsp",
        "lea rax, [rdi + {frame_end}]",
        "mov gs:[{tss_rsp0}], rax",
        "mov rcx, [rdi + {rip}]",
        "mov r11, [rdi + {rflags}]",
        // The subtraction clears IF where it is set, and sets it where it is not.
        "lea eax, [r11 - {interrupt_flag}]",
        "test eax, {checked}",
        "jnz 4f",
        "cmp rcx, gs:[{user_end}]",
        "jae 4f",
        "cmp rcx, [rdi + {rcx}]",
        "jne 4f",
        "cmp r11, [rdi + {r11}]",
        "jne 4f",
        "mov r15, [rdi + {r15}]",
        "mov r14, [rdi + {r14}]",
        "mov r13, [rdi + {r13}]",
        "mov r12, [rdi + {r12}]",
        "mov rbp, [rdi + {rbp}]",
        "mov rbx, [rdi + {rbx}]",
        "mov r10, [rdi + {r10}]",
        "mov r9, [rdi + {r9}]",
        "mov r8, [rdi + {r8}]",
        "mov rax, [rdi + {rax}]",
        "mov rdx, [rdi + {rdx}]",
        "mov rsi, [rdi + {rsi}]",
        "mov rsp, [rdi + {rsp}]",
        "mov rdi, [rdi + {rdi}]",
        "swapgs",
        "sysretq",
        "3:",
        "mov rsi, [rsp + {frame_trap}]",
        "call {prepare}",
        "mov rdi, [rsp]",
        "test al, al",
        "jz 2b",
        "cmp al, {back}",
        "je {leave}",
        "mov gs:[{kernel_rsp}], rsp",
        "lea rax, [rdi + {frame_end}]",
        "mov gs:[{tss_rsp0}], rax",
        "4:",
        "jmp {iret}",
        attention = const ATTENTION,
        kernel_rsp = const KERNEL_RSP,
        tss_rsp0 = const TSS_RSP0,
        frame_trap = const FRAME_TRAP,
        frame_end = const FRAME_END,
        checked = const CHECKED_FLAGS,
        interrupt_flag = const RFlags::INTERRUPT_FLAG.bits(),
        user_end = const USER_END,
        prepare = sym prepare,
        back = const WAY_BACK,
        leave = sym leave,
        iret = sym leave_by_iret,
        rip = const offset_of!(UserContext, rip),
        rflags = const offset_of!(UserContext, rflags),
        rsp = const offset_of!(UserContext, rsp),
        r15 = const offset_of!(UserContext, r15),
        r14 = const offset_of!(UserContext, r14),
        r13 = const offset_of!(UserContext, r13),
        r12 = const offset_of!(UserContext, r12),
        rbp = const offset_of!(UserContext, rbp),
        rbx = const offset_of!(UserContext, rbx),
        r11 = const offset_of!(UserContext, r11),
        r10 = const offset_of!(UserContext, r10),
        r9 = const offset_of!(UserContext, r9),
        r8 = const offset_of!(UserContext, r8),
        rax = const offset_of!(UserContext, rax),
        rcx = const offset_of!(UserContext, rcx),
        rdx = const offset_of!(UserContext, rdx),
        rsi = const offset_of!(UserContext, rsi),
        rdi = const offset_of!(UserContext, rdi),
    )
}

/// The end of `enter_user`. RSP = frame.
#[unsafe(naked)]
pub unsafe extern "C" fn leave() {
    naked_asm!(
        "add rsp, {frame_bytes}",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
        frame_bytes = const FRAME_BYTES,
    )
}

/// The way into user mode that reproduces any context: RDI = context, RSP = frame. `sanitize` makes the context one that IRET
/// cannot fault on; where RIP is beyond that, the trap that it would be is returned.
#[unsafe(naked)]
unsafe extern "C" fn leave_by_iret() {
    naked_asm!(
        "mov rsi, [rsp + {frame_trap}]",
        "call {sanitize}",
        "test al, al",
        "jz {leave}",
        "mov rsp, [rsp]",
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
        "add rsp, 16",
        "swapgs",
        "iretq",
        frame_trap = const FRAME_TRAP,
        sanitize = sym sanitize,
        leave = sym leave,
    )
}

/// Where SYSCALL lands (`LSTAR`): saves the registers straight into the context, has the call served, and goes back at once where
/// nothing else is to be done. What is in the middle runs on the context with RAX and RDX free.
///
/// At once means that callee-saved registers are the user's still (whoever changes them says `Next::Reload`), and that `kernel_rsp`
/// and `TSS.RSP0` are right: who else entered user mode on this CPU meanwhile owns its vector state, and then `attention` says so.
///
/// A stub may have more lines: `first`, with nothing saved but GS base the kernel's; `saved`, when all registers are; `last`, when
/// all are the program's again but GS base.
macro_rules! entry {
    (
        $(#[$doc:meta])* $name:ident
        $(, first: [$($first:literal),*])? $(, saved: [$($saved:literal),*])? $(, last: [$($last:literal),*])?
        $(; $($key:ident = $value:expr),*)?
    ) => {
        $(#[$doc])*
        #[unsafe(naked)]
        pub unsafe extern "C" fn $name() {
            naked_asm!(
                "swapgs",
                $($($first,)*)?
                "mov gs:[{user_rsp}], rsp",
                "mov rsp, gs:[{tss_rsp0}]",
                "push {user_ss}",
                "push gs:[{user_rsp}]",
                "push r11",
                "push {user_cs}",
                "push rcx",
                "sub rsp, 8",
                "push rax",
                save_registers!(),
                $($($saved,)*)?
                "mov rsp, gs:[{kernel_rsp}]",
                "mov rdi, [rsp]",
                "call [rsp + 8]",
                "mov rdi, [rsp]",
                "test edx, edx",
                "jnz 3f",
                "cmp dword ptr gs:[{attention}], 0",
                "jne 2f",
                "mov rcx, [rdi + {rip}]",
                "mov r11, [rdi + {rflags}]",
                "lea edx, [r11 - {interrupt_flag}]",
                "test edx, {checked}",
                "jnz 2f",
                "cmp rcx, gs:[{user_end}]",
                "jae 2f",
                "mov r10, [rdi + {r10}]",
                "mov r9, [rdi + {r9}]",
                "mov r8, [rdi + {r8}]",
                "mov rdx, [rdi + {rdx}]",
                "mov rsi, [rdi + {rsi}]",
                "mov rsp, [rdi + {rsp}]",
                "mov rdi, [rdi + {rdi}]",
                $($($last,)*)?
                "swapgs",
                "sysretq",
                "2:",
                "mov [rdi + {rax}], rax",
                "jmp {go_back}",
                "3:",
                "cmp edx, {end}",
                "jne {go_back}",
                "jmp {leave}",
                attention = const ATTENTION,
                kernel_rsp = const KERNEL_RSP,
                user_rsp = const USER_RSP,
                tss_rsp0 = const TSS_RSP0,
                user_ss = const USER_SS,
                user_cs = const USER_CS,
                user_end = const USER_END,
                checked = const CHECKED_FLAGS,
                interrupt_flag = const RFlags::INTERRUPT_FLAG.bits(),
                end = const Next::End as u64,
                go_back = sym go_back,
                leave = sym leave,
                rip = const offset_of!(UserContext, rip),
                rflags = const offset_of!(UserContext, rflags),
                rsp = const offset_of!(UserContext, rsp),
                r10 = const offset_of!(UserContext, r10),
                r9 = const offset_of!(UserContext, r9),
                r8 = const offset_of!(UserContext, r8),
                rax = const offset_of!(UserContext, rax),
                rdx = const offset_of!(UserContext, rdx),
                rsi = const offset_of!(UserContext, rsi),
                rdi = const offset_of!(UserContext, rdi),
                $($($key = const $value,)*)?
            )
        }
    };
}

entry!(
    /// The entry of a sandbox that does not count its calls.
    syscall_entry
);

entry!(
    /// The same, with a look at how many there were at the end (`BootFlags::STATISTICS`).
    tallied_syscall_entry,
    first: ["inc qword ptr gs:[{syscalls}]"],
    saved: ["rdtsc", "shl rdx, 32", "or rax, rdx", "mov [rsp + {came}], rax"];
    came = offset_of!(UserContext, error), syscalls = SYSCALLS
);

entry!(
    /// The same, with the time of the call in `UserContext::error`.
    timed_syscall_entry,
    saved: ["rdtsc", "shl rdx, 32", "or rax, rdx", "mov [rsp + {came}], rax"];
    came = offset_of!(UserContext, error)
);

entry!(
    /// The same, with the time of its first and of its last instruction in the CPU's data (`probe`).
    probed_syscall_entry,
    first: [
        "mov gs:[{probe_rax}], rax",
        "mov gs:[{probe_rdx}], rdx",
        "rdtsc",
        "shl rdx, 32",
        "or rax, rdx",
        "mov gs:[{probe_first}], rax",
        "mov rax, gs:[{probe_rax}]",
        "mov rdx, gs:[{probe_rdx}]"
    ],
    saved: ["rdtsc", "shl rdx, 32", "or rax, rdx", "mov [rsp + {came}], rax"],
    last: [
        "mov gs:[{probe_rax}], rax",
        "mov gs:[{probe_rdx}], rdx",
        "rdtsc",
        "shl rdx, 32",
        "or rax, rdx",
        "mov gs:[{probe_last}], rax",
        "mov rax, gs:[{probe_rax}]",
        "mov rdx, gs:[{probe_rdx}]"
    ];
    came = offset_of!(UserContext, error),
    probe_rax = PROBES + offset_of!(Probes, rax),
    probe_rdx = PROBES + offset_of!(Probes, rdx),
    probe_first = PROBES + offset_of!(Probes, first),
    probe_last = PROBES + offset_of!(Probes, last)
);

/// Where SYSCALL from 32-bit code lands (`CSTAR`, AMD only): there is no such ABI here. Touches neither stack nor GS.
#[unsafe(naked)]
pub unsafe extern "C" fn compat_syscall_entry() {
    naked_asm!("mov eax, -{enosys}", "sysret", enosys = const sentry::errno::Errno::ENOSYS.raw())
}
