//! Running requests: chains of linked ones, helper threads for what must wait, cancelling.

use super::{Completion, Ring, Sqe};
use crate::errno::Errno;
use crate::platform::platform;
use crate::signal::{SignalSet, TaskSignals, ThreadSignalState};
use crate::sync::{Lock, Rank};
use crate::syscall::uring::{Place, place_of, serve};
use crate::task::{Current, Published, Task};
use crate::wait::Events;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use linux_raw_sys::io_uring::{io_uring_op as op, io_uring_sqe_flags_bit as bit};

/// Helper threads of one ring at most; what is submitted beyond gets EAGAIN.
const MOST_WORKS: usize = 512;

/// IOSQE_* of a request.
pub const FIXED_FILE: u8 = 1 << bit::IOSQE_FIXED_FILE_BIT as u8;
const DRAIN: u8 = 1 << bit::IOSQE_IO_DRAIN_BIT as u8;
const LINK: u8 = 1 << bit::IOSQE_IO_LINK_BIT as u8;
const HARDLINK: u8 = 1 << bit::IOSQE_IO_HARDLINK_BIT as u8;
const ASYNC: u8 = 1 << bit::IOSQE_ASYNC_BIT as u8;
const BUFFER_SELECT: u8 = 1 << bit::IOSQE_BUFFER_SELECT_BIT as u8;
const SKIP_SUCCESS: u8 = 1 << bit::IOSQE_CQE_SKIP_SUCCESS_BIT as u8;
const KNOWN: u8 = FIXED_FILE | DRAIN | LINK | HARDLINK | ASYNC | SKIP_SUCCESS;

/// A chain on a helper thread.
pub struct Work {
    task: Arc<Task>,
    chain: Vec<Sqe>,
    /// Which one runs.
    at: AtomicUsize,
    over: AtomicBool,
    /// The time limit of a linked timeout passed.
    late: Lock<bool>,
}

impl Ring {
    /// Takes up to `most` requests from the ring and runs them. Returns how many were taken.
    pub fn submit(self: &Arc<Self>, current: &mut Current, most: u32) -> u32 {
        // Looked at once: a program that lets the tail run away keeps nobody here.
        let most = most.min(self.requests_waiting());
        let mut taken = 0;
        while taken < most {
            let Some(first) = self.next_request() else { break };
            taken += 1;
            let mut chain = Vec::from([first]);
            while taken < most && chain.last().is_some_and(|last| last.flags & (LINK | HARDLINK) != 0) {
                let Some(next) = self.next_request() else { break };
                taken += 1;
                chain.push(next);
            }
            self.start(current, chain);
        }
        taken
    }

    /// Runs a chain, on a helper thread from the first request on that must wait.
    fn start(self: &Arc<Self>, current: &mut Current, chain: Vec<Sqe>) {
        if chain.iter().any(|sqe| sqe.flags & !KNOWN != 0 || sqe.flags & BUFFER_SELECT != 0) {
            return self.refuse(&chain, Errno::EINVAL);
        }
        let mut rest = chain.as_slice();
        while let Some((first, behind)) = rest.split_first() {
            let drains = first.flags & DRAIN != 0 && self.running() > 0;
            if drains || first.flags & ASYNC != 0 || place_of(current, self, first) == Place::Helper {
                return self.delegate(current, rest.to_vec());
            }
            let result = serve(current, self, first);
            self.report(first, result);
            rest = behind;
            if broke(first, result) {
                return self.refuse_rest(rest);
            }
            rest = self.pass_timeout(rest);
        }
    }

    /// A linked timeout behind a request that did not wait has nothing to do.
    fn pass_timeout<'a>(&self, rest: &'a [Sqe]) -> &'a [Sqe] {
        match rest.split_first() {
            Some((timeout, behind)) if is(timeout, op::IORING_OP_LINK_TIMEOUT) => {
                self.report(timeout, -i32::from(Errno::ECANCELED.raw()));
                behind
            }
            _ => rest,
        }
    }

    fn refuse(&self, chain: &[Sqe], errno: Errno) {
        let mut result = -i32::from(errno.raw());
        for sqe in chain {
            self.report(sqe, result);
            result = -i32::from(Errno::ECANCELED.raw());
        }
    }

    fn refuse_rest(&self, rest: &[Sqe]) {
        self.refuse(rest, Errno::ECANCELED);
    }

    /// Tells of a request's end.
    fn report(&self, sqe: &Sqe, result: i32) {
        if sqe.flags & SKIP_SUCCESS != 0 && result >= 0 {
            self.finished();
        } else {
            self.complete(Completion { user_data: sqe.user_data, result, flags: 0 });
        }
    }

    fn running(&self) -> usize {
        self.state.lock().works.len()
    }

    /// Gives a chain to a helper thread.
    fn delegate(self: &Arc<Self>, current: &Current, mut chain: Vec<Sqe>) {
        for timeout in chain.iter_mut().filter(|sqe| is(sqe, op::IORING_OP_TIMEOUT) && sqe.offset != 0) {
            // So many completions from now on; the helper may begin later.
            timeout.offset = timeout.offset.saturating_add(self.completed());
        }
        for (index, poll) in chain.iter_mut().enumerate().filter(|(_, sqe)| is(sqe, op::IORING_OP_POLL_ADD)) {
            // What completes before the helper looks may be what it sees (`poll`); what is linked begins later anyway.
            poll.offset = if index == 0 { self.completed() } else { u64::MAX };
        }
        let helper = helper(current);
        let work = Arc::new(Work {
            task: helper.task.clone(),
            chain,
            at: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            late: Lock::new(Rank::Leaf, false),
        });
        // What a draining chain waits for: those that are there now.
        let before = {
            let mut state = self.state.lock();
            if state.works.len() >= MOST_WORKS {
                drop(state);
                return self.refuse(&work.chain, Errno::EAGAIN);
            }
            let before = state.works.clone();
            state.works.push(work.clone());
            before
        };
        if let Some(timeout) = work.chain.get(1).filter(|sqe| is(sqe, op::IORING_OP_LINK_TIMEOUT)) {
            self.limit(current, &work, *timeout);
        }
        current.process.add_helper(&work.task);
        let (ring, done) = (self.clone(), work.clone());
        let main = Box::new(move || ring.help(helper, &done, &before));
        if platform().spawn(false, main).is_err() {
            self.forget(&work);
            work.over.store(true, Ordering::SeqCst);
            current.process.remove_helper(&work.task);
            self.refuse(&work.chain, Errno::ENOMEM);
        }
    }

    /// The helper thread.
    fn help(self: Arc<Self>, mut helper: Current, work: &Arc<Work>, before: &[Arc<Work>]) {
        helper.task.set_thread(platform().current_thread());
        platform().use_page_table(Some(helper.mm.table().clone()));
        if work.chain.first().is_some_and(|first| first.flags & DRAIN != 0) {
            let over = || before.iter().all(|work| work.over.load(Ordering::SeqCst)).then_some(());
            let _ = helper.wait(&self.wait, Events::READABLE, None, over);
        }
        let mut rest = work.chain.as_slice();
        while let Some((first, behind)) = rest.split_first() {
            let canceled = helper.task.is_doomed();
            let mut result =
                if canceled { -i32::from(Errno::ECANCELED.raw()) } else { serve(&mut helper, &self, first) };
            if helper.task.is_doomed() && result == -i32::from(Errno::EINTR.raw()) {
                result = -i32::from(Errno::ECANCELED.raw());
            }
            rest = behind;
            if let Some(timeout) = rest.first().filter(|sqe| is(sqe, op::IORING_OP_LINK_TIMEOUT)) {
                let late = core::mem::replace(&mut *work.late.lock(), true);
                let errno = if late { Errno::ETIME } else { Errno::ECANCELED };
                self.report(timeout, -i32::from(errno.raw()));
                rest = &rest[1..];
            }
            if rest.is_empty() || broke(first, result) || canceled {
                // Nobody finds it any more once its end is told.
                self.forget(work);
            }
            self.report(first, result);
            if broke(first, result) || canceled {
                self.refuse_rest(rest);
                break;
            }
            work.at.store(work.chain.len() - rest.len(), Ordering::SeqCst);
        }
        self.forget(work);
        work.over.store(true, Ordering::SeqCst);
        self.wait.wake(Events::READABLE);
        platform().use_page_table(None);
        helper.process.remove_helper(&work.task);
    }

    fn forget(&self, work: &Arc<Work>) {
        let mut state = self.state.lock();
        let found = state.works.iter().position(|other| Arc::ptr_eq(other, work));
        let gone = found.map(|index| state.works.swap_remove(index));
        drop(state);
        drop(gone);
    }

    /// IORING_OP_LINK_TIMEOUT: ends the first request of a chain at its time.
    fn limit(self: &Arc<Self>, current: &Current, work: &Arc<Work>, timeout: Sqe) {
        let Ok(deadline) = crate::syscall::uring::deadline_of(current, &timeout) else {
            return;
        };
        let (ring, work) = (self.clone(), work.clone());
        let main = Box::new(move || {
            let over = || {
                let past = work.over.load(Ordering::SeqCst) || work.at.load(Ordering::SeqCst) != 0 || *work.late.lock();
                past.then_some(())
            };
            let waited =
                crate::wait::wait_on(&[(&ring.wait, Events::READABLE)], false, Some(deadline), &|| false, over);
            if waited.is_err() && !core::mem::replace(&mut *work.late.lock(), true) {
                work.task.doom();
            }
        });
        let _ = platform().spawn(false, main);
    }

    /// Cancels requests that wait: the number of those that were found.
    pub fn cancel(&self, mut wanted: impl FnMut(&Sqe) -> bool, all: bool) -> usize {
        let works = self.state.lock().works.clone();
        let mut found = 0;
        for work in works {
            let at = work.at.load(Ordering::SeqCst);
            let Some(sqe) = work.chain.get(at) else { continue };
            if !work.task.is_doomed() && wanted(sqe) {
                work.task.doom();
                found += 1;
                if !all {
                    break;
                }
            }
        }
        found
    }

    /// Nobody has the ring any more.
    pub(super) fn cancel_all(&self) {
        self.cancel(|_| true, true);
    }
}

/// Whether a request ends its chain.
fn broke(sqe: &Sqe, result: i32) -> bool {
    let short = sqe.flags & LINK != 0 && reads_or_writes(sqe) && result >= 0 && (result as u32) < sqe.len;
    (result < 0 || short) && sqe.flags & HARDLINK == 0
}

/// Whether a shorter transfer than asked for ends a chain.
fn reads_or_writes(sqe: &Sqe) -> bool {
    [op::IORING_OP_READ, op::IORING_OP_WRITE, op::IORING_OP_READ_FIXED, op::IORING_OP_WRITE_FIXED]
        .iter()
        .any(|kind| is(sqe, *kind))
}

/// Whether it is this operation.
pub fn is(sqe: &Sqe, kind: op) -> bool {
    u32::from(sqe.opcode) == kind as u32
}

/// A thread of the caller's process that nobody sees: its memory, descriptors and credentials, and a mask that lets nothing in.
fn helper(current: &Current) -> Current {
    let published = Published {
        mm: Some(current.mm.clone()),
        files: Some(current.files.clone()),
        fs: Some(current.fs.clone()),
        creds: current.creds.clone(),
    };
    let numbers = (current.task.tid(), current.task.shown_tid());
    let signals = TaskSignals::new(SignalSet::from_bits(u64::MAX));
    let spaces = current.task.spaces();
    let task = Task::new(numbers, current.process.clone(), *b"iou-wrk\0\0\0\0\0\0\0\0\0", published, signals, spaces);
    Current {
        task: Arc::new(task),
        process: current.process.clone(),
        regs: current.regs,
        calls: crate::observe::Calls::nobody(),
        listening: Default::default(),
        fail: crate::syscall::Fail::NoReturn,
        ended: None,
        mm: current.mm.clone(),
        files: current.files.clone(),
        fs: current.fs.clone(),
        creds: current.creds.clone(),
        signal: ThreadSignalState::default(),
        robust_list: 0,
        rseq: None,
        clear_child_tid: 0,
        vfork_done: None,
        personality: current.personality,
        memory_policy: current.memory_policy,
        ways: Default::default(),
        timer_slack_ns: current.timer_slack_ns,
        default_timer_slack_ns: current.default_timer_slack_ns,
    }
}
