//! Classic BPF as seccomp(2) takes it: checked once, so that running it needs no trust; and run, on the call's data.
//!
//! The checks are those of Linux's `bpf_check_classic` and `seccomp_check_filter`; what passes them cannot leave its memory or
//! read what was not written. The machine is `crate::bpf`.

use super::{Call, Verdict};
use crate::bpf;
pub use crate::bpf::{Instruction, MAX_INSTRUCTIONS};
use crate::errno::Errno;
use alloc::vec::Vec;
use linux_raw_sys::ptrace as raw;

/// Bytes of struct seccomp_data: what BPF_LEN says, and where loads end.
const DATA_BYTES: u32 = size_of::<raw::seccomp_data>() as u32;

/// A checked program.
#[derive(Debug)]
pub struct Program(Vec<Instruction>);

impl Program {
    /// Checks `code`; EINVAL where Linux would not take it.
    pub fn new(code: Vec<Instruction>) -> Result<Self, Errno> {
        let word = |instruction: &Instruction| {
            let k = instruction.k;
            u32::from(instruction.code) == bpf::LD_ABS && k < DATA_BYTES && k.is_multiple_of(4)
        };
        bpf::check(&code, word)?;
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
        let verdict = bpf::execute(&self.0, DATA_BYTES, |_, offset| Some(load(call, offset)));
        verdict.map_or(Verdict::new(raw::SECCOMP_RET_KILL_THREAD), Verdict::new)
    }

    /// Whether it allows a call whatever its arguments are.
    pub fn always_allows(&self, number: u32) -> bool {
        let call = Call { number, ..Call::default() };
        // Only number and architecture are known.
        let known = |_, offset| (offset < 8).then(|| load(&call, offset));
        bpf::execute(&self.0, DATA_BYTES, known).map(Verdict::new) == Some(Verdict::ALLOW)
    }
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
