//! What the parent and the sandbox process tell each other on the control socket: one SEQPACKET message each, a byte for its
//! kind and then its body.

use crate::process::VIOLATION;
use linker::control::MAX_MESSAGE;
use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::sockopt::{set_socket_send_buffer_size, set_socket_send_buffer_size_force};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

/// Descriptors that one message carries at most: the standard streams, those that `--preserve-fds` adds, and in a pod the trees of a
/// container.
pub const MAX_FILES: usize = 64;

const SIGNAL: u8 = 1;
const WINDOW: u8 = 2;
const COMMAND: u8 = 3;
const ANSWER: u8 = 4;
const REPORT: u8 = 5;
const EXPORTS: u8 = 6;
const WITHDRAW: u8 = 7;

/// One message.
#[derive(Debug)]
pub enum Notice {
    /// To the sandbox: a signal for the container's first process.
    Signal(u8),
    /// To the sandbox: the terminal of the container's first process changed its size.
    Window,
    /// To the sandbox: a `linker::control::Command`, encoded, and the descriptors that it speaks of by position.
    Command(Vec<u8>, Vec<OwnedFd>),
    /// From the sandbox: a `linker::control::Answer`, encoded. Made by the guest: not to be trusted.
    Answer(Vec<u8>),
    /// From the sandbox: a `linker::control::Report`, encoded. Made by the guest: not to be trusted.
    Report(Vec<u8>),
    /// To the gofer: further trees, numbered from here on, each with whether it may be changed and a descriptor (`O_PATH`).
    Exports(u32, Vec<bool>, Vec<OwnedFd>),
    /// To the gofer: those from here on, so many, are not served any more.
    Withdraw(u32, u32),
    /// From either child: it made this system call, which its filter refuses, and ends.
    Violation(u16),
}

impl Notice {
    /// Sends it without waiting. EAGAIN when the other side does not read, EMSGSIZE when it is too long.
    pub fn send(&self, socket: impl AsFd) -> Result<(), Errno> {
        let numbers: Vec<u8> = match self {
            Self::Exports(first, writable, _) => {
                first.to_le_bytes().into_iter().chain(writable.iter().map(|writable| u8::from(*writable))).collect()
            }
            Self::Withdraw(first, count) => [first.to_le_bytes(), count.to_le_bytes()].concat(),
            _ => Vec::new(),
        };
        let (kind, body, files): (u8, &[u8], &[OwnedFd]) = match self {
            Self::Signal(number) => (SIGNAL, std::slice::from_ref(number), &[]),
            Self::Window => (WINDOW, &[0], &[]),
            Self::Command(body, files) => (COMMAND, body, files),
            Self::Answer(body) => (ANSWER, body, &[]),
            Self::Report(body) => (REPORT, body, &[]),
            Self::Exports(_, _, files) => (EXPORTS, &numbers, files),
            Self::Withdraw(..) => (WITHDRAW, &numbers, &[]),
            Self::Violation(number) => (VIOLATION, &number.to_le_bytes(), &[]),
        };
        if body.len() > MAX_MESSAGE || files.len() > MAX_FILES {
            return Err(Errno::MSGSIZE);
        }
        let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&files));
        }
        let parts = [IoSlice::new(std::slice::from_ref(&kind)), IoSlice::new(body)];
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        loop {
            match rustix::net::sendmsg(&socket, &parts, &mut control, flags) {
                Err(Errno::INTR) => {}
                sent => return sent.map(drop),
            }
        }
    }

    /// Receives one without waiting: EAGAIN when there is none, `None` when the other side is gone or talks nonsense.
    pub fn receive(socket: impl AsFd) -> Result<Option<Self>, Errno> {
        let peek = RecvFlags::DONTWAIT | RecvFlags::PEEK | RecvFlags::TRUNC;
        let len = rustix::net::recvmsg(&socket, &mut [], &mut RecvAncillaryBuffer::default(), peek)?.bytes;
        if len > MAX_MESSAGE + 1 {
            return Ok(None);
        }
        let mut bytes = vec![0; len];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let received = rustix::net::recvmsg(&socket, &mut parts, &mut control, flags)?;
        let mut files = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(more) = message {
                files.extend(more);
            }
        }
        if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Ok(None);
        }
        Ok(Self::decode(&bytes, files))
    }

    fn decode(bytes: &[u8], files: Vec<OwnedFd>) -> Option<Self> {
        let (kind, body) = bytes.split_first()?;
        match (*kind, body) {
            (SIGNAL, [number]) => Some(Self::Signal(*number)),
            (WINDOW, _) => Some(Self::Window),
            (COMMAND, body) => Some(Self::Command(body.to_vec(), files)),
            (ANSWER, body) => Some(Self::Answer(body.to_vec())),
            (REPORT, body) => Some(Self::Report(body.to_vec())),
            (EXPORTS, [a, b, c, d, writable @ ..]) => {
                let writable = writable.iter().map(|writable| *writable != 0).collect();
                Some(Self::Exports(u32::from_le_bytes([*a, *b, *c, *d]), writable, files))
            }
            (WITHDRAW, [a, b, c, d, e, f, g, h]) => {
                Some(Self::Withdraw(u32::from_le_bytes([*a, *b, *c, *d]), u32::from_le_bytes([*e, *f, *g, *h])))
            }
            (VIOLATION, [low, high]) => Some(Self::Violation(u16::from_le_bytes([*low, *high]))),
            _ => None,
        }
    }
}

/// A control socket's two ends, with room for the longest message where the caller may ask for it.
pub fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    let ends = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    for end in [&ends.0, &ends.1] {
        let room = 2 * MAX_MESSAGE;
        if set_socket_send_buffer_size_force(end, room).is_err() {
            // Without privilege, as much as the system gives anybody: longer messages fail with EMSGSIZE.
            let _ = set_socket_send_buffer_size(end, room);
        }
    }
    Ok(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_arrives_as_it_was_sent() {
        let (host, sandbox) = pair().expect("pair");
        let file = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty()).expect("file");
        Notice::Signal(15).send(&host).expect("sent");
        Notice::Window.send(&host).expect("sent");
        Notice::Command(vec![7; 100_000], vec![file]).send(&host).expect("sent");
        assert!(matches!(Notice::receive(&sandbox), Ok(Some(Notice::Signal(15)))));
        assert!(matches!(Notice::receive(&sandbox), Ok(Some(Notice::Window))));
        let command = Notice::receive(&sandbox);
        assert!(
            matches!(&command, Ok(Some(Notice::Command(body, files))) if body == &[7; 100_000] && files.len() == 1)
        );
        assert!(matches!(Notice::receive(&sandbox), Err(Errno::AGAIN)));
        Notice::Report(vec![]).send(&sandbox).expect("sent");
        Notice::Violation(0x1234).send(&sandbox).expect("sent");
        assert!(matches!(Notice::receive(&host), Ok(Some(Notice::Report(body))) if body.is_empty()));
        assert!(matches!(Notice::receive(&host), Ok(Some(Notice::Violation(0x1234)))));
        let tree = rustix::fs::open("/", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).expect("tree");
        Notice::Exports(7, vec![true], vec![tree]).send(&host).expect("sent");
        Notice::Withdraw(7, 1).send(&host).expect("sent");
        let exports = Notice::receive(&sandbox);
        assert!(
            matches!(&exports, Ok(Some(Notice::Exports(7, writable, files))) if *writable == [true] && files.len() == 1)
        );
        assert!(matches!(Notice::receive(&sandbox), Ok(Some(Notice::Withdraw(7, 1)))));
        drop(host);
        assert!(matches!(Notice::receive(&sandbox), Ok(None)));
    }

    #[test]
    fn nonsense_is_no_notice() {
        for bytes in [&[][..], &[0], &[SIGNAL], &[SIGNAL, 1, 2], &[VIOLATION, 1], &[99, 1]] {
            assert!(Notice::decode(bytes, Vec::new()).is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_too_long_is_not_sent() {
        let (host, _sandbox) = pair().expect("pair");
        assert_eq!(Notice::Command(vec![0; MAX_MESSAGE + 1], Vec::new()).send(&host), Err(Errno::MSGSIZE));
    }
}
