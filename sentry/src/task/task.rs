//! A thread as others see it.

use super::spaces::{Confinement, Spaces};
use super::trace::Trace;
use super::{Credentials, Process, Tid, Usage};
use crate::fs::{FdTable, FsContext};
use crate::mm::AddressSpace;
use crate::observe::Calls;
use crate::perf::Counters;
use crate::platform::{Switches, ThreadRef};
use crate::seccomp::Filters;
use crate::signal::TaskSignals;
use crate::sync::{Lock, Rank};
use crate::uts::Uts;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use linux_raw_sys::general as raw;

/// A thread.
pub struct Task {
    tid: AtomicU32,
    /// Its number in its process's namespace.
    shown: AtomicU32,
    process: Arc<Process>,
    thread: spin::Once<ThreadRef>,
    name: Lock<[u8; 16]>,
    spaces: Lock<Arc<Spaces>>,
    published: Lock<Published>,
    /// Whether there are filters, or a profile other than the first container's: what the system-call path looks at.
    filtered: AtomicBool,
    confined: AtomicBool,
    filters: Lock<Option<Arc<Filters>>>,
    minor_faults: AtomicU64,
    affinity: AtomicU64,
    policy: AtomicU32,
    real_time_priority: AtomicU32,
    nice: AtomicI32,
    io_priority: AtomicU32,
    /// PR_SET_PDEATHSIG.
    pub parent_death_signal: AtomicU32,
    /// Signals of this thread alone.
    pub signals: TaskSignals,
    /// ptrace(2).
    pub trace: Trace,
    /// perf_event_open(2).
    pub counters: Counters,
    /// Its system calls, while it makes any and they are counted.
    calls: Lock<Option<Arc<Calls>>>,
}

/// What others may see of a thread's private state. `None` after the thread let go of it at exit.
#[derive(Clone)]
#[allow(missing_docs)]
pub struct Published {
    pub mm: Option<Arc<AddressSpace>>,
    pub files: Option<Arc<FdTable>>,
    pub fs: Option<Arc<FsContext>>,
    pub creds: Arc<Credentials>,
}

impl Task {
    /// A thread `tid` of `process` that has not started yet.
    pub fn new(
        (tid, shown): (Tid, Tid),
        process: Arc<Process>,
        name: [u8; 16],
        published: Published,
        signals: TaskSignals,
        spaces: Arc<Spaces>,
    ) -> Self {
        let confined = matches!(spaces.profile, Confinement::Own(Some(_)));
        Self {
            tid: AtomicU32::new(tid.raw()),
            shown: AtomicU32::new(shown.raw()),
            process,
            thread: spin::Once::new(),
            name: Lock::new(Rank::Leaf, name),
            spaces: Lock::new(Rank::Leaf, spaces),
            published: Lock::new(Rank::Task, published),
            filtered: AtomicBool::new(confined),
            confined: AtomicBool::new(confined),
            filters: Lock::new(Rank::Leaf, None),
            minor_faults: AtomicU64::new(0),
            affinity: AtomicU64::new(u64::MAX),
            policy: AtomicU32::new(0),
            real_time_priority: AtomicU32::new(0),
            nice: AtomicI32::new(0),
            io_priority: AtomicU32::new(0),
            parent_death_signal: AtomicU32::new(0),
            signals,
            trace: Trace::default(),
            counters: Counters::default(),
            calls: Lock::new(Rank::Leaf, None),
        }
    }

    /// Its number.
    #[inline]
    pub fn tid(&self) -> Tid {
        Tid::new(self.tid.load(Ordering::Relaxed))
    }

    /// Its number in its process's namespace: gettid(2).
    #[inline]
    pub fn shown_tid(&self) -> Tid {
        Tid::new(self.shown.load(Ordering::Relaxed))
    }

    /// Changes its number; the caller holds the registry's lock.
    pub(super) fn set_tid(&self, tid: Tid, shown: Tid) {
        self.tid.store(tid.raw(), Ordering::Relaxed);
        self.shown.store(shown.raw(), Ordering::Relaxed);
    }

    /// Whether it must end as soon as it can: its process ends, or another thread called execve.
    #[inline]
    pub fn is_doomed(&self) -> bool {
        self.signals.is_doomed()
    }

    /// Makes it end as soon as it can.
    pub fn doom(&self) {
        self.signals.doom();
        self.wake();
    }

    /// What it counts of its system calls.
    pub fn calls(&self) -> Option<Arc<Calls>> {
        self.calls.lock().clone()
    }

    /// Changes where it counts them; returns where it did.
    pub fn set_calls(&self, calls: Option<Arc<Calls>>) -> Option<Arc<Calls>> {
        core::mem::replace(&mut *self.calls.lock(), calls)
    }

    /// Its process.
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// Its kernel thread, once started.
    pub fn thread(&self) -> Option<&ThreadRef> {
        self.thread.get()
    }

    /// Sets the kernel thread, once.
    pub fn set_thread(&self, thread: ThreadRef) {
        let thread = self.thread.call_once(|| thread);
        if self.nice() != 0 {
            thread.set_share(share(self.nice()));
        }
    }

    /// Ends its current park or user-mode stretch, so that it looks at its signals and state.
    pub fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
            thread.kick();
        }
    }

    /// The CPUs it may run on, bit n for CPU n.
    pub fn affinity(&self) -> u64 {
        self.affinity.load(Ordering::Relaxed)
    }

    /// Remembers the CPUs it may run on.
    pub fn set_affinity(&self, mask: u64) {
        self.affinity.store(mask, Ordering::Relaxed);
    }

    /// SCHED_*.
    pub fn policy(&self) -> u32 {
        self.policy.load(Ordering::Relaxed) & !raw::SCHED_RESET_ON_FORK
    }

    /// Whether its children start with the ordinary policy.
    pub fn resets_on_fork(&self) -> bool {
        self.policy.load(Ordering::Relaxed) & raw::SCHED_RESET_ON_FORK != 0
    }

    /// sched_priority, 0 for a policy without.
    pub fn real_time_priority(&self) -> u32 {
        self.real_time_priority.load(Ordering::Relaxed)
    }

    /// Sets both; `policy` may have SCHED_RESET_ON_FORK.
    pub fn set_policy(&self, policy: u32, priority: u32) {
        self.policy.store(policy, Ordering::Relaxed);
        self.real_time_priority.store(priority, Ordering::Relaxed);
    }

    /// Nice value, -20 to 19.
    pub fn nice(&self) -> i32 {
        self.nice.load(Ordering::Relaxed)
    }

    /// Sets the nice value, -20 to 19.
    pub fn set_nice(&self, nice: i32) {
        let old = self.nice.swap(nice, Ordering::Relaxed);
        if let Some(thread) = self.thread.get().filter(|_| old != nice) {
            thread.set_share(share(nice));
        }
    }

    /// ioprio_set(2)'s class and level, 0 for none of its own.
    pub fn io_priority(&self) -> u32 {
        self.io_priority.load(Ordering::Relaxed)
    }

    /// Sets that.
    pub fn set_io_priority(&self, value: u32) {
        self.io_priority.store(value, Ordering::Relaxed);
    }

    /// Its namespaces, other than those of users, of its own number and of mounts.
    pub fn spaces(&self) -> Arc<Spaces> {
        self.spaces.lock().clone()
    }

    /// Moves it to others.
    pub fn set_spaces(&self, spaces: Arc<Spaces>) {
        let old = core::mem::replace(&mut *self.spaces.lock(), spaces);
        drop(old);
    }

    /// Its UTS namespace.
    pub fn uts(&self) -> Arc<Uts> {
        self.spaces.lock().uts.clone()
    }

    /// What a new thread or process takes over: scheduling and affinity.
    pub fn inherit_scheduling(&self, parent: &Self) {
        self.set_affinity(parent.affinity());
        if parent.resets_on_fork() {
            let ordinary = matches!(parent.policy(), raw::SCHED_NORMAL | raw::SCHED_BATCH);
            self.set_policy(raw::SCHED_NORMAL, 0);
            self.set_nice(if ordinary { parent.nice().max(0) } else { 0 });
        } else {
            self.set_policy(parent.policy(), parent.real_time_priority());
            self.set_nice(parent.nice());
        }
        self.set_io_priority(parent.io_priority());
    }

    /// Whether it is held to filters of its own, or to a profile that is not the first container's.
    #[inline]
    pub fn is_filtered(&self) -> bool {
        self.filtered.load(Ordering::Acquire)
    }

    /// The filters that it is held to.
    pub fn filters(&self) -> Option<Arc<Filters>> {
        self.filters.lock().clone()
    }

    /// Holds it to other filters.
    pub fn set_filters(&self, filters: Option<Arc<Filters>>) {
        let some = filters.is_some();
        let old = core::mem::replace(&mut *self.filters.lock(), filters);
        self.filtered.store(some || self.confined.load(Ordering::Relaxed), Ordering::Release);
        drop(old);
    }

    /// Counts a page fault.
    pub fn count_fault(&self) {
        self.minor_faults.fetch_add(1, Ordering::Relaxed);
    }

    /// Resources it used so far.
    pub fn usage(&self) -> Usage {
        let (user_ns, system_ns) = self.thread.get().map_or((0, 0), |thread| thread.cpu_time_ns());
        let Switches { voluntary, involuntary, migrations } =
            self.thread.get().map_or_else(Switches::default, |thread| thread.switches());
        Usage {
            user_ns,
            system_ns,
            minor_faults: self.minor_faults.load(Ordering::Relaxed),
            voluntary_switches: voluntary,
            involuntary_switches: involuntary,
            migrations,
            ..Usage::default()
        }
    }

    /// `comm`, NUL-padded.
    pub fn name(&self) -> [u8; 16] {
        *self.name.lock()
    }

    /// Sets `comm` to the first 15 bytes of `name`.
    pub fn set_name(&self, name: &[u8]) {
        let mut padded = [0; 16];
        let len = name.len().min(15);
        padded[..len].copy_from_slice(&name[..len]);
        *self.name.lock() = padded;
    }

    /// A copy of what the thread published.
    pub fn published(&self) -> Published {
        self.published.lock().clone()
    }

    /// Its credentials.
    pub fn creds(&self) -> Arc<Credentials> {
        self.published.lock().creds.clone()
    }

    /// Replaces what others see; the old references are dropped outside the lock.
    pub fn publish(&self, new: Published) {
        let old = core::mem::replace(&mut *self.published.lock(), new);
        drop(old);
    }
}

/// What a nice value means for the length of a thread's turns: a quarter more or less a step, as in sched(7), between a sixteenth and
/// sixteen times, so that the longest keeps nobody waiting for long and the shortest is not spent on switching.
fn share(nice: i32) -> u32 {
    const ORDINARY: u32 = 1024;
    let steps = nice.unsigned_abs().min(STEPS);
    (0..steps).fold(ORDINARY, |share, _| if nice > 0 { share * 4 / 5 } else { share * 5 / 4 })
}

/// 1.25 to this power is some sixteen.
const STEPS: u32 = 12;
