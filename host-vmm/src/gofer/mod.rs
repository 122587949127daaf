//! The gofer process: names files for the sandbox, beneath the container's mounts and nowhere else, and donates the open ones.
//!
//! `ops` answers one call; `nodes` keeps what the sandbox has names for; `wire` is the message format; `client` the other side.
//! `many` answers for many names at once. One thread: calls are short, and no data pass through here but those of small files. After `Gofer::new` no path from outside is ever used:
//! names are single components below an open directory, and an open file is reached through `/proc/self/fd`, the working directory.
//! In a pod further exports come as open descriptors, by the control socket, whose other end the parent alone has.

pub mod client;
mod many;
pub mod nodes;
pub mod ops;
#[cfg(test)]
mod tests;
pub mod wire;

use crate::gofer::nodes::Nodes;
use crate::gofer::wire::{AnswerHeader, CallHeader, LOOK, MAX_MESSAGE};
use crate::notice::Notice;
use linker::request::Op;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use zerocopy::{FromBytes, IntoBytes};

/// A tree or file of the host that a mount inside shows.
#[derive(Clone, Debug)]
pub struct Export {
    /// Where it is. Trusted: symbolic links are followed.
    pub path: PathBuf,
    /// Whether anything beneath may be changed.
    pub writable: bool,
}

/// Why the gofer did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An export cannot be opened.
    #[error("{}: {source}", path.display())]
    Export {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Errno,
    },
    /// `/proc/self/fd` cannot be used.
    #[error("/proc/self/fd: {0}")]
    Proc(Errno),
}

/// An export, opened: by the parent, so that a missing one is said before anything is started.
#[derive(Debug)]
pub struct Root {
    /// `O_PATH`.
    pub fd: OwnedFd,
    /// Whether anything beneath may be changed.
    pub writable: bool,
}

impl Root {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        let mode = rustix::fs::fstat(&self.fd).map_or(0, |stat| stat.st_mode);
        FileType::from_raw_mode(mode) == FileType::Directory
    }
}

impl Export {
    /// Opens it.
    pub fn open(self) -> Result<Root, Error> {
        match rustix::fs::open(&self.path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => Ok(Root { fd, writable: self.writable }),
            Err(source) => Err(Error::Export { path: self.path, source }),
        }
    }
}

/// The server.
#[derive(Debug)]
pub struct Gofer {
    calls: OwnedFd,
    replies: Vec<OwnedFd>,
    /// To the parent, who may have further exports, or take some away; a test may do without.
    control: Option<OwnedFd>,
    /// By number; `None` for what is not served any more.
    roots: Vec<Option<Root>>,
    nodes: Nodes,
    /// `/proc/self/fd`, also the working directory.
    proc: OwnedFd,
}

/// What an op answers.
#[derive(Debug, Default)]
pub struct Output {
    result: u64,
    data: Vec<u8>,
    file: Option<OwnedFd>,
}

impl Gofer {
    /// Takes over the exports.
    pub fn new(
        calls: OwnedFd,
        replies: Vec<OwnedFd>,
        control: Option<OwnedFd>,
        roots: Vec<Root>,
    ) -> Result<Self, Error> {
        // A node costs a descriptor.
        crate::process::raise_file_limit();
        // Modes arrive with the umask of the program applied.
        rustix::process::umask(Mode::empty());
        let path_only = OFlags::PATH | OFlags::CLOEXEC;
        let proc =
            rustix::fs::open("/proc/self/fd", path_only | OFlags::DIRECTORY, Mode::empty()).map_err(Error::Proc)?;
        rustix::process::fchdir(&proc).map_err(Error::Proc)?;
        let roots = roots.into_iter().map(Some).collect();
        Ok(Self { calls, replies, control, roots, nodes: Nodes::default(), proc })
    }

    /// Answers calls until the sandbox is gone.
    pub fn serve(&mut self) {
        let mut buffer = vec![0; MAX_MESSAGE];
        loop {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let received =
                match recvmsg(&self.calls, &mut parts, &mut RecvAncillaryBuffer::default(), RecvFlags::empty()) {
                    Ok(received) if received.bytes > 0 => received.bytes,
                    Err(Errno::INTR) => continue,
                    Ok(_) | Err(_) => return,
                };
            // A message without a head has nobody to be answered to.
            let message = buffer.get(..received).unwrap_or(&[]);
            let Ok((header, input)) = CallHeader::read_from_prefix(message) else { continue };
            if header.op == LOOK {
                self.look();
                continue;
            }
            let answer = self.answer(&header, input);
            self.reply(&header, answer);
        }
    }

    /// Does what the parent wants: serves further exports, or some no longer.
    fn look(&mut self) {
        while let Some(Ok(Some(notice))) = self.control.as_ref().map(Notice::receive) {
            match notice {
                Notice::Exports(first, writable, files) if first as usize == self.roots.len() => {
                    let roots = files.into_iter().zip(writable).map(|(fd, writable)| Some(Root { fd, writable }));
                    self.roots.extend(roots);
                }
                Notice::Withdraw(first, count) => {
                    let numbers = first..first.saturating_add(count);
                    self.nodes.remove_exports(&numbers);
                    for number in numbers {
                        self.roots.get_mut(number as usize).map(Option::take);
                    }
                }
                _ => {}
            }
        }
    }

    /// Answers one call.
    pub fn answer(&mut self, header: &CallHeader, input: &[u8]) -> Result<Output, Errno> {
        let op = Op::from_raw(header.op).ok_or(Errno::NOSYS)?;
        ops::answer(self, op, header, input)
    }

    fn reply(&self, call: &CallHeader, answer: Result<Output, Errno>) {
        let Some(socket) = self.replies.get(call.client as usize) else { return };
        let (result, output) = match answer {
            Ok(output) => (i64::try_from(output.result).unwrap_or(i64::MAX), output),
            Err(errno) => (-i64::from(errno.raw_os_error()), Output::default()),
        };
        let header = AnswerHeader { id: call.id, result };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let files: Vec<_> = output.file.iter().map(AsFd::as_fd).collect();
        if !files.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&files));
        }
        let parts = [IoSlice::new(header.as_bytes()), IoSlice::new(&output.data)];
        // A client that is gone needs no answer.
        while let Err(Errno::INTR) = sendmsg(socket, &parts, &mut control, SendFlags::NOSIGNAL) {}
    }
}
