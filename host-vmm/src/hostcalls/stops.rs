//! Counts by ptrace(2): stops processes at their system calls. Each thread is seized, which stops nothing by itself, then let run from one
//! stop to the next; at the end all are let go as they were. Should this process die, the kernel lets them go.

use super::{Call, Calls, Found, Interrupts, Process};
use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long threads may take to stop, so that they can be let go.
const PATIENCE: Duration = Duration::from_secs(10);
/// `ptrace_syscall_info::op` (ptrace(2)).
const ENTRY: u8 = libc::PTRACE_SYSCALL_INFO_ENTRY;
const EXIT: u8 = libc::PTRACE_SYSCALL_INFO_EXIT;

/// A thread that is traced.
struct Thread {
    /// Index of its process.
    process: usize,
    /// The call it is in, and since when.
    inside: Option<(u32, Instant)>,
}

struct Tracer {
    processes: Vec<Calls>,
    threads: BTreeMap<Pid, Thread>,
    interrupts: Interrupts,
    /// No thread is let run any more.
    stopping: bool,
    ended: bool,
}

/// Counts for so long, or until one of the processes ends, or Ctrl-C comes.
pub fn count(processes: &[Process], time: Duration, interrupts: Interrupts) -> anyhow::Result<Found> {
    let processes = processes.iter().map(|process| Calls { process: *process, calls: BTreeMap::new() }).collect();
    let mut tracer = Tracer { processes, threads: BTreeMap::new(), interrupts, stopping: false, ended: false };
    let seized = tracer.seize_all();
    let begin = Instant::now();
    if seized.is_ok() {
        tracer.run(begin + time);
    }
    let time = begin.elapsed();
    tracer.release();
    seized?;
    Ok(Found { how: "ptrace", lost: 0, time, ended: tracer.ended, processes: tracer.processes })
}

impl Tracer {
    fn seize_all(&mut self) -> anyhow::Result<()> {
        for index in 0..self.processes.len() {
            let Process { pid, role } = self.processes[index].process;
            let directory = format!("/proc/{pid}/task");
            let list = std::fs::read_dir(&directory).with_context(|| format!("the {} ended", role.name()))?;
            for thread in list.filter_map(Result::ok) {
                let Some(tid) = thread.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
                let tid = Pid::from_raw(tid);
                let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE;
                match ptrace::seize(tid, options) {
                    Ok(()) => drop(self.threads.insert(tid, Thread { process: index, inside: None })),
                    Err(Errno::ESRCH) => {}
                    Err(Errno::EPERM) => bail!(
                        "the {} (pid {pid}) cannot be traced: another tracer has it, or it is somebody else's",
                        role.name()
                    ),
                    Err(errno) => bail!("ptrace of the {} (pid {pid}): {errno}", role.name()),
                }
                // From the stop that this makes on, it stops at calls.
                let _ = ptrace::interrupt(tid);
            }
        }
        Ok(())
    }

    fn run(&mut self, end: Instant) {
        while !self.ended && !self.threads.is_empty() {
            self.take_stops();
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.wait(left) {
                return;
            }
        }
    }

    /// Sleeps until there is a stop; true when somebody wants an end.
    fn wait(&mut self, left: Duration) -> bool {
        let timeout = Timespec::try_from(left).ok();
        let _ = rustix::event::poll(&mut [PollFd::new(&self.interrupts.0, PollFlags::IN)], timeout.as_ref());
        self.interrupts.came()
    }

    fn take_stops(&mut self) {
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) {
            match status {
                WaitStatus::StillAlive => return,
                WaitStatus::PtraceSyscall(tid) => {
                    self.at_call(tid);
                    self.go_on(tid, None);
                }
                WaitStatus::PtraceEvent(tid, ..) => {
                    // A thread that is new is its creator's process's: only the sandbox process has several.
                    self.threads.entry(tid).or_insert(Thread { process: 0, inside: None });
                    self.go_on(tid, None);
                }
                WaitStatus::Stopped(tid, signal) => self.go_on(tid, Some(signal)),
                WaitStatus::Exited(tid, _) | WaitStatus::Signaled(tid, ..) => self.gone(tid),
                WaitStatus::Continued(_) => {}
            }
        }
    }

    fn gone(&mut self, tid: Pid) {
        self.threads.remove(&tid);
        self.ended |= self.processes.iter().any(|calls| calls.process.pid == tid.as_raw());
    }

    /// From a stop to the next, or away.
    fn go_on(&mut self, tid: Pid, signal: Option<Signal>) {
        let gone_on = match self.stopping {
            true => {
                self.threads.remove(&tid);
                ptrace::detach(tid, signal)
            }
            false => ptrace::syscall(tid, signal),
        };
        if gone_on == Err(Errno::ESRCH) {
            self.threads.remove(&tid);
        }
    }

    fn at_call(&mut self, tid: Pid) {
        let now = Instant::now();
        let Some(thread) = self.threads.get_mut(&tid) else { return };
        let (Ok(info), Ok(registers)) = (ptrace::syscall_info(tid), ptrace::getregs(tid)) else { return };
        match (info.op, thread.inside.take()) {
            (ENTRY, _) => thread.inside = u32::try_from(registers.orig_rax).ok().map(|number| (number, now)),
            (EXIT, Some((number, since))) => {
                let Some(calls) = self.processes.get_mut(thread.process) else { return };
                let call: &mut Call = calls.calls.entry(number).or_default();
                call.returned(registers.rax.cast_signed(), now - since);
            }
            _ => {}
        }
    }

    /// Lets all go.
    fn release(&mut self) {
        self.stopping = true;
        for tid in self.threads.keys() {
            let _ = ptrace::interrupt(*tid);
        }
        let end = Instant::now() + PATIENCE;
        while !self.threads.is_empty() && Instant::now() < end {
            self.take_stops();
            self.wait(Duration::from_millis(50));
        }
    }
}
