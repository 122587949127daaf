//! TCP connections with somebody outside. `engine` is the state machine, `table` finds a packet's connection, `io` sends and
//! receives for the program; here is how they come into being, hear of packets and time, and go.
//!
//! A connection outlives its socket until both ends have finished. Lock: `Rank::Socket`; what a poll of the engine produced is
//! sent, and who waits is woken, when the lock is free again.

mod engine;
mod io;
mod table;
#[cfg(test)]
mod tests;

use super::tcp::Tcp;
use crate::errno::Errno;
use crate::net::interfaces::{self, Interface};
use crate::net::options::{Options, Switch};
use crate::net::stack::{Header, Hop, Packet, Parsed, TCP, Unreachable, get_u16, lookup};
use crate::platform::platform;
use crate::sync::{Lock, Rank};
use crate::time::{Expire, TimerEntry};
use crate::wait::{Events, WaitQueue};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::net::SocketAddr;
use engine::Engine;
pub use engine::State as TcpState;
pub use io::Settings;
pub use table::{Ends, list};

/// Buffer sizes, unless the program says otherwise. What is never used costs no memory.
const SEND_BUFFER: usize = 256 << 10;
const RECEIVE_BUFFER: usize = 512 << 10;
/// When memory is short.
const SMALL_BUFFER: usize = 32 << 10;
/// The most that one gets, whatever SO_SNDBUFFORCE and SO_RCVBUFFORCE say: it is taken at once.
const MOST_BUFFER: usize = 16 << 20;
/// How long connecting goes on (net.ipv4.tcp_syn_retries 6, and the same for an answer that does not come).
const CONNECT_NS: u64 = 127_000_000_000;
const ACCEPT_NS: u64 = 63_000_000_000;
/// How long data goes unacknowledged (net.ipv4.tcp_retries2 15).
const PATIENCE_NS: u64 = 924_000_000_000;
/// How long a connection that nobody holds any more waits for the peer's end of it (net.ipv4.tcp_fin_timeout).
const FIN_TIMEOUT_NS: u64 = 60_000_000_000;
/// Connections that a listener has half open at most, beyond its backlog.
const MAX_HALF_OPEN: usize = 256;

/// TCP's flags.
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// A connection.
pub struct Connection {
    this: Weak<Self>,
    local: SocketAddr,
    peer: SocketAddr,
    hop: Hop,
    /// Its socket's.
    pub queue: Arc<WaitQueue>,
    /// Its socket's.
    pub options: Arc<Options>,
    timer: TimerEntry,
    /// Who gets it when it is established.
    listener: Option<Weak<Tcp>>,
    state: Lock<State>,
}

struct State {
    engine: Engine,
    /// Data that a receiver took and could not deliver.
    left: Vec<u8>,
    /// The program reads no more.
    deaf: bool,
    /// No socket holds it.
    orphan: bool,
    /// It was established once.
    opened: bool,
    /// The listener has it.
    announced: bool,
    /// Over: nothing comes or goes any more.
    over: bool,
    /// When the timer goes off.
    armed_ns: u64,
    /// Since when nothing has got on that should.
    stalled_ns: u64,
    /// Bytes not acknowledged, when last looked at.
    unacknowledged: usize,
    /// When the peer was heard last.
    heard_ns: u64,
    /// An orphan's end.
    last_ns: u64,
    /// TCP_USER_TIMEOUT, if it is set.
    user_timeout_ns: u64,
    /// SO_KEEPALIVE: idle time, interval, probes.
    keep: Option<(u64, u64, u64)>,
}

/// What is to be done after a poll, without the lock.
#[derive(Default)]
struct After {
    packets: Vec<Packet>,
    wake: Events,
    announce: bool,
    remove: bool,
}

/// Sizes of the buffers of a connection that begins now.
fn buffers(options: &Options) -> (usize, usize) {
    let memory = platform().memory_info();
    let short = memory.free_pages < memory.total_pages / 8;
    if short {
        return (SMALL_BUFFER, SMALL_BUFFER);
    }
    if options.is(Switch::BuffersSet) {
        let [send, receive] =
            [options.send_buffer(), options.receive_buffer()].map(|bytes| bytes.clamp(SMALL_BUFFER, MOST_BUFFER));
        return (send, receive);
    }
    (SEND_BUFFER, RECEIVE_BUFFER)
}

impl Connection {
    fn new(
        ends: Ends,
        hop: Hop,
        queue: Arc<WaitQueue>,
        options: Arc<Options>,
        listener: Option<Weak<Tcp>>,
    ) -> Arc<Self> {
        let (local, peer) = ends;
        let now_ns = platform().monotonic_ns();
        let (send, receive) = buffers(&options);
        let state = State {
            engine: Engine::new(local, hop.mtu(), send, receive, now_ns),
            left: Vec::new(),
            deaf: false,
            orphan: false,
            opened: false,
            announced: false,
            over: false,
            armed_ns: u64::MAX,
            stalled_ns: now_ns,
            unacknowledged: 0,
            heard_ns: now_ns,
            last_ns: u64::MAX,
            user_timeout_ns: 0,
            keep: None,
        };
        Arc::new_cyclic(|this: &Weak<Self>| {
            let expire: Weak<dyn Expire> = this.clone();
            let timer = TimerEntry::new(expire);
            let state = Lock::new(Rank::Socket, state);
            Self { this: this.clone(), local, peer, hop, queue, options, timer, listener, state }
        })
    }

    /// Begins to connect. EADDRNOTAVAIL where there is such a connection.
    pub fn connect(
        ends: Ends,
        hop: Hop,
        queue: Arc<WaitQueue>,
        options: Arc<Options>,
        set: impl FnOnce(&Self),
    ) -> Result<Arc<Self>, Errno> {
        let old = table::find(&ends);
        if let Some(old) = old
            && !old.gives_way()
        {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let connection = Self::new(ends, hop, queue, options, None);
        if !connection.state.lock().engine.connect(ends.0, ends.1) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        set(&connection);
        if !table::insert(&connection) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        connection.work(None);
        hop.flush();
        Ok(connection)
    }

    /// Its two ends.
    pub fn ends(&self) -> Ends {
        (self.local, self.peer)
    }

    /// Ends a connection that is only waiting to be forgotten, so that another can take its place.
    fn gives_way(&self) -> bool {
        let mut state = self.state.lock();
        let waits = state.over || matches!(state.engine.tcp().state(), TcpState::TimeWait | TcpState::Closed);
        if waits {
            state.over = true;
            drop(state);
            table::remove(self);
        }
        waits
    }

    /// A segment came.
    pub fn receive(interface: &'static Interface, parsed: &Parsed<'_>) {
        if !interfaces::is_own(parsed.to) || parsed.payload.len() < 20 {
            return;
        }
        let local = SocketAddr::new(parsed.to, get_u16(parsed.payload, 2));
        let peer = SocketAddr::new(parsed.from, get_u16(parsed.payload, 0));
        let flags = parsed.payload.get(13).copied().unwrap_or(0);
        let opening = flags & (SYN | ACK | RST | FIN) == SYN;
        if let Some(connection) = table::find(&(local, peer))
            && !(opening && connection.gives_way())
        {
            connection.work(Some((parsed.packet, flags)));
            return;
        }
        if opening && Self::open(interface, (local, peer), parsed) {
            return;
        }
        if flags & RST == 0 {
            reset(interface, parsed, flags);
        }
    }

    /// A SYN came. True where somebody listens, whatever becomes of it.
    fn open(interface: &'static Interface, ends: Ends, parsed: &Parsed<'_>) -> bool {
        let Some(listener) = Tcp::listener(ends.0) else { return false };
        let Some((options, queue)) = listener.admits() else { return true };
        let (peer, index) = (ends.1, interface.index);
        // The answer goes back where the question came from, by the route there.
        let Ok((hop, _)) = lookup(peer.ip(), Some(index)).or_else(|_| lookup(peer.ip(), None)) else { return true };
        let listening = Arc::downgrade(&listener);
        let half_open = list_half_open(&listening);
        if half_open > MAX_HALF_OPEN {
            return true;
        }
        let connection = Self::new(ends, hop, queue, options, Some(listening));
        listener.configure(&connection);
        connection.state.lock().engine.listen(ends.0);
        if table::insert(&connection) {
            connection.work(Some((parsed.packet, SYN)));
        }
        true
    }

    /// Lets the engine work on a segment, or on what time or its user brought, and does what follows.
    fn work(&self, input: Option<(&[u8], u8)>) {
        let after = self.step(&mut self.state.lock(), input);
        self.finish(after);
    }

    /// As `work`, with the lock held; `finish` follows without.
    fn step(&self, state: &mut State, input: Option<(&[u8], u8)>) -> After {
        if state.over {
            return After::default();
        }
        let now_ns = platform().monotonic_ns();
        let before = state.engine.tcp().state();
        let events = self.events(state);
        let mut after = After::default();
        if let Some((_, flags)) = input {
            state.heard_ns = now_ns;
            // Data for somebody who is gone: a reset (RFC 1122, 4.2.2.13).
            let finished = matches!(before, TcpState::FinWait1 | TcpState::FinWait2);
            let waiting = state.engine.tcp().recv_queue();
            after.packets = state.engine.poll(input.map(|(packet, _)| packet), now_ns);
            if state.orphan && finished && state.engine.tcp().recv_queue() > waiting && flags & RST == 0 {
                state.engine.tcp_mut().abort();
            }
        }
        self.keep_alive(state, now_ns);
        after.packets.append(&mut state.engine.poll(None, now_ns));
        let now = state.engine.tcp().state();
        let unacknowledged = state.engine.tcp().send_queue();
        if unacknowledged != state.unacknowledged || unacknowledged == 0 && now != TcpState::SynSent {
            state.stalled_ns = now_ns;
            state.unacknowledged = unacknowledged;
        }
        if now == TcpState::Established || now == TcpState::CloseWait {
            state.opened = true;
        }
        if let Some(errno) = self.timed_out(state, now, now_ns) {
            state.engine.tcp_mut().abort();
            after.packets.append(&mut state.engine.poll(None, now_ns));
            self.fail(state, errno);
        } else if now == TcpState::Closed || now == TcpState::Listen {
            let reset = input.is_some_and(|(_, flags)| flags & RST != 0);
            match before {
                // Both have said all they had to say: a peer that heard so twice has forgotten the connection.
                _ if !reset || before == TcpState::TimeWait => {}
                TcpState::SynSent => self.fail(state, Errno::ECONNREFUSED),
                TcpState::CloseWait => self.fail(state, Errno::EPIPE),
                _ => self.fail(state, Errno::ECONNRESET),
            }
            state.over = true;
        }
        if state.orphan && now == TcpState::FinWait2 && state.last_ns == u64::MAX {
            state.last_ns = now_ns.saturating_add(FIN_TIMEOUT_NS);
        }
        if state.opened && !state.announced && self.listener.is_some() {
            state.announced = true;
            after.announce = true;
        }
        after.remove = state.over;
        after.wake = self.events(state).difference(events);
        if input.is_some() && self.events(state).contains(Events::READABLE) {
            // More data is news to whoever has read what there was.
            after.wake |= Events::READABLE;
        }
        self.arm(state, now_ns);
        after
    }

    /// What follows a `step`. Does not sleep: what is sent goes into the queue.
    fn finish(&self, after: After) {
        for packet in after.packets {
            self.hop.send(packet);
        }
        if after.announce
            && let (Some(listener), Some(this)) = (self.listener.as_ref().and_then(Weak::upgrade), self.this.upgrade())
        {
            listener.announce(this);
        }
        if after.remove {
            self.timer.cancel();
            table::remove(self);
        }
        if !after.wake.is_empty() {
            self.queue.wake(after.wake);
        }
    }

    /// The connection is over because of `errno`.
    fn fail(&self, state: &mut State, errno: Errno) {
        state.over = true;
        if !state.orphan {
            self.options.set_error(errno);
        }
    }

    /// Whether it has waited for too long, and what its user hears.
    fn timed_out(&self, state: &State, now: TcpState, now_ns: u64) -> Option<Errno> {
        (now_ns >= self.patience_ns(state, now)).then_some(Errno::ETIMEDOUT)
    }

    /// Until when it waits for what it waits for.
    fn patience_ns(&self, state: &State, now: TcpState) -> u64 {
        let patience = if state.user_timeout_ns == 0 { PATIENCE_NS } else { state.user_timeout_ns };
        let stalled = match now {
            TcpState::SynSent if state.user_timeout_ns == 0 => CONNECT_NS,
            TcpState::SynReceived => ACCEPT_NS,
            TcpState::Closed | TcpState::Listen | TcpState::TimeWait => u64::MAX,
            TcpState::SynSent => patience,
            // FINs are answered too.
            TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck => patience,
            _ if state.unacknowledged == 0 => u64::MAX,
            _ => patience,
        };
        let silent = match state.keep {
            Some((idle, interval, probes)) if now == TcpState::Established || now == TcpState::CloseWait => {
                state.heard_ns.saturating_add(idle).saturating_add(interval.saturating_mul(probes))
            }
            _ => u64::MAX,
        };
        state.stalled_ns.saturating_add(stalled).min(silent).min(state.last_ns)
    }

    /// Probes a silent peer: first after the idle time, then at shorter intervals.
    fn keep_alive(&self, state: &mut State, now_ns: u64) {
        let wanted = state.keep.map(|(idle, interval, _)| {
            let silent = now_ns.saturating_sub(state.heard_ns) >= idle;
            smoltcp::time::Duration::from_millis(if silent { interval } else { idle } / 1_000_000)
        });
        if state.engine.tcp().keep_alive() != wanted {
            state.engine.tcp_mut().set_keep_alive(wanted);
        }
    }

    /// Sets the timer for what comes next, unless it goes off before that anyway.
    fn arm(&self, state: &mut State, now_ns: u64) {
        if state.over {
            return;
        }
        let now = state.engine.tcp().state();
        let engine = state.engine.next_ns(now_ns).unwrap_or(u64::MAX);
        let next_ns = engine.min(self.patience_ns(state, now));
        if next_ns < state.armed_ns {
            state.armed_ns = next_ns;
            self.timer.arm(next_ns);
        }
    }

    /// An ICMP error about a segment of the connection between these ends came, or nobody answers for its next hop.
    pub fn undelivered(local: SocketAddr, peer: SocketAddr, why: Unreachable) {
        let Some(connection) = table::find(&(local, peer)) else { return };
        // In a connection that stands such errors may pass; one that is being made fails.
        let transient = matches!(why, Unreachable::TimeExceeded | Unreachable::TooBig(_));
        let mut state = connection.state.lock();
        if transient || state.over || state.engine.tcp().state() != TcpState::SynSent {
            return;
        }
        connection.fail(&mut state, why.errno());
        drop(state);
        connection.finish(After { remove: true, wake: Events::all(), ..After::default() });
    }

    /// Does without its socket from now on. `reset`: it ends at once.
    pub fn close(&self, reset: bool) {
        let after = {
            let mut state = self.state.lock();
            state.orphan = true;
            let unread = state.engine.tcp().recv_queue() > 0 || !state.left.is_empty();
            if reset || unread {
                state.engine.tcp_mut().abort();
            } else {
                state.engine.tcp_mut().close();
            }
            let mut after = self.step(&mut state, None);
            if state.engine.tcp().state() == TcpState::Closed {
                state.over = true;
                after.remove = true;
            }
            after
        };
        self.finish(after);
        self.hop.kick();
    }
}

impl Expire for Connection {
    fn expire(&self) {
        let after = {
            let mut state = self.state.lock();
            state.armed_ns = u64::MAX;
            self.step(&mut state, None)
        };
        self.finish(after);
        self.hop.kick();
    }
}

/// Connections that `listener` has half open.
fn list_half_open(listener: &Weak<Tcp>) -> usize {
    let is_its = |connection: &Arc<Connection>| {
        connection.listener.as_ref().is_some_and(|own| Weak::ptr_eq(own, listener))
            && !connection.state.lock().announced
    };
    list().iter().filter(|connection| is_its(connection)).count()
}

/// Answers a segment that belongs to no connection (RFC 9293, 3.5.2).
fn reset(interface: &'static Interface, parsed: &Parsed<'_>, flags: u8) {
    let Ok((hop, _)) = lookup(parsed.from, Some(interface.index)).or_else(|_| lookup(parsed.from, None)) else {
        return;
    };
    let payload = parsed.payload;
    let word = |at: usize| u32::from(get_u16(payload, at)) << 16 | u32::from(get_u16(payload, at + 2));
    let header = usize::from(payload.get(12).copied().unwrap_or(0) >> 4) * 4;
    let length =
        payload.len().saturating_sub(header) as u32 + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
    let (sequence, acknowledgement, own_flags) = match flags & ACK {
        0 => (0, word(4).wrapping_add(length), RST | ACK),
        _ => (word(8), 0, RST),
    };
    let mut answer = Vec::with_capacity(20);
    answer.extend_from_slice(&get_u16(payload, 2).to_be_bytes());
    answer.extend_from_slice(&get_u16(payload, 0).to_be_bytes());
    answer.extend_from_slice(&sequence.to_be_bytes());
    answer.extend_from_slice(&acknowledgement.to_be_bytes());
    answer.extend_from_slice(&[5 << 4, own_flags, 0, 0, 0, 0, 0, 0]);
    let header = Header { whole: true, ..Header::new(parsed.to, parsed.from, TCP) };
    for packet in header.packets(&answer, Some(16), hop.mtu(), 0) {
        hop.send(packet);
    }
}
