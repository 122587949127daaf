//! Where `read` puts bytes (`Sink`) and where `write` takes them from (`Source`): user memory in one or several pieces, or a
//! kernel buffer (sendfile, execve, core of splice). Both count what went through; EFAULT after some bytes is a short transfer.

use crate::errno::Errno;
use crate::platform::{Access, Frame, platform};
use crate::syscall::UserBuf;
use crate::task::Current;
use alloc::vec::Vec;
use linker::addr::UserVa;

/// Zeroes to copy from.
static ZEROES: [u8; 4096] = [0; 4096];

enum Target<'a> {
    User { current: &'a Current, pieces: &'a [UserBuf], offset: usize },
    Kernel(&'a mut [u8]),
}

/// The destination of a read.
pub struct Sink<'a> {
    target: Target<'a>,
    left: usize,
    done: usize,
}

impl<'a> Sink<'a> {
    /// User memory, piece after piece. The pieces' lengths sum to at most `isize::MAX` (the caller checked).
    pub fn user(current: &'a Current, pieces: &'a [UserBuf]) -> Self {
        let left = pieces.iter().map(|piece| piece.len).sum();
        Self { target: Target::User { current, pieces, offset: 0 }, left, done: 0 }
    }

    /// A kernel buffer.
    pub fn kernel(buffer: &'a mut [u8]) -> Self {
        let left = buffer.len();
        Self { target: Target::Kernel(buffer), left, done: 0 }
    }

    /// Bytes that still fit.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Whether a signal wants to be delivered to the thread that reads: long reads stop early then.
    pub fn interrupted(&self) -> bool {
        match &self.target {
            Target::User { current, .. } => current.interrupted(),
            Target::Kernel(_) => false,
        }
    }

    /// Bytes put so far.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Limits what still fits to `max` bytes.
    pub fn limit(&mut self, max: usize) {
        self.left = self.left.min(max);
    }

    /// Puts as many of `bytes` as fit; returns how many. EFAULT only if none could be put. Call without locks.
    pub fn put(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        self.transfer(
            bytes.len(),
            |current, at, done, len, more| {
                current.retry(Access::Write, |platform| {
                    let at = UserVa::new(at.raw().wrapping_add(*more as u64));
                    platform.copy_to_user(at, &bytes[done + *more..done + len]).inspect_err(|fault| {
                        *more += fault.done;
                    })
                })
            },
            |buffer, done| {
                buffer.copy_from_slice(&bytes[done..done + buffer.len()]);
            },
        )
    }

    /// Puts `len` zero bytes, as many as fit.
    pub fn put_zeros(&mut self, len: usize) -> Result<usize, Errno> {
        self.transfer(
            len,
            |current, at, _, len, more| {
                current.retry(Access::Write, |platform| {
                    let at = UserVa::new(at.raw().wrapping_add(*more as u64));
                    platform.zero_user(at, len - *more).inspect_err(|fault| {
                        *more += fault.done;
                    })
                })
            },
            |buffer, _| {
                for chunk in buffer.chunks_mut(ZEROES.len()) {
                    chunk.copy_from_slice(&ZEROES[..chunk.len()]);
                }
            },
        )
    }

    /// Puts `len` bytes of `frame` from `offset`, as many as fit.
    pub fn put_frame(&mut self, frame: &Frame, offset: usize, len: usize) -> Result<usize, Errno> {
        self.transfer(
            len,
            |current, at, done, len, more| {
                current.retry(Access::Write, |platform| {
                    let at = UserVa::new(at.raw().wrapping_add(*more as u64));
                    platform.frame_to_user(frame, offset + done + *more, at, len - *more).inspect_err(|fault| {
                        *more += fault.done;
                    })
                })
            },
            |buffer, done| platform().frame_read(frame, offset + done, buffer),
        )
    }

    fn transfer(
        &mut self,
        len: usize,
        // Where to, bytes moved before, bytes to move; it counts those that it moved before it failed.
        mut to_user: impl FnMut(&Current, UserVa, usize, usize, &mut usize) -> Result<(), Errno>,
        mut to_kernel: impl FnMut(&mut [u8], usize),
    ) -> Result<usize, Errno> {
        let len = len.min(self.left);
        let mut moved = 0;
        match &mut self.target {
            Target::User { current, pieces, offset } => {
                while moved < len {
                    let Some((at, step)) = next_piece(pieces, offset, len - moved) else { break };
                    let mut part = 0;
                    if let Err(errno) = to_user(current, at, moved, step, &mut part) {
                        if moved + part == 0 {
                            return Err(errno);
                        }
                        moved += part;
                        self.left = 0;
                        break;
                    }
                    *offset += step;
                    moved += step;
                }
                breathe(moved);
            }
            Target::Kernel(buffer) => {
                let (head, rest) = core::mem::take(buffer).split_at_mut(len);
                to_kernel(head, 0);
                *buffer = rest;
                moved = len;
            }
        }
        self.left = self.left.saturating_sub(moved);
        self.done += moved;
        Ok(moved)
    }
}

/// In a long read or write, lets others at the CPU after each page.
#[inline]
fn breathe(moved: usize) {
    if moved >= ZEROES.len() {
        platform().preempt();
    }
}

/// Where the next bytes of a piece list are, and how many of `want` lie there; skips finished and empty pieces.
fn next_piece(pieces: &mut &[UserBuf], offset: &mut usize, want: usize) -> Option<(UserVa, usize)> {
    loop {
        let (piece, rest) = pieces.split_first()?;
        if *offset < piece.len {
            let at = UserVa::new(piece.addr.raw().wrapping_add(*offset as u64));
            return Some((at, want.min(piece.len - *offset)));
        }
        *pieces = rest;
        *offset = 0;
    }
}

enum Origin<'a> {
    User { current: &'a Current, pieces: &'a [UserBuf], offset: usize },
    Kernel(&'a [u8]),
}

/// The origin of a write.
pub struct Source<'a> {
    origin: Origin<'a>,
    left: usize,
    done: usize,
}

impl<'a> Source<'a> {
    /// User memory, piece after piece.
    pub fn user(current: &'a Current, pieces: &'a [UserBuf]) -> Self {
        let left = pieces.iter().map(|piece| piece.len).sum();
        Self { origin: Origin::User { current, pieces, offset: 0 }, left, done: 0 }
    }

    /// A kernel buffer.
    pub fn kernel(bytes: &'a [u8]) -> Self {
        Self { origin: Origin::Kernel(bytes), left: bytes.len(), done: 0 }
    }

    /// Bytes that are left to take.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Whether a signal wants to be delivered to the thread that writes: long writes stop early then.
    pub fn interrupted(&self) -> bool {
        match &self.origin {
            Origin::User { current, .. } => current.interrupted(),
            Origin::Kernel(_) => false,
        }
    }

    /// Bytes taken so far.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Limits what is left to `max` bytes.
    pub fn limit(&mut self, max: usize) {
        self.left = self.left.min(max);
    }

    /// Takes up to `to.len()` bytes; returns how many. EFAULT only if none could be taken. Call without locks.
    pub fn take(&mut self, to: &mut [u8]) -> Result<usize, Errno> {
        let len = to.len().min(self.left);
        self.transfer(len, |origin, moved, step, more| match origin {
            Piece::User(current, at) => current.retry(Access::Read, |platform| {
                let at = UserVa::new(at.raw().wrapping_add(*more as u64));
                platform.copy_from_user(at, &mut to[moved + *more..moved + step]).inspect_err(|fault| {
                    *more += fault.done;
                })
            }),
            Piece::Kernel(bytes) => {
                to[moved..moved + step].copy_from_slice(bytes);
                Ok(())
            }
        })
    }

    /// Takes up to `max` bytes into a new vector; ENOMEM where there is no memory for it.
    pub fn take_vec(&mut self, max: usize) -> Result<Vec<u8>, Errno> {
        let room = max.min(self.left);
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(room).map_err(|_| Errno::ENOMEM)?;
        bytes.resize(room, 0);
        let len = self.take(&mut bytes)?;
        bytes.truncate(len);
        Ok(bytes)
    }

    /// Takes up to `len` bytes into `frame` at `offset`.
    pub fn take_frame(&mut self, frame: &Frame, offset: usize, len: usize) -> Result<usize, Errno> {
        let len = len.min(self.left);
        self.transfer(len, |origin, moved, step, more| match origin {
            Piece::User(current, at) => current.retry(Access::Read, |platform| {
                let at = UserVa::new(at.raw().wrapping_add(*more as u64));
                platform.frame_from_user(frame, offset + moved + *more, at, step - *more).inspect_err(|fault| {
                    *more += fault.done;
                })
            }),
            Piece::Kernel(bytes) => {
                platform().frame_write(frame, offset + moved, bytes);
                Ok(())
            }
        })
    }

    fn transfer(
        &mut self,
        len: usize,
        // Where from, bytes moved before, bytes to move; it counts those that it moved before it failed.
        mut copy: impl FnMut(Piece<'_>, usize, usize, &mut usize) -> Result<(), Errno>,
    ) -> Result<usize, Errno> {
        let mut moved = 0;
        match &mut self.origin {
            Origin::User { current, pieces, offset } => {
                while moved < len {
                    let Some((at, step)) = next_piece(pieces, offset, len - moved) else { break };
                    let mut part = 0;
                    if let Err(errno) = copy(Piece::User(current, at), moved, step, &mut part) {
                        if moved + part == 0 {
                            return Err(errno);
                        }
                        moved += part;
                        self.left = 0;
                        break;
                    }
                    *offset += step;
                    moved += step;
                }
                breathe(moved);
            }
            Origin::Kernel(bytes) => {
                copy(Piece::Kernel(&bytes[..len]), 0, len, &mut 0)?;
                *bytes = &bytes[len..];
                moved = len;
            }
        }
        self.left = self.left.saturating_sub(moved);
        self.done += moved;
        Ok(moved)
    }
}

enum Piece<'a> {
    User(&'a Current, UserVa),
    Kernel(&'a [u8]),
}
