//! Signals: sending, masks, actions, waiting. Behaviour is in `crate::signal`.

use super::table::{Level, Row, arg, finish, row};
use super::{Fail, UserPtr};
use crate::errno::Errno;
use crate::landlock::limits;
use crate::platform::platform;
use crate::signal::{self, ABI_SIZE, SigAction, SigInfo, Signal, SignalSet, StackT};
use crate::task::{Cap, Credentials, Current, INIT, Process, Task, Tid, pid_ns, registry};
use crate::time::Timespec;
use alloc::sync::Arc;
use linux_raw_sys::general as raw;
use syscalls::Sysno;

/// The only size of a signal set that the x86-64 ABI knows.
fn check_set_size(size: usize) -> Result<(), Errno> {
    if size == size_of::<u64>() { Ok(()) } else { Err(Errno::EINVAL) }
}

fn read_set(current: &Current, at: UserPtr<u64>) -> Result<SignalSet, Errno> {
    at.read(current).map(SignalSet::from_bits)
}

/// rt_sigaction(2).
pub fn rt_sigaction(
    current: &mut Current,
    number: u32,
    new: UserPtr<SigAction>,
    old: UserPtr<SigAction>,
    size: usize,
) -> Result<(), Errno> {
    check_set_size(size)?;
    let new = new.non_null().map(|at| at.read(current)).transpose()?;
    let signal = Signal::new(number).ok_or(Errno::EINVAL)?;
    let before = signal::set_action(&current.process, signal, new)?;
    old.non_null().map_or(Ok(()), |at| at.write(current, &before))
}

/// rt_sigprocmask(2).
pub fn rt_sigprocmask(
    current: &mut Current,
    how: u32,
    new: UserPtr<u64>,
    old: UserPtr<u64>,
    size: usize,
) -> Result<(), Errno> {
    check_set_size(size)?;
    let before = current.task.signals.mask();
    if let Some(at) = new.non_null() {
        let set = read_set(current, at)?;
        let mask = match how {
            raw::SIG_BLOCK => before.union(set),
            raw::SIG_UNBLOCK => before.minus(set),
            raw::SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        };
        signal::set_mask(current, mask);
    }
    old.non_null().map_or(Ok(()), |at| at.write(current, &before.bits()))
}

/// rt_sigpending(2).
pub fn rt_sigpending(current: &mut Current, at: UserPtr<u64>, size: usize) -> Result<(), Errno> {
    if size > size_of::<u64>() {
        return Err(Errno::EINVAL);
    }
    let blocked = signal::pending_for(&current.task).intersection(current.task.signals.mask());
    let bytes = blocked.bits().to_ne_bytes();
    current.copy_out(at.addr(), bytes.get(..size).ok_or(Errno::EINVAL)?)
}

/// rt_sigtimedwait(2).
pub fn rt_sigtimedwait(
    current: &mut Current,
    set: UserPtr<u64>,
    info: UserPtr<[u8; ABI_SIZE]>,
    timeout: UserPtr<Timespec>,
    size: usize,
) -> Result<u32, Errno> {
    check_set_size(size)?;
    let set = read_set(current, set)?;
    let deadline = match timeout.non_null() {
        Some(at) => Some(at.read(current)?.checked_ns()?).map(|ns| platform().monotonic_ns().saturating_add(ns)),
        None => None,
    };
    let taken = signal::dequeue_wait(current, set, deadline)?;
    if let Some(at) = info.non_null() {
        at.write(current, &taken.to_abi())?;
    }
    Ok(taken.signal().number())
}

/// rt_sigsuspend(2).
pub fn rt_sigsuspend(current: &mut Current, set: UserPtr<u64>, size: usize) -> Result<(), Fail> {
    check_set_size(size)?;
    let mask = read_set(current, set)?;
    Err(signal::suspend(current, mask))
}

/// rt_sigreturn(2).
pub fn rt_sigreturn(current: &mut Current) -> Result<(), Fail> {
    Err(signal::return_from_handler(current))
}

/// sigaltstack(2).
pub fn sigaltstack(current: &mut Current, new: UserPtr<StackT>, old: UserPtr<StackT>) -> Result<(), Errno> {
    let new = new.non_null().map(|at| at.read(current)).transpose()?;
    let before = signal::set_alternate_stack(current, new.as_ref())?;
    old.non_null().map_or(Ok(()), |at| at.write(current, &before))
}

/// pause(2).
pub fn pause(current: &mut Current) -> Result<(), Fail> {
    Err(signal::wait_forever(current))
}

/// restart_syscall(2): goes on with the sleep that a stop or an unhandled signal interrupted.
pub fn restart_syscall(current: &mut Current) -> Result<u64, Fail> {
    match current.signal.take_restart() {
        Some(block) => block(current),
        None => Err(Errno::EINTR.into()),
    }
}

/// kill(2).
pub fn kill(current: &mut Current, pid: i32, number: u32) -> Result<(), Errno> {
    // As Linux, which looks for somebody to send to before it looks at the signal.
    let signal = match optional_signal(number) {
        Ok(signal) => signal,
        Err(errno) => return Err(if has_target(current, pid) { errno } else { Errno::ESRCH }),
    };
    let info = signal.map(|signal| SigInfo::kill(signal, current.process.pid().raw(), current.creds.uid));
    match pid {
        i32::MIN => Err(Errno::ESRCH),
        1.. => send_to_pid(current, current.meant(Tid::new(pid.unsigned_abs())), signal, info),
        0 => kill_many(current, registry().group(current.process.group()), signal, info),
        -1 => kill_many(current, all_others(current), signal, info),
        _ => kill_many(current, registry().group(current.meant(Tid::new(pid.unsigned_abs()))), signal, info),
    }
}

/// Whether kill(2)'s first argument means anybody.
fn has_target(current: &Current, pid: i32) -> bool {
    let id = current.meant(Tid::new(pid.unsigned_abs()));
    match pid {
        i32::MIN => false,
        1.. => registry().process(id).is_some() || registry().task(id).is_some(),
        0 => true,
        -1 => !all_others(current).is_empty(),
        _ => !registry().group(id).is_empty(),
    }
}

/// Everybody whom the caller's process sees, but itself and the first process.
fn all_others(current: &Current) -> alloc::vec::Vec<Arc<Process>> {
    let space = current.process.space();
    let first = space.as_ref().map_or(Some(INIT), |ns| ns.init());
    let mut all = registry().processes();
    all.retain(|process| {
        Some(process.pid()) != first
            && process.pid() != current.process.pid()
            && pid_ns::is_within(process.space(), space)
    });
    all
}

fn send_to_pid(current: &Current, pid: Tid, signal: Option<Signal>, info: Option<SigInfo>) -> Result<(), Errno> {
    // A thread's number will do, as in Linux.
    let process = match registry().process(pid) {
        Some(process) => process,
        None => registry().task(pid).map(|task| task.process().clone()).ok_or(Errno::ESRCH)?,
    };
    check_permission(current, &process, signal)?;
    info.map_or(Ok(()), |info| signal::send_by(current, &process, None, info))
}

/// Sends to all that the caller may send to; an error only where there is none, or it may send to none.
pub(super) fn kill_many(
    current: &Current,
    processes: alloc::vec::Vec<Arc<Process>>,
    signal: Option<Signal>,
    info: Option<SigInfo>,
) -> Result<(), Errno> {
    let mut result = Err(Errno::ESRCH);
    for process in processes {
        let sent = check_permission(current, &process, signal)
            .and_then(|()| info.map_or(Ok(()), |info| signal::send_by(current, &process, None, info)));
        if result.is_err() {
            result = sent;
        }
    }
    result
}

/// tgkill(2).
pub fn tgkill(current: &mut Current, pid: i32, tid: i32, number: u32) -> Result<(), Errno> {
    if pid <= 0 {
        return Err(Errno::EINVAL);
    }
    send_to_thread(current, Some(pid), tid, number)
}

/// tkill(2).
pub fn tkill(current: &mut Current, tid: i32, number: u32) -> Result<(), Errno> {
    send_to_thread(current, None, tid, number)
}

fn send_to_thread(current: &Current, pid: Option<i32>, tid: i32, number: u32) -> Result<(), Errno> {
    if tid <= 0 {
        return Err(Errno::EINVAL);
    }
    let task = find_thread(current, pid, tid)?;
    let signal = optional_signal(number)?;
    check_permission(current, task.process(), signal)?;
    let Some(signal) = signal else { return Ok(()) };
    let info = SigInfo::tkill(signal, current.process.pid().raw(), current.creds.uid);
    signal::send_by(current, task.process(), Some(&task), info)
}

fn find_thread(current: &Current, pid: Option<i32>, tid: i32) -> Result<Arc<Task>, Errno> {
    let task = registry().task(current.meant(Tid::new(tid.unsigned_abs()))).ok_or(Errno::ESRCH)?;
    let fits = pid.is_none_or(|pid| task.process().pid() == current.meant(Tid::new(pid.unsigned_abs())));
    if fits { Ok(task) } else { Err(Errno::ESRCH) }
}

/// rt_sigqueueinfo(2).
pub fn rt_sigqueueinfo(current: &mut Current, pid: i32, number: u32, at: UserPtr<[u8; ABI_SIZE]>) -> Result<(), Errno> {
    let given = read_info(current, at)?;
    check_forgery(current, pid, &given)?;
    let signal = optional_signal(number)?;
    if pid <= 0 {
        return Err(Errno::ESRCH);
    }
    send_to_pid(
        current,
        current.meant(Tid::new(pid.unsigned_abs())),
        signal,
        signal.map(|signal| given.from_user(signal)),
    )
}

/// rt_tgsigqueueinfo(2).
pub fn rt_tgsigqueueinfo(
    current: &mut Current,
    pid: i32,
    tid: i32,
    number: u32,
    at: UserPtr<[u8; ABI_SIZE]>,
) -> Result<(), Errno> {
    let given = read_info(current, at)?;
    if pid <= 0 || tid <= 0 {
        return Err(Errno::EINVAL);
    }
    check_forgery(current, pid, &given)?;
    let task = find_thread(current, Some(pid), tid)?;
    let signal = optional_signal(number)?;
    check_permission(current, task.process(), signal)?;
    let Some(signal) = signal else { return Ok(()) };
    signal::send_by(current, task.process(), Some(&task), given.from_user(signal))
}

/// Reads a siginfo_t. E2BIG where its unused tail says something.
pub(super) fn read_info(current: &Current, at: UserPtr<[u8; ABI_SIZE]>) -> Result<SigInfo, Errno> {
    SigInfo::from_abi(&at.read(current)?).ok_or(Errno::E2BIG)
}

/// Nobody but the process itself may claim that the kernel or kill(2) sent the signal.
pub(super) fn check_forgery(current: &Current, pid: i32, info: &SigInfo) -> Result<(), Errno> {
    let claims = info.code() >= 0 || info.code() == raw::SI_TKILL;
    if claims && i64::from(pid) != i64::from(current.process.shown_pid().raw()) { Err(Errno::EPERM) } else { Ok(()) }
}

/// Signal 0 only checks whether one could be sent.
pub(super) fn optional_signal(number: u32) -> Result<Option<Signal>, Errno> {
    match number {
        0 => Ok(None),
        _ => Signal::new(number).map(Some).ok_or(Errno::EINVAL),
    }
}

/// kill(2)'s rule: same real or effective user as the target's real or saved one, CAP_KILL, or SIGCONT within the session.
pub(super) fn check_permission(current: &Current, process: &Process, signal: Option<Signal>) -> Result<(), Errno> {
    if process.pid() == current.process.pid() {
        return Ok(());
    }
    let Some(target) = process.leader().map(|task| task.creds()) else {
        // A zombie: there is nobody left to be protected.
        return Ok(());
    };
    let same_session = signal == Some(Signal::SIGCONT) && process.session() == current.process.session();
    let allowed = same_session || may_signal(&current.creds, &target);
    if allowed && limits::may_signal(&current.creds.landlock, &target) { Ok(()) } else { Err(Errno::EPERM) }
}

fn may_signal(me: &Credentials, target: &Credentials) -> bool {
    let mine = [me.euid, me.uid];
    mine.contains(&target.suid) || mine.contains(&target.uid) || me.has_in(&target.user, Cap::Kill)
}

pub(super) const ROWS: &[Row] = &[
    row!(rt_sigaction = rt_sigaction(4), Full, ""),
    row!(rt_sigprocmask = rt_sigprocmask(4), Full, ""),
    row!(rt_sigpending = rt_sigpending(2), Full, ""),
    row!(rt_sigtimedwait = rt_sigtimedwait(4), Full, ""),
    row!(rt_sigsuspend = rt_sigsuspend(2), Full, ""),
    row!(rt_sigreturn = rt_sigreturn(), Full, ""),
    row!(sigaltstack = sigaltstack(2), Full, ""),
    row!(pause = pause(), Full, ""),
    row!(restart_syscall = restart_syscall(), Full, ""),
    row!(kill = kill(2), Full, ""),
    row!(tgkill = tgkill(3), Full, ""),
    row!(tkill = tkill(2), Full, ""),
    row!(rt_sigqueueinfo = rt_sigqueueinfo(3), Full, ""),
    row!(rt_tgsigqueueinfo = rt_tgsigqueueinfo(4), Full, ""),
];
