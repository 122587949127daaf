//! The witness: it makes the container's cgroup tell that memory ran out.
//!
//! A VM whose memory is limited runs out of it inside, where the sentry kills a program; the host's cgroup, by which engines
//! learn of such things, never gets to its limit and knows nothing. So when the sandbox reports it, one more process in the
//! cgroup takes what is left of the limit, and is what the host's kernel kills: the first it takes, and nobody's loss.

use crate::container::{Error, call};
use crate::process;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Taken at a time.
const PIECE: usize = 1 << 20;
/// Its end is waited for so often, so long apart.
const TRIES: u32 = 400;
const STEP: Duration = Duration::from_millis(5);

/// A witness that waits.
#[derive(Debug)]
pub struct Witness {
    pid: Pid,
    socket: OwnedFd,
    told: bool,
}

impl Witness {
    /// Starts one, in the caller's cgroup, for a limit in bytes. The caller has one thread.
    pub fn start(limit: u64) -> Result<Self, Error> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(call("socketpair"))?;
        let pid = process::fork_child(|| {
            process::close_all_but(&[theirs.as_fd()]);
            wait_and_take(&theirs, limit)
        })
        .map_err(call("fork"))?;
        Ok(Self { pid, socket: ours, told: false })
    }

    /// Memory ran out.
    pub fn tell(&mut self) {
        self.told = true;
        let _ = rustix::net::send(&self.socket, &[1], SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }

    /// Waits until it was killed, if it was told anything.
    pub fn finish(self) {
        for _ in 0..if self.told { TRIES } else { 0 } {
            match rustix::process::waitid(WaitId::Pid(self.pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
                Ok(None) | Err(Errno::INTR) => std::thread::sleep(STEP),
                _ => return,
            }
        }
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
    }
}

fn wait_and_take(socket: &OwnedFd, limit: u64) -> u8 {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let _ = rustix::thread::set_name(c"ringwall-oom");
    // Without it, somebody else would be killed.
    if std::fs::write("/proc/self/oom_score_adj", "1000").is_err() || crate::pin::helpless().is_err() {
        return crate::report::FAILURE;
    }
    match rustix::io::retry_on_intr(|| rustix::net::recv(socket, &mut [0; 1], RecvFlags::empty())) {
        Ok((1.., _)) => {}
        _ => return 0,
    }
    let mut taken = Vec::new();
    while (taken.len() as u64) * (PIECE as u64) <= limit {
        // Not zeros: those need not be there to be read.
        taken.push(vec![1u8; PIECE]);
    }
    // There was room, after all: memory of other things was given up for it.
    0
}
