//! What a tracer copies of the caller's memory.

use super::{Arg, Count, Nested, Returns, Shape, Signature};

/// Bytes of a data buffer, or of each element of an iovec.
pub const DATA_MAX: u32 = 32;
/// Bytes of a string.
pub const STRING_MAX: u32 = 255;
/// Elements of an iovec or of argv.
pub const ELEMENTS_MAX: u32 = 8;
/// Elements of an array of structs.
pub const STRUCTS_MAX: u32 = 32;
/// Bytes of any one capture: what a tracer needs room for.
pub const CAPTURE_MAX: u32 = 512;
/// Bytes of a set of CPUs or descriptors.
const BITS_MAX: u64 = 128;
/// Bytes of a socket's address: `sockaddr_storage`, in which every one fits.
pub(super) const SOCKET_ADDRESS_MAX: u32 = size_of::<linux_raw_sys::net::__kernel_sockaddr_storage>() as u32;
/// The highest errno: a result from -4095 to -1 is one (linux/err.h's MAX_ERRNO, which no exported header has).
const ERRNO_MAX: i64 = 4095;

/// A place of the caller's memory to copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// The argument that points there.
    pub argument: u8,
    /// Where it is; never NULL.
    pub address: u64,
    /// What is there.
    pub what: What,
}

/// What is at a place, and how to record it. What cannot be read is not recorded: the printer then shows the address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// A NUL-terminated string: one `Capture` of its bytes without the NUL, at most `max`; `Capture::CUT` when more.
    String {
        /// Bytes at most.
        max: u32,
    },
    /// So many bytes: one `Capture`; `Capture::CUT` when `cut`.
    Bytes {
        /// How many.
        len: u32,
        /// There are more than these.
        cut: bool,
    },
    /// Bytes whose number is the `u32` at `length_at`: one `Capture` of at most `max`; `Capture::CUT` when more.
    Counted {
        /// Where their number is.
        length_at: u64,
        /// Bytes at most.
        max: u32,
    },
    /// An iovec: one `Capture` of the `count` structs (`Capture::CUT` when `cut`), then one with `Capture::ELEMENT` for each
    /// one's data: at most `DATA_MAX` bytes (`Capture::CUT` when more), and `limit` bytes in all the elements together.
    Iovec {
        /// How many structs.
        count: u32,
        /// There are more than these.
        cut: bool,
        /// How many bytes of data there are at most.
        limit: u64,
    },
    /// Pointers to strings, ended by NULL: one `Capture` of the pointers without NULL, at most `max_elements`
    /// (`Capture::CUT` when more), then one with `Capture::ELEMENT` for each string, as for `String`, of at most `DATA_MAX`.
    Strings {
        /// Pointers at most.
        max_elements: u32,
    },
    /// Structs that point to more: one `Capture` of the structs, then what `Nested::parts` says of each, as its number's parts.
    Structs {
        /// What they are.
        of: Nested,
        /// How many.
        count: u32,
        /// There are more than these.
        cut: bool,
    },
    /// Pointers to such structs: one `Capture` of the pointers, then of each one with `Capture::ELEMENT` and its parts.
    Pointers {
        /// What is behind them.
        of: Nested,
        /// How many.
        count: u32,
        /// There are more than these.
        cut: bool,
    },
}

/// What to copy when the call comes (`result` is none) or when it has returned `result`, in the order of the arguments. For an
/// argument that is both taken and changed, the copy at entry stands before the one at exit. A call that failed has filled in
/// nothing.
pub fn captures(signature: &Signature, args: &[u64; 6], result: Option<i64>) -> impl Iterator<Item = Wanted> {
    let signature = signature.with(args);
    let args = *args;
    let worth_a_look = match result {
        None => true,
        Some(0) => !matches!(signature.returns, Returns::Ready | Returns::Child),
        // An address above the half is not an error, though negative.
        Some(result) => !(-ERRNO_MAX..0).contains(&result),
    };
    (0u8..).zip(args).zip(signature.args).filter_map(move |((argument, address), kind)| {
        let at = |index: u8| args.get(usize::from(index)).copied().unwrap_or(0);
        let what = match result {
            _ if address == 0 || !worth_a_look => None,
            None => at_entry(*kind, at),
            Some(result) => at_exit(*kind, at, u64::try_from(result).unwrap_or(0)),
        };
        what.map(|what| Wanted { argument, address, what })
    })
}

/// Whether an argument of this kind is nothing but its register.
pub(super) fn takes_no_memory(kind: Arg) -> bool {
    // As if every other argument were 1: lengths and addresses are there.
    at_entry(kind, |_| 1).is_none() && at_exit(kind, |_| 1, 1).is_none()
}

fn at_entry(kind: Arg, at: impl Fn(u8) -> u64) -> Option<What> {
    match kind {
        Arg::Path | Arg::Text => Some(What::String { max: STRING_MAX }),
        Arg::Strings => Some(What::Strings { max_elements: ELEMENTS_MAX }),
        Arg::BytesIn(len) => Some(data(at(len))),
        // The length is an `int`: a negative one is not a long address.
        Arg::OptionIn(len) => Some(data(u64::try_from(at(len) as i32).unwrap_or(0))),
        Arg::VectorIn(count) => Some(vector(at(count), u64::MAX)),
        Arg::In(shape) | Arg::InOut(shape) => Some(whole(shape)),
        Arg::ArrayIn(shape, count) => Some(array(shape, elements(count, at, u64::MAX))),
        Arg::MessageIn => Some(What::Structs { of: Nested::Message { limit: u64::MAX }, count: 1, cut: false }),
        // How long a name and control messages may be.
        Arg::MessageOut => Some(whole(Shape::Message)),
        Arg::MessagesIn(count) => Some(structs(Nested::Sent, at(count))),
        Arg::MessagesOut(count) => Some(headers(at(count))),
        Arg::Requests(count) => {
            let (count, cut) = clamp(at(count), ELEMENTS_MAX);
            Some(What::Pointers { of: Nested::Request, count, cut })
        }
        Arg::FilesUpdate(count) => {
            Some(What::Structs { of: Nested::FilesUpdate { count: at(count) }, count: 1, cut: false })
        }
        Arg::Poll(count) => Some(pollfds(at(count))),
        Arg::FdSet(count) => Some(fd_set(at(count))),
        Arg::CpusIn(len) => Some(bits(at(len))),
        Arg::SocketAddressIn(len) => match u32::try_from(at(len) as i32).unwrap_or(0) {
            0 => None,
            len => Some(What::Bytes { len: len.min(SOCKET_ADDRESS_MAX), cut: false }),
        },
        _ => None,
    }
}

fn at_exit(kind: Arg, at: impl Fn(u8) -> u64, result: u64) -> Option<What> {
    match kind {
        Arg::TextOut => Some(What::String { max: STRING_MAX }),
        // A call may return more than it was given room for (getxattr without any).
        Arg::BytesOut(len) => Some(data(at(len).min(result))),
        Arg::VectorOut(count) => Some(vector(at(count), result)),
        Arg::Out(shape) | Arg::InOut(shape) => Some(whole(shape)),
        Arg::ArrayOut(shape, count) => Some(array(shape, elements(count, at, result))),
        Arg::MessageOut => Some(What::Structs { of: Nested::Message { limit: result }, count: 1, cut: false }),
        // How much of each was sent.
        Arg::MessagesIn(count) => Some(headers(at(count).min(result))),
        Arg::MessagesOut(count) => Some(structs(Nested::Received, at(count).min(result))),
        Arg::Poll(count) => Some(pollfds(at(count))),
        Arg::FdSet(count) => Some(fd_set(at(count))),
        Arg::CpusOut(len) => Some(bits(at(len).min(result))),
        Arg::SocketAddressOut(len) => counted(at(len), SOCKET_ADDRESS_MAX),
        Arg::OptionOut(len) => counted(at(len), DATA_MAX),
        _ => None,
    }
}

fn whole(shape: Shape) -> What {
    What::Bytes { len: shape.size(), cut: false }
}

/// A count of messages is an `unsigned int`.
fn structs(of: Nested, count: u64) -> What {
    let (count, cut) = clamp(u64::from(count as u32), ELEMENTS_MAX);
    What::Structs { of, count, cut }
}

/// `mmsghdr`s alone.
fn headers(count: u64) -> What {
    let (count, cut) = clamp(u64::from(count as u32), ELEMENTS_MAX);
    What::Bytes { len: count * Nested::Sent.size(), cut }
}

pub(super) fn data(len: u64) -> What {
    let (len, cut) = clamp(len, DATA_MAX);
    What::Bytes { len, cut }
}

fn counted(length_at: u64, max: u32) -> Option<What> {
    (length_at != 0).then_some(What::Counted { length_at, max })
}

pub(super) fn vector(count: u64, limit: u64) -> What {
    let (count, cut) = clamp(count, ELEMENTS_MAX);
    What::Iovec { count, cut, limit }
}

fn elements(count: Count, at: impl Fn(u8) -> u64, result: u64) -> u64 {
    match count {
        Count::Fixed(count) => u64::from(count),
        // They are an `int` in all calls but semop, where more than that is too many anyway.
        Count::Arg(index) => u64::try_from(at(index) as i32).unwrap_or(0),
        Count::Result(index) => u64::try_from(at(index) as i32).unwrap_or(0).min(result),
    }
}

fn array(shape: Shape, count: u64) -> What {
    let (count, cut) = clamp(count, STRUCTS_MAX.min(CAPTURE_MAX / shape.size()));
    What::Bytes { len: count * shape.size(), cut }
}

fn pollfds(count: u64) -> What {
    let (count, cut) = clamp(count, STRUCTS_MAX);
    What::Bytes { len: count * size_of::<linux_raw_sys::general::pollfd>() as u32, cut }
}

/// An `fd_set` is of whole longs.
fn fd_set(count: u64) -> What {
    let count = u64::try_from(count as i32).unwrap_or(0);
    bits(count.div_ceil(u64::from(u64::BITS)) * size_of::<u64>() as u64)
}

fn bits(len: u64) -> What {
    let len = len.min(BITS_MAX) as u32;
    What::Bytes { len, cut: false }
}

/// A length that a program says, and whether it is more than `max`.
pub(super) fn clamp(len: u64, max: u32) -> (u32, bool) {
    match u32::try_from(len) {
        Ok(len) if len <= max => (len, false),
        _ => (max, true),
    }
}
