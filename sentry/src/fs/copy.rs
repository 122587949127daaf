//! From file to file without user memory between: sendfile, copy_file_range.

use super::open_file::{OpenFile, OpenFlags};
use super::{FileKind, Sink, Source};
use crate::errno::Errno;
use crate::platform::platform;
use crate::syscall::Fail;
use crate::task::Current;
use alloc::sync::Arc;
use alloc::vec;

/// Bytes moved at once.
const CHUNK: usize = 64 * 1024;

/// sendfile(2): from `start` of `input`, or from its position, which moves by what was written.
pub fn send(
    current: &Current,
    input: &OpenFile,
    out: &OpenFile,
    start: Option<u64>,
    count: usize,
) -> Result<usize, Fail> {
    if !input.ops().seekable() {
        return Err(Errno::EINVAL.into());
    }
    if start.is_none() && input.ops().keeps_position() {
        return send_stream(current, input, out, count);
    }
    // The position is not held meanwhile: both may be one description, or somebody sends the other way.
    let from = start.unwrap_or_else(|| *input.position().lock());
    let mut buffer = vec![0; CHUNK.min(count)];
    let moved = pump(current, count, |done| {
        let want = CHUNK.min(count - done).min(buffer.len());
        let chunk = &mut buffer[..want];
        let bytes = input.read_at(current, &mut Sink::kernel(chunk), from.saturating_add(done as u64))?;
        let mut source = Source::kernel(&chunk[..bytes]);
        Ok((bytes, if bytes == 0 { 0 } else { out.write(current, &mut source)? }))
    })?;
    if start.is_none() {
        *input.position().lock() = from.saturating_add(moved as u64);
    }
    Ok(moved)
}

/// sendfile from a file whose position the host keeps: what was read has to be written.
fn send_stream(current: &Current, input: &OpenFile, out: &OpenFile, count: usize) -> Result<usize, Fail> {
    let mut buffer = vec![0; CHUNK.min(count)];
    pump(current, count, |done| {
        let want = CHUNK.min(count - done).min(buffer.len());
        let chunk = &mut buffer[..want];
        let bytes = input.read(current, &mut Sink::kernel(chunk))?;
        let mut written = 0;
        while written < bytes {
            written += out.write(current, &mut Source::kernel(&chunk[written..bytes]))?;
        }
        // A stream gives what it has: no second wait for more.
        Ok((bytes + 1, written))
    })
}

/// copy_file_range(2).
pub fn copy_range(
    current: &Current,
    input: &Arc<OpenFile>,
    in_start: u64,
    out: &Arc<OpenFile>,
    out_start: u64,
    len: usize,
) -> Result<usize, Fail> {
    for file in [input, out] {
        match file.inode().kind() {
            FileKind::Regular => {}
            FileKind::Directory => return Err(Errno::EISDIR.into()),
            _ => return Err(Errno::EINVAL.into()),
        }
    }
    if !input.flags().readable() || !out.flags().writable() || out.flags().contains(OpenFlags::APPEND) {
        return Err(Errno::EBADF.into());
    }
    // Files whose positions are not kept here (standard streams) and generated ones are for read and write.
    if input.inode().mapping().is_err() || out.inode().mapping().is_err() {
        return Err(Errno::EXDEV.into());
    }
    let in_end = in_start.checked_add(len as u64).ok_or(Errno::EOVERFLOW)?;
    let out_end = out_start.checked_add(len as u64).ok_or(Errno::EOVERFLOW)?;
    if Arc::ptr_eq(input.inode(), out.inode()) && in_start < out_end && out_start < in_end {
        return Err(Errno::EINVAL.into());
    }
    let mut buffer = vec![0; CHUNK.min(len)];
    pump(current, len, |done| {
        let want = CHUNK.min(len - done).min(buffer.len());
        let chunk = &mut buffer[..want];
        let bytes = input.read_at(current, &mut Sink::kernel(chunk), in_start + done as u64)?;
        let mut source = Source::kernel(&chunk[..bytes]);
        let at = out_start + done as u64;
        Ok((bytes, if bytes == 0 { 0 } else { out.write_at(current, &mut source, at)? }))
    })
}

/// Repeats `step` (bytes done so far → read, written) until `count` bytes went through, the input ends or the output takes
/// less than it was offered, or the thread is killed. A failure after some bytes is a short transfer.
fn pump(
    current: &Current,
    count: usize,
    mut step: impl FnMut(usize) -> Result<(usize, usize), Fail>,
) -> Result<usize, Fail> {
    let mut done = 0;
    while done < count {
        match step(done) {
            Ok((read, written)) => {
                done += written;
                if read == 0 || written < read {
                    break;
                }
            }
            Err(_) if done > 0 => break,
            Err(fail) => return Err(fail),
        }
        // Neither side is user memory, where long reads and writes let others in.
        platform().preempt();
        if current.task.is_doomed() {
            break;
        }
    }
    Ok(done)
}
