//! Descriptors of processes: pidfd_open(2), CLONE_PIDFD. Readable once the process has ended, hung up once it is reaped.

use super::anon::AnonInode;
use super::open_file::{FileOps, OpenFile, OpenFlags};
use crate::errno::Errno;
use crate::task::{Process, Task, registry};
use crate::wait::{Events, WaitQueue};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

/// A process, or one thread of it (PIDFD_THREAD).
pub struct PidFd {
    process: Arc<Process>,
    thread: Option<Arc<Task>>,
}

impl PidFd {
    /// A descriptor's file for `process`, or for `thread` alone.
    pub fn open(process: Arc<Process>, thread: Option<Arc<Task>>, flags: OpenFlags) -> Arc<OpenFile> {
        let pidfd = Self { process, thread };
        OpenFile::new(Arc::new(pidfd), flags | OpenFlags::RDWR, AnonInode::anonymous("[pidfd]"), None)
    }

    /// Whom `file` stands for; EBADF where it is no pidfd.
    pub fn of(file: &OpenFile) -> Result<&Self, Errno> {
        file.downcast().ok_or(Errno::EBADF)
    }

    /// The process. ESRCH once it is reaped.
    pub fn process(&self) -> Result<&Arc<Process>, Errno> {
        if self.is_reaped() { Err(Errno::ESRCH) } else { Ok(&self.process) }
    }

    /// The thread that it stands for alone.
    pub fn thread(&self) -> Option<&Arc<Task>> {
        self.thread.as_ref()
    }

    /// The thread to look at for memory, descriptors and credentials. ESRCH once there is none.
    pub fn task(&self) -> Result<Arc<Task>, Errno> {
        self.thread.clone().or_else(|| self.process.leader()).ok_or(Errno::ESRCH)
    }

    fn is_reaped(&self) -> bool {
        self.process.is_exited()
            && !registry().process(self.process.pid()).is_some_and(|process| Arc::ptr_eq(&process, &self.process))
    }

    fn is_over(&self) -> bool {
        let thread_over = |task: &Arc<Task>| !self.process.threads().iter().any(|live| Arc::ptr_eq(live, task));
        self.process.is_exited() || self.thread.as_ref().is_some_and(thread_over)
    }

    /// What `/proc/PID/fdinfo` adds.
    pub fn info(&self) -> Vec<u8> {
        let number = if self.is_reaped() { -1 } else { i64::from(self.process.pid().raw()) };
        format!("Pid:\t{number}\nNSpid:\t{number}\n").into_bytes()
    }
}

impl FileOps for PidFd {
    fn poll(&self, _: &OpenFile) -> Events {
        let mut events = Events::empty();
        if self.is_over() {
            events |= Events::READABLE;
        }
        if self.is_reaped() {
            events |= Events::HUP;
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(if self.thread.is_some() { &self.process.thread_wait } else { &self.process.exit_wait })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::PidFd;
    use crate::errno::Errno;
    use crate::fake;
    use crate::fs::OpenFlags;
    use crate::fs::eventfd::EventFd;
    use crate::wait::Events;

    #[test]
    fn a_running_process_is_not_ready_and_other_files_are_no_pidfds() {
        let current = fake::current();
        let file = PidFd::open(current.process.clone(), None, OpenFlags::empty());
        assert_eq!(file.readiness(Events::all()), Events::empty());
        let pidfd = PidFd::of(&file).unwrap();
        assert_eq!(pidfd.process().unwrap().pid(), current.process.pid());
        assert_eq!(pidfd.task().unwrap().tid(), current.task.tid());
        assert!(pidfd.info().starts_with(b"Pid:\t"));
        let event = EventFd::open(0, false, OpenFlags::empty());
        assert_eq!(PidFd::of(&event).err(), Some(Errno::EBADF));
    }
}
