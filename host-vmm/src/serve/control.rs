//! The way between the parent and the sentry: commands in, answers and reports out. What the guest says is passed on as it
//! is, no longer than a message may be; the parent knows not to trust it.

use crate::notice::Notice;
use crate::report;
use crate::serve::ring::lock;
use crate::serve::{Answer, Server};
use linker::control::{Answer as Reply, Command, MAX_MESSAGE, Outcome, What};
use linker::request::{Op, Request, event};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use vm_memory::{Bytes, GuestAddress};

/// Commands that may wait for the sentry at a time.
const MAX_WAITING: usize = 32;

/// The control socket's sandbox end, and the commands that the sentry has not taken yet.
#[derive(Debug)]
pub struct Control {
    socket: Option<OwnedFd>,
    waiting: Mutex<VecDeque<Vec<u8>>>,
}

impl Control {
    /// On this socket; a test may do without.
    pub fn new(socket: Option<OwnedFd>) -> Self {
        Self { socket, waiting: Mutex::default() }
    }

    fn send(&self, notice: &Notice) -> Result<(), Errno> {
        self.socket.as_ref().map_or(Err(Errno::PIPE), |socket| notice.send(socket))
    }
}

impl Server {
    /// Takes a command of the parent's over: its descriptors become files, and the sentry is told. What cannot be queued is
    /// answered here.
    pub(super) fn command(&self, body: &[u8], descriptors: Vec<OwnedFd>) {
        let Ok(mut command) = Command::decode(body) else {
            return report::line("a command that came on the control socket is malformed");
        };
        let mut handles = Vec::new();
        let queued = self.take_files(&mut command, descriptors, &mut handles).and_then(|()| self.queue(&command));
        if let Err(errno) = queued {
            for handle in handles {
                let _ = self.files.remove(handle);
            }
            let message = format!("the sandbox cannot take the command: {errno}");
            let outcome = Outcome::Failed { code: report::FAILURE, errno: errno.raw_os_error(), message };
            if let Ok(bytes) = (Reply { id: command.id, outcome }).encode() {
                let _ = self.control.send(&Notice::Answer(bytes));
            }
        }
    }

    /// Puts handles where the command names its descriptors by position.
    fn take_files(
        &self,
        command: &mut Command,
        descriptors: Vec<OwnedFd>,
        handles: &mut Vec<u32>,
    ) -> Result<(), Errno> {
        let mut given: Vec<Option<(OwnedFd, u32)>> =
            descriptors.into_iter().zip(command.descriptors.iter().copied()).map(Some).collect();
        let places: Vec<&mut u32> = match &mut command.what {
            What::Exec { stdio, descriptors, .. } => stdio.iter_mut().flatten().chain(descriptors).collect(),
            What::Create { spec, .. } => {
                let trace = spec.trace.as_mut().map(|(_, output)| output);
                spec.stdio.iter_mut().flatten().chain(&mut spec.descriptors).chain(trace).collect()
            }
            What::Trace { output, .. } => vec![output],
            _ => return Ok(()),
        };
        for place in places {
            let file = given.get_mut(*place as usize).and_then(Option::take);
            let (fd, flags) = file.ok_or(Errno::BADF)?;
            *place = self.files.insert(fd, OFlags::from_bits_retain(flags))?;
            handles.push(*place);
        }
        Ok(())
    }

    fn queue(&self, command: &Command) -> Result<(), Errno> {
        let bytes = command.encode().map_err(|_| Errno::INVAL)?;
        let len = bytes.len();
        if len > MAX_MESSAGE {
            return Err(Errno::MSGSIZE);
        }
        {
            let mut waiting = lock(&self.control.waiting);
            if waiting.len() >= MAX_WAITING {
                return Err(Errno::BUSY);
            }
            waiting.push_back(bytes);
        }
        self.post_event(event::COMMAND, len as u64);
        Ok(())
    }

    /// `Op::TakeCommand`.
    pub(super) fn take_command(&self, request: &Request) -> Answer {
        let mut waiting = lock(&self.control.waiting);
        let command = waiting.front().ok_or(Errno::AGAIN)?;
        if command.len() as u64 > request.output.len {
            return Err(Errno::MSGSIZE);
        }
        self.memory.write_slice(command, GuestAddress(request.output.pa.raw())).map_err(|_| Errno::FAULT)?;
        Ok(waiting.pop_front().map_or(0, |command| command.len() as u64))
    }

    /// `Op::Answer` and `Op::Report`: on to the parent. EAGAIN when it does not listen fast enough.
    pub(super) fn tell_parent(&self, op: Op, request: &Request) -> Answer {
        let len = usize::try_from(request.input.len).ok().filter(|len| *len <= MAX_MESSAGE).ok_or(Errno::MSGSIZE)?;
        let mut bytes = vec![0; len];
        self.memory.read_slice(&mut bytes, GuestAddress(request.input.pa.raw())).map_err(|_| Errno::FAULT)?;
        let notice = if op == Op::Answer { Notice::Answer(bytes) } else { Notice::Report(bytes) };
        self.control.send(&notice).map(|()| 0)
    }
}
