//! The sandbox process's side of the gofer: a request socket that all threads share, and a reply socket of its own for each.
//!
//! A datagram is sent whole or not at all, so that senders need no lock. A client has at most `MAX_CALLS` calls in flight,
//! and its reply socket has room for as many answers: the gofer never waits for a client, and so no client waits for ever.

use crate::gofer::wire::{Answer, AnswerHeader, Call, CallHeader, MAX_MESSAGE};
use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendFlags, recvmsg, sendmsg,
};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use zerocopy::{FromBytes, IntoBytes};

/// Calls in flight a client.
pub const MAX_CALLS: usize = 2;

/// One thread's connection.
#[derive(Debug)]
pub struct Client {
    requests: Arc<OwnedFd>,
    replies: OwnedFd,
    index: u32,
    next_id: u64,
    buffer: Vec<u8>,
}

impl Client {
    /// A client that the gofer knows as number `index`.
    pub fn new(requests: Arc<OwnedFd>, replies: OwnedFd, index: u32) -> Self {
        Self { requests, replies, index, next_id: 0, buffer: vec![0; MAX_MESSAGE] }
    }

    /// The reply socket, to wait on.
    pub fn replies(&self) -> BorrowedFd<'_> {
        self.replies.as_fd()
    }

    /// Sends a call and waits for its answer. EIO when the gofer is gone.
    pub fn call(&mut self, call: &Call) -> Result<Answer, Errno> {
        let id = self.send(call)?;
        loop {
            match self.receive() {
                Ok((answered, answer)) if answered == id => return Ok(answer),
                // An answer nobody waits for any more.
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Sends a call. The caller keeps to `MAX_CALLS`.
    pub fn send(&mut self, call: &Call) -> Result<u64, Errno> {
        let id = self.next_id;
        self.next_id += 1;
        let header = CallHeader {
            id,
            client: self.index,
            handle: call.handle,
            offset: call.offset,
            arg: call.arg,
            output_len: call.output_len,
            op: call.op,
            pad: 0,
        };
        let parts = [IoSlice::new(header.as_bytes()), IoSlice::new(&call.input)];
        loop {
            match sendmsg(&*self.requests, &parts, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(id),
                Err(Errno::INTR) => {}
                Err(_) => return Err(Errno::IO),
            }
        }
    }

    /// Receives an answer. EIO when the gofer is gone, EINTR when a signal came first.
    pub fn receive(&mut self) -> Result<(u64, Answer), Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut self.buffer)];
        let received = match recvmsg(&self.replies, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => received,
            Err(Errno::INTR) => return Err(Errno::INTR),
            Err(_) => return Err(Errno::IO),
        };
        let mut file = None;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(mut files) = message {
                file = files.next();
            }
        }
        let message = self.buffer.get(..received.bytes).unwrap_or(&[]);
        let (header, data) = AnswerHeader::read_from_prefix(message).map_err(|_| Errno::IO)?;
        let result = match u64::try_from(header.result) {
            Ok(value) => Ok(value),
            Err(_) => Err(Errno::from_raw_os_error(header.result.checked_neg().map_or(0, |e| e as i32).clamp(1, 4095))),
        };
        Ok((header.id, Answer { result, data: data.to_vec(), file }))
    }
}
