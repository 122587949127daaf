//! The calls: for each row of the sentry's table, what its arguments are and what comes of it. A test keeps this list and the table equal.

mod files;
mod memory;
mod network;
mod process;
mod system;

use crate::pool::{Class, Id};
use crate::value::Kind;
use syscalls::Sysno;

pub use files::OPEN_FLAGS;
pub use process::CLONE_FLAGS;

/// What a call leaves behind.
#[derive(Clone, Copy, Debug)]
pub enum Gives {
    Nothing,
    /// Its result is a descriptor.
    Fd(Class),
    /// Two descriptors, where that argument points.
    Pair(usize, Class),
    /// Its result is an id.
    Id(Id),
    /// Where that argument points there is an id.
    IdAt(usize, Id),
    /// Its result is an address.
    Area,
    /// A child that goes on like its parent for a while, or runs a few steps of its own where it shares memory.
    Child,
    /// It is not made here: it would end the fuzzer rather than test the kernel. A scenario makes it.
    Apart,
}

/// One call.
pub struct Call {
    pub sysno: Sysno,
    pub args: &'static [Kind],
    pub gives: Gives,
    /// It is made in one of so many cases where its turn comes: it ends, stops or delays what else the thread would do.
    pub rare: u64,
}

/// `name(kinds) gives rare`.
macro_rules! calls {
    ($($name:ident($($arg:expr),* $(,)?) $(= $gives:expr)? $(, 1 in $rare:literal)?;)*) => {
        &[$(crate::calls::Call {
            sysno: syscalls::Sysno::$name,
            args: &[$($arg),*],
            gives: calls!(@gives $($gives)?),
            rare: calls!(@rare $($rare)?),
        }),*]
    };
    (@gives) => { crate::calls::Gives::Nothing };
    (@gives $gives:expr) => { $gives };
    (@rare) => { 1 };
    (@rare $rare:literal) => { $rare };
}
use calls;

/// Constants of a crate as 64-bit words.
macro_rules! bits {
    ($from:ident: $($name:ident)*) => { &[$($from::$name as u64),*] };
}
use bits;

/// All of them, by family: calls of one family meet each other more often than others.
pub const FAMILIES: &[&[Call]] = &[
    files::OPENING,
    files::NAMES,
    files::DATA,
    files::DESCRIPTORS,
    files::ATTRIBUTES,
    files::WAITING,
    files::MOUNTS,
    memory::MAPPINGS,
    memory::SHARED,
    network::SOCKETS,
    process::THREADS,
    process::SIGNALS,
    process::IDS,
    process::SCHEDULING,
    system::TIME,
    system::IPC,
    system::SYSTEM,
    system::ABSENT,
];

#[cfg(test)]
mod tests {
    use super::FAMILIES;
    use sentry::syscall::table::{Level, rows};

    #[test]
    fn every_row_of_the_table_is_described_here_with_its_arguments() {
        let mut wrong = Vec::new();
        for row in rows() {
            let mut found =
                FAMILIES.iter().flat_map(|family| family.iter()).filter(|call| call.sysno as u32 == row.number);
            match (found.next(), found.next()) {
                (Some(call), None)
                    if row.level == Level::Unsupported || call.args.len() == usize::from(row.arguments) => {}
                (Some(call), None) => {
                    wrong.push(format!("{} takes {}, not {}", row.name, row.arguments, call.args.len()))
                }
                (Some(_), Some(_)) => wrong.push(format!("{} twice", row.name)),
                (None, _) => wrong.push(format!("{} is missing", row.name)),
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
