//! Who exists: tasks and processes by number, and how processes are related. One lock guards all relations, so that
//! reparenting, groups and sessions are always seen whole; what is read often is mirrored in atomics of `Process`.

use super::pid_ns::{self, PidNs, PidSpace};
use super::{Process, Task};
use crate::errno::Errno;
use crate::platform::ThreadRef;
use crate::sync::{Lock, LockGuard, Rank};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A thread, process, group or session number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Tid(u32);

impl Tid {
    /// Number `raw`.
    pub const fn new(raw: u32) -> Self {
        Self(raw)
    }

    /// The number.
    pub const fn raw(self) -> u32 {
        self.0
    }
}

impl crate::syscall::FromArg for Tid {
    #[inline]
    fn from_arg(raw: u64) -> Result<Self, Errno> {
        Ok(Self(raw as u32))
    }
}

/// The number of the sandbox's first process.
pub const INIT: Tid = Tid::new(1);
/// The "number" of a parent outside of the container.
pub const OUTSIDE: Tid = Tid::new(0);
/// Numbers stay below (`/proc/sys/kernel/pid_max`).
pub const PID_MAX: u32 = 4_194_304;
/// Where numbering starts again after `PID_MAX`, as in Linux.
pub(super) const PID_RESTART: u32 = 300;
/// Tasks at most (`/proc/sys/kernel/threads-max`).
pub const THREADS_MAX: usize = 32_768;

/// The one registry of the sandbox.
pub struct Registry {
    tables: Lock<Tables>,
}

/// What the registry's lock guards.
pub struct Tables {
    tasks: BTreeMap<Tid, Arc<Task>>,
    processes: BTreeMap<Tid, Relations>,
    /// Numbers in nested namespaces, innermost first.
    nested: BTreeMap<Tid, Vec<(Arc<PidNs>, u32)>>,
    last: u32,
    forks: u64,
    /// Tasks at most, less than `THREADS_MAX` where the container has a limit of its own.
    max_tasks: usize,
    /// The container ends: nothing new is born.
    closed: bool,
}

/// One process and its relations.
pub struct Relations {
    /// The process.
    pub process: Arc<Process>,
    /// Its children, in the order of their making.
    pub children: Vec<Arc<Process>>,
}

static REGISTRY: Registry = Registry {
    tables: Lock::new(
        Rank::Processes,
        Tables {
            tasks: BTreeMap::new(),
            processes: BTreeMap::new(),
            nested: BTreeMap::new(),
            last: 0,
            forks: 0,
            max_tasks: THREADS_MAX,
            closed: false,
        },
    ),
};

/// The registry.
pub fn registry() -> &'static Registry {
    &REGISTRY
}

impl Registry {
    /// The tables, locked. No other lock but leaves and signal queues is taken inside.
    pub fn lock(&self) -> LockGuard<'_, Tables> {
        self.tables.lock()
    }

    /// The thread with this number.
    pub fn task(&self, tid: Tid) -> Option<Arc<Task>> {
        self.tables.lock().tasks.get(&tid).cloned()
    }

    /// The process with this number (zombies included).
    pub fn process(&self, pid: Tid) -> Option<Arc<Process>> {
        self.tables.lock().process(pid)
    }

    /// The task that a kernel thread runs.
    pub fn task_of(&self, thread: &ThreadRef) -> Option<Arc<Task>> {
        let tables = self.tables.lock();
        let runs = |task: &&Arc<Task>| task.thread().is_some_and(|own| Arc::ptr_eq(own, thread));
        tables.tasks.values().find(runs).cloned()
    }

    /// Every process (zombies included), by number.
    pub fn processes(&self) -> Vec<Arc<Process>> {
        self.tables.lock().processes.values().map(|entry| entry.process.clone()).collect()
    }

    /// The processes of a group.
    pub fn group(&self, group: Tid) -> Vec<Arc<Process>> {
        let tables = self.tables.lock();
        let all = tables.processes.values().map(|entry| &entry.process);
        all.filter(|process| process.group() == group).cloned().collect()
    }

    /// Threads that exist, and forks since the start.
    pub fn counts(&self) -> (usize, u64) {
        let tables = self.tables.lock();
        (tables.tasks.len(), tables.forks)
    }

    /// The number of `tid` in `space`, 0 where it has none.
    #[inline]
    pub fn shown(&self, tid: Tid, space: &PidSpace) -> Tid {
        match space {
            None => tid,
            Some(_) => self.tables.lock().shown(tid, space),
        }
    }

    /// The number given last.
    pub fn last_number(&self) -> Tid {
        Tid::new(self.tables.lock().last)
    }

    /// The next number given is the one behind this, if that is free.
    pub fn set_last_number(&self, number: Tid) {
        self.tables.lock().last = number.raw();
    }
}

impl Tables {
    /// The process with this number.
    pub fn process(&self, pid: Tid) -> Option<Arc<Process>> {
        self.processes.get(&pid).map(|entry| entry.process.clone())
    }

    /// A process's children.
    pub fn children(&self, pid: Tid) -> &[Arc<Process>] {
        self.processes.get(&pid).map_or(&[], |entry| &entry.children)
    }

    /// Every process.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Process>> {
        self.processes.values().map(|entry| &entry.process)
    }

    /// Limits the container's tasks; 0 for no limit of its own. Those that are there already stay.
    pub fn limit_tasks(&mut self, most: u32) {
        self.max_tasks = if most == 0 { THREADS_MAX } else { THREADS_MAX.min(most as usize) };
    }

    /// EAGAIN when the container has as many tasks as it may.
    pub fn check_limit(&self) -> Result<(), Errno> {
        if self.tasks.len() >= self.max_tasks { Err(Errno::EAGAIN) } else { Ok(()) }
    }

    /// The limit, `None` where the container has none of its own.
    pub fn task_limit(&self) -> Option<usize> {
        (self.max_tasks < THREADS_MAX).then_some(self.max_tasks)
    }

    /// From now on there are no new numbers. Returns who is there.
    pub fn close(&mut self) -> Vec<Arc<Process>> {
        self.closed = true;
        self.all().cloned().collect()
    }

    /// Whether the container ends.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// A number that no thread, process, group or session has. EAGAIN when there are too many threads, ENOMEM when the
    /// container ends.
    pub fn new_number(&mut self) -> Result<Tid, Errno> {
        if self.closed {
            return Err(Errno::ENOMEM);
        }
        if self.tasks.len() >= THREADS_MAX {
            return Err(Errno::EAGAIN);
        }
        loop {
            self.last = if self.last + 1 >= PID_MAX { PID_RESTART } else { self.last + 1 };
            let number = Tid::new(self.last);
            let taken = self.tasks.contains_key(&number)
                || self.nested.contains_key(&number)
                || self.processes.contains_key(&number)
                || self.all().any(|process| process.group() == number || process.session() == number);
            if !taken {
                return Ok(number);
            }
        }
    }

    /// A number that nobody has, and one in each namespace that `space` is in.
    pub fn new_number_in(&mut self, space: &PidSpace) -> Result<Tid, Errno> {
        let tid = self.new_number()?;
        if space.is_some() {
            let mut numbers = Vec::new();
            for ns in pid_ns::chain(space) {
                match ns.number_for(tid) {
                    Ok(number) => numbers.push((ns.clone(), number)),
                    Err(errno) => {
                        numbers.iter().for_each(|(ns, number)| ns.release(*number));
                        return Err(errno);
                    }
                }
            }
            self.nested.insert(tid, numbers);
        }
        Ok(tid)
    }

    /// The number of `tid` in `space`, 0 where it has none.
    pub fn shown(&self, tid: Tid, space: &PidSpace) -> Tid {
        let Some(space) = space else { return tid };
        let numbers = self.nested.get(&tid).map_or(&[][..], Vec::as_slice);
        numbers.iter().find(|(ns, _)| Arc::ptr_eq(ns, space)).map_or(OUTSIDE, |(_, number)| Tid::new(*number))
    }

    /// The numbers of `tid`, from those in `space` inwards (`/proc/PID/status`).
    pub fn shown_inwards(&self, tid: Tid, space: &PidSpace) -> Vec<Tid> {
        let mut numbers = Vec::new();
        for (ns, number) in self.nested.get(&tid).map_or(&[][..], Vec::as_slice) {
            numbers.push(Tid::new(*number));
            if pid_ns::same(&Some(ns.clone()), space) {
                numbers.reverse();
                return numbers;
            }
        }
        numbers.push(tid);
        numbers.reverse();
        numbers
    }

    /// Forgets the nested numbers of `tid` where nobody goes by it any more. The caller drops them outside the lock.
    #[must_use]
    pub fn release_number(&mut self, tid: Tid) -> Option<Vec<(Arc<PidNs>, u32)>> {
        if self.nested.is_empty() || self.tasks.contains_key(&tid) || self.processes.contains_key(&tid) {
            return None;
        }
        if self.all().any(|process| process.group() == tid || process.session() == tid) {
            return None;
        }
        let numbers = self.nested.remove(&tid)?;
        numbers.iter().for_each(|(ns, number)| ns.release(*number));
        Some(numbers)
    }

    /// Adds a process under `parent` (`None` for the first).
    pub fn add_process(&mut self, process: &Arc<Process>, parent: Option<Tid>) {
        self.processes.insert(process.pid(), Relations { process: process.clone(), children: Vec::new() });
        if let Some(parent) = parent.and_then(|pid| self.processes.get_mut(&pid)) {
            parent.children.push(process.clone());
        }
        self.forks += 1;
    }

    /// Adds a thread.
    pub fn add_task(&mut self, task: &Arc<Task>) {
        self.tasks.insert(task.tid(), task.clone());
    }

    /// Removes a thread; the caller drops it outside the lock.
    #[must_use]
    pub fn remove_task(&mut self, tid: Tid) -> Option<Arc<Task>> {
        let task = self.tasks.remove(&tid);
        // The namespaces outlive this: the thread's process holds them.
        drop(self.release_number(tid));
        task
    }

    /// Gives a thread the number `to` (execve by a thread that is not the leader).
    pub fn renumber(&mut self, task: &Arc<Task>, to: Tid) -> Option<Arc<Task>> {
        let before = task.tid();
        self.tasks.remove(&before);
        task.set_tid(to, task.process().shown_pid());
        drop(self.release_number(before));
        self.tasks.insert(to, task.clone())
    }

    /// Removes a reaped process from its parent; the caller drops it outside the lock.
    #[must_use]
    pub fn remove_process(&mut self, pid: Tid) -> Option<Relations> {
        let entry = self.processes.remove(&pid)?;
        let parent = entry.process.parent_pid();
        if let Some(parent) = self.processes.get_mut(&parent) {
            parent.children.retain(|child| child.pid() != pid);
        }
        if !self.nested.is_empty() {
            for number in [pid, entry.process.group(), entry.process.session()] {
                // The caller gets the process, which holds the namespaces.
                drop(self.release_number(number));
            }
        }
        Some(entry)
    }

    /// Hands all children of `from` to `to`; returns them.
    pub fn reparent(&mut self, from: Tid, to: Tid) -> Vec<Arc<Process>> {
        let Some(entry) = self.processes.get_mut(&from) else { return Vec::new() };
        let children = core::mem::take(&mut entry.children);
        for child in &children {
            child.set_parent(to, self.shown(to, child.space()));
        }
        if let Some(new) = self.processes.get_mut(&to) {
            new.children.extend(children.iter().cloned());
        }
        children
    }

    /// Who inherits the children of `process`: the nearest living ancestor that is a child subreaper, else the first process;
    /// both of its own namespace. The children of a namespace's first process are all gone before it is.
    pub fn reaper_of(&self, process: &Process) -> Tid {
        let first = process.space().as_ref().map_or(INIT, |ns| ns.init().unwrap_or(INIT));
        let mut pid = process.parent_pid();
        while let Some(entry) = self.processes.get(&pid) {
            if !pid_ns::same(entry.process.space(), process.space()) {
                break;
            }
            if entry.process.is_subreaper() && !entry.process.is_exiting() {
                return pid;
            }
            if pid == first {
                break;
            }
            pid = entry.process.parent_pid();
        }
        if first == process.pid() { INIT } else { first }
    }

    /// Whether a group is orphaned: no member has a living parent in another group of the same session (POSIX).
    /// `ignoring` is a process that counts as gone.
    pub fn is_orphaned(&self, group: Tid, ignoring: Option<Tid>) -> bool {
        !self.all().any(|member| {
            member.group() == group
                && Some(member.pid()) != ignoring
                && !member.is_exited()
                && self.processes.get(&member.parent_pid()).is_some_and(|parent| {
                    parent.process.session() == member.session() && parent.process.group() != group
                })
        })
    }
}
