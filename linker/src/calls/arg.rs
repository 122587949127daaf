//! Kinds of arguments and results.

use super::{Set, Shape};

/// What an argument is. A number in a variant is the index of the argument that says how long it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arg {
    /// A register that the call has but does not look at; not shown.
    Unused,
    /// An `int`.
    Int,
    /// An `unsigned int`.
    Uint,
    /// A `long` or an offset.
    Long,
    /// A `size_t`.
    Size,
    /// A number that reads best in hexadecimal.
    Hex,
    /// A pointer whose target is not looked at.
    Address,
    /// A descriptor.
    Fd,
    /// A directory's descriptor, or AT_FDCWD.
    DirFd,
    /// A path.
    Path,
    /// Another NUL-terminated string.
    Text,
    /// A NUL-terminated string that the call fills in.
    TextOut,
    /// A vector of strings that ends with NULL: argv.
    Strings,
    /// A combination of flags.
    Flags(Set),
    /// One value out of a set.
    Choice(Set),
    /// Permissions.
    Mode,
    /// Permissions and the kind of a file.
    NodeMode,
    /// A device's number.
    Device,
    /// A signal.
    Signal,
    /// A process, thread or group.
    Pid,
    /// A user or group; -1 is none.
    Id,
    /// Data that the call takes.
    BytesIn(u8),
    /// Data that the call returns as many bytes of as its result says.
    BytesOut(u8),
    /// An iovec of data that the call takes.
    VectorIn(u8),
    /// An iovec of buffers that the call fills, as many bytes of them as its result says.
    VectorOut(u8),
    /// A struct that the call takes.
    In(Shape),
    /// A struct that the call fills in.
    Out(Shape),
    /// A struct that the call takes and changes.
    InOut(Shape),
    /// Several that the call takes.
    ArrayIn(Shape, Count),
    /// Several that the call fills in.
    ArrayOut(Shape, Count),
    /// A `msghdr` that is sent.
    MessageIn,
    /// A `msghdr` that the call fills in, with as many bytes as its result says.
    MessageOut,
    /// So many `mmsghdr`s that are sent, of which the result says how many were.
    MessagesIn(u8),
    /// So many `mmsghdr`s that the call fills in, of which the result says how many.
    MessagesOut(u8),
    /// Pointers to so many `iocb`s.
    Requests(u8),
    /// An `io_uring_files_update` of so many descriptors.
    FilesUpdate(u8),
    /// pollfds: events in, revents out.
    Poll(u8),
    /// An `fd_set` of that many descriptors: in, and out.
    FdSet(u8),
    /// A set of CPUs of that many bytes.
    CpusIn(u8),
    /// The same, of as many bytes as the result says.
    CpusOut(u8),
    /// A socket's address that the call takes.
    SocketAddressIn(u8),
    /// A socket's address that the call returns; its length is where that argument points.
    SocketAddressOut(u8),
    /// A socket option's value.
    OptionIn(u8),
    /// A socket option's value that the call returns; its length is where that argument points.
    OptionOut(u8),
}

/// How many elements an array has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Count {
    /// Always so many.
    Fixed(u8),
    /// As the argument with this index says.
    Arg(u8),
    /// As the call's result says, and at most as the argument with this index.
    Result(u8),
}

/// What a call returns when it succeeds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Returns {
    /// Nothing but success.
    Zero,
    /// A number.
    Int,
    /// A descriptor.
    Fd,
    /// An address.
    Address,
    /// Permissions.
    Octal,
    /// A number that reads best in hexadecimal.
    Hex,
    /// A process, thread or group.
    Pid,
    /// A child; 0 when none has changed, and then nothing was written.
    Child,
    /// A signal.
    Signal,
    /// How many of those asked about are ready; 0 after the time that was given.
    Ready,
    /// Flags.
    Flags(Set),
    /// One value out of a set.
    Choice(Set),
    /// It does not return.
    Never,
}
