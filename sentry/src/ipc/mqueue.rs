//! POSIX message queues: named queues of messages by priority, as descriptors (mq_overview(7)).

use super::IpcNs;
use crate::errno::Errno;
use crate::fs::anon::AnonInode;
use crate::fs::{FileOps, OpenFile, OpenFlags, Sink};
use crate::net::Mailbox;
use crate::platform::platform;
use crate::signal::{self, SigInfo, Signal};
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::task::{Cap, Credentials, Current, Tid, registry};
use crate::wait::{Events, WaitError, WaitQueue};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicU32, Ordering};
use linux_raw_sys::general as raw;

/// `/proc/sys/fs/mqueue/queues_max`.
pub static MOST_QUEUES: AtomicU32 = AtomicU32::new(256);
/// `msg_max`, and what a queue has that is not told (`msg_default`).
pub static MOST_MESSAGES: AtomicU32 = AtomicU32::new(10);
/// See `MOST_MESSAGES`.
pub static DEFAULT_MESSAGES: AtomicU32 = AtomicU32::new(10);
/// `msgsize_max`, and what a queue has that is not told (`msgsize_default`).
pub static MOST_BYTES: AtomicU32 = AtomicU32::new(8192);
/// See `MOST_BYTES`.
pub static DEFAULT_BYTES: AtomicU32 = AtomicU32::new(8192);
/// What CAP_SYS_RESOURCE may have (include/linux/ipc_namespace.h: HARD_MSGMAX, HARD_MSGSIZEMAX).
const HARD_MESSAGES: i64 = 65_536;
const HARD_BYTES: i64 = 16 << 20;
/// MQ_PRIO_MAX (linux/mqueue.h).
pub const PRIORITIES: u32 = 32_768;

/// Every queue that has a name, by namespace and name.
static NAMES: Lock<BTreeMap<(u32, Vec<u8>), Arc<Queue>>> = Lock::new(Rank::FileSystem, BTreeMap::new());

/// Who is told of a message that comes to an empty queue (mq_notify(3)).
#[derive(Clone)]
pub struct Notify {
    /// The process.
    pub process: Tid,
    /// In which way.
    pub how: How,
}

/// How somebody is told.
#[derive(Clone)]
pub enum How {
    /// SIGEV_NONE: not at all.
    Nothing,
    /// By a signal with this value; without one, by nothing that is seen.
    Signal(Option<Signal>, u64),
    /// SIGEV_THREAD: by this message to a netlink socket that a thread of the C library's reads.
    Message(Mailbox, [u8; COOKIE]),
}

/// Bytes of SIGEV_THREAD's message; its last byte says what happened (linux/mqueue.h: NOTIFY_COOKIE_LEN, NOTIFY_WOKENUP, NOTIFY_REMOVED).
pub const COOKIE: usize = 32;
const WOKEN: u8 = 1;
const REMOVED: u8 = 2;

/// A queue.
pub struct Queue {
    owner: (u32, u32),
    mode: u32,
    capacity: i64,
    size: i64,
    state: Lock<State>,
    queue: WaitQueue,
}

#[derive(Default)]
struct State {
    /// By priority; in each, in the order of sending.
    messages: BTreeMap<u32, VecDeque<Vec<u8>>>,
    count: i64,
    bytes: u64,
    /// Threads that wait for a message: then nobody is notified.
    receivers: u32,
    notify: Option<Notify>,
}

/// What mq_open(3) asks for beyond flags.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// mq_maxmsg.
    pub capacity: i64,
    /// mq_msgsize.
    pub size: i64,
}

impl Queue {
    fn may(&self, creds: &Credentials, flags: OpenFlags) -> bool {
        let granted = if creds.fsuid == self.owner.0 {
            self.mode >> 6
        } else if creds.in_group(self.owner.1) {
            self.mode >> 3
        } else {
            self.mode
        };
        let wanted = u32::from(flags.readable()) << 2 | u32::from(flags.writable()) << 1;
        wanted & !granted == 0 || creds.has(Cap::DacOverride)
    }

    /// What RLIMIT_MSGQUEUE counts (getrlimit(2)): the text, and a pointer and a node a message.
    fn charge(capacity: i64, size: i64) -> u64 {
        // struct msg_msg and struct posix_msg_tree_node are 48 bytes each.
        let nodes = capacity.min(i64::from(PRIORITIES)).saturating_mul(48);
        capacity.saturating_mul(size.saturating_add(48)).saturating_add(nodes).unsigned_abs()
    }

    fn put(&self, text: &mut Option<Vec<u8>>, priority: u32) -> Option<Option<Notify>> {
        let mut state = self.state.lock();
        if state.count >= self.capacity {
            return None;
        }
        let text = text.take()?;
        state.count += 1;
        state.bytes += text.len() as u64;
        state.messages.entry(priority).or_default().push_back(text);
        let told = if state.count == 1 && state.receivers == 0 { state.notify.take() } else { None };
        Some(told)
    }

    fn take(&self) -> Option<(u32, Vec<u8>)> {
        let mut state = self.state.lock();
        let mut highest = state.messages.last_entry()?;
        let priority = *highest.key();
        let text = highest.get_mut().pop_front();
        if highest.get().is_empty() {
            highest.remove();
        }
        let text = text?;
        state.count -= 1;
        state.bytes = state.bytes.saturating_sub(text.len() as u64);
        Some((priority, text))
    }
}

/// mq_open(2), without giving a descriptor. `make`: mode and shape of a queue that is not there (O_CREAT).
pub fn open(
    current: &Current,
    name: &[u8],
    flags: OpenFlags,
    make: Option<(u32, Option<Shape>)>,
) -> Result<Arc<OpenFile>, Errno> {
    if name.is_empty() || name.contains(&b'/') || name == b"." || name == b".." {
        return Err(Errno::EACCES);
    }
    if name.len() > raw::NAME_MAX as usize {
        return Err(Errno::ENAMETOOLONG);
    }
    let found = NAMES.lock().get(&(IpcNs::of(current), name.to_vec())).cloned();
    let queue = match (found, make) {
        (Some(_), Some(_)) if flags.contains(OpenFlags::EXCL) => return Err(Errno::EEXIST),
        (Some(queue), _) if !queue.may(&current.creds, flags) => return Err(Errno::EACCES),
        (Some(queue), _) => queue,
        (None, None) => return Err(Errno::ENOENT),
        (None, Some((mode, shape))) => create(current, name, mode, shape)?,
    };
    let status = flags & (OpenFlags::WRONLY | OpenFlags::RDWR | OpenFlags::NONBLOCK);
    let file = OpenFile::new(Arc::new(Open(queue)), status, AnonInode::anonymous("mqueue"), None);
    Ok(file)
}

fn create(current: &Current, name: &[u8], mode: u32, shape: Option<Shape>) -> Result<Arc<Queue>, Errno> {
    let privileged = current.creds.has(Cap::SysResource);
    let setting = |place: &AtomicU32| i64::from(place.load(Ordering::Relaxed));
    let ordinary = (setting(&MOST_MESSAGES), setting(&MOST_BYTES));
    let shape = shape.unwrap_or_else(|| Shape {
        capacity: setting(&DEFAULT_MESSAGES).min(ordinary.0),
        size: setting(&DEFAULT_BYTES).min(ordinary.1),
    });
    let (most, most_bytes) = if privileged { (HARD_MESSAGES, HARD_BYTES) } else { ordinary };
    if !(1..=most).contains(&shape.capacity) || !(1..=most_bytes).contains(&shape.size) {
        return Err(Errno::EINVAL);
    }
    let creds = &current.creds;
    let limit = current.process.soft_limit(raw::RLIMIT_MSGQUEUE);
    let queue = Arc::new(Queue {
        owner: (creds.fsuid, creds.fsgid),
        mode: mode & !current.fs.umask() & 0o777,
        capacity: shape.capacity,
        size: shape.size,
        state: Lock::new(Rank::Pipe, State::default()),
        queue: WaitQueue::new(),
    });
    let space = IpcNs::of(current);
    let mut names = NAMES.lock();
    let there = names.keys().filter(|(of, _)| *of == space).count();
    if there >= MOST_QUEUES.load(Ordering::Relaxed) as usize && !privileged {
        return Err(Errno::ENOSPC);
    }
    let mine = names.values().filter(|other| other.owner.0 == creds.fsuid);
    let used: u64 = mine.map(|other| Queue::charge(other.capacity, other.size)).sum();
    if used.saturating_add(Queue::charge(shape.capacity, shape.size)) > limit {
        return Err(Errno::EMFILE);
    }
    // Two that make the same one at once: the first one's is it.
    Ok(names.entry((space, name.to_vec())).or_insert(queue).clone())
}

/// mq_unlink(2). Who has it open keeps it.
pub fn unlink(current: &Current, name: &[u8]) -> Result<(), Errno> {
    if name.len() > raw::NAME_MAX as usize {
        return Err(Errno::ENAMETOOLONG);
    }
    let key = (IpcNs::of(current), name.to_vec());
    let gone = {
        let mut names = NAMES.lock();
        let queue = names.get(&key).ok_or(Errno::ENOENT)?;
        // The directory is everybody's, with the sticky bit.
        if queue.owner.0 != current.creds.fsuid && !current.creds.has(Cap::Fowner) {
            return Err(Errno::EPERM);
        }
        names.remove(&key)
    };
    drop(gone);
    Ok(())
}

/// The namespace is gone; who has a queue open keeps it.
pub(super) fn forget(space: u32) {
    let gone: Vec<_> = NAMES.lock().extract_if(.., |(of, _), _| *of == space).collect();
    drop(gone);
}

/// Every name in a namespace.
pub fn names(space: u32) -> Vec<Vec<u8>> {
    NAMES.lock().keys().filter(|(of, _)| *of == space).map(|(_, name)| name.clone()).collect()
}

/// What reading a queue's file says; ENOENT where there is no such queue.
pub fn text(space: u32, name: &[u8]) -> Result<Vec<u8>, Errno> {
    let queue = NAMES.lock().get(&(space, name.to_vec())).cloned().ok_or(Errno::ENOENT)?;
    Ok(queue.text())
}

impl Queue {
    fn text(&self) -> Vec<u8> {
        let state = self.state.lock();
        let (kind, signo, pid) = state.notify.as_ref().map_or((0, 0, 0), |notify| match notify.how {
            How::Signal(signal, _) => (raw::SIGEV_SIGNAL, signal.map_or(0, Signal::number), notify.process.raw()),
            How::Nothing => (raw::SIGEV_NONE, 0, notify.process.raw()),
            How::Message(..) => (raw::SIGEV_THREAD, 0, notify.process.raw()),
        });
        format!("QSIZE:{:<10} NOTIFY:{kind:<5} SIGNO:{signo:<5} NOTIFY_PID:{pid:<6}\n", state.bytes).into_bytes()
    }
}

/// An open queue.
pub struct Open(Arc<Queue>);

impl Open {
    /// The queue behind a descriptor; EBADF where it is something else.
    pub fn of(file: &OpenFile) -> Result<&Self, Errno> {
        file.downcast().ok_or(Errno::EBADF)
    }

    /// mq_maxmsg, mq_msgsize, mq_curmsgs.
    pub fn attributes(&self) -> [i64; 3] {
        [self.0.capacity, self.0.size, self.0.state.lock().count]
    }

    /// mq_timedsend(2).
    pub fn send(
        &self,
        current: &Current,
        file: &OpenFile,
        text: Vec<u8>,
        priority: u32,
        deadline_ns: Option<u64>,
    ) -> Result<(), Fail> {
        let queue = &self.0;
        let mut text = Some(text);
        let told = match queue.put(&mut text, priority) {
            Some(told) => told,
            None if file.nonblocking() => return Err(Errno::EAGAIN.into()),
            None => current
                .wait(&queue.queue, Events::WRITABLE, deadline_ns, || queue.put(&mut text, priority))
                .map_err(ended)?,
        };
        if let Some(notify) = told {
            tell(current, &notify);
        }
        queue.queue.wake(Events::READABLE);
        Ok(())
    }

    /// mq_timedreceive(2): priority and text.
    pub fn receive(
        &self,
        current: &Current,
        file: &OpenFile,
        deadline_ns: Option<u64>,
    ) -> Result<(u32, Vec<u8>), Fail> {
        let queue = &self.0;
        let found = match queue.take() {
            Some(found) => found,
            None if file.nonblocking() => return Err(Errno::EAGAIN.into()),
            None => {
                queue.state.lock().receivers += 1;
                let found = current.wait(&queue.queue, Events::READABLE, deadline_ns, || queue.take());
                queue.state.lock().receivers -= 1;
                found.map_err(ended)?
            }
        };
        queue.queue.wake(Events::WRITABLE);
        Ok(found)
    }

    /// The longest text.
    pub fn size(&self) -> usize {
        usize::try_from(self.0.size).unwrap_or(0)
    }

    /// mq_notify(2): EBUSY where somebody is registered. `None` ends the caller's own registration.
    pub fn notify(&self, current: &Current, notify: Option<Notify>) -> Result<(), Errno> {
        let Some(new) = notify else {
            self.forget(current);
            return Ok(());
        };
        let mut state = self.0.state.lock();
        if state.notify.is_some() {
            drop(state);
            return Err(Errno::EBUSY);
        }
        state.notify = Some(new);
        Ok(())
    }

    /// Ends the caller's own registration.
    fn forget(&self, current: &Current) {
        let old = {
            let mut state = self.0.state.lock();
            state.notify.take_if(|notify| notify.process == current.process.pid())
        };
        if let Some(Notify { how: How::Message(mailbox, cookie), .. }) = old {
            mailbox.put(&marked(cookie, REMOVED));
        }
    }
}

fn ended(error: WaitError) -> Fail {
    match error {
        WaitError::Interrupted => Fail::Restart,
        WaitError::TimedOut => Errno::ETIMEDOUT.into(),
    }
}

fn tell(current: &Current, notify: &Notify) {
    match &notify.how {
        How::Nothing | How::Signal(None, _) => {}
        How::Signal(Some(signal), value) => {
            let Some(process) = registry().process(notify.process) else { return };
            let (pid, uid) = (registry().shown(current.process.pid(), process.space()).raw(), current.creds.uid);
            signal::send_to_process(&process, SigInfo::message(*signal, pid, uid, *value));
        }
        How::Message(mailbox, cookie) => mailbox.put(&marked(*cookie, WOKEN)),
    }
}

fn marked(mut cookie: [u8; COOKIE], what: u8) -> [u8; COOKIE] {
    if let Some(last) = cookie.last_mut() {
        *last = what;
    }
    cookie
}

impl FileOps for Open {
    fn read(&self, _: &Current, _: &OpenFile, sink: &mut Sink<'_>, offset: u64) -> Result<usize, Fail> {
        let text = self.0.text();
        let rest = usize::try_from(offset).ok().and_then(|at| text.get(at..)).unwrap_or_default();
        Ok(sink.put(rest)?)
    }

    fn seekable(&self) -> bool {
        true
    }

    fn poll(&self, _: &OpenFile) -> Events {
        let state = self.0.state.lock();
        let mut events = Events::empty();
        if state.count > 0 {
            events |= Events::READABLE;
        }
        if state.count < self.0.capacity {
            events |= Events::WRITABLE;
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.0.queue)
    }

    fn flush(&self, current: &Current) {
        self.forget(current);
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The monotonic deadline of an absolute CLOCK_REALTIME time, ns.
pub fn deadline(realtime_ns: u64) -> u64 {
    platform().monotonic_ns().saturating_add(realtime_ns.saturating_sub(platform().realtime_ns()))
}

#[cfg(test)]
mod tests {
    use super::{Open, Shape, open, unlink};
    use crate::errno::Errno;
    use crate::fake;
    use crate::fs::OpenFlags;
    use crate::syscall::Fail;
    use crate::wait::Events;

    #[test]
    fn the_highest_priority_comes_first_and_a_full_queue_takes_no_more() {
        let current = fake::current();
        let flags = OpenFlags::RDWR | OpenFlags::CREAT | OpenFlags::NONBLOCK;
        let shape = Some(Shape { capacity: 2, size: 8 });
        let file = open(&current, b"priorities", flags, Some((0o600, shape))).unwrap();
        let queue = Open::of(&file).unwrap();
        queue.send(&current, &file, b"low".to_vec(), 1, None).unwrap();
        queue.send(&current, &file, b"high".to_vec(), 9, None).unwrap();
        let more = queue.send(&current, &file, b"more".to_vec(), 1, None);
        assert!(matches!(more, Err(Fail::Errno(Errno::EAGAIN))));
        assert_eq!(file.readiness(Events::all()), Events::READABLE);
        assert_eq!(queue.receive(&current, &file, None).unwrap(), (9, b"high".to_vec()));
        assert_eq!(queue.attributes(), [2, 8, 1]);
        unlink(&current, b"priorities").unwrap();
        assert_eq!(open(&current, b"priorities", OpenFlags::RDWR, None).err(), Some(Errno::ENOENT));
    }
}
