//! Registers as ptrace(2) shows them: struct user_regs_struct, and the note types of register sets.

use crate::errno::Errno;
use crate::platform::UserContext;
use crate::task::trace::State;
use linker::layout::USER_END;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// struct user_regs_struct of x86-64 (asm/user_64.h).
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct UserRegs {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    rbp: u64,
    rbx: u64,
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    rax: u64,
    rcx: u64,
    rdx: u64,
    rsi: u64,
    rdi: u64,
    orig_rax: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
    fs_base: u64,
    gs_base: u64,
    ds: u64,
    es: u64,
    fs: u64,
    gs: u64,
}

const _: () = assert!(size_of::<UserRegs>() == 27 * 8);

/// Flags that a tracer may change (arch/x86: FLAG_MASK): CF, PF, AF, ZF, SF, TF, DF, OF, RF, AC (Intel SDM vol. 1, 3.4.3).
const FLAGS: u64 = 0x50dd5;
/// Bytes of struct user, behind whose registers there is nothing to see here but zeroes (asm/user_64.h).
const STRUCT_USER: u64 = 912;

impl UserRegs {
    /// What a stopped thread published.
    pub fn of(state: &State) -> Self {
        Self::in_call(&state.regs, state.call)
    }

    /// A thread's registers, and the number of the call that it is in.
    pub fn in_call(r: &UserContext, call: Option<u64>) -> Self {
        Self {
            r15: r.r15,
            r14: r.r14,
            r13: r.r13,
            r12: r.r12,
            rbp: r.rbp,
            rbx: r.rbx,
            r11: r.r11,
            r10: r.r10,
            r9: r.r9,
            r8: r.r8,
            rax: r.rax,
            rcx: r.rcx,
            rdx: r.rdx,
            rsi: r.rsi,
            rdi: r.rdi,
            orig_rax: call.unwrap_or(u64::MAX),
            rip: r.rip,
            cs: r.cs,
            rflags: r.rflags,
            rsp: r.rsp,
            ss: r.ss,
            fs_base: r.fs_base,
            gs_base: r.gs_base,
            ..Self::default()
        }
    }

    /// Changes what the thread goes on with. EIO where a base is not in the user half; selectors stay as they are.
    pub fn install(&self, state: &mut State) -> Result<(), Errno> {
        if self.fs_base >= USER_END || self.gs_base >= USER_END {
            return Err(Errno::EIO);
        }
        let old = state.regs;
        state.regs = UserContext {
            r15: self.r15,
            r14: self.r14,
            r13: self.r13,
            r12: self.r12,
            rbp: self.rbp,
            rbx: self.rbx,
            r11: self.r11,
            r10: self.r10,
            r9: self.r9,
            r8: self.r8,
            rax: self.rax,
            rcx: self.rcx,
            rdx: self.rdx,
            rsi: self.rsi,
            rdi: self.rdi,
            rip: self.rip,
            rflags: old.rflags & !FLAGS | self.rflags & FLAGS,
            rsp: self.rsp,
            fs_base: self.fs_base,
            gs_base: self.gs_base,
            ..old
        };
        state.call = Some(self.orig_rax).filter(|number| (*number as i64) >= 0);
        Ok(())
    }

    /// PTRACE_PEEKUSER: the word at an offset in struct user.
    pub fn word(state: &State, offset: u64) -> Result<u64, Errno> {
        if !offset.is_multiple_of(8) || offset >= STRUCT_USER {
            return Err(Errno::EIO);
        }
        let regs = Self::of(state);
        let word =
            usize::try_from(offset).ok().and_then(|at| regs.as_bytes().get(at..at + 8)?.first_chunk::<8>().copied());
        Ok(word.map_or(0, u64::from_ne_bytes))
    }

    /// PTRACE_POKEUSER. Behind the registers only zeroes may be written: there are no debug registers to set.
    pub fn set_word(state: &mut State, offset: u64, value: u64) -> Result<(), Errno> {
        if !offset.is_multiple_of(8) || offset >= STRUCT_USER {
            return Err(Errno::EIO);
        }
        let mut regs = Self::of(state);
        let at = usize::try_from(offset).map_err(|_| Errno::EIO)?;
        match regs.as_mut_bytes().get_mut(at..at + 8) {
            Some(place) => {
                place.copy_from_slice(&value.to_ne_bytes());
                regs.install(state)
            }
            None if value == 0 => Ok(()),
            None => Err(Errno::EIO),
        }
    }
}
