//! `Terminal`: a line discipline between programs and a far side.

use super::console::{self, Console};
use super::discipline::{Discipline, Effect};
use super::{ioctl, job};
use crate::errno::Errno;
use crate::fs::{FileOps, OpenFile, Sink, Source};
use crate::platform::platform;
use crate::signal::{SigInfo, Signal, send_to_group};
use crate::sync::{Lock, LockGuard, Rank};
use crate::syscall::Fail;
use crate::task::{Current, Tid};
use crate::wait::{Events, WaitError, WaitQueue};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use linker::request::WindowSize;
use linux_raw_sys::general as raw;

/// What the far side sent and the discipline has no room for yet holds at most this much (Linux: TTYB_DEFAULT_MEM_LIMIT).
const INCOMING_BYTES: usize = 64 << 10;
/// Bytes that one step of a read or write moves.
const STEP: usize = 4096;
/// VTIME counts tenths of a second.
const TENTH_NS: u64 = 100_000_000;

/// What is behind a terminal.
pub(super) enum FarSide {
    /// A pseudo-terminal's master; it reads what is written here.
    Master,
    /// The host's standard streams.
    Console(Console),
}

/// A terminal.
pub struct Terminal {
    number: u32,
    far: FarSide,
    state: Lock<State>,
    /// Who waits on this side.
    queue: WaitQueue,
    /// Who waits on the master's side.
    pub(super) master_queue: WaitQueue,
}

/// What a terminal's lock guards.
#[derive(Default)]
pub(super) struct State {
    pub(super) discipline: Discipline,
    incoming: VecDeque<u8>,
    pub(super) size: [u16; 4],
    /// The session it controls, and that session's foreground group.
    pub(super) session: Option<Tid>,
    pub(super) foreground: Option<Tid>,
    /// Open files of this side, and whether there ever was one.
    pub(super) open: usize,
    pub(super) was_open: bool,
    /// TIOCSPTLCK: this side cannot be opened.
    pub(super) locked: bool,
    /// TIOCEXCL.
    pub(super) exclusive: bool,
    /// The far side is gone: reads end, writes fail.
    pub(super) hung_up: bool,
    /// TIOCPKT, and what the master has not been told.
    pub(super) packet: bool,
    pub(super) packet_status: u32,
}

impl Terminal {
    pub(super) fn new(number: u32, far: FarSide) -> Arc<Self> {
        let state = State { locked: matches!(far, FarSide::Master), ..State::default() };
        Arc::new(Self {
            number,
            far,
            state: Lock::new(Rank::Tty, state),
            queue: WaitQueue::new(),
            master_queue: WaitQueue::new(),
        })
    }

    /// Its number in `/dev/pts`.
    pub fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn far(&self) -> &FarSide {
        &self.far
    }

    pub(super) fn lock(&self) -> LockGuard<'_, State> {
        self.state.lock_second()
    }

    /// Sets the size; SIGWINCH to the foreground group where it changed.
    pub(super) fn resize(&self, size: [u16; 4]) {
        let foreground = {
            let mut state = self.lock();
            if state.size == size {
                return;
            }
            state.size = size;
            state.foreground
        };
        if let Some(group) = foreground {
            let _ = send_to_group(group, SigInfo::kernel(Signal::SIGWINCH));
        }
    }

    /// The same, as the host says it.
    pub fn set_window(&self, size: &WindowSize) {
        self.resize([size.rows, size.columns, 0, 0]);
    }

    /// Bytes from the far side. Returns how many were taken.
    pub(super) fn receive(&self, bytes: &[u8]) -> usize {
        let taken = {
            let mut state = self.lock();
            let room = INCOMING_BYTES.saturating_sub(state.incoming.len());
            let taken = bytes.len().min(room);
            state.incoming.extend(bytes.iter().take(taken));
            taken
        };
        self.pump();
        taken
    }

    /// Whether `receive` would take anything.
    pub(super) fn has_incoming_room(&self) -> bool {
        self.lock().incoming.len() < INCOMING_BYTES
    }

    /// Moves what came in through the discipline as far as there is room, and does what that asks for.
    pub(super) fn pump(&self) {
        let mut signals: Vec<Signal> = Vec::new();
        let (foreground, readable, moved) = {
            let mut state = self.lock();
            let before = state.incoming.len();
            let stopped = state.discipline.out().stopped();
            while state.discipline.has_room()
                && let Some(byte) = state.incoming.pop_front()
            {
                if let Effect::Signal(signal) = state.discipline.receive(byte) {
                    signals.push(signal);
                }
            }
            let now_stopped = state.discipline.out().stopped();
            if stopped != now_stopped {
                state.note_packet(if now_stopped { raw::TIOCPKT_STOP } else { raw::TIOCPKT_START });
            }
            if !signals.is_empty() && !state.discipline.termios().local(raw::NOFLSH) {
                state.note_packet(raw::TIOCPKT_FLUSHREAD | raw::TIOCPKT_FLUSHWRITE);
            }
            (state.foreground, state.discipline.readable(true), state.incoming.len() != before)
        };
        for signal in signals {
            if let Some(group) = foreground {
                let _ = send_to_group(group, SigInfo::kernel(signal));
            }
        }
        if readable {
            self.queue.wake(Events::READABLE);
        }
        if moved {
            self.master_queue.wake(Events::WRITABLE);
        }
        self.flush();
    }

    /// Lets the far side have what was written or echoed.
    pub(super) fn flush(&self) {
        match &self.far {
            FarSide::Master => self.master_queue.wake(Events::READABLE | Events::PRI),
            FarSide::Console(console) => {
                console.write(|max| self.lock().discipline.out().take(max));
            }
        }
        if self.lock().discipline.out().has_room() {
            self.queue.wake(Events::WRITABLE);
        }
    }

    /// Something changed that readers, writers and pollers of both sides look at.
    pub(super) fn changed(&self) {
        let all = Events::READABLE | Events::WRITABLE | Events::ALWAYS | Events::PRI;
        self.queue.wake(all);
        self.master_queue.wake(all);
    }

    /// The far side took output: there is room again.
    pub(super) fn drained(&self) {
        self.queue.wake(Events::WRITABLE);
    }

    /// A new open file of this side.
    pub(super) fn open(self: &Arc<Self>, current: &Current) -> Result<Arc<TerminalFile>, Errno> {
        {
            let mut state = self.lock();
            if state.locked || state.hung_up {
                return Err(Errno::EIO);
            }
            if state.exclusive && !current.creds.has(crate::task::Cap::SysAdmin) {
                return Err(Errno::EBUSY);
            }
            state.open += 1;
            state.was_open = true;
        }
        self.master_queue.wake(Events::WRITABLE);
        Ok(Arc::new(TerminalFile { terminal: self.clone() }))
    }

    /// The far side is gone for good.
    pub(super) fn hang_up(&self) {
        self.lock().hung_up = true;
        self.changed();
    }
}

impl State {
    /// Forgets all input, what waits for room included.
    pub(super) fn flush_input(&mut self) {
        self.incoming.clear();
        self.discipline.flush_input();
    }

    /// Notes what the master is told in packet mode. Contradicting news replace each other.
    pub(super) fn note_packet(&mut self, status: u32) {
        if self.packet {
            let opposite = match status {
                raw::TIOCPKT_STOP => raw::TIOCPKT_START,
                raw::TIOCPKT_START => raw::TIOCPKT_STOP,
                raw::TIOCPKT_NOSTOP => raw::TIOCPKT_DOSTOP,
                raw::TIOCPKT_DOSTOP => raw::TIOCPKT_NOSTOP,
                _ => 0,
            };
            self.packet_status = self.packet_status & !opposite | status;
        }
    }
}

/// An open file of a terminal's near side.
pub struct TerminalFile {
    pub(super) terminal: Arc<Terminal>,
}

impl Drop for TerminalFile {
    fn drop(&mut self) {
        let last = {
            let mut state = self.terminal.lock();
            state.open = state.open.saturating_sub(1);
            if state.open == 0 {
                state.exclusive = false;
            }
            state.open == 0
        };
        if last {
            // The master reads the rest, then EIO.
            self.terminal.master_queue.wake(Events::READABLE | Events::HUP);
            console::last_closed(&self.terminal);
        }
    }
}

impl TerminalFile {
    /// How long a read waits for its first byte and between bytes (`None`: for ever), and how many bytes end it.
    fn patience(&self) -> (Option<u64>, Option<u64>, usize) {
        let state = self.terminal.lock();
        let termios = state.discipline.termios();
        if termios.canonical() {
            return (None, None, 1);
        }
        let minimum = usize::from(termios.number(raw::VMIN));
        let time = u64::from(termios.number(raw::VTIME)) * TENTH_NS;
        match (minimum, time) {
            (0, time) => (Some(time), None, 1),
            (minimum, 0) => (None, None, minimum),
            (minimum, time) => (None, Some(time), minimum),
        }
    }

    /// Input, or a reason to stop; `None`: wait.
    fn try_take(&self, max: usize) -> Option<Vec<u8>> {
        let (bytes, ended) = {
            let mut state = self.terminal.lock();
            if state.discipline.readable(false) {
                (Some(state.discipline.take(max)), false)
            } else {
                (None, state.hung_up)
            }
        };
        if bytes.is_some() {
            // There is room for more.
            self.terminal.pump();
        }
        if ended { Some(Vec::new()) } else { bytes }
    }

    /// Waits for input until the deadline: `Ok(None)` then.
    fn wait_input(&self, current: &Current, max: usize, deadline: Option<u64>) -> Result<Option<Vec<u8>>, WaitError> {
        match current.wait(&self.terminal.queue, Events::READABLE, deadline, || self.try_take(max)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(WaitError::TimedOut) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl FileOps for TerminalFile {
    fn read(&self, current: &Current, file: &OpenFile, sink: &mut Sink<'_>, _offset: u64) -> Result<usize, Fail> {
        if self.terminal.lock().hung_up {
            return Ok(0);
        }
        job::check_read(current, &self.terminal)?;
        if sink.left() == 0 {
            return Ok(0);
        }
        let (first, between, minimum) = self.patience();
        let from_now = |ns: u64| platform().monotonic_ns().saturating_add(ns);
        let minimum = minimum.min(sink.left());
        let mut deadline = first.map(from_now);
        let mut done = 0;
        loop {
            let max = sink.left().min(STEP);
            let found = match self.try_take(max) {
                Some(bytes) => Ok(Some(bytes)),
                None if first == Some(0) => Ok(None),
                None if file.nonblocking() => Err(Errno::EAGAIN.into()),
                None => self.wait_input(current, max, deadline).map_err(Fail::from),
            };
            match found {
                Ok(Some(bytes)) => {
                    // An empty piece is an end: VEOF at the beginning of a line, or the far side is gone.
                    let end = bytes.is_empty();
                    if end && done == 0 && self.terminal.lock().hung_up {
                        // Who waits while it hangs up is told so; whoever comes later finds the end.
                        return Err(Errno::EIO.into());
                    }
                    done += sink.put(&bytes)?;
                    if end || done >= minimum {
                        return Ok(done);
                    }
                }
                Ok(None) => return Ok(done),
                Err(_) if done > 0 => return Ok(done),
                Err(fail) => return Err(fail),
            }
            deadline = between.map(from_now);
        }
    }

    fn write(
        &self,
        current: &Current,
        file: &OpenFile,
        source: &mut Source<'_>,
        offset: u64,
    ) -> Result<(usize, u64), Fail> {
        let tostop = {
            let state = self.terminal.lock();
            if state.hung_up {
                return Err(Errno::EIO.into());
            }
            state.discipline.termios().local(raw::TOSTOP)
        };
        if tostop {
            job::check_change(current, &self.terminal, Signal::SIGTTOU)?;
        }
        let mut total = 0;
        while source.left() > 0 {
            let bytes = match source.take_vec(STEP) {
                Ok(bytes) => bytes,
                Err(_) if total > 0 => break,
                Err(errno) => return Err(errno.into()),
            };
            let (written, result) = self.write_all(current, file, &bytes);
            total += written;
            match result {
                Ok(()) => {}
                Err(_) if total > 0 => break,
                Err(fail) => return Err(fail),
            }
        }
        Ok((total, offset))
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        let mut state = self.terminal.lock();
        if state.hung_up {
            return Events::READABLE | Events::WRITABLE | Events::ERR | Events::HUP;
        }
        let mut events = Events::empty();
        events.set(Events::READABLE, state.discipline.readable(true));
        events.set(Events::WRITABLE, state.discipline.out().has_room());
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.terminal.queue)
    }

    fn ioctl(&self, current: &Current, file: &OpenFile, command: u32, arg: u64) -> Result<u64, Fail> {
        ioctl::terminal(current, file, &self.terminal, command, arg)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl TerminalFile {
    /// Writes `bytes`, waiting for room. Returns how many were written, and why not all.
    fn write_all(&self, current: &Current, file: &OpenFile, bytes: &[u8]) -> (usize, Result<(), Fail>) {
        let mut done = 0;
        while done < bytes.len() {
            let rest = bytes.get(done..).unwrap_or_default();
            let step = || {
                let mut state = self.terminal.lock();
                if state.hung_up {
                    return Some(Err(Errno::EIO));
                }
                let written = state.discipline.write(rest);
                (written > 0).then_some(Ok(written))
            };
            let result = match step() {
                Some(result) => Ok(result),
                None if file.nonblocking() => Err(Errno::EAGAIN.into()),
                None => current.wait(&self.terminal.queue, Events::WRITABLE, None, step).map_err(Fail::from),
            };
            match result {
                Ok(Ok(written)) => {
                    done += written;
                    self.terminal.flush();
                }
                Ok(Err(errno)) => return (done, Err(errno.into())),
                Err(fail) => return (done, Err(fail)),
            }
        }
        (done, Ok(()))
    }
}
