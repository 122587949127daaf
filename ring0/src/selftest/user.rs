//! User mode: what goes in comes out, whatever a program or the sentry puts there.

use super::{CODE, DATA, NOTHING, READ_EXECUTE, READ_ONLY, context, leave_space, new_space, run_user};
use crate::asm::probe::Probe;
use crate::features::features;
use crate::gdt::{USER_CS, USER_SS};
use crate::platform::PLATFORM;
use crate::quirk;
use crate::run;
use alloc::vec::Vec;
use linker::addr::UserVa;
use linker::layout::{DIRECT_MAP, KERNEL_BASE, PAGE_SIZE};
use sentry::platform::{Access, Platform, Trap, UserContext};
use x86_64::registers::rflags::RFlags;

/// Every general register with a value of its own.
pub(super) fn fill(context: &mut UserContext) {
    let registers = [
        &mut context.r15,
        &mut context.r14,
        &mut context.r13,
        &mut context.r12,
        &mut context.rbp,
        &mut context.rbx,
        &mut context.r11,
        &mut context.r10,
        &mut context.r9,
        &mut context.r8,
        &mut context.rax,
        &mut context.rcx,
        &mut context.rdx,
        &mut context.rsi,
        &mut context.rdi,
    ];
    for (index, register) in registers.into_iter().enumerate() {
        *register = 0x1111_1111_1111_1111 * (index as u64 + 1);
    }
}

pub(super) fn kept(context: &UserContext) -> [u64; 14] {
    [
        context.r15,
        context.r14,
        context.r13,
        context.r12,
        context.rbp,
        context.rbx,
        context.r10,
        context.r9,
        context.r8,
        context.rax,
        context.rdx,
        context.rsi,
        context.rdi,
        context.rsp,
    ]
}

pub fn system_call_keeps_every_register() {
    let _table = new_space();
    let mut context = context(Probe::Syscall);
    fill(&mut context);
    // RCX differs from RIP, so this goes in by IRET.
    let before = kept(&context);
    let entry = context.rip;
    let trap = run_user(&mut context);
    assert_eq!(trap, Trap::Syscall, "{context:x?}");
    assert_eq!(kept(&context), before);
    assert_eq!((context.rip, context.rcx), (entry + 2, entry + 2));
    assert_eq!((context.cs, context.ss), (u64::from(USER_CS), u64::from(USER_SS)));
    assert_eq!(context.rflags, context.r11);
    // And this by SYSRET.
    context.rip = entry;
    context.rcx = entry;
    let before = kept(&context);
    for _ in 0..10 {
        assert_eq!(run_user(&mut context), Trap::Syscall);
        assert_eq!(kept(&context), before);
        assert_eq!(context.rip, entry + 2);
        context.rip = entry;
        context.rcx = entry;
    }
    leave_space();
}

pub fn exceptions_come_back_with_their_vectors() {
    let _table = new_space();
    for (probe, vector, length) in [(Probe::Ud2, 6, 0), (Probe::Int3, 3, 1), (Probe::Divide, 0, 2), (Probe::Hlt, 13, 0)]
    {
        let mut context = context(probe);
        fill(&mut context);
        let entry = context.rip;
        assert_eq!(run_user(&mut context), Trap::Exception { vector }, "{probe:?}");
        assert_eq!(context.rip, entry + length, "{probe:?}");
        assert_eq!(context.r15, 0x1111_1111_1111_1111);
        assert_eq!(context.vector, u64::from(vector));
    }
    leave_space();
}

pub fn page_faults_say_what_was_tried() {
    let table = new_space();
    let end = UserVa::new(DATA.raw() + PAGE_SIZE);
    let fault = |probe, address: UserVa| {
        let mut context = context(probe);
        context.rdi = address.raw();
        run_user(&mut context)
    };
    let expect = |address, access, present| Trap::PageFault { address, access, present };
    assert_eq!(fault(Probe::Load, end), expect(end, Access::Read, false));
    assert_eq!(fault(Probe::Store, end), expect(end, Access::Write, false));
    assert_eq!(fault(Probe::Store, CODE), expect(CODE, Access::Write, true));
    table.protect(DATA, end, READ_ONLY, false);
    assert_eq!(fault(Probe::Load, DATA), Trap::Syscall);
    assert_eq!(fault(Probe::Store, DATA), expect(DATA, Access::Write, true));
    table.protect(DATA, end, NOTHING, false);
    assert_eq!(fault(Probe::Load, DATA), expect(DATA, Access::Read, false));
    table.protect(DATA, end, READ_ONLY, false);
    let mut context = context(Probe::Syscall);
    context.rip = DATA.raw();
    assert_eq!(run_user(&mut context), expect(DATA, Access::Execute, true), "data was executed");
    table.protect(DATA, end, READ_EXECUTE, false);
    // The kernel's half is there, but not for programs.
    for address in [DIRECT_MAP.raw(), KERNEL_BASE.raw() + 0x40_0000] {
        let trap = fault(Probe::Load, UserVa::new(address));
        let Trap::PageFault { access: Access::Read, .. } = trap else { panic!("{address:#x} was read: {trap:?}") };
    }
    leave_space();
}

pub fn hostile_contexts_cannot_harm_ring_0() {
    let _table = new_space();
    let mut bad = context(Probe::Syscall);
    bad.rip = 0x8000_0000_0000;
    bad.rcx = bad.rip;
    bad.r11 = bad.rflags;
    assert_eq!(run_user(&mut bad), Trap::Exception { vector: 13 });

    let mut flags = context(Probe::Syscall);
    // No interrupts, all I/O, nested task: none of it may get through, by either way out.
    flags.rflags = RFlags::IOPL_LOW.bits() | RFlags::IOPL_HIGH.bits() | RFlags::NESTED_TASK.bits();
    flags.r11 = flags.rflags;
    flags.rcx = flags.rip;
    assert_eq!(run_user(&mut flags), Trap::Syscall);
    let seen = RFlags::from_bits_truncate(flags.rflags);
    assert!(seen.contains(RFlags::INTERRUPT_FLAG) && !seen.intersects(RFlags::IOPL_HIGH | RFlags::NESTED_TASK));

    let mut selectors = context(Probe::Syscall);
    selectors.cs = 0x10;
    selectors.ss = 0x18;
    assert_eq!(run_user(&mut selectors), Trap::Syscall);
    assert_eq!(selectors.cs, u64::from(USER_CS));

    let mut stack = context(Probe::Ud2);
    stack.rsp = DIRECT_MAP.raw();
    assert_eq!(run_user(&mut stack), Trap::Exception { vector: 6 });
    let mut bases = context(Probe::Syscall);
    bases.fs_base = 0x8000_0000_0000;
    bases.gs_base = DIRECT_MAP.raw();
    run::load_segment_bases(&bases);
    assert_eq!(run_user(&mut bases), Trap::Syscall);

    let mut image = alloc::vec![0_u8; PLATFORM.vector_state_size()];
    PLATFORM.save_vector_state(&mut image);
    assert!(PLATFORM.load_vector_state(&image), "a saved vector state was refused");
    for (at, what) in [(27, "MXCSR"), (519, "XSTATE_BV"), (527, "XCOMP_BV"), (560, "reserved")] {
        let mut broken: Vec<u8> = image.clone();
        if let Some(byte) = broken.get_mut(at) {
            *byte = 0xff;
            assert!(!PLATFORM.load_vector_state(&broken), "a vector state with bad {what} was loaded");
        }
    }
    PLATFORM.reset_vector_state();
    leave_space();
}

pub fn segment_bases_follow_the_context() {
    let _table = new_space();
    let mut context = context(Probe::Syscall);
    let entry = context.rip;
    for (fs, gs) in [(0x1000, 0x2000), (0x1000, 0x3000), (0x4000, 0x3000)] {
        (context.rip, context.fs_base, context.gs_base) = (entry, fs, gs);
        run::load_segment_bases(&context);
        assert_eq!(run_user(&mut context), Trap::Syscall);
        run::sync_segment_bases(&mut context);
        assert_eq!((context.fs_base, context.gs_base), (fs, gs));
        if features().fsgsbase {
            assert_eq!(crate::fpu::live_bases(), (fs, gs));
        }
    }
    leave_space();
}

pub fn vdso_agrees_with_the_kernels_clocks() {
    const VDSO: UserVa = UserVa::new(0x1000_0000);
    const CLOCK_MONOTONIC: u64 = 1;
    if !quirk::user_sees_our_tsc() {
        return;
    }
    let table = new_space();
    let vdso = PLATFORM.vdso();
    table.map(VDSO, vdso.data, READ_ONLY).expect("memory");
    for (page, frame) in vdso.code.into_iter().enumerate() {
        let at = UserVa::new(VDSO.raw() + (page as u64 + 1) * PAGE_SIZE);
        table.map(at, frame, READ_EXECUTE).expect("memory");
    }
    let symbol = crate::vdso::symbol("__vdso_clock_gettime").expect("the vDSO has it");
    let mut context = context(Probe::Call);
    context.rax = VDSO.raw() + PAGE_SIZE + symbol;
    context.rdi = CLOCK_MONOTONIC;
    context.rsi = DATA.raw();
    let before = PLATFORM.monotonic_ns();
    assert_eq!(run_user(&mut context), Trap::Syscall);
    let after = PLATFORM.monotonic_ns();
    assert_eq!(context.rax, 0, "clock_gettime failed or made a system call");
    let mut time = [0; 16];
    PLATFORM.copy_from_user(DATA, &mut time).expect("mapped");
    let word = |at: usize| u64::from_le_bytes(time[at..at + 8].try_into().expect("8 bytes"));
    let ns = word(0) * 1_000_000_000 + word(8);
    assert!((before..=after).contains(&ns), "{ns} is not between {before} and {after}");

    if !quirk::user_sees_our_segments() {
        return leave_space();
    }
    let symbol = crate::vdso::symbol("__vdso_getcpu").expect("the vDSO has it");
    let mut context = super::context(Probe::Call);
    context.rax = VDSO.raw() + PAGE_SIZE + symbol;
    context.rdi = DATA.raw();
    PLATFORM.copy_to_user(DATA, &[0xff; 8]).expect("mapped");
    assert_eq!(run_user(&mut context), Trap::Syscall);
    let number = PLATFORM.load_user_u32(DATA).expect("mapped") as usize;
    assert!(number < PLATFORM.cpus(), "getcpu says {number}");
    leave_space();
}
