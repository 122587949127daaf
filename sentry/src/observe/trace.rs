//! Records of system calls (`linker::trace`), for whoever asks: a `Session` a reader. A thread that makes a call puts its record
//! into the session's buffers; a kernel thread of the session's own writes them to the reader's descriptor. Where the reader
//! does not keep up, the buffers are full, records are lost and counted, and no program waits. A session ends when nobody
//! reads any more, or with the sandbox (`finish`).

mod capture;
mod writer;

use crate::control::container_of;
use crate::errno::Errno;
use crate::fs::host::client::File;
use crate::platform::platform;
use crate::sync::{Lock, Rank};
use crate::syscall::table::NUMBERS;
use crate::syscall::{Fail, SysResult, policy};
use crate::task::Current;
use crate::wait::{Events, WaitQueue};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use linker::calls::signature;
use linker::spec::TraceFilter;
use linker::trace::{Head, Kind};
use syscalls::Sysno;
use zerocopy::IntoBytes;

pub use writer::{finish, forget};

/// Readers at most.
const SESSIONS_MAX: usize = 8;
/// Bytes of records of one buffer that wait for the reader at most.
const BUFFER_BYTES: usize = 256 << 10;
/// So many make the writer go to work at once.
const BATCH_BYTES: usize = 64 << 10;
/// What Linux's own tracers see of a call that a signal ended and that is made again (linux/errno.h's ERESTARTSYS).
const RESTART: i64 = -512;

/// Who listens.
static SESSIONS: Lock<Option<Arc<[Arc<Session>]>>> = Lock::new(Rank::Leaf, None);
/// The calls that any of them wants to know of, a bit each.
static WANTED: [AtomicU64; NUMBERS / 64] = [const { AtomicU64::new(0) }; NUMBERS / 64];

/// One reader.
struct Session {
    container: u32,
    pid: Option<u32>,
    failed: bool,
    numbers: [u64; NUMBERS / 64],
    file: File,
    /// A buffer a CPU; a thread uses the one of its number.
    buffers: Vec<Lock<Buffer>>,
    waiting: AtomicUsize,
    lost: AtomicU64,
    /// The sandbox ends: what there is is written, and no more.
    ending: AtomicBool,
    over: AtomicBool,
    queue: WaitQueue,
}

/// Records one after the other.
#[derive(Default)]
struct Buffer(Vec<u8>);

/// Begins to record calls of a container to `file`. EAGAIN where too many listen.
pub fn attach(container: u32, filter: &TraceFilter, file: File) -> Result<(), Errno> {
    let mut numbers = [if filter.numbers.is_empty() { u64::MAX } else { 0 }; NUMBERS / 64];
    for number in &filter.numbers {
        if let Some(word) = numbers.get_mut(*number as usize / 64) {
            *word |= 1 << (number % 64);
        }
    }
    let buffers = (0..platform().cpus()).map(|_| Lock::new(Rank::Leaf, Buffer::default())).collect();
    let session = Arc::new(Session {
        container,
        pid: filter.pid,
        failed: filter.failed,
        numbers,
        file,
        buffers,
        waiting: AtomicUsize::new(0),
        lost: AtomicU64::new(0),
        ending: AtomicBool::new(false),
        over: AtomicBool::new(false),
        queue: WaitQueue::new(),
    });
    change(|sessions| {
        if sessions.len() >= SESSIONS_MAX {
            return Err(Errno::EAGAIN);
        }
        sessions.push(session.clone());
        Ok(())
    })?;
    let writer = session.clone();
    if let Err(error) = platform().spawn(false, Box::new(move || writer::run(&writer))) {
        detach(&session);
        return Err(error.into());
    }
    Ok(())
}

fn detach(session: &Arc<Session>) {
    let _ = change(|sessions| {
        sessions.retain(|other| !Arc::ptr_eq(other, session));
        Ok(())
    });
}

/// Changes who listens.
fn change(with: impl FnOnce(&mut Vec<Arc<Session>>) -> Result<(), Errno>) -> Result<(), Errno> {
    // The old list is dropped after the lock: a session's last reference may be there.
    let mut all = SESSIONS.lock();
    let mut sessions = all.as_deref().map_or_else(Vec::new, <[_]>::to_vec);
    with(&mut sessions)?;
    for (index, word) in WANTED.iter().enumerate() {
        let any = sessions.iter().fold(0, |any, session| any | session.numbers.get(index).copied().unwrap_or(0));
        word.store(any, Ordering::Relaxed);
    }
    policy::set_observed(!sessions.is_empty());
    let old = core::mem::replace(&mut *all, (!sessions.is_empty()).then(|| sessions.into()));
    drop(all);
    drop(old);
    Ok(())
}

fn sessions() -> Option<Arc<[Arc<Session>]>> {
    SESSIONS.lock().clone()
}

/// Whether anybody wants to know of calls with this number; of numbers that no table has, who wants the last.
#[inline]
pub fn is_wanted(number: u64) -> bool {
    let number = usize::try_from(number).unwrap_or(NUMBERS).min(NUMBERS - 1);
    WANTED.get(number / 64).is_some_and(|word| word.load(Ordering::Relaxed) >> (number % 64) & 1 != 0)
}

/// Serves the call in the registers, and records it for whoever wants to know.
pub fn serve(current: &mut Current, serve: fn(&mut Current) -> SysResult) -> SysResult {
    let number = current.regs.rax;
    let Some(sessions) = sessions() else { return serve(current) };
    let regs = &current.regs;
    let args = [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9];
    let signature = u32::try_from(number).ok().and_then(signature);
    let mut captured = Vec::new();
    if let Some(signature) = signature {
        capture::take(current, signature, &args, None, &mut captured);
    }
    let clock = platform().clock();
    let mut head = Head {
        kind: Kind::Call as u32,
        pid: current.process.shown_pid().raw(),
        tid: current.task.shown_tid().raw(),
        number: number as u32,
        start_ns: clock(),
        args,
        ..Head::default()
    };
    if [Sysno::exit as u64, Sysno::exit_group as u64].contains(&number) {
        head.kind = Kind::Entry as u32;
        record(current, &sessions, &mut head, &captured);
        return serve(current);
    }
    let exits = platform().exits();
    let result = serve(current);
    // In ticks both: the writer makes ns of them.
    head.duration_ns = clock().wrapping_sub(head.start_ns);
    head.exits = platform().exits().wrapping_sub(exits);
    head.result = match &result {
        Ok(value) => value.cast_signed(),
        Err(Fail::Errno(errno)) => errno.to_ret().cast_signed(),
        // execve, or rt_sigreturn: the registers say what it looks like to the program.
        Err(Fail::NoReturn) => current.regs.rax.cast_signed(),
        Err(Fail::Exit(_)) => {
            head.kind = Kind::Entry as u32;
            0
        }
        Err(_) => RESTART,
    };
    if let (Some(signature), Ok(_)) = (signature, &result) {
        capture::take(current, signature, &args, Some(head.result), &mut captured);
    }
    record(current, &sessions, &mut head, &captured);
    result
}

/// A thread ended with this wait status.
pub fn thread_gone(current: &Current, status: u32) {
    let Some(sessions) = sessions() else { return };
    let mut head = Head {
        kind: Kind::End as u32,
        pid: current.process.shown_pid().raw(),
        tid: current.task.shown_tid().raw(),
        start_ns: platform().clock()(),
        result: status.into(),
        ..Head::default()
    };
    record(current, &sessions, &mut head, &[]);
}

fn record(current: &Current, sessions: &[Arc<Session>], head: &mut Head, captured: &[u8]) {
    head.len = (size_of::<Head>() + captured.len()) as u32;
    let failed = (-4095..0).contains(&head.result);
    for session in sessions {
        let wanted = (head.kind == Kind::End as u32 || session.wants(head.number))
            && (!session.failed || failed || head.kind == Kind::End as u32)
            && session.pid.is_none_or(|pid| pid == head.pid)
            && container_of(&current.process) == session.container;
        if wanted {
            session.put(head, captured);
        }
    }
}

impl Session {
    fn wants(&self, number: u32) -> bool {
        let number = (number as usize).min(NUMBERS - 1);
        self.numbers.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 != 0)
    }

    fn put(&self, head: &Head, captured: &[u8]) {
        let len = size_of::<Head>() + captured.len();
        let Some(buffer) = self.buffers.get(head.tid as usize % self.buffers.len().max(1)) else { return };
        let fits = {
            let Buffer(bytes) = &mut *buffer.lock();
            let fits = bytes.len() + len <= BUFFER_BYTES && bytes.try_reserve(len).is_ok();
            if fits {
                bytes.extend_from_slice(head.as_bytes());
                bytes.extend_from_slice(captured);
            }
            fits
        };
        if !fits {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let before = self.waiting.fetch_add(len, Ordering::SeqCst);
        if before == 0 || before < BATCH_BYTES && before + len >= BATCH_BYTES {
            self.queue.wake(Events::IN);
        }
    }
}
