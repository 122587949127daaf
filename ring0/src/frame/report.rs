//! Free memory goes back to the host: what a program used once and freed costs nobody anything any more.
//!
//! An idle CPU that finds enough of it calls one kernel thread, which waits until little memory was handed out for a while and then gives
//! the host range after range, each taken out of the pool meanwhile. What is left over then is not worth a wake-up: an idle sandbox is
//! woken for this once, and then only when more was freed.

use super::pool::{taken, unreported};
use super::{FREE, POOL, frame_pa, frames};
use crate::{ring, sched, time};
use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use linker::layout::PAGE_SIZE;
use linker::request::{Op, Request};
use sentry::platform::ThreadRef;
use spin::Once;

/// Frames that are worth it: 256 KiB.
const WORTH: u64 = 64;
/// How long little memory must have been handed out. Who frees and takes again within this keeps what he has.
const QUIET_NS: u64 = 1_000_000_000;
/// Ranges at a time; more of them wait as long again.
const MOST: usize = 256;

static REPORTER: Once<ThreadRef> = Once::new();
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
            drop_frames(0, 0);
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

/// Gives the host up to so many ranges of free frames; how many frames it took.
pub fn give_back(ranges: usize) -> u64 {
    let mut given = 0;
    for _ in 0..ranges {
        let Some(isolated) = POOL.lock().isolate() else { break };
        let (start, count) = (isolated.frames.start, isolated.frames.end - isolated.frames.start);
        let enough = FREE.fetch_sub(count, Ordering::Relaxed) >= count + frames().reserve;
        // Not where the kernel might need them meanwhile.
        let taken = enough && drop_frames(start, count);
        POOL.lock().settle(isolated, taken);
        FREE.fetch_add(count, Ordering::Relaxed);
        if !taken {
            break;
        }
        given += count;
    }
    given
}

fn drop_frames(start: u64, count: u64) -> bool {
    let (offset, arg) = (frame_pa(start).raw(), count * PAGE_SIZE);
    let request = Request { op: Op::FreePages as u16, offset, arg, ..Request::default() };
    ring::call(request, &[], &mut []).is_ok()
}
