//! signalfd(2): pending signals, read as records.
//!
//! Readiness is that of the thread that made the descriptor or last read it: a poll does not say who asks.

use super::anon::AnonInode;
use super::io::Sink;
use super::open_file::{FileOps, OpenFile, OpenFlags};
use crate::errno::Errno;
use crate::signal::{Signal, SignalSet, dequeue, pending_for};
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::task::{Current, Process, Task};
use crate::wait::{Events, WaitQueue};
use alloc::sync::{Arc, Weak};
use core::any::Any;
use core::sync::atomic::{AtomicU64, Ordering};
use zerocopy::{Immutable, IntoBytes};

/// `struct signalfd_siginfo` (signalfd(2)).
#[derive(Clone, Copy, Default, IntoBytes, Immutable)]
#[repr(C)]
struct Record {
    signo: u32,
    errno: i32,
    code: i32,
    pid: u32,
    uid: u32,
    fd: i32,
    tid: u32,
    band: u32,
    overrun: u32,
    trapno: u32,
    status: i32,
    int: i32,
    ptr: u64,
    utime: u64,
    stime: u64,
    addr: u64,
    pad: [u64; 6],
}

const _: () = assert!(size_of::<Record>() == 128);

/// A signalfd.
pub struct SignalFd {
    mask: AtomicU64,
    process: Arc<Process>,
    task: Lock<Weak<Task>>,
}

impl SignalFd {
    /// A new one for the signals of `mask`.
    pub fn open(current: &Current, mask: SignalSet, flags: OpenFlags) -> Arc<OpenFile> {
        let file = Self {
            mask: AtomicU64::new(0),
            process: current.process.clone(),
            task: Lock::new(Rank::Leaf, Arc::downgrade(&current.task)),
        };
        file.set_mask(mask);
        OpenFile::new(Arc::new(file), flags | OpenFlags::RDWR, AnonInode::anonymous("[signalfd]"), None)
    }

    /// Changes the signals it reads.
    pub fn set_mask(&self, mask: SignalSet) {
        self.mask.store(mask.minus(SignalSet::UNBLOCKABLE).bits(), Ordering::SeqCst);
        self.process.signals.queue().wake(Events::READABLE);
    }

    fn mask(&self) -> SignalSet {
        SignalSet::from_bits(self.mask.load(Ordering::SeqCst))
    }

    fn take(&self, task: &Task) -> Option<Record> {
        let info = dequeue(task, self.mask())?;
        let (pid, uid) = info.pid_uid();
        let mut record =
            Record { signo: info.signal().number(), errno: info.errno(), code: info.code(), ..Record::default() };
        match info.signal() {
            Signal::SIGCHLD if !info.is_from_user() => {
                let (utime, stime) = info.times();
                (record.pid, record.uid, record.status) = (pid, uid, info.status());
                (record.utime, record.stime) = (utime, stime);
            }
            Signal::SIGSEGV | Signal::SIGBUS | Signal::SIGFPE | Signal::SIGILL | Signal::SIGTRAP
                if !info.is_from_user() =>
            {
                record.addr = info.address();
            }
            _ if info.code() == linux_raw_sys::general::SI_TIMER => {
                let (id, overrun) = info.timer_fields();
                (record.tid, record.overrun) = (id as u32, overrun as u32);
                (record.ptr, record.int) = (info.value(), info.value() as i32);
            }
            _ => {
                (record.pid, record.uid) = (pid, uid);
                (record.ptr, record.int) = (info.value(), info.value() as i32);
            }
        }
        Some(record)
    }
}

impl FileOps for SignalFd {
    fn read(&self, current: &Current, file: &OpenFile, sink: &mut Sink<'_>, _: u64) -> Result<usize, Fail> {
        if sink.left() < size_of::<Record>() {
            return Err(Errno::EINVAL.into());
        }
        let old = core::mem::replace(&mut *self.task.lock(), Arc::downgrade(&current.task));
        drop(old);
        let first = match self.take(&current.task) {
            Some(record) => record,
            None if file.nonblocking() => return Err(Errno::EAGAIN.into()),
            None => {
                let queue = current.process.signals.queue();
                current.wait(queue, Events::READABLE, None, || self.take(&current.task))?
            }
        };
        let mut done = sink.put(first.as_bytes())?;
        while sink.left() >= size_of::<Record>()
            && let Some(record) = self.take(&current.task)
        {
            done += sink.put(record.as_bytes())?;
        }
        Ok(done)
    }

    fn poll(&self, _: &OpenFile) -> Events {
        let task = self.task.lock().upgrade();
        let pending = match &task {
            Some(task) => pending_for(task),
            None => self.process.signals.pending(),
        };
        if pending.intersection(self.mask()).is_empty() { Events::empty() } else { Events::READABLE }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.process.signals.queue())
    }

    fn seek(&self, _file: &OpenFile, _offset: i64, _whence: u32) -> Result<u64, Errno> {
        // Linux's noop_llseek.
        Ok(0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
