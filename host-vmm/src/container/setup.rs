//! What `create` and the monitor that it forked say to each other.

use crate::container::{Error, call, said};
use crate::report;
use rustix::net::{RecvFlags, SendFlags};
use serde::{Deserialize, Serialize};
use std::os::fd::AsFd;

/// Longest `Setup`, in bytes.
const MAX_SETUP: usize = 64 << 10;
/// What the monitor and `create` say to each other, in this order.
#[derive(Debug, Serialize, Deserialize)]
pub enum Setup {
    /// Monitor: the namespaces are there.
    Ready,
    /// `create`: the hooks ran; start the sandbox.
    Go,
    /// Monitor: the container is set up.
    Waiting,
    /// Monitor, instead of either: it failed, and ends.
    Failed {
        /// As in `Outcome::Failed`.
        code: u8,
        /// What and why.
        message: String,
    },
    /// `create`: the container is recorded; stay. Without it the monitor ends with `create`.
    Stay,
}

impl Setup {
    /// Sends it.
    pub fn send(&self, socket: impl AsFd) -> Result<(), Error> {
        let mut bytes = serde_json::to_vec(self).map_err(|error| said(error.to_string()))?;
        if bytes.len() > MAX_SETUP {
            bytes = serde_json::to_vec(&Self::Failed {
                code: report::FAILURE,
                message: "a message too long to tell".into(),
            })
            .map_err(|error| said(error.to_string()))?;
        }
        rustix::net::send(socket, &bytes, SendFlags::NOSIGNAL).map(drop).map_err(call("create and the monitor"))
    }

    /// Waits for one; `None` when the other side is gone.
    pub fn receive(socket: impl AsFd) -> Option<Self> {
        let mut bytes = vec![0; MAX_SETUP];
        let (received, _) =
            rustix::io::retry_on_intr(|| rustix::net::recv(&socket, &mut bytes, RecvFlags::empty())).ok()?;
        serde_json::from_slice(bytes.get(..received)?).ok()
    }
}
