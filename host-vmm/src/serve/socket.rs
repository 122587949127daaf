//! Sockets of the host's, with `--network=host`: TCP, UDP and echo sockets of IPv4 and IPv6, all of them nonblocking. The filter
//! has these calls in this mode only (`pin::host_rows`).
//!
//! Options go by a list: their values are plain numbers or addresses, and nothing that the host's kernel takes for a pointer.

mod control;

use crate::pin::host_rows;
use crate::process;
use crate::serve::{Answer, Server};
use linker::request::{Arrived, GuestBuf, Op, Request, SocketAddress};
use linux_raw_sys::net as raw;
use rustix::fs::OFlags;
use rustix::io::{Errno, IoSlice};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketAddrAny, SocketFlags,
    SocketType,
};
use std::mem::size_of;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::os::fd::AsFd;
use vm_memory::{Bytes, GuestAddress};
use zerocopy::{FromZeros, IntoBytes};

/// Bytes that one request moves at most: the largest datagram, and what is worth copying of a stream.
const MAX_DATA: u64 = 256 << 10;
/// Bytes of an option's value at most.
const MAX_OPTION: u64 = 512;

impl Server {
    /// Answers a request about a socket.
    pub(super) fn execute_socket(&self, op: Op, request: &Request) -> Answer {
        let (low, high) = (request.arg as u32, (request.arg >> 32) as u32);
        if op == Op::Socket {
            return self.new_socket(low, high, request.offset as u32);
        }
        let file = self.files.get(request.handle)?;
        match op {
            Op::Bind => done(rustix::net::bind(&*file, &self.address(&request.input)?.ok_or(Errno::INVAL)?)),
            Op::ConnectTo => match self.address(&request.input)? {
                Some(address) => done(rustix::net::connect(&*file, &address)),
                None => done(rustix::net::connect_unspec(&*file)),
            },
            Op::Listen => done(rustix::net::listen(&*file, i32::try_from(request.arg).unwrap_or(i32::MAX))),
            Op::Accept => {
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                let (socket, from) = rustix::net::acceptfrom_with(&*file, flags)?;
                self.put_address(&request.output, from)?;
                self.files.insert(socket, OFlags::RDWR | OFlags::NONBLOCK).map(u64::from)
            }
            Op::Shutdown => {
                let how = match low {
                    raw::SHUT_RD => Shutdown::Read,
                    raw::SHUT_WR => Shutdown::Write,
                    raw::SHUT_RDWR => Shutdown::Both,
                    _ => return Err(Errno::INVAL),
                };
                done(rustix::net::shutdown(&*file, how))
            }
            Op::SendTo => self.send_to(file.as_fd(), request, low, high),
            Op::ReceiveFrom => self.receive_from(file.as_fd(), request, low),
            Op::GetOption => {
                let mut value = vec![0; request.output.len.min(MAX_OPTION) as usize];
                let len = process::get_socket_option(file.as_fd(), low, high, &mut value)?;
                self.memory
                    .write_slice(value.get(..len).unwrap_or(&[]), GuestAddress(request.output.pa.raw()))
                    .map_err(|_| Errno::FAULT)?;
                Ok(len as u64)
            }
            Op::SetOption => {
                if !host_rows::SETTABLE.contains(&(low, high)) {
                    return Err(Errno::NOPROTOOPT);
                }
                let value = self.bytes(&request.input, MAX_OPTION)?;
                done(process::set_socket_option(file.as_fd(), low, high, &value))
            }
            Op::SocketName => {
                let name = match request.arg {
                    0 => rustix::net::getsockname(&*file)?,
                    _ => rustix::net::getpeername(&*file)?.ok_or(Errno::NOTCONN)?,
                };
                self.put_address(&request.output, Some(name)).map(|()| 0)
            }
            _ => Err(Errno::NOSYS),
        }
    }

    fn new_socket(&self, family: u32, kind: u32, protocol: u32) -> Answer {
        let family = match u16::try_from(family) {
            Ok(SocketAddress::V4) => AddressFamily::INET,
            Ok(SocketAddress::V6) => AddressFamily::INET6,
            _ => return Err(Errno::AFNOSUPPORT),
        };
        let kind = match kind {
            raw::SOCK_STREAM => SocketType::STREAM,
            raw::SOCK_DGRAM => SocketType::DGRAM,
            _ => return Err(Errno::PERM),
        };
        let protocol = NonZeroU32::new(protocol).map(Protocol::from_raw);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(family, kind, flags, protocol)?;
        self.files.insert(socket, OFlags::RDWR | OFlags::NONBLOCK).map(u64::from)
    }

    fn send_to(&self, socket: impl AsFd, request: &Request, flags: u32, address_bytes: u32) -> Answer {
        let flags = SendFlags::from_bits_retain(flags & (raw::MSG_OOB | raw::MSG_MORE | raw::MSG_DONTROUTE));
        let flags = flags | SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let GuestBuf { pa, len } = request.input;
        let to = match u64::from(address_bytes) {
            0 => None,
            bytes if bytes == size_of::<SocketAddress>() as u64 => {
                self.address(&GuestBuf { pa, len: len.min(bytes) })?
            }
            _ => return Err(Errno::INVAL),
        };
        let skip = if to.is_some() { u64::from(address_bytes) } else { 0 };
        let behind = |skip: u64| {
            let left = len.checked_sub(skip).ok_or(Errno::INVAL)?;
            let start = pa.raw().checked_add(skip).ok_or(Errno::FAULT)?;
            Ok(GuestBuf { pa: linker::addr::GuestPa::new(start), len: left })
        };
        let data = self.bytes(&behind(skip.checked_add(request.offset).ok_or(Errno::INVAL)?)?, MAX_DATA)?;
        if request.offset > 0 {
            let control = self.bytes(&behind(skip)?, request.offset.min(Arrived::CONTROL as u64))?;
            let notes = control::checked(&control)?;
            return control::send(socket.as_fd(), to, &data, &notes, flags.bits()).map(|bytes| bytes as u64);
        }
        let parts = [IoSlice::new(&data)];
        let mut control = SendAncillaryBuffer::default();
        let sent = match &to {
            Some(to) => rustix::net::sendmsg_addr(socket, to, &parts, &mut control, flags),
            None => rustix::net::sendmsg(socket, &parts, &mut control, flags),
        };
        sent.map(|bytes| bytes as u64)
    }

    fn receive_from(&self, socket: impl AsFd, request: &Request, flags: u32) -> Answer {
        let allowed = raw::MSG_OOB | raw::MSG_PEEK | raw::MSG_TRUNC | raw::MSG_ERRQUEUE;
        let flags = RecvFlags::from_bits_retain(flags & allowed);
        let GuestBuf { pa, len } = request.output;
        let head = size_of::<Arrived>() + Arrived::CONTROL;
        let room = len.checked_sub(head as u64).ok_or(Errno::INVAL)?.min(MAX_DATA);
        let mut data = vec![0; room as usize];
        let mut control = [0; Arrived::CONTROL];
        let flags = flags | RecvFlags::DONTWAIT;
        let message = process::receive_message(socket.as_fd(), &mut data, &mut control, flags.bits())?;
        let arrived = Arrived {
            length: message.bytes as u32,
            flags: message.flags,
            from: message.from.map(SocketAddress::from).unwrap_or_default(),
            control: message.control as u32,
        };
        let bytes = data.get(..message.bytes).unwrap_or(&data);
        let start = pa.raw().checked_add(head as u64).ok_or(Errno::FAULT)?;
        let head = [arrived.as_bytes(), &control].concat();
        self.memory.write_slice(&head, GuestAddress(pa.raw())).map_err(|_| Errno::FAULT)?;
        self.memory.write_slice(bytes, GuestAddress(start)).map_err(|_| Errno::FAULT)?;
        Ok(bytes.len() as u64)
    }

    /// The address in a buffer; `None` where that is empty.
    fn address(&self, buffer: &GuestBuf) -> Result<Option<SocketAddr>, Errno> {
        if buffer.len == 0 {
            return Ok(None);
        }
        if buffer.len != size_of::<SocketAddress>() as u64 {
            return Err(Errno::INVAL);
        }
        let mut address = SocketAddress::new_zeroed();
        self.memory.read_slice(address.as_mut_bytes(), GuestAddress(buffer.pa.raw())).map_err(|_| Errno::FAULT)?;
        address.get().map(Some).ok_or(Errno::AFNOSUPPORT)
    }

    fn put_address(&self, output: &GuestBuf, address: Option<SocketAddrAny>) -> Result<(), Errno> {
        let address = address.and_then(|address| SocketAddr::try_from(address).ok());
        let address = address.map(SocketAddress::from).unwrap_or_default();
        if output.len < size_of::<SocketAddress>() as u64 {
            return Err(Errno::INVAL);
        }
        self.memory.write_slice(address.as_bytes(), GuestAddress(output.pa.raw())).map_err(|_| Errno::FAULT)
    }

    /// A copy of a buffer, `most` bytes of it at most.
    fn bytes(&self, buffer: &GuestBuf, most: u64) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; buffer.len.min(most) as usize];
        self.memory.read_slice(&mut bytes, GuestAddress(buffer.pa.raw())).map_err(|_| Errno::FAULT)?;
        Ok(bytes)
    }
}

fn done(result: Result<(), Errno>) -> Answer {
    result.map(|()| 0)
}
