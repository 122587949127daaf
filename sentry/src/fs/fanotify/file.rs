//! A group's descriptor: events are read, answers are written.

use super::group::{Event, Group};
use super::{COUNT, MAX_GROUPS, abi};
use crate::errno::Errno;
use crate::fs::anon::AnonInode;
use crate::fs::pidfd::PidFd;
use crate::fs::{FileOps, OpenFile, OpenFlags, Sink, Source, open};
use crate::syscall::{Fail, Fd, UserPtr};
use crate::task::{Current, Tid, registry};
use crate::wait::{Events, WaitQueue};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::Ordering;
use linker::addr::UserVa;
use linux_raw_sys::ioctl::FIONREAD;

/// Bytes of `struct fanotify_event_metadata`, and of what says the pidfd behind it.
const METADATA: usize = 24;
const PIDFD_INFO: usize = 8;
/// Bytes of `struct fanotify_response`.
const RESPONSE: usize = 8;

/// What fanotify_init(2) was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// FAN_CLASS_*.
    pub class: u32,
    /// FAN_UNLIMITED_QUEUE.
    pub unlimited_queue: bool,
    /// FAN_UNLIMITED_MARKS.
    pub unlimited_marks: bool,
    /// FAN_REPORT_TID.
    pub report_tid: bool,
    /// FAN_REPORT_PIDFD.
    pub report_pidfd: bool,
    /// How files are opened for who reads.
    pub open: OpenFlags,
}

/// The file; when the last one is closed, nobody is asked any more.
struct Handle(Arc<Group>);

/// A new group's file. EMFILE where there are too many.
pub fn open_group(options: Options, flags: OpenFlags) -> Result<Arc<OpenFile>, Errno> {
    if COUNT.load(Ordering::SeqCst) >= MAX_GROUPS.load(Ordering::Relaxed) as usize {
        return Err(Errno::EMFILE);
    }
    let handle = Handle(Group::new(options));
    Ok(OpenFile::new(Arc::new(handle), flags | OpenFlags::RDWR, AnonInode::anonymous("[fanotify]"), None))
}

impl Group {
    /// The group behind a descriptor; EINVAL for another kind of file.
    pub fn of(file: &OpenFile) -> Result<Arc<Self>, Errno> {
        file.downcast::<Handle>().map(|handle| handle.0.clone()).ok_or(Errno::EINVAL)
    }
}

impl Handle {
    fn size(&self) -> usize {
        METADATA + if self.0.options.report_pidfd { PIDFD_INFO } else { 0 }
    }

    /// Puts one event; a question that cannot be put is answered with no.
    fn put(&self, current: &Current, sink: &mut Sink<'_>, event: Event) -> Result<usize, Fail> {
        let question = event.question.clone();
        let mut given = Vec::new();
        let result = self.describe(current, &event, &mut given).and_then(|(fd, bytes)| {
            let done = sink.put(&bytes)?;
            Ok((fd, done))
        });
        match (result, question) {
            (Ok((fd, done)), Some(question)) => {
                self.0.read(fd, question);
                Ok(done)
            }
            (Ok((_, done)), None) => Ok(done),
            (Err(fail), question) => {
                given.into_iter().for_each(|fd| drop(current.files.remove(fd)));
                if let Some(question) = question {
                    question.answer(abi::DENY);
                }
                Err(fail)
            }
        }
    }

    fn describe(&self, current: &Current, event: &Event, given: &mut Vec<Fd>) -> Result<(i32, Vec<u8>), Fail> {
        let options = &self.0.options;
        let fd = match &event.place {
            Some(place) => {
                let file = open::open_quietly(current, place, options.open)?;
                let fd = current.add_file(file, options.open.contains(OpenFlags::CLOEXEC))?;
                given.push(fd);
                fd.raw()
            }
            None => abi::NO_FD,
        };
        let who = if event.who == Tid::new(0) { event.who } else { current.shown(event.who) };
        let size = self.size();
        let mut bytes = Vec::with_capacity(size);
        bytes.extend_from_slice(&(size as u32).to_ne_bytes());
        bytes.extend_from_slice(&[abi::VERSION, 0]);
        bytes.extend_from_slice(&(METADATA as u16).to_ne_bytes());
        bytes.extend_from_slice(&event.mask.to_ne_bytes());
        bytes.extend_from_slice(&fd.to_ne_bytes());
        bytes.extend_from_slice(&who.raw().to_ne_bytes());
        if options.report_pidfd {
            let process = registry().process(event.who).filter(|process| !process.is_exited());
            let pidfd = match process {
                None => abi::NO_FD,
                Some(process) => match current.add_file(PidFd::open(process, None, OpenFlags::empty()), true) {
                    Ok(fd) => {
                        given.push(fd);
                        fd.raw()
                    }
                    Err(_) => abi::NO_PIDFD,
                },
            };
            bytes.extend_from_slice(&[abi::INFO_PIDFD, 0]);
            bytes.extend_from_slice(&(PIDFD_INFO as u16).to_ne_bytes());
            bytes.extend_from_slice(&pidfd.to_ne_bytes());
        }
        Ok((fd, bytes))
    }
}

impl FileOps for Handle {
    fn read(&self, current: &Current, file: &OpenFile, sink: &mut Sink<'_>, _: u64) -> Result<usize, Fail> {
        let group = &self.0;
        if !group.is_readable() {
            if file.nonblocking() {
                return Err(Errno::EAGAIN.into());
            }
            current.wait(&group.readers, Events::READABLE, None, || group.is_readable().then_some(()))?;
        }
        if sink.left() < self.size() {
            return Err(Errno::EINVAL.into());
        }
        let mut done = 0;
        while sink.left() >= self.size() {
            let Some(event) = group.next() else { break };
            match self.put(current, sink, event) {
                Ok(bytes) => done += bytes,
                Err(fail) if done == 0 => return Err(fail),
                Err(_) => break,
            }
        }
        if done == 0 { Err(Errno::EAGAIN.into()) } else { Ok(done) }
    }

    fn write(&self, _: &Current, _: &OpenFile, source: &mut Source<'_>, _: u64) -> Result<(usize, u64), Fail> {
        if self.0.class() == 0 || source.left() < RESPONSE {
            return Err(Errno::EINVAL.into());
        }
        let mut words = [[0; 4]; 2];
        if source.take(words.as_flattened_mut())? < RESPONSE {
            return Err(Errno::EFAULT.into());
        }
        let (fd, answer) = (i32::from_ne_bytes(words[0]), u32::from_ne_bytes(words[1]));
        if fd < 0 || !matches!(answer, abi::ALLOW | abi::DENY) {
            return Err(Errno::EINVAL.into());
        }
        self.0.answer(fd, answer)?;
        Ok((RESPONSE, 0))
    }

    fn poll(&self, _: &OpenFile) -> Events {
        if self.0.is_readable() { Events::READABLE } else { Events::empty() }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.0.readers)
    }

    fn ioctl(&self, current: &Current, _: &OpenFile, command: u32, arg: u64) -> Result<u64, Fail> {
        if command != FIONREAD {
            return Err(Errno::ENOTTY.into());
        }
        // Linux counts the fixed part of each.
        UserPtr::<u32>::new(UserVa::new(arg)).write(current, &((self.0.waiting() * METADATA) as u32))?;
        Ok(0)
    }

    fn seek(&self, _file: &OpenFile, _offset: i64, _whence: u32) -> Result<u64, Errno> {
        // Linux's noop_llseek.
        Ok(0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.release();
    }
}
