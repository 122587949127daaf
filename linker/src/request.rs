//! The request ABI: what the guest may ask of the host. A request is 64 bytes that the host copies out before it looks at
//! them; anything malformed is answered with a negative errno, never with silence and never with a panic.
//!
//! Two kinds of handles: a *node* names a file by path and belongs to the gofer; a *file* is an open descriptor that the
//! gofer donated (or the CLI passed in, for standard streams) and belongs to the sandbox process. Handle numbers are given by the host.

use crate::addr::GuestPa;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A buffer in guest-physical memory, contiguous.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GuestBuf {
    /// First byte.
    pub pa: GuestPa,
    /// Length in bytes.
    pub len: u64,
}

/// `GuestBuf`s in a list at most, of segments (`Request::FLAG_SEGMENTS`: 1 MiB in 4 KiB pages) or of what is free (`Op::FreePages`).
pub const MAX_SEGMENTS: usize = 256;
/// Bytes of a path component, symlink target or xattr name at most.
pub const MAX_NAME: usize = 4096;

/// One request.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Request {
    /// Comes back in the completion.
    pub tag: u64,
    /// `Op`.
    pub op: u16,
    /// `FLAG_*`.
    pub flags: u16,
    /// Node or file handle the request is about.
    pub handle: u32,
    /// File offset, or what the op says.
    pub offset: u64,
    /// What the op says.
    pub arg: u64,
    /// Bytes for the host to read (arguments, names, data to write), or its segment list.
    pub input: GuestBuf,
    /// Room for the host to write to (attributes, entries, data read), or its segment list.
    pub output: GuestBuf,
}

impl Request {
    /// The data buffer (`input` of `Write`, `output` of `Read`) is a list of `GuestBuf` segments, `MAX_SEGMENTS` at most.
    pub const FLAG_SEGMENTS: u16 = 1 << 0;
    /// `Poll` completes at once with what is ready, which may be nothing (0).
    pub const FLAG_NOW: u16 = 1 << 1;
    /// `Write` goes to the end of the file, wherever that is by then.
    pub const FLAG_APPEND: u16 = 1 << 2;
    /// `PORT_DOORBELL_SYNC` follows at once: for the vCPU's own thread, not for the worker.
    pub const FLAG_SYNC: u16 = 1 << 3;
    /// Nobody waits for the answer, so no interrupt is needed for it.
    pub const FLAG_QUIET: u16 = 1 << 4;
}

/// The answer to the request with the same tag.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Completion {
    /// From the request.
    pub tag: u64,
    /// Zero or more: what the op returns. Negative: an errno.
    pub result: i64,
}

const _: () = {
    assert!(core::mem::size_of::<Request>() == 64);
    assert!(core::mem::size_of::<Completion>() == 16);
};

macro_rules! ops {
    ($($(#[$doc:meta])* $name:ident = $value:literal,)*) => {
        /// What is asked. `in`/`out` name the layout of the two buffers; names are bytes without a terminating NUL, one component each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        pub enum Op { $($(#[$doc])* $name = $value,)* }

        impl Op {
            /// The op with this number, if there is one.
            pub const fn from_raw(raw: u16) -> Option<Self> {
                match raw { $($value => Some(Self::$name),)* _ => None }
            }
        }
    };
}

ops! {
    // Path operations, answered by the gofer.
    /// handle: index of a mount in the start specification → its root node; out: `Attr`.
    Attach = 1,
    /// handle: directory node; in: name. → node; out: `Attr`. Never follows a symlink and never leaves the mount.
    Lookup = 2,
    /// handle: node; out: `Attr`.
    GetAttr = 3,
    /// handle: node; in: `SetAttr`, without a size, which is for `Truncate`; out: `Attr`.
    SetAttr = 4,
    /// handle: node; arg: open flags (access mode, O_TRUNC, O_APPEND, O_DIRECTORY). → file handle, donated to the sandbox process.
    Open = 5,
    /// handle: directory node; arg: open flags; in: `MakeArgs` + name; out: `Attr` then `u32` file handle. → node. Fails with EEXIST.
    Create = 6,
    /// handle: directory node; in: `MakeArgs` + name; out: `Attr`. → node. The file type is in `MakeArgs::mode`: directory, FIFO, device, socket or empty regular file.
    Make = 7,
    /// handle: directory node; in: `MakeArgs` + name; offset: bytes of the name; the target follows the name; out: `Attr`. → node.
    Symlink = 8,
    /// handle: directory node of the new name; arg: node to link; in: name.
    Link = 9,
    /// handle: directory node; arg: 0 or AT_REMOVEDIR; in: name; out, where given: `Attr` of the file just before (unchanged if it could not be had).
    Unlink = 10,
    /// handle: old directory node; arg: new directory node; offset: bytes of the old name | renameat2 flags << 32; in: old name, new name;
    /// out, where given: `Attr` of the file at the new name just before (unchanged if there was none).
    Rename = 11,
    /// handle: node; out: target. → bytes.
    ReadLink = 12,
    /// handle: directory node; offset: cookie (0 at first); out: packed `DirEntry` + name, each padded to 8 bytes. → bytes, 0 at the end;
    /// with arg 1 also | `END_OF_DIRECTORY` where nothing follows.
    ReadDir = 13,
    /// handle: node; out: `StatFs`.
    StatFs = 14,
    /// handle: node; in: name; out: value. → bytes (or the size when out is empty).
    GetXattr = 15,
    /// handle: node; arg: flags; offset: bytes of the name; in: name, value.
    SetXattr = 16,
    /// handle: node; out: NUL-terminated names. → bytes (or the size when out is empty).
    ListXattr = 17,
    /// handle: node; in: name.
    RemoveXattr = 18,
    /// handle: node. Forgets it.
    Forget = 19,
    /// handle: node of a unix socket. → file handle of a connected stream to it (bind mounts that allow it only).
    Connect = 20,
    /// handle: directory node; arg: bytes of content wanted of a file at most; in: names, each with a NUL, `MAX_NAMES` at most; out: a `Told` each,
    /// in their order and as many as there is room for (EINVAL where there is none for the first), content behind it, padded to 8 bytes. → bytes.
    /// Each name as with `Lookup`. Content comes with a regular file that can be read, is not empty and no longer than that, and then it is all of it.
    LookupMany = 21,
    /// in: node handles, `u32`. Forgets them; what is no node is passed over.
    ForgetMany = 22,

    // Data operations on a file handle, answered by the sandbox process.
    /// offset: file offset, or `OFFSET_STREAM` for read(2) at the file's own position; out: data. → bytes. Never blocks on a stream: EAGAIN.
    Read = 64,
    /// offset as for `Read`; in: data. → bytes.
    Write = 65,
    /// arg: 1 for fdatasync.
    Sync = 66,
    /// offset: new length.
    Truncate = 67,
    /// offset: start; arg: length; `flags >> 8`: fallocate mode.
    Allocate = 68,
    /// out: `Attr`.
    FileAttr = 69,
    /// arg: whence; offset: offset. → new position.
    Seek = 70,
    /// arg: poll(2) events. Completes when one is ready (at once with `FLAG_NOW`). → revents.
    Poll = 71,
    /// Closes it. Pending polls on it complete with POLLNVAL.
    Close = 72,
    /// → F_GETFL of the descriptor.
    FileFlags = 73,
    /// handle: file handle of a tty; out: `WindowSize`.
    WindowSize = 74,
    /// handle: file handle of a packet socket; arg: bytes of a slot, a multiple of 4; out: slots, each for a `FrameHeader` and the frame behind
    /// it. → slots filled, one at least. Completes when there is a frame, at once with `FLAG_NOW` (EAGAIN).
    ReceiveFrames = 75,
    /// handle: file handle of a packet socket; in: frames, each behind its `FrameHeader` and padded to 4 bytes. → bytes of `in` that are done with,
    /// all of them: it waits while there is no room. A frame that the host refuses is lost, as on a wire.
    SendFrames = 76,
    /// in: file handles, `u32`, `MAX_HANDLES` at most. As `Close` of each; what is no file is passed over.
    CloseMany = 77,

    // Sockets of the host's (`NetworkSpec::host`), answered by the sandbox process. None waits: EAGAIN, and `Poll`.
    /// arg: `SocketAddress::V4` or `V6` | SOCK_* << 32; offset: protocol. → file handle. TCP, UDP and echo sockets of IPv4 and IPv6.
    Socket = 80,
    /// handle: file handle of a socket; in: `SocketAddress`.
    Bind = 81,
    /// in: `SocketAddress`, nothing to dissolve the association. EINPROGRESS where it takes time.
    ConnectTo = 82,
    /// arg: backlog.
    Listen = 83,
    /// out: `SocketAddress` of the peer. → file handle.
    Accept = 84,
    /// arg: SHUT_*.
    Shutdown = 85,
    /// arg: MSG_* | bytes of the address << 32; in: `SocketAddress` where one is given, then data. → bytes.
    SendTo = 86,
    /// arg: MSG_*; out: `Arrived`, `Arrived::CONTROL` bytes, then data. → bytes of data.
    ReceiveFrom = 87,
    /// arg: level | name << 32; out: value. → bytes.
    GetOption = 88,
    /// arg: level | name << 32; in: value.
    SetOption = 89,
    /// arg: 0 for its own, 1 for its peer's; out: `SocketAddress`.
    SocketName = 90,

    // The sandbox itself.
    /// Completes when the host has something to say. → `Event` kind | value << 8.
    NextEvent = 128,
    /// in: `GuestBuf`s, page-aligned and not empty, `MAX_SEGMENTS` at most. The pages are free; the host drops them, and they read as zero from
    /// then on. It drops none if one of them is wrong. Without any: that was all for now, and the guest goes to sleep.
    FreePages = 129,
    /// in: text for the host's stderr, at most 1 KiB (warnings; never a program's output).
    Log = 130,
    /// out: fresh entropy.
    Entropy = 131,
    /// → host CLOCK_REALTIME in ns (for slow drift correction).
    RealTime = 132,
    /// out: `control::Command`, the next one of those that `event::COMMAND` announced. → bytes, EAGAIN when there is none, EMSGSIZE when it is longer than `out`.
    TakeCommand = 133,
    /// in: `control::Answer`.
    Answer = 134,
    /// in: `control::Report`.
    Report = 135,
}

/// Stands before an Ethernet frame. The last five fields are `struct virtio_net_hdr` (virtio 1.2, 5.1.6), which a packet socket
/// speaks (PACKET_VNET_HDR): checksums that are left to do, and frames that are several segments in one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FrameHeader {
    /// Bytes of the frame.
    pub len: u32,
    /// Explicit padding.
    pub pad: u16,
    /// `FrameHeader::NEEDS_CHECKSUM`, `FrameHeader::CHECKSUM_VALID`.
    pub flags: u8,
    /// `FrameHeader::GSO_*`.
    pub gso: u8,
    /// Bytes of all headers, where `gso` is given.
    pub header_len: u16,
    /// Payload bytes of each segment, where `gso` is given.
    pub gso_size: u16,
    /// Where the bytes begin that the checksum is of.
    pub checksum_start: u16,
    /// Where it goes, from there on; the pseudo header's sum is there already.
    pub checksum_offset: u16,
}

impl FrameHeader {
    /// Bytes of the header that are the packet socket's.
    pub const VIRTIO_BYTES: usize = 10;
    /// The checksum is to be completed.
    pub const NEEDS_CHECKSUM: u8 = 1;
    /// The checksum was found right.
    pub const CHECKSUM_VALID: u8 = 2;
    /// TCP over IPv4.
    pub const GSO_TCP4: u8 = 1;
    /// TCP over IPv6.
    pub const GSO_TCP6: u8 = 4;
    /// UDP datagrams.
    pub const GSO_UDP: u8 = 5;
}

const _: () = {
    assert!(core::mem::size_of::<FrameHeader>() == 16);
    assert!(core::mem::offset_of!(FrameHeader, flags) + FrameHeader::VIRTIO_BYTES == 16);
};

/// An address of IPv4 or IPv6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SocketAddress {
    /// `SocketAddress::V4` or `V6`; 0 where there is no address.
    pub family: u16,
    /// Port, as a number.
    pub port: u16,
    /// Flow information of IPv6.
    pub flow: u32,
    /// Scope of IPv6.
    pub scope: u32,
    /// Address; the first four bytes for IPv4.
    pub ip: [u8; 16],
}

impl SocketAddress {
    /// `family` of IPv4.
    pub const V4: u16 = 4;
    /// `family` of IPv6.
    pub const V6: u16 = 6;

    /// What it says; `None` where there is none.
    pub fn get(&self) -> Option<SocketAddr> {
        match self.family {
            Self::V4 => {
                let [a, b, c, d, ..] = self.ip;
                Some(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), self.port)))
            }
            Self::V6 => {
                let ip = Ipv6Addr::from(self.ip);
                Some(SocketAddr::V6(SocketAddrV6::new(ip, self.port, self.flow, self.scope)))
            }
            _ => None,
        }
    }
}

impl From<SocketAddr> for SocketAddress {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => {
                let mut ip = [0; 16];
                for (to, from) in ip.iter_mut().zip(v4.ip().octets()) {
                    *to = from;
                }
                Self { family: Self::V4, port: v4.port(), ip, ..Self::default() }
            }
            SocketAddr::V6(v6) => Self {
                family: Self::V6,
                port: v6.port(),
                flow: v6.flowinfo(),
                scope: v6.scope_id(),
                ip: v6.ip().octets(),
            },
        }
    }
}

/// Stands before data that a socket received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Arrived {
    /// Bytes that the message had, which may be more than there was room for.
    pub length: u32,
    /// MSG_* to tell the program.
    pub flags: u32,
    /// Who sent it.
    pub from: SocketAddress,
    /// Bytes of control messages, at the beginning of the `Arrived::CONTROL` that follow.
    pub control: u32,
}

impl Arrived {
    /// Room for control messages between it and the data.
    pub const CONTROL: usize = 512;
}

/// Names in one `Op::LookupMany` at most.
pub const MAX_NAMES: usize = 128;
/// Handles in one `Op::ForgetMany` or `Op::CloseMany` at most.
pub const MAX_HANDLES: usize = 1024;
/// In the result of `Op::ReadDir`.
pub const END_OF_DIRECTORY: u64 = 1 << 32;

/// What `Op::LookupMany` says of a name; its content follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Told {
    /// Handle of the node.
    pub node: u32,
    /// Not 0: there is no node, and this is why.
    pub errno: u32,
    /// Bytes of content, or `Told::NO_CONTENT`.
    pub content: u32,
    /// Explicit padding.
    pub pad: u32,
    /// Attributes, from before the content was read.
    pub attr: Attr,
}

impl Told {
    /// `content` where none comes along.
    pub const NO_CONTENT: u32 = u32::MAX;
}

/// `Request::offset` of `Read` and `Write` at the file's own position.
pub const OFFSET_STREAM: u64 = u64::MAX;

/// Kinds of `Op::NextEvent`.
pub mod event {
    /// A signal for the container's first process; the value is its number.
    pub const SIGNAL: u64 = 1;
    /// The host terminal changed its size.
    pub const WINDOW: u64 = 2;
    /// The gofer is gone: every path operation fails with EIO from now on.
    pub const GOFER_GONE: u64 = 3;
    /// A command waits for `Op::TakeCommand`; the value is its length.
    pub const COMMAND: u64 = 4;
}

/// Attributes of a file: what statx(2) says, fixed-size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Attr {
    /// Device number of the file system, as the host sees it (major << 32 | minor).
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// 512-byte blocks.
    pub blocks: u64,
    /// Type and permissions (`st_mode`).
    pub mode: u32,
    /// Hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Preferred I/O size in bytes.
    pub blksize: u32,
    /// Explicit padding.
    pub pad: u32,
    /// Device number of a device file (major << 32 | minor).
    pub rdev: u64,
    /// Access time.
    pub atime: Time,
    /// Modification time.
    pub mtime: Time,
    /// Change time.
    pub ctime: Time,
    /// Birth time, zero where unknown.
    pub btime: Time,
}

/// Seconds and nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Time {
    /// Seconds, may be negative.
    pub sec: i64,
    /// 0–999,999,999.
    pub nsec: i64,
}

/// What `Op::SetAttr` changes.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetAttr {
    /// `SetAttr::MODE` … which of the fields below count.
    pub valid: u32,
    /// Permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size.
    pub size: u64,
    /// Access time.
    pub atime: Time,
    /// Modification time.
    pub mtime: Time,
}

impl SetAttr {
    /// `mode` counts.
    pub const MODE: u32 = 1;
    /// `uid` counts.
    pub const UID: u32 = 2;
    /// `gid` counts.
    pub const GID: u32 = 4;
    /// `size` counts.
    pub const SIZE: u32 = 8;
    /// `atime` counts.
    pub const ATIME: u32 = 16;
    /// `mtime` counts.
    pub const MTIME: u32 = 32;
}

/// Arguments of `Create`, `Make` and `Symlink`; the name follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MakeArgs {
    /// Type and permissions, umask applied.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Explicit padding.
    pub pad: u32,
    /// Device number of a device file (major << 32 | minor).
    pub rdev: u64,
}

/// One entry of `Op::ReadDir`; the name follows, padded with NULs to 8 bytes.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DirEntry {
    /// Inode number.
    pub ino: u64,
    /// Cookie of the next entry.
    pub next: u64,
    /// Bytes of the name.
    pub name_len: u16,
    /// `DT_*`.
    pub kind: u8,
    /// Explicit padding.
    pub pad: [u8; 5],
}

/// statfs(2), in the units it uses.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StatFs {
    /// Magic number of the file system.
    pub kind: u64,
    /// Block size in bytes.
    pub bsize: u64,
    /// Blocks in all.
    pub blocks: u64,
    /// Free blocks.
    pub bfree: u64,
    /// Blocks free for users.
    pub bavail: u64,
    /// Inodes in all.
    pub files: u64,
    /// Free inodes.
    pub ffree: u64,
    /// Longest name in bytes.
    pub namelen: u64,
}

/// Size of a terminal, in characters.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct WindowSize {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}
