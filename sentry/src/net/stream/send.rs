//! Sending on a connection.

use super::{CHUNK, Endpoint, Incoming, Mark, SMALL};
use crate::errno::Errno;
use crate::fs::Source;
use crate::fs::pipe::{Chunk, Chunks};
use crate::net::control::{Control, Ucred};
use crate::net::options::{Options, Switch};
use crate::net::socket::Call;
use crate::net::unix::LARGEST;
use crate::syscall::Fail;
use crate::wait::Events;
use alloc::boxed::Box;

/// What one attempt to send found.
enum Sent {
    Bytes(usize),
    Failed(Errno),
}

impl Endpoint {
    /// Looks whether anything may be sent; the errno where nothing ever may.
    fn check(&self, peer: &Incoming) -> Option<Errno> {
        let refused = !self.tcp() && (peer.gone || peer.deaf);
        (peer.eof || refused).then_some(Errno::EPIPE)
    }

    /// TCP: data for a peer that has closed goes out and is answered with a reset.
    fn send_to_closed(&self, bytes: usize) -> Sent {
        let own = self.own();
        let mut incoming = own.incoming.lock();
        if incoming.reset {
            drop(incoming);
            return Sent::Failed(own.options.take_error().unwrap_or(Errno::EPIPE));
        }
        incoming.reset = true;
        drop(incoming);
        own.options.set_error(Errno::EPIPE);
        own.queue.wake(Events::all());
        Sent::Bytes(bytes)
    }

    /// One attempt: `put` is given the peer's queue and the room there is, and says how many bytes it put.
    fn attempt(&self, need: usize, total: usize, put: impl FnOnce(&mut Chunks<Mark>, usize) -> usize) -> Option<Sent> {
        let peer = self.peer();
        let mut incoming = peer.incoming.lock();
        if let Some(errno) = self.check(&incoming) {
            drop(incoming);
            let pending = if self.tcp() { self.own().options.take_error() } else { None };
            return Some(Sent::Failed(pending.unwrap_or(errno)));
        }
        if self.tcp() && incoming.gone {
            drop(incoming);
            return Some(self.send_to_closed(total));
        }
        let free = self.room(self.own(), self.peer()).saturating_sub(incoming.chunks.bytes());
        if free < need {
            return None;
        }
        let bytes = put(&mut incoming.chunks, free);
        drop(incoming);
        peer.queue.wake(Events::READABLE);
        Some(Sent::Bytes(bytes))
    }

    fn finish(&self, call: &Call<'_>, mut attempt: impl FnMut() -> Option<Sent>) -> Result<usize, Fail> {
        match call.until(&self.own().queue, Events::WRITABLE, Options::send_deadline, &mut attempt)? {
            Sent::Bytes(bytes) => Ok(bytes),
            Sent::Failed(errno) => Err(errno.into()),
        }
    }

    /// Credentials that travel along, where either side wants to see them.
    fn stamp(&self, call: &Call<'_>, control: &mut Control) {
        let wanted = |options: &Options| options.is(Switch::PassCredentials);
        if !self.tcp() && control.creds.is_none() && (wanted(call.options) || wanted(&self.peer().options)) {
            control.creds = Some(Ucred::real(call.current));
        }
    }

    /// Sends from `source`: all of it, unless it may not block.
    pub fn send(&self, call: &Call<'_>, source: &mut Source<'_>, mut control: Control) -> Result<usize, Fail> {
        self.stamp(call, &mut control);
        if let Some(files) = &control.files {
            self.peer().options.raise_nesting(files.depth());
        }
        let plain = control.is_empty();
        if self.records() {
            return self.send_record(call, source, control);
        }
        if source.left() == 0 {
            return match self.check(&self.peer().incoming.lock()) {
                Some(errno) => Err(errno.into()),
                None => Ok(0),
            };
        }
        if plain && source.left() <= SMALL {
            return self.send_small(call, source);
        }
        let mut mark = (!plain).then(|| Box::new(control));
        let mut done = 0;
        while source.left() > 0 {
            let mut chunk = match source.take_vec(CHUNK) {
                Ok(bytes) => Chunk::new(bytes, None),
                Err(_) if done > 0 => return Ok(done),
                Err(errno) => return Err(errno.into()),
            };
            while !chunk.is_empty() {
                let len = chunk.len();
                let result = self.finish(call, || {
                    self.attempt(1, len, |queue, free| {
                        let step = free.min(len);
                        queue.push(chunk.head(step, mark.take()));
                        step
                    })
                });
                match result {
                    Ok(bytes) => {
                        chunk.advance(bytes);
                        done += bytes;
                    }
                    Err(_) if done > 0 => return Ok(done),
                    Err(fail) => return Err(fail),
                }
            }
        }
        Ok(done)
    }

    fn send_small(&self, call: &Call<'_>, source: &mut Source<'_>) -> Result<usize, Fail> {
        let mut buffer = [0; SMALL];
        let len = source.take(&mut buffer)?;
        let mut done = 0;
        while done < len {
            let left = &buffer[done..len];
            let result = self.finish(call, || {
                self.attempt(1, left.len(), |queue, free| {
                    let step = free.min(left.len());
                    queue.append(&left[..step], Option::is_none, || None);
                    step
                })
            });
            match result {
                Ok(bytes) => done += bytes,
                Err(_) if done > 0 => break,
                Err(fail) => return Err(fail),
            }
        }
        Ok(done)
    }

    fn send_record(&self, call: &Call<'_>, source: &mut Source<'_>, control: Control) -> Result<usize, Fail> {
        let len = source.left();
        if len > self.room(self.own(), self.peer()) {
            return Err(Errno::EMSGSIZE.into());
        }
        if len > LARGEST {
            return Err(Errno::ENOBUFS.into());
        }
        let bytes = source.take_vec(len)?;
        if bytes.len() < len {
            return Err(Errno::EFAULT.into());
        }
        let mark = (!control.is_empty()).then(|| Box::new(control));
        let mut chunk = Some(Chunk::new(bytes, mark));
        // Empty records take room too, or there would be no end to them.
        self.finish(call, || {
            self.attempt(len.max(1), len, |queue, _| {
                if let Some(chunk) = chunk.take() {
                    queue.push(chunk);
                }
                len
            })
        })
    }
}
