//! A new program's stack: strings, pointers, auxiliary vector.

use super::place::{Placed, Placer};
use super::{Arguments, Identity, Program};
use crate::errno::Errno;
use crate::platform::platform;
use linker::addr::UserVa;
use linker::layout::PAGE_SIZE;
use linux_raw_sys::auxvec as raw;
use loader::stack::{self, Contents};

/// What the auxiliary vector tells.
pub(super) struct Auxiliary<'a> {
    pub(super) program: &'a Program,
    pub(super) placed: &'a Placed,
    pub(super) interpreter: Option<&'a Placed>,
    pub(super) vdso: u64,
    pub(super) identity: Identity,
}

/// Clock ticks a second, as `times` and `/proc` count (Linux's USER_HZ).
const CLOCK_TICKS: u64 = 100;
/// CPUID.1:EDX of the x86-64 baseline: FPU to SSE2 (System V ABI, x86-64-v1). Programs ask CPUID itself for more.
const BASELINE: u64 = 0x178b_fbff;
/// Bytes of a signal frame beside the vector state, rounded up: siginfo, ucontext, red zone, alignment.
const SIGNAL_FRAME: u64 = 1024;

/// E2BIG where arguments and environment exceed execve(2)'s limits.
pub(super) fn check(arguments: &Arguments, stack_limit: u64) -> Result<(), Errno> {
    let contents = Contents {
        argv: &arguments.argv,
        envp: &arguments.envp,
        file_name: &arguments.file_name,
        ..Contents::default()
    };
    stack::check(&contents, stack_limit).map_err(|stack::TooBig| Errno::E2BIG)
}

/// Maps and writes the stack; returns the stack pointer.
pub(super) fn write(placer: &Placer, arguments: &Arguments, auxiliary: &Auxiliary<'_>) -> Result<UserVa, Errno> {
    let (plan, placed, who) = (&auxiliary.program.plan, auxiliary.placed, &auxiliary.identity);
    let table = if plan.table_address == 0 { 0 } else { placed.bias.wrapping_add(plan.table_address) };
    let auxv = [
        (raw::AT_SYSINFO_EHDR, auxiliary.vdso),
        (raw::AT_MINSIGSTKSZ, platform().vector_state_size() as u64 + SIGNAL_FRAME),
        (raw::AT_HWCAP, BASELINE),
        (raw::AT_PAGESZ, PAGE_SIZE),
        (raw::AT_CLKTCK, CLOCK_TICKS),
        (raw::AT_PHDR, table),
        (raw::AT_PHENT, loader::elf::SEGMENT_BYTES as u64),
        (raw::AT_PHNUM, plan.table_len as u64),
        (raw::AT_BASE, auxiliary.interpreter.map_or(0, |interpreter| interpreter.bias)),
        (raw::AT_FLAGS, 0),
        (raw::AT_ENTRY, placed.entry),
        (raw::AT_UID, u64::from(who.uid)),
        (raw::AT_EUID, u64::from(who.euid)),
        (raw::AT_GID, u64::from(who.gid)),
        (raw::AT_EGID, u64::from(who.egid)),
        (raw::AT_SECURE, u64::from(who.secure)),
    ];
    let auxv = if auxiliary.vdso == 0 { &auxv[1..] } else { &auxv[..] };
    let contents = Contents {
        argv: &arguments.argv,
        envp: &arguments.envp,
        file_name: &arguments.file_name,
        platform: crate::uts::MACHINE.as_bytes(),
        random: Placer::random_bytes(),
        auxv,
        gap: placer.stack_gap(),
    };
    let image = stack::build(&contents, placer.stack_top());
    placer.stack(image.bytes.len() as u64, plan.executable_stack == Some(true))?;
    placer.note_stack(&image);
    let at = UserVa::new(image.pointer);
    match placer.mm().write_remote(at, &image.bytes) {
        Ok(written) if written == image.bytes.len() => Ok(at),
        _ => Err(Errno::ENOMEM),
    }
}
