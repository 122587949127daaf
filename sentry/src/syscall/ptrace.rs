//! ptrace(2): from requests to `task::trace`.

use super::registers::UserRegs;
use super::table::{Level, Row, arg, finish, row};
use super::{Fail, IoVec, UserPtr};
use crate::errno::Errno;
use crate::platform::platform;
use crate::signal::{ABI_SIZE, SigInfo, SignalSet};
use crate::task::access::may_attach;
use crate::task::trace::{self, Kind, Mode, Resume, State};
use crate::task::{Current, Task, Tid, registry};
use alloc::sync::Arc;
use linker::addr::UserVa;
use linux_raw_sys::elf_uapi::{NT_PRFPREG, NT_PRSTATUS, NT_X86_XSTATE};
use linux_raw_sys::ptrace as raw;
use syscalls::Sysno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of the FXSAVE area, and where Linux puts XCR0 in what software may use of it (asm/user.h: USER_XSTATE_XCR0_WORD).
const FXSAVE_BYTES: usize = 512;
const XCR0_AT: usize = 464;
/// Where the XSAVE header says which components follow (Intel SDM vol. 1, 13.4.2).
const XSTATE_BV_AT: usize = 512;
/// AUDIT_ARCH_X86_64 (linux/audit.h): EM_X86_64, 64-bit, little-endian.
const AUDIT_ARCH: u32 = linux_raw_sys::elf_uapi::EM_X86_64 | 0xc000_0000;

/// ptrace(2).
pub fn ptrace(current: &mut Current, request: u64, pid: u32, addr: u64, data: u64) -> Result<u64, Fail> {
    let tid = current.meant(Tid::new(pid));
    let done = |result: Result<(), Errno>| result.map(|()| 0).map_err(Fail::from);
    let Ok(request) = u32::try_from(request) else { return Err(Errno::EIO.into()) };
    let go = |mode, step| trace::resume(current, tid, Resume { signal: data as u32, mode, step });
    match request {
        raw::PTRACE_TRACEME => done(trace::trace_me(current)),
        raw::PTRACE_ATTACH => done(trace::attach(current, tid, None)),
        raw::PTRACE_SEIZE if addr == 0 => done(trace::attach(current, tid, Some(options(data)?))),
        raw::PTRACE_SEIZE => Err(Errno::EIO.into()),
        raw::PTRACE_INTERRUPT => done(trace::interrupt(current, tid)),
        raw::PTRACE_LISTEN => done(trace::listen(current, tid)),
        raw::PTRACE_KILL => match registry().task(tid) {
            Some(_) => {
                let number = crate::signal::Signal::SIGKILL.number();
                let _ = trace::resume(current, tid, Resume { signal: number, ..Resume::default() });
                Ok(0)
            }
            None => Err(Errno::ESRCH.into()),
        },
        raw::PTRACE_DETACH => done(trace::detach(current, tid, data as u32)),
        raw::PTRACE_CONT => done(go(Mode::Continue, false)),
        raw::PTRACE_SYSCALL => done(go(Mode::Syscall, false)),
        raw::PTRACE_SYSEMU => done(go(Mode::Emulate, false)),
        raw::PTRACE_SINGLESTEP => done(go(Mode::Continue, true)),
        raw::PTRACE_SYSEMU_SINGLESTEP => done(go(Mode::Emulate, true)),
        raw::PTRACE_SETOPTIONS | raw::PTRACE_OLDSETOPTIONS => {
            let options = options(data)?;
            done(look(current, tid, |state| {
                state.options = options;
                Ok(())
            }))
        }
        _ => inspect(current, request, tid, addr, data),
    }
}

/// PTRACE_O_*; EINVAL for others.
fn options(data: u64) -> Result<u32, Errno> {
    u32::try_from(data).ok().filter(|options| options & !raw::PTRACE_O_MASK == 0).ok_or(Errno::EINVAL)
}

/// Looks at what a stopped tracee published.
fn look<T>(current: &Current, tid: Tid, look: impl FnOnce(&mut State) -> Result<T, Errno>) -> Result<T, Errno> {
    trace::stopped(current, tid, look).map(|(_, value)| value)
}

/// Requests that look at a stopped tracee or change it.
fn inspect(current: &mut Current, request: u32, tid: Tid, addr: u64, data: u64) -> Result<u64, Fail> {
    let out = UserVa::new(data);
    match request {
        raw::PTRACE_PEEKTEXT | raw::PTRACE_PEEKDATA => {
            let mut word = [0; 8];
            let read = memory(current, tid)?.read_remote(UserVa::new(addr), &mut word).unwrap_or(0);
            if read < word.len() {
                return Err(Errno::EIO.into());
            }
            current.copy_out(out, &word)?;
        }
        raw::PTRACE_POKETEXT | raw::PTRACE_POKEDATA => {
            let bytes = data.to_ne_bytes();
            let written = memory(current, tid)?.write_forced(UserVa::new(addr), &bytes).unwrap_or(0);
            if written < bytes.len() {
                return Err(Errno::EIO.into());
            }
        }
        raw::PTRACE_PEEKUSR => {
            let word = look(current, tid, |state| UserRegs::word(state, addr))?;
            UserPtr::new(out).write(current, &word)?;
        }
        raw::PTRACE_POKEUSR => look(current, tid, |state| UserRegs::set_word(state, addr, data))?,
        raw::PTRACE_GETREGS => {
            let regs = look(current, tid, |state| Ok(UserRegs::of(state)))?;
            UserPtr::new(out).write(current, &regs)?;
        }
        raw::PTRACE_SETREGS => {
            look(current, tid, |_| Ok(()))?;
            let regs: UserRegs = UserPtr::new(out).read(current)?;
            look(current, tid, |state| regs.install(state))?;
        }
        raw::PTRACE_GETFPREGS | raw::PTRACE_GETFPXREGS => {
            let area = trace::vector(current, tid, |area| area.clone(), false)?;
            current.copy_out(out, area.get(..FXSAVE_BYTES).ok_or(Errno::EIO)?)?;
        }
        raw::PTRACE_SETFPREGS | raw::PTRACE_SETFPXREGS => {
            look(current, tid, |_| Ok(()))?;
            let given: [u8; FXSAVE_BYTES] = UserPtr::new(out).read(current)?;
            trace::vector(current, tid, |area| set_legacy(area, &given), true)?;
        }
        raw::PTRACE_GETREGSET | raw::PTRACE_SETREGSET => {
            register_set(current, tid, addr, UserPtr::new(out), request == raw::PTRACE_SETREGSET)?;
        }
        raw::PTRACE_GETSIGINFO => {
            let info = look(current, tid, |state| state.stop.and_then(|stop| stop.info).ok_or(Errno::EINVAL))?;
            UserPtr::new(out).write(current, &info.to_abi())?;
        }
        raw::PTRACE_SETSIGINFO => {
            let given: [u8; ABI_SIZE] = UserPtr::new(out).read(current)?;
            let info = SigInfo::from_abi(&given).ok_or(Errno::E2BIG)?;
            look(current, tid, |state| {
                let known = state.stop.is_some_and(|stop| stop.info.is_some());
                state.set_info(info);
                if known { Ok(()) } else { Err(Errno::EINVAL) }
            })?;
        }
        raw::PTRACE_GETEVENTMSG => {
            let message = look(current, tid, |state| Ok(state.message))?;
            UserPtr::new(out).write(current, &message)?;
        }
        raw::PTRACE_GETSIGMASK | raw::PTRACE_SETSIGMASK => {
            if addr != size_of::<u64>() as u64 {
                return Err(Errno::EINVAL.into());
            }
            let (task, ()) = trace::stopped(current, tid, |_| Ok(()))?;
            if request == raw::PTRACE_GETSIGMASK {
                UserPtr::new(out).write(current, &task.signals.mask().bits())?;
            } else {
                let mask: u64 = UserPtr::new(out).read(current)?;
                crate::signal::set_mask_of(&task, SignalSet::from_bits(mask));
            }
        }
        raw::PTRACE_GET_SYSCALL_INFO => return syscall_info(current, tid, addr, out),
        raw::PTRACE_ARCH_PRCTL => return Err(Errno::EIO.into()),
        _ => {
            look(current, tid, |_| Ok(()))?;
            return Err(Errno::EIO.into());
        }
    }
    Ok(0)
}

/// A stopped tracee's memory.
fn memory(current: &Current, tid: Tid) -> Result<Arc<crate::mm::AddressSpace>, Errno> {
    let (task, ()): (Arc<Task>, ()) = trace::stopped(current, tid, |_| Ok(()))?;
    // What execve made of it since it was attached may be out of bounds.
    if !may_attach(current, &task) {
        return Err(Errno::EIO);
    }
    task.published().mm.ok_or(Errno::EIO)
}

/// PTRACE_GETREGSET and PTRACE_SETREGSET: as much as fits, and the length says how much that was.
fn register_set(current: &Current, tid: Tid, kind: u64, vector: UserPtr<IoVec>, set: bool) -> Result<(), Errno> {
    look(current, tid, |_| Ok(()))?;
    let mut iovec = vector.read(current)?;
    let kind = u32::try_from(kind).map_err(|_| Errno::EINVAL)?;
    let size = match kind {
        NT_PRSTATUS => size_of::<UserRegs>(),
        NT_PRFPREG => FXSAVE_BYTES,
        NT_X86_XSTATE if platform().vector_state_mask() != 0 => platform().vector_state_size(),
        NT_X86_XSTATE => return Err(Errno::ENODEV),
        _ => return Err(Errno::EINVAL),
    };
    if !iovec.len.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    let len = usize::try_from(iovec.len).unwrap_or(usize::MAX).min(size);
    let at = UserVa::new(iovec.base);
    if set {
        let mut given = alloc::vec![0; len];
        current.copy_in(at, &mut given)?;
        match kind {
            NT_PRSTATUS => look(current, tid, |state| {
                let mut regs = UserRegs::of(state);
                regs.as_mut_bytes().get_mut(..len).ok_or(Errno::EINVAL)?.copy_from_slice(&given);
                regs.install(state)
            })?,
            NT_PRFPREG => {
                let full = given.first_chunk::<FXSAVE_BYTES>().ok_or(Errno::EINVAL)?;
                trace::vector(current, tid, |area| set_legacy(area, full), true)?;
            }
            _ if len < size => return Err(Errno::EFAULT),
            _ => {
                // What software may use is the kernel's to say.
                given.get_mut(XCR0_AT..FXSAVE_BYTES).ok_or(Errno::EINVAL)?.fill(0);
                trace::vector(current, tid, |area| *area = given, true)?;
            }
        }
    } else {
        let bytes = match kind {
            NT_PRSTATUS => look(current, tid, |state| Ok(UserRegs::of(state)))?.as_bytes().to_vec(),
            _ => {
                let mut area = trace::vector(current, tid, |area| area.clone(), false)?;
                if kind == NT_X86_XSTATE {
                    let mask = platform().vector_state_mask().to_ne_bytes();
                    area.get_mut(XCR0_AT..XCR0_AT + 8).ok_or(Errno::EIO)?.copy_from_slice(&mask);
                }
                area
            }
        };
        current.copy_out(at, bytes.get(..len).ok_or(Errno::EIO)?)?;
    }
    iovec.len = len as u64;
    vector.write(current, &iovec)
}

/// Replaces the x87 and SSE part of a vector state.
fn set_legacy(area: &mut [u8], given: &[u8; FXSAVE_BYTES]) {
    if let Some(place) = area.get_mut(..FXSAVE_BYTES) {
        place.copy_from_slice(given);
    }
    if let Some(components) = area.get_mut(XSTATE_BV_AT) {
        *components |= 0b11;
    }
}

/// struct ptrace_syscall_info: the part before the union, and its longest member.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct CallInfo {
    op: u8,
    pad: [u8; 3],
    arch: u32,
    instruction_pointer: u64,
    stack_pointer: u64,
    union: [u64; 8],
}

const _: () = assert!(size_of::<CallInfo>() == size_of::<raw::ptrace_syscall_info>());

/// PTRACE_GET_SYSCALL_INFO: returns how much there is to know, and copies out as much of it as fits.
fn syscall_info(current: &Current, tid: Tid, size: u64, out: UserVa) -> Result<u64, Fail> {
    let (info, known) = look(current, tid, |state| {
        let r = state.regs;
        let mut info =
            CallInfo { arch: AUDIT_ARCH, instruction_pointer: r.rip, stack_pointer: r.rsp, ..CallInfo::default() };
        let head = core::mem::offset_of!(CallInfo, union);
        let known = match state.stop.map(|stop| stop.kind) {
            Some(Kind::Entry) => {
                info.op = raw::PTRACE_SYSCALL_INFO_ENTRY as u8;
                info.union = [state.call.unwrap_or(u64::MAX), r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9, 0];
                head + 7 * 8
            }
            Some(Kind::Filter) => {
                info.op = raw::PTRACE_SYSCALL_INFO_SECCOMP as u8;
                let number = state.call.unwrap_or(u64::MAX);
                info.union = [number, r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9, state.message];
                head + 7 * 8 + 4
            }
            Some(Kind::Exit) => {
                info.op = raw::PTRACE_SYSCALL_INFO_EXIT as u8;
                // The highest 4,095 values are errnos.
                let failed = r.rax > u64::MAX - 4095;
                info.union = [r.rax, u64::from(failed), 0, 0, 0, 0, 0, 0];
                head + 9
            }
            _ => head,
        };
        Ok((info, known))
    })?;
    let len = usize::try_from(size).unwrap_or(usize::MAX).min(known);
    current.copy_out(out, info.as_bytes().get(..len).unwrap_or_default())?;
    Ok(known as u64)
}

pub(super) const ROWS: &[Row] = &[row!(
    ptrace = ptrace(4),
    Partial,
    "a tracer is a process, not one of its threads; no hardware breakpoints, no PEEKSIGINFO"
)];
