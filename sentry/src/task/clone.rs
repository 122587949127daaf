//! fork, vfork, clone, clone3: a new thread or process.

use super::registry::registry;
use super::spaces::{self, Spaces};
use super::{Credentials, Current, Process, Published, Task, Tid, pid_ns, run, trace};
use crate::errno::Errno;
use crate::fs::OpenFlags;
use crate::fs::pidfd::PidFd;
use crate::perf;
use crate::platform::platform;
use crate::signal::ThreadSignalState;
use crate::syscall::Fail;
use crate::wait::{Events, WaitQueue};
use alloc::boxed::Box;
use alloc::sync::Arc;
use bitflags::bitflags;
use core::sync::atomic::{AtomicBool, Ordering};
use linker::addr::UserVa;
use linux_raw_sys::general as raw;

bitflags! {
    /// CLONE_*.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    #[allow(missing_docs)]
    pub struct CloneFlags: u64 {
        const VM = raw::CLONE_VM as u64;
        const FS = raw::CLONE_FS as u64;
        const FILES = raw::CLONE_FILES as u64;
        const SIGHAND = raw::CLONE_SIGHAND as u64;
        const PIDFD = raw::CLONE_PIDFD as u64;
        const PTRACE = raw::CLONE_PTRACE as u64;
        const VFORK = raw::CLONE_VFORK as u64;
        const PARENT = raw::CLONE_PARENT as u64;
        const THREAD = raw::CLONE_THREAD as u64;
        const NEWNS = raw::CLONE_NEWNS as u64;
        const SYSVSEM = raw::CLONE_SYSVSEM as u64;
        const SETTLS = raw::CLONE_SETTLS as u64;
        const PARENT_SETTID = raw::CLONE_PARENT_SETTID as u64;
        const CHILD_CLEARTID = raw::CLONE_CHILD_CLEARTID as u64;
        const DETACHED = raw::CLONE_DETACHED as u64;
        const UNTRACED = raw::CLONE_UNTRACED as u64;
        const CHILD_SETTID = raw::CLONE_CHILD_SETTID as u64;
        const NEWCGROUP = raw::CLONE_NEWCGROUP as u64;
        const NEWUTS = raw::CLONE_NEWUTS as u64;
        const NEWIPC = raw::CLONE_NEWIPC as u64;
        const NEWUSER = raw::CLONE_NEWUSER as u64;
        const NEWPID = raw::CLONE_NEWPID as u64;
        const NEWNET = raw::CLONE_NEWNET as u64;
        const IO = raw::CLONE_IO as u64;
        const CLEAR_SIGHAND = raw::CLONE_CLEAR_SIGHAND;
        const INTO_CGROUP = raw::CLONE_INTO_CGROUP;
        const NEWTIME = raw::CLONE_NEWTIME as u64;
    }
}

impl CloneFlags {
    /// The flags that make namespaces.
    pub const NAMESPACES: Self = Self::NEWNS
        .union(Self::NEWCGROUP)
        .union(Self::NEWUTS)
        .union(Self::NEWIPC)
        .union(Self::NEWUSER)
        .union(Self::NEWPID)
        .union(Self::NEWNET)
        .union(Self::NEWTIME);
}

/// What to make. Addresses are 0 where not given.
#[derive(Clone, Copy, Debug)]
pub struct CloneArgs {
    /// Flags.
    pub flags: CloneFlags,
    /// Signal to the parent at the end, 0 for none.
    pub exit_signal: u32,
    /// The child's stack pointer, 0 for the parent's.
    pub stack: u64,
    /// Thread pointer (CLONE_SETTLS).
    pub tls: u64,
    /// Where the child's number goes in the parent's memory.
    pub parent_tid: UserVa,
    /// Where it goes in the child's memory, and what is cleared at its end.
    pub child_tid: UserVa,
    /// Where the descriptor goes (CLONE_PIDFD).
    pub pidfd: UserVa,
}

/// Tells a vfork parent that the child has its own memory or is gone.
pub struct VforkDone {
    done: AtomicBool,
    queue: WaitQueue,
}

impl VforkDone {
    /// Lets the parent go on.
    pub fn finish(&self) {
        self.done.store(true, Ordering::SeqCst);
        self.queue.wake(Events::IN);
    }
}

/// Makes a thread or process that goes on where the caller is, with 0 in `rax`. Returns its number.
pub fn clone(current: &mut Current, args: &CloneArgs) -> Result<Tid, Fail> {
    check(args)?;
    let flags = args.flags;
    let creds = spaces::maker(current, flags)?;
    let spaces = Spaces::derive(&current.task, flags, &creds.user)?;
    let moves = !pid_ns::same(&spaces.children, current.process.space());
    if flags.contains(CloneFlags::THREAD) && (moves || flags.contains(CloneFlags::NEWUSER)) {
        return Err(Errno::EINVAL.into());
    }
    if current.process.is_exiting() {
        return Err(Fail::RestartAlways);
    }
    check_process_limit(current)?;
    let vfork = flags
        .contains(CloneFlags::VFORK)
        .then(|| Arc::new(VforkDone { done: AtomicBool::new(false), queue: WaitQueue::new() }));
    let child = copy_current(current, args, (creds, spaces), vfork.clone())?;
    let tid = child.task.tid();
    let shown = current.shown(tid);
    if flags.contains(CloneFlags::PIDFD)
        && let Err(errno) = give_pidfd(current, &child, args)
    {
        forget(&child.task);
        return Err(errno.into());
    }
    if flags.contains(CloneFlags::PARENT_SETTID) {
        // Linux ignores a bad address here, too.
        let _ = current.copy_out(args.parent_tid, &shown.raw().to_ne_bytes());
    }
    let event = trace::clone_event(current, flags, args.exit_signal);
    trace::cloned(current, &child.task, flags, event);
    perf::inherited(&current.task, &child.task);
    start(child, args)?;
    if let Some(event) = event {
        let tracer = current.task.trace.tracer().and_then(|tracer| registry().process(tracer));
        let seen = tracer.map_or(tid, |tracer| registry().shown(tid, tracer.space()));
        trace::event_stop(current, event, u64::from(seen.raw()));
    }
    if let Some(done) = vfork {
        wait_for_vfork(current, &done);
        trace::vfork_done(current, tid);
    }
    Ok(shown)
}

/// CLONE_PIDFD: the parent gets a descriptor of the child.
fn give_pidfd(current: &Current, child: &Current, args: &CloneArgs) -> Result<(), Errno> {
    let fd = current.add_file(PidFd::open(child.process.clone(), None, OpenFlags::empty()), true)?;
    current.copy_out(args.pidfd, &fd.raw().to_ne_bytes()).inspect_err(|_| drop(current.files.remove(fd)))
}

/// What Linux's copy_process refuses.
fn check(args: &CloneArgs) -> Result<(), Errno> {
    let flags = args.flags;
    let needs = |flag, needed| !flags.contains(flag) || flags.contains(needed);
    if !needs(CloneFlags::THREAD, CloneFlags::SIGHAND) || !needs(CloneFlags::SIGHAND, CloneFlags::VM) {
        return Err(Errno::EINVAL);
    }
    if flags.contains(CloneFlags::SIGHAND | CloneFlags::CLEAR_SIGHAND) {
        return Err(Errno::EINVAL);
    }
    if flags.contains(CloneFlags::FS) && flags.intersects(CloneFlags::NEWNS | CloneFlags::NEWUSER) {
        return Err(Errno::EINVAL);
    }
    if flags.contains(CloneFlags::PIDFD) && flags.intersects(CloneFlags::THREAD | CloneFlags::DETACHED) {
        return Err(Errno::EINVAL);
    }
    // Linux's errno without the feature.
    if flags.intersects(CloneFlags::NEWTIME.union(CloneFlags::INTO_CGROUP)) {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// RLIMIT_NPROC counts the user's processes; root is exempt.
fn check_process_limit(current: &Current) -> Result<(), Errno> {
    let limit = current.process.soft_limit(raw::RLIMIT_NPROC);
    if current.creds.uid == 0 || limit == super::UNLIMITED {
        return Ok(());
    }
    let uid = current.creds.uid;
    let count = registry().processes().iter().filter(|process| process.last_uid() == uid).count() as u64;
    if count >= limit { Err(Errno::EAGAIN) } else { Ok(()) }
}

/// The child's `Current`, on paper.
fn copy_current(
    parent: &Current,
    args: &CloneArgs,
    (creds, spaces): (Arc<Credentials>, Arc<Spaces>),
    vfork_done: Option<Arc<VforkDone>>,
) -> Result<Current, Fail> {
    let flags = args.flags;
    let share = |flag| flags.contains(flag);
    let mm = if share(CloneFlags::VM) { parent.mm.clone() } else { parent.mm.fork()? };
    let files = if share(CloneFlags::FILES) { parent.files.clone() } else { Arc::new(parent.files.duplicate()?) };
    let fs = if share(CloneFlags::FS) { parent.fs.clone() } else { parent.fs.duplicate() };
    if share(CloneFlags::NEWNS) {
        fs.unshare_namespace(creds.user.clone())?;
    }
    let creds = child_credentials(&creds, share(CloneFlags::THREAD));
    let published =
        Published { mm: Some(mm.clone()), files: Some(files.clone()), fs: Some(fs.clone()), creds: creds.clone() };
    let (process, task) = register(parent, flags, args.exit_signal, published, spaces)?;
    let mut regs = parent.regs;
    platform().sync_segment_bases(&mut regs);
    regs.rax = 0;
    if args.stack != 0 {
        regs.rsp = args.stack;
    }
    if share(CloneFlags::SETTLS) {
        regs.fs_base = args.tls;
    }
    // A child with memory of its own keeps the alternate stack; one that shares it without vfork must not (clone(2)).
    let keep_stack = !share(CloneFlags::VM) || share(CloneFlags::VFORK);
    Ok(Current {
        task,
        process,
        regs,
        calls: crate::observe::Calls::nobody(),
        listening: Default::default(),
        fail: crate::syscall::Fail::NoReturn,
        ended: None,
        mm,
        files,
        fs,
        creds,
        signal: ThreadSignalState::for_child(&parent.signal, keep_stack),
        robust_list: 0,
        // A thread registers its own.
        rseq: if share(CloneFlags::VM) { None } else { parent.rseq },
        clear_child_tid: if share(CloneFlags::CHILD_CLEARTID) { args.child_tid.raw() } else { 0 },
        vfork_done,
        personality: parent.personality,
        memory_policy: parent.memory_policy,
        ways: Default::default(),
        timer_slack_ns: parent.timer_slack_ns,
        default_timer_slack_ns: parent.timer_slack_ns,
    })
}

/// The parent's own, unless there are keyrings that a child does not have.
fn child_credentials(parent: &Arc<Credentials>, same_process: bool) -> Arc<Credentials> {
    if parent.rings.are_inherited(same_process) {
        return parent.clone();
    }
    Arc::new(Credentials { rings: parent.rings.for_child(same_process), ..(**parent).clone() })
}

/// Numbers the child and makes it known.
fn register(
    parent: &Current,
    flags: CloneFlags,
    exit_signal: u32,
    published: Published,
    spaces: Arc<Spaces>,
) -> Result<(Arc<Process>, Arc<Task>), Fail> {
    let me = &parent.process;
    let signals = parent.task.signals.for_child();
    let mut tables = registry().lock();
    tables.check_limit()?;
    let tid = tables.new_number_in(&spaces.children)?;
    let numbers = (tid, tables.shown(tid, &spaces.children));
    if flags.contains(CloneFlags::THREAD) {
        let task = Arc::new(Task::new(numbers, me.clone(), parent.task.name(), published, signals, spaces));
        task.inherit_scheduling(&parent.task);
        if !me.add_thread(&task) {
            let numbers = tables.release_number(tid);
            drop(tables);
            drop(numbers);
            return Err(Fail::RestartAlways);
        }
        // After it is one of the process's threads: who filters them all meanwhile finds it, or has filtered its maker.
        inherit_filters(&task, &parent.task);
        tables.add_task(&task);
        return Ok((me.clone(), task));
    }
    let (parent_pid, exit_signal) =
        if flags.contains(CloneFlags::PARENT) { (me.parent_pid(), me.exit_signal()) } else { (me.pid(), exit_signal) };
    let actions = me.signals.for_child(flags.contains(CloneFlags::SIGHAND), flags.contains(CloneFlags::CLEAR_SIGHAND));
    let shown_parent = tables.shown(parent_pid, &spaces.children);
    let shown = (spaces.children.clone(), numbers.1, shown_parent);
    // What has no handler does not reach the first process of a namespace.
    let first = spaces.children.as_ref().is_some_and(|ns| ns.init() == Some(tid));
    let process =
        Arc::new(Process::new(tid, shown, parent_pid, me.group(), me.session(), exit_signal, me.limits(), actions));
    process.set_oom_score_adj(me.oom_score_adj());
    process.set_dumpable(me.dumpable());
    process.set_dump_filter(me.dump_filter());
    process.set_last_uid(parent.creds.uid);
    process.set_executable(me.executable());
    process.signals.set_unkillable(first);
    let task = Arc::new(Task::new(numbers, process.clone(), parent.task.name(), published, signals, spaces));
    task.inherit_scheduling(&parent.task);
    inherit_filters(&task, &parent.task);
    process.add_thread(&task);
    tables.add_process(&process, Some(parent_pid));
    tables.add_task(&task);
    Ok((process, task))
}

fn inherit_filters(child: &Task, parent: &Task) {
    if parent.is_filtered() {
        child.set_filters(parent.filters());
    }
}

/// Starts the child's kernel thread.
fn start(child: Current, args: &CloneArgs) -> Result<(), Fail> {
    let task = child.task.clone();
    let set_tid = args.flags.contains(CloneFlags::CHILD_SETTID).then_some(args.child_tid);
    let main = Box::new(move || {
        if let Some(at) = set_tid {
            platform().use_page_table(Some(child.mm.table().clone()));
            let _ = child.copy_out(at, &child.task.shown_tid().raw().to_ne_bytes());
        }
        run::run(child);
    });
    match platform().spawn(true, main) {
        Ok(thread) => {
            task.set_thread(thread);
            task.process().timers.watch_cpu_limit(task.process());
            Ok(())
        }
        Err(_) => {
            forget(&task);
            Err(Errno::EAGAIN.into())
        }
    }
}

/// Undoes the registration of a task that could not be started.
pub fn forget(task: &Arc<Task>) {
    let process = task.process();
    let last = process.remove_thread(task.tid(), super::ExitStatus::Code(0));
    if let Some(status) = last {
        process.set_exited(status);
    }
    let mut tables = registry().lock();
    let gone = (tables.remove_task(task.tid()), last.and_then(|_| tables.remove_process(process.pid())));
    drop(tables);
    drop(gone);
    crate::control::ENDED.wake(Events::IN);
}

/// Parks a vfork parent; only death ends the wait early.
fn wait_for_vfork(current: &Current, done: &VforkDone) {
    let ready = || done.done.load(Ordering::SeqCst).then_some(());
    let _ = crate::wait::wait_on(&[(&done.queue, Events::IN)], false, None, &|| current.task.is_doomed(), ready);
}
