//! socket, bind, connect, accept, send, receive and their variants, socket options.

use super::table::{Level, Row, arg, finish, row};
use super::{Fail, Fd, IoVec, UserBuf, UserPtr, iovec, read_iovec};
use crate::errno::Errno;
use crate::flags_from_arg;
use crate::fs::{OpenFile, Sink, Source};
use crate::landlock::Ports;
use crate::landlock::limits::may_use;
use crate::net::control::{Control, Writer};
use crate::net::options::Switch;
use crate::net::{self, Address, Kind, MAX_ADDRESS, MessageFlags, Outgoing, Received, Shutdown, Socket};
use crate::platform::platform;
use crate::task::Current;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bitflags::bitflags;
use core::mem::offset_of;
use linker::addr::UserVa;
use linux_raw_sys::if_packet::PACKET_HDRLEN;
use linux_raw_sys::{general, net as raw};
use syscalls::Sysno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Bytes of control messages that one call may bring (net.core.optmem_max).
const MAX_CONTROL: usize = 131_072;
/// Bytes of an option's value that are looked at.
const MAX_OPTION: usize = 4096;
/// Messages that sendmmsg and recvmmsg move at most (UIO_MAXIOV).
const MAX_MESSAGES: u32 = general::UIO_MAXIOV;

bitflags! {
    /// The flags in socket(2)'s type, and accept4(2)'s.
    #[derive(Clone, Copy)]
    pub struct SocketFlags: u32 {
        /// FD_CLOEXEC.
        const CLOEXEC = general::O_CLOEXEC;
        /// Nonblocking.
        const NONBLOCK = general::O_NONBLOCK;
    }
}
flags_from_arg!(SocketFlags, EINVAL);

/// `struct msghdr`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct MsgHdr {
    name: u64,
    name_len: u32,
    pad: u32,
    list: u64,
    list_len: u64,
    control: u64,
    control_len: u64,
    flags: u32,
    pad2: u32,
}

/// `struct mmsghdr`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct MMsgHdr {
    header: MsgHdr,
    len: u32,
    pad: u32,
}

const _: () = {
    assert!(size_of::<MsgHdr>() == size_of::<raw::msghdr>());
    assert!(offset_of!(MsgHdr, control) == offset_of!(raw::msghdr, msg_control));
    assert!(offset_of!(MsgHdr, flags) == offset_of!(raw::msghdr, msg_flags));
    assert!(size_of::<MMsgHdr>() == size_of::<raw::mmsghdr>());
};

fn split_kind(number: u32) -> Result<(Kind, SocketFlags), Errno> {
    /// SOCK_TYPE_MASK of the kernel: the rest are flags.
    const KIND: u32 = 0xf;
    let flags = SocketFlags::from_bits(number & !KIND).ok_or(Errno::EINVAL)?;
    Ok((net::kind(number & KIND)?, flags))
}

/// socket(2).
pub fn socket(current: &mut Current, domain: u32, kind: u32, protocol: u32) -> Result<Fd, Errno> {
    let (kind, flags) = split_kind(kind)?;
    let file = net::open(current, domain, kind, protocol, flags.contains(SocketFlags::NONBLOCK))?;
    current.add_file(file, flags.contains(SocketFlags::CLOEXEC))
}

/// socketpair(2).
pub fn socketpair(
    current: &mut Current,
    domain: u32,
    kind: u32,
    protocol: u32,
    fds: UserPtr<[i32; 2]>,
) -> Result<(), Errno> {
    let (kind, flags) = split_kind(kind)?;
    let [first, second] = net::open_pair(current, domain, kind, protocol, flags.contains(SocketFlags::NONBLOCK))?;
    let cloexec = flags.contains(SocketFlags::CLOEXEC);
    let first = current.add_file(first, cloexec)?;
    let second = current.add_file(second, cloexec).inspect_err(|_| drop(current.files.remove(first)))?;
    fds.write(current, &[first.raw(), second.raw()]).inspect_err(|_| {
        drop(current.files.remove(first));
        drop(current.files.remove(second));
    })
}

fn read_address(current: &Current, at: UserVa, len: u32) -> Result<Address, Errno> {
    Address::parse(&read_raw_address(current, at, len)?)
}

fn read_raw_address(current: &Current, at: UserVa, len: u32) -> Result<Vec<u8>, Errno> {
    let len = usize::try_from(len).ok().filter(|len| *len <= MAX_ADDRESS).ok_or(Errno::EINVAL)?;
    UserPtr::<u8>::new(at).read_vec(current, len)
}

/// Writes an address and its length, cut to the room that the length word says.
fn write_address(current: &Current, address: &Address, at: UserPtr<u8>, len: UserPtr<i32>) -> Result<(), Errno> {
    let room = usize::try_from(len.read(current)?).map_err(|_| Errno::EINVAL)?;
    let bytes = address.encode();
    at.write_slice(current, bytes.get(..room).unwrap_or(&bytes))?;
    len.write(current, &i32::try_from(bytes.len()).unwrap_or(i32::MAX))
}

/// bind(2).
pub fn bind(current: &mut Current, fd: Fd, address: UserPtr<u8>, len: u32) -> Result<(), Fail> {
    let file = current.file(fd)?;
    let socket = Socket::of(&file)?;
    let address = read_raw_address(current, address.addr(), len)?;
    may_use(current, socket, &address, Ports::BIND_TCP)?;
    let address = Address::parse(&address)?;
    socket.ops().bind(&socket.call(current, &file, MessageFlags::empty()), &address)
}

/// connect(2).
pub fn connect(current: &mut Current, fd: Fd, address: UserPtr<u8>, len: u32) -> Result<(), Fail> {
    let file = current.file(fd)?;
    let socket = Socket::of(&file)?;
    let address = read_raw_address(current, address.addr(), len)?;
    may_use(current, socket, &address, Ports::CONNECT_TCP)?;
    let address = Address::parse(&address)?;
    socket.ops().connect(&socket.call(current, &file, MessageFlags::empty()), &address)
}

/// listen(2).
pub fn listen(current: &mut Current, fd: Fd, backlog: i32) -> Result<(), Fail> {
    let file = current.file(fd)?;
    let socket = Socket::of(&file)?;
    // A negative backlog is a very large one.
    let backlog = usize::try_from(backlog).unwrap_or(usize::MAX);
    socket.ops().listen(&socket.call(current, &file, MessageFlags::empty()), backlog)
}

/// accept(2).
pub fn accept(current: &mut Current, fd: Fd, address: UserPtr<u8>, len: UserPtr<i32>) -> Result<Fd, Fail> {
    accept4(current, fd, address, len, SocketFlags::empty())
}

/// accept4(2).
pub fn accept4(
    current: &mut Current,
    fd: Fd,
    address: UserPtr<u8>,
    len: UserPtr<i32>,
    flags: SocketFlags,
) -> Result<Fd, Fail> {
    let file = current.file(fd)?;
    accept_from(current, &file, address, len, flags)
}

/// accept4(2) of a listener that may have no descriptor.
pub fn accept_from(
    current: &mut Current,
    file: &OpenFile,
    address: UserPtr<u8>,
    len: UserPtr<i32>,
    flags: SocketFlags,
) -> Result<Fd, Fail> {
    current.check_room_for_file()?;
    let socket = Socket::of(file)?;
    let call = socket.call(current, file, MessageFlags::empty());
    let (ops, options, peer) = socket.ops().accept(&call)?;
    let what = (socket.domain, socket.kind, socket.protocol);
    let new = Socket::open(current, what, options, ops, flags.contains(SocketFlags::NONBLOCK));
    let new_fd = current.add_file(new, flags.contains(SocketFlags::CLOEXEC))?;
    if !address.is_null()
        && let Err(errno) = write_address(current, &peer, address, len)
    {
        drop(current.files.remove(new_fd));
        return Err(errno.into());
    }
    Ok(new_fd)
}

/// shutdown(2).
pub fn shutdown(current: &mut Current, fd: Fd, how: u32) -> Result<(), Errno> {
    const READ: u32 = raw::SHUT_RD;
    const WRITE: u32 = raw::SHUT_WR;
    const BOTH: u32 = raw::SHUT_RDWR;
    let file = current.file(fd)?;
    let socket = Socket::of(&file)?;
    let (read, write) = match how {
        READ => (true, false),
        WRITE => (false, true),
        BOTH => (true, true),
        _ => return Err(Errno::EINVAL),
    };
    socket.ops().shutdown(Shutdown { read, write })
}

/// getsockname(2).
pub fn getsockname(current: &mut Current, fd: Fd, address: UserPtr<u8>, len: UserPtr<i32>) -> Result<(), Errno> {
    let file = current.file(fd)?;
    write_address(current, &Socket::of(&file)?.ops().local_address(), address, len)
}

/// getpeername(2).
pub fn getpeername(current: &mut Current, fd: Fd, address: UserPtr<u8>, len: UserPtr<i32>) -> Result<(), Errno> {
    let file = current.file(fd)?;
    write_address(current, &Socket::of(&file)?.ops().peer_address()?, address, len)
}

/// sendto(2).
pub fn sendto(
    current: &mut Current,
    fd: Fd,
    buffer: UserPtr<u8>,
    len: usize,
    flags: MessageFlags,
    address: UserPtr<u8>,
    address_len: u32,
) -> Result<usize, Fail> {
    let file = current.file(fd)?;
    let socket = Socket::of(&file)?;
    let to = match address.non_null() {
        Some(address) => Some(read_address(current, address.addr(), address_len)?),
        None => None,
    };
    let pieces = iovec::buffer(buffer.addr(), len)?;
    let message = Outgoing { to, control: Control::default(), flags };
    socket.send(current, &file, &mut Source::user(current, &pieces), message)
}

/// recvfrom(2).
pub fn recvfrom(
    current: &mut Current,
    fd: Fd,
    buffer: UserPtr<u8>,
    len: usize,
    flags: MessageFlags,
    address: UserPtr<u8>,
    address_len: UserPtr<i32>,
) -> Result<usize, Fail> {
    let file = current.file(fd)?;
    let socket = Socket::of(&file)?;
    let pieces = iovec::buffer(buffer.addr(), len)?;
    let received = socket.receive(current, &file, &mut Sink::user(current, &pieces), flags)?;
    if !address.is_null() {
        match &received.from {
            Some(from) => write_address(current, from, address, address_len)?,
            None if address_len.read(current)? < 0 => return Err(Errno::EINVAL.into()),
            None => address_len.write(current, &0)?,
        }
    }
    Ok(returned(&received, flags))
}

/// What the call returns: with MSG_TRUNC the message's real length.
fn returned(received: &Received, flags: MessageFlags) -> usize {
    if flags.contains(MessageFlags::TRUNC) { received.length } else { received.bytes }
}

/// sendmsg(2).
pub fn sendmsg(current: &mut Current, fd: Fd, message: UserPtr<MsgHdr>, flags: MessageFlags) -> Result<usize, Fail> {
    let file = current.file(fd)?;
    Socket::of(&file)?;
    let header = message.read(current)?;
    send_one(current, &file, &header, flags)
}

fn pieces(current: &Current, header: &MsgHdr) -> Result<Vec<UserBuf>, Errno> {
    let count = usize::try_from(header.list_len).unwrap_or(usize::MAX);
    if count > general::UIO_MAXIOV as usize {
        return Err(Errno::EMSGSIZE);
    }
    read_iovec(current, UserPtr::<IoVec>::new(UserVa::new(header.list)), count)
}

fn send_one(current: &Current, file: &OpenFile, header: &MsgHdr, flags: MessageFlags) -> Result<usize, Fail> {
    let socket = Socket::of(file)?;
    let pieces = pieces(current, header)?;
    let to = if header.name == 0 || header.name_len == 0 {
        None
    } else {
        Some(read_address(current, UserVa::new(header.name), header.name_len.min(MAX_ADDRESS as u32))?)
    };
    let control_len = usize::try_from(header.control_len).unwrap_or(usize::MAX);
    let control = if header.control == 0 || control_len == 0 {
        Control::default()
    } else if control_len > MAX_CONTROL {
        return Err(Errno::ENOBUFS.into());
    } else {
        let bytes = UserPtr::<u8>::new(UserVa::new(header.control)).read_vec(current, control_len)?;
        Control::parse(current, &bytes, socket.domain == raw::AF_UNIX)?
    };
    let message = Outgoing { to, control, flags };
    socket.send(current, file, &mut Source::user(current, &pieces), message)
}

/// recvmsg(2).
pub fn recvmsg(current: &mut Current, fd: Fd, message: UserPtr<MsgHdr>, flags: MessageFlags) -> Result<usize, Fail> {
    let file = current.file(fd)?;
    Socket::of(&file)?;
    let mut header = message.read(current)?;
    let bytes = receive_one(current, &file, &mut header, flags)?;
    message.write(current, &header)?;
    Ok(bytes)
}

fn receive_one(
    current: &Current,
    file: &Arc<OpenFile>,
    header: &mut MsgHdr,
    flags: MessageFlags,
) -> Result<usize, Fail> {
    let socket = Socket::of(file)?;
    if i32::try_from(header.name_len).is_err() {
        return Err(Errno::EINVAL.into());
    }
    let pieces = pieces(current, header)?;
    let mut received = socket.receive(current, file, &mut Sink::user(current, &pieces), flags)?;
    let mut told = received.flags & (MessageFlags::TRUNC | MessageFlags::EOR | MessageFlags::ERRQUEUE);
    if header.name != 0 {
        let bytes = received.from.as_ref().map(Address::encode).unwrap_or_default();
        let room = usize::try_from(header.name_len).unwrap_or(0);
        UserPtr::<u8>::new(UserVa::new(header.name)).write_slice(current, bytes.get(..room).unwrap_or(&bytes))?;
        header.name_len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    }
    let room = if header.control == 0 { 0 } else { usize::try_from(header.control_len).unwrap_or(usize::MAX) };
    let mut writer = Writer::new(room.min(MAX_CONTROL));
    let control = received.control.take();
    if socket.options().is(Switch::PassCredentials) && socket.domain == raw::AF_UNIX && received.bytes > 0 {
        let creds = control.as_ref().and_then(|control| control.creds).unwrap_or(net::control::Ucred::UNKNOWN);
        let creds = creds.shown(current);
        writer.put(raw::SOL_SOCKET, raw::SCM_CREDENTIALS, creds.as_bytes());
    }
    if let Some(control) = &control {
        if let Some(files) = &control.files {
            let cloexec = flags.contains(MessageFlags::CMSG_CLOEXEC);
            writer.put_files(current, files.list(), cloexec);
        }
        for (level, kind, data) in &control.notes {
            writer.put(*level, *kind, data);
        }
    }
    drop(control);
    if writer.truncated {
        told |= MessageFlags::CTRUNC;
    }
    if flags.contains(MessageFlags::CMSG_CLOEXEC) {
        told |= MessageFlags::CMSG_CLOEXEC;
    }
    let control = writer.finish();
    UserPtr::<u8>::new(UserVa::new(header.control)).write_slice(current, &control)?;
    header.control_len = control.len() as u64;
    header.flags = told.bits();
    Ok(returned(&received, flags))
}

/// sendmmsg(2).
pub fn sendmmsg(
    current: &mut Current,
    fd: Fd,
    messages: UserPtr<MMsgHdr>,
    count: u32,
    flags: MessageFlags,
) -> Result<usize, Fail> {
    let file = current.file(fd)?;
    Socket::of(&file)?;
    let mut done = 0;
    for index in 0..count.min(MAX_MESSAGES) as usize {
        let at = messages.nth(index);
        let result = at.read(current).map_err(Fail::from).and_then(|mut message| {
            let bytes = send_one(current, &file, &message.header, flags)?;
            message.len = u32::try_from(bytes).unwrap_or(u32::MAX);
            Ok(at.write(current, &message)?)
        });
        match result {
            Ok(()) => done += 1,
            Err(_) if done > 0 => break,
            Err(fail) => return Err(fail),
        }
    }
    Ok(done)
}

/// recvmmsg(2). The timeout is looked at between messages, as Linux does.
pub fn recvmmsg(
    current: &mut Current,
    fd: Fd,
    messages: UserPtr<MMsgHdr>,
    count: u32,
    flags: MessageFlags,
    timeout: UserPtr<[i64; 2]>,
) -> Result<usize, Fail> {
    let deadline = super::poll::read_timespec(current, timeout)?.deadline();
    let file = current.file(fd)?;
    Socket::of(&file)?;
    let mut flags_now = flags - MessageFlags::WAITFORONE;
    let mut done = 0;
    for index in 0..count.min(MAX_MESSAGES) as usize {
        let at = messages.nth(index);
        let result = at.read(current).map_err(Fail::from).and_then(|mut message| {
            let bytes = receive_one(current, &file, &mut message.header, flags_now)?;
            message.len = u32::try_from(bytes).unwrap_or(u32::MAX);
            Ok(at.write(current, &message)?)
        });
        match result {
            Ok(()) => done += 1,
            Err(_) if done > 0 => break,
            Err(fail) => return Err(fail),
        }
        if flags.contains(MessageFlags::WAITFORONE) {
            flags_now |= MessageFlags::DONTWAIT;
        }
        if deadline.is_some_and(|deadline| platform().monotonic_ns() >= deadline) {
            break;
        }
    }
    Ok(done)
}

/// getsockopt(2).
pub fn getsockopt(
    current: &mut Current,
    fd: Fd,
    level: u32,
    name: u32,
    value: UserPtr<u8>,
    len: UserPtr<i32>,
) -> Result<(), Errno> {
    let file = current.file(fd)?;
    let socket = Socket::of(&file)?;
    if (level, name, socket.domain) == (raw::SOL_PACKET, PACKET_HDRLEN, raw::AF_PACKET) {
        return net::packet::header_length(current, UserPtr::new(value.addr()), len);
    }
    let room = usize::try_from(len.read(current)?).map_err(|_| Errno::EINVAL)?;
    let call = socket.call(current, &file, MessageFlags::empty());
    let bytes = socket.get_option(&call, level, name)?;
    // The list of groups is given whole or not at all.
    if level == raw::SOL_SOCKET && name == raw::SO_PEERGROUPS && room < bytes.len() {
        len.write(current, &i32::try_from(bytes.len()).unwrap_or(i32::MAX))?;
        return Err(Errno::ERANGE);
    }
    let bytes = bytes.get(..room).unwrap_or(&bytes);
    value.write_slice(current, bytes)?;
    len.write(current, &i32::try_from(bytes.len()).unwrap_or(i32::MAX))
}

/// setsockopt(2).
pub fn setsockopt(
    current: &mut Current,
    fd: Fd,
    level: u32,
    name: u32,
    value: UserPtr<u8>,
    len: i32,
) -> Result<(), Errno> {
    let file = current.file(fd)?;
    let socket = Socket::of(&file)?;
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    let bytes = value.read_vec(current, len.min(MAX_OPTION))?;
    socket.set_option(&socket.call(current, &file, MessageFlags::empty()), level, name, &bytes)
}

pub(super) const ROWS: &[Row] = &[
    row!(
        socket = socket(3),
        Partial,
        "AF_UNIX, AF_INET, AF_INET6 (TCP, UDP, raw), AF_PACKET, and of AF_NETLINK route and sock_diag"
    ),
    row!(socketpair = socketpair(4), Full, ""),
    row!(bind = bind(3), Full, ""),
    row!(connect = connect(3), Partial, "internet addresses: those of the sandbox"),
    row!(listen = listen(2), Full, ""),
    row!(accept = accept(3), Full, ""),
    row!(accept4 = accept4(4), Full, ""),
    row!(shutdown = shutdown(2), Full, ""),
    row!(getsockname = getsockname(3), Full, ""),
    row!(getpeername = getpeername(3), Full, ""),
    row!(sendto = sendto(6), Partial, "no urgent data"),
    row!(recvfrom = recvfrom(6), Partial, "no urgent data"),
    row!(sendmsg = sendmsg(3), Partial, "no urgent data"),
    row!(recvmsg = recvmsg(3), Partial, "no urgent data, no error queue of TCP's"),
    row!(sendmmsg = sendmmsg(4), Full, ""),
    row!(recvmmsg = recvmmsg(5), Full, ""),
    row!(getsockopt = getsockopt(5), Partial, "options that only tune a real network are kept and shown"),
    row!(setsockopt = setsockopt(5), Partial, "options that only tune a real network are kept and shown"),
];
