//! Two connected sockets: what each has received, and how bytes and records go across. Unix streams and seqpackets and loopback
//! TCP share it; bytes are copied once in and once out, as in a pipe.
//!
//! Lock: `Rank::Socket`, one side at a time.

mod receive;
mod send;

use super::control::Control;
use super::options::{Options, Switch};
use super::socket::Shutdown;
use crate::errno::Errno;
use crate::fs::pipe::{Chunk, Chunks};
use crate::sync::{Lock, Rank};
use crate::wait::{Events, WaitQueue};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

/// Transfers up to this many bytes go through the stack.
const SMALL: usize = 128;
/// Bytes of one chunk at most.
const CHUNK: usize = 65536;
/// What a TCP connection holds each way, unless a buffer size was set: about what Linux grows its buffers to.
const TCP_ROOM: usize = 1 << 20;

/// Whose rules a connection follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rules {
    /// SOCK_STREAM of AF_UNIX.
    UnixStream,
    /// SOCK_SEQPACKET of AF_UNIX: records.
    UnixRecords,
    /// TCP.
    Tcp,
}

/// What travels with a chunk. Dropped without locks.
type Mark = Option<Box<Control>>;

struct Incoming {
    chunks: Chunks<Mark>,
    /// The peer sends no more.
    eof: bool,
    /// The owner reads no more (SHUT_RD).
    deaf: bool,
    /// The owner closed.
    gone: bool,
    /// The peer refused data that had been sent (RST): over in both directions.
    reset: bool,
}

struct Side {
    queue: Arc<WaitQueue>,
    options: Arc<Options>,
    incoming: Lock<Incoming>,
}

impl Side {
    fn new(queue: Arc<WaitQueue>, options: Arc<Options>) -> Self {
        let incoming = Incoming { chunks: Chunks::new(), eof: false, deaf: false, gone: false, reset: false };
        Self { queue, options, incoming: Lock::new(Rank::Socket, incoming) }
    }
}

struct Duplex {
    rules: Rules,
    sides: [Side; 2],
}

/// One end of a connection. Dropping it closes it.
pub struct Endpoint {
    duplex: Arc<Duplex>,
    second: bool,
    /// A close is a reset: SO_LINGER with no time, or a connection nobody accepted.
    abort: AtomicBool,
}

/// Connects two sockets, each known by its queue and options.
pub fn connect(
    rules: Rules,
    first: (Arc<WaitQueue>, Arc<Options>),
    second: (Arc<WaitQueue>, Arc<Options>),
) -> (Endpoint, Endpoint) {
    let duplex = Arc::new(Duplex { rules, sides: [Side::new(first.0, first.1), Side::new(second.0, second.1)] });
    let other = Endpoint { duplex: duplex.clone(), second: true, abort: AtomicBool::new(false) };
    (Endpoint { duplex, second: false, abort: AtomicBool::new(false) }, other)
}

impl Endpoint {
    fn own(&self) -> &Side {
        let [first, second] = &self.duplex.sides;
        if self.second { second } else { first }
    }

    fn peer(&self) -> &Side {
        let [first, second] = &self.duplex.sides;
        if self.second { first } else { second }
    }

    fn tcp(&self) -> bool {
        self.duplex.rules == Rules::Tcp
    }

    fn records(&self) -> bool {
        self.duplex.rules == Rules::UnixRecords
    }

    /// The options of the peer.
    pub fn peer_options(&self) -> &Arc<Options> {
        &self.peer().options
    }

    /// Makes the close a reset.
    pub fn abort(&self) {
        self.abort.store(true, Ordering::SeqCst);
    }

    /// Bytes that may be under way from one side to the other.
    fn room(&self, from: &Side, to: &Side) -> usize {
        if !self.tcp() {
            from.options.send_buffer()
        } else if from.options.is(Switch::BuffersSet) || to.options.is(Switch::BuffersSet) {
            from.options.send_buffer().saturating_add(to.options.receive_buffer())
        } else {
            TCP_ROOM
        }
    }

    /// Whether poll says writable with `queued` bytes of that room taken (unix_writable, sk_stream_is_writeable).
    fn is_writable(&self, room: usize, queued: usize) -> bool {
        if self.tcp() { room.saturating_sub(queued) >= queued / 2 } else { queued.saturating_mul(4) <= room }
    }

    /// Bytes received and not read.
    pub fn readable_bytes(&self) -> usize {
        let incoming = self.own().incoming.lock();
        if self.records() { incoming.chunks.front().map_or(0, Chunk::len) } else { incoming.chunks.bytes() }
    }

    /// Bytes sent that the peer has not read.
    pub fn unread_bytes(&self) -> usize {
        self.peer().incoming.lock().chunks.bytes()
    }

    /// Whether the connection was reset or both directions are over.
    pub fn is_over(&self) -> bool {
        let own = {
            let incoming = self.own().incoming.lock();
            incoming.reset || incoming.eof
        };
        own && (self.own().incoming.lock().reset || self.peer().incoming.lock().eof)
    }

    /// shutdown(2).
    pub fn shutdown(&self, how: Shutdown) {
        if how.read {
            self.own().incoming.lock().deaf = true;
        }
        if how.write {
            self.peer().incoming.lock().eof = true;
        }
        self.own().queue.wake(Events::all());
        self.peer().queue.wake(Events::all());
    }

    /// What is ready.
    pub fn poll(&self) -> Events {
        let (own, peer) = (self.own(), self.peer());
        let (data, deaf, eof, reset) = {
            let incoming = own.incoming.lock();
            (!incoming.chunks.is_empty(), incoming.deaf, incoming.eof, incoming.reset)
        };
        let (queued, sent_all, refused) = {
            let incoming = peer.incoming.lock();
            (incoming.chunks.bytes(), incoming.eof, !self.tcp() && (incoming.gone || incoming.deaf))
        };
        let no_more_in = deaf || eof || reset;
        let no_more_out = sent_all || refused || reset;
        let mut events = Events::empty();
        if data || no_more_in {
            events |= Events::READABLE;
        }
        if no_more_in {
            events |= Events::RDHUP;
        }
        if no_more_in && no_more_out {
            events |= Events::HUP;
        }
        if self.is_writable(self.room(own, peer), queued) || self.tcp() && no_more_out {
            events |= Events::WRITABLE;
            if !self.tcp() {
                events |= Events::WRBAND;
            }
        }
        if own.options.has_error() {
            events |= Events::ERR;
        }
        events
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let (own, peer) = (self.own(), self.peer());
        let unread = {
            let mut incoming = own.incoming.lock();
            incoming.gone = true;
            incoming.chunks.take_all()
        };
        let refused = !unread.is_empty() || self.abort.load(Ordering::SeqCst);
        // Descriptors that nobody received are closed here, without the lock.
        drop(unread);
        {
            let mut incoming = peer.incoming.lock();
            if refused && !incoming.gone {
                let errno = if self.tcp() && incoming.eof { Errno::EPIPE } else { Errno::ECONNRESET };
                if !incoming.reset {
                    peer.options.set_error(errno);
                }
                incoming.reset |= self.tcp();
            }
            incoming.eof = true;
        }
        peer.queue.wake(Events::all());
    }
}
