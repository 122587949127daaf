//! Free memory goes back to the host: what a program used once and freed costs nobody anything any more.
//!
//! An idle CPU that finds enough of it calls one kernel thread, which waits until little memory was handed out for a while and then gives
//! the host lists of ranges, which are out of the pool meanwhile. What is left over then is not worth a wake-up: an idle sandbox is woken
//! for this once, and then only when more was freed.

use super::pool::{Isolated, taken, unreported};
use super::{FREE, POOL, frame_pa, frames};
use crate::{ring, sched, time};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use linker::layout::PAGE_SIZE;
use linker::request::{GuestBuf, MAX_SEGMENTS, Op, Request};
use sentry::platform::ThreadRef;
use spin::Once;
use zerocopy::IntoBytes;

/// Frames that are worth it: 256 KiB.
const WORTH: u64 = 64;
/// How long little memory must have been handed out. Who frees and takes again within this keeps what he has.
const QUIET_NS: u64 = 1_000_000_000;
/// Ranges at a time; more of them wait as long again.
const MOST: usize = 256;
/// A list ends with the range that makes it so many frames, 64 MiB: the host is some milliseconds busy with it, and this CPU waits.
const ENOUGH: u64 = 1 << 14;

static REPORTER: Once<ThreadRef> = Once::new();
/// Frames that are out of the pool at the moment.
static ISOLATED: AtomicU64 = AtomicU64::new(0);
/// The reporter has something to do.
static CALLED: AtomicBool = AtomicBool::new(false);
/// `taken` when nothing could be given back: it is of no use to try again before that has changed.
static VAIN: AtomicU64 = AtomicU64::new(u64::MAX);

/// Starts the reporter.
pub fn init() {
    let thread = sched::spawn(false, Box::new(|| run())).expect("memory is empty at boot");
    REPORTER.call_once(|| thread);
}

/// For a CPU that has nothing to do: whether there is now something, the reporter.
#[inline]
pub fn begin() -> bool {
    unreported() >= WORTH && call()
}

#[cold]
fn call() -> bool {
    if taken() == VAIN.load(Ordering::Relaxed) || CALLED.swap(true, Ordering::AcqRel) {
        return false;
    }
    REPORTER.get().into_iter().for_each(|reporter| reporter.unpark());
    true
}

fn run() -> ! {
    loop {
        while !CALLED.load(Ordering::Acquire) {
            sched::park(None);
        }
        wait();
        if give_back(MOST) == 0 {
            VAIN.store(taken(), Ordering::Relaxed);
        } else {
            // That was all: what the host's own part needed meanwhile can go as well.
            drop_ranges(&[]);
        }
        CALLED.store(false, Ordering::Release);
    }
}

/// Waits until little memory was handed out for a while, compared with what there is to give back.
fn wait() {
    loop {
        let before = taken();
        let deadline_ns = time::monotonic_ns() + QUIET_NS;
        while time::monotonic_ns() < deadline_ns {
            sched::park(Some(deadline_ns));
        }
        if taken() - before <= unreported() / 8 {
            return;
        }
    }
}

/// Frames that are out of the pool at the moment, and free all the same.
pub(super) fn isolated() -> u64 {
    ISOLATED.load(Ordering::Relaxed)
}

/// Gives the host up to so many ranges of free frames; how many frames it took.
pub fn give_back(ranges: usize) -> u64 {
    let (mut given, mut left) = (0, ranges);
    let (mut isolated, mut list) = (Vec::new(), Vec::new());
    if isolated.try_reserve_exact(MAX_SEGMENTS).and_then(|()| list.try_reserve_exact(MAX_SEGMENTS)).is_err() {
        return 0;
    }
    while left > 0 {
        isolate(&mut isolated, left.min(MAX_SEGMENTS));
        list.clear();
        list.extend(isolated.iter().map(buffer));
        let taken = !list.is_empty() && drop_ranges(&list);
        left -= list.len();
        for range in isolated.drain(..) {
            let count = frames_of(&range);
            POOL.lock().settle(range, taken);
            FREE.fetch_add(count, Ordering::Relaxed);
            ISOLATED.fetch_sub(count, Ordering::Relaxed);
            given += if taken { count } else { 0 };
        }
        if !taken {
            break;
        }
    }
    given
}

/// Takes up to `most` ranges out of the pool. Half of what is free stays, and the kernel's reserve: somebody may need it meanwhile.
fn isolate(to: &mut Vec<Isolated>, most: usize) {
    let kept = (FREE.load(Ordering::Relaxed) / 2).max(frames().reserve);
    let mut total = 0;
    while to.len() < most && total < ENOUGH {
        let Some(range) = POOL.lock().isolate() else { break };
        let count = frames_of(&range);
        if FREE.fetch_sub(count, Ordering::Relaxed) < count + kept {
            POOL.lock().settle(range, false);
            FREE.fetch_add(count, Ordering::Relaxed);
            break;
        }
        ISOLATED.fetch_add(count, Ordering::Relaxed);
        to.push(range);
        total += count;
    }
}

fn frames_of(range: &Isolated) -> u64 {
    range.frames.end - range.frames.start
}

fn buffer(range: &Isolated) -> GuestBuf {
    GuestBuf { pa: frame_pa(range.frames.start), len: frames_of(range) * PAGE_SIZE }
}

/// Has the host drop them; without any, what it needed itself.
fn drop_ranges(ranges: &[GuestBuf]) -> bool {
    let request = Request { op: Op::FreePages as u16, ..Request::default() };
    ring::call(request, ranges.as_bytes(), &mut []).is_ok()
}
