//! What every x86-64 system call takes and returns: what a tracer has to copy of the caller's memory, and how to print it.
//!
//! `signature` finds a call's row (`rows`, a file a family); `Signature::with` narrows it to what its arguments select
//! (open without O_CREAT has no mode; fcntl's third argument depends on the second); `captures` says what to copy at entry
//! and at exit. Names of flags and the layout of structs are the printer's, in `host-vmm`: here they are only told apart.

mod arg;
mod captures;
mod nested;
mod operations;
mod rows;
mod set;
mod shape;
#[cfg(test)]
mod tests;
mod variant;

pub use arg::{Arg, Count, Returns};
pub use captures::{CAPTURE_MAX, DATA_MAX, ELEMENTS_MAX, STRING_MAX, STRUCTS_MAX, Wanted, What, captures};
pub use nested::{IOCB_CMD_PREADV, IOCB_CMD_PWRITEV, Message, Nested, Part, Request};
pub use set::Set;
pub use shape::Shape;
use syscalls::Sysno;

/// Numbers below this are looked up in the table.
const NUMBERS: usize = 512;

/// Signatures by number.
static TABLE: [Option<&Signature>; NUMBERS] = {
    let mut table: [Option<&Signature>; NUMBERS] = [None; NUMBERS];
    let mut family = 0;
    while family < rows::FAMILIES.len() {
        let rows = rows::FAMILIES[family];
        let mut index = 0;
        while index < rows.len() {
            let number = rows[index].call as usize;
            assert!(table[number].is_none(), "two rows for one system call");
            table[number] = Some(&rows[index]);
            index += 1;
        }
        family += 1;
    }
    table
};

/// The signature of the call with this number, if Linux has it.
pub fn signature(number: u32) -> Option<&'static Signature> {
    TABLE.get(usize::try_from(number).ok()?).copied().flatten()
}

/// A call's arguments and result.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    /// Which call.
    pub call: Sysno,
    /// Its arguments, in the registers' order.
    pub args: &'static [Arg],
    /// What it returns.
    pub returns: Returns,
}

impl Signature {
    /// The call's name.
    pub fn name(&self) -> &'static str {
        self.call.name()
    }

    /// Whether nothing is ever to be copied of the caller's memory (`captures`), whatever the arguments are.
    pub fn takes_no_memory(&self) -> bool {
        !variant::may_take_memory(self.call) && self.args.iter().all(|arg| captures::takes_no_memory(*arg))
    }

    /// The signature that these arguments select.
    pub fn with(&self, values: &[u64; 6]) -> Self {
        variant::variant(self, values)
    }
}

/// A row of the table.
const fn call(call: Sysno, args: &'static [Arg], returns: Returns) -> Signature {
    Signature { call, args, returns }
}
