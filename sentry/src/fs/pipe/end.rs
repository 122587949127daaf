//! An end of a pipe: what read, write, poll and close do.

use super::{Chunk, PIPE_BUF, Pipe};
use crate::errno::Errno;
use crate::fs::io::{Sink, Source};
use crate::fs::open_file::{FileOps, OpenFile, OpenFlags};
use crate::signal::{self, SigInfo, Signal};
use crate::syscall::{Fail, UserPtr};
use crate::task::Current;
use crate::wait::{Events, WaitQueue};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use linker::addr::UserVa;
use linux_raw_sys::general as raw;
use linux_raw_sys::ioctl::FIONREAD;

/// Transfers up to this many bytes go through the stack.
const SMALL: usize = 128;
/// Bytes of one chunk at most.
const CHUNK: usize = 65536;

/// One end (or both, of a FIFO opened O_RDWR).
pub struct PipeEnd {
    pipe: Arc<Pipe>,
    reads: bool,
    writes: bool,
    /// A reader that opened a FIFO nobody wrote to sees no hang-up until the count of writers' opens moves on from this.
    no_hangup_until: Option<u64>,
}

/// The answer to a write that nobody can read: EPIPE, and SIGPIPE to the writing thread.
pub fn broken_pipe(current: &Current) -> Fail {
    let (pid, uid) = (current.process.shown_pid().raw(), current.creds.shown_uid(current.creds.uid));
    signal::send_to_task(&current.task, SigInfo::kill(Signal::SIGPIPE, pid, uid));
    Errno::EPIPE.into()
}

/// What a packet takes beyond its bytes.
fn padding(chunk: &Chunk<bool>) -> usize {
    if chunk.mark { PIPE_BUF.saturating_sub(chunk.len()) } else { 0 }
}

/// What one attempt found.
enum Attempt<T> {
    Done(T),
    Blocked,
    Broken,
}

impl PipeEnd {
    pub(super) fn new(pipe: Arc<Pipe>, reads: bool, writes: bool, no_hangup_until: Option<u64>) -> Self {
        Self { pipe, reads, writes, no_hangup_until }
    }

    pub(super) fn pipe(&self) -> &Arc<Pipe> {
        &self.pipe
    }

    pub(super) fn reads(&self) -> bool {
        self.reads
    }

    pub(super) fn writes(&self) -> bool {
        self.writes
    }

    /// Runs `attempt` until it does not block; EAGAIN instead of blocking when `nonblocking`.
    fn when_possible<T>(
        &self,
        current: &Current,
        nonblocking: bool,
        events: Events,
        mut attempt: impl FnMut() -> Attempt<T>,
    ) -> Result<T, Fail> {
        let outcome = match attempt() {
            Attempt::Blocked if nonblocking => return Err(Errno::EAGAIN.into()),
            Attempt::Blocked => current.wait(&self.pipe.queue, events, None, || match attempt() {
                Attempt::Blocked => None,
                other => Some(other),
            })?,
            other => other,
        };
        match outcome {
            Attempt::Done(value) => Ok(value),
            // `Blocked` does not come out of the wait.
            Attempt::Blocked | Attempt::Broken => Err(broken_pipe(current)),
        }
    }

    /// Reads into `sink` what is there, waiting for the first byte.
    pub(super) fn read_all(&self, current: &Current, nonblocking: bool, sink: &mut Sink<'_>) -> Result<usize, Fail> {
        match sink.left() {
            0 => Ok(0),
            1..=SMALL => self.read_small(current, nonblocking, sink),
            _ => self.read_chunks(current, nonblocking, sink),
        }
    }

    /// Writes all of `source` as a stream.
    pub(super) fn write_all(
        &self,
        current: &Current,
        nonblocking: bool,
        source: &mut Source<'_>,
    ) -> Result<usize, Fail> {
        match source.left() {
            0 => Ok(0),
            1..=SMALL => self.write_small(current, nonblocking, source),
            _ => self.write_chunks(current, nonblocking, false, source),
        }
    }

    fn read_small(&self, current: &Current, nonblocking: bool, sink: &mut Sink<'_>) -> Result<usize, Fail> {
        let mut buffer = [0; SMALL];
        let want = sink.left().min(SMALL);
        let (bytes, wake) = self.when_possible(current, nonblocking, Events::READABLE, || {
            let mut state = self.pipe.state.lock();
            if state.chunks.front().is_some_and(|front| front.mark) {
                return Attempt::Done((usize::MAX, false));
            }
            let was_full = !state.writable();
            match state.chunks.take_small(&mut buffer[..want], |packet| !packet) {
                0 if state.writers == 0 => Attempt::Done((0, false)),
                0 => Attempt::Blocked,
                bytes => Attempt::Done((bytes, was_full)),
            }
        })?;
        if bytes == usize::MAX {
            return self.read_chunks(current, nonblocking, sink);
        }
        if wake {
            self.pipe.queue.wake(Events::WRITABLE);
        }
        match sink.put(&buffer[..bytes]) {
            Ok(put) => {
                if put < bytes {
                    self.put_back(Chunk::new(buffer[put..bytes].to_vec(), false));
                }
                Ok(put)
            }
            Err(errno) => {
                self.put_back(Chunk::new(buffer[..bytes].to_vec(), false));
                Err(errno.into())
            }
        }
    }

    fn read_chunks(&self, current: &Current, nonblocking: bool, sink: &mut Sink<'_>) -> Result<usize, Fail> {
        let mut done = 0;
        while sink.left() > 0 {
            // Only the first chunk is waited for.
            let chunk = if done == 0 {
                self.take_chunk(current, nonblocking, sink.left())?
            } else {
                self.try_take_chunk(sink.left())
            };
            let Some(mut chunk) = chunk else { break };
            let packet = chunk.mark;
            match sink.put(chunk.bytes()) {
                Ok(put) => {
                    done += put;
                    chunk.advance(put);
                    if packet {
                        // What does not fit of a packet is lost (pipe(2), O_DIRECT).
                        break;
                    }
                    if !chunk.is_empty() {
                        self.put_back(chunk);
                        break;
                    }
                    self.pipe.state.lock().chunks.recycle(chunk);
                }
                Err(errno) => {
                    self.put_back(chunk);
                    return if done > 0 { Ok(done) } else { Err(errno.into()) };
                }
            }
        }
        Ok(done)
    }

    /// Takes up to `max` bytes that lie together, or a whole packet; `None` at the end of the stream.
    pub(super) fn take_chunk(
        &self,
        current: &Current,
        nonblocking: bool,
        max: usize,
    ) -> Result<Option<Chunk<bool>>, Fail> {
        self.when_possible(current, nonblocking, Events::READABLE, || match self.try_take_chunk(max) {
            Some(chunk) => Attempt::Done(Some(chunk)),
            None if self.pipe.state.lock().writers == 0 => match self.try_take_chunk(max) {
                // A writer may have written and gone in between.
                Some(chunk) => Attempt::Done(Some(chunk)),
                None => Attempt::Done(None),
            },
            None => Attempt::Blocked,
        })
    }

    fn try_take_chunk(&self, max: usize) -> Option<Chunk<bool>> {
        let (chunk, wake) = {
            let mut state = self.pipe.state.lock();
            let was_full = !state.writable();
            let packet = state.chunks.front()?.mark;
            let chunk = if packet { state.chunks.pop() } else { state.chunks.pop_up_to(max) }?;
            if packet {
                state.padding -= padding(&chunk);
            }
            (chunk, was_full)
        };
        if wake {
            self.pipe.queue.wake(Events::WRITABLE);
        }
        Some(chunk)
    }

    /// Returns what was taken and could not be delivered to the front.
    pub(super) fn put_back(&self, chunk: Chunk<bool>) {
        {
            let mut state = self.pipe.state.lock();
            state.padding += padding(&chunk);
            state.chunks.push_front(chunk);
        }
        self.pipe.queue.wake(Events::READABLE);
    }

    fn write_small(&self, current: &Current, nonblocking: bool, source: &mut Source<'_>) -> Result<usize, Fail> {
        let mut buffer = [0; SMALL];
        let bytes = source.take(&mut buffer)?;
        self.when_possible(current, nonblocking, Events::WRITABLE, || {
            let mut state = self.pipe.state.lock();
            if state.readers == 0 {
                return Attempt::Broken;
            }
            if state.free() < bytes {
                return Attempt::Blocked;
            }
            state.chunks.append(&buffer[..bytes], |packet| !packet, || false);
            Attempt::Done(())
        })?;
        self.pipe.queue.wake(Events::READABLE);
        Ok(bytes)
    }

    fn write_chunks(
        &self,
        current: &Current,
        nonblocking: bool,
        packets: bool,
        source: &mut Source<'_>,
    ) -> Result<usize, Fail> {
        let atomic = !packets && source.left() <= PIPE_BUF;
        let mut done = 0;
        while source.left() > 0 {
            let step = if packets { PIPE_BUF } else { CHUNK };
            let result =
                self.wait_for_room(current, nonblocking, if atomic { source.left() } else { 1 }).and_then(|room| {
                    let limit = if packets { step } else { step.min(room.max(PIPE_BUF)) };
                    Ok(source.take_vec(limit)?)
                });
            let taken = match result {
                Ok(bytes) => Chunk::new(bytes, packets),
                Err(_) if done > 0 => return Ok(done),
                Err(fail) => return Err(fail),
            };
            let mut rest = taken;
            while !rest.is_empty() {
                let whole = atomic || packets;
                match self.push(current, nonblocking, whole, &mut rest) {
                    Ok(pushed) => done += pushed,
                    Err(_) if done > 0 => return Ok(done),
                    Err(fail) => return Err(fail),
                }
            }
        }
        Ok(done)
    }

    pub(super) fn wait_for_room(&self, current: &Current, nonblocking: bool, need: usize) -> Result<usize, Fail> {
        self.when_possible(current, nonblocking, Events::WRITABLE, || {
            let state = self.pipe.state.lock();
            match state.free() {
                _ if state.readers == 0 => Attempt::Broken,
                free if free >= need => Attempt::Done(free),
                _ => Attempt::Blocked,
            }
        })
    }

    /// Appends the chunk's head, as much as fits (all or nothing when `whole`); blocks until something does.
    pub(super) fn push(
        &self,
        current: &Current,
        nonblocking: bool,
        whole: bool,
        chunk: &mut Chunk<bool>,
    ) -> Result<usize, Fail> {
        let need = match (chunk.mark, whole) {
            (true, _) => PIPE_BUF,
            (_, true) => chunk.len(),
            _ => 1,
        };
        let pushed = self.when_possible(current, nonblocking, Events::WRITABLE, || {
            let mut state = self.pipe.state.lock();
            if state.readers == 0 {
                return Attempt::Broken;
            }
            let free = state.free();
            if free < need {
                return Attempt::Blocked;
            }
            let step = free.min(chunk.len());
            state.chunks.push(chunk.head(step, chunk.mark));
            state.padding += padding(chunk);
            Attempt::Done(step)
        })?;
        chunk.advance(pushed);
        self.pipe.queue.wake(Events::READABLE);
        Ok(pushed)
    }

    /// References to up to `max` queued bytes, which stay queued (tee).
    pub(super) fn peek(&self, max: usize) -> Vec<Chunk<bool>> {
        let state = self.pipe.state.lock();
        let mut left = max;
        let mut heads = Vec::new();
        for chunk in state.chunks.iter() {
            if left == 0 {
                break;
            }
            let head = chunk.head(left, chunk.mark);
            left -= head.len();
            heads.push(head);
        }
        heads
    }

    /// Waits until there is something to read; false at the end of the stream.
    pub(super) fn wait_readable(&self, current: &Current, nonblocking: bool) -> Result<bool, Fail> {
        self.when_possible(current, nonblocking, Events::READABLE, || {
            let state = self.pipe.state.lock();
            match (state.chunks.is_empty(), state.writers) {
                (false, _) => Attempt::Done(true),
                (true, 0) => Attempt::Done(false),
                _ => Attempt::Blocked,
            }
        })
    }
}

impl FileOps for PipeEnd {
    fn read(&self, current: &Current, file: &OpenFile, sink: &mut Sink<'_>, _: u64) -> Result<usize, Fail> {
        self.read_all(current, file.nonblocking(), sink)
    }

    fn write(&self, current: &Current, file: &OpenFile, source: &mut Source<'_>, _: u64) -> Result<(usize, u64), Fail> {
        let flags = file.flags();
        let nonblocking = flags.contains(OpenFlags::NONBLOCK);
        if flags.contains(OpenFlags::DIRECT) && source.left() > 0 {
            return Ok((self.write_chunks(current, nonblocking, true, source)?, 0));
        }
        Ok((self.write_all(current, nonblocking, source)?, 0))
    }

    fn poll(&self, _: &OpenFile) -> Events {
        let state = self.pipe.state.lock();
        let mut events = Events::empty();
        if self.reads {
            if !state.chunks.is_empty() {
                events |= Events::READABLE;
            }
            if state.writers == 0 && self.no_hangup_until != Some(state.writer_opens) {
                events |= Events::HUP;
            }
        }
        if self.writes {
            if state.writable() {
                events |= Events::WRITABLE;
            }
            if state.readers == 0 {
                events |= Events::ERR;
            }
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.pipe.queue)
    }

    fn ioctl(&self, current: &Current, _: &OpenFile, command: u32, arg: u64) -> Result<u64, Fail> {
        if command != FIONREAD {
            return Err(Errno::ENOTTY.into());
        }
        let bytes = i32::try_from(self.pipe.readable_bytes()).unwrap_or(i32::MAX);
        UserPtr::<i32>::new(UserVa::new(arg)).write(current, &bytes)?;
        Ok(0)
    }

    fn fcntl(&self, current: &Current, file: &OpenFile, command: u32, arg: u64) -> Result<u64, Fail> {
        match command {
            raw::F_GETPIPE_SZ => Ok(super::capacity(file)? as u64),
            raw::F_SETPIPE_SZ => {
                let wanted = u32::try_from(arg).map_err(|_| Errno::EINVAL)?;
                Ok(super::set_capacity(current, file, wanted)? as u64)
            }
            _ => Err(Errno::EINVAL.into()),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        let emptied = {
            let mut state = self.pipe.state.lock();
            state.readers -= usize::from(self.reads);
            state.writers -= usize::from(self.writes);
            if state.readers == 0 && state.writers == 0 {
                state.padding = 0;
                Some(state.chunks.take_all())
            } else {
                None
            }
        };
        drop(emptied);
        self.pipe.queue.wake(Events::all());
    }
}
