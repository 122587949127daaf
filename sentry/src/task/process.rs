//! A process: the threads that share a pid, what they share, and how it ended.

use super::pid_ns::PidSpace;
use super::{ExitStatus, Limits, Task, Tid, Usage};
use crate::coredump::{self, Dump};
use crate::fs::Path;
use crate::mm::AddressSpace;
use crate::platform::platform;
use crate::signal::{ProcessSignals, Signal};
use crate::sync::{Lock, Rank};
use crate::time::ProcessTimers;
use crate::wait::WaitQueue;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use linker::layout::PAGE_SIZE;

/// A process (thread group).
pub struct Process {
    pid: Tid,
    /// The namespace of its number.
    space: PidSpace,
    /// Its number there.
    shown: Tid,
    parent: AtomicU32,
    /// Its parent's number there, 0 where that is outside.
    shown_parent: AtomicU32,
    group: AtomicU32,
    session: AtomicU32,
    subreaper: AtomicBool,
    exec_done: AtomicBool,
    no_huge_pages: AtomicBool,
    dumpable: AtomicU32,
    /// What a core file has of its memory.
    dump_filter: AtomicU32,
    last_uid: AtomicU32,
    oom_score_adj: AtomicI32,
    death_signal_to_parent: u32,
    threads: Lock<Threads>,
    limits: Lock<Limits>,
    executable: Lock<Option<Path>>,
    /// Threads that do what io_uring was asked for; nobody sees them.
    helpers: Lock<Vec<Arc<Task>>>,
    usage: Lock<Accounts>,
    start_ns: u64,
    /// Woken when a child changes state.
    pub child_wait: WaitQueue,
    /// Woken when this process has exited (pidfds poll it).
    pub exit_wait: WaitQueue,
    /// Woken when a thread of this process is gone (execve waits for the others).
    pub thread_wait: WaitQueue,
    /// Signals of the whole process, and the actions.
    pub signals: ProcessSignals,
    /// Interval timers, POSIX timers, and the watch over RLIMIT_CPU.
    pub timers: ProcessTimers,
}

#[derive(Default)]
struct Threads {
    live: Vec<Arc<Task>>,
    /// All threads are to end with this status: exit_group, a fatal signal.
    ending: Option<ExitStatus>,
    /// A core is being written: who ends now leaves its registers there.
    dump: Option<Arc<Dump>>,
    /// Threads that are too far on their way out for that.
    leaving: Vec<Tid>,
    /// The last thread is gone: a zombie until reaped.
    exited: Option<ExitStatus>,
    /// `comm` of the thread that ended last.
    last_name: [u8; 16],
}

#[derive(Default)]
struct Accounts {
    /// Of threads that are gone.
    own: Usage,
    /// Of children that were waited for.
    children: Usage,
}

impl Process {
    /// A process without threads yet. `exit_signal`: what its parent gets when it ends, 0 for nothing.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        pid: Tid,
        (space, shown, shown_parent): (PidSpace, Tid, Tid),
        parent: Tid,
        group: Tid,
        session: Tid,
        exit_signal: u32,
        limits: Limits,
        signals: ProcessSignals,
    ) -> Self {
        Self {
            pid,
            space,
            shown,
            parent: AtomicU32::new(parent.raw()),
            shown_parent: AtomicU32::new(shown_parent.raw()),
            group: AtomicU32::new(group.raw()),
            session: AtomicU32::new(session.raw()),
            subreaper: AtomicBool::new(false),
            exec_done: AtomicBool::new(false),
            no_huge_pages: AtomicBool::new(false),
            dumpable: AtomicU32::new(1),
            dump_filter: AtomicU32::new(coredump::FILTER),
            last_uid: AtomicU32::new(0),
            oom_score_adj: AtomicI32::new(0),
            death_signal_to_parent: exit_signal,
            threads: Lock::new(Rank::Process, Threads::default()),
            limits: Lock::new(Rank::Leaf, limits),
            executable: Lock::new(Rank::Leaf, None),
            helpers: Lock::new(Rank::Leaf, Vec::new()),
            usage: Lock::new(Rank::Leaf, Accounts::default()),
            start_ns: platform().monotonic_ns(),
            child_wait: WaitQueue::new(),
            exit_wait: WaitQueue::new(),
            thread_wait: WaitQueue::new(),
            signals,
            timers: ProcessTimers::default(),
        }
    }

    /// Its number.
    #[inline]
    pub fn pid(&self) -> Tid {
        self.pid
    }

    /// The namespace of its number.
    #[inline]
    pub fn space(&self) -> &PidSpace {
        &self.space
    }

    /// Its number in its own namespace: getpid(2).
    #[inline]
    pub fn shown_pid(&self) -> Tid {
        self.shown
    }

    /// Its parent's number in its own namespace: getppid(2).
    #[inline]
    pub fn shown_parent(&self) -> Tid {
        Tid::new(self.shown_parent.load(Ordering::Relaxed))
    }

    /// Its parent's number, 0 when the parent is outside.
    #[inline]
    pub fn parent_pid(&self) -> Tid {
        Tid::new(self.parent.load(Ordering::Relaxed))
    }

    pub(super) fn set_parent(&self, parent: Tid, shown: Tid) {
        self.parent.store(parent.raw(), Ordering::Relaxed);
        self.shown_parent.store(shown.raw(), Ordering::Relaxed);
    }

    /// Its process group.
    #[inline]
    pub fn group(&self) -> Tid {
        Tid::new(self.group.load(Ordering::Relaxed))
    }

    /// Its session.
    #[inline]
    pub fn session(&self) -> Tid {
        Tid::new(self.session.load(Ordering::Relaxed))
    }

    /// Sets group and session; the caller holds the registry's lock.
    pub(super) fn set_group(&self, group: Tid, session: Tid) {
        self.group.store(group.raw(), Ordering::Relaxed);
        self.session.store(session.raw(), Ordering::Relaxed);
    }

    /// Whether it leads its session.
    pub fn is_session_leader(&self) -> bool {
        self.session() == self.pid
    }

    /// PR_SET_CHILD_SUBREAPER.
    pub fn is_subreaper(&self) -> bool {
        self.subreaper.load(Ordering::Relaxed)
    }

    /// Sets PR_SET_CHILD_SUBREAPER.
    pub fn set_subreaper(&self, on: bool) {
        self.subreaper.store(on, Ordering::Relaxed);
    }

    /// PR_SET_THP_DISABLE, which is remembered alone.
    pub fn has_no_huge_pages(&self) -> bool {
        self.no_huge_pages.load(Ordering::Relaxed)
    }

    /// Sets PR_SET_THP_DISABLE.
    pub fn set_no_huge_pages(&self, on: bool) {
        self.no_huge_pages.store(on, Ordering::Relaxed);
    }

    /// Whether it called execve since its fork (setpgid by the parent then fails).
    pub fn has_execed(&self) -> bool {
        self.exec_done.load(Ordering::Relaxed)
    }

    pub(super) fn set_execed(&self) {
        self.exec_done.store(true, Ordering::Relaxed);
    }

    /// PR_GET_DUMPABLE: 0, 1 or 2.
    pub fn dumpable(&self) -> u32 {
        self.dumpable.load(Ordering::Relaxed)
    }

    /// Sets PR_SET_DUMPABLE.
    pub fn set_dumpable(&self, value: u32) {
        self.dumpable.store(value, Ordering::Relaxed);
    }

    /// The real user of the thread that last changed it: what SIGCHLD and waitid report, also of a zombie.
    pub fn last_uid(&self) -> u32 {
        self.last_uid.load(Ordering::Relaxed)
    }

    /// Sets that user.
    pub fn set_last_uid(&self, uid: u32) {
        self.last_uid.store(uid, Ordering::Relaxed);
    }

    /// The signal its parent gets when it ends, 0 for none.
    pub fn exit_signal(&self) -> u32 {
        self.death_signal_to_parent
    }

    /// CLOCK_MONOTONIC at its start, ns.
    pub fn start_ns(&self) -> u64 {
        self.start_ns
    }

    /// Its program's file.
    pub fn executable(&self) -> Option<Path> {
        self.executable.lock().clone()
    }

    /// Sets its program's file.
    pub fn set_executable(&self, path: Option<Path>) {
        let old = core::mem::replace(&mut *self.executable.lock(), path);
        drop(old);
    }

    /// `/proc/PID/oom_score_adj`: how gladly it is killed when memory runs out, -1000 to 1000.
    pub fn oom_score_adj(&self) -> i32 {
        self.oom_score_adj.load(Ordering::Relaxed)
    }

    /// Sets that.
    pub fn set_oom_score_adj(&self, value: i32) {
        self.oom_score_adj.store(value, Ordering::Relaxed);
    }

    /// Adds a helper thread.
    pub fn add_helper(&self, task: &Arc<Task>) {
        self.helpers.lock().push(task.clone());
    }

    /// Removes one.
    pub fn remove_helper(&self, task: &Arc<Task>) {
        let gone = {
            let mut helpers = self.helpers.lock();
            let found = helpers.iter().position(|other| Arc::ptr_eq(other, task));
            found.map(|index| helpers.swap_remove(index))
        };
        drop(gone);
    }

    /// Ends what helper threads do: the program they do it for is gone.
    pub(super) fn end_helpers(&self) {
        let helpers = self.helpers.lock().clone();
        for task in helpers {
            task.doom();
        }
    }

    // Threads.

    /// `comm` of the thread that ended last: a zombie's name.
    pub fn last_name(&self) -> [u8; 16] {
        self.threads.lock().last_name
    }

    /// Its live threads.
    pub fn threads(&self) -> Vec<Arc<Task>> {
        self.threads.lock().live.clone()
    }

    /// How many threads are live.
    pub fn thread_count(&self) -> usize {
        self.threads.lock().live.len()
    }

    /// The thread whose number is the pid, or any other when that is gone.
    pub fn leader(&self) -> Option<Arc<Task>> {
        let threads = self.threads.lock();
        let leader = threads.live.iter().find(|task| task.tid() == self.pid);
        leader.or(threads.live.first()).cloned()
    }

    /// Adds a thread; false when the process is ending.
    pub(crate) fn add_thread(&self, task: &Arc<Task>) -> bool {
        let mut threads = self.threads.lock();
        if threads.ending.is_some() {
            return false;
        }
        threads.live.push(task.clone());
        true
    }

    /// Removes an ending thread. Returns the process's status when it was the last: `status`, or that of the group's end.
    pub(super) fn remove_thread(&self, tid: Tid, status: ExitStatus) -> Option<ExitStatus> {
        let mut threads = self.threads.lock();
        let removed =
            threads.live.iter().position(|task| task.tid() == tid).map(|index| threads.live.swap_remove(index));
        threads.leaving.retain(|leaving| *leaving != tid);
        let last = threads.live.is_empty();
        let result = last.then(|| threads.ending.unwrap_or(status));
        if let Some(task) = &removed {
            threads.last_name = task.name();
        }
        drop(threads);
        drop(removed);
        result
    }

    /// Makes all threads end with `status`, unless they already end with another. Returns the status that holds, and the
    /// threads to wake.
    pub fn begin_end(&self, status: ExitStatus) -> (ExitStatus, Vec<Arc<Task>>) {
        let mut threads = self.threads.lock();
        let killed =
            matches!(status, ExitStatus::Signal { number, .. } if u32::from(number) == Signal::SIGKILL.number());
        if let Some(dump) = threads.dump.as_ref().filter(|_| killed) {
            dump.cut_short();
        }
        let holds = *threads.ending.get_or_insert(status);
        (holds, threads.live.clone())
    }

    /// As `begin_end`, with a core of it all; `None` where it ends already. The threads, besides `own`, that will join in.
    pub fn begin_dump(&self, status: ExitStatus, dump: &Arc<Dump>, own: &Arc<Task>) -> Option<Vec<Arc<Task>>> {
        let mut threads = self.threads.lock();
        if threads.ending.is_some() {
            return None;
        }
        threads.ending = Some(status);
        threads.dump = Some(dump.clone());
        let joins = |task: &&Arc<Task>| !Arc::ptr_eq(task, own) && !threads.leaving.contains(&task.tid());
        Some(threads.live.iter().filter(joins).cloned().collect())
    }

    /// The core is done, or failed.
    pub fn end_dump(&self, written: bool) {
        let mut threads = self.threads.lock();
        if let (true, Some(ExitStatus::Signal { core, .. })) = (written, &mut threads.ending) {
            *core = true;
        }
        let dump = threads.dump.take();
        drop(threads);
        drop(dump);
    }

    /// A thread begins to end: the dump that it is a part of, if there is one.
    pub fn dump_to_join(&self, tid: Tid) -> Option<Arc<Dump>> {
        let mut threads = self.threads.lock();
        if threads.dump.is_none() {
            threads.leaving.push(tid);
        }
        threads.dump.clone()
    }

    /// `/proc/PID/coredump_filter`.
    pub fn dump_filter(&self) -> u32 {
        self.dump_filter.load(Ordering::Relaxed)
    }

    /// Sets that.
    pub fn set_dump_filter(&self, filter: u32) {
        self.dump_filter.store(filter, Ordering::Relaxed);
    }

    /// The status all threads are to end with, if they are.
    pub fn ending(&self) -> Option<ExitStatus> {
        self.threads.lock().ending
    }

    /// Whether it is ending or has ended.
    pub fn is_exiting(&self) -> bool {
        let threads = self.threads.lock();
        threads.ending.is_some() || threads.exited.is_some()
    }

    /// Whether all of its threads are gone (a zombie).
    pub fn is_exited(&self) -> bool {
        self.threads.lock().exited.is_some()
    }

    /// Its exit status, once all threads are gone.
    pub fn exited(&self) -> Option<ExitStatus> {
        self.threads.lock().exited
    }

    pub(super) fn set_exited(&self, status: ExitStatus) {
        self.threads.lock().exited = Some(status);
    }

    // Limits and accounting.

    /// Its resource limits.
    pub fn limits(&self) -> Limits {
        *self.limits.lock()
    }

    /// One soft limit (`RLIMIT_*`); unlimited for an unknown one.
    #[inline]
    pub fn soft_limit(&self, resource: u32) -> u64 {
        self.limits.lock().soft(resource)
    }

    /// Changes the limits.
    pub fn with_limits<T>(&self, change: impl FnOnce(&mut Limits) -> T) -> T {
        change(&mut self.limits.lock())
    }

    /// Resources used by all of its threads, dead or alive.
    pub fn usage(&self) -> Usage {
        let mut usage = self.usage.lock().own;
        for task in self.threads() {
            usage.add(&task.usage());
        }
        usage
    }

    /// Resources used by children that were waited for.
    pub fn children_usage(&self) -> Usage {
        self.usage.lock().children
    }

    pub(super) fn account_thread(&self, usage: &Usage) {
        self.usage.lock().own.add(usage);
    }

    /// Its largest resident set so far, for when the memory is gone.
    pub(super) fn account_peak(&self, mm: &AddressSpace) {
        let peak_kib = mm.resident_pages().1 * (PAGE_SIZE / 1024);
        let mut accounts = self.usage.lock();
        accounts.own.max_rss_kib = accounts.own.max_rss_kib.max(peak_kib);
    }

    pub(super) fn account_child(&self, usage: &Usage) {
        self.usage.lock().children.add(usage);
    }
}
