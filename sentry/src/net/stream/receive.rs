//! Receiving on a connection.

use super::{Endpoint, Incoming, Mark, SMALL};
use crate::errno::Errno;
use crate::fs::Sink;
use crate::fs::pipe::Chunk;
use crate::net::control::Control;
use crate::net::options::{Options, Switch};
use crate::net::socket::{Call, MessageFlags, Received};
use crate::syscall::Fail;
use crate::wait::Events;
use alloc::boxed::Box;
use alloc::vec::Vec;

impl Endpoint {
    /// What a receiver finds when there is no data: an error, the end, or `None` (wait).
    fn nothing(&self, incoming: &Incoming) -> Option<Result<(), Errno>> {
        let options = &self.own().options;
        match options.take_error() {
            Some(Errno::EPIPE) if incoming.reset => Some(Ok(())),
            Some(errno) => Some(Err(errno)),
            None => (incoming.eof || incoming.deaf || incoming.reset).then_some(Ok(())),
        }
    }

    /// Receives into `sink`.
    pub fn receive(&self, call: &Call<'_>, sink: &mut Sink<'_>, flags: MessageFlags) -> Result<Received, Fail> {
        if self.records() {
            return self.receive_record(call, sink, flags);
        }
        if sink.left() == 0 {
            return Ok(Received::default());
        }
        if flags.contains(MessageFlags::PEEK) {
            return self.peek(call, sink);
        }
        let all = flags.contains(MessageFlags::WAITALL);
        let mut received = Received::default();
        if sink.left() <= SMALL
            && !all
            && let Some(small) = self.receive_small(call, sink)?
        {
            if sink.left() == 0 || small.bytes == 0 {
                return Ok(small);
            }
            // What something travels with may be behind.
            received = small;
        }
        while sink.left() > 0 {
            let chunk = if received.bytes == 0 || all {
                match self.take_chunk(call, sink.left()) {
                    Ok(chunk) => chunk,
                    Err(_) if received.bytes > 0 => break,
                    Err(fail) => return Err(fail),
                }
            } else {
                self.next_chunk(call, sink.left(), received.control.as_deref())
            };
            let Some(mut chunk) = chunk else { break };
            let mark = chunk.mark.take();
            match sink.put(chunk.bytes()) {
                Ok(put) => {
                    chunk.advance(put);
                    received.bytes += put;
                    let files = mark.as_ref().is_some_and(|control| control.files.is_some());
                    received.control = mark.or(received.control);
                    if !chunk.is_empty() {
                        self.put_back(chunk);
                        break;
                    }
                    // Data behind descriptors belongs to the next call.
                    if files {
                        break;
                    }
                    self.own().incoming.lock().chunks.recycle(chunk);
                }
                Err(errno) => {
                    chunk.mark = mark;
                    self.put_back(chunk);
                    if received.bytes == 0 {
                        return Err(errno.into());
                    }
                    break;
                }
            }
        }
        received.length = received.bytes;
        Ok(received)
    }

    /// A few bytes that nothing travels with; `None` where something does.
    fn receive_small(&self, call: &Call<'_>, sink: &mut Sink<'_>) -> Result<Option<Received>, Fail> {
        let mut buffer = [0; SMALL];
        let want = sink.left().min(SMALL);
        let own = self.own();
        let (bytes, wake) = call.until(&own.queue, Events::READABLE, Options::receive_deadline, || {
            let mut incoming = own.incoming.lock();
            let before = incoming.chunks.bytes();
            match incoming.chunks.take_small(&mut buffer[..want], Option::is_none) {
                0 if incoming.chunks.is_empty() => self.nothing(&incoming).map(|end| end.map(|()| (Some(0), false))),
                0 => Some(Ok((None, false))),
                bytes => Some(Ok((Some(bytes), self.peer_is_held(before)))),
            }
        })??;
        let Some(bytes) = bytes else { return Ok(None) };
        if wake {
            self.peer().queue.wake(Events::WRITABLE);
        }
        let put = sink.put(&buffer[..bytes]);
        let delivered = *put.as_ref().unwrap_or(&0);
        if delivered < bytes {
            self.put_back(Chunk::new(buffer[delivered..bytes].to_vec(), None));
        }
        let bytes = put?;
        Ok(Some(Received { bytes, length: bytes, ..Received::default() }))
    }

    /// Whether the peer, with `queued` bytes in our queue, may be waiting for room.
    fn peer_is_held(&self, queued: usize) -> bool {
        self.records() || !self.is_writable(self.room(self.peer(), self.own()), queued)
    }

    /// Takes up to `max` bytes that lie together, waiting for them; `None` at the end.
    fn take_chunk(&self, call: &Call<'_>, max: usize) -> Result<Option<Chunk<Mark>>, Fail> {
        let own = self.own();
        let (chunk, held) = call.until(&own.queue, Events::READABLE, Options::receive_deadline, || {
            let mut incoming = own.incoming.lock();
            let before = incoming.chunks.bytes();
            match incoming.chunks.pop_up_to(max).inspect(|_| self.note_empty(&incoming)) {
                Some(chunk) => Some(Ok((Some(chunk), self.peer_is_held(before)))),
                None => self.nothing(&incoming).map(|end| end.map(|()| (None, false))),
            }
        })??;
        if held {
            self.peer().queue.wake(Events::WRITABLE);
        }
        Ok(chunk)
    }

    /// Takes more for a call that has some already: only what is there and comes from the same sender.
    fn next_chunk(&self, call: &Call<'_>, max: usize, so_far: Option<&Control>) -> Option<Chunk<Mark>> {
        let own = self.own();
        let (chunk, held) = {
            let mut incoming = own.incoming.lock();
            let before = incoming.chunks.bytes();
            let front = incoming.chunks.front()?;
            let creds = |control: Option<&Control>| control.and_then(|control| control.creds);
            if call.options.is(Switch::PassCredentials) && creds(front.mark.as_deref()) != creds(so_far) {
                return None;
            }
            let chunk = incoming.chunks.pop_up_to(max)?;
            self.note_empty(&incoming);
            (chunk, self.peer_is_held(before))
        };
        if held {
            self.peer().queue.wake(Events::WRITABLE);
        }
        Some(chunk)
    }

    /// Sockets lie no deeper in sockets here once nothing is queued.
    fn note_empty(&self, incoming: &Incoming) {
        if incoming.chunks.is_empty() {
            self.own().options.reset_nesting();
        }
    }

    fn put_back(&self, chunk: Chunk<Mark>) {
        let own = self.own();
        own.incoming.lock().chunks.push_front(chunk);
        own.queue.wake(Events::READABLE);
    }

    fn peek(&self, call: &Call<'_>, sink: &mut Sink<'_>) -> Result<Received, Fail> {
        let own = self.own();
        let left = sink.left();
        let (heads, control) = call.until(&own.queue, Events::READABLE, Options::receive_deadline, || {
            let incoming = own.incoming.lock();
            if incoming.chunks.is_empty() {
                return self.nothing(&incoming).map(|end| end.map(|()| (Vec::new(), None)));
            }
            let mut left = left;
            let mut heads: Vec<Chunk<Mark>> = Vec::new();
            let mut control = None;
            for chunk in incoming.chunks.iter() {
                let files = chunk.mark.as_ref().is_some_and(|control| control.files.is_some());
                if left == 0 || files && !heads.is_empty() {
                    break;
                }
                control = control.or_else(|| chunk.mark.as_ref().map(|control| Box::new(control.peek())));
                let head = chunk.head(left, None);
                left -= head.len();
                heads.push(head);
                if files {
                    break;
                }
            }
            Some(Ok((heads, control)))
        })??;
        let mut received = Received { control, ..Received::default() };
        for head in &heads {
            match sink.put(head.bytes()) {
                Ok(put) => received.bytes += put,
                Err(_) if received.bytes > 0 => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        received.length = received.bytes;
        Ok(received)
    }

    fn receive_record(&self, call: &Call<'_>, sink: &mut Sink<'_>, flags: MessageFlags) -> Result<Received, Fail> {
        let peek = flags.contains(MessageFlags::PEEK);
        let own = self.own();
        let record = call.until(&own.queue, Events::READABLE, Options::receive_deadline, || {
            let mut incoming = own.incoming.lock();
            let found = if peek {
                let look = |front: &Chunk<Mark>| {
                    front.head(front.len(), front.mark.as_ref().map(|control| Box::new(control.peek())))
                };
                incoming.chunks.front().map(look)
            } else {
                incoming.chunks.pop().inspect(|_| self.note_empty(&incoming))
            };
            match found {
                Some(record) => Some(Ok(Some(record))),
                None => self.nothing(&incoming).map(|end| end.map(|()| None)),
            }
        })??;
        let Some(mut record) = record else { return Ok(Received::default()) };
        if !peek {
            self.peer().queue.wake(Events::WRITABLE);
        }
        let bytes = sink.put(record.bytes())?;
        let length = record.len();
        let flags = if bytes < length { MessageFlags::TRUNC } else { MessageFlags::empty() };
        Ok(Received { bytes, length, control: record.mark.take(), flags, from: None })
    }
}
