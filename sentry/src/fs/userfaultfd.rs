//! The descriptor of a userfaultfd: reading what waits, and the commands that answer (ioctl_userfaultfd(2)).

use super::anon::AnonInode;
use super::io::Sink;
use super::open_file::{FileOps, OpenFile, OpenFlags};
use crate::errno::Errno;
use crate::mm::userfault::{FEATURES, Filled, Message, Modes, Read, Userfault, check_range};
use crate::syscall::{Fail, UserPtr};
use crate::task::{Cap, Current};
use crate::wait::{Events, WaitQueue};
use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::AtomicU32;
use linker::addr::UserVa;
use linux_raw_sys::general as raw;
use linux_raw_sys::ioctl;

/// Whether everybody may have the kernel's own faults handled (`/proc/sys/vm/unprivileged_userfaultfd`).
pub static UNPRIVILEGED: AtomicU32 = AtomicU32::new(0);

/// `sizeof(struct uffd_msg)`.
const MESSAGE: usize = size_of::<raw::uffd_msg>();
/// What can be done with a userfaultfd, and with a range that is registered for everything (UFFD_API_IOCTLS,
/// UFFD_API_RANGE_IOCTLS).
const API_COMMANDS: u64 = 1 << raw::_UFFDIO_REGISTER | 1 << raw::_UFFDIO_UNREGISTER | 1 << raw::_UFFDIO_API;
const RANGE_COMMANDS: u64 = 1 << raw::_UFFDIO_WAKE | 1 << raw::_UFFDIO_COPY | 1 << raw::_UFFDIO_ZEROPAGE;
/// Modes of UFFDIO_WRITEPROTECT and UFFDIO_CONTINUE (linux/userfaultfd.h; nobody exports them).
const WRITEPROTECT_MODE_WP: u64 = 1 << 0;
const WRITEPROTECT_MODE_DONTWAKE: u64 = 1 << 1;
const CONTINUE_MODE_DONTWAKE: u64 = 1 << 0;

/// The file; the last one closed gives up what it answers for.
pub struct UserfaultFd {
    fault: Arc<Userfault>,
    /// How it was made, as its children's are.
    flags: OpenFlags,
    close_on_exec: bool,
}

impl UserfaultFd {
    /// A descriptor's file.
    pub fn open(fault: Arc<Userfault>, flags: OpenFlags, close_on_exec: bool) -> Arc<OpenFile> {
        let file = Self { fault, flags, close_on_exec };
        OpenFile::new(Arc::new(file), flags, AnonInode::anonymous("[userfaultfd]"), None)
    }

    fn put(&self, current: &Current, sink: &mut Sink<'_>, read: Read) -> Result<usize, Fail> {
        let message = match read {
            Read::Plain(message) => message,
            Read::Fork(child) => {
                let child = Self::open(child, self.flags, self.close_on_exec);
                let fd = current.add_file(child, self.close_on_exec)?;
                Message { event: raw::UFFD_EVENT_FORK, words: [u64::from(fd.raw() as u32), 0, 0] }
            }
        };
        let mut bytes = [0; MESSAGE];
        bytes[0] = message.event as u8;
        for (at, word) in bytes[8..].chunks_exact_mut(8).zip(message.words) {
            at.copy_from_slice(&word.to_ne_bytes());
        }
        Ok(sink.put(&bytes)?)
    }

    fn api(&self, current: &Current, at: UserPtr<[u64; 3]>) -> Result<u64, Errno> {
        let [api, features, _] = at.read(current)?;
        let chosen = if api != u64::from(raw::UFFD_API) || features & !FEATURES != 0 {
            Err(Errno::EINVAL)
        } else if features & u64::from(raw::UFFD_FEATURE_EVENT_FORK) != 0 && !current.creds.has(Cap::SysPtrace) {
            Err(Errno::EPERM)
        } else {
            at.write(current, &[api, FEATURES, API_COMMANDS])?;
            self.fault.choose(features)
        };
        if chosen.is_err() {
            at.write(current, &[0; 3])?;
        }
        chosen.map(|()| 0)
    }

    fn register(&self, current: &Current, at: UserPtr<[u64; 3]>) -> Result<u64, Errno> {
        let [start, len, mode] = at.read(current)?;
        let modes = u32::try_from(mode).ok().and_then(Modes::from_bits).filter(|modes| !modes.is_empty());
        let modes = modes.ok_or(Errno::EINVAL)?;
        self.fault.register(start, len, modes)?;
        let mut commands = RANGE_COMMANDS;
        if modes.contains(Modes::PROTECT) {
            commands |= 1 << raw::_UFFDIO_WRITEPROTECT;
        }
        if modes.contains(Modes::MINOR) {
            commands |= 1 << raw::_UFFDIO_CONTINUE;
        }
        at.cast::<u64>().nth(3).write(current, &commands)?;
        Ok(0)
    }

    fn copy(&self, current: &Current, at: UserPtr<[u64; 4]>) -> Result<u64, Errno> {
        self.fault.check_changing()?;
        let [to, from, len, mode] = at.read(current)?;
        check_range(to, len)?;
        let known = u64::from(raw::UFFDIO_COPY_MODE_DONTWAKE | raw::UFFDIO_COPY_MODE_WP);
        if from.checked_add(len).is_none() || mode & !known != 0 {
            return Err(Errno::EINVAL);
        }
        let filled = self.fault.copy(current, to, from, len, mode & u64::from(raw::UFFDIO_COPY_MODE_WP) != 0);
        let wake = mode & u64::from(raw::UFFDIO_COPY_MODE_DONTWAKE) == 0;
        self.answer(current, at.cast().nth(4), (to, len), filled, wake)
    }

    /// UFFDIO_ZEROPAGE, UFFDIO_CONTINUE: `silent` is the only mode there is.
    fn fill(
        &self,
        current: &Current,
        at: UserPtr<[u64; 3]>,
        silent: u64,
        fill: impl FnOnce(&Userfault, u64, u64) -> Filled,
    ) -> Result<u64, Errno> {
        self.fault.check_changing()?;
        let [start, len, mode] = at.read(current)?;
        check_range(start, len)?;
        if mode & !silent != 0 {
            return Err(Errno::EINVAL);
        }
        let filled = fill(&self.fault, start, len);
        self.answer(current, at.cast().nth(3), (start, len), filled, mode & silent == 0)
    }

    /// Says how far it came, and wakes who waited for that.
    fn answer(
        &self,
        current: &Current,
        at: UserPtr<u64>,
        (start, len): (u64, u64),
        filled: Filled,
        wake: bool,
    ) -> Result<u64, Errno> {
        if filled == Err(Errno::ESRCH) {
            return Err(Errno::ESRCH);
        }
        at.write(current, &filled.unwrap_or_else(|errno| errno.to_ret()))?;
        let done = filled?;
        if wake {
            self.fault.wake(start, start + done);
        }
        if done == len { Ok(0) } else { Err(Errno::EAGAIN) }
    }

    fn write_protect(&self, current: &Current, at: UserPtr<[u64; 3]>) -> Result<u64, Errno> {
        self.fault.check_changing()?;
        let [start, len, mode] = at.read(current)?;
        let end = check_range(start, len)?;
        let both = WRITEPROTECT_MODE_WP | WRITEPROTECT_MODE_DONTWAKE;
        if mode & !both != 0 || mode == both {
            return Err(Errno::EINVAL);
        }
        self.fault.protect(start, len, mode & WRITEPROTECT_MODE_WP != 0)?;
        if mode == 0 {
            self.fault.wake(start, end);
        }
        Ok(0)
    }
}

impl FileOps for UserfaultFd {
    fn read(&self, current: &Current, file: &OpenFile, sink: &mut Sink<'_>, _: u64) -> Result<usize, Fail> {
        if !self.fault.is_ready() || sink.left() < MESSAGE {
            return Err(Errno::EINVAL.into());
        }
        let first = match self.fault.next() {
            Some(read) => read,
            None if file.nonblocking() => return Err(Errno::EAGAIN.into()),
            None => current.wait(self.fault.readers(), Events::READABLE, None, || self.fault.next())?,
        };
        let mut done = self.put(current, sink, first)?;
        while sink.left() >= MESSAGE {
            let Some(next) = self.fault.next() else { break };
            match self.put(current, sink, next) {
                Ok(bytes) => done += bytes,
                Err(_) => break,
            }
        }
        Ok(done)
    }

    fn poll(&self, file: &OpenFile) -> Events {
        // What is readable may be gone when it is read: Linux refuses to say so to who would block then.
        if !self.fault.is_ready() || !file.nonblocking() {
            Events::ERR
        } else if self.fault.is_readable() {
            Events::IN
        } else {
            Events::empty()
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.fault.readers())
    }

    fn ioctl(&self, current: &Current, _: &OpenFile, command: u32, arg: u64) -> Result<u64, Fail> {
        let at = UserPtr::<u64>::new(UserVa::new(arg));
        if command != ioctl::UFFDIO_API && !self.fault.is_ready() {
            return Err(Errno::EINVAL.into());
        }
        let result = match command {
            ioctl::UFFDIO_API => self.api(current, at.cast()),
            ioctl::UFFDIO_REGISTER => self.register(current, at.cast()),
            ioctl::UFFDIO_UNREGISTER => {
                let [start, len] = at.cast::<[u64; 2]>().read(current)?;
                self.fault.unregister(start, len).map(|()| 0)
            }
            ioctl::UFFDIO_WAKE => {
                let [start, len] = at.cast::<[u64; 2]>().read(current)?;
                check_range(start, len).map(|end| self.fault.wake(start, end)).map(|()| 0)
            }
            ioctl::UFFDIO_COPY => self.copy(current, at.cast()),
            ioctl::UFFDIO_ZEROPAGE => {
                self.fill(current, at.cast(), u64::from(raw::UFFDIO_ZEROPAGE_MODE_DONTWAKE), Userfault::zero)
            }
            ioctl::UFFDIO_WRITEPROTECT => self.write_protect(current, at.cast()),
            ioctl::UFFDIO_CONTINUE => self.fill(current, at.cast(), CONTINUE_MODE_DONTWAKE, Userfault::map_present),
            _ => Err(Errno::EINVAL),
        };
        Ok(result?)
    }

    fn seek(&self, _file: &OpenFile, _offset: i64, _whence: u32) -> Result<u64, Errno> {
        // Linux's noop_llseek.
        Ok(0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for UserfaultFd {
    fn drop(&mut self) {
        self.fault.release();
    }
}
