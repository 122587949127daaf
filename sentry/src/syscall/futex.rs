//! futex(2), its successors (futex_waitv, futex_wait, futex_wake, futex_requeue), robust lists.

use super::table::{Level, Row, arg, finish, row};
use super::{Fail, UserPtr};
use crate::errno::Errno;
use crate::platform::platform;
use crate::task::futex::Word;
use crate::task::{Current, Tid, exec, futex, registry};
use alloc::vec::Vec;
use linker::addr::UserVa;
use linux_raw_sys::general as raw;
use syscalls::Sysno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// FUTEX_CMD_MASK (include/uapi/linux/futex.h): the command without its two flags.
const COMMAND_MASK: u32 = !(raw::FUTEX_PRIVATE_FLAG | raw::FUTEX_CLOCK_REALTIME);

/// futex(2).
pub fn futex(
    current: &mut Current,
    at: u64,
    operation: u32,
    value: u32,
    timeout: u64,
    second: u64,
    value3: u32,
) -> Result<u64, Fail> {
    let at = UserVa::new(at);
    let second = UserVa::new(second);
    let private = operation & raw::FUTEX_PRIVATE_FLAG != 0;
    let realtime = operation & raw::FUTEX_CLOCK_REALTIME != 0;
    let command = operation & COMMAND_MASK;
    // For these the fourth argument is a count, not a timeout.
    let count2 = count(timeout as u32);
    match command {
        raw::FUTEX_WAIT if realtime => Err(Errno::ENOSYS.into()),
        raw::FUTEX_WAIT | raw::FUTEX_WAIT_BITSET => {
            let absolute = command == raw::FUTEX_WAIT_BITSET;
            let bitset = if absolute { value3 } else { raw::FUTEX_BITSET_MATCH_ANY };
            let deadline = deadline(current, UserPtr::new(UserVa::new(timeout)), absolute, realtime)?;
            match futex::wait(current, at, private, value, bitset, deadline) {
                Ok(()) => Ok(0),
                // Without a timeout the call is restarted; with one the rest of it would have to be known (futex(2): EINTR).
                Err(Fail::Restart) if deadline.is_some() => Err(Fail::RestartUnlessHandled),
                Err(fail) => Err(fail),
            }
        }
        raw::FUTEX_LOCK_PI | raw::FUTEX_LOCK_PI2 => {
            // FUTEX_LOCK_PI's clock is CLOCK_REALTIME always; FUTEX_LOCK_PI2 chooses by the flag.
            let realtime = realtime || command == raw::FUTEX_LOCK_PI;
            let deadline = deadline(current, UserPtr::new(UserVa::new(timeout)), true, realtime)?;
            futex::lock_owned(current, at, private, deadline).map(|()| 0)
        }
        _ if realtime => Err(Errno::ENOSYS.into()),
        raw::FUTEX_TRYLOCK_PI => {
            if futex::try_lock_owned(current, at)? {
                Ok(0)
            } else if current.load_u32(at)? & raw::FUTEX_TID_MASK == current.task.shown_tid().raw() {
                Err(Errno::EDEADLK.into())
            } else {
                Err(Errno::EAGAIN.into())
            }
        }
        raw::FUTEX_UNLOCK_PI => Ok(futex::unlock_owned(current, at, private).map(|()| 0)?),
        raw::FUTEX_WAKE => Ok(futex::wake(current, at, private, count(value), raw::FUTEX_BITSET_MATCH_ANY)? as u64),
        raw::FUTEX_WAKE_BITSET => Ok(futex::wake(current, at, private, count(value), value3)? as u64),
        raw::FUTEX_REQUEUE | raw::FUTEX_CMP_REQUEUE => {
            if (value as i32) < 0 || (timeout as i32) < 0 {
                return Err(Errno::EINVAL.into());
            }
            let expected = (command == raw::FUTEX_CMP_REQUEUE).then_some(value3);
            let (woken, moved) =
                futex::requeue(current, at, second, private, value as usize, timeout as u32 as usize, expected)?;
            Ok(if expected.is_some() { woken + moved } else { woken } as u64)
        }
        raw::FUTEX_WAKE_OP => Ok(futex::wake_op(current, at, second, private, count(value), count2, value3)? as u64),
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// How many to wake: Linux wakes one for a count that is not positive.
fn count(value: u32) -> usize {
    if value as i32 <= 0 { 1 } else { value as usize }
}

/// The monotonic deadline of a timeout that is relative, or absolute on one of two clocks.
fn deadline(
    current: &Current,
    timeout: UserPtr<[i64; 2]>,
    absolute: bool,
    realtime: bool,
) -> Result<Option<u64>, Errno> {
    let Some(timeout) = timeout.non_null() else { return Ok(None) };
    let [seconds, nanoseconds] = timeout.read(current)?;
    if seconds < 0 || !(0..1_000_000_000).contains(&nanoseconds) {
        return Err(Errno::EINVAL);
    }
    let ns = (seconds as u64).saturating_mul(1_000_000_000).saturating_add(nanoseconds as u64);
    let now = platform().monotonic_ns();
    Ok(Some(match (absolute, realtime) {
        (false, _) => now.saturating_add(ns),
        (true, false) => ns,
        (true, true) => now.saturating_add(ns.saturating_sub(platform().realtime_ns())),
    }))
}

/// struct futex_waitv.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FutexWaitV {
    val: u64,
    uaddr: u64,
    flags: u32,
    reserved: u32,
}

const _: () = assert!(size_of::<FutexWaitV>() == size_of::<raw::futex_waitv>());

/// What FUTEX2_* flags say of the word: whether it is private. Only 32-bit words are served, as in Linux so far.
fn is_private(flags: u32) -> Result<bool, Errno> {
    let known = raw::FUTEX2_SIZE_MASK | raw::FUTEX2_PRIVATE;
    if flags & !known != 0 || flags & raw::FUTEX2_SIZE_MASK != raw::FUTEX2_SIZE_U32 {
        return Err(Errno::EINVAL);
    }
    Ok(flags & raw::FUTEX2_PRIVATE != 0)
}

fn word(given: &FutexWaitV) -> Result<Word, Errno> {
    let private = is_private(given.flags)?;
    if given.reserved != 0 {
        return Err(Errno::EINVAL);
    }
    let expected = u32::try_from(given.val).map_err(|_| Errno::EINVAL)?;
    Ok(Word { at: UserVa::new(given.uaddr), private, expected })
}

/// The deadline of the newer calls: absolute, on a clock that is named.
fn clock_deadline(current: &Current, timeout: UserPtr<[i64; 2]>, clock: u32) -> Result<Option<u64>, Errno> {
    if timeout.is_null() {
        return Ok(None);
    }
    match clock {
        raw::CLOCK_MONOTONIC => deadline(current, timeout, true, false),
        raw::CLOCK_REALTIME => deadline(current, timeout, true, true),
        _ => Err(Errno::EINVAL),
    }
}

/// futex_waitv(2).
pub fn futex_waitv(
    current: &mut Current,
    words: UserPtr<FutexWaitV>,
    count: u32,
    flags: u32,
    timeout: UserPtr<[i64; 2]>,
    clock: u32,
) -> Result<usize, Fail> {
    if flags != 0 || count == 0 || count > raw::FUTEX_WAITV_MAX || words.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let deadline = clock_deadline(current, timeout, clock)?;
    let given = words.read_vec(current, count as usize)?;
    let list = given.iter().map(word).collect::<Result<Vec<Word>, Errno>>()?;
    futex::wait_any(current, &list, deadline)
}

/// futex_wake(2).
pub fn futex_wake(current: &mut Current, at: UserVa, mask: u64, count: i32, flags: u32) -> Result<usize, Errno> {
    let private = is_private(flags)?;
    let mask = u32::try_from(mask).map_err(|_| Errno::EINVAL)?;
    match usize::try_from(count) {
        Ok(count) if count > 0 => futex::wake(current, at, private, count, mask),
        _ if mask == 0 => Err(Errno::EINVAL),
        _ => Ok(0),
    }
}

/// futex_wait(2).
pub fn futex_wait(
    current: &mut Current,
    at: UserVa,
    value: u64,
    mask: u64,
    flags: u32,
    timeout: UserPtr<[i64; 2]>,
    clock: u32,
) -> Result<(), Fail> {
    let private = is_private(flags)?;
    let value = u32::try_from(value).map_err(|_| Errno::EINVAL)?;
    let mask = u32::try_from(mask).map_err(|_| Errno::EINVAL)?;
    let deadline = clock_deadline(current, timeout, clock)?;
    futex::wait(current, at, private, value, mask, deadline)
}

/// futex_requeue(2).
pub fn futex_requeue(
    current: &mut Current,
    words: UserPtr<[FutexWaitV; 2]>,
    flags: u32,
    wake: i32,
    requeue: i32,
) -> Result<usize, Errno> {
    if flags != 0 || words.is_null() {
        return Err(Errno::EINVAL);
    }
    let [from, to] = words.read(current)?;
    let (from, to) = (word(&from)?, word(&to)?);
    let wake = usize::try_from(wake).map_err(|_| Errno::EINVAL)?;
    let requeue = usize::try_from(requeue).map_err(|_| Errno::EINVAL)?;
    let private = from.private && to.private;
    futex::requeue(current, from.at, to.at, private, wake, requeue, Some(from.expected))
        .map(|(woken, moved)| woken + moved)
}

/// set_robust_list(2).
pub fn set_robust_list(current: &mut Current, head: u64, len: usize) -> Result<(), Errno> {
    if len != size_of::<raw::robust_list_head>() {
        return Err(Errno::EINVAL);
    }
    current.robust_list = head;
    Ok(())
}

/// get_robust_list(2): of the caller; another thread's is private to it here.
pub fn get_robust_list(current: &mut Current, tid: Tid, head: UserPtr<u64>, len: UserPtr<u64>) -> Result<(), Errno> {
    if tid.raw() != 0 && tid != current.task.tid() {
        let task = registry().task(current.meant(tid)).ok_or(Errno::ESRCH)?;
        let allowed = exec::may_inspect(current, &task.creds());
        return Err(if allowed { Errno::ENOSYS } else { Errno::EPERM });
    }
    len.write(current, &(size_of::<raw::robust_list_head>() as u64))?;
    head.write(current, &current.robust_list)
}

pub(super) const ROWS: &[Row] = &[
    row!(futex = futex(6), Partial, "PI locks inherit nothing (all threads take turns alike); no requeueing to them"),
    row!(futex_waitv = futex_waitv(5), Full, ""),
    row!(futex_wake = futex_wake(4), Full, ""),
    row!(futex_wait = futex_wait(6), Full, ""),
    row!(futex_requeue = futex_requeue(4), Full, ""),
    row!(set_robust_list = set_robust_list(2), Full, ""),
    row!(get_robust_list = get_robust_list(3), Partial, "only the caller's own list"),
];
