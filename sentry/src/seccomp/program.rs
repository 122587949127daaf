//! Classic BPF as seccomp(2) takes it: checked once, so that running it needs no trust; and run, on the call's data.
//!
//! A program is a list of forward jumps, so it ends. The checks are those of Linux's `bpf_check_classic` and
//! `seccomp_check_filter`; what passes them cannot leave its memory or read what was not written.

use super::{Call, Verdict};
use crate::errno::Errno;
use alloc::vec;
use alloc::vec::Vec;
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
/// Bytes of struct seccomp_data: what BPF_LEN says, and where loads end.
const DATA_BYTES: u32 = size_of::<raw::seccomp_data>() as u32;
const WORDS: usize = raw::BPF_MEMWORDS as usize;

// Whole operation codes, as `match` needs them.
const LD_ABS: u32 = raw::BPF_LD | raw::BPF_W | raw::BPF_ABS;
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

/// A checked program.
#[derive(Debug)]
pub struct Program(Vec<Instruction>);

impl Program {
    /// Checks `code`; EINVAL where Linux would not take it.
    pub fn new(code: Vec<Instruction>) -> Result<Self, Errno> {
        let last_returns = code.last().is_some_and(|last| matches!(u32::from(last.code), RET_K | RET_A));
        if code.len() > MAX_INSTRUCTIONS || !last_returns {
            return Err(Errno::EINVAL);
        }
        for (at, instruction) in code.iter().enumerate() {
            check(instruction, code.len() - at - 1)?;
        }
        check_memory(&code)?;
        Ok(Self(code))
    }

    /// How many instructions there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none (there always are).
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What it says of a call.
    pub fn run(&self, call: &Call) -> Verdict {
        self.run_on(|offset| Some(load(call, offset))).map_or(Verdict::new(raw::SECCOMP_RET_KILL_THREAD), Verdict::new)
    }

    /// Whether it allows a call whatever its arguments are.
    pub fn always_allows(&self, number: u32) -> bool {
        let call = Call { number, ..Call::default() };
        // Only number and architecture are known.
        let known = |offset: u32| (offset < 8).then(|| load(&call, offset));
        self.run_on(known).map(Verdict::new) == Some(Verdict::ALLOW)
    }

    /// Runs; `None` where it divides by zero or wants data that `load` does not know.
    fn run_on(&self, load: impl Fn(u32) -> Option<u32>) -> Option<u32> {
        let (mut a, mut x, mut memory) = (0u32, 0u32, [0u32; WORDS]);
        let mut at = 0usize;
        loop {
            let instruction = self.0.get(at)?;
            let (code, k) = (u32::from(instruction.code), instruction.k);
            at += 1;
            match code {
                LD_ABS => a = load(k)?,
                LD_LEN => a = DATA_BYTES,
                LD_IMM => a = k,
                LD_MEM => a = *memory.get(k as usize)?,
                LDX_LEN => x = DATA_BYTES,
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
}

/// `None`: a division by zero, which ends the program with 0.
fn arithmetic(operation: u32, a: u32, operand: u32) -> Option<u32> {
    Some(match operation {
        raw::BPF_ADD => a.wrapping_add(operand),
        raw::BPF_SUB => a.wrapping_sub(operand),
        raw::BPF_MUL => a.wrapping_mul(operand),
        raw::BPF_DIV => a.checked_div(operand)?,
        raw::BPF_AND => a & operand,
        raw::BPF_OR => a | operand,
        raw::BPF_XOR => a ^ operand,
        // A shift by a register counts modulo 32.
        raw::BPF_LSH => a.wrapping_shl(operand),
        _ => a.wrapping_shr(operand),
    })
}

/// A word of struct seccomp_data.
fn load(call: &Call, offset: u32) -> u32 {
    let long = |value: u64| if offset.is_multiple_of(8) { value as u32 } else { (value >> 32) as u32 };
    match offset {
        0 => call.number,
        4 => raw::AUDIT_ARCH_X86_64,
        8 | 12 => long(call.address),
        _ => long(call.args.get((offset as usize).saturating_sub(16) / 8).copied().unwrap_or(0)),
    }
}

/// Whether seccomp takes the instruction, which has `behind` others behind it.
fn check(instruction: &Instruction, behind: usize) -> Result<(), Errno> {
    let (code, k) = (u32::from(instruction.code), instruction.k);
    let fine = match code {
        LD_ABS => k < DATA_BYTES && k.is_multiple_of(4),
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
    };
    if fine { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Whether no word of memory is read on any way that did not write it before.
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
