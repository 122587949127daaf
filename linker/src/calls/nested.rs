//! Structs that point to more: what a tracer copies of that, and what the printer finds in them. Bytes that are not there read as 0.

use super::captures::{SOCKET_ADDRESS_MAX, clamp, data, vector};
use super::{Shape, What};
use crate::trace::Capture;
use core::mem::offset_of;
use linux_raw_sys::{io_uring, net};

/// Bytes of control messages.
const CONTROL_MAX: u32 = 256;
/// linux/aio_abi.h.
const IOCB_CMD_PWRITE: u16 = 1;
/// The same.
pub const IOCB_CMD_PREADV: u16 = 7;
/// The same.
pub const IOCB_CMD_PWRITEV: u16 = 8;

/// A struct that points to more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nested {
    /// A `msghdr`, of whose buffers so many bytes count.
    Message {
        /// How many.
        limit: u64,
    },
    /// An `mmsghdr` to be sent.
    Sent,
    /// An `mmsghdr` with as much in it as it says.
    Received,
    /// An `iocb`.
    Request,
    /// An `io_uring_files_update`.
    FilesUpdate {
        /// Of so many descriptors.
        count: u64,
    },
}

/// What one of them points to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// Which of `Capture::PARTS`.
    pub flags: u8,
    /// Where it is; never NULL.
    pub address: u64,
    /// What is there.
    pub what: What,
}

impl Nested {
    /// How many bytes it has itself.
    pub const fn size(self) -> u32 {
        match self {
            Self::Message { .. } => Shape::Message.size(),
            Self::Sent | Self::Received => size_of::<net::mmsghdr>() as u32,
            Self::Request => Shape::Iocb.size(),
            Self::FilesUpdate { .. } => Shape::FilesUpdate.size(),
        }
    }

    /// What these bytes of it point to.
    pub fn parts(self, bytes: &[u8]) -> impl Iterator<Item = Part> {
        let part = |flags, address, what| (address != 0).then_some(Part { flags, address, what });
        let parts = match self {
            Self::Message { limit } => Message::read(bytes).parts(limit),
            Self::Sent => Message::read(bytes).parts(u64::MAX),
            Self::Received => {
                let message = Message::read(bytes);
                message.parts(message.len.into())
            }
            Self::Request => {
                let Request { opcode, buffer, len, .. } = Request::read(bytes);
                let what = match opcode {
                    IOCB_CMD_PWRITE => Some((Capture::DATA, data(len))),
                    IOCB_CMD_PREADV => Some((Capture::VECTOR, vector(len, 0))),
                    IOCB_CMD_PWRITEV => Some((Capture::VECTOR, vector(len, u64::MAX))),
                    _ => None,
                };
                [what.and_then(|(flags, what)| part(flags, buffer, what)), None, None]
            }
            Self::FilesUpdate { count } => {
                let (count, cut) = clamp(u64::from(count as u32), CONTROL_MAX / Shape::I32.size());
                let what = What::Bytes { len: count * Shape::I32.size(), cut };
                let address = word(bytes, offset_of!(io_uring::io_uring_files_update, fds));
                [part(Capture::DATA, address, what), None, None]
            }
        };
        parts.into_iter().flatten()
    }
}

/// A `msghdr` or an `mmsghdr`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message {
    /// Where the other's address is.
    pub name: u64,
    /// How long that is.
    pub name_len: u32,
    /// Where the iovec is.
    pub vector: u64,
    /// How many elements that has.
    pub vector_len: u64,
    /// Where control messages are.
    pub control: u64,
    /// How long those are.
    pub control_len: u64,
    /// MSG_*.
    pub flags: u32,
    /// Of an `mmsghdr`: how much was sent or received.
    pub len: u32,
}

impl Message {
    /// Out of the struct's bytes.
    pub fn read(bytes: &[u8]) -> Self {
        Self {
            name: word(bytes, offset_of!(net::msghdr, msg_name)),
            name_len: half(bytes, offset_of!(net::msghdr, msg_namelen)),
            vector: word(bytes, offset_of!(net::msghdr, msg_iov)),
            vector_len: word(bytes, offset_of!(net::msghdr, msg_iovlen)),
            control: word(bytes, offset_of!(net::msghdr, msg_control)),
            control_len: word(bytes, offset_of!(net::msghdr, msg_controllen)),
            flags: half(bytes, offset_of!(net::msghdr, msg_flags)),
            len: half(bytes, offset_of!(net::mmsghdr, msg_len)),
        }
    }

    fn parts(&self, limit: u64) -> [Option<Part>; 3] {
        let part = |flags, address, what| (address != 0).then_some(Part { flags, address, what });
        // The length is an `int`: a negative one is none.
        let name_len = u32::try_from(self.name_len.cast_signed()).unwrap_or(0).min(SOCKET_ADDRESS_MAX);
        let (control_len, cut) = clamp(self.control_len, CONTROL_MAX);
        let name = What::Bytes { len: name_len, cut: false };
        let control = What::Bytes { len: control_len, cut };
        [
            part(Capture::NAME, self.name, name).filter(|_| name_len != 0),
            part(Capture::VECTOR, self.vector, vector(self.vector_len, limit)),
            part(Capture::CONTROL, self.control, control).filter(|_| control_len != 0),
        ]
    }
}

/// An `iocb` (linux/aio_abi.h).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// What the event says of it.
    pub data: u64,
    /// IOCB_CMD_*.
    pub opcode: u16,
    /// How urgent it is.
    pub priority: i16,
    /// The descriptor.
    pub fd: i32,
    /// Where the buffer or the iovec is.
    pub buffer: u64,
    /// How many bytes or elements that has.
    pub len: u64,
    /// Where in the file.
    pub offset: i64,
    /// IOCB_FLAG_*.
    pub flags: u32,
    /// The eventfd that is told.
    pub eventfd: i32,
}

impl Request {
    /// Out of the struct's bytes.
    pub fn read(bytes: &[u8]) -> Self {
        let [opcode, priority] = [0, 16].map(|shift| (half(bytes, 16) >> shift) as u16);
        Self {
            data: word(bytes, 0),
            opcode,
            priority: priority.cast_signed(),
            fd: half(bytes, 20).cast_signed(),
            buffer: word(bytes, 24),
            len: word(bytes, 32),
            offset: word(bytes, 40).cast_signed(),
            flags: half(bytes, 56),
            eventfd: half(bytes, 60).cast_signed(),
        }
    }
}

fn word(bytes: &[u8], offset: usize) -> u64 {
    bytes.get(offset..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

fn half(bytes: &[u8], offset: usize) -> u32 {
    bytes.get(offset..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}
