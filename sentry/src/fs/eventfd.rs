//! eventfd(2): a counter that can be waited for.

use super::anon::AnonInode;
use super::io::{Sink, Source};
use super::open_file::{FileOps, OpenFile, OpenFlags};
use crate::errno::Errno;
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::task::Current;
use crate::wait::{Events, WaitQueue};
use alloc::sync::Arc;
use core::any::Any;

/// The counter's highest value.
const MAX: u64 = u64::MAX - 1;
/// What is read and written.
const WORD: usize = size_of::<u64>();

/// An eventfd.
pub struct EventFd {
    count: Lock<u64>,
    semaphore: bool,
    queue: WaitQueue,
}

impl EventFd {
    /// A new one. With `semaphore` a read takes 1, otherwise everything.
    pub fn open(count: u64, semaphore: bool, flags: OpenFlags) -> Arc<OpenFile> {
        let event = Self { count: Lock::new(Rank::Pipe, count), semaphore, queue: WaitQueue::new() };
        OpenFile::new(Arc::new(event), flags | OpenFlags::RDWR, AnonInode::anonymous("[eventfd]"), None)
    }

    /// Counts one event up for a part of the sentry. That may go beyond what writes reach: poll shows the overflow as POLLERR.
    /// `cause` goes to those who wait beside the events.
    pub fn count_one(&self, cause: Events) {
        {
            let mut count = self.count.lock();
            *count = count.saturating_add(1);
        }
        self.queue.wake(Events::READABLE | Events::ERR | cause);
    }

    fn take(&self) -> Option<u64> {
        let mut count = self.count.lock();
        let taken = if self.semaphore { (*count).min(1) } else { *count };
        *count -= taken;
        (taken > 0).then_some(taken)
    }

    fn add(&self, value: u64) -> Option<()> {
        let mut count = self.count.lock();
        let sum = count.checked_add(value).filter(|sum| *sum <= MAX)?;
        *count = sum;
        Some(())
    }
}

impl FileOps for EventFd {
    fn read(&self, current: &Current, file: &OpenFile, sink: &mut Sink<'_>, _: u64) -> Result<usize, Fail> {
        if sink.left() < WORD {
            return Err(Errno::EINVAL.into());
        }
        let value = match self.take() {
            Some(value) => value,
            None if file.nonblocking() => return Err(Errno::EAGAIN.into()),
            None => current.wait(&self.queue, Events::READABLE, None, || self.take())?,
        };
        self.queue.wake(Events::WRITABLE);
        Ok(sink.put(&value.to_ne_bytes())?)
    }

    fn write(&self, current: &Current, file: &OpenFile, source: &mut Source<'_>, _: u64) -> Result<(usize, u64), Fail> {
        if source.left() < WORD {
            return Err(Errno::EINVAL.into());
        }
        let mut bytes = [0; WORD];
        if source.take(&mut bytes)? < WORD {
            return Err(Errno::EFAULT.into());
        }
        let value = u64::from_ne_bytes(bytes);
        if value > MAX {
            return Err(Errno::EINVAL.into());
        }
        match self.add(value) {
            Some(()) => {}
            None if file.nonblocking() => return Err(Errno::EAGAIN.into()),
            None => current.wait(&self.queue, Events::WRITABLE, None, || self.add(value))?,
        }
        self.queue.wake(Events::READABLE);
        Ok((WORD, 0))
    }

    fn poll(&self, _: &OpenFile) -> Events {
        let count = *self.count.lock();
        let mut events = Events::empty();
        if count > 0 {
            events |= Events::READABLE;
        }
        if count < MAX {
            events |= Events::WRITABLE;
        }
        if count > MAX {
            events |= Events::ERR;
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn seek(&self, _file: &OpenFile, _offset: i64, _whence: u32) -> Result<u64, Errno> {
        // Linux's noop_llseek.
        Ok(0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::{EventFd, MAX};
    use crate::errno::Errno;
    use crate::fake;
    use crate::fs::{OpenFile, OpenFlags, Sink, Source};
    use crate::syscall::Fail;
    use crate::task::Current;
    use crate::wait::Events;

    fn write(current: &Current, file: &OpenFile, value: u64) -> Result<usize, Fail> {
        file.write(current, &mut Source::kernel(&value.to_ne_bytes()))
    }

    fn read(current: &Current, file: &OpenFile) -> Result<u64, Fail> {
        let mut bytes = [0; 8];
        file.read(current, &mut Sink::kernel(&mut bytes))?;
        Ok(u64::from_ne_bytes(bytes))
    }

    #[test]
    fn a_read_takes_all_or_one_and_a_full_counter_takes_no_more() {
        let current = fake::current();
        let event = EventFd::open(3, false, OpenFlags::NONBLOCK);
        write(&current, &event, 4).unwrap();
        assert_eq!(read(&current, &event).unwrap(), 7);
        assert!(matches!(read(&current, &event), Err(Fail::Errno(Errno::EAGAIN))));
        assert!(matches!(write(&current, &event, u64::MAX), Err(Fail::Errno(Errno::EINVAL))));
        write(&current, &event, MAX).unwrap();
        assert_eq!(event.readiness(Events::all()), Events::READABLE);
        assert!(matches!(write(&current, &event, 1), Err(Fail::Errno(Errno::EAGAIN))));
        let semaphore = EventFd::open(2, true, OpenFlags::NONBLOCK);
        assert_eq!((read(&current, &semaphore).unwrap(), read(&current, &semaphore).unwrap()), (1, 1));
        assert!(matches!(read(&current, &semaphore), Err(Fail::Errno(Errno::EAGAIN))));
    }
}
