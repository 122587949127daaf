//! A TCP socket's end of its connection: to another socket of this sandbox, or to somebody outside.

use super::connection::Connection;
use crate::fs::{Sink, Source};
use crate::net::control::Control;
use crate::net::socket::{Call, MessageFlags, Received, Shutdown};
use crate::net::stream::Endpoint;
use crate::syscall::Fail;
use crate::wait::Events;
use alloc::sync::Arc;

/// An end.
#[derive(Clone)]
pub enum End {
    /// The other end is in this sandbox.
    Local(Arc<Endpoint>),
    /// The other end is outside.
    Remote(Arc<Connection>),
}

impl End {
    /// Sends from `source`.
    pub fn send(&self, call: &Call<'_>, source: &mut Source<'_>, flags: MessageFlags) -> Result<usize, Fail> {
        match self {
            Self::Local(end) => end.send(call, source, Control::default()),
            Self::Remote(connection) => connection.send(call, source, flags),
        }
    }

    /// Receives into `sink`.
    pub fn receive(&self, call: &Call<'_>, sink: &mut Sink<'_>, flags: MessageFlags) -> Result<Received, Fail> {
        match self {
            Self::Local(end) => end.receive(call, sink, flags),
            Self::Remote(connection) => connection.receive_data(call, sink, flags),
        }
    }

    /// Whether nothing comes or goes any more.
    pub fn is_over(&self) -> bool {
        match self {
            Self::Local(end) => end.is_over(),
            Self::Remote(connection) => connection.is_over(),
        }
    }

    /// Whether the connection is still being made.
    pub fn is_opening(&self) -> bool {
        match self {
            Self::Local(_) => false,
            Self::Remote(connection) => connection.is_opening(),
        }
    }

    /// shutdown(2).
    pub fn shutdown(&self, how: Shutdown) {
        match self {
            Self::Local(end) => end.shutdown(how),
            Self::Remote(connection) => connection.shutdown(how),
        }
    }

    /// The socket lets go of it; with `reset` the peer hears so at once.
    pub fn close(&self, reset: bool) {
        match self {
            Self::Local(end) if reset => end.abort(),
            // Dropping it closes it.
            Self::Local(_) => {}
            Self::Remote(connection) => connection.close(reset),
        }
    }

    /// What is ready.
    pub fn poll(&self) -> Events {
        match self {
            Self::Local(end) => end.poll(),
            Self::Remote(connection) => connection.poll(),
        }
    }

    /// Bytes received and not read.
    pub fn readable_bytes(&self) -> usize {
        match self {
            Self::Local(end) => end.readable_bytes(),
            Self::Remote(connection) => connection.queued().0,
        }
    }

    /// Bytes sent and not acknowledged: what a peer's queue in this sandbox holds is.
    pub fn unacknowledged_bytes(&self) -> usize {
        match self {
            Self::Local(_) => 0,
            Self::Remote(connection) => connection.queued().1,
        }
    }
}
