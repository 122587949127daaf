//! Classic BPF: a program is a list of forward jumps over two registers and a few words of memory, so it ends.
//!
//! What may stand in a program depends on what it is for (`seccomp::program`, `net::filter`); the checks that are common and
//! the machine are here. `execute` trusts nothing: what passes no check merely ends the program.

use crate::errno::Errno;
use alloc::vec;
use linux_raw_sys::ptrace as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// struct sock_filter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Instruction {
    /// What to do: class, size or operation, mode or source.
    pub code: u16,
    /// Instructions to skip where a comparison holds.
    pub jt: u8,
    /// Instructions to skip where it does not.
    pub jf: u8,
    /// Constant.
    pub k: u32,
}

const _: () = assert!(size_of::<Instruction>() == size_of::<raw::sock_filter>());

/// Instructions of a program at most.
pub const MAX_INSTRUCTIONS: usize = raw::BPF_MAXINSNS as usize;
const WORDS: usize = raw::BPF_MEMWORDS as usize;

// Whole operation codes, as `match` needs them.
/// Load a word of the data.
pub const LD_ABS: u32 = raw::BPF_LD | raw::BPF_W | raw::BPF_ABS;
/// Load a half word.
pub const LDH_ABS: u32 = raw::BPF_LD | raw::BPF_H | raw::BPF_ABS;
/// Load a byte.
pub const LDB_ABS: u32 = raw::BPF_LD | raw::BPF_B | raw::BPF_ABS;
/// As these, at a place that X counts for, too.
pub const LD_IND: u32 = raw::BPF_LD | raw::BPF_W | raw::BPF_IND;
/// A half word.
pub const LDH_IND: u32 = raw::BPF_LD | raw::BPF_H | raw::BPF_IND;
/// A byte.
pub const LDB_IND: u32 = raw::BPF_LD | raw::BPF_B | raw::BPF_IND;
/// Length of an IPv4 header, by its first byte.
pub const LDX_MSH: u32 = raw::BPF_LDX | raw::BPF_B | raw::BPF_MSH;
const LD_LEN: u32 = raw::BPF_LD | raw::BPF_W | raw::BPF_LEN;
const LD_IMM: u32 = raw::BPF_LD | raw::BPF_IMM;
const LD_MEM: u32 = raw::BPF_LD | raw::BPF_MEM;
const LDX_LEN: u32 = raw::BPF_LDX | raw::BPF_W | raw::BPF_LEN;
const LDX_IMM: u32 = raw::BPF_LDX | raw::BPF_IMM;
const LDX_MEM: u32 = raw::BPF_LDX | raw::BPF_MEM;
const TAX: u32 = raw::BPF_MISC | raw::BPF_TAX;
const TXA: u32 = raw::BPF_MISC | raw::BPF_TXA;
const RET_K: u32 = raw::BPF_RET | raw::BPF_K;
const RET_A: u32 = raw::BPF_RET | raw::BPF_A;
const JA: u32 = raw::BPF_JMP | raw::BPF_JA;
const NEG: u32 = raw::BPF_ALU | raw::BPF_NEG;

/// The class of an operation code (BPF_CLASS).
const CLASS: u32 = 0x07;
/// The operation of arithmetic and jumps (BPF_OP).
const OPERATION: u32 = 0xf0;

/// Runs a program on data of `len` bytes, of which `load` gives 1, 2 or 4 at an offset, as a number. `None` where it divides by
/// zero or wants data that `load` does not know.
#[inline]
pub fn execute(program: &[Instruction], len: u32, load: impl Fn(u32, u32) -> Option<u32>) -> Option<u32> {
    let (mut a, mut x, mut memory) = (0u32, 0u32, [0u32; WORDS]);
    let mut at = 0usize;
    loop {
        let instruction = program.get(at)?;
        let (code, k) = (u32::from(instruction.code), instruction.k);
        at += 1;
        match code {
            LD_ABS => a = load(4, k)?,
            LDH_ABS => a = load(2, k)?,
            LDB_ABS => a = load(1, k)?,
            LD_IND => a = load(4, x.wrapping_add(k))?,
            LDH_IND => a = load(2, x.wrapping_add(k))?,
            LDB_IND => a = load(1, x.wrapping_add(k))?,
            LDX_MSH => x = (load(1, k)? & 0xf) << 2,
            LD_LEN => a = len,
            LD_IMM => a = k,
            LD_MEM => a = *memory.get(k as usize)?,
            LDX_LEN => x = len,
            LDX_IMM => x = k,
            LDX_MEM => x = *memory.get(k as usize)?,
            raw::BPF_ST => *memory.get_mut(k as usize)? = a,
            raw::BPF_STX => *memory.get_mut(k as usize)? = x,
            TAX => x = a,
            TXA => a = x,
            RET_K => return Some(k),
            RET_A => return Some(a),
            NEG => a = a.wrapping_neg(),
            JA => at += k as usize,
            _ => {
                let operand = if code & raw::BPF_X != 0 { x } else { k };
                if code & CLASS == raw::BPF_ALU {
                    a = arithmetic(code & OPERATION, a, operand)?;
                } else {
                    let holds = match code & OPERATION {
                        raw::BPF_JEQ => a == operand,
                        raw::BPF_JGT => a > operand,
                        raw::BPF_JGE => a >= operand,
                        _ => a & operand != 0,
                    };
                    at += usize::from(if holds { instruction.jt } else { instruction.jf });
                }
            }
        }
    }
}

/// `None`: a division by zero, which ends the program with 0.
fn arithmetic(operation: u32, a: u32, operand: u32) -> Option<u32> {
    Some(match operation {
        raw::BPF_ADD => a.wrapping_add(operand),
        raw::BPF_SUB => a.wrapping_sub(operand),
        raw::BPF_MUL => a.wrapping_mul(operand),
        raw::BPF_DIV => a.checked_div(operand)?,
        raw::BPF_MOD => a.checked_rem(operand)?,
        raw::BPF_AND => a & operand,
        raw::BPF_OR => a | operand,
        raw::BPF_XOR => a ^ operand,
        // A shift by a register counts modulo 32.
        raw::BPF_LSH => a.wrapping_shl(operand),
        _ => a.wrapping_shr(operand),
    })
}

/// Checks a program: EINVAL unless each instruction is a common one or `also` takes it, jumps stay inside, the end returns, and
/// no word of memory is read on a way that did not write it.
pub fn check(code: &[Instruction], also: impl Fn(&Instruction) -> bool) -> Result<(), Errno> {
    let last_returns = code.last().is_some_and(|last| matches!(u32::from(last.code), RET_K | RET_A));
    if code.len() > MAX_INSTRUCTIONS || !last_returns {
        return Err(Errno::EINVAL);
    }
    let fine = |(at, instruction)| is_common(instruction, code.len() - at - 1) || also(instruction);
    if code.iter().enumerate().all(fine) { check_memory(code) } else { Err(Errno::EINVAL) }
}

/// Whether every kind of program may have the instruction, which has `behind` others behind it.
fn is_common(instruction: &Instruction, behind: usize) -> bool {
    let (code, k) = (u32::from(instruction.code), instruction.k);
    match code {
        LD_LEN | LDX_LEN | LD_IMM | LDX_IMM | TAX | TXA | RET_K | RET_A | NEG => true,
        LD_MEM | LDX_MEM | raw::BPF_ST | raw::BPF_STX => (k as usize) < WORDS,
        JA => (k as usize) < behind,
        _ => match (code & CLASS, code & OPERATION, code & !(CLASS | OPERATION)) {
            (raw::BPF_ALU, raw::BPF_DIV, raw::BPF_K) => k != 0,
            (raw::BPF_ALU, raw::BPF_LSH | raw::BPF_RSH, raw::BPF_K) => k < 32,
            (
                raw::BPF_ALU,
                raw::BPF_ADD
                | raw::BPF_SUB
                | raw::BPF_MUL
                | raw::BPF_DIV
                | raw::BPF_AND
                | raw::BPF_OR
                | raw::BPF_XOR
                | raw::BPF_LSH
                | raw::BPF_RSH,
                raw::BPF_K | raw::BPF_X,
            ) => true,
            (raw::BPF_JMP, raw::BPF_JEQ | raw::BPF_JGT | raw::BPF_JGE | raw::BPF_JSET, raw::BPF_K | raw::BPF_X) => {
                usize::from(instruction.jt.max(instruction.jf)) < behind
            }
            _ => false,
        },
    }
}

fn check_memory(code: &[Instruction]) -> Result<(), Errno> {
    // Words written on every way to an instruction, a bit each.
    let mut written = vec![u16::MAX; code.len()];
    let mut now = 0u16;
    for (at, instruction) in code.iter().enumerate() {
        now &= written.get(at).copied().unwrap_or_default();
        let (op, k) = (u32::from(instruction.code), instruction.k);
        let mut meet = |skip: usize| {
            if let Some(there) = written.get_mut(at + 1 + skip) {
                *there &= now;
            }
        };
        match op {
            raw::BPF_ST | raw::BPF_STX => now |= 1u16.checked_shl(k).unwrap_or(0),
            LD_MEM | LDX_MEM if now & 1u16.checked_shl(k).unwrap_or(0) == 0 => return Err(Errno::EINVAL),
            JA => {
                meet(k as usize);
                now = u16::MAX;
            }
            _ if op & CLASS == raw::BPF_JMP => {
                meet(usize::from(instruction.jt));
                meet(usize::from(instruction.jf));
                now = u16::MAX;
            }
            _ => {}
        }
    }
    Ok(())
}
