//! io_uring_setup, io_uring_enter, io_uring_register. The rings are `crate::uring`; `serve` is what a request does.

mod serve;

pub use serve::{Place, deadline_of, place_of, serve};

use super::table::{Level, Row, arg, finish, row};
use super::{Fail, Fd, IoVec, UserPtr, read_iovec};
use crate::errno::Errno;
use crate::fs::OpenFile;
use crate::fs::eventfd::EventFd;
use crate::platform::platform;
use crate::signal::{self, SignalSet};
use crate::task::Current;
use crate::time::Timespec;
use crate::uring::{Ring, Sizes};
use crate::wait::{Events, WaitError};
use alloc::sync::Arc;
use alloc::vec::Vec;
use linker::addr::UserVa;
use linux_raw_sys::io_uring as raw;
use syscalls::Sysno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// IORING_MAX_ENTRIES and IORING_MAX_CQ_ENTRIES (io_uring/io_uring.c).
const MOST_REQUESTS: u32 = 32_768;
const MOST_COMPLETIONS: u32 = 2 * MOST_REQUESTS;
/// IORING_MAX_REG_BUFFERS, and as many files.
const MOST_REGISTERED: usize = 1 << 14;

/// `struct io_uring_params`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Params {
    requests: u32,
    completions: u32,
    flags: u32,
    thread_cpu: u32,
    thread_idle: u32,
    features: u32,
    queue_fd: u32,
    reserved: [u32; 3],
    request_offsets: [u32; 10],
    completion_offsets: [u32; 10],
}

const _: () = assert!(size_of::<Params>() == size_of::<raw::io_uring_params>());

const FEATURES: u32 = raw::IORING_FEAT_SINGLE_MMAP
    | raw::IORING_FEAT_NODROP
    | raw::IORING_FEAT_SUBMIT_STABLE
    | raw::IORING_FEAT_RW_CUR_POS
    | raw::IORING_FEAT_CUR_PERSONALITY
    | raw::IORING_FEAT_FAST_POLL
    | raw::IORING_FEAT_POLL_32BITS
    | raw::IORING_FEAT_EXT_ARG
    | raw::IORING_FEAT_NATIVE_WORKERS
    | raw::IORING_FEAT_CQE_SKIP;

/// io_uring_setup(2). Nothing polls here: IORING_SETUP_SQPOLL and IORING_SETUP_IOPOLL get EINVAL.
pub fn io_uring_setup(current: &mut Current, entries: u32, at: UserPtr<Params>) -> Result<Fd, Errno> {
    let mut params = at.read(current)?;
    let served = raw::IORING_SETUP_CQSIZE
        | raw::IORING_SETUP_CLAMP
        | raw::IORING_SETUP_R_DISABLED
        | raw::IORING_SETUP_SUBMIT_ALL
        | raw::IORING_SETUP_COOP_TASKRUN
        | raw::IORING_SETUP_TASKRUN_FLAG
        | raw::IORING_SETUP_SINGLE_ISSUER
        | raw::IORING_SETUP_DEFER_TASKRUN;
    let has = |flag| params.flags & flag != 0;
    if params.flags & !served != 0 || params.reserved != [0; 3] || entries == 0 {
        return Err(Errno::EINVAL);
    }
    let cooperative = raw::IORING_SETUP_COOP_TASKRUN | raw::IORING_SETUP_DEFER_TASKRUN;
    if has(raw::IORING_SETUP_TASKRUN_FLAG) && !has(cooperative)
        || has(raw::IORING_SETUP_DEFER_TASKRUN) && !has(raw::IORING_SETUP_SINGLE_ISSUER)
    {
        return Err(Errno::EINVAL);
    }
    let clamp = |wanted: u32, most: u32| match wanted {
        wanted if wanted <= most => Ok(wanted),
        _ if has(raw::IORING_SETUP_CLAMP) => Ok(most),
        _ => Err(Errno::EINVAL),
    };
    let requests = clamp(entries, MOST_REQUESTS)?.next_power_of_two();
    let completions = if has(raw::IORING_SETUP_CQSIZE) {
        if params.completions == 0 {
            return Err(Errno::EINVAL);
        }
        clamp(params.completions, MOST_COMPLETIONS)?.next_power_of_two()
    } else {
        2 * requests
    };
    if completions < requests {
        return Err(Errno::EINVAL);
    }
    let sizes = Sizes { requests, completions };
    let file = Ring::open(sizes, has(raw::IORING_SETUP_R_DISABLED))?;
    (params.requests, params.completions, params.features) = (requests, completions, FEATURES);
    (params.request_offsets, params.completion_offsets) = sizes.offsets();
    at.write(current, &params)?;
    current.add_file(file, true)
}

/// `struct io_uring_getevents_arg`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Events2 {
    mask: u64,
    mask_bytes: u32,
    least_wait_us: u32,
    timeout: u64,
}

/// io_uring_enter(2).
pub fn io_uring_enter(
    current: &mut Current,
    fd: Fd,
    submit: u32,
    least: u32,
    flags: u32,
    argument: UserVa,
    size: usize,
) -> Result<u32, Fail> {
    let known = raw::IORING_ENTER_GETEVENTS
        | raw::IORING_ENTER_SQ_WAKEUP
        | raw::IORING_ENTER_SQ_WAIT
        | raw::IORING_ENTER_EXT_ARG
        | raw::IORING_ENTER_ABS_TIMER;
    if flags & !known != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = current.file(fd)?;
    let ring = Ring::of(&file)?;
    if ring.is_disabled() {
        return Err(Errno::EBADFD.into());
    }
    let mut done = 0;
    if submit > 0 {
        let _one = ring.submitting().lock();
        done = ring.submit(current, submit);
        if done != submit {
            return Ok(done);
        }
    }
    if flags & raw::IORING_ENTER_GETEVENTS == 0 {
        return Ok(done);
    }
    match wait(current, &ring, least, flags, argument, size) {
        Ok(()) => Ok(done),
        // What was submitted is submitted.
        Err(_) if done > 0 => Ok(done),
        Err(fail) => Err(fail),
    }
}

fn wait(
    current: &mut Current,
    ring: &Arc<Ring>,
    least: u32,
    flags: u32,
    argument: UserVa,
    size: usize,
) -> Result<(), Fail> {
    let (mask, bytes, timeout) = if flags & raw::IORING_ENTER_EXT_ARG != 0 {
        if size != size_of::<Events2>() {
            return Err(Errno::EINVAL.into());
        }
        let given: Events2 = UserPtr::new(argument).read(current)?;
        (given.mask, given.mask_bytes as usize, given.timeout)
    } else {
        (argument.raw(), size, 0)
    };
    let deadline = match timeout {
        0 => None,
        at => {
            let ns = UserPtr::<Timespec>::new(UserVa::new(at)).read(current)?.checked_ns()?;
            let absolute = flags & raw::IORING_ENTER_ABS_TIMER != 0;
            Some(if absolute { ns } else { platform().monotonic_ns().saturating_add(ns) })
        }
    };
    let mask = match mask {
        0 => None,
        _ if bytes != size_of::<u64>() => return Err(Errno::EINVAL.into()),
        at => Some(SignalSet::from_bits(UserPtr::<u64>::new(UserVa::new(at)).read(current)?)),
    };
    if let Some(mask) = mask {
        signal::set_temporary_mask(current, mask);
    }
    if ring.take_dropped() {
        return Err(Errno::EBADR.into());
    }
    let enough = || (ring.ready() >= least).then_some(());
    let waited = current.wait(ring.queue(), Events::READABLE, deadline, enough);
    if mask.is_some() {
        signal::restore_mask(current, waited == Err(WaitError::Interrupted));
    }
    match waited {
        Ok(()) => Ok(()),
        // What is there is enough to come back with.
        Err(_) if ring.ready() > 0 => Ok(()),
        Err(WaitError::TimedOut) => Err(Errno::ETIME.into()),
        Err(WaitError::Interrupted) => Err(Errno::EINTR.into()),
    }
}

/// io_uring_register(2).
pub fn io_uring_register(current: &mut Current, fd: Fd, what: u32, at: UserVa, count: u32) -> Result<u64, Fail> {
    use raw::io_uring_register_op as op;
    const BUFFERS: u32 = op::IORING_REGISTER_BUFFERS as u32;
    const NO_BUFFERS: u32 = op::IORING_UNREGISTER_BUFFERS as u32;
    const FILES: u32 = op::IORING_REGISTER_FILES as u32;
    const NO_FILES: u32 = op::IORING_UNREGISTER_FILES as u32;
    const EVENT: u32 = op::IORING_REGISTER_EVENTFD as u32;
    const EVENT_ASYNC: u32 = op::IORING_REGISTER_EVENTFD_ASYNC as u32;
    const NO_EVENT: u32 = op::IORING_UNREGISTER_EVENTFD as u32;
    const UPDATE: u32 = op::IORING_REGISTER_FILES_UPDATE as u32;
    const PROBE: u32 = op::IORING_REGISTER_PROBE as u32;
    const ENABLE: u32 = op::IORING_REGISTER_ENABLE_RINGS as u32;
    let file = current.file(fd)?;
    let ring = Ring::of(&file)?;
    let many = count as usize;
    match what {
        BUFFERS | FILES if many == 0 => return Err(Errno::EINVAL.into()),
        BUFFERS | FILES if many > MOST_REGISTERED => return Err(Errno::EMFILE.into()),
        BUFFERS => {
            let pieces = read_iovec(current, UserPtr::<IoVec>::new(at), many)?;
            ring.set_buffers(pieces.iter().map(|piece| (piece.addr.raw(), piece.len as u64)).collect())?;
        }
        FILES => {
            let numbers = UserPtr::<i32>::new(at).read_vec(current, many)?;
            ring.set_files(files_of(current, &numbers)?)?;
        }
        NO_BUFFERS | NO_FILES | NO_EVENT | ENABLE if at.raw() != 0 || count != 0 => return Err(Errno::EINVAL.into()),
        NO_BUFFERS => ring.clear_buffers()?,
        NO_FILES => ring.clear_files()?,
        NO_EVENT => ring.set_event(None)?,
        ENABLE => ring.enable()?,
        EVENT | EVENT_ASYNC if count != 1 => return Err(Errno::EINVAL.into()),
        EVENT | EVENT_ASYNC => {
            let number = UserPtr::<i32>::new(at).read(current)?;
            let event = current.file(Fd::new(number))?;
            if event.downcast::<EventFd>().is_none() {
                return Err(Errno::EINVAL.into());
            }
            ring.set_event(Some(event))?;
        }
        UPDATE => {
            // `struct io_uring_files_update`: offset, resv, pointer.
            let [first, _, low, high]: [u32; 4] = UserPtr::new(at).read(current)?;
            let numbers = u64::from(low) | u64::from(high) << 32;
            let numbers = UserPtr::<i32>::new(UserVa::new(numbers)).read_vec(current, many.min(MOST_REGISTERED))?;
            return Ok(ring.update_files(first as usize, files_of(current, &numbers)?)? as u64);
        }
        PROBE if count > 256 => return Err(Errno::EINVAL.into()),
        PROBE => current.copy_out(at, &serve::probe(many))?,
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

/// The files behind descriptors; -1 is an empty place. No ring is in a ring: they would keep each other.
fn files_of(current: &Current, numbers: &[i32]) -> Result<Vec<Option<Arc<OpenFile>>>, Errno> {
    let file = |number: &i32| match number {
        -1 => Ok(None),
        number => match current.file(Fd::new(*number))? {
            file if Ring::of(&file).is_ok() => Err(Errno::EBADF),
            file => Ok(Some(file)),
        },
    };
    numbers.iter().map(file).collect()
}

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row!(io_uring_setup = io_uring_setup(2), Partial, "no SQPOLL, IOPOLL, wide entries and rings in the program's own memory: EINVAL"),
    row!(io_uring_enter = io_uring_enter(6), Partial, "no provided buffers and multishot other than of poll and accept; IORING_REGISTER_PROBE says which operations"),
    row!(io_uring_register = io_uring_register(4), Partial, "buffers, files, eventfd, probe, enabling; others: EINVAL"),
];
