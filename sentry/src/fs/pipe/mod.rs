//! Pipes and FIFOs.
//!
//! A `Pipe` is the ring between writers and readers; a `PipeEnd` is what a description does with it. An inode of kind FIFO
//! holds an `Arc<Pipe>` (`Pipe::new`) and answers `Inode::open` with `Pipe::open`. Small transfers go through a stack buffer and
//! one acquisition of the lock; large ones move chunks under it and copy outside. Lock: `Rank::Pipe`, a leaf but for the queue.

mod account;
mod chunks;
mod end;
mod splice;

pub use account::{HARD as USER_PAGES_HARD, SOFT as USER_PAGES_SOFT};
pub use chunks::{Chunk, Chunks};
pub use end::{PipeEnd, broken_pipe};
pub use splice::{splice, tee, vmsplice};

#[cfg(test)]
mod tests;

use super::Slot;
use super::anon::AnonInode;
use super::open_file::{FileOps, OpenFile, OpenFlags};
use crate::errno::Errno;
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::task::{Cap, Current};
use crate::wait::{Events, WaitQueue};
use account::Share;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use linux_raw_sys::general as raw;

/// Room of a new pipe: 16 pages (pipe(7)).
const DEFAULT_CAPACITY: usize = 65536;
/// What F_SETPIPE_SZ gives without privilege: the default of `/proc/sys/fs/pipe-max-size`.
pub static MAX_CAPACITY: AtomicU32 = AtomicU32::new(1 << 20);
/// Writes up to this are atomic.
const PIPE_BUF: usize = raw::PIPE_BUF as usize;

/// The ring between the two ends.
pub struct Pipe {
    state: Lock<State>,
    queue: WaitQueue,
}

struct State {
    /// Marked chunks are packets (O_DIRECT): each is read alone.
    chunks: Chunks<bool>,
    capacity: usize,
    /// Its part of what its user's pipes may hold; none for one that nobody asked for.
    share: Option<Share>,
    /// What packets take of the capacity beyond their bytes: each takes a page, whatever its length.
    padding: usize,
    readers: usize,
    writers: usize,
    /// Times an end was opened, for FIFO opens that wait for the other side.
    reader_opens: u64,
    writer_opens: u64,
}

impl State {
    /// Bytes that may be written now.
    #[inline]
    fn free(&self) -> usize {
        self.capacity.saturating_sub(self.chunks.bytes()).saturating_sub(self.padding)
    }

    /// Whether poll says writable: a page is free.
    #[inline]
    fn writable(&self) -> bool {
        self.free() >= PIPE_BUF
    }
}

impl Default for Pipe {
    fn default() -> Self {
        Self::new()
    }
}

impl Pipe {
    /// A pipe nobody has opened: a FIFO inode's.
    pub const fn new() -> Self {
        let state = State {
            chunks: Chunks::new(),
            capacity: DEFAULT_CAPACITY,
            share: None,
            padding: 0,
            readers: 0,
            writers: 0,
            reader_opens: 0,
            writer_opens: 0,
        };
        Self { state: Lock::new(Rank::Pipe, state), queue: WaitQueue::new() }
    }

    /// A pipe of a user's, as large as its part.
    fn with(share: Share) -> Self {
        let mut pipe = Self::new();
        let state = pipe.state.get_mut();
        state.capacity = share.bytes();
        state.share = Some(share);
        pipe
    }

    /// Opens a FIFO, or a pipe again through `/proc`: fifo(7)'s rules of waiting for the other side.
    pub fn open(self: &Arc<Self>, current: &Current, flags: OpenFlags) -> Result<Arc<dyn FileOps>, Fail> {
        let nonblocking = flags.contains(OpenFlags::NONBLOCK);
        let (readable, writable) = (flags.readable(), flags.writable());
        // The end counts as open while it waits, and lets go of the pipe if the wait ends otherwise.
        let (end, seen) = {
            let mut state = self.state.lock();
            if writable && !readable && nonblocking && state.readers == 0 {
                return Err(Errno::ENXIO.into());
            }
            let no_hangup_until = (readable && !writable && state.writers == 0).then_some(state.writer_opens);
            let seen = (state.reader_opens, state.writer_opens);
            if readable {
                state.readers += 1;
                state.reader_opens = state.reader_opens.wrapping_add(1);
            }
            if writable {
                state.writers += 1;
                state.writer_opens = state.writer_opens.wrapping_add(1);
            }
            (PipeEnd::new(self.clone(), readable, writable, no_hangup_until), seen)
        };
        self.queue.wake(Events::READABLE | Events::WRITABLE);
        if !nonblocking && readable != writable {
            current.wait(&self.queue, Events::READABLE | Events::WRITABLE, None, || {
                let state = self.state.lock();
                let met = if readable {
                    state.writers > 0 || state.writer_opens != seen.1
                } else {
                    state.readers > 0 || state.reader_opens != seen.0
                };
                met.then_some(())
            })?;
        }
        Ok(Arc::new(end))
    }

    /// Opens a pipe without a name once more (`/dev/stdin`): unlike a FIFO it waits for nobody at the other end.
    pub fn reopen(self: &Arc<Self>, flags: OpenFlags) -> Arc<dyn FileOps> {
        let (readable, writable) = (flags.readable(), flags.writable());
        {
            let mut state = self.state.lock();
            if readable {
                state.readers += 1;
                state.reader_opens = state.reader_opens.wrapping_add(1);
            }
            if writable {
                state.writers += 1;
                state.writer_opens = state.writer_opens.wrapping_add(1);
            }
        }
        self.queue.wake(Events::READABLE | Events::WRITABLE);
        Arc::new(PipeEnd::new(self.clone(), readable, writable, None))
    }

    /// Bytes that can be read.
    pub fn readable_bytes(&self) -> usize {
        self.state.lock().chunks.bytes()
    }
}

/// Opens a FIFO whose inode keeps its pipe in `slot`.
pub fn open_fifo(current: &Current, slot: &Slot, flags: OpenFlags) -> Result<Arc<dyn FileOps>, Fail> {
    let share = new_share(current).map_err(|_| Errno::ENOMEM)?;
    match slot.get_or_set(|| Arc::new(Pipe::with(share))).downcast::<Pipe>() {
        Ok(pipe) => pipe.open(current, flags),
        Err(_) => Err(Errno::ENXIO.into()),
    }
}

/// The part of a new pipe of the usual size.
fn new_share(current: &Current) -> Result<Share, Errno> {
    let most = MAX_CAPACITY.load(Ordering::Relaxed) as usize;
    let usual = if current.creds.has(Cap::SysResource) { DEFAULT_CAPACITY } else { DEFAULT_CAPACITY.min(most) };
    Share::new(current, usual)
}

/// pipe2(2): the read end and the write end. `flags`: O_NONBLOCK and O_DIRECT count. ENFILE for a user with too many.
pub fn new_pipe(current: &Current, flags: OpenFlags) -> Result<(Arc<OpenFile>, Arc<OpenFile>), Errno> {
    let pipe = Arc::new(Pipe::with(new_share(current)?));
    {
        let mut state = pipe.state.lock();
        (state.readers, state.writers, state.reader_opens, state.writer_opens) = (1, 1, 1, 1);
    }
    let inode = AnonInode::pipe(&current.creds, pipe.clone());
    let status = flags & (OpenFlags::NONBLOCK | OpenFlags::DIRECT);
    let reader = Arc::new(PipeEnd::new(pipe.clone(), true, false, None));
    let writer = Arc::new(PipeEnd::new(pipe, false, true, None));
    let reader = OpenFile::new(reader, status & OpenFlags::NONBLOCK, inode.clone(), None);
    Ok((reader, OpenFile::new(writer, status | OpenFlags::WRONLY, inode, None)))
}

/// F_GETPIPE_SZ. EBADF where `file` is no pipe.
pub fn capacity(file: &OpenFile) -> Result<usize, Errno> {
    let end = file.downcast::<PipeEnd>().ok_or(Errno::EBADF)?;
    Ok(end.pipe().state.lock().capacity)
}

/// F_SETPIPE_SZ: rounds up to a power of two of pages. Returns the new capacity.
pub fn set_capacity(current: &Current, file: &OpenFile, wanted: u32) -> Result<usize, Errno> {
    let end = file.downcast::<PipeEnd>().ok_or(Errno::EBADF)?;
    if wanted > 1 << 31 {
        return Err(Errno::EINVAL);
    }
    let capacity = (wanted as usize).max(PIPE_BUF).next_power_of_two();
    let pipe = end.pipe();
    let grows = capacity > pipe.state.lock().capacity;
    if grows && capacity > MAX_CAPACITY.load(Ordering::Relaxed) as usize && !current.creds.has(Cap::SysResource) {
        return Err(Errno::EPERM);
    }
    {
        let mut state = pipe.state.lock();
        if state.capacity - state.free() > capacity {
            return Err(Errno::EBUSY);
        }
        if let Some(share) = &mut state.share {
            share.change(current, capacity)?;
        }
        state.capacity = capacity;
    }
    pipe.queue.wake(Events::WRITABLE);
    Ok(capacity)
}
