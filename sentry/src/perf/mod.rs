//! Counters of what threads do (perf_event_open(2)): the software events. They are differences of what each thread is counted
//! for anyway, so that nothing on the way of a fault or a switch knows of them.
//!
//! ```text
//! PerfFile ── Arc<Event> ◀── Task::counters (of each thread that it counts)
//!                 └ siblings: those of the group that it leads
//! ```
//!
//! A counter holds the threads it counts weakly, and they it; `inherited` (clone), `executed` (execve) and `thread_gone` (exit)
//! are its only hooks. Lock: an event's state is a leaf, and so is a thread's list; neither is taken under the other. A leader's
//! state is never taken under a member's.

pub mod file;

use crate::sync::{Lock, Rank};
use crate::task::Task;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What is counted (enum perf_sw_ids).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    /// CPU time; for a thread both clocks of Linux's are that.
    Clock,
    Faults,
    MinorFaults,
    MajorFaults,
    Switches,
    Migrations,
    /// What never happens here, or is never counted.
    Nothing,
}

/// How an event behaves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What it counts.
    pub kind: Kind,
    /// Threads and processes made by those it counts are counted as well; `threads_only`: threads.
    pub inherit: bool,
    /// See `inherit`.
    pub threads_only: bool,
    /// It begins with the program's next execve.
    pub enable_on_exec: bool,
    /// What user mode does, and what the kernel does, does not count.
    pub exclude_user: bool,
    /// See `exclude_user`.
    pub exclude_kernel: bool,
    /// What a read gives (PERF_FORMAT_*).
    pub format: u64,
}

/// An event.
pub struct Event {
    options: Options,
    id: u64,
    state: Lock<State>,
    /// The one whose group it is in; `None` for a leader.
    leader: Option<Arc<Event>>,
}

struct State {
    enabled: bool,
    /// It counts: it is enabled, and so is its leader.
    active: bool,
    /// Counted before, and the time in which it was, in ns.
    sum: Sample,
    subjects: Vec<Subject>,
    siblings: Vec<Weak<Event>>,
}

/// A count, and the CPU time in which it came about.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Events.
    pub count: u64,
    /// Time, ns.
    pub time_ns: u64,
}

struct Subject {
    task: Weak<Task>,
    /// What it had when counting began.
    base: Sample,
}

/// The counters of a thread.
pub struct Counters {
    /// Whether there are any, for the ways that must be short.
    any: AtomicBool,
    list: Lock<Vec<Weak<Event>>>,
}

impl Default for Counters {
    fn default() -> Self {
        Self { any: AtomicBool::new(false), list: Lock::new(Rank::Leaf, Vec::new()) }
    }
}

impl Counters {
    fn all(&self) -> Vec<Arc<Event>> {
        if !self.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut list = self.list.lock();
        list.retain(|event| event.strong_count() > 0);
        list.iter().filter_map(Weak::upgrade).collect()
    }

    fn add(&self, event: &Arc<Event>) {
        self.list.lock().push(Arc::downgrade(event));
        self.any.store(true, Ordering::Release);
    }
}

impl Sample {
    fn since(self, before: Self) -> Self {
        Self { count: self.count.saturating_sub(before.count), time_ns: self.time_ns.saturating_sub(before.time_ns) }
    }

    fn add(&mut self, other: Self) {
        self.count = self.count.wrapping_add(other.count);
        self.time_ns = self.time_ns.wrapping_add(other.time_ns);
    }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Event {
    /// An event that counts `task`, in the group of `leader`. It does not count yet unless `enabled`.
    pub fn new(options: Options, task: &Arc<Task>, leader: Option<Arc<Self>>, enabled: bool) -> Arc<Self> {
        let state =
            State { enabled, active: false, sum: Sample::default(), subjects: Vec::new(), siblings: Vec::new() };
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let event = Arc::new(Self { options, id, state: Lock::new(Rank::Leaf, state), leader });
        event.watch(task);
        if let Some(leader) = &event.leader {
            leader.state.lock().siblings.push(Arc::downgrade(&event));
        }
        event.settle();
        event
    }

    /// Its number (PERF_EVENT_IOC_ID).
    pub fn id(&self) -> u64 {
        self.id
    }

    /// How it behaves.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The one whose group it is in: itself where it leads one.
    pub fn leader(self: &Arc<Self>) -> Arc<Self> {
        self.leader.clone().unwrap_or_else(|| self.clone())
    }

    /// The others of the group that it leads.
    pub fn siblings(&self) -> Vec<Arc<Self>> {
        self.state.lock().siblings.iter().filter_map(Weak::upgrade).collect()
    }

    /// Begins or ends counting. Members of its group count while it does.
    pub fn enable(&self, enabled: bool) {
        self.state.lock().enabled = enabled;
        self.settle();
        for sibling in self.siblings() {
            sibling.settle();
        }
    }

    /// Counts from 0 again; the time goes on.
    pub fn reset(&self) {
        let mut keep = Vec::new();
        let mut state = self.state.lock();
        state.sum.count = 0;
        for subject in &mut state.subjects {
            if let Some(now) = self.look(subject, &mut keep) {
                subject.base.count = now.count;
            }
        }
        drop(state);
    }

    /// What was counted so far.
    pub fn value(&self) -> Sample {
        let mut keep = Vec::new();
        let state = self.state.lock();
        let mut sum = state.sum;
        if state.active {
            for subject in &state.subjects {
                if let Some(now) = self.look(subject, &mut keep) {
                    sum.add(now.since(subject.base));
                }
            }
        }
        drop(state);
        sum
    }

    /// Counts a thread, too.
    fn watch(self: &Arc<Self>, task: &Arc<Task>) {
        let base = self.sample(task);
        self.state.lock().subjects.push(Subject { task: Arc::downgrade(task), base });
        task.counters.add(self);
    }

    /// Makes `active` what it has to be, and takes the counts of all threads as they are at that moment.
    fn settle(&self) {
        let led = self.leader.as_ref().is_none_or(|leader| leader.state.lock().enabled);
        let mut keep = Vec::new();
        let mut state = self.state.lock();
        let active = led && state.enabled;
        if active == state.active {
            return;
        }
        state.active = active;
        let State { subjects, sum, .. } = &mut *state;
        for subject in subjects {
            let Some(now) = self.look(subject, &mut keep) else { continue };
            if !active {
                sum.add(now.since(subject.base));
            }
            subject.base = now;
        }
        drop(state);
    }

    /// Takes the last counts of a thread.
    fn part(&self, task: &Arc<Task>) {
        let mut state = self.state.lock();
        let State { subjects, sum, active, .. } = &mut *state;
        let Some(at) = subjects.iter().position(|subject| subject.task.as_ptr() == Arc::as_ptr(task)) else { return };
        let subject = subjects.swap_remove(at);
        if *active {
            sum.add(self.sample(task).since(subject.base));
        }
    }

    /// What a thread has now, if it is there. `keep` holds it until the state's lock is given back: what ends with a thread takes
    /// other locks.
    fn look(&self, subject: &Subject, keep: &mut Vec<Arc<Task>>) -> Option<Sample> {
        let task = subject.task.upgrade()?;
        let now = self.sample(&task);
        keep.push(task);
        Some(now)
    }

    /// What the thread has in all of what this event counts.
    fn sample(&self, task: &Task) -> Sample {
        let Options { kind, exclude_user, exclude_kernel, .. } = self.options;
        let usage = task.usage();
        let time_ns = usage.user_ns.saturating_add(usage.system_ns);
        // Faults are user mode's; switches happen in the kernel.
        let count = match kind {
            Kind::Clock => time_ns,
            Kind::Faults if !exclude_user => usage.minor_faults.saturating_add(usage.major_faults),
            Kind::MinorFaults if !exclude_user => usage.minor_faults,
            Kind::MajorFaults if !exclude_user => usage.major_faults,
            Kind::Switches if !exclude_kernel => usage.voluntary_switches.saturating_add(usage.involuntary_switches),
            Kind::Migrations if !exclude_kernel => usage.migrations,
            _ => 0,
        };
        Sample { count, time_ns }
    }
}

/// A thread was made: events that are inherited count it.
pub fn inherited(parent: &Task, child: &Arc<Task>) {
    let same_process = Arc::ptr_eq(parent.process(), child.process());
    for event in parent.counters.all() {
        if event.options.inherit && (same_process || !event.options.threads_only) {
            event.watch(child);
        }
    }
}

/// The thread executes another program.
pub fn executed(task: &Task) {
    for event in task.counters.all() {
        if event.options.enable_on_exec {
            event.enable(true);
        }
    }
}

/// The thread ends.
pub fn thread_gone(task: &Arc<Task>) {
    for event in task.counters.all() {
        event.part(task);
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, Kind, Options, executed, inherited, thread_gone};
    use crate::fake;
    use std::sync::Arc;

    const OPTIONS: Options = Options {
        kind: Kind::MinorFaults,
        inherit: true,
        threads_only: false,
        enable_on_exec: true,
        exclude_user: false,
        exclude_kernel: false,
        format: 0,
    };

    #[test]
    fn an_event_counts_while_it_is_enabled() {
        let current = fake::current();
        let event = Event::new(OPTIONS, &current.task, None, false);
        current.task.count_fault();
        assert_eq!(event.value().count, 0);
        event.enable(true);
        current.task.count_fault();
        current.task.count_fault();
        assert_eq!(event.value().count, 2);
        event.enable(false);
        current.task.count_fault();
        assert_eq!(event.value().count, 2);
        event.reset();
        executed(&current.task);
        current.task.count_fault();
        assert_eq!(event.value().count, 1);
    }

    #[test]
    fn children_count_until_they_end_and_after() {
        let (current, child) = (fake::current(), fake::current());
        let event = Event::new(OPTIONS, &current.task, None, true);
        child.task.count_fault();
        inherited(&current.task, &child.task);
        child.task.count_fault();
        assert_eq!(event.value().count, 1);
        thread_gone(&child.task);
        child.task.count_fault();
        assert_eq!(event.value().count, 1);
        let alone = Event::new(Options { inherit: false, ..OPTIONS }, &current.task, None, true);
        inherited(&current.task, &child.task);
        child.task.count_fault();
        assert_eq!((event.value().count, alone.value().count), (2, 0));
    }

    #[test]
    fn a_group_counts_while_its_leader_does() {
        let current = fake::current();
        let leader = Event::new(OPTIONS, &current.task, None, false);
        let member = Event::new(OPTIONS, &current.task, Some(leader.clone()), true);
        current.task.count_fault();
        assert_eq!(member.value().count, 0);
        leader.enable(true);
        current.task.count_fault();
        assert_eq!((leader.value().count, member.value().count), (1, 1));
        leader.enable(false);
        current.task.count_fault();
        assert_eq!(member.value().count, 1);
        assert!(Arc::ptr_eq(&member.leader(), &leader) && leader.siblings().len() == 1);
        drop(member);
        assert!(leader.siblings().is_empty());
    }
}
