//! The table: one row a system call. It generates dispatch, trace names, `ringwall syscalls` and the compatibility page.

use super::{FromArg, IntoRet, SysResult};
use crate::task::Current;

/// How far a call is supported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// As Linux.
    Full,
    /// The note says what is missing.
    Partial,
    /// Answered with an errno; the note says why.
    Unsupported,
}

/// One call.
pub struct Row {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: &'static str,
    /// What serves it.
    pub handler: Handler,
    /// How far.
    pub level: Level,
    /// What is missing, or why.
    pub note: &'static str,
}

/// A row's function, arguments still raw: rdi, rsi, rdx, r10, r8, r9.
pub type Handler = fn(&mut Current, &[u64; 6]) -> SysResult;

/// Calls `f` with typed arguments: the glue between a row and a handler.
macro_rules! row {
    ($name:ident = $($handler:ident)::+ ( $($arg:tt)* ), $level:ident, $note:literal) => {
        row!((Sysno::$name as u32) $name = $($handler)::+ ($($arg)*), $level, $note)
    };
    // A call that Linux does not have, by its number.
    (($number:expr) $name:ident = $($handler:ident)::+ ( $($arg:tt)* ), $level:ident, $note:literal) => {
        Row { number: $number, name: stringify!($name), handler: |current, raw| row!(@call current, raw, $($handler)::+, $($arg)*), level: Level::$level, note: $note }
    };
    (@call $c:ident, $r:ident, $f:path, ) => { finish({ let _ = $r; $f($c) }) };
    (@call $c:ident, $r:ident, $f:path, 1) => { finish($f($c, arg($r[0])?)) };
    (@call $c:ident, $r:ident, $f:path, 2) => { finish($f($c, arg($r[0])?, arg($r[1])?)) };
    (@call $c:ident, $r:ident, $f:path, 3) => { finish($f($c, arg($r[0])?, arg($r[1])?, arg($r[2])?)) };
    (@call $c:ident, $r:ident, $f:path, 4) => { finish($f($c, arg($r[0])?, arg($r[1])?, arg($r[2])?, arg($r[3])?)) };
    (@call $c:ident, $r:ident, $f:path, 5) => { finish($f($c, arg($r[0])?, arg($r[1])?, arg($r[2])?, arg($r[3])?, arg($r[4])?)) };
    (@call $c:ident, $r:ident, $f:path, 6) => { finish($f($c, arg($r[0])?, arg($r[1])?, arg($r[2])?, arg($r[3])?, arg($r[4])?, arg($r[5])?)) };
}
pub(super) use row;

#[inline]
pub(super) fn arg<T: FromArg>(raw: u64) -> Result<T, super::Fail> {
    T::from_arg(raw).map_err(super::Fail::Errno)
}

#[inline]
pub(super) fn finish<T: IntoRet, E: Into<super::Fail>>(result: Result<T, E>) -> SysResult {
    match result {
        Ok(value) => Ok(value.into_ret()),
        Err(error) => Err(error.into()),
    }
}

/// Every family's rows. A family file ends with its own `ROWS`, so that handler and row stand together.
#[rustfmt::skip]
pub const FAMILIES: &[&[Row]] = &[
    #[cfg(test)]
    super::example::ROWS,
    super::memory::ROWS,
    super::dir::ROWS,
    super::fd::ROWS,
    super::file::ROWS,
    super::epoll::ROWS,
    super::eventfd::ROWS,
    super::pipe::ROWS,
    super::poll::ROWS,
    super::futex::ROWS,
    super::ids::ROWS,
    super::inotify::ROWS,
    super::prctl::ROWS,
    super::sched::ROWS,
    super::mount::ROWS,
    super::path::ROWS,
    super::signal::ROWS,
    super::stat::ROWS,
    super::system::ROWS,
    super::task::ROWS,
    super::time::ROWS,
    super::xattr::ROWS,
];

/// Numbers below this are looked up in the table.
pub const NUMBERS: usize = 512;

/// The handlers by number, for the dispatcher.
pub static HANDLERS: [Option<Handler>; NUMBERS] = {
    let mut handlers: [Option<Handler>; NUMBERS] = [None; NUMBERS];
    let mut family = 0;
    while family < FAMILIES.len() {
        let mut index = 0;
        while index < FAMILIES[family].len() {
            let row = &FAMILIES[family][index];
            let number = row.number as usize;
            assert!(handlers[number].is_none(), "two rows for one system call");
            handlers[number] = Some(row.handler);
            index += 1;
        }
        family += 1;
    }
    handlers
};

/// All rows, in the table's order.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    FAMILIES.iter().flat_map(|family| family.iter())
}
