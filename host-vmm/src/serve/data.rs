//! Data requests on open files, and what the sandbox process answers about itself. None of these waits for anybody else:
//! a stream that is not ready is EAGAIN, and the guest asks with `Poll` when to come back.

use crate::idle;
use crate::report;
use crate::serve::file::{self, HostFile, Kind};
use crate::serve::{Answer, Server};
use crate::vm::guest_io::Pieces;
use crate::vm::kvm;
use linker::layout::{LARGE_PAGE_SIZE, PAGE_SIZE};
use linker::request::{GuestBuf, MAX_HANDLES, MAX_SEGMENTS, OFFSET_STREAM, Op, Request, WindowSize};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::{Errno, ReadWriteFlags};
use std::mem::size_of;
use std::os::fd::AsFd;
use std::sync::PoisonError;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend};
use zerocopy::IntoBytes;

/// Bytes that a pipe takes at once when poll(2) says that it takes any (POSIX PIPE_BUF, as Linux sets it).
const PIPE_BUF: usize = 4096;
/// Bytes of `Op::Log` at most.
const MAX_LOG: u64 = 1024;
/// Large pages of guest memory of which parts were given back, and which are small ones since, at most: each may be a mapping of its own.
pub(super) const MAX_SPLIT: usize = 256;
/// Bytes of `Op::Entropy` at most.
const MAX_ENTROPY: u64 = 256;

impl Server {
    /// Answers a data request.
    pub(super) fn execute_data(&self, op: Op, request: &Request) -> Answer {
        match op {
            Op::Read => {
                let pieces = self.pieces(request, &request.output)?;
                read(&*self.files.get(request.handle)?, &pieces, request.offset)
            }
            Op::Write => {
                let pieces = self.pieces(request, &request.input)?;
                let file = self.files.get(request.handle)?;
                if request.flags & Request::FLAG_APPEND != 0 {
                    return append(&file, &pieces);
                }
                write(&file, pieces, request.offset)
            }
            Op::Sync => done(rustix::fs::fsync(&*self.files.get(request.handle)?)),
            Op::Truncate => done(rustix::fs::ftruncate(&*self.files.get(request.handle)?, request.offset)),
            Op::Allocate => {
                let mode = FallocateFlags::from_bits_retain(u32::from(request.flags >> 8));
                done(rustix::fs::fallocate(&*self.files.get(request.handle)?, mode, request.offset, request.arg))
            }
            Op::FileAttr => {
                let stat = rustix::fs::fstat(&*self.files.get(request.handle)?)?;
                self.put(&request.output, file::attr(&stat).as_bytes())
            }
            Op::Seek => {
                let offset = request.offset;
                let from = match u32::try_from(request.arg) {
                    Ok(linux_raw_sys::general::SEEK_SET) => SeekFrom::Start(offset),
                    Ok(linux_raw_sys::general::SEEK_CUR) => SeekFrom::Current(offset.cast_signed()),
                    Ok(linux_raw_sys::general::SEEK_END) => SeekFrom::End(offset.cast_signed()),
                    Ok(linux_raw_sys::general::SEEK_DATA) => SeekFrom::Data(offset),
                    Ok(linux_raw_sys::general::SEEK_HOLE) => SeekFrom::Hole(offset),
                    _ => return Err(Errno::INVAL),
                };
                rustix::fs::seek(&*self.files.get(request.handle)?, from)
            }
            // With `FLAG_NOW`; otherwise it waits and does not get here.
            Op::Poll => poll_now(&*self.files.get(request.handle)?, request.arg),
            Op::Close => self.close(request.handle),
            Op::CloseMany => self.close_many(request),
            Op::FileFlags => Ok(u64::from(self.files.get(request.handle)?.flags.bits())),
            Op::WindowSize => {
                let size = rustix::termios::tcgetwinsize(&*self.files.get(request.handle)?)?;
                self.put(&request.output, WindowSize { rows: size.ws_row, columns: size.ws_col }.as_bytes())
            }
            Op::FreePages => self.free_pages(&request.input),
            Op::Log => {
                let mut text = vec![0; request.input.len.min(MAX_LOG) as usize];
                self.memory.read_slice(&mut text, GuestAddress(request.input.pa.raw())).map_err(|_| Errno::FAULT)?;
                report::guest_line(&text);
                Ok(0)
            }
            Op::Entropy => {
                let mut bytes = vec![0; request.output.len.min(MAX_ENTROPY) as usize];
                let filled = rustix::rand::getrandom(bytes.as_mut_slice(), rustix::rand::GetRandomFlags::empty())?;
                self.put(&request.output, bytes.get(..filled).unwrap_or(&[]))?;
                Ok(filled as u64)
            }
            Op::RealTime => Ok(crate::vm::boot::now_ns(rustix::time::ClockId::Realtime)),
            // Path ops never get here, nor do those that wait.
            _ => Err(Errno::NOSYS),
        }
    }

    /// The pieces of a data buffer: one, or a list of segments.
    fn pieces(&self, request: &Request, buffer: &GuestBuf) -> Result<Pieces<'_>, Errno> {
        if request.flags & Request::FLAG_SEGMENTS == 0 {
            return Pieces::new(&self.memory, &[*buffer]);
        }
        Pieces::new(&self.memory, &self.list(buffer)?)
    }

    /// A list of buffers, copied out once: what is checked is what is used.
    fn list(&self, buffer: &GuestBuf) -> Result<Vec<GuestBuf>, Errno> {
        let count = usize::try_from(buffer.len).map_err(|_| Errno::INVAL)? / size_of::<GuestBuf>();
        if count > MAX_SEGMENTS || !(buffer.len as usize).is_multiple_of(size_of::<GuestBuf>()) {
            return Err(Errno::INVAL);
        }
        let mut list = vec![GuestBuf::default(); count];
        self.memory
            .read_slice(list.as_mut_slice().as_mut_bytes(), GuestAddress(buffer.pa.raw()))
            .map_err(|_| Errno::FAULT)?;
        Ok(list)
    }

    /// Writes a small answer; the room must be enough for all of it.
    fn put(&self, output: &GuestBuf, bytes: &[u8]) -> Answer {
        if output.len < bytes.len() as u64 {
            return Err(Errno::INVAL);
        }
        self.memory.write_slice(bytes, GuestAddress(output.pa.raw())).map_err(|_| Errno::FAULT)?;
        Ok(0)
    }

    fn close(&self, handle: u32) -> Answer {
        let file = self.files.get(handle)?;
        self.cancel_polls(handle, &file);
        done(self.files.remove(handle))
    }

    /// Closes what is open of a list of handles.
    fn close_many(&self, request: &Request) -> Answer {
        let count = usize::try_from(request.input.len).map_err(|_| Errno::INVAL)? / size_of::<u32>();
        if count > MAX_HANDLES || !(request.input.len as usize).is_multiple_of(size_of::<u32>()) {
            return Err(Errno::INVAL);
        }
        let mut handles = vec![0u32; count];
        self.memory
            .read_slice(handles.as_mut_slice().as_mut_bytes(), GuestAddress(request.input.pa.raw()))
            .map_err(|_| Errno::FAULT)?;
        for handle in handles {
            let _ = self.close(handle);
        }
        Ok(0)
    }

    fn free_pages(&self, input: &GuestBuf) -> Answer {
        if input.len == 0 {
            idle::give_back();
            return Ok(0);
        }
        let ranges = self.list(input)?;
        let ranges = ranges.iter().map(|range| self.whole_pages(range)).collect::<Result<Vec<_>, _>>()?;
        for (start, len) in ranges {
            self.split_large_pages(start, start + len as u64);
            kvm::drop_pages(&self.memory, GuestAddress(start), len)?;
        }
        Ok(0)
    }

    /// Where a range of whole pages begins, and its length.
    fn whole_pages(&self, range: &GuestBuf) -> Result<(u64, usize), Errno> {
        let (start, bytes) = (range.pa.raw(), range.len);
        let len = usize::try_from(bytes).map_err(|_| Errno::INVAL)?;
        if len == 0 || !start.is_multiple_of(PAGE_SIZE) || !bytes.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::INVAL);
        }
        self.memory.check_range(GuestAddress(start), len).then_some((start, len)).ok_or(Errno::FAULT)
    }

    /// The large pages that a range begins or ends within are small ones from now on, unless many are already.
    fn split_large_pages(&self, start: u64, end: u64) {
        for edge in [start, end].into_iter().filter(|edge| !edge.is_multiple_of(LARGE_PAGE_SIZE)) {
            let page = edge / LARGE_PAGE_SIZE * LARGE_PAGE_SIZE;
            let mut split = self.split.lock().unwrap_or_else(PoisonError::into_inner);
            if split.len() < MAX_SPLIT && split.insert(page) {
                kvm::use_small_pages(&self.memory, GuestAddress(page));
            }
        }
    }
}

fn done(result: Result<(), Errno>) -> Answer {
    result.map(|()| 0)
}

fn read(file: &HostFile, pieces: &Pieces<'_>, offset: u64) -> Answer {
    let at_end = |result: Result<usize, Errno>| result.map(|bytes| bytes as u64);
    if offset != OFFSET_STREAM || file.kind == Kind::Plain {
        return at_end(pieces.read_from(file.as_fd(), offset, ReadWriteFlags::empty()));
    }
    if file.nowait() {
        match pieces.read_from(file.as_fd(), OFFSET_STREAM, ReadWriteFlags::NOWAIT) {
            Err(Errno::OPNOTSUPP) => file.forget_nowait(),
            other => return at_end(other),
        }
    }
    if !is_ready(file, PollFlags::IN)? {
        return Err(Errno::AGAIN);
    }
    at_end(pieces.read_from(file.as_fd(), OFFSET_STREAM, ReadWriteFlags::empty()))
}

fn write(file: &HostFile, mut pieces: Pieces<'_>, offset: u64) -> Answer {
    let at_end = |result: Result<usize, Errno>| result.map(|bytes| bytes as u64);
    if offset != OFFSET_STREAM || file.kind == Kind::Plain {
        return at_end(pieces.write_to(file.as_fd(), offset, ReadWriteFlags::empty()));
    }
    if file.nowait() {
        match pieces.write_to(file.as_fd(), OFFSET_STREAM, ReadWriteFlags::NOWAIT) {
            Err(Errno::OPNOTSUPP) => file.forget_nowait(),
            other => return at_end(other),
        }
    }
    if !is_ready(file, PollFlags::OUT)? {
        return Err(Errno::AGAIN);
    }
    if file.kind == Kind::Pipe {
        pieces.truncate(PIPE_BUF);
    }
    at_end(pieces.write_to(file.as_fd(), OFFSET_STREAM, ReadWriteFlags::empty()))
}

fn append(file: &HostFile, pieces: &Pieces<'_>) -> Answer {
    if file.kind != Kind::Plain {
        return Err(Errno::INVAL);
    }
    // With RWF_APPEND the offset says nothing.
    pieces.write_to(file.as_fd(), 0, ReadWriteFlags::APPEND).map(|bytes| bytes as u64)
}

/// What is ready now of `events`.
fn poll_now(file: &HostFile, events: u64) -> Answer {
    let asked = PollFlags::from_bits_truncate(u16::try_from(events & 0xffff).unwrap_or(0));
    let mut fds = [PollFd::new(file, asked)];
    rustix::event::poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(fds.first().map_or(0, |fd| u64::from(fd.revents().bits())))
}

/// Whether a stream is ready now (or has an error to tell).
fn is_ready(file: &HostFile, events: PollFlags) -> Result<bool, Errno> {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    Ok(rustix::event::poll(&mut [PollFd::new(file, events)], Some(&now))? > 0)
}
