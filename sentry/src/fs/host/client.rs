//! Requests to the host, typed: `Node` names a file by path (the gofer's), `File` is an open descriptor (the sandbox
//! process's). Both give their handle back when dropped. What the host returns is checked against the buffers given to it.

use super::data::close_idle;
use super::deferred;
use crate::errno::Errno;
use crate::fs::entries::Entries;
use crate::fs::heard;
use crate::platform::{Frame, platform};
use crate::sync::{Lock, Rank};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::mem::size_of;
use core::sync::atomic::{AtomicBool, Ordering};
use linker::request::{
    self, Attr, DirEntry, END_OF_DIRECTORY, MAX_NAME, MakeArgs, OFFSET_STREAM, Op, Request, SetAttr, StatFs,
};
use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, IntoBytes};

/// Bytes of directory entries asked for at once.
const DIRECTORY_BYTES: usize = 32 << 10;
/// The first buffer: most directories fit, and one that is not needed would be cleared for nothing.
const FIRST_DIRECTORY_BYTES: usize = 4 << 10;

/// Bytes of an answer for many names at most.
const MANY_BYTES: usize = 60 << 10;

/// The last reader's buffer: whoever reads a directory next need not clear another.
static SPARE: Lock<Vec<u8>> = Lock::new(Rank::Leaf, Vec::new());

/// A file by name, at the gofer.
pub struct Node {
    handle: u32,
    /// Its last name is gone: the host frees it as soon as nobody holds it.
    gone: AtomicBool,
}

/// An open descriptor of the host.
pub struct File {
    handle: u32,
    /// Somebody may wait for its end: it is closed as soon as nobody holds it.
    urgent: bool,
}

/// What the host tells of a name among others.
pub struct Told {
    /// The file.
    pub node: Node,
    /// Its attributes.
    pub attr: Attr,
    /// All that it contains, where that came along.
    pub content: Option<Box<[u8]>>,
}

impl Drop for Node {
    fn drop(&mut self) {
        deferred::push(Op::Forget, self.handle, self.gone.load(Ordering::Relaxed));
    }
}

impl Drop for File {
    fn drop(&mut self) {
        deferred::push(Op::Close, self.handle, self.urgent);
    }
}

fn request(op: Op, handle: u32) -> Request {
    Request { op: op as u16, handle, ..Request::default() }
}

fn call(request: Request, input: &[u8], output: &mut [u8]) -> Result<u64, Errno> {
    platform().host_call(request, input, output)
}

/// A count of bytes from the host, no larger than the buffer it was given.
fn count(result: u64, buffer: usize) -> usize {
    usize::try_from(result).map_or(buffer, |count| count.min(buffer))
}

/// A handle that the host made.
fn handle(result: u64) -> Result<u32, Errno> {
    u32::try_from(result).map_err(|_| Errno::EIO)
}

/// A request that answers with a node and its attributes.
fn node(request: Request, input: &[u8]) -> Result<(Node, Attr), Errno> {
    let mut attr = Attr::default();
    let result = call(request, input, attr.as_mut_bytes())?;
    Ok((Node::new(handle(result)?), attr))
}

/// Fixed arguments, then names.
fn joined(head: &[u8], names: &[&[u8]]) -> Vec<u8> {
    let mut input = Vec::with_capacity(head.len() + names.iter().map(|name| name.len()).sum::<usize>());
    input.extend_from_slice(head);
    for name in names {
        input.extend_from_slice(name);
    }
    input
}

impl Node {
    fn new(handle: u32) -> Self {
        Self { handle, gone: AtomicBool::new(false) }
    }

    /// Its last name is gone.
    pub fn mark_gone(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    /// The root of mount `index` of the start specification.
    pub fn attach(index: u32) -> Result<(Self, Attr), Errno> {
        node(request(Op::Attach, index), &[])
    }

    /// The entry `name` of a directory.
    pub fn lookup(&self, name: &[u8]) -> Result<(Self, Attr), Errno> {
        node(request(Op::Lookup, self.handle), name)
    }

    /// Entries of a directory, `MAX_NAMES` at most, with up to `content` bytes of each: what the host says of each, in their order, and of
    /// as many as one answer holds. What was made of an answer that goes wrong is forgotten with it.
    pub fn lookup_many(&self, names: &[&[u8]], content: usize) -> Result<Vec<Result<Told, Errno>>, Errno> {
        let mut input = Vec::with_capacity(names.iter().map(|name| name.len() + 1).sum());
        for name in names {
            input.extend_from_slice(name);
            input.push(0);
        }
        let room = names.len() * (size_of::<request::Told>() + content.next_multiple_of(8));
        let mut output = vec![0; room.min(MANY_BYTES)];
        let request = Request { arg: content as u64, ..request(Op::LookupMany, self.handle) };
        let len = call(request, &input, &mut output)?;
        parse_told(output.get(..count(len, output.len())).unwrap_or_default(), names.len()).ok_or(Errno::EIO)
    }

    /// The attributes.
    pub fn attr(&self) -> Result<Attr, Errno> {
        let mut attr = Attr::default();
        call(request(Op::GetAttr, self.handle), &[], attr.as_mut_bytes())?;
        Ok(attr)
    }

    /// Changes attributes; returns them all.
    pub fn set_attr(&self, change: &SetAttr) -> Result<Attr, Errno> {
        let mut change = *change;
        if change.valid & SetAttr::SIZE != 0 {
            // The sandbox process does it, on an open file: the gofer has no call for it.
            self.open(raw::O_WRONLY)?.truncate(change.size)?;
            change.valid &= !SetAttr::SIZE;
        }
        let mut attr = Attr::default();
        call(request(Op::SetAttr, self.handle), change.as_bytes(), attr.as_mut_bytes())?;
        Ok(attr)
    }

    /// Opens it with open(2)'s `flags`.
    pub fn open(&self, flags: u32) -> Result<File, Errno> {
        let open = || call(Request { arg: u64::from(flags), ..request(Op::Open, self.handle) }, &[], &mut []);
        let result = match open() {
            // What is kept for later, or still to be given back, makes room.
            Err(Errno::EMFILE | Errno::ENFILE) => {
                close_idle();
                deferred::flush();
                open()?
            }
            result => result?,
        };
        let urgent = flags & raw::O_ACCMODE != raw::O_RDONLY || self.gone.load(Ordering::Relaxed);
        handle(result).map(|handle| File { handle, urgent })
    }

    /// Makes a regular file in a directory and opens it.
    pub fn create(&self, name: &[u8], args: &MakeArgs, flags: u32) -> Result<(Self, Attr, File), Errno> {
        let mut output = [0; size_of::<Attr>() + size_of::<u32>()];
        let request = Request { arg: u64::from(flags), ..request(Op::Create, self.handle) };
        let result = call(request, &joined(args.as_bytes(), &[name]), &mut output)?;
        let node = Self::new(handle(result)?);
        let (attr, rest) = Attr::read_from_prefix(&output).map_err(|_| Errno::EIO)?;
        let file = u32::read_from_bytes(rest).map_err(|_| Errno::EIO)?;
        Ok((node, attr, File::adopt(file)))
    }

    /// Makes a file of the type that `args.mode` says in a directory.
    pub fn make(&self, name: &[u8], args: &MakeArgs) -> Result<(Self, Attr), Errno> {
        node(request(Op::Make, self.handle), &joined(args.as_bytes(), &[name]))
    }

    /// Makes a symbolic link in a directory.
    pub fn symlink(&self, name: &[u8], target: &[u8], args: &MakeArgs) -> Result<(Self, Attr), Errno> {
        let request = Request { offset: name.len() as u64, ..request(Op::Symlink, self.handle) };
        node(request, &joined(args.as_bytes(), &[name, target]))
    }

    /// Makes another name for `target` in a directory.
    pub fn link(&self, name: &[u8], target: &Self) -> Result<(), Errno> {
        call(Request { arg: u64::from(target.handle), ..request(Op::Link, self.handle) }, name, &mut []).map(drop)
    }

    /// Removes a name from a directory. Returns what the file was before, where the host tells (`ino` 0 otherwise).
    pub fn unlink(&self, name: &[u8], flags: u32) -> Result<Attr, Errno> {
        let mut attr = Attr::default();
        call(Request { arg: u64::from(flags), ..request(Op::Unlink, self.handle) }, name, attr.as_mut_bytes())?;
        Ok(attr)
    }

    /// Renames. Returns what the replaced file was before, where there was one and the host tells (`ino` 0 otherwise).
    pub fn rename(&self, name: &[u8], new_dir: &Self, new_name: &[u8], flags: u32) -> Result<Attr, Errno> {
        let mut attr = Attr::default();
        let offset = name.len() as u64 | u64::from(flags) << 32;
        let request = Request { arg: u64::from(new_dir.handle), offset, ..request(Op::Rename, self.handle) };
        call(request, &joined(&[], &[name, new_name]), attr.as_mut_bytes())?;
        Ok(attr)
    }

    /// A symbolic link's target.
    pub fn read_link(&self) -> Result<Vec<u8>, Errno> {
        let mut target = vec![0; MAX_NAME];
        let len = call(request(Op::ReadLink, self.handle), &[], &mut target)?;
        target.truncate(count(len, MAX_NAME));
        Ok(target)
    }

    /// All entries of a directory but "." and "..".
    pub fn read_dir(&self) -> Result<Entries, Errno> {
        let mut entries = Entries::default();
        let mut buffer = core::mem::take(&mut *SPARE.lock());
        if buffer.is_empty() {
            buffer.resize(FIRST_DIRECTORY_BYTES, 0);
        }
        let mut cookie = 0;
        loop {
            let result =
                call(Request { offset: cookie, arg: 1, ..request(Op::ReadDir, self.handle) }, &[], &mut buffer)?;
            let len = count(result & !END_OF_DIRECTORY, buffer.len());
            let Some(bytes) = buffer.get(..len).filter(|bytes| !bytes.is_empty()) else { break };
            cookie = parse_entries(bytes, &mut entries).ok_or(Errno::EIO)?;
            if result & END_OF_DIRECTORY != 0 {
                break;
            }
            if bytes.len() > FIRST_DIRECTORY_BYTES / 2 {
                buffer.resize(DIRECTORY_BYTES, 0);
            }
        }
        let old = core::mem::replace(&mut *SPARE.lock(), buffer);
        drop(old);
        Ok(entries)
    }

    /// The file system's numbers.
    pub fn stat_fs(&self) -> Result<StatFs, Errno> {
        let mut numbers = StatFs::default();
        call(request(Op::StatFs, self.handle), &[], numbers.as_mut_bytes())?;
        Ok(numbers)
    }

    /// An extended attribute's value.
    pub fn get_xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.sized(Op::GetXattr, name)
    }

    /// The names of all extended attributes, each with its NUL.
    pub fn list_xattr(&self) -> Result<Vec<u8>, Errno> {
        self.sized(Op::ListXattr, &[])
    }

    /// Sets an extended attribute.
    pub fn set_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> Result<(), Errno> {
        let request =
            Request { arg: u64::from(flags), offset: name.len() as u64, ..request(Op::SetXattr, self.handle) };
        call(request, &joined(&[], &[name, value]), &mut []).map(drop)
    }

    /// Removes an extended attribute.
    pub fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        call(request(Op::RemoveXattr, self.handle), name, &mut []).map(drop)
    }

    /// Connects to a unix socket's file.
    pub fn connect(&self) -> Result<File, Errno> {
        handle(call(request(Op::Connect, self.handle), &[], &mut [])?).map(File::adopt)
    }

    /// A result of unknown length: a guess that mostly fits, then the largest there can be (xattr(7)).
    fn sized(&self, op: Op, input: &[u8]) -> Result<Vec<u8>, Errno> {
        for room in [256, linux_raw_sys::general::XATTR_SIZE_MAX as usize] {
            let mut output = vec![0; room];
            match call(request(op, self.handle), input, &mut output) {
                Ok(len) => {
                    output.truncate(count(len, room));
                    return Ok(output);
                }
                Err(Errno::ERANGE) => {}
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::E2BIG)
    }
}

/// Takes packed entries apart; returns the cookie behind the last, `None` where they are malformed.
fn parse_entries(mut bytes: &[u8], entries: &mut Entries) -> Option<u64> {
    let mut cookie = None;
    // No record is longer than the host's.
    entries.reserve(bytes.len());
    while !bytes.is_empty() {
        let (entry, rest) = DirEntry::read_from_prefix(bytes).ok()?;
        let len = usize::from(entry.name_len);
        let name = rest.get(..len)?;
        bytes = rest.get(len.next_multiple_of(8)..)?;
        cookie = Some(entry.next);
        if name != b"." && name != b".." {
            entries.push(entry.ino, entry.kind, name)?;
        }
    }
    cookie
}

/// Takes apart what was told of `names` names; `None` where it is malformed.
fn parse_told(mut bytes: &[u8], names: usize) -> Option<Vec<Result<Told, Errno>>> {
    let mut all = Vec::with_capacity(names);
    while !bytes.is_empty() && all.len() < names {
        let (told, rest) = request::Told::read_from_prefix(bytes).ok()?;
        bytes = rest;
        if told.errno != 0 {
            all.push(Err(Errno::from_raw(i64::from(told.errno))));
            continue;
        }
        let node = Node::new(told.node);
        let mut content = None;
        if told.content != request::Told::NO_CONTENT {
            let len = told.content as usize;
            content = Some(bytes.get(..len)?.into());
            bytes = bytes.get(len.next_multiple_of(8)..)?;
        }
        all.push(Ok(Told { node, attr: told.attr, content }));
    }
    (!all.is_empty()).then_some(all)
}

impl File {
    /// Takes over a handle that the start specification names.
    pub fn adopt(handle: u32) -> Self {
        Self { handle, urgent: true }
    }

    /// Its number.
    pub fn handle(&self) -> u32 {
        self.handle
    }

    /// Reads at `offset` (or `OFFSET_STREAM`).
    pub fn read(&self, offset: u64, to: &mut [u8]) -> Result<usize, Errno> {
        let room = to.len();
        let done = call(Request { offset, ..request(Op::Read, self.handle) }, &[], to);
        if offset == OFFSET_STREAM {
            heard();
        }
        done.map(|done| count(done, room))
    }

    /// Writes at `offset` (or `OFFSET_STREAM`).
    pub fn write(&self, offset: u64, from: &[u8]) -> Result<usize, Errno> {
        call(Request { offset, ..request(Op::Write, self.handle) }, from, &mut []).map(|done| count(done, from.len()))
    }

    /// Writes at the end of the file, wherever that is by then.
    pub fn append(&self, from: &[u8]) -> Result<usize, Errno> {
        let request = Request { flags: Request::FLAG_APPEND, ..request(Op::Write, self.handle) };
        call(request, from, &mut []).map(|done| count(done, from.len()))
    }

    /// Reads into frames.
    pub fn read_frames(&self, offset: u64, frames: &[Frame]) -> Result<usize, Errno> {
        platform().host_read(self.handle, offset, frames)
    }

    /// Writes `len` bytes from frames, beginning `skip` bytes into the first.
    pub fn write_frames(&self, offset: u64, frames: &[Frame], skip: usize, len: usize) -> Result<usize, Errno> {
        platform().host_write(self.handle, offset, frames, skip, len)
    }

    /// fsync(2), fdatasync(2).
    pub fn sync(&self, data_only: bool) -> Result<(), Errno> {
        call(Request { arg: u64::from(data_only), ..request(Op::Sync, self.handle) }, &[], &mut []).map(drop)
    }

    /// ftruncate(2).
    pub fn truncate(&self, size: u64) -> Result<(), Errno> {
        call(Request { offset: size, ..request(Op::Truncate, self.handle) }, &[], &mut []).map(drop)
    }

    /// fallocate(2).
    pub fn allocate(&self, mode: u8, offset: u64, len: u64) -> Result<(), Errno> {
        let request = Request { flags: u16::from(mode) << 8, offset, arg: len, ..request(Op::Allocate, self.handle) };
        call(request, &[], &mut []).map(drop)
    }

    /// The attributes.
    pub fn attr(&self) -> Result<Attr, Errno> {
        let mut attr = Attr::default();
        call(request(Op::FileAttr, self.handle), &[], attr.as_mut_bytes())?;
        Ok(attr)
    }

    /// F_GETFL.
    pub fn flags(&self) -> Result<u32, Errno> {
        call(request(Op::FileFlags, self.handle), &[], &mut []).map(|flags| flags as u32)
    }

    /// lseek(2).
    pub fn seek(&self, offset: i64, whence: u32) -> Result<u64, Errno> {
        let request = Request { arg: u64::from(whence), offset: offset as u64, ..request(Op::Seek, self.handle) };
        call(request, &[], &mut [])
    }

    /// poll(2): blocks until one of `events` is ready, or with `now` says at once what is.
    pub fn poll(&self, events: u32, now: bool) -> Result<u32, Errno> {
        let flags = if now { Request::FLAG_NOW } else { 0 };
        let request = Request { arg: u64::from(events), flags, ..request(Op::Poll, self.handle) };
        call(request, &[], &mut []).map(|ready| ready as u32)
    }

    /// Reads at the file's own position; EAGAIN where nothing is there yet.
    pub fn read_stream(&self, to: &mut [u8]) -> Result<usize, Errno> {
        self.read(OFFSET_STREAM, to)
    }
}

#[cfg(test)]
mod tests {
    use super::{Entries, parse_entries};
    use crate::fs::entries::Entry;
    use alloc::vec::Vec;
    use linker::request::DirEntry;
    use zerocopy::IntoBytes;

    fn packed(names: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let next = index as u64 + 1;
            let entry = DirEntry { ino: 7, next, name_len: name.len() as u16, kind: 8, pad: [0; 5] };
            bytes.extend_from_slice(entry.as_bytes());
            bytes.extend_from_slice(name);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        bytes
    }

    #[test]
    fn packed_entries_come_apart_without_the_dots() {
        let mut entries = Entries::default();
        assert_eq!(parse_entries(&packed(&[b".", b"..", b"hello", b"12345678"]), &mut entries), Some(4));
        let names: Vec<&[u8]> = entries.iter().map(|entry| entry.name).collect();
        assert_eq!(names, [&b"hello"[..], b"12345678"]);
        assert_eq!(entries.get(0), Some(Entry { ino: 7, kind: 8, name: b"hello" }));
    }

    #[test]
    fn entries_cut_short_are_refused() {
        let bytes = packed(&[b"hello"]);
        for len in 1..bytes.len() {
            assert_eq!(parse_entries(&bytes[..len], &mut Entries::default()), None, "{len}");
        }
    }
}
