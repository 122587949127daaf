//! The table: one row a system call. It generates dispatch, trace names, `ringwall syscalls` and the compatibility page.

use super::{FromArg, IntoRet, SysResult, dispatch};
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
    /// How many arguments its handler takes.
    pub arguments: u8,
    /// What serves it.
    pub handler: Handler,
    /// How far.
    pub level: Level,
    /// What is missing, or why.
    pub note: &'static str,
}

/// A row's function; its arguments are still in the context's registers.
pub type Handler = fn(&mut Current) -> Answer;

/// How a row's function ended: small enough for two registers.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// What the call returns.
    pub value: u64,
    /// It does not: the reason is in `Current::fail`.
    pub failed: bool,
}

impl Answer {
    /// Calls a handler.
    #[inline(always)]
    pub fn of(current: &mut Current, serve: impl FnOnce(&mut Current) -> SysResult) -> Self {
        match serve(current) {
            Ok(value) => Self { value, failed: false },
            Err(fail) => {
                current.fail = fail;
                Self { value: 0, failed: true }
            }
        }
    }

    /// With its reason.
    pub fn result(self, current: &mut Current) -> SysResult {
        if self.failed { Err(core::mem::replace(&mut current.fail, super::Fail::NoReturn)) } else { Ok(self.value) }
    }
}

/// Calls `f` with typed arguments: the glue between a row and a handler.
macro_rules! row {
    ($name:ident = $($handler:ident)::+ ( $($arg:tt)* ), $level:ident, $note:literal) => {
        row!((Sysno::$name as u32) $name = $($handler)::+ ($($arg)*), $level, $note)
    };
    // A call that Linux does not have, by its number.
    (($number:expr) $name:ident = $($handler:ident)::+ ( $($arg:tt)* ), $level:ident, $note:literal) => {
        Row { number: $number, name: stringify!($name), arguments: row!(@count $($arg)*), handler: |current| $crate::syscall::table::Answer::of(current, |current| row!(@call current, $($handler)::+, $($arg)*)), level: Level::$level, note: $note }
    };
    (@count) => { 0 };
    (@count $count:literal) => { $count };
    // Only the registers that a call has are read.
    (@call $c:ident, $f:path, ) => { finish($f($c)) };
    (@call $c:ident, $f:path, 1) => {{ let a = $c.regs.rdi; finish($f($c, arg(a)?)) }};
    (@call $c:ident, $f:path, 2) => {{ let (a, b) = ($c.regs.rdi, $c.regs.rsi); finish($f($c, arg(a)?, arg(b)?)) }};
    (@call $c:ident, $f:path, 3) => {{ let (a, b, c) = ($c.regs.rdi, $c.regs.rsi, $c.regs.rdx); finish($f($c, arg(a)?, arg(b)?, arg(c)?)) }};
    (@call $c:ident, $f:path, 4) => {{ let (a, b, c, d) = ($c.regs.rdi, $c.regs.rsi, $c.regs.rdx, $c.regs.r10); finish($f($c, arg(a)?, arg(b)?, arg(c)?, arg(d)?)) }};
    (@call $c:ident, $f:path, 5) => {{ let (a, b, c, d, e) = ($c.regs.rdi, $c.regs.rsi, $c.regs.rdx, $c.regs.r10, $c.regs.r8); finish($f($c, arg(a)?, arg(b)?, arg(c)?, arg(d)?, arg(e)?)) }};
    (@call $c:ident, $f:path, 6) => {{ let (a, b, c, d, e, f) = ($c.regs.rdi, $c.regs.rsi, $c.regs.rdx, $c.regs.r10, $c.regs.r8, $c.regs.r9); finish($f($c, arg(a)?, arg(b)?, arg(c)?, arg(d)?, arg(e)?, arg(f)?)) }};
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
    super::absent::ROWS,
    super::aio::ROWS,
    super::memory::ROWS,
    super::dir::ROWS,
    super::fanotify::ROWS,
    super::fd::ROWS,
    super::file::ROWS,
    super::epoll::ROWS,
    super::eventfd::ROWS,
    super::pidfd::ROWS,
    super::pipe::ROWS,
    super::poll::ROWS,
    super::futex::ROWS,
    super::handle::ROWS,
    super::ids::ROWS,
    super::inotify::ROWS,
    super::ipc::ROWS,
    super::keys::ROWS,
    super::landlock::ROWS,
    super::prctl::ROWS,
    super::ptrace::ROWS,
    super::rseq::ROWS,
    super::sched::ROWS,
    super::seccomp::ROWS,
    super::mount::ROWS,
    super::mount_api::ROWS,
    super::mount_query::ROWS,
    super::namespace::ROWS,
    super::numa::ROWS,
    super::path::ROWS,
    super::shm::ROWS,
    super::signal::ROWS,
    super::socket::ROWS,
    super::stat::ROWS,
    super::system::ROWS,
    super::task::ROWS,
    super::time::ROWS,
    super::perf::ROWS,
    super::timerfd::ROWS,
    super::uring::ROWS,
    super::userfaultfd::ROWS,
    super::xattr::ROWS,
];

/// Numbers below this are looked up in the table.
pub const NUMBERS: usize = 512;

/// Serves numbers without a row.
#[cold]
pub fn absent(current: &mut Current) -> Answer {
    Answer::of(current, |current| Err(super::policy::missing(current.regs.rax)))
}

/// Where calls go that are not simply served (`policy`): slots behind those of the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Detour {
    /// Whatever there is to look at is looked for.
    Watched = NUMBERS as u16,
    /// A record is made of the call, and of what its arguments point to.
    Recorded,
    /// A record is made of the call, whose arguments are numbers.
    Numbers,
}

/// Numbers and detours fit; a power of two, so that a mask does for a check.
pub const SLOTS: usize = 2 * NUMBERS;

/// The handlers by number, and the detours, for the dispatcher.
pub static HANDLERS: [Handler; SLOTS] = {
    let mut handlers: [Handler; SLOTS] = [absent; SLOTS];
    handlers[Detour::Watched as usize] = dispatch::watched;
    handlers[Detour::Recorded as usize] = dispatch::recorded;
    handlers[Detour::Numbers as usize] = dispatch::numbers;
    let mut taken = [false; NUMBERS];
    let mut family = 0;
    while family < FAMILIES.len() {
        let mut index = 0;
        while index < FAMILIES[family].len() {
            let row = &FAMILIES[family][index];
            let number = row.number as usize;
            assert!(!taken[number], "two rows for one system call");
            taken[number] = true;
            handlers[number] = row.handler;
            index += 1;
        }
        family += 1;
    }
    handlers
};

/// What a row says of its call, without what serves it: a program that only prints it holds no handler.
#[derive(Clone, Copy)]
pub struct Description {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: &'static str,
    /// How far it is supported.
    pub level: Level,
    /// What is missing, or why.
    pub note: &'static str,
}

const ROWS: usize = {
    let (mut sum, mut family) = (0, 0);
    while family < FAMILIES.len() {
        sum += FAMILIES[family].len();
        family += 1;
    }
    sum
};

/// All descriptions, in the table's order.
pub static DESCRIPTIONS: [Description; ROWS] = {
    let mut all = [Description { number: 0, name: "", level: Level::Unsupported, note: "" }; ROWS];
    let (mut next, mut family) = (0, 0);
    while family < FAMILIES.len() {
        let mut index = 0;
        while index < FAMILIES[family].len() {
            let Row { number, name, level, note, .. } = FAMILIES[family][index];
            all[next] = Description { number, name, level, note };
            next += 1;
            index += 1;
        }
        family += 1;
    }
    all
};

/// All rows, in the table's order.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    FAMILIES.iter().flat_map(|family| family.iter())
}
