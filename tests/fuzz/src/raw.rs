//! System calls as they are, and the few things that only machine code can do: children that share memory, frames for
//! rt_sigreturn, instructions that a program should not execute.

use core::arch::{asm, naked_asm};
use syscalls::Sysno;

/// Makes a call; the result is the kernel's, an errno negated.
pub fn call(number: u32, args: [u64; 6]) -> i64 {
    let result: i64;
    // SAFETY: not sound in general, and meant so: the arguments are what the kernel is tested with. What they make the kernel
    // write lies in the arena, or kills this process, which the case's first process expects.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") u64::from(number) => result,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2], in("r10") args[3], in("r8") args[4], in("r9") args[5],
            lateout("rcx") _, lateout("r11") _,
        );
    }
    result
}

/// A call that exists on every Linux, with the arguments it needs.
pub fn sys(sysno: Sysno, args: &[u64]) -> i64 {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    call(sysno as u32, all)
}

/// What a child does that must not touch its stack: calls with their arguments, then exit.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Number, then six arguments.
    pub words: [u64; 7],
}

/// Clones with flags that may share memory and stack: the child makes `steps` and exits, without using any stack.
pub fn clone_steps(number: u32, args: [u64; 6], steps: &[Step]) -> i64 {
    let result: i64;
    // SAFETY: the child leaves by exit within the assembly, reads `steps` only (which live as long as the caller's frame, or in
    // a copy of it), and touches no stack; the parent continues behind it.
    unsafe {
        asm!(
            "push rbx",
            "mov rbx, r13",
            "syscall",
            "test rax, rax",
            "jnz 3f",
            "2: test r12, r12",
            "jz 4f",
            "mov rax, [rbx]",
            "mov rdi, [rbx + 8]",
            "mov rsi, [rbx + 16]",
            "mov rdx, [rbx + 24]",
            "mov r10, [rbx + 32]",
            "mov r8, [rbx + 40]",
            "mov r9, [rbx + 48]",
            "syscall",
            "add rbx, 56",
            "dec r12",
            "jmp 2b",
            "4: mov eax, {exit}",
            "xor edi, edi",
            "syscall",
            "ud2",
            "3: pop rbx",
            exit = const Sysno::exit as u32,
            inlateout("rax") u64::from(number) => result,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2], in("r10") args[3], in("r8") args[4], in("r9") args[5],
            in("r12") steps.len(), in("r13") steps.as_ptr(),
            lateout("rcx") _, lateout("r11") _,
        );
    }
    result
}

/// rt_sigreturn with the stack pointer at `frame`: does not come back.
pub fn sigreturn(frame: u64) -> ! {
    // SAFETY: control never returns to Rust; wherever the frame leads, it is this process that suffers.
    unsafe {
        asm!("mov rsp, {frame}", "mov eax, {number}", "syscall", "ud2",
            frame = in(reg) frame, number = const Sysno::rt_sigreturn as u32, options(noreturn))
    }
}

/// exit(0), for frames to return to.
#[unsafe(naked)]
pub extern "C" fn leave() -> ! {
    naked_asm!("mov eax, {exit}", "xor edi, edi", "syscall", "ud2", exit = const Sysno::exit_group as u32)
}

/// What a signal handler returns to.
#[unsafe(naked)]
pub extern "C" fn restorer() -> ! {
    naked_asm!("mov eax, {number}", "syscall", "ud2", number = const Sysno::rt_sigreturn as u32)
}

/// A signal handler that does nothing: its call is interrupted.
pub extern "C" fn handler(_: i32) {}

/// How many instructions [`misbehave`] knows.
pub const MISDEEDS: u64 = 24;

/// Executes something that a program should not; the caller is a child that may die of it.
pub fn misbehave(which: u64, word: u64) {
    // SAFETY: each line ends in a fault, which kills this process or is none; the registers it changes are declared or restored
    // before Rust goes on, and where they cannot be, the process exits in the assembly.
    unsafe {
        match which {
            0 => asm!("ud2"),
            1 => asm!("int3"),
            2 => asm!("int 0x80", inlateout("rax") word => _, out("r8") _, out("r9") _, out("r10") _, out("r11") _),
            3 => asm!("hlt"),
            4 => asm!("cli"),
            5 => asm!("in al, dx", in("dx") word as u16, out("al") _),
            6 => asm!("out dx, al", in("dx") word as u16, in("al") 0u8),
            7 => asm!("mov {0}, cr0", out(reg) _),
            8 => asm!("wrmsr", in("ecx") word as u32, in("eax") 0, in("edx") 0),
            9 => asm!("rdmsr", in("ecx") word as u32, out("eax") _, out("edx") _),
            // Single steps, through a call.
            10 => asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq", "syscall", "nop", "pushfq",
                "and qword ptr [rsp], -257", "popfq", inlateout("rax") Sysno::getppid as u64 => _, out("rcx") _, out("r11") _),
            // Alignment checks, nested task and direction, through a call.
            11 => asm!("pushfq", "or qword ptr [rsp], 0x44400", "popfq", "syscall", "pushfq",
                "and qword ptr [rsp], -279553", "popfq", inlateout("rax") Sysno::getppid as u64 => _, out("rcx") _, out("r11") _),
            12 => asm!("mov ds, {0:x}", in(reg) word),
            13 => asm!("mov fs, {0:x}", in(reg) word),
            14 => asm!("mov ss, {0:x}", in(reg) word),
            15 => asm!("mov gs, {0:x}", in(reg) word),
            // A call with a stack pointer that is none.
            16 => asm!("mov r12, rsp", "mov rsp, {0}", "syscall", "mov rsp, r12", in(reg) word,
                inlateout("rax") Sysno::getppid as u64 => _, out("r12") _, out("rcx") _, out("r11") _),
            // And a fault with one.
            17 => asm!("mov r12, rsp", "mov rsp, {0}", "ud2", "mov rsp, r12", in(reg) word, out("r12") _),
            18 => asm!("jmp {0}", in(reg) word),
            19 => asm!("sysenter", out("rcx") _, out("r11") _, out("rdx") _),
            20 => asm!("mov al, [{0}]", in(reg) word, out("al") _),
            21 => asm!("mov [{0}], al", in(reg) word),
            22 => asm!("int {0}", const 0x0e),
            _ => asm!("xor edx, edx", "xor ecx, ecx", "div ecx", out("eax") _, out("edx") _, out("ecx") _),
        }
    }
}

/// Copies bytes to where the arena has room for them.
pub fn poke(at: u64, bytes: &[u8]) {
    // SAFETY: the arena's scratch memory, mapped for this thread alone; `Scratch` keeps `at` and the length inside.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), at as *mut u8, bytes.len()) }
}

/// A word of memory that several processes share.
pub fn shared(at: u64) -> &'static core::sync::atomic::AtomicU64 {
    // SAFETY: `at` is a word of the shared page that the first process mapped, aligned, and never unmapped while it runs.
    unsafe { &*(at as *const core::sync::atomic::AtomicU64) }
}

/// As [`shared`], of 32 bits.
pub fn shared_u32(at: u64) -> &'static core::sync::atomic::AtomicU32 {
    // SAFETY: as `shared`.
    unsafe { &*(at as *const core::sync::atomic::AtomicU32) }
}
