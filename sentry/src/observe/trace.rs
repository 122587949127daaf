//! Records of system calls (`linker::trace`), for whoever asks: a `Session` a reader. A thread that makes a call puts its record
//! into its CPU's `Ring`; a kernel thread of the session's own writes them to the reader's descriptor. Where the reader does not
//! keep up, the rings are full, records are lost and counted, and no program waits. A session ends when nobody reads any more, or
//! with the sandbox (`finish`).
//!
//! A call whose arguments are numbers is recorded without a lock and without memory: the thread knows who listens to it
//! (`Listening`) until that changes (`GENERATION`), and it keeps nobody's rings: those go with their session.

mod capture;
mod ring;
mod writer;

use super::ON;
use crate::control::container_of;
use crate::errno::Errno;
use crate::fs::host::client::File;
use crate::platform::platform;
use crate::sync::{Lock, Rank};
use crate::syscall::table::{Answer, NUMBERS};
use crate::syscall::{Fail, SysResult, policy};
use crate::task::Current;
use crate::wait::{Events, WaitQueue};
use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use linker::calls::{Signature, signature};
use linker::spec::TraceFilter;
use linker::trace::{Head, Kind};
use ring::{Put, Ring};
use syscalls::Sysno;

pub use writer::{finish, forget};

/// Readers at most.
const SESSIONS_MAX: usize = 8;
/// What Linux's own tracers see of a call that a signal ended and that is made again (linux/errno.h's ERESTARTSYS).
const RESTART: i64 = -512;
/// A call of fewer ticks has asked nothing of the host: an exit takes longer.
const QUICK_TICKS: u64 = 1024;

/// Who listens.
static SESSIONS: Lock<Option<Arc<Listeners>>> = Lock::new(Rank::Leaf, None);
/// Goes up when that changes, or what they listen to.
static GENERATION: AtomicU64 = AtomicU64::new(1);
/// The calls that any of them wants to know of, a bit each.
static WANTED: [AtomicU64; NUMBERS / 64] = [const { AtomicU64::new(0) }; NUMBERS / 64];

/// All readers.
struct Listeners(Vec<Arc<Session>>);

/// One reader.
struct Session {
    container: u32,
    pid: Option<u32>,
    failed: bool,
    numbers: [u64; NUMBERS / 64],
    file: File,
    /// One a CPU.
    rings: Vec<Ring>,
    lost: AtomicU64,
    /// The sandbox ends: what there is is written, and no more.
    ending: AtomicBool,
    over: AtomicBool,
    queue: WaitQueue,
}

/// Who listens to a thread, as it last looked. What it keeps of sessions that have ended is no more than their names.
pub struct Listening {
    generation: u64,
    listeners: Weak<Listeners>,
    /// Which of them, a bit each.
    mask: u32,
    clock: fn() -> u64,
}

impl Default for Listening {
    fn default() -> Self {
        Self { generation: 0, listeners: Weak::new(), mask: 0, clock: || 0 }
    }
}

/// Begins to record calls of a container to `file`. EAGAIN where too many listen.
pub fn attach(container: u32, filter: &TraceFilter, file: File) -> Result<(), Errno> {
    let mut numbers = [if filter.numbers.is_empty() { u64::MAX } else { 0 }; NUMBERS / 64];
    for number in &filter.numbers {
        if let Some(word) = numbers.get_mut(*number as usize / 64) {
            *word |= 1 << (number % 64);
        }
    }
    let rings = (0..platform().cpus()).map(|_| Ring::new()).collect::<Option<_>>().ok_or(Errno::ENOMEM)?;
    let session = Arc::new(Session {
        container,
        pid: filter.pid,
        failed: filter.failed,
        numbers,
        file,
        rings,
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
    let mut sessions = all.as_ref().map_or_else(Vec::new, |listeners| listeners.0.clone());
    with(&mut sessions)?;
    for (index, word) in WANTED.iter().enumerate() {
        let any = sessions.iter().fold(0, |any, session| any | session.numbers.get(index).copied().unwrap_or(0));
        word.store(any, Ordering::Relaxed);
    }
    let any = !sessions.is_empty();
    let old = core::mem::replace(&mut *all, any.then(|| Arc::new(Listeners(sessions))));
    look_again();
    policy::set_observed(any);
    drop(all);
    drop(old);
    Ok(())
}

/// Every thread finds out anew who listens to it.
pub fn look_again() {
    GENERATION.fetch_add(1, Ordering::SeqCst);
}

fn sessions() -> Option<Arc<Listeners>> {
    SESSIONS.lock().clone()
}

/// Whether anybody wants to know of calls with this number; of numbers that no table has, who wants the last.
#[inline]
pub fn is_wanted(number: u64) -> bool {
    let number = usize::try_from(number).unwrap_or(NUMBERS).min(NUMBERS - 1);
    WANTED.get(number / 64).is_some_and(|word| word.load(Ordering::Relaxed) >> (number % 64) & 1 != 0)
}

/// Whether a record of this call has its registers alone, and is made when it returns.
pub fn is_of_numbers(number: u32) -> bool {
    let returns = ![Sysno::exit as u32, Sysno::exit_group as u32].contains(&number);
    returns && signature(number).is_some_and(Signature::takes_no_memory)
}

/// Serves a call of the table for which that is so, and records it.
#[inline(always)]
pub fn serve_numbers(current: &mut Current, serve: impl FnOnce(&mut Current) -> Answer) -> Answer {
    if current.listening.generation != GENERATION.load(Ordering::Relaxed) {
        listen(current);
    }
    let number = current.regs.rax as u32;
    let exits = platform().exits();
    let came = came(current);
    let answer = serve(current);
    let ticks = (current.listening.clock)().wrapping_sub(came);
    let (kind, result) = if answer.failed { failure(current) } else { (Kind::Call, answer.value.cast_signed()) };
    let regs = &current.regs;
    let head = Head {
        len: size_of::<Head>() as u32,
        kind: kind as u32,
        pid: current.process.shown_pid().raw(),
        tid: current.task.shown_tid().raw(),
        number,
        pad: 0,
        start_ns: came,
        duration_ns: ticks,
        exits: if ticks < QUICK_TICKS { 0 } else { platform().exits().wrapping_sub(exits) },
        // No handler has changed them, unless it set all registers, and then there were none.
        args: [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9],
        result,
    };
    record(current, &head, |session, cpu| session.put(cpu, &head));
    answer
}

/// Serves the call in the registers by `serve`, and records it with what its arguments point to.
pub fn serve(current: &mut Current, serve: fn(&mut Current) -> SysResult) -> SysResult {
    if current.listening.generation != GENERATION.load(Ordering::Relaxed) {
        listen(current);
    }
    if current.listening.mask == 0 {
        return serve(current);
    }
    let number = current.regs.rax;
    let regs = &current.regs;
    let args = [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9];
    let signature = u32::try_from(number).ok().and_then(signature);
    let exits = platform().exits();
    let came = came(current);
    let mut captured = Vec::new();
    if let Some(signature) = signature {
        capture::take(current, signature, &args, None, &mut captured);
    }
    let mut head = Head {
        kind: Kind::Call as u32,
        pid: current.process.shown_pid().raw(),
        tid: current.task.shown_tid().raw(),
        number: number as u32,
        start_ns: came,
        args,
        ..Head::default()
    };
    if [Sysno::exit as u64, Sysno::exit_group as u64].contains(&number) {
        head.kind = Kind::Entry as u32;
        put(current, &mut head, &captured);
        return serve(current);
    }
    let result = serve(current);
    head.duration_ns = (current.listening.clock)().wrapping_sub(came);
    head.exits = platform().exits().wrapping_sub(exits);
    let (kind, value) = match &result {
        Ok(value) => (Kind::Call, value.cast_signed()),
        Err(fail) => outcome(current, fail),
    };
    (head.kind, head.result) = (kind as u32, value);
    if let (Some(signature), Ok(_)) = (signature, &result) {
        capture::take(current, signature, &args, Some(head.result), &mut captured);
    }
    put(current, &mut head, &captured);
    result
}

/// When the call came, in ticks as all times here: the writer makes ns of them.
#[inline(always)]
fn came(current: &Current) -> u64 {
    if ON.load(Ordering::Relaxed) { current.regs.error } else { (current.listening.clock)() }
}

/// What a record says of the call that has just failed.
#[inline(never)]
fn failure(current: &Current) -> (Kind, i64) {
    outcome(current, &current.fail)
}

fn outcome(current: &Current, fail: &Fail) -> (Kind, i64) {
    match fail {
        Fail::Errno(errno) => (Kind::Call, errno.to_ret().cast_signed()),
        // execve, or rt_sigreturn: the registers say what it looks like to the program.
        Fail::NoReturn => (Kind::Call, current.regs.rax.cast_signed()),
        Fail::Exit(_) => (Kind::Entry, 0),
        _ => (Kind::Call, RESTART),
    }
}

/// A thread ended with this wait status.
pub fn thread_gone(current: &mut Current, status: u32) {
    if SESSIONS.lock().is_none() {
        return;
    }
    listen(current);
    let mut head = Head {
        kind: Kind::End as u32,
        pid: current.process.shown_pid().raw(),
        tid: current.task.shown_tid().raw(),
        start_ns: platform().clock()(),
        result: status.into(),
        ..Head::default()
    };
    put(current, &mut head, &[]);
}

fn put(current: &mut Current, head: &mut Head, captured: &[u8]) {
    head.len = (size_of::<Head>() + captured.len()) as u32;
    record(current, head, |session, cpu| session.put_all(cpu, head, captured));
}

/// Gives a record to all who want it.
#[inline(always)]
fn record(current: &mut Current, head: &Head, put: impl Fn(&Session, usize)) {
    let Some(listeners) = current.listening.listeners.upgrade().or_else(|| relisten(current)) else { return };
    let cpu = platform().cpu();
    let mut left = current.listening.mask;
    while left != 0 {
        let index = left.trailing_zeros() as usize;
        left &= left - 1;
        match listeners.0.get(index) {
            Some(session) if session.wants(head) => put(session, cpu),
            _ => {}
        }
    }
}

/// The list has changed while the call was served.
#[cold]
fn relisten(current: &mut Current) -> Option<Arc<Listeners>> {
    if current.listening.generation == GENERATION.load(Ordering::SeqCst) {
        return None;
    }
    listen(current);
    current.listening.listeners.upgrade()
}

/// Finds out who listens to the thread.
#[cold]
fn listen(current: &mut Current) {
    // Read first: whatever changes from here on is found out the next time.
    let generation = GENERATION.load(Ordering::SeqCst);
    let sessions = sessions();
    let container = container_of(&current.process);
    let pid = current.process.shown_pid().raw();
    let mut listening = Listening { generation, clock: platform().clock(), ..Listening::default() };
    if let Some(listeners) = &sessions {
        let listens =
            |session: &Session| session.container == container && session.pid.is_none_or(|wanted| wanted == pid);
        let bits = (0..u32::BITS).zip(&listeners.0).filter(|(_, session)| listens(session));
        listening.mask = bits.fold(0, |mask, (bit, _)| mask | 1 << bit);
        listening.listeners = Arc::downgrade(listeners);
    }
    current.listening = listening;
}

const _: () = assert!(SESSIONS_MAX <= u32::BITS as usize);

impl Session {
    #[inline(always)]
    fn wants(&self, head: &Head) -> bool {
        if head.kind == Kind::End as u32 {
            return true;
        }
        let number = (head.number as usize).min(NUMBERS - 1);
        let wanted = self.numbers.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 != 0);
        wanted && (!self.failed || (-4095..0).contains(&head.result))
    }

    #[inline(always)]
    fn put(&self, cpu: usize, head: &Head) {
        match self.rings.get(cpu).map_or(Put::Lost, |ring| ring.put(head)) {
            Put::Done => {}
            put => self.rarely(put),
        }
    }

    fn put_all(&self, cpu: usize, head: &Head, captured: &[u8]) {
        match self.rings.get(cpu).map_or(Put::Lost, |ring| ring.put_all(head, captured)) {
            Put::Done => {}
            put => self.rarely(put),
        }
    }

    #[cold]
    fn rarely(&self, put: Put) {
        if put == Put::Wake {
            self.queue.wake(Events::IN);
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records that wait; in the fullest ring.
    fn waiting(&self) -> u64 {
        self.rings.iter().map(Ring::waiting).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, RESTART, is_of_numbers, outcome};
    use crate::errno::Errno;
    use crate::fake;
    use crate::syscall::Fail;
    use crate::task::ExitStatus;
    use syscalls::Sysno;

    #[test]
    fn calls_that_point_to_nothing_and_return_have_records_of_numbers() {
        assert!(
            [Sysno::getppid, Sysno::close, Sysno::mmap, Sysno::fork].map(|call| is_of_numbers(call as u32))
                == [true; 4]
        );
        let others = [Sysno::read, Sysno::openat, Sysno::ioctl, Sysno::execve, Sysno::exit, Sysno::exit_group];
        assert!(others.map(|call| is_of_numbers(call as u32)) == [false; 6]);
        assert!(!is_of_numbers(u32::MAX));
    }

    #[test]
    fn a_record_says_how_a_call_failed() {
        let mut current = fake::current();
        current.regs.rax = 5;
        let said = |fail: Fail| outcome(&current, &fail);
        assert_eq!(said(Errno::ENOENT.into()), (Kind::Call, -2));
        assert_eq!(said(Fail::NoReturn), (Kind::Call, 5));
        assert_eq!(said(Fail::Exit(ExitStatus::Code(1))), (Kind::Entry, 0));
        assert_eq!(said(Fail::RestartAlways), (Kind::Call, RESTART));
    }
}
