//! Who runs in the container, and what it has used.

use super::{FIRST, container_of};
use crate::load;
use crate::mm::cached_pages;
use crate::platform::platform;
use crate::task::{self, Process, oom, registry};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use linker::addr::UserVa;
use linker::control::{MAX_MESSAGE, ProcessInfo, Usage};
use linker::layout::PAGE_SIZE;

/// Bytes of one process's arguments at most, and of all together: an answer has to fit in a message.
const ARGUMENT_BYTES: u64 = 4096;
const ALL_ARGUMENT_BYTES: usize = MAX_MESSAGE / 4;
/// Processes of one answer at most.
const MOST: usize = MAX_MESSAGE / 128;

/// The most memory that was in use when somebody looked.
static PEAK: AtomicU64 = AtomicU64::new(0);

/// The processes, as ps(1) shows them.
pub(super) fn processes(container: u32) -> Vec<ProcessInfo> {
    let mut room = ALL_ARGUMENT_BYTES;
    of(container).iter().take(MOST).map(|process| describe(process, &mut room)).collect()
}

fn of(container: u32) -> Vec<Arc<Process>> {
    let mut all = registry().processes();
    all.retain(|process| container_of(process) == container);
    all
}

fn describe(process: &Arc<Process>, room: &mut usize) -> ProcessInfo {
    let used = process.usage();
    let age_ns = platform().monotonic_ns().saturating_sub(process.start_ns());
    let leader = process.leader();
    let state = match &leader {
        Some(task) if task.signals.stopped() => b'T',
        Some(task) if task.thread().is_some_and(|thread| thread.is_runnable()) => b'R',
        Some(_) => b'S',
        None => b'Z',
    };
    let mut args = arguments(process);
    let bytes: usize = args.iter().map(Vec::len).sum();
    if args.is_empty() || bytes > *room {
        let name = leader.as_ref().map_or_else(|| process.last_name(), |task| task.name());
        let name: Vec<u8> = name.iter().copied().take_while(|byte| *byte != 0).collect();
        args = Vec::from([[b"[", name.as_slice(), b"]"].concat()]);
    } else {
        *room -= bytes;
    }
    ProcessInfo {
        pid: process.pid().raw(),
        ppid: process.parent_pid().raw(),
        uid: leader.map_or_else(|| process.last_uid(), |task| task.creds().euid),
        args,
        cpu_ns: used.user_ns.saturating_add(used.system_ns),
        started_ns: platform().realtime_ns().saturating_sub(age_ns),
        state,
    }
}

/// What the process was started with, or wrote over that.
fn arguments(process: &Arc<Process>) -> Vec<Vec<u8>> {
    let Some(mm) = process.leader().and_then(|task| task.published().mm) else { return Vec::new() };
    let layout = mm.layout();
    let len = layout.arg_end.saturating_sub(layout.arg_start).min(ARGUMENT_BYTES) as usize;
    let mut line = vec![0; len];
    let done = mm.read_remote(UserVa::new(layout.arg_start), &mut line).unwrap_or(0);
    line.truncate(done);
    if line.last() == Some(&0) {
        line.pop();
    }
    if line.is_empty() { Vec::new() } else { line.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect() }
}

/// What a container has used so far: the first one what the sandbox has.
pub(super) fn usage(container: u32) -> Usage {
    if container == FIRST { of_sandbox() } else { of_processes(&of(container)) }
}

/// What some processes have used, as far as they are told apart: caches and peaks are everybody's.
fn of_processes(processes: &[Arc<Process>]) -> Usage {
    let mut used = task::Usage::default();
    let (mut tasks, mut pages) = (0usize, 0u64);
    for process in processes {
        used.add(&process.usage());
        used.add(&process.children_usage());
        tasks += process.thread_count();
        pages += process.leader().and_then(|task| task.published().mm).map_or(0, |mm| mm.resident_pages().0);
    }
    Usage {
        user_ns: used.user_ns,
        system_ns: used.system_ns,
        memory_bytes: pages.saturating_mul(PAGE_SIZE),
        tasks: u32::try_from(tasks).unwrap_or(u32::MAX),
        ..Usage::default()
    }
}

fn of_sandbox() -> Usage {
    let used = load::total();
    let memory = platform().memory_info();
    let cache_pages = cached_pages();
    let pages = memory.total_pages.saturating_sub(memory.free_pages).saturating_sub(cache_pages);
    let memory_bytes = pages.saturating_mul(PAGE_SIZE);
    let peak_bytes = PEAK.fetch_max(memory_bytes, Ordering::Relaxed).max(memory_bytes);
    Usage {
        user_ns: used.user_ns,
        system_ns: used.system_ns,
        memory_bytes,
        peak_bytes,
        cache_bytes: cache_pages.saturating_mul(PAGE_SIZE),
        tasks: u32::try_from(registry().counts().0).unwrap_or(u32::MAX),
        oom_kills: oom::kills(),
    }
}
