//! splice, tee and vmsplice. Between pipes chunks move without a copy; to and from other files the bytes are copied.

use super::{Chunk, Pipe, PipeEnd};
use crate::errno::Errno;
use crate::fs::FileKind;
use crate::fs::io::{Sink, Source};
use crate::fs::open_file::{OpenFile, OpenFlags};
use crate::syscall::{Fail, UserBuf};
use crate::task::Current;
use alloc::sync::Arc;
use alloc::vec;
use linker::layout::PAGE_SIZE;

/// Bytes copied at a time from a file.
const STEP: usize = 65536;

/// A pipe end for reading, and whether it must not block.
fn reading(file: &OpenFile, dont_wait: bool) -> Option<(&PipeEnd, bool)> {
    let end = file.downcast::<PipeEnd>().filter(|end| end.reads())?;
    Some((end, dont_wait || file.nonblocking()))
}

fn writing(file: &OpenFile, dont_wait: bool) -> Option<(&PipeEnd, bool)> {
    let end = file.downcast::<PipeEnd>().filter(|end| end.writes())?;
    Some((end, dont_wait || file.nonblocking()))
}

/// splice(2). Offsets, where given, move; `dont_wait` is SPLICE_F_NONBLOCK.
pub fn splice(
    current: &Current,
    from: &OpenFile,
    from_offset: Option<&mut u64>,
    to: &OpenFile,
    to_offset: Option<&mut u64>,
    len: usize,
    dont_wait: bool,
) -> Result<usize, Fail> {
    if !from.flags().readable() || !to.flags().writable() {
        return Err(Errno::EBADF.into());
    }
    let (reader, writer) = (reading(from, dont_wait), writing(to, dont_wait));
    if reader.is_some() && from_offset.is_some() || writer.is_some() && to_offset.is_some() {
        return Err(Errno::ESPIPE.into());
    }
    match (reader, writer) {
        (Some((reader, no_read)), Some((writer, no_write))) => {
            if Arc::ptr_eq(reader.pipe(), writer.pipe()) {
                return Err(Errno::EINVAL.into());
            }
            pipe_to_pipe(current, reader, writer, len, no_read || no_write)
        }
        // Descriptors without a name (epoll, eventfd, …) take part in nothing of this.
        (Some(_), None) if to.inode().kind() == FileKind::Anonymous => Err(Errno::EINVAL.into()),
        (None, Some(_)) if from.inode().kind() == FileKind::Anonymous => Err(Errno::EINVAL.into()),
        (Some((reader, nonblocking)), None) => {
            if to.flags().contains(OpenFlags::APPEND) {
                return Err(Errno::EINVAL.into());
            }
            pipe_to_file(current, reader, nonblocking, to, to_offset, len)
        }
        (None, Some(_)) if from.inode().kind() == FileKind::Directory => Err(Errno::EINVAL.into()),
        (None, Some((writer, nonblocking))) => file_to_pipe(current, from, from_offset, writer, nonblocking, len),
        (None, None) => Err(Errno::EINVAL.into()),
    }
}

fn pipe_to_pipe(
    current: &Current,
    reader: &PipeEnd,
    writer: &PipeEnd,
    len: usize,
    nonblocking: bool,
) -> Result<usize, Fail> {
    let mut done = 0;
    while done < len {
        // Only the first bytes are waited for.
        let dont_wait = nonblocking || done > 0;
        let result = reader.take_chunk(current, dont_wait, len - done).and_then(|chunk| {
            let Some(mut chunk) = chunk else { return Ok(0) };
            let result = writer.push(current, dont_wait, false, &mut chunk);
            if !chunk.is_empty() {
                reader.put_back(chunk);
            }
            result
        });
        match result {
            Ok(0) => break,
            Ok(moved) => done += moved,
            Err(_) if done > 0 => break,
            Err(fail) => return Err(fail),
        }
    }
    Ok(done)
}

fn pipe_to_file(
    current: &Current,
    reader: &PipeEnd,
    nonblocking: bool,
    to: &OpenFile,
    mut offset: Option<&mut u64>,
    len: usize,
) -> Result<usize, Fail> {
    let mut done = 0;
    while done < len {
        let chunk = match reader.take_chunk(current, nonblocking || done > 0, len - done) {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(_) if done > 0 => break,
            Err(fail) => return Err(fail),
        };
        let mut chunk = chunk;
        let mut source = Source::kernel(chunk.bytes());
        let result = match &mut offset {
            Some(offset) => to.write_at(current, &mut source, **offset),
            None => to.write(current, &mut source),
        };
        let written = match &result {
            Ok(written) => *written,
            Err(_) => 0,
        };
        done += written;
        if let Some(offset) = &mut offset {
            **offset = offset.saturating_add(written as u64);
        }
        chunk.advance(written);
        let short = !chunk.is_empty();
        if short {
            reader.put_back(chunk);
        }
        match result {
            Err(fail) if done == 0 => return Err(fail),
            _ if short => break,
            _ => {}
        }
    }
    Ok(done)
}

fn file_to_pipe(
    current: &Current,
    from: &OpenFile,
    mut offset: Option<&mut u64>,
    writer: &PipeEnd,
    nonblocking: bool,
    len: usize,
) -> Result<usize, Fail> {
    let mut done = 0;
    while done < len {
        // Room first: what was read must not be lost for want of it.
        let room = match writer.wait_for_room(current, nonblocking || done > 0, 1) {
            Ok(room) => room,
            Err(_) if done > 0 => break,
            Err(fail) => return Err(fail),
        };
        let mut buffer = vec![0; STEP.min(len - done).min(room)];
        let mut sink = Sink::kernel(&mut buffer);
        let result = match &mut offset {
            Some(offset) => from.read_at(current, &mut sink, **offset),
            None => from.read(current, &mut sink),
        };
        let bytes = match result {
            Ok(0) => break,
            Ok(bytes) => bytes,
            Err(_) if done > 0 => break,
            Err(fail) => return Err(fail),
        };
        let full = bytes == buffer.len();
        buffer.truncate(bytes);
        if let Some(offset) = &mut offset {
            **offset = offset.saturating_add(bytes as u64);
        }
        let mut chunk = Chunk::new(buffer, false);
        while !chunk.is_empty() {
            match writer.push(current, false, false, &mut chunk) {
                Ok(pushed) => done += pushed,
                Err(_) if done > 0 => return Ok(done),
                Err(fail) => return Err(fail),
            }
        }
        // A short read says that more would have to be waited for.
        if !full {
            break;
        }
    }
    Ok(done)
}

/// tee(2): copies up to `len` bytes from pipe to pipe without taking them.
pub fn tee(current: &Current, from: &OpenFile, to: &OpenFile, len: usize, dont_wait: bool) -> Result<usize, Fail> {
    if !from.flags().readable() || !to.flags().writable() {
        return Err(Errno::EBADF.into());
    }
    let (Some((reader, no_read)), Some((writer, no_write))) = (reading(from, dont_wait), writing(to, dont_wait)) else {
        return Err(Errno::EINVAL.into());
    };
    if Arc::<Pipe>::ptr_eq(reader.pipe(), writer.pipe()) {
        return Err(Errno::EINVAL.into());
    }
    if len == 0 || !reader.wait_readable(current, no_read)? {
        return Ok(0);
    }
    let mut done = 0;
    for mut chunk in reader.peek(len) {
        while !chunk.is_empty() {
            match writer.push(current, no_write || done > 0, false, &mut chunk) {
                Ok(pushed) => done += pushed,
                Err(_) if done > 0 => return Ok(done),
                Err(fail) => return Err(fail),
            }
        }
    }
    Ok(done)
}

/// vmsplice(2): user memory into a pipe (copied), or a pipe's bytes into user memory.
pub fn vmsplice(current: &Current, file: &OpenFile, pieces: &[UserBuf], dont_wait: bool) -> Result<usize, Fail> {
    let flags = file.flags();
    if let Some((end, nonblocking)) = writing(file, dont_wait).filter(|_| flags.writable()) {
        // Waits until something fits, and then not again for the rest.
        let mut source = Source::user(current, pieces);
        if source.left() == 0 {
            return Ok(0);
        }
        end.wait_for_room(current, nonblocking, source.left().min(PAGE_SIZE as usize))?;
        return end.write_all(current, true, &mut source);
    }
    match reading(file, dont_wait) {
        Some((end, nonblocking)) => end.read_all(current, nonblocking, &mut Sink::user(current, pieces)),
        None => Err(Errno::EBADF.into()),
    }
}
