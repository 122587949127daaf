//! A handler's stack frame, laid out as Linux lays it out on x86-64 (asm/ucontext.h, asm/sigcontext.h), and its undoing.

use super::action::{ActionFlags, SigAction};
use super::info::{ABI_SIZE, SigInfo};
use super::number::SignalSet;
use super::stack::StackT;
use crate::errno::Errno;
use crate::platform::{UserContext, platform};
use crate::syscall::UserPtr;
use crate::task::Current;
use alloc::vec::Vec;
use core::mem;
use linker::addr::UserVa;
use linker::layout::USER_END;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a leaf function may use below its stack pointer (System V ABI for x86-64, 3.2.2).
const RED_ZONE: u64 = 128;
/// Bytes of the FXSAVE area (Intel SDM vol. 1, 10.5.1).
pub(super) const FXSAVE_BYTES: usize = 512;
/// Where FXSAVE leaves 48 bytes to software (asm/sigcontext.h: `sw_reserved`).
const SOFTWARE_BYTES_AT: usize = 464;
/// asm/sigcontext.h: FP_XSTATE_MAGIC1, FP_XSTATE_MAGIC2.
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
/// asm/ucontext.h: UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS.
const UC_FP_XSTATE: u64 = 1;
const UC_SIGCONTEXT_SS: u64 = 2;
const UC_STRICT_RESTORE_SS: u64 = 4;
/// Flags that sigreturn restores: AC, OF, DF, TF, SF, ZF, AF, PF, CF, RF (arch/x86: FIX_EFLAGS; Intel SDM vol. 1, 3.4.3).
const RESTORED_FLAGS: u64 = 0x50dd5;
/// Flags that a handler starts without: DF, RF, TF.
const CLEARED_FLAGS: u64 = 1 << 10 | 1 << 16 | 1 << 8;

/// struct sigcontext_64.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct SigContext {
    r8: u64,
    r9: u64,
    r10: u64,
    r11: u64,
    r12: u64,
    r13: u64,
    r14: u64,
    r15: u64,
    rdi: u64,
    rsi: u64,
    rbp: u64,
    rbx: u64,
    rdx: u64,
    rax: u64,
    rcx: u64,
    rsp: u64,
    rip: u64,
    rflags: u64,
    cs: u16,
    gs: u16,
    fs: u16,
    ss: u16,
    error: u64,
    vector: u64,
    old_mask: u64,
    cr2: u64,
    fpstate: u64,
    reserved: [u64; 8],
}

/// struct ucontext.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct UserContextT {
    flags: u64,
    link: u64,
    stack: StackT,
    registers: SigContext,
    mask: u64,
}

/// struct rt_sigframe.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Frame {
    return_address: u64,
    context: UserContextT,
    info: [u8; ABI_SIZE],
}

const _: () = {
    assert!(size_of::<SigContext>() == 256);
    assert!(size_of::<UserContextT>() == 304);
    assert!(size_of::<Frame>() == 440);
    assert!(core::mem::offset_of!(Frame, info) == 312);
};

/// struct _fpx_sw_bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct SoftwareBytes {
    magic1: u32,
    extended_size: u32,
    features: u64,
    state_size: u32,
    pad: [u32; 7],
}

const _: () = assert!(SOFTWARE_BYTES_AT + size_of::<SoftwareBytes>() == FXSAVE_BYTES);

/// Bytes of the vector state in a frame, its end mark included.
fn vector_bytes() -> usize {
    let size = platform().vector_state_size();
    if platform().vector_state_mask() == 0 { size } else { size + size_of::<u32>() }
}

/// The largest frame that a signal can make, for AT_MINSIGSTKSZ.
pub fn minimum_stack() -> usize {
    // Both alignments and the red zone included, rounded as Linux does.
    (vector_bytes() + size_of::<Frame>() + 64 + 16 + RED_ZONE as usize).next_multiple_of(16)
}

/// Builds the frame for `action` and points the registers at the handler. EFAULT where the stack cannot take it; registers are
/// as before then.
pub(super) fn enter(
    current: &mut Current,
    info: &SigInfo,
    action: &SigAction,
    saved_mask: SignalSet,
) -> Result<(), Errno> {
    if !action.flags().contains(ActionFlags::RESTORER) {
        return Err(Errno::EFAULT);
    }
    let (state_at, frame_at) = place(current, action.flags())?;
    let frame = Frame {
        return_address: action.restorer,
        context: UserContextT {
            flags: UC_SIGCONTEXT_SS
                | UC_STRICT_RESTORE_SS
                | if platform().vector_state_mask() == 0 { 0 } else { UC_FP_XSTATE },
            link: 0,
            stack: current.signal.alternate.saved(),
            registers: save_registers(current, saved_mask, state_at),
            mask: saved_mask.bits(),
        },
        info: info.to_abi(),
    };
    save_vector_state(current, state_at)?;
    UserPtr::new(UserVa::new(frame_at)).write(current, &frame)?;
    platform().reset_vector_state();
    let at = |offset: usize| frame_at.wrapping_add(offset as u64);
    let regs = &mut current.regs;
    regs.rdi = info.signal().number().into();
    regs.rsi = at(core::mem::offset_of!(Frame, info));
    regs.rdx = at(core::mem::offset_of!(Frame, context));
    regs.rax = 0;
    regs.rsp = frame_at;
    regs.rip = action.handler;
    regs.rflags &= !CLEARED_FLAGS;
    Ok(())
}

/// Where the vector state and the frame go.
fn place(current: &Current, flags: ActionFlags) -> Result<(u64, u64), Errno> {
    let alternate = &current.signal.alternate;
    let below_red_zone = current.regs.rsp.wrapping_sub(RED_ZONE);
    let nested = alternate.active(current.regs.rsp);
    let top = alternate.top().filter(|_| flags.contains(ActionFlags::ONSTACK) && !alternate.active(below_red_zone));
    let start = top.unwrap_or(below_red_zone);
    let state_at = start.wrapping_sub(vector_bytes() as u64) & !63;
    let frame_at = (state_at.wrapping_sub(size_of::<Frame>() as u64) & !15).wrapping_sub(8);
    if (nested || top.is_some()) && !alternate.covers(frame_at) {
        return Err(Errno::EFAULT);
    }
    Ok((state_at, frame_at))
}

fn save_registers(current: &Current, mask: SignalSet, fpstate: u64) -> SigContext {
    let (regs, fault) = (&current.regs, &current.signal.last_fault);
    SigContext {
        r8: regs.r8,
        r9: regs.r9,
        r10: regs.r10,
        r11: regs.r11,
        r12: regs.r12,
        r13: regs.r13,
        r14: regs.r14,
        r15: regs.r15,
        rdi: regs.rdi,
        rsi: regs.rsi,
        rbp: regs.rbp,
        rbx: regs.rbx,
        rdx: regs.rdx,
        rax: regs.rax,
        rcx: regs.rcx,
        rsp: regs.rsp,
        rip: regs.rip,
        rflags: regs.rflags,
        cs: regs.cs as u16,
        gs: 0,
        fs: 0,
        ss: regs.ss as u16,
        error: fault.error,
        vector: fault.vector,
        old_mask: mask.bits(),
        cr2: fault.address,
        fpstate,
        reserved: [0; 8],
    }
}

fn save_vector_state(current: &mut Current, at: u64) -> Result<(), Errno> {
    let size = platform().vector_state_size();
    let features = platform().vector_state_mask();
    let mut state = scratch(current);
    platform().save_vector_state(state.get_mut(..size).ok_or(Errno::EFAULT)?);
    if features != 0 {
        let software = SoftwareBytes {
            magic1: MAGIC1,
            extended_size: u32::try_from(state.len()).map_err(|_| Errno::EFAULT)?,
            features,
            state_size: u32::try_from(size).map_err(|_| Errno::EFAULT)?,
            pad: [0; 7],
        };
        let place = state.get_mut(SOFTWARE_BYTES_AT..FXSAVE_BYTES).ok_or(Errno::EFAULT)?;
        place.copy_from_slice(software.as_bytes());
        state.get_mut(size..).ok_or(Errno::EFAULT)?.copy_from_slice(&MAGIC2.to_ne_bytes());
    }
    let copied = current.copy_out(UserVa::new(at), &state);
    current.signal.vector = state;
    copied
}

/// The thread's own buffer for a frame's vector state; what is in it is left from the last one. It goes back when it was used.
fn scratch(current: &mut Current) -> Vec<u8> {
    let mut state = mem::take(&mut current.signal.vector);
    // All of them are equally long while the machine runs.
    state.resize(vector_bytes().max(FXSAVE_BYTES), 0);
    state
}

/// rt_sigreturn(2): goes back to what the frame on the stack says. EFAULT where it says nonsense; the caller then gets SIGSEGV.
pub(super) fn leave(current: &mut Current) -> Result<(), Errno> {
    // The handler's `ret` took the return address.
    let at = current.regs.rsp.wrapping_sub(size_of::<u64>() as u64);
    let frame: Frame = UserPtr::new(UserVa::new(at)).read(current)?;
    let context = &frame.context;
    super::set_mask(current, SignalSet::from_bits(context.mask));
    current.signal.restart = None;
    restore_registers(&mut current.regs, &context.registers)?;
    restore_vector_state(current, context.registers.fpstate)?;
    // A context whose stack setting is refused keeps the present one, as in Linux.
    let _ = current.signal.alternate.set(&context.stack, current.regs.rsp, 0);
    Ok(())
}

fn restore_registers(regs: &mut UserContext, from: &SigContext) -> Result<(), Errno> {
    // Only the 64-bit user segments exist here. Linux would fault on its way out with anything else.
    let selectors_fit = u64::from(from.cs | 3) == regs.cs && u64::from(from.ss | 3) == regs.ss;
    if !selectors_fit || from.rip >= USER_END {
        return Err(Errno::EFAULT);
    }
    *regs = UserContext {
        r15: from.r15,
        r14: from.r14,
        r13: from.r13,
        r12: from.r12,
        rbp: from.rbp,
        rbx: from.rbx,
        r11: from.r11,
        r10: from.r10,
        r9: from.r9,
        r8: from.r8,
        rax: from.rax,
        rcx: from.rcx,
        rdx: from.rdx,
        rsi: from.rsi,
        rdi: from.rdi,
        rip: from.rip,
        rflags: regs.rflags & !RESTORED_FLAGS | from.rflags & RESTORED_FLAGS,
        rsp: from.rsp,
        ..*regs
    };
    Ok(())
}

/// Loads the state that a frame carries. Without the marks of an XSAVE area it is a plain FXSAVE area.
fn restore_vector_state(current: &mut Current, at: u64) -> Result<(), Errno> {
    if at == 0 {
        platform().reset_vector_state();
        return Ok(());
    }
    let at = UserVa::new(at);
    let mut state = scratch(current);
    let loaded = read_vector_state(current, at, &mut state).map(|length| {
        let state = state.get(..length).unwrap_or(&[]);
        platform().load_vector_state(state)
    });
    current.signal.vector = state;
    if loaded? { Ok(()) } else { Err(Errno::EFAULT) }
}

/// Copies the state in; how much of the buffer is one.
fn read_vector_state(current: &Current, at: UserVa, state: &mut [u8]) -> Result<usize, Errno> {
    let size = platform().vector_state_size();
    if platform().vector_state_mask() != 0 {
        let software_at = at.checked_add(SOFTWARE_BYTES_AT as u64).ok_or(Errno::EFAULT)?;
        let software: SoftwareBytes = UserPtr::new(software_at).read(current)?;
        if is_extended(&software, size) {
            // With the mark behind it, which is not there where somebody moved the frame, cut short, to elsewhere.
            let copied = current.copy_in(at, state);
            if copied.is_ok() && state.get(size..size + size_of::<u32>()) == Some(&MAGIC2.to_ne_bytes()[..]) {
                return Ok(size);
            }
        }
    }
    let legacy = state.get_mut(..FXSAVE_BYTES).ok_or(Errno::EFAULT)?;
    current.copy_in(at, legacy)?;
    if platform().vector_state_mask() == 0 {
        return Ok(FXSAVE_BYTES);
    }
    // x87 and SSE only: bits 0 and 1 of the header's first word; everything else goes back to its initial state.
    state.get_mut(FXSAVE_BYTES..).ok_or(Errno::EFAULT)?.fill(0);
    *state.get_mut(FXSAVE_BYTES).ok_or(Errno::EFAULT)? = 3;
    Ok(size)
}

/// Whether the marks say that a whole XSAVE area of this machine's size may be there.
fn is_extended(software: &SoftwareBytes, size: usize) -> bool {
    software.magic1 == MAGIC1
        && software.state_size as usize == size
        && software.extended_size as usize >= size + size_of::<u32>()
}
