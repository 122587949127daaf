//! System V message queues.

use super::ids::Ids;
use super::tables::{self, Tables};
use super::{IpcNs, PRIVATE, Perm, READ, WRITE, now, wanted};
use crate::errno::Errno;
use crate::syscall::Fail;
use crate::task::{Cap, Current};
use crate::wait::{Events, WaitError, WaitQueue};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

/// MSGMAX, MSGMNB, MSGMNI (linux/msg.h).
pub static MOST_BYTES: AtomicU32 = AtomicU32::new(8192);
/// See `MOST_BYTES`.
pub static MOST_QUEUE_BYTES: AtomicU32 = AtomicU32::new(16_384);
/// See `MOST_BYTES`.
pub static MOST_QUEUES: AtomicU32 = AtomicU32::new(32_000);
/// The number that the next queue gets (`/proc/sys/kernel/msg_next_id`), -1 for any.
pub static NEXT_ID: AtomicI32 = AtomicI32::new(-1);

/// A queue as msgctl(2) shows it.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct About {
    pub perm: Perm,
    pub bytes: u64,
    pub count: u64,
    pub limit: u64,
    pub send_time: i64,
    pub receive_time: i64,
    pub change_time: i64,
    pub sender: u32,
    pub receiver: u32,
}

struct Message {
    kind: i64,
    text: Vec<u8>,
}

struct Queue {
    about: About,
    messages: VecDeque<Message>,
    /// Woken by whatever changes; outlives the queue.
    gate: Arc<WaitQueue>,
}

/// What there is in one namespace.
#[derive(Default)]
pub struct Table {
    queues: BTreeMap<i32, Queue>,
    ids: Ids,
}

/// By namespace.
pub static TABLES: Tables<Table> = Tables::new();

impl tables::Table for Table {
    fn ids(&self) -> &Ids {
        &self.ids
    }
}

/// msgget(2).
pub fn get(current: &Current, key: i32, create: bool, exclusive: bool, mode: u32) -> Result<i32, Errno> {
    let space = IpcNs::of(current);
    let mut tables = TABLES.lock();
    let table = tables.entry(space).or_default();
    if let Some(queue) = table.queues.values().find(|queue| key != PRIVATE && queue.about.perm.key == key) {
        if create && exclusive {
            return Err(Errno::EEXIST);
        }
        let perm = &queue.about.perm;
        return if perm.may(current, wanted(mode)) { Ok(perm.id) } else { Err(Errno::EACCES) };
    }
    if key != PRIVATE && !create {
        return Err(Errno::ENOENT);
    }
    if table.queues.len() >= MOST_QUEUES.load(Ordering::Relaxed) as usize {
        return Err(Errno::ENOSPC);
    }
    let id = table.ids.take(&NEXT_ID).ok_or(Errno::ENOSPC)?;
    let perm = Perm::new(current, id, key, mode);
    let about =
        About { perm, limit: MOST_QUEUE_BYTES.load(Ordering::Relaxed).into(), change_time: now(), ..About::default() };
    table.queues.insert(id, Queue { about, messages: VecDeque::new(), gate: Arc::default() });
    Ok(id)
}

/// Does something with a queue until it gives a result; EIDRM when the queue goes meanwhile.
fn with_queue<T>(
    current: &Current,
    id: i32,
    wanted: u32,
    nowait: Option<Errno>,
    mut attempt: impl FnMut(&mut Queue) -> Option<Result<T, Errno>>,
) -> Result<T, Fail> {
    let space = IpcNs::of(current);
    let gate = {
        let mut tables = TABLES.lock();
        let table = tables.entry(space).or_default();
        let queue = table.queues.get(&id).ok_or(Errno::EINVAL)?;
        if !queue.about.perm.may(current, wanted) {
            return Err(Errno::EACCES.into());
        }
        queue.gate.clone()
    };
    let result = current.wait(&gate, Events::IN, None, || {
        let mut tables = TABLES.lock();
        let table = tables.entry(space).or_default();
        match table.queues.get_mut(&id).filter(|queue| Arc::ptr_eq(&queue.gate, &gate)) {
            None => Some(Err(Errno::EIDRM)),
            Some(queue) => attempt(queue).or_else(|| nowait.map(Err)),
        }
    });
    match result {
        Ok(result) => {
            if result.is_ok() {
                gate.wake(Events::IN);
            }
            Ok(result?)
        }
        Err(WaitError::Interrupted) => Err(Fail::RestartUnlessHandled),
        Err(error) => Err(error.into()),
    }
}

/// msgsnd(2).
pub fn send(current: &Current, id: i32, kind: i64, text: Vec<u8>, nowait: bool) -> Result<(), Fail> {
    let mut message = Some(Message { kind, text });
    let pid = current.process.shown_pid().raw();
    with_queue(current, id, WRITE, nowait.then_some(Errno::EAGAIN), |queue| {
        let len = message.as_ref().map_or(0, |message| message.text.len()) as u64;
        let about = &mut queue.about;
        if about.bytes + len > about.limit || about.count + 1 > about.limit {
            return None;
        }
        (about.bytes, about.count) = (about.bytes + len, about.count + 1);
        (about.sender, about.send_time) = (pid, now());
        queue.messages.extend(message.take());
        Some(Ok(()))
    })
}

/// What msgrcv(2) takes.
#[derive(Clone, Copy, Debug)]
pub enum Choice {
    /// The first.
    First,
    /// The first of this type, or of any other.
    Type {
        /// The type.
        kind: i64,
        /// MSG_EXCEPT.
        other: bool,
    },
    /// The first of the lowest type that is not above this one.
    Lowest(u64),
    /// A copy of the one at this place (MSG_COPY).
    Copy(usize),
}

fn choose(messages: &VecDeque<Message>, choice: Choice) -> Option<usize> {
    match choice {
        Choice::First => (!messages.is_empty()).then_some(0),
        Choice::Type { kind, other } => messages.iter().position(|message| (message.kind == kind) != other),
        Choice::Copy(place) => (place < messages.len()).then_some(place),
        Choice::Lowest(most) => {
            let fitting = messages.iter().enumerate().filter(|(_, message)| message.kind.unsigned_abs() <= most);
            fitting.min_by_key(|(place, message)| (message.kind, *place)).map(|(place, _)| place)
        }
    }
}

/// msgrcv(2): the type and the text. E2BIG where it is longer than `most`, unless it may be cut off.
pub fn receive(
    current: &Current,
    id: i32,
    most: usize,
    choice: Choice,
    cut: bool,
    nowait: bool,
) -> Result<(i64, Vec<u8>), Fail> {
    let pid = current.process.shown_pid().raw();
    with_queue(current, id, READ, nowait.then_some(Errno::ENOMSG), |queue| {
        let place = choose(&queue.messages, choice)?;
        if queue.messages.get(place).is_some_and(|message| message.text.len() > most) && !cut {
            return Some(Err(Errno::E2BIG));
        }
        if matches!(choice, Choice::Copy(_)) {
            let found = queue.messages.get(place)?;
            let text = found.text.iter().take(most).copied().collect();
            return Some(Ok((found.kind, text)));
        }
        let mut message = queue.messages.remove(place)?;
        let about = &mut queue.about;
        about.bytes = about.bytes.saturating_sub(message.text.len() as u64);
        about.count = about.count.saturating_sub(1);
        (about.receiver, about.receive_time) = (pid, now());
        message.text.truncate(most);
        Some(Ok((message.kind, message.text)))
    })
}

/// Looks at a queue.
pub fn look(current: &Current, id: i32, any: bool) -> Result<About, Errno> {
    let space = IpcNs::of(current);
    let mut tables = TABLES.lock();
    let table = tables.entry(space).or_default();
    let queue = table.queues.get(&id).ok_or(Errno::EINVAL)?;
    if any || queue.about.perm.may(current, READ) { Ok(queue.about) } else { Err(Errno::EACCES) }
}

/// IPC_SET.
pub fn set(current: &Current, id: i32, uid: u32, gid: u32, mode: u32, limit: u64) -> Result<(), Errno> {
    let space = IpcNs::of(current);
    let gate = {
        let mut tables = TABLES.lock();
        let table = tables.entry(space).or_default();
        let queue = table.queues.get_mut(&id).ok_or(Errno::EINVAL)?;
        if !queue.about.perm.owned_by(current) {
            return Err(Errno::EPERM);
        }
        if limit > u64::from(MOST_QUEUE_BYTES.load(Ordering::Relaxed)) && !current.creds.has(Cap::SysResource) {
            return Err(Errno::EPERM);
        }
        queue.about.perm.set(uid, gid, mode);
        (queue.about.limit, queue.about.change_time) = (limit, now());
        queue.gate.clone()
    };
    gate.wake(Events::IN);
    Ok(())
}

/// IPC_RMID.
pub fn remove(current: &Current, id: i32) -> Result<(), Errno> {
    let space = IpcNs::of(current);
    let queue = {
        let mut tables = TABLES.lock();
        let table = tables.entry(space).or_default();
        let queue = table.queues.get(&id).ok_or(Errno::EINVAL)?;
        if !queue.about.perm.owned_by(current) {
            return Err(Errno::EPERM);
        }
        table.ids.free(id);
        table.queues.remove(&id)
    };
    if let Some(queue) = queue {
        queue.gate.wake(Events::IN);
    }
    Ok(())
}

/// Every queue, by number.
pub fn list(current: &Current) -> Vec<About> {
    TABLES
        .lock()
        .get(&IpcNs::of(current))
        .map_or_else(Vec::new, |table| table.queues.values().map(|queue| queue.about).collect())
}

/// `/proc/sysvipc/msg`.
pub fn proc_text(current: &Current) -> Vec<u8> {
    let mut text = format!(
        "{:>10} {:>10} {:>5} {:>11} {:>10} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:>10} {:>10} {:>10}\n",
        "key",
        "msqid",
        "perms",
        "cbytes",
        "qnum",
        "lspid",
        "lrpid",
        "uid",
        "gid",
        "cuid",
        "cgid",
        "stime",
        "rtime",
        "ctime"
    );
    for about in list(current) {
        let perm = about.perm;
        text += &format!(
            "{:>10} {:>10}  {:>4o}  {:>10} {:>10} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:>10} {:>10} {:>10}\n",
            perm.key,
            perm.id,
            perm.mode,
            about.bytes,
            about.count,
            about.sender,
            about.receiver,
            perm.uid,
            perm.gid,
            perm.creator_uid,
            perm.creator_gid,
            about.send_time,
            about.receive_time,
            about.change_time
        );
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::{Choice, get, receive, remove, send};
    use crate::errno::Errno;
    use crate::fake;
    use crate::syscall::Fail;

    #[test]
    fn messages_are_taken_by_type() {
        let current = fake::current();
        let id = get(&current, super::PRIVATE, true, false, 0o600).unwrap();
        for (kind, text) in [(5, b"five"), (2, b"two_"), (9, b"nine")] {
            send(&current, id, kind, text.to_vec(), true).unwrap();
        }
        assert_eq!(receive(&current, id, 9, Choice::Lowest(7), false, true).unwrap(), (2, b"two_".to_vec()));
        let other = Choice::Type { kind: 5, other: true };
        assert_eq!(receive(&current, id, 2, other, true, true).unwrap(), (9, b"ni".to_vec()));
        assert!(matches!(receive(&current, id, 1, Choice::First, false, true), Err(Fail::Errno(Errno::E2BIG))));
        assert_eq!(receive(&current, id, 9, Choice::First, false, true).unwrap().0, 5);
        assert!(matches!(receive(&current, id, 9, Choice::First, false, true), Err(Fail::Errno(Errno::ENOMSG))));
        remove(&current, id).unwrap();
        assert!(matches!(send(&current, id, 1, [].to_vec(), true), Err(Fail::Errno(Errno::EINVAL))));
    }
}
