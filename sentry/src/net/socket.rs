//! A socket as a file, and the seam between it and what a protocol does.

use super::address::Address;
use super::control::{Control, Ucred};
use super::options::Options;
use super::table::{self, UnixRow};
use crate::errno::Errno;
use crate::fs::anon::AnonInode;
use crate::fs::pipe::broken_pipe;
use crate::fs::{FileOps, OpenFile, OpenFlags, Sink, Source};
use crate::mm::Mapping;
use crate::syscall::{Fail, UserPtr};
use crate::task::Current;
use crate::wait::{Events, WaitError, WaitQueue};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bitflags::bitflags;
use core::any::Any;
use core::sync::atomic::{AtomicU64, Ordering};
use linker::addr::UserVa;
use linux_raw_sys::ioctl::{FIONREAD, SIOCATMARK, TIOCOUTQ};
use linux_raw_sys::net as raw;

static NEXT_COOKIE: AtomicU64 = AtomicU64::new(1);

/// How a socket moves bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Kind {
    Stream,
    Datagram,
    Raw,
    SeqPacket,
}

impl Kind {
    /// SOCK_*.
    pub const fn number(self) -> u32 {
        match self {
            Self::Stream => raw::SOCK_STREAM,
            Self::Datagram => raw::SOCK_DGRAM,
            Self::Raw => raw::SOCK_RAW,
            Self::SeqPacket => raw::SOCK_SEQPACKET,
        }
    }
}

bitflags! {
    /// MSG_*: how one message is sent or received, and what is said of it.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    #[allow(missing_docs)]
    pub struct MessageFlags: u32 {
        const OOB = raw::MSG_OOB;
        const PEEK = raw::MSG_PEEK;
        const DONTROUTE = raw::MSG_DONTROUTE;
        const CTRUNC = raw::MSG_CTRUNC;
        const TRUNC = raw::MSG_TRUNC;
        const DONTWAIT = raw::MSG_DONTWAIT;
        const EOR = raw::MSG_EOR;
        const WAITALL = raw::MSG_WAITALL;
        const CONFIRM = raw::MSG_CONFIRM;
        const ERRQUEUE = raw::MSG_ERRQUEUE;
        const NOSIGNAL = raw::MSG_NOSIGNAL;
        const MORE = raw::MSG_MORE;
        // recvmmsg(2); the headers for user space leave it out.
        const WAITFORONE = 0x1_0000;
        const CMSG_CLOEXEC = raw::MSG_CMSG_CLOEXEC;
    }
}

impl crate::syscall::FromArg for MessageFlags {
    fn from_arg(raw: u64) -> Result<Self, Errno> {
        // The calls ignore flags they do not know.
        Ok(Self::from_bits_truncate(raw as u32))
    }
}

/// Who calls, and how long it may block.
pub struct Call<'a> {
    /// The caller.
    pub current: &'a Current,
    /// The socket's options.
    pub options: &'a Arc<Options>,
    /// Answer EAGAIN instead of blocking.
    pub nonblocking: bool,
}

impl Call<'_> {
    /// Runs `ready` until it gives a value. EAGAIN instead of waiting, or when the socket's timeout passes.
    pub fn until<T>(
        &self,
        queue: &WaitQueue,
        events: Events,
        deadline: impl FnOnce(&Options) -> Option<u64>,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Result<T, Fail> {
        if let Some(value) = ready() {
            return Ok(value);
        }
        if self.nonblocking {
            return Err(Errno::EAGAIN.into());
        }
        let deadline = deadline(self.options);
        self.current.wait(queue, events, deadline, ready).map_err(|error| match error {
            WaitError::TimedOut => Errno::EAGAIN.into(),
            // With a timeout a restart would wait anew: such calls are not restarted (signal(7)).
            WaitError::Interrupted if deadline.is_some() => Errno::EINTR.into(),
            WaitError::Interrupted => Fail::Restart,
        })
    }
}

/// What a message carries besides its bytes.
#[derive(Default)]
pub struct Outgoing {
    /// Where to; `None`: where the socket is connected to.
    pub to: Option<Address>,
    /// Descriptors and credentials.
    pub control: Control,
    /// How.
    pub flags: MessageFlags,
}

/// What came.
#[derive(Default)]
pub struct Received {
    /// Bytes put into the sink.
    pub bytes: usize,
    /// Bytes the message had.
    pub length: usize,
    /// Where from, for what names its sender.
    pub from: Option<Address>,
    /// What travelled with it.
    pub control: Option<Box<Control>>,
    /// MSG_EOR and others to tell the caller.
    pub flags: MessageFlags,
}

/// shutdown(2)'s directions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shutdown {
    /// No more receiving.
    pub read: bool,
    /// No more sending.
    pub write: bool,
}

/// What a socket family does. Calls may block as `Call` says; none is made with a lock held.
pub trait Protocol: Send + Sync {
    /// bind(2).
    fn bind(&self, call: &Call<'_>, address: &Address) -> Result<(), Fail>;
    /// connect(2).
    fn connect(&self, call: &Call<'_>, address: &Address) -> Result<(), Fail>;
    /// listen(2).
    fn listen(&self, _call: &Call<'_>, _backlog: usize) -> Result<(), Fail> {
        Err(Errno::EOPNOTSUPP.into())
    }
    /// accept(2): the new socket's protocol, its options and its peer's address.
    fn accept(&self, _call: &Call<'_>) -> Result<(Arc<dyn Protocol>, Arc<Options>, Address), Fail> {
        Err(Errno::EOPNOTSUPP.into())
    }
    /// sendmsg(2).
    fn send(&self, call: &Call<'_>, source: &mut Source<'_>, message: Outgoing) -> Result<usize, Fail>;
    /// recvmsg(2).
    fn receive(&self, call: &Call<'_>, sink: &mut Sink<'_>, flags: MessageFlags) -> Result<Received, Fail>;
    /// shutdown(2).
    fn shutdown(&self, how: Shutdown) -> Result<(), Errno>;
    /// The last descriptor is closed.
    fn close(&self) {}
    /// getsockname(2).
    fn local_address(&self) -> Address;
    /// getpeername(2).
    fn peer_address(&self) -> Result<Address, Errno>;
    /// Whether it listens.
    fn listening(&self) -> bool {
        false
    }
    /// SO_PEERCRED.
    fn peer_credentials(&self) -> Ucred {
        Ucred { pid: 0, uid: u32::MAX, gid: u32::MAX }
    }
    /// SO_PEERGROUPS.
    fn peer_groups(&self) -> Result<Vec<u32>, Errno> {
        Err(Errno::ENODATA)
    }
    /// getsockopt(2) other than SOL_SOCKET.
    fn get_option(&self, _call: &Call<'_>, _level: u32, _name: u32) -> Result<Vec<u8>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// setsockopt(2) other than SOL_SOCKET.
    fn set_option(&self, _call: &Call<'_>, _level: u32, _name: u32, _value: &[u8]) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// An option of SOL_SOCKET was set.
    fn general_option_set(&self) {}
    /// An option of SOL_SOCKET that is not what `Options` has; `None` for the others.
    fn get_general_option(&self, _name: u32) -> Option<Result<Vec<u8>, Errno>> {
        None
    }
    /// Somebody else has to know of an option of SOL_SOCKET, too, which `Options` has taken.
    fn set_general_option(&self, _name: u32, _value: &[u8]) -> Result<(), Errno> {
        Ok(())
    }
    /// Whether SO_ATTACH_FILTER decides what it receives.
    fn filters(&self) -> bool {
        false
    }
    /// What mmap gives at `offset`.
    fn mapping(&self, _offset: u64) -> Result<(Arc<Mapping>, u64), Errno> {
        Err(Errno::ENODEV)
    }
    /// An option other than SOL_SOCKET's, for who lists sockets.
    fn own_option(&self, _level: u32, _name: u32) -> Option<Vec<u8>> {
        None
    }
    /// What a unix socket says of itself.
    fn unix_row(&self) -> Option<UnixRow> {
        None
    }
    /// `poll` is about to be asked: time to find out. Called without locks; may sleep.
    fn prepare_poll(&self) {}
    /// What is ready.
    fn poll(&self, options: &Options) -> Events;
    /// Woken when that may have changed.
    fn queue(&self) -> &WaitQueue;
    /// FIONREAD.
    fn readable_bytes(&self) -> Result<usize, Errno>;
    /// SIOCOUTQ: bytes sent that the peer has not read.
    fn unread_bytes(&self) -> usize {
        0
    }
    /// The owner of the type recognises it (connect finds its peer).
    fn as_any(&self) -> &dyn Any;
}

/// A socket.
pub struct Socket {
    /// AF_*.
    pub domain: u32,
    /// SOCK_*.
    pub kind: Kind,
    /// IPPROTO_*.
    pub protocol: u32,
    options: Arc<Options>,
    ops: Arc<dyn Protocol>,
    cookie: u64,
}

impl Socket {
    /// A description of a new socket.
    pub fn open(
        current: &Current,
        (domain, kind, protocol): (u32, Kind, u32),
        options: Arc<Options>,
        ops: Arc<dyn Protocol>,
        nonblocking: bool,
    ) -> Arc<OpenFile> {
        let cookie = NEXT_COOKIE.fetch_add(1, Ordering::Relaxed);
        let inode = AnonInode::socket(&current.creds);
        options.identify(current.creds.fsuid, inode.ino(), cookie);
        options.set_owner(current);
        options.set_network(|| super::NetNs::of(current));
        table::add(cookie, (domain, kind, protocol), &options, &ops);
        let socket = Self { domain, kind, protocol, options, ops, cookie };
        let status = if nonblocking { OpenFlags::NONBLOCK } else { OpenFlags::empty() };
        OpenFile::new(Arc::new(socket), OpenFlags::RDWR | status, inode, None)
    }

    /// The socket behind a description; ENOTSOCK where it is none.
    pub fn of(file: &OpenFile) -> Result<&Self, Errno> {
        if file.flags().contains(OpenFlags::PATH) {
            return Err(Errno::EBADF);
        }
        file.downcast::<Self>().ok_or(Errno::ENOTSOCK)
    }

    /// What does the work.
    pub fn ops(&self) -> &Arc<dyn Protocol> {
        &self.ops
    }

    /// Its options.
    pub fn options(&self) -> &Arc<Options> {
        &self.options
    }

    /// A call through `file`.
    pub fn call<'a>(&'a self, current: &'a Current, file: &OpenFile, flags: MessageFlags) -> Call<'a> {
        let nonblocking = flags.contains(MessageFlags::DONTWAIT) || file.nonblocking();
        Call { current, options: &self.options, nonblocking }
    }

    /// sendmsg(2), SIGPIPE included.
    pub fn send(
        &self,
        current: &Current,
        file: &OpenFile,
        source: &mut Source<'_>,
        message: Outgoing,
    ) -> Result<usize, Fail> {
        let flags = message.flags;
        match self.ops.send(&self.call(current, file, flags), source, message) {
            Err(Fail::Errno(Errno::EPIPE)) if self.kind == Kind::Stream && !flags.contains(MessageFlags::NOSIGNAL) => {
                Err(broken_pipe(current))
            }
            other => other,
        }
    }

    /// recvmsg(2).
    pub fn receive(
        &self,
        current: &Current,
        file: &OpenFile,
        sink: &mut Sink<'_>,
        flags: MessageFlags,
    ) -> Result<Received, Fail> {
        self.ops.receive(&self.call(current, file, flags), sink, flags)
    }

    /// getsockopt(2).
    pub fn get_option(&self, call: &Call<'_>, level: u32, name: u32) -> Result<Vec<u8>, Errno> {
        if level != raw::SOL_SOCKET {
            return self.ops.get_option(call, level, name);
        }
        Ok(match name {
            raw::SO_TYPE => self.kind.number().to_ne_bytes().to_vec(),
            raw::SO_DOMAIN => self.domain.to_ne_bytes().to_vec(),
            raw::SO_PROTOCOL => self.protocol.to_ne_bytes().to_vec(),
            raw::SO_ACCEPTCONN => u32::from(self.ops.listening()).to_ne_bytes().to_vec(),
            raw::SO_COOKIE => self.cookie.to_ne_bytes().to_vec(),
            raw::SO_PEERCRED => {
                let nobody = Ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
                let creds = self.ops.peer_credentials();
                let shown = if creds == nobody { creds } else { creds.shown(call.current) };
                let Ucred { pid, uid, gid } = shown;
                [pid, uid, gid].map(u32::to_ne_bytes).concat()
            }
            raw::SO_PEERGROUPS => self.ops.peer_groups()?.into_iter().flat_map(u32::to_ne_bytes).collect(),
            raw::SO_PEERSEC => return Err(Errno::ENOPROTOOPT),
            _ => self.ops.get_general_option(name).unwrap_or_else(|| self.options.get(name))?,
        })
    }

    /// setsockopt(2).
    pub fn set_option(&self, call: &Call<'_>, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
        if level != raw::SOL_SOCKET {
            return self.ops.set_option(call, level, name, value);
        }
        if name == raw::SO_ATTACH_FILTER && !self.ops.filters() {
            return Err(Errno::ENOPROTOOPT);
        }
        self.options.set(call.current, name, value)?;
        self.ops.set_general_option(name, value)?;
        self.ops.general_option_set();
        // A larger buffer may be what a sender waits for.
        self.ops.queue().wake(Events::WRITABLE);
        Ok(())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        table::remove(self.cookie);
        self.ops.close();
    }
}

impl FileOps for Socket {
    fn read(&self, current: &Current, file: &OpenFile, sink: &mut Sink<'_>, _: u64) -> Result<usize, Fail> {
        Ok(self.receive(current, file, sink, MessageFlags::empty())?.bytes)
    }

    fn write(&self, current: &Current, file: &OpenFile, source: &mut Source<'_>, _: u64) -> Result<(usize, u64), Fail> {
        Ok((self.send(current, file, source, Outgoing::default())?, 0))
    }

    fn prepare_poll(&self, _: &OpenFile) {
        self.ops.prepare_poll();
    }

    fn poll(&self, _: &OpenFile) -> Events {
        self.ops.poll(&self.options)
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.ops.queue())
    }

    fn mapping(&self, offset: u64) -> Option<Result<(Arc<Mapping>, u64), Errno>> {
        Some(self.ops.mapping(offset))
    }

    fn ioctl(&self, current: &Current, _: &OpenFile, command: u32, arg: u64) -> Result<u64, Fail> {
        let bytes = match command {
            FIONREAD => self.ops.readable_bytes()?,
            TIOCOUTQ => self.ops.unread_bytes(),
            // There is no urgent data, so there is no mark.
            SIOCATMARK if self.kind == Kind::Stream && self.domain != raw::AF_UNIX => 0,
            _ => return super::interfaces::ioctl(current, self.domain, command, arg),
        };
        let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        UserPtr::<i32>::new(UserVa::new(arg)).write(current, &bytes)?;
        Ok(0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
