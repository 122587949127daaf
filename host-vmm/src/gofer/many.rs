//! Many names of a directory in one answer, each under the rules of a single one, with what small files contain; and many nodes
//! forgotten at once.

use crate::gofer::ops::{BENEATH, PATH_ONLY, SAFE_FLAGS, attr, name};
use crate::gofer::wire::{CallHeader, MAX_DATA};
use crate::gofer::{Gofer, Output};
use linker::request::{Attr, MAX_HANDLES, MAX_NAMES, Told};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use zerocopy::{FromBytes, IntoBytes};

const HEAD: usize = size_of::<Told>();
/// Content of one file at most.
const MAX_CONTENT: u64 = 16 << 10;

/// Looks names up until one does not fit. Descriptors that run out end it, too; where they do at the first name, it is told.
pub(super) fn lookup(gofer: &mut Gofer, call: &CallHeader, input: &[u8]) -> Result<Output, Errno> {
    // That there is no such directory is not any single name's error.
    gofer.nodes.get(call.handle)?;
    let names = input.strip_suffix(b"\0").ok_or(Errno::INVAL)?;
    if names.iter().filter(|byte| **byte == 0).count() >= MAX_NAMES {
        return Err(Errno::TOOBIG);
    }
    let room = (call.output_len as usize).min(MAX_DATA);
    let mut data = Vec::with_capacity(room);
    for bytes in names.split(|byte| *byte == 0) {
        let Some(left) = room.checked_sub(data.len() + HEAD) else { break };
        let mut told = Told { content: Told::NO_CONTENT, ..Told::default() };
        let mut content = None;
        match find(gofer, call.handle, bytes) {
            Ok((fd, attr)) => {
                // Nothing says what an empty one contains: some of /proc's are no shorter for it.
                let wanted = FileType::from_raw_mode(attr.mode) == FileType::RegularFile
                    && (1..=call.arg.min(MAX_CONTENT)).contains(&attr.size);
                if wanted && attr.size.next_multiple_of(8) > left as u64 && !data.is_empty() {
                    break;
                }
                if wanted && attr.size.next_multiple_of(8) <= left as u64 {
                    content = read(gofer, &fd, attr.size as usize);
                }
                told.attr = attr;
                told.content = content.as_ref().map_or(Told::NO_CONTENT, |content| content.len() as u32);
                told.node = gofer.nodes.insert(fd, gofer.nodes.get(call.handle)?.export)?;
            }
            Err(Errno::MFILE | Errno::NFILE) if !data.is_empty() => break,
            Err(errno) => told.errno = errno.raw_os_error() as u32,
        }
        data.extend_from_slice(told.as_bytes());
        data.extend_from_slice(&content.unwrap_or_default());
        data.resize(data.len().next_multiple_of(8), 0);
    }
    if data.is_empty() {
        return Err(Errno::INVAL);
    }
    Ok(Output { result: data.len() as u64, data, file: None })
}

fn find(gofer: &Gofer, directory: u32, bytes: &[u8]) -> Result<(OwnedFd, Attr), Errno> {
    let directory = &gofer.nodes.get(directory)?.fd;
    let fd = rustix::fs::openat2(directory, name(bytes)?, PATH_ONLY, Mode::empty(), BENEATH)?;
    let attr = attr(&fd)?;
    Ok((fd, attr))
}

/// All of a regular file, where it can be read and is `size` bytes long still.
fn read(gofer: &Gofer, fd: &OwnedFd, size: usize) -> Option<Vec<u8>> {
    let file = gofer.reopen(fd, OFlags::RDONLY | SAFE_FLAGS).ok()?;
    // One more: a file that has grown is not told of in part.
    let mut content = vec![0; size + 1];
    let got = rustix::io::pread(&file, content.as_mut_slice(), 0).ok()?;
    content.truncate(size);
    (got == size).then_some(content)
}

/// Forgets what is a node. What is none may be one that went with its export.
pub(super) fn forget(gofer: &mut Gofer, input: &[u8]) -> Result<Output, Errno> {
    if input.len() > MAX_HANDLES * size_of::<u32>() {
        return Err(Errno::TOOBIG);
    }
    if !input.len().is_multiple_of(size_of::<u32>()) {
        return Err(Errno::INVAL);
    }
    for handle in input.chunks_exact(size_of::<u32>()) {
        if let Ok(handle) = u32::read_from_bytes(handle) {
            let _ = gofer.nodes.remove(handle);
        }
    }
    Ok(Output::default())
}
