//! The running thread's own view: what every handler gets.

use super::clone::VforkDone;
use super::{Credentials, ExitStatus, Process, Task, Tid, oom, registry};
use crate::errno::Errno;
use crate::fs::{FdTable, FsContext, OpenFile, Ways};
use crate::mm::{AddressSpace, MemoryFault, Policy};
use crate::observe::Calls;
use crate::observe::trace::Listening;
use crate::platform::{Access, CopyFault, UserContext, platform};
use crate::signal::ThreadSignalState;
use crate::sync::assert_none_held;
use crate::syscall::{Fail, Fd};
use crate::wait::{Events, WaitError, WaitQueue, wait_on};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use linker::addr::UserVa;

/// The running thread. Exists once per thread, on its kernel stack. What every system call touches comes first.
#[repr(C)]
pub struct Current {
    /// User registers. First: what the platform saves them to is where this is.
    pub regs: UserContext,
    /// The thread, as others see it.
    pub task: Arc<Task>,
    /// Its process.
    pub process: Arc<Process>,
    /// Counters of its system calls, where they are counted.
    pub calls: Arc<Calls>,
    /// Who wants records of its system calls.
    pub listening: Listening,
    /// Why its last system call failed, until that is looked at.
    pub fail: Fail,
    /// Its end, where a system call was that.
    pub ended: Option<ExitStatus>,
    /// Address space.
    pub mm: Arc<AddressSpace>,
    /// Descriptors.
    pub files: Arc<FdTable>,
    /// Root, working directory, umask.
    pub fs: Arc<FsContext>,
    /// The ways its paths went lately.
    pub ways: RefCell<Ways>,
    /// Credentials.
    pub creds: Arc<Credentials>,
    /// What signals need of the thread alone: alternate stack, mask to restore, restart block.
    pub signal: ThreadSignalState,
    /// `set_robust_list`: head, 0 for none.
    pub robust_list: u64,
    /// rseq(2), once registered.
    pub rseq: Option<super::rseq::Registration>,
    /// `set_tid_address`: where to write 0 and wake at exit, 0 for none.
    pub clear_child_tid: u64,
    /// A vfork parent that waits for this thread to let go of its memory.
    pub vfork_done: Option<Arc<VforkDone>>,
    /// set_mempolicy(2).
    pub memory_policy: Policy,
    /// personality(2).
    pub personality: u32,
    /// PR_SET_TIMERSLACK, ns.
    pub timer_slack_ns: u64,
    /// What it goes back to: the creator's.
    pub default_timer_slack_ns: u64,
}

impl Current {
    /// Copies user memory in. EFAULT where it cannot be read.
    #[inline]
    pub fn copy_in(&self, from: UserVa, to: &mut [u8]) -> Result<(), Errno> {
        let mut done = 0;
        self.retry(Access::Read, |platform| {
            let at = from.checked_add(done as u64).ok_or(CopyFault { done: 0, address: from })?;
            platform.copy_from_user(at, &mut to[done..]).inspect_err(|fault| {
                done += fault.done;
            })
        })
    }

    /// Copies to user memory. EFAULT where it cannot be written.
    #[inline]
    pub fn copy_out(&self, to: UserVa, from: &[u8]) -> Result<(), Errno> {
        let mut done = 0;
        self.retry(Access::Write, |platform| {
            let at = to.checked_add(done as u64).ok_or(CopyFault { done: 0, address: to })?;
            platform.copy_to_user(at, &from[done..]).inspect_err(|fault| {
                done += fault.done;
            })
        })
    }

    /// Copies a NUL-terminated string in, without its NUL; `too_long` where none comes within `max` bytes.
    pub fn copy_in_string(&self, from: UserVa, max: usize, too_long: Errno) -> Result<Vec<u8>, Errno> {
        const STEP: usize = 256;
        let mut bytes = Vec::new();
        loop {
            let have = bytes.len();
            let step = STEP.min(max - have);
            if step == 0 {
                return Err(too_long);
            }
            let mut buffer = vec![0; step];
            let at = from.checked_add(have as u64).ok_or(Errno::EFAULT)?;
            // From the start of the step again after a fault: a string is short.
            let end = self.retry(Access::Read, |platform| platform.copy_string_from_user(at, &mut buffer))?;
            match end {
                Some(len) if bytes.is_empty() => {
                    buffer.truncate(len);
                    return Ok(buffer);
                }
                Some(len) => {
                    bytes.extend_from_slice(&buffer[..len]);
                    return Ok(bytes);
                }
                None => bytes.append(&mut buffer),
            }
        }
    }

    /// Runs a user copy until it succeeds, faulting in the page it stopped at; EFAULT where that page cannot be had.
    #[inline]
    pub fn retry<T>(
        &self,
        access: Access,
        mut copy: impl FnMut(&dyn crate::platform::Platform) -> Result<T, CopyFault>,
    ) -> Result<T, Errno> {
        assert_none_held();
        loop {
            match copy(platform()) {
                Ok(value) => return Ok(value),
                Err(fault) => match self.mm.fault(fault.address, access) {
                    Ok(()) => {}
                    Err(MemoryFault::OutOfMemory) if oom::relieve(self) => {}
                    Err(_) => return Err(Errno::EFAULT),
                },
            }
        }
    }

    /// Loads a futex word; EFAULT where it cannot be read, EINVAL where it is not aligned: it could lie on two pages.
    pub fn load_u32(&self, at: UserVa) -> Result<u32, Errno> {
        check_word(at)?;
        self.retry(Access::Read, |platform| platform.load_user_u32(at))
    }

    /// Compares and exchanges a futex word: `Ok(Ok(old))` when it was `expected` and is `new` now.
    pub fn exchange_u32(&self, at: UserVa, expected: u32, new: u32) -> Result<Result<u32, u32>, Errno> {
        check_word(at)?;
        self.retry(Access::Write, |platform| platform.cmpxchg_user_u32(at, expected, new))
    }

    /// The number of `tid` as this thread's process sees it, 0 where it sees it not.
    #[inline]
    pub fn shown(&self, tid: Tid) -> Tid {
        registry().shown(tid, self.process.space())
    }

    /// Whom this thread's process means by `number`; a number that nobody has where it means nobody, 0 for 0.
    #[inline]
    pub fn meant(&self, number: Tid) -> Tid {
        match self.process.space() {
            Some(space) if number.raw() != 0 => space.global(number).unwrap_or(Tid::new(u32::MAX)),
            _ => number,
        }
    }

    /// Whether a signal wants to be delivered: the condition that ends interruptible waits.
    #[inline]
    pub fn interrupted(&self) -> bool {
        self.task.signals.interrupts()
    }

    /// Waits interruptibly on one queue.
    pub fn wait<T>(
        &self,
        queue: &WaitQueue,
        mask: Events,
        deadline_ns: Option<u64>,
        ready: impl FnMut() -> Option<T>,
    ) -> Result<T, WaitError> {
        wait_on(&[(queue, mask)], false, deadline_ns, &|| self.interrupted(), ready)
    }

    /// The open file behind `fd`, EBADF if there is none.
    #[inline]
    pub fn file(&self, fd: Fd) -> Result<Arc<OpenFile>, Errno> {
        self.files.get(fd)
    }

    /// Gives `file` the lowest free descriptor; EMFILE at RLIMIT_NOFILE.
    pub fn add_file(&self, file: Arc<OpenFile>, close_on_exec: bool) -> Result<Fd, Errno> {
        self.files.add(file, close_on_exec, 0, self.files_limit())
    }

    /// EMFILE if [`Current::add_file`] would find no descriptor now: asked before what makes the file leaves a trace (one that is
    /// created, a connection that is taken). Another thread that shares the table may still be first.
    pub fn check_room_for_file(&self) -> Result<(), Errno> {
        self.files.check_room(self.files_limit())
    }

    fn files_limit(&self) -> usize {
        let limit = self.process.soft_limit(linux_raw_sys::general::RLIMIT_NOFILE);
        usize::try_from(limit).unwrap_or(usize::MAX)
    }

    /// Makes the private copies visible to others. Called after each change of `mm`, `files`, `fs` or `creds`.
    pub fn publish(&self) {
        self.task.publish(super::Published {
            mm: Some(self.mm.clone()),
            files: Some(self.files.clone()),
            fs: Some(self.fs.clone()),
            creds: self.creds.clone(),
        });
    }
}

/// What is one word can be brought in as one.
fn check_word(at: UserVa) -> Result<(), Errno> {
    if at.raw().is_multiple_of(4) { Ok(()) } else { Err(Errno::EINVAL) }
}
