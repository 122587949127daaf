//! semget to msgctl, and mq_*: System V semaphores and message queues, POSIX message queues.

use super::table::{Level, Row, arg, finish, row};
use super::{Fail, Fd, UserPtr, UserStr};
use crate::errno::Errno;
use crate::fs::OpenFlags;
use crate::ipc::Perm;
use crate::ipc::mqueue::{self, COOKIE, How, Notify, Open, Shape};
use crate::ipc::msg::{self, Choice};
use crate::ipc::sem::{self, Operation};
use crate::net::Mailbox;
use crate::platform::platform;
use crate::signal::Signal;
use crate::task::Current;
use crate::time::{SigEvent, Timespec};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use linker::addr::UserVa;
use linux_raw_sys::general;
use syscalls::Sysno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Flags and commands of linux/ipc.h, linux/sem.h and linux/msg.h, which linux-raw-sys does not carry.
mod raw {
    pub const IPC_CREAT: u32 = 0o1000;
    pub const IPC_EXCL: u32 = 0o2000;
    pub const IPC_NOWAIT: u32 = 0o4000;
    pub const IPC_RMID: u32 = 0;
    pub const IPC_SET: u32 = 1;
    pub const IPC_STAT: u32 = 2;
    pub const IPC_INFO: u32 = 3;
    pub const SEM_UNDO: u16 = 0x1000;
    pub const GETPID: u32 = 11;
    pub const GETVAL: u32 = 12;
    pub const GETALL: u32 = 13;
    pub const GETNCNT: u32 = 14;
    pub const GETZCNT: u32 = 15;
    pub const SETVAL: u32 = 16;
    pub const SETALL: u32 = 17;
    pub const SEM_STAT: u32 = 18;
    pub const SEM_INFO: u32 = 19;
    pub const SEM_STAT_ANY: u32 = 20;
    pub const MSG_NOERROR: u32 = 0o10000;
    pub const MSG_EXCEPT: u32 = 0o20000;
    pub const MSG_COPY: u32 = 0o40000;
    pub const MSG_STAT: u32 = 11;
    pub const MSG_INFO: u32 = 12;
    pub const MSG_STAT_ANY: u32 = 13;
}

/// struct ipc64_perm (asm-generic/ipcbuf.h).
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct IpcPerm {
    key: i32,
    uid: u32,
    gid: u32,
    cuid: u32,
    cgid: u32,
    /// Permissions.
    pub(super) mode: u32,
    seq: u16,
    pad: [u16; 3],
    unused: [u64; 2],
}

impl IpcPerm {
    /// The owner and the group that it names.
    pub(super) fn owner(&self, current: &Current) -> Result<(u32, u32), Errno> {
        Ok((current.creds.global_uid(self.uid)?, current.creds.global_gid(self.gid)?))
    }

    /// As `current` sees it.
    pub(super) fn of(current: &Current, perm: &Perm) -> Self {
        Self {
            key: perm.key,
            uid: current.creds.shown_uid(perm.uid),
            gid: current.creds.shown_gid(perm.gid),
            cuid: current.creds.shown_uid(perm.creator_uid),
            cgid: current.creds.shown_gid(perm.creator_gid),
            mode: perm.mode,
            ..Self::default()
        }
    }
}

/// struct semid64_ds (asm/sembuf.h).
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SemidDs {
    perm: IpcPerm,
    otime: i64,
    unused1: u64,
    ctime: i64,
    unused2: u64,
    nsems: u64,
    unused_end: [u64; 2],
}

/// struct msqid64_ds (asm-generic/msgbuf.h).
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MsqidDs {
    perm: IpcPerm,
    stime: i64,
    rtime: i64,
    ctime: i64,
    cbytes: u64,
    qnum: u64,
    qbytes: u64,
    lspid: u32,
    lrpid: u32,
    unused_end: [u64; 2],
}

const _: () = assert!(size_of::<IpcPerm>() == 48 && size_of::<SemidDs>() == 104 && size_of::<MsqidDs>() == 120);

fn index(id: i32) -> Result<usize, Errno> {
    usize::try_from(id).map_err(|_| Errno::EINVAL)
}

/// semget(2).
pub fn semget(current: &mut Current, key: i32, count: i32, flags: u32) -> Result<i32, Errno> {
    sem::get(current, key, count, flags & raw::IPC_CREAT != 0, flags & raw::IPC_EXCL != 0, flags & 0o777)
}

/// struct sembuf.
type SemBuf = [u16; 3];

/// semop(2).
pub fn semop(current: &mut Current, id: i32, operations: UserPtr<SemBuf>, count: usize) -> Result<(), Errno> {
    semtimedop(current, id, operations, count, UserPtr::new(UserVa::new(0)))
}

/// semtimedop(2).
pub fn semtimedop(
    current: &mut Current,
    id: i32,
    operations: UserPtr<SemBuf>,
    count: usize,
    timeout: UserPtr<Timespec>,
) -> Result<(), Errno> {
    if count == 0 || id < 0 {
        return Err(Errno::EINVAL);
    }
    if count > sem::MOST_OPERATIONS.load(Ordering::Relaxed) as usize {
        return Err(Errno::E2BIG);
    }
    let deadline = match timeout.non_null() {
        Some(at) => Some(platform().monotonic_ns().saturating_add(at.read(current)?.checked_ns()?)),
        None => None,
    };
    let list: Vec<Operation> = operations
        .read_vec(current, count)?
        .into_iter()
        .map(|[number, change, flags]| Operation {
            number,
            change: change as i16,
            nowait: u32::from(flags) & raw::IPC_NOWAIT != 0,
            undo: flags & raw::SEM_UNDO != 0,
        })
        .collect();
    sem::operate(current, id, &list, deadline)
}

/// semctl(2). The fourth argument is a value or a pointer.
pub fn semctl(current: &mut Current, id: i32, number: i32, command: u32, value: u64) -> Result<i32, Errno> {
    let at = UserVa::new(value);
    // IPC_64 (linux/ipc.h) is in every command of 64-bit programs' libraries, or in none.
    match command & !0x100 {
        raw::IPC_INFO | raw::SEM_INFO => {
            let sets = sem::list(current);
            let total: usize = sets.iter().map(|set| set.all.len()).sum();
            let number = |limit: &AtomicU32| limit.load(Ordering::Relaxed) as i32;
            let most = number(&sem::MOST_SEMAPHORES);
            let info = command & !0x100 == raw::SEM_INFO;
            // struct seminfo: semmap, semmni, semmns, semmnu, semmsl, semopm, semume, semusz, semvmx, semaem.
            let numbers: [i32; 10] = [
                most,
                number(&sem::MOST_SETS),
                most,
                most,
                number(&sem::MOST_IN_SET),
                number(&sem::MOST_OPERATIONS),
                number(&sem::MOST_OPERATIONS),
                if info { sets.len() as i32 } else { 20 },
                sem::MOST_VALUE,
                if info { i32::try_from(total).unwrap_or(i32::MAX) } else { sem::MOST_VALUE },
            ];
            UserPtr::new(at).write(current, &numbers)?;
            Ok(sem::TABLES.highest(current))
        }
        command @ (raw::IPC_STAT | raw::SEM_STAT | raw::SEM_STAT_ANY) => {
            let found = match command {
                raw::IPC_STAT => id,
                _ => sem::TABLES.at(current, id)?,
            };
            let set = sem::look(current, found, command == raw::SEM_STAT_ANY)?;
            let about = SemidDs {
                perm: IpcPerm::of(current, &set.perm),
                otime: set.operation_time,
                ctime: set.change_time,
                nsems: set.all.len() as u64,
                ..SemidDs::default()
            };
            UserPtr::new(at).write(current, &about)?;
            Ok(if command == raw::IPC_STAT { 0 } else { found })
        }
        raw::IPC_SET => {
            let new: SemidDs = UserPtr::new(at).read(current)?;
            let (uid, gid) = new.perm.owner(current)?;
            sem::set(current, id, uid, gid, new.perm.mode).map(|()| 0)
        }
        raw::IPC_RMID => sem::remove(current, id).map(|()| 0),
        raw::GETALL => {
            let set = sem::look(current, id, false)?;
            let values: Vec<u16> = set.all.iter().map(|semaphore| semaphore.value as u16).collect();
            UserPtr::new(at).write_slice(current, &values)?;
            Ok(0)
        }
        raw::SETALL => {
            let values = UserPtr::<u16>::new(at).read_vec(current, sem::count(current, id)?)?;
            sem::set_values(current, id, None, &values).map(|()| 0)
        }
        raw::SETVAL => {
            let new = u16::try_from(value as i32).map_err(|_| Errno::ERANGE)?;
            sem::set_values(current, id, Some(index(number)?), &[new]).map(|()| 0)
        }
        command @ (raw::GETVAL | raw::GETPID | raw::GETNCNT | raw::GETZCNT) => {
            let set = sem::look(current, id, false)?;
            let semaphore = set.all.get(index(number)?).ok_or(Errno::EINVAL)?;
            Ok(match command {
                raw::GETVAL => semaphore.value,
                raw::GETPID => semaphore.pid as i32,
                raw::GETNCNT => semaphore.growing as i32,
                _ => semaphore.zero as i32,
            })
        }
        _ => Err(Errno::EINVAL),
    }
}

/// msgget(2).
pub fn msgget(current: &mut Current, key: i32, flags: u32) -> Result<i32, Errno> {
    msg::get(current, key, flags & raw::IPC_CREAT != 0, flags & raw::IPC_EXCL != 0, flags & 0o777)
}

/// msgsnd(2).
pub fn msgsnd(current: &mut Current, id: i32, at: UserPtr<i64>, len: usize, flags: u32) -> Result<(), Fail> {
    let kind = at.read(current)?;
    if id < 0 || kind < 1 || len > msg::MOST_BYTES.load(Ordering::Relaxed) as usize {
        return Err(Errno::EINVAL.into());
    }
    let text = UserPtr::<u8>::new(at.nth(1).addr()).read_vec(current, len)?;
    msg::send(current, id, kind, text, flags & raw::IPC_NOWAIT != 0)
}

/// msgrcv(2).
pub fn msgrcv(
    current: &mut Current,
    id: i32,
    at: UserPtr<i64>,
    len: usize,
    kind: i64,
    flags: u32,
) -> Result<usize, Fail> {
    if id < 0 || isize::try_from(len).is_err() {
        return Err(Errno::EINVAL.into());
    }
    let (except, nowait) = (flags & raw::MSG_EXCEPT != 0, flags & raw::IPC_NOWAIT != 0);
    let choice = if flags & raw::MSG_COPY != 0 {
        if except || !nowait {
            return Err(Errno::EINVAL.into());
        }
        Choice::Copy(usize::try_from(kind).map_err(|_| Errno::ENOMSG)?)
    } else {
        match kind {
            0 => Choice::First,
            kind if kind < 0 => Choice::Lowest(kind.unsigned_abs()),
            kind => Choice::Type { kind, other: except },
        }
    };
    let (kind, text) = msg::receive(current, id, len, choice, flags & raw::MSG_NOERROR != 0, nowait)?;
    at.write(current, &kind)?;
    current.copy_out(at.nth(1).addr(), &text)?;
    Ok(text.len())
}

/// msgctl(2).
pub fn msgctl(current: &mut Current, id: i32, command: u32, buffer: UserPtr<MsqidDs>) -> Result<i32, Errno> {
    match command & !0x100 {
        command @ (raw::IPC_INFO | raw::MSG_INFO) => {
            let list = msg::list(current);
            let number = |limit: &AtomicU32| limit.load(Ordering::Relaxed) as i32;
            let (most, most_bytes) = (number(&msg::MOST_QUEUES), number(&msg::MOST_QUEUE_BYTES));
            let sum = |of: fn(&msg::About) -> u64| i32::try_from(list.iter().map(of).sum::<u64>()).unwrap_or(i32::MAX);
            // struct msginfo: msgpool, msgmap, msgmax, msgmnb, msgmni, msgssz, msgtql, msgseg.
            let info: [i32; 8] = if command == raw::MSG_INFO {
                let (messages, bytes) = (sum(|about| about.count), sum(|about| about.bytes));
                [list.len() as i32, messages, number(&msg::MOST_BYTES), most_bytes, most, 16, bytes, 0xffff]
            } else {
                let pool = most.saturating_mul(most_bytes / 1024);
                [pool, most_bytes, number(&msg::MOST_BYTES), most_bytes, most, 16, most_bytes, 0xffff]
            };
            buffer.cast::<[i32; 8]>().write(current, &info)?;
            Ok(msg::TABLES.highest(current))
        }
        command @ (raw::IPC_STAT | raw::MSG_STAT | raw::MSG_STAT_ANY) => {
            let found = match command {
                raw::IPC_STAT => id,
                _ => msg::TABLES.at(current, id)?,
            };
            let about = msg::look(current, found, command == raw::MSG_STAT_ANY)?;
            let shown = MsqidDs {
                perm: IpcPerm::of(current, &about.perm),
                stime: about.send_time,
                rtime: about.receive_time,
                ctime: about.change_time,
                cbytes: about.bytes,
                qnum: about.count,
                qbytes: about.limit,
                lspid: about.sender,
                lrpid: about.receiver,
                ..MsqidDs::default()
            };
            buffer.write(current, &shown)?;
            Ok(if command == raw::IPC_STAT { 0 } else { found })
        }
        raw::IPC_SET => {
            let new = buffer.read(current)?;
            let (uid, gid) = new.perm.owner(current)?;
            msg::set(current, id, uid, gid, new.perm.mode, new.qbytes).map(|()| 0)
        }
        raw::IPC_RMID => msg::remove(current, id).map(|()| 0),
        _ => Err(Errno::EINVAL),
    }
}

/// struct mq_attr (linux/mqueue.h): flags, maxmsg, msgsize, curmsgs, four reserved.
type MqAttr = [i64; 8];

fn queue_name(current: &Current, name: UserStr) -> Result<Vec<u8>, Errno> {
    name.read_path(current)
}

/// mq_open(2).
pub fn mq_open(
    current: &mut Current,
    name: UserStr,
    flags: OpenFlags,
    mode: u32,
    attr: UserPtr<MqAttr>,
) -> Result<Fd, Errno> {
    let create = flags.contains(OpenFlags::CREAT);
    let shape = match attr.non_null() {
        Some(at) => {
            let [_, capacity, size, ..] = at.read(current)?;
            Some(Shape { capacity, size })
        }
        None => None,
    };
    let name = queue_name(current, name)?;
    current.check_room_for_file()?;
    let file = mqueue::open(current, &name, flags, create.then_some((mode, shape)))?;
    current.add_file(file, true)
}

/// mq_unlink(2).
pub fn mq_unlink(current: &mut Current, name: UserStr) -> Result<(), Errno> {
    let name = queue_name(current, name)?;
    mqueue::unlink(current, &name)
}

fn mq_deadline(current: &Current, at: UserPtr<Timespec>) -> Result<Option<u64>, Errno> {
    at.non_null().map(|at| Ok(mqueue::deadline(at.read(current)?.checked_ns()?))).transpose()
}

/// mq_timedsend(2).
pub fn mq_timedsend(
    current: &mut Current,
    fd: Fd,
    at: UserVa,
    len: usize,
    priority: u32,
    timeout: UserPtr<Timespec>,
) -> Result<(), Fail> {
    let deadline = mq_deadline(current, timeout)?;
    if priority >= mqueue::PRIORITIES {
        return Err(Errno::EINVAL.into());
    }
    let file = current.file(fd)?;
    let queue = Open::of(&file)?;
    if !file.flags().writable() {
        return Err(Errno::EBADF.into());
    }
    if len > queue.size() {
        return Err(Errno::EMSGSIZE.into());
    }
    let text = UserPtr::<u8>::new(at).read_vec(current, len)?;
    queue.send(current, &file, text, priority, deadline)
}

/// mq_timedreceive(2).
pub fn mq_timedreceive(
    current: &mut Current,
    fd: Fd,
    at: UserVa,
    len: usize,
    priority: UserPtr<u32>,
    timeout: UserPtr<Timespec>,
) -> Result<usize, Fail> {
    let deadline = mq_deadline(current, timeout)?;
    let file = current.file(fd)?;
    let queue = Open::of(&file)?;
    if !file.flags().readable() {
        return Err(Errno::EBADF.into());
    }
    if len < queue.size() {
        return Err(Errno::EMSGSIZE.into());
    }
    let (found, text) = queue.receive(current, &file, deadline)?;
    if let Some(priority) = priority.non_null() {
        priority.write(current, &found)?;
    }
    current.copy_out(at, &text)?;
    Ok(text.len())
}

/// mq_notify(2).
pub fn mq_notify(current: &mut Current, fd: Fd, event: UserPtr<SigEvent>) -> Result<(), Errno> {
    let notify = match event.non_null() {
        None => None,
        Some(at) => {
            let event = at.read(current)?;
            let how = match event.notify {
                general::SIGEV_NONE => How::Nothing,
                // 0 is a signal that is never sent, as for kill(2).
                general::SIGEV_SIGNAL if event.signal == 0 => How::Signal(None, event.value),
                general::SIGEV_SIGNAL => {
                    How::Signal(Some(Signal::new(event.signal as u32).ok_or(Errno::EINVAL)?), event.value)
                }
                general::SIGEV_THREAD => {
                    let cookie = UserPtr::<[u8; COOKIE]>::new(UserVa::new(event.value)).read(current)?;
                    How::Message(Mailbox::of(&*current.file(Fd::new(event.signal))?)?, cookie)
                }
                _ => return Err(Errno::EINVAL),
            };
            Some(Notify { process: current.process.pid(), how })
        }
    };
    let file = current.file(fd)?;
    Open::of(&file)?.notify(current, notify)
}

/// mq_getsetattr(2): of the flags, O_NONBLOCK can be set.
pub fn mq_getsetattr(current: &mut Current, fd: Fd, new: UserPtr<MqAttr>, old: UserPtr<MqAttr>) -> Result<(), Errno> {
    let nonblock = i64::from(general::O_NONBLOCK);
    let new = new.non_null().map(|at| at.read(current)).transpose()?;
    if new.is_some_and(|[flags, ..]| flags & !nonblock != 0) {
        return Err(Errno::EINVAL);
    }
    let file = current.file(fd)?;
    let [capacity, size, count] = Open::of(&file)?.attributes();
    let before = if file.nonblocking() { nonblock } else { 0 };
    if let Some([flags, ..]) = new {
        file.set_flags(if flags == 0 { OpenFlags::empty() } else { OpenFlags::NONBLOCK });
    }
    old.non_null().map_or(Ok(()), |at| at.write(current, &[before, capacity, size, count, 0, 0, 0, 0]))
}

pub(super) const ROWS: &[Row] = &[
    row!(semget = semget(3), Full, ""),
    row!(semop = semop(3), Full, ""),
    row!(semtimedop = semtimedop(4), Full, ""),
    row!(semctl = semctl(4), Full, ""),
    row!(msgget = msgget(2), Full, ""),
    row!(msgsnd = msgsnd(4), Full, ""),
    row!(msgrcv = msgrcv(5), Full, ""),
    row!(msgctl = msgctl(3), Full, ""),
    row!(mq_open = mq_open(4), Full, ""),
    row!(mq_unlink = mq_unlink(1), Full, ""),
    row!(mq_timedsend = mq_timedsend(5), Full, ""),
    row!(mq_timedreceive = mq_timedreceive(5), Full, ""),
    row!(mq_notify = mq_notify(2), Full, ""),
    row!(mq_getsetattr = mq_getsetattr(3), Full, ""),
];
