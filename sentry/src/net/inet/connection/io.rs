//! What a program does with a connection.

use super::{Connection, State, TcpState};
use crate::errno::Errno;
use crate::fs::{Sink, Source};
use crate::net::options::Options;
use crate::net::socket::{Call, MessageFlags, Received, Shutdown};
use crate::syscall::Fail;
use crate::wait::Events;
use alloc::vec;
use alloc::vec::Vec;
use smoltcp::time::Duration;

/// Bytes that are copied at a time.
const CHUNK: usize = 64 << 10;

impl Connection {
    /// Whether the handshake is still to be finished.
    pub fn is_opening(&self) -> bool {
        let state = self.state.lock();
        !state.over && matches!(state.engine.tcp().state(), TcpState::SynSent | TcpState::SynReceived)
    }

    /// Whether it was established.
    pub fn was_opened(&self) -> bool {
        self.state.lock().opened
    }

    /// Whether nothing comes or goes any more.
    pub fn is_over(&self) -> bool {
        let state = self.state.lock();
        state.over || matches!(state.engine.tcp().state(), TcpState::Closed | TcpState::TimeWait)
    }

    /// TCP's state.
    pub fn tcp_state(&self) -> TcpState {
        let state = self.state.lock();
        if state.over { TcpState::Closed } else { state.engine.tcp().state() }
    }

    /// Whether its socket is gone.
    pub fn is_orphan(&self) -> bool {
        self.state.lock().orphan
    }

    /// Its state, as the kernel numbers them (include/net/tcp_states.h).
    pub fn state_number(&self) -> u8 {
        match self.tcp_state() {
            TcpState::Established => 1,
            TcpState::SynSent => 2,
            TcpState::SynReceived => 3,
            TcpState::FinWait1 => 4,
            TcpState::FinWait2 => 5,
            TcpState::TimeWait => 6,
            TcpState::Closed => 7,
            TcpState::CloseWait => 8,
            TcpState::LastAck => 9,
            TcpState::Listen => 10,
            TcpState::Closing => 11,
        }
    }

    /// Bytes received and not read; bytes sent and not acknowledged.
    pub fn queued(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.readable(), state.engine.tcp().send_queue())
    }

    /// The largest packet on its way.
    pub fn mtu(&self) -> usize {
        self.hop.mtu()
    }

    /// What is ready.
    pub fn poll(&self) -> Events {
        self.events(&self.state.lock())
    }

    pub(super) fn events(&self, state: &State) -> Events {
        let tcp = state.engine.tcp();
        let now = if state.over { TcpState::Closed } else { tcp.state() };
        let mut events = if self.options.has_error() { Events::ERR } else { Events::empty() };
        if !state.over && matches!(now, TcpState::SynSent | TcpState::SynReceived | TcpState::Listen) {
            return events;
        }
        let no_more_in = state.deaf || state.peer_finished();
        let no_more_out = !state.over && !tcp.may_send() || state.over;
        if state.readable() > 0 || no_more_in {
            events |= Events::READABLE;
        }
        if no_more_in {
            events |= Events::RDHUP;
        }
        if no_more_in && no_more_out {
            events |= Events::HUP;
        }
        let queued = tcp.send_queue();
        // As sk_stream_is_writeable: a third free.
        if no_more_out || tcp.send_capacity().saturating_sub(queued) >= queued / 2 {
            events |= Events::WRITABLE;
        }
        events
    }

    /// Sends from `source`: all of it, unless it may not block.
    pub fn send(&self, call: &Call<'_>, source: &mut Source<'_>, flags: MessageFlags) -> Result<usize, Fail> {
        let mut done = 0;
        if source.left() == 0 {
            return match self.attempt(&[], false) {
                Some(Err(errno)) => Err(errno.into()),
                _ => Ok(0),
            };
        }
        while source.left() > 0 {
            let chunk = match source.take_vec(CHUNK) {
                Ok(chunk) => chunk,
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno.into()),
            };
            let more = source.left() > 0 || flags.contains(MessageFlags::MORE);
            let mut rest = chunk.as_slice();
            while !rest.is_empty() {
                let sent =
                    call.until(&self.queue, Events::WRITABLE, Options::send_deadline, || self.attempt(rest, more));
                self.hop.flush();
                match sent {
                    Ok(Ok(bytes)) => {
                        rest = rest.get(bytes..).unwrap_or(&[]);
                        done += bytes;
                    }
                    _ if done > 0 => return Ok(done),
                    Ok(Err(errno)) => return Err(errno.into()),
                    Err(fail) => return Err(fail),
                }
            }
        }
        Ok(done)
    }

    /// One attempt to send. `more` follows at once: it need not go yet.
    fn attempt(&self, bytes: &[u8], _more: bool) -> Option<Result<usize, Errno>> {
        let after;
        let sent = {
            let mut state = self.state.lock();
            if let Some(errno) = self.options.take_error() {
                return Some(Err(errno));
            }
            if state.over {
                return Some(Err(Errno::EPIPE));
            }
            match state.engine.tcp().state() {
                TcpState::SynSent | TcpState::SynReceived => return None,
                _ if !state.engine.tcp().may_send() => return Some(Err(Errno::EPIPE)),
                _ => {}
            }
            let sent = state.engine.tcp_mut().send_slice(bytes).unwrap_or(0);
            if sent == 0 && !bytes.is_empty() {
                return None;
            }
            after = self.step(&mut state, None);
            sent
        };
        self.finish(after);
        Some(Ok(sent))
    }

    /// Receives into `sink`.
    pub fn receive_data(&self, call: &Call<'_>, sink: &mut Sink<'_>, flags: MessageFlags) -> Result<Received, Fail> {
        if sink.left() == 0 {
            return Ok(Received::default());
        }
        let peek = flags.contains(MessageFlags::PEEK);
        let all = flags.contains(MessageFlags::WAITALL) && !peek;
        let mut done = 0;
        loop {
            let want = sink.left().min(CHUNK);
            let taken = match done == 0 || all {
                true => call.until(&self.queue, Events::READABLE, Options::receive_deadline, || self.take(want, peek)),
                false => Ok(self.take(want, false).unwrap_or_else(|| Ok(Vec::new()))),
            };
            self.hop.flush();
            let bytes = match taken {
                Ok(Ok(bytes)) => bytes,
                _ if done > 0 => break,
                Ok(Err(errno)) => return Err(errno.into()),
                Err(fail) => return Err(fail),
            };
            if bytes.is_empty() {
                break;
            }
            let put = sink.put(&bytes);
            let delivered = *put.as_ref().unwrap_or(&0);
            if delivered < bytes.len() && !peek {
                let mut state = self.state.lock();
                let mut left = bytes.get(delivered..).unwrap_or(&[]).to_vec();
                left.append(&mut state.left);
                state.left = left;
            }
            done += delivered;
            if let Err(errno) = put {
                if done == 0 {
                    return Err(errno.into());
                }
                break;
            }
            if peek || delivered < bytes.len() || sink.left() == 0 {
                break;
            }
        }
        Ok(Received { bytes: done, length: done, ..Received::default() })
    }

    /// Takes up to `max` bytes; nothing at the end; `None` where there are none yet.
    fn take(&self, max: usize, peek: bool) -> Option<Result<Vec<u8>, Errno>> {
        let after;
        let bytes = {
            let mut state = self.state.lock();
            if state.readable() == 0 {
                return match self.options.take_error() {
                    Some(Errno::EPIPE) => Some(Ok(Vec::new())),
                    Some(errno) => Some(Err(errno)),
                    None => (state.deaf || state.peer_finished()).then(|| Ok(Vec::new())),
                };
            }
            if !state.left.is_empty() {
                let count = state.left.len().min(max);
                let bytes = match peek {
                    true => state.left.get(..count).unwrap_or(&[]).to_vec(),
                    false => state.left.drain(..count).collect(),
                };
                return Some(Ok(bytes));
            }
            let count = state.engine.tcp().recv_queue().min(max);
            if peek {
                let mut bytes = vec![0; count];
                let count = state.engine.tcp_mut().peek_slice(&mut bytes).unwrap_or(0);
                bytes.truncate(count);
                return Some(Ok(bytes));
            }
            // The ring's two ends, at most.
            let mut bytes = Vec::with_capacity(count);
            while bytes.len() < count {
                let taken = state.engine.receive(|data| {
                    let data = data.get(..data.len().min(count - bytes.len())).unwrap_or(&[]);
                    bytes.extend_from_slice(data);
                    data.len()
                });
                if taken == 0 {
                    break;
                }
            }
            // The window is larger now, which the peer may have to hear.
            after = self.step(&mut state, None);
            bytes
        };
        self.finish(after);
        Some(Ok(bytes))
    }

    /// shutdown(2).
    pub fn shutdown(&self, how: Shutdown) {
        let after = {
            let mut state = self.state.lock();
            state.deaf |= how.read;
            if how.write {
                state.engine.tcp_mut().close();
            }
            self.step(&mut state, None)
        };
        self.finish(after);
        self.hop.kick();
        self.queue.wake(Events::all());
    }

    /// Options that the state machine follows.
    pub fn configure(&self, set: &Settings) {
        let mut state = self.state.lock();
        state.user_timeout_ns = set.user_timeout_ns;
        state.keep = set.keep;
        state.engine.tos = set.tos;
        let tcp = state.engine.tcp_mut();
        tcp.set_nagle_enabled(!set.no_delay);
        tcp.set_hop_limit(Some(set.ttl.max(1)));
        tcp.set_ack_delay((!set.quick_ack).then_some(Duration::from_millis(40)));
        let now_ns = crate::platform::platform().monotonic_ns();
        self.keep_alive(&mut state, now_ns);
        self.arm(&mut state, now_ns);
    }
}

/// Options of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// TCP_NODELAY.
    pub no_delay: bool,
    /// TCP_QUICKACK, switched on.
    pub quick_ack: bool,
    /// IP_TTL.
    pub ttl: u8,
    /// IP_TOS.
    pub tos: u8,
    /// TCP_USER_TIMEOUT, 0 where it is not set.
    pub user_timeout_ns: u64,
    /// SO_KEEPALIVE: idle time, interval, probes.
    pub keep: Option<(u64, u64, u64)>,
}

impl State {
    pub(super) fn readable(&self) -> usize {
        self.left.len() + self.engine.tcp().recv_queue()
    }

    /// Whether no more data will come.
    pub(super) fn peer_finished(&self) -> bool {
        let finished = matches!(
            self.engine.tcp().state(),
            TcpState::CloseWait | TcpState::LastAck | TcpState::Closing | TcpState::TimeWait | TcpState::Closed
        );
        self.over || finished && self.opened
    }
}
