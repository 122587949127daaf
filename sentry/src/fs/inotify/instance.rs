//! One inotify descriptor: its watches and the events that wait to be read.

use super::table::{self, FileId};
use crate::errno::Errno;
use crate::fs::anon::AnonInode;
use crate::fs::{FileOps, Inode, OpenFile, OpenFlags, Sink};
use crate::sync::{Lock, Rank};
use crate::syscall::{Fail, UserPtr};
use crate::task::Current;
use crate::wait::{Events, WaitQueue};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicU32, Ordering};
use linker::addr::UserVa;
use linux_raw_sys::general as raw;
use linux_raw_sys::ioctl::FIONREAD;

/// Events that may wait in one (`/proc/sys/fs/inotify/max_queued_events`).
pub static MAX_QUEUED: AtomicU32 = AtomicU32::new(16_384);
/// Instances of one user (`max_user_instances`).
pub static MAX_INSTANCES: AtomicU32 = AtomicU32::new(128);
/// Watches (`max_user_watches`, of one instance here).
pub static MAX_WATCHES: AtomicU32 = AtomicU32::new(65_536);

/// How many instances each user has.
static INSTANCES: Lock<BTreeMap<u32, u32>> = Lock::new(Rank::Leaf, BTreeMap::new());

#[derive(Clone, PartialEq, Eq)]
struct Event {
    watch: i32,
    mask: u32,
    cookie: u32,
    name: Vec<u8>,
}

impl Event {
    /// Bytes of `struct inotify_event` with its name.
    fn size(&self) -> usize {
        size_of::<raw::inotify_event>() + self.padded_name()
    }

    /// The name with its NUL, padded to whole structs.
    fn padded_name(&self) -> usize {
        let unit = size_of::<raw::inotify_event>();
        if self.name.is_empty() { 0 } else { (self.name.len() + 1).div_ceil(unit) * unit }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.size());
        bytes.extend_from_slice(&self.watch.to_ne_bytes());
        bytes.extend_from_slice(&self.mask.to_ne_bytes());
        bytes.extend_from_slice(&self.cookie.to_ne_bytes());
        bytes.extend_from_slice(&(self.padded_name() as u32).to_ne_bytes());
        bytes.extend_from_slice(&self.name);
        bytes.resize(self.size(), 0);
        bytes
    }
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    watches: BTreeMap<i32, FileId>,
    last_number: i32,
}

/// An inotify instance.
pub struct Inotify {
    state: Lock<State>,
    queue: WaitQueue,
}

/// What the descriptor holds: the instance itself is also known to the table.
struct Handle {
    instance: Arc<Inotify>,
    /// Whose.
    uid: u32,
}

impl Inotify {
    /// A new instance of a user's, opened. EMFILE where the user has too many.
    pub fn open(uid: u32, flags: OpenFlags) -> Result<Arc<OpenFile>, Errno> {
        {
            let mut instances = INSTANCES.lock();
            let count = instances.entry(uid).or_default();
            if *count >= MAX_INSTANCES.load(Ordering::Relaxed) {
                return Err(Errno::EMFILE);
            }
            *count += 1;
        }
        let instance = Arc::new(Self { state: Lock::new(Rank::Leaf, State::default()), queue: WaitQueue::new() });
        Ok(OpenFile::new(Arc::new(Handle { instance, uid }), flags, AnonInode::anonymous("inotify"), None))
    }

    /// The instance behind a descriptor; EINVAL for another kind of file.
    pub fn of(file: &OpenFile) -> Result<Arc<Self>, Errno> {
        file.downcast::<Handle>().map(|handle| handle.instance.clone()).ok_or(Errno::EINVAL)
    }

    /// inotify_add_watch(2): the watch's number.
    pub fn watch(self: &Arc<Self>, inode: &dyn Inode, mask: u32) -> Result<i32, Errno> {
        table::add(self, inode, mask)
    }

    /// What /proc/PID/fdinfo says: a line a watch.
    pub fn info(&self) -> Vec<u8> {
        let watches = self.state.lock().watches.clone();
        let line = |(number, (dev, ino)): (i32, FileId)| {
            let mask = table::mask_of(self, (dev, ino));
            // As the kernel writes device numbers (linux/kdev_t.h: MKDEV): major above 20 bits of minor.
            let dev = dev >> 32 << 20 | dev & 0xf_ffff;
            format!("inotify wd:{number:x} ino:{ino:x} sdev:{dev:x} mask:{mask:x} ignored_mask:0 \n")
        };
        watches.into_iter().rev().map(line).collect::<String>().into_bytes()
    }

    /// inotify_rm_watch(2).
    pub fn unwatch(&self, number: i32) -> Result<(), Errno> {
        if self.forget(number) { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// A number for a new watch on `file`. Called with the table's lock held.
    pub(super) fn new_number(&self, file: FileId) -> Result<i32, Errno> {
        let mut state = self.state.lock();
        if state.watches.len() >= MAX_WATCHES.load(Ordering::Relaxed) as usize {
            return Err(Errno::ENOSPC);
        }
        let number = state.last_number.checked_add(1).ok_or(Errno::ENOSPC)?;
        state.last_number = number;
        state.watches.insert(number, file);
        Ok(number)
    }

    /// Ends a watch and says so (IN_IGNORED); false if there is none with this number.
    pub(super) fn forget(&self, number: i32) -> bool {
        let Some(file) = self.state.lock().watches.remove(&number) else { return false };
        table::remove(self, file);
        self.push(number, raw::IN_IGNORED, 0, b"");
        true
    }

    /// Queues an event, unless it equals the newest one.
    pub(super) fn push(&self, watch: i32, mask: u32, cookie: u32, name: &[u8]) {
        {
            let mut state = self.state.lock();
            let mut event = Event { watch, mask, cookie, name: name.to_vec() };
            if state.events.len() >= MAX_QUEUED.load(Ordering::Relaxed) as usize {
                event = Event { watch: -1, mask: raw::IN_Q_OVERFLOW, cookie: 0, name: Vec::new() };
            }
            if state.events.back() == Some(&event) {
                return;
            }
            state.events.push_back(event);
        }
        self.queue.wake(Events::READABLE);
    }

    /// Takes events that fit in `room` bytes; `None` when none wait.
    fn take(&self, room: usize) -> Option<Result<Vec<u8>, Errno>> {
        let mut state = self.state.lock();
        let mut bytes = Vec::new();
        while let Some(event) = state.events.front() {
            if bytes.len() + event.size() > room {
                if bytes.is_empty() {
                    return Some(Err(Errno::EINVAL));
                }
                break;
            }
            bytes.extend(event.bytes());
            state.events.pop_front();
        }
        (!bytes.is_empty()).then_some(Ok(bytes))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let watches = core::mem::take(&mut self.instance.state.lock().watches);
        for file in watches.into_values() {
            table::remove(&self.instance, file);
        }
        let mut instances = INSTANCES.lock();
        if let Some(count) = instances.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                instances.remove(&self.uid);
            }
        }
    }
}

impl FileOps for Handle {
    fn read(&self, current: &Current, file: &OpenFile, sink: &mut Sink<'_>, _: u64) -> Result<usize, Fail> {
        let room = sink.left();
        let bytes = match self.instance.take(room) {
            Some(result) => result?,
            None if file.nonblocking() => return Err(Errno::EAGAIN.into()),
            None => current.wait(&self.instance.queue, Events::READABLE, None, || self.instance.take(room))??,
        };
        Ok(sink.put(&bytes)?)
    }

    fn poll(&self, _: &OpenFile) -> Events {
        if self.instance.state.lock().events.is_empty() { Events::empty() } else { Events::READABLE }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.instance.queue)
    }

    fn ioctl(&self, current: &Current, _: &OpenFile, command: u32, arg: u64) -> Result<u64, Fail> {
        if command != FIONREAD {
            return Err(Errno::ENOTTY.into());
        }
        let bytes: usize = self.instance.state.lock().events.iter().map(Event::size).sum();
        UserPtr::<u32>::new(UserVa::new(arg)).write(current, &(bytes as u32))?;
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
