//! Sockets of the host's (`--network=host`): each call on one is a request to the sandbox process, which makes it on a nonblocking
//! socket of its own. Who has to wait does so here (`fs::host::watch`). Loopback is the host's too in this mode: what listens
//! there is to be reached, as by any other process of the host.

use super::NetNs;
use super::address::Address;
use super::control::{Control, Writer};
use super::inet::Family;
use super::options::Options;
use super::socket::{Call, Kind, MessageFlags, Outgoing, Protocol, Received, Shutdown};
use crate::errno::Errno;
use crate::fs::host::client::File;
use crate::fs::host::watch::{Direction, Watch};
use crate::fs::{Sink, Source};
use crate::platform::platform;
use crate::settings::first_unprivileged_port;
use crate::syscall::Fail;
use crate::task::{Cap, Current};
use crate::wait::{Events, WaitQueue};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::any::Any;
use core::mem::size_of;
use core::sync::atomic::{AtomicBool, Ordering};
use linker::request::{Arrived, Op, Request, SocketAddress};
use linux_raw_sys::net as raw;
use zerocopy::{FromBytes, IntoBytes};

/// Bytes moved with one request.
const CHUNK: usize = 64 << 10;
/// What stands before the data that came.
const HEAD: usize = size_of::<Arrived>() + Arrived::CONTROL;
/// Bytes of an option's value that are asked for.
const OPTION: usize = 512;
/// Bytes of a datagram at most: 64 KiB less the headers.
const MAX_DATAGRAM: usize = 65507;

static ENABLED: AtomicBool = AtomicBool::new(false);

/// From now on sockets of IPv4 and IPv6 are the host's.
pub fn enable() {
    ENABLED.store(true, Ordering::Relaxed);
}

/// Whether they are.
pub fn is_enabled() -> bool {
    ENABLED.load(Ordering::Relaxed)
}

/// socket(2): what does the work, its options and its protocol.
pub fn new_socket(
    _current: &Current,
    family: Family,
    kind: Kind,
    protocol: u32,
) -> Result<(Arc<dyn Protocol>, Arc<Options>, u32), Errno> {
    let default = match kind {
        Kind::Stream => raw::IPPROTO_TCP as u32,
        Kind::Datagram => raw::IPPROTO_UDP as u32,
        // The sandbox process has no capability to make one with, whoever asks inside.
        Kind::Raw => return Err(Errno::EPERM),
        Kind::SeqPacket => return Err(Errno::ESOCKTNOSUPPORT),
    };
    let version = if family == Family::V4 { SocketAddress::V4 } else { SocketAddress::V6 };
    let arg = u64::from(version) | u64::from(kind.number()) << 32;
    let request = Request { op: Op::Socket as u16, arg, offset: u64::from(protocol), ..Request::default() };
    let handle = platform().host_call(request, &[], &mut [])?;
    let socket = HostSocket::new(u32::try_from(handle).map_err(|_| Errno::EIO)?, kind);
    Ok((Arc::new(socket), Arc::new(Options::default()), if protocol == 0 { default } else { protocol }))
}

/// One socket.
pub struct HostSocket {
    watch: Watch,
    file: File,
    kind: Kind,
    listens: AtomicBool,
}

impl HostSocket {
    fn new(handle: u32, kind: Kind) -> Self {
        Self { watch: Watch::new(handle), file: File::adopt(handle), kind, listens: AtomicBool::new(false) }
    }

    fn ask(&self, op: Op, arg: u64, input: &[u8], output: &mut [u8]) -> Result<u64, Errno> {
        let request = Request { op: op as u16, handle: self.file.handle(), arg, ..Request::default() };
        let answer = platform().host_call(request, input, output);
        crate::fs::heard();
        answer
    }

    /// After EAGAIN: waits until `direction` may be ready.
    fn wait(&self, call: &Call<'_>, direction: &Direction, deadline: fn(&Options) -> Option<u64>) -> Result<(), Fail> {
        if call.nonblocking {
            self.watch.watch_for_others(direction);
            return Err(Errno::EAGAIN.into());
        }
        self.watch.watch(direction);
        let ready = || (!direction.is_watched()).then_some(());
        call.until(self.watch.queue(), direction.events(), deadline, ready)
    }

    fn option(&self, level: u32, name: u32) -> Result<Vec<u8>, Errno> {
        let mut value = vec![0; OPTION];
        let len = self.ask(Op::GetOption, u64::from(level) | u64::from(name) << 32, &[], &mut value)?;
        value.truncate(usize::try_from(len).unwrap_or(OPTION));
        Ok(value)
    }

    fn take_error(&self) -> Result<Vec<u8>, Errno> {
        let error = self.option(raw::SOL_SOCKET, raw::SO_ERROR);
        self.watch.reset();
        error
    }

    /// Whether a connection that was on its way has come to be.
    fn connected(&self) -> Result<(), Fail> {
        match self.take_error()?.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes)) {
            0 => Ok(()),
            errno => Err(Errno::from_raw(errno.into()).into()),
        }
    }

    fn name(&self, which: u64) -> Result<Address, Errno> {
        let mut address = SocketAddress::default();
        self.ask(Op::SocketName, which, &[], address.as_mut_bytes())?;
        address.get().map(Address::Inet).ok_or(Errno::ENOTCONN)
    }

    /// Sends once what fits.
    fn send_some(
        &self,
        call: &Call<'_>,
        (to, control): (Option<SocketAddress>, &[u8]),
        data: &[u8],
        flags: u32,
    ) -> Result<usize, Fail> {
        let address = to.as_ref().map_or(&[][..], IntoBytes::as_bytes);
        let input = [address, control, data].concat();
        let request = Request {
            op: Op::SendTo as u16,
            handle: self.file.handle(),
            arg: u64::from(flags) | (address.len() as u64) << 32,
            offset: control.len() as u64,
            ..Request::default()
        };
        loop {
            match platform().host_call(request, &input, &mut []) {
                Err(Errno::EAGAIN) => self.wait(call, self.watch.output(), Options::send_deadline)?,
                Err(errno) => {
                    self.watch.reset();
                    return Err(errno.into());
                }
                Ok(sent) => {
                    self.watch.output().forget();
                    return Ok(usize::try_from(sent).map_or(data.len(), |sent| sent.min(data.len())));
                }
            }
        }
    }

    /// Receives once: what is said of it, the control messages, and the bytes.
    fn receive_some(&self, call: &Call<'_>, room: usize, flags: u32) -> Result<(Arrived, Vec<u8>, Vec<u8>), Fail> {
        let mut output = vec![0; HEAD + room];
        loop {
            match self.ask(Op::ReceiveFrom, u64::from(flags), &[], &mut output) {
                // For that nobody waits.
                Err(Errno::EAGAIN) if flags & raw::MSG_ERRQUEUE != 0 => return Err(Errno::EAGAIN.into()),
                Err(Errno::EAGAIN) => self.wait(call, self.watch.input(), Options::receive_deadline)?,
                Err(errno) => {
                    self.watch.reset();
                    return Err(errno.into());
                }
                Ok(bytes) => {
                    self.watch.input().forget();
                    let (arrived, data) = Arrived::read_from_prefix(&output).map_err(|_| Errno::EIO)?;
                    let (control, data) = data.split_at_checked(Arrived::CONTROL).ok_or(Errno::EIO)?;
                    let control = control.get(..arrived.control as usize).unwrap_or(&[]);
                    let bytes = usize::try_from(bytes).map_or(data.len(), |bytes| bytes.min(data.len()));
                    return Ok((arrived, control.to_vec(), data.get(..bytes).unwrap_or(data).to_vec()));
                }
            }
        }
    }
}

/// The host's form of an address that a program gave.
fn outward(address: &Address) -> Result<SocketAddress, Errno> {
    match address {
        Address::Inet(address) => Ok(SocketAddress::from(*address)),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

impl Protocol for HostSocket {
    fn bind(&self, call: &Call<'_>, address: &Address) -> Result<(), Fail> {
        let local = outward(address)?;
        let low = local.port != 0 && local.port < first_unprivileged_port();
        if low && !NetNs::holds(call.current, Cap::NetBindService) {
            return Err(Errno::EACCES.into());
        }
        self.ask(Op::Bind, 0, local.as_bytes(), &mut [])?;
        Ok(())
    }

    fn connect(&self, call: &Call<'_>, address: &Address) -> Result<(), Fail> {
        let to = if *address == Address::Unspecified { None } else { Some(outward(address)?) };
        let result = self.ask(Op::ConnectTo, 0, to.as_ref().map_or(&[][..], IntoBytes::as_bytes), &mut []);
        self.watch.reset();
        match result {
            Ok(_) => Ok(()),
            Err(Errno::EINPROGRESS | Errno::EALREADY) if !call.nonblocking => {
                match self.wait(call, self.watch.output(), Options::send_deadline) {
                    Ok(()) => self.connected(),
                    Err(Fail::Errno(Errno::EAGAIN)) => Err(Errno::EINPROGRESS.into()),
                    Err(fail) => Err(fail),
                }
            }
            Err(errno) => Err(errno.into()),
        }
    }

    fn listen(&self, _: &Call<'_>, backlog: usize) -> Result<(), Fail> {
        self.ask(Op::Listen, backlog as u64, &[], &mut [])?;
        self.listens.store(true, Ordering::Relaxed);
        self.watch.reset();
        Ok(())
    }

    fn accept(&self, call: &Call<'_>) -> Result<(Arc<dyn Protocol>, Arc<Options>, Address), Fail> {
        let mut peer = SocketAddress::default();
        loop {
            match self.ask(Op::Accept, 0, &[], peer.as_mut_bytes()) {
                Err(Errno::EAGAIN) => self.wait(call, self.watch.input(), Options::receive_deadline)?,
                Err(errno) => return Err(errno.into()),
                Ok(handle) => {
                    self.watch.input().forget();
                    let socket = Self::new(u32::try_from(handle).map_err(|_| Errno::EIO)?, self.kind);
                    let peer = peer.get().map_or(Address::Unspecified, Address::Inet);
                    return Ok((Arc::new(socket), Arc::new(call.options.inherit()), peer));
                }
            }
        }
    }

    fn send(&self, call: &Call<'_>, source: &mut Source<'_>, message: Outgoing) -> Result<usize, Fail> {
        let flags = (message.flags & (MessageFlags::OOB | MessageFlags::MORE | MessageFlags::DONTROUTE)).bits();
        let to = match &message.to {
            None | Some(Address::Unspecified) => None,
            Some(address) => Some(outward(address)?),
        };
        if self.kind != Kind::Stream {
            let len = source.left();
            if len > MAX_DATAGRAM {
                return Err(Errno::EMSGSIZE.into());
            }
            let data = source.take_vec(len)?;
            let mut control = Writer::new(Arrived::CONTROL);
            for (level, kind, data) in &message.control.notes {
                control.put(*level, *kind, data);
            }
            if control.truncated {
                return Err(Errno::EINVAL.into());
            }
            let to = (to, &control.finish()[..]);
            return if data.len() < len { Err(Errno::EFAULT.into()) } else { self.send_some(call, to, &data, flags) };
        }
        let mut total = 0;
        while source.left() > 0 || total == 0 {
            let chunk = match source.take_vec(CHUNK) {
                Ok(chunk) => chunk,
                Err(_) if total > 0 => break,
                Err(errno) => return Err(errno.into()),
            };
            let mut done = 0;
            loop {
                match self.send_some(call, (to, &[]), chunk.get(done..).unwrap_or_default(), flags) {
                    Ok(sent) => done += sent,
                    Err(_) if total + done > 0 => return Ok(total + done),
                    Err(fail) => return Err(fail),
                }
                if done >= chunk.len() {
                    break;
                }
            }
            total += done;
            if source.left() == 0 {
                break;
            }
        }
        Ok(total)
    }

    fn receive(&self, call: &Call<'_>, sink: &mut Sink<'_>, flags: MessageFlags) -> Result<Received, Fail> {
        let mut wanted = (flags & (MessageFlags::PEEK | MessageFlags::OOB | MessageFlags::ERRQUEUE)).bits();
        if self.kind != Kind::Stream || flags.contains(MessageFlags::ERRQUEUE) {
            // So that the length is known of what does not fit.
            wanted |= raw::MSG_TRUNC;
            let (arrived, control, data) = self.receive_some(call, sink.left().min(CHUNK), wanted)?;
            let bytes = sink.put(&data)?;
            let length = arrived.length as usize;
            let cut = if bytes < length { MessageFlags::TRUNC } else { MessageFlags::empty() };
            let flags = cut | MessageFlags::from_bits_truncate(arrived.flags & raw::MSG_ERRQUEUE);
            let from = arrived.from.get().map(Address::Inet);
            let control = (!control.is_empty()).then(|| Box::new(Control::told(&control)));
            return Ok(Received { bytes, length, from, control, flags });
        }
        let mut total = 0;
        loop {
            let room = sink.left().min(CHUNK);
            let data = match self.receive_some(call, room, wanted) {
                Ok((_, _, data)) => data,
                Err(_) if total > 0 => break,
                Err(fail) => return Err(fail),
            };
            let put = sink.put(&data)?;
            total += put;
            let all = flags.contains(MessageFlags::WAITALL) && !flags.contains(MessageFlags::PEEK);
            if !all || put == 0 || sink.left() == 0 {
                break;
            }
        }
        Ok(Received { bytes: total, length: total, ..Received::default() })
    }

    fn shutdown(&self, how: Shutdown) -> Result<(), Errno> {
        let how = match (how.read, how.write) {
            (true, true) => raw::SHUT_RDWR,
            (true, false) => raw::SHUT_RD,
            _ => raw::SHUT_WR,
        };
        let result = self.ask(Op::Shutdown, u64::from(how), &[], &mut []);
        self.watch.reset();
        self.watch.queue().wake(Events::all());
        result.map(drop)
    }

    fn local_address(&self) -> Address {
        self.name(0).unwrap_or(Address::Unspecified)
    }

    fn peer_address(&self) -> Result<Address, Errno> {
        self.name(1)
    }

    fn listening(&self) -> bool {
        self.listens.load(Ordering::Relaxed)
    }

    fn get_option(&self, _: &Call<'_>, level: u32, name: u32) -> Result<Vec<u8>, Errno> {
        self.option(level, name)
    }

    fn set_option(&self, _: &Call<'_>, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
        self.ask(Op::SetOption, u64::from(level) | u64::from(name) << 32, value, &mut []).map(drop)
    }

    fn get_general_option(&self, name: u32) -> Option<Result<Vec<u8>, Errno>> {
        match name {
            raw::SO_ERROR => Some(self.take_error()),
            raw::SO_SNDBUF | raw::SO_RCVBUF | raw::SO_BROADCAST | raw::SO_KEEPALIVE | raw::SO_LINGER => {
                Some(self.option(raw::SOL_SOCKET, name))
            }
            _ => None,
        }
    }

    fn set_general_option(&self, name: u32, value: &[u8]) -> Result<(), Errno> {
        match name {
            raw::SO_REUSEADDR
            | raw::SO_REUSEPORT
            | raw::SO_BROADCAST
            | raw::SO_KEEPALIVE
            | raw::SO_OOBINLINE
            | raw::SO_SNDBUF
            | raw::SO_RCVBUF
            | raw::SO_LINGER
            | raw::SO_DONTROUTE
            | raw::SO_RCVLOWAT
            | raw::SO_TIMESTAMP_OLD
            | raw::SO_TIMESTAMPNS_OLD => {
                let arg = u64::from(raw::SOL_SOCKET) | u64::from(name) << 32;
                self.ask(Op::SetOption, arg, value, &mut []).map(drop)
            }
            // They take capabilities that the sandbox process does not have.
            raw::SO_BINDTODEVICE | raw::SO_MARK | raw::SO_SNDBUFFORCE | raw::SO_RCVBUFFORCE => Err(Errno::EPERM),
            _ => Ok(()),
        }
    }

    fn prepare_poll(&self) {
        self.watch.prepare(&self.file, true, true);
    }

    fn poll(&self, options: &Options) -> Events {
        let error = if options.has_error() { Events::ERR } else { Events::empty() };
        self.watch.ready() | error
    }

    fn queue(&self) -> &WaitQueue {
        self.watch.queue()
    }

    fn readable_bytes(&self) -> Result<usize, Errno> {
        if self.listening() {
            return Err(Errno::EINVAL);
        }
        let mut output = vec![0; HEAD + CHUNK];
        match self.ask(Op::ReceiveFrom, u64::from(raw::MSG_PEEK), &[], &mut output) {
            Ok(bytes) => Ok(usize::try_from(bytes).unwrap_or(CHUNK)),
            // Nothing yet, not connected, or an error that a read will tell.
            Err(_) => Ok(0),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
