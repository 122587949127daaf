//! futex(2), futex_waitv's absence, robust lists.

use super::table::{Level, Row, arg, finish, row};
use super::{Fail, UserPtr};
use crate::errno::Errno;
use crate::platform::platform;
use crate::task::{Current, Tid, exec, futex, registry};
use linker::addr::UserVa;
use linux_raw_sys::general as raw;
use syscalls::Sysno;

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
        _ if realtime => Err(Errno::ENOSYS.into()),
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
        let task = registry().task(tid).ok_or(Errno::ESRCH)?;
        let allowed = exec::may_inspect(current, &task.creds());
        return Err(if allowed { Errno::ENOSYS } else { Errno::EPERM });
    }
    len.write(current, &(size_of::<raw::robust_list_head>() as u64))?;
    head.write(current, &current.robust_list)
}

pub(super) const ROWS: &[Row] = &[
    row!(futex = futex(6), Partial, "no priority inheritance"),
    row!(set_robust_list = set_robust_list(2), Full, ""),
    row!(get_robust_list = get_robust_list(3), Partial, "only the caller's own list"),
];
