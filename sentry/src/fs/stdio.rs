//! Files of the host that were passed in: the standard streams. Reads and writes go to the host, never waiting there; who must
//! wait does so on the queue of a `host::watch`.

use super::host::client::File;
use super::host::watch::{Direction, Watch};
use super::pipe::broken_pipe;
use super::{FileKind, FileOps, Inode, OpenFile, OpenFlags, Path, Sink, Source, dev, device};
use crate::errno::Errno;
use crate::syscall::Fail;
use crate::task::Current;
use crate::wait::{Events, WaitQueue};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use core::any::Any;
use linker::request::{Attr, OFFSET_STREAM, SetAttr, StatFs};
use linux_raw_sys::general as raw;

/// Bytes moved with one request.
const CHUNK: usize = 64 << 10;

/// `/dev/null`'s number.
const NULL_DEVICE: u64 = (dev::mem::MAJOR as u64) << 32 | dev::mem::Device::Null as u64;

/// Opens a standard stream that the host passed in.
pub fn open(current: &Current, file: File) -> Result<Arc<OpenFile>, Errno> {
    super::host::start();
    let attr = file.attr()?;
    let keep = raw::O_ACCMODE | raw::O_APPEND | raw::O_NONBLOCK;
    let flags = OpenFlags::from_bits_truncate(file.flags()? & keep);
    let kind = FileKind::of_mode(attr.mode);
    let label = match kind {
        FileKind::Fifo => format!("pipe:[{}]", attr.ino),
        FileKind::Socket => format!("socket:[{}]", attr.ino),
        FileKind::CharDevice if attr.rdev == NULL_DEVICE => String::from("/dev/null"),
        _ => format!("host:[{}]", attr.ino),
    };
    // A device like /dev/null is the same here as there.
    let own = (kind == FileKind::CharDevice).then(|| device::open_device(current, kind, attr.rdev, flags));
    let seekable = matches!(kind, FileKind::Regular | FileKind::Directory | FileKind::BlockDevice);
    let stream = Arc::new(HostStream::new(file, seekable));
    let inode = Arc::new(StreamInode { kind, attr, stream: stream.clone() });
    let path = Path::detached(inode.clone(), label.as_bytes());
    let ops = match own {
        Some(Ok(ops)) => ops,
        _ => stream,
    };
    Ok(OpenFile::new(ops, flags, inode, Some(path)))
}

/// The inode of a passed-in file.
struct StreamInode {
    kind: FileKind,
    /// As it was at the start; what has a size is asked again.
    attr: Attr,
    stream: Arc<HostStream>,
}

impl Inode for StreamInode {
    fn kind(&self) -> FileKind {
        self.kind
    }

    fn attr(&self) -> Result<Attr, Errno> {
        if self.stream.seekable { self.stream.file.attr() } else { Ok(self.attr) }
    }

    fn set_attr(&self, change: &SetAttr) -> Result<(), Errno> {
        if change.valid & !SetAttr::SIZE != 0 {
            // Owner, mode and times of what the host passed in are the host's.
            return Err(Errno::EPERM);
        }
        self.stream.file.truncate(change.size)
    }

    fn open(self: Arc<Self>, _current: &Current, _flags: OpenFlags) -> Result<Arc<dyn FileOps>, Fail> {
        if self.kind == FileKind::Socket {
            return Err(Errno::ENXIO.into());
        }
        Ok(self.stream.clone())
    }

    fn allocate(&self, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
        let mode = u8::try_from(mode).map_err(|_| Errno::EOPNOTSUPP)?;
        self.stream.file.allocate(mode, offset, len)
    }

    fn stat_fs(&self) -> Result<StatFs, Errno> {
        let kind = if self.kind == FileKind::Fifo { raw::PIPEFS_MAGIC } else { raw::ANON_INODE_FS_MAGIC };
        Ok(StatFs { kind: u64::from(kind), bsize: 4096, namelen: 255, ..StatFs::default() })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A passed-in file.
pub struct HostStream {
    watch: Watch,
    file: File,
    seekable: bool,
}

impl HostStream {
    fn new(file: File, seekable: bool) -> Self {
        Self { watch: Watch::new(file.handle()), file, seekable }
    }

    /// After EAGAIN: an error for those who do not wait (but whom epoll is to tell), else the wait.
    fn not_ready(&self, current: &Current, file: &OpenFile, direction: &Direction) -> Result<(), Fail> {
        if file.nonblocking() {
            self.watch.watch_for_others(direction);
            return Err(Errno::EAGAIN.into());
        }
        self.watch.watch(direction);
        let ready = || (!direction.is_watched()).then_some(());
        Ok(current.wait(self.watch.queue(), direction.events(), None, ready)?)
    }
}

impl FileOps for HostStream {
    fn read(&self, current: &Current, file: &OpenFile, sink: &mut Sink<'_>, offset: u64) -> Result<usize, Fail> {
        if sink.left() == 0 {
            return Ok(0);
        }
        let offset = if self.seekable { offset } else { OFFSET_STREAM };
        let mut buffer = vec![0; sink.left().min(CHUNK)];
        loop {
            match self.file.read(offset, &mut buffer) {
                Err(Errno::EAGAIN) => self.not_ready(current, file, self.watch.input())?,
                Err(errno) => return Err(errno.into()),
                Ok(read) => {
                    self.watch.input().forget();
                    return Ok(sink.put(buffer.get(..read).unwrap_or_default())?);
                }
            }
        }
    }

    fn write(
        &self,
        current: &Current,
        file: &OpenFile,
        source: &mut Source<'_>,
        offset: u64,
    ) -> Result<(usize, u64), Fail> {
        let positioned = self.seekable && offset != OFFSET_STREAM;
        let mut total = 0;
        while source.left() > 0 {
            let chunk = match source.take_vec(CHUNK) {
                Ok(chunk) => chunk,
                Err(_) if total > 0 => break,
                Err(errno) => return Err(errno.into()),
            };
            let mut done = 0;
            while done < chunk.len() {
                let at = if positioned { offset.saturating_add((total + done) as u64) } else { OFFSET_STREAM };
                let result = match self.file.write(at, chunk.get(done..).unwrap_or_default()) {
                    Ok(written) => {
                        done += written;
                        self.watch.output().forget();
                        Ok(())
                    }
                    Err(Errno::EAGAIN) => self.not_ready(current, file, self.watch.output()),
                    Err(Errno::EPIPE) => Err(broken_pipe(current)),
                    Err(errno) => Err(errno.into()),
                };
                match result {
                    Ok(()) => {}
                    Err(_) if total + done > 0 => return Ok((total + done, offset)),
                    Err(fail) => return Err(fail),
                }
            }
            total += done;
        }
        Ok((total, offset))
    }

    fn seekable(&self) -> bool {
        self.seekable
    }

    fn keeps_position(&self) -> bool {
        self.seekable
    }

    fn seek(&self, _file: &OpenFile, offset: i64, whence: u32) -> Result<u64, Errno> {
        if self.seekable { self.file.seek(offset, whence) } else { Err(Errno::ESPIPE) }
    }

    fn prepare_poll(&self, file: &OpenFile) {
        if !self.seekable {
            self.watch.prepare(&self.file, file.flags().readable(), file.flags().writable());
        }
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        if self.seekable { Events::READABLE | Events::WRITABLE } else { self.watch.ready() }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        (!self.seekable).then(|| self.watch.queue())
    }

    fn sync(&self, data_only: bool) -> Result<(), Fail> {
        Ok(self.file.sync(data_only)?)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::host::client::File;
    use super::open;
    use crate::errno::Errno;
    use crate::fake::{self, machine};
    use crate::fs::{OpenFlags, Sink, Source};
    use crate::syscall::Fail;
    use crate::wait::Events;
    use linker::request::{Attr, Op, Request};
    use linux_raw_sys::general as raw;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Condvar, Mutex};
    use std::vec::Vec;
    use zerocopy::IntoBytes;

    /// A host pipe: bytes in it, and a wake-up for its poll.
    #[derive(Default)]
    struct HostPipe {
        bytes: Mutex<Vec<u8>>,
        changed: Condvar,
        polls: AtomicUsize,
    }

    impl HostPipe {
        fn install(mode: u32, flags: u32) -> Arc<Self> {
            fake::install();
            let pipe = Arc::new(Self::default());
            let host = pipe.clone();
            machine().set_host(move |request, input, output| host.serve(mode, flags, request, input, output));
            pipe
        }

        fn serve(&self, mode: u32, flags: u32, request: &Request, input: &[u8], out: &mut [u8]) -> Result<u64, Errno> {
            match Op::from_raw(request.op).unwrap() {
                Op::FileAttr => {
                    out.copy_from_slice(Attr { mode, ino: 77, ..Attr::default() }.as_bytes());
                    Ok(0)
                }
                Op::FileFlags => Ok(u64::from(flags)),
                Op::Read => {
                    let mut bytes = self.bytes.lock().unwrap();
                    if bytes.is_empty() {
                        return Err(Errno::EAGAIN);
                    }
                    let len = bytes.len().min(out.len());
                    out[..len].copy_from_slice(&bytes[..len]);
                    bytes.drain(..len);
                    Ok(len as u64)
                }
                Op::Write => {
                    self.put(&input[..input.len().min(3)]);
                    Ok(input.len().min(3) as u64)
                }
                Op::Poll => {
                    self.polls.fetch_add(1, Ordering::SeqCst);
                    let mut bytes = self.bytes.lock().unwrap();
                    while bytes.is_empty() && request.flags & Request::FLAG_NOW == 0 {
                        bytes = self.changed.wait(bytes).unwrap();
                    }
                    Ok(if bytes.is_empty() { 0 } else { u64::from(raw::POLLIN) })
                }
                _ => Err(Errno::ENOSYS),
            }
        }

        fn put(&self, bytes: &[u8]) {
            self.bytes.lock().unwrap().extend_from_slice(bytes);
            self.changed.notify_all();
        }
    }

    #[test]
    fn a_blocking_read_waits_for_the_host_and_a_nonblocking_one_does_not() {
        let pipe = HostPipe::install(raw::S_IFIFO | 0o600, raw::O_RDONLY);
        let current = fake::current();
        let file = open(&current, File::adopt(0)).unwrap();
        let mut buffer = [0; 16];
        file.set_flags(OpenFlags::NONBLOCK);
        let result = file.read(&current, &mut Sink::kernel(&mut buffer));
        assert!(matches!(result, Err(Fail::Errno(Errno::EAGAIN))));
        file.set_flags(OpenFlags::empty());
        let writer = pipe.clone();
        let late = std::thread::spawn(move || {
            while writer.polls.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            writer.put(b"late");
        });
        assert_eq!(file.read(&current, &mut Sink::kernel(&mut buffer)).unwrap(), 4);
        assert_eq!(&buffer[..4], b"late");
        late.join().unwrap();
    }

    #[test]
    fn readiness_is_asked_for_once_and_again_after_a_read() {
        let pipe = HostPipe::install(raw::S_IFIFO | 0o600, raw::O_RDONLY);
        let current = fake::current();
        let file = open(&current, File::adopt(0)).unwrap();
        pipe.put(b"abc");
        for _ in 0..3 {
            file.ops().prepare_poll(&file);
            assert_eq!(file.ops().poll(&file), Events::READABLE);
        }
        assert_eq!(pipe.polls.load(Ordering::SeqCst), 1);
        let mut buffer = [0; 16];
        file.read(&current, &mut Sink::kernel(&mut buffer)).unwrap();
        file.ops().prepare_poll(&file);
        assert_eq!(file.ops().poll(&file), Events::empty());
    }

    #[test]
    fn a_write_goes_on_until_all_is_written_and_access_modes_hold() {
        let pipe = HostPipe::install(raw::S_IFIFO | 0o600, raw::O_WRONLY);
        let current = fake::current();
        let file = open(&current, File::adopt(1)).unwrap();
        assert_eq!(file.write(&current, &mut Source::kernel(b"hello, world")).unwrap(), 12);
        assert_eq!(&pipe.bytes.lock().unwrap()[..], b"hello, world");
        let mut buffer = [0; 1];
        let result = file.read(&current, &mut Sink::kernel(&mut buffer));
        assert!(matches!(result, Err(Fail::Errno(Errno::EBADF))));
        assert!(matches!(file.write_at(&current, &mut Source::kernel(b"x"), 0), Err(Fail::Errno(Errno::ESPIPE))));
    }
}
