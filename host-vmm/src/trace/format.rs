//! A record as a line, in strace's form.

use super::record::Record;
use super::signals::Status;
use super::text::{hex, octal};
use super::{arguments, flags, signals, time};
use linker::calls::{Returns, Set, Signature, signature};
use linker::trace::Kind;
use syscalls::Errno;

/// What a line says beside the call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// `[pid 12] ` before it: the thread's number, as strace's.
    pub pid: bool,
    /// The time of day when the call came, in UTC, before it.
    pub time: bool,
    /// How long it took, behind it.
    pub duration: bool,
}

/// The line, without its end.
pub fn line(record: &Record, options: &Options) -> String {
    let head = &record.head;
    let pid = if options.pid && record.kind != Kind::Lost { format!("[pid {}] ", head.tid) } else { String::new() };
    let time = if options.time { format!("{} ", time::of_day(head.start_ns)) } else { String::new() };
    let duration = if options.duration && record.kind == Kind::Call {
        let us = head.duration_ns / 1000;
        format!(" <{}.{:06}>", us / 1_000_000, us % 1_000_000)
    } else {
        String::new()
    };
    format!("{pid}{time}{}{duration}", event(record))
}

fn event(record: &Record) -> String {
    let head = &record.head;
    match record.kind {
        Kind::Call | Kind::Entry => {
            let call = Call::of(record);
            format!("{}({}) = {}", call.name, call.arguments.join(", "), call.result)
        }
        Kind::Lost => format!("+++ {} records lost: the reader is slower than the program +++", head.args[0]),
        Kind::End => match Status::of(head.result as i32) {
            Status::Exited(code) => format!("+++ exited with {code} +++"),
            Status::Killed { signal, core } => {
                format!("+++ killed by {}{} +++", signals::name(signal), if core { " (core dumped)" } else { "" })
            }
            Status::Stopped(_) | Status::Continued => format!("+++ status {:#x} +++", head.result),
        },
    }
}

/// A call's parts as text.
pub(super) struct Call {
    /// Its name; `syscall_0x190` for a number that Linux does not have.
    pub(super) name: String,
    /// Its arguments.
    pub(super) arguments: Vec<String>,
    /// Its result.
    pub(super) result: String,
}

impl Call {
    pub(super) fn of(record: &Record) -> Self {
        let head = &record.head;
        let Some(signature) = signature(head.number).map(|signature| signature.with(&head.args)) else {
            return Self {
                name: format!("syscall_{:#x}", head.number),
                arguments: head.args.map(hex).to_vec(),
                result: result(record, None),
            };
        };
        Self {
            name: signature.name().to_owned(),
            arguments: arguments::all(record, &signature),
            result: result(record, Some(&signature)),
        }
    }
}

/// The errno of a call that failed.
pub(super) fn errno(record: &Record) -> Option<Errno> {
    let errno = i32::try_from(record.head.result.checked_neg()?).ok().filter(|errno| (1..=ERRNO_MAX).contains(errno));
    errno.filter(|_| record.kind == Kind::Call).map(Errno::new)
}

/// The errno's name; a number for one without.
pub(super) fn errno_name(errno: Errno) -> String {
    errno.name().map_or_else(|| format!("ERRNO_{}", errno.into_raw()), str::to_owned)
}

/// linux/err.h's MAX_ERRNO, which no exported header has.
const ERRNO_MAX: i32 = 4095;
/// The kernel's own, which user space never sees, begin here (linux/errno.h, ERESTARTSYS).
const RESTARTS: i32 = 512;

fn result(record: &Record, signature: Option<&Signature>) -> String {
    let returns = signature.map_or(Returns::Int, |signature| signature.returns);
    if record.kind == Kind::Entry || returns == Returns::Never {
        return "?".to_owned();
    }
    if let Some(errno) = errno(record) {
        let name = errno_name(errno);
        return match errno.into_raw() {
            RESTARTS.. => format!("? {name} (To be restarted)"),
            number => format!("-1 {name} ({})", describe(number)),
        };
    }
    let result = record.head.result;
    let (value, word) = (result.cast_unsigned(), u64::from(result as u32));
    match returns {
        Returns::Address | Returns::Hex => hex(value),
        Returns::Octal => octal(word),
        Returns::Flags(Set::Descriptor) if result == 0 => "0".to_owned(),
        Returns::Flags(set) => format!("{} (flags {})", hex(word), flags::show(set, word)),
        Returns::Choice(set) => format!("{result} ({})", flags::show(set, word)),
        Returns::Signal if result != 0 => format!("{result} ({})", signals::name(result as i32)),
        Returns::Ready if result == 0 => "0 (Timeout)".to_owned(),
        Returns::Ready => match signature.and_then(|signature| arguments::ready(record, signature)) {
            Some(events) => format!("{result} ({events})"),
            None => result.to_string(),
        },
        _ => result.to_string(),
    }
}

/// An errno's text; the standard library has strerror(3)'s, and adds the number.
fn describe(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    text.strip_suffix(&format!(" (os error {errno})")).map_or_else(|| text.clone(), str::to_owned)
}
