//! Out of memory: one process is killed, so that the others can go on.

use super::registry::registry;
use super::{Current, ExitStatus, Process, exit};
use crate::control;
use crate::mm;
use crate::platform::platform;
use crate::signal::Signal;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

/// How long a process that was killed gets to give its memory back before another one is chosen.
const PATIENCE_NS: u64 = 2_000_000_000;
/// Between two looks meanwhile.
const LOOK_NS: u64 = 1_000_000;
/// oom_score_adj of a process that is never chosen (OOM_SCORE_ADJ_MIN).
const NEVER: i32 = -1000;

/// Pages of the kernel's for a thread: its stack, and what else it has.
const THREAD_PAGES: u64 = 10;
/// Descriptors with their files that a page of the kernel's holds: a pipe's ends, half a socket.
const DESCRIPTORS_PER_PAGE: u64 = 4;

/// When a process was killed last, and how many were.
static LAST_NS: AtomicU64 = AtomicU64::new(0);
static KILLS: AtomicU64 = AtomicU64::new(0);

/// Processes killed for want of memory.
pub fn kills() -> u64 {
    KILLS.load(Ordering::Relaxed)
}

/// Frees memory until the kernel need not live on its reserve: caches first, then a process at a time. Blocks.
pub fn make_room(current: &Current) {
    while platform().memory_is_low() && (mm::give_back() > 0 || relieve(current)) {}
}

/// Makes room for the running thread, which wants memory and cannot have it. True: it may try again. False: it has to end.
/// Blocks.
pub fn relieve(current: &Current) -> bool {
    if current.task.is_doomed() {
        return false;
    }
    let processes = registry().processes();
    let now = platform().monotonic_ns();
    let dying = processes.iter().any(|process| process.is_exiting() && pages(process).is_some());
    if dying && now.saturating_sub(LAST_NS.load(Ordering::Relaxed)) < PATIENCE_NS {
        platform().park(Some(now.saturating_add(LOOK_NS)));
        return !current.task.is_doomed();
    }
    let victim = choose(&processes).unwrap_or_else(|| current.process.clone());
    LAST_NS.store(now, Ordering::Relaxed);
    KILLS.fetch_add(1, Ordering::Relaxed);
    exit::end_process(&victim, ExitStatus::Signal { number: Signal::SIGKILL.number() as u8, core: false });
    control::out_of_memory();
    !current.task.is_doomed()
}

/// The process that is the worst to keep: by what it uses, and what `oom_score_adj` adds to that in thousandths of all there is.
fn choose(processes: &[Arc<Process>]) -> Option<Arc<Process>> {
    let total = i64::try_from(platform().memory_info().total_pages).unwrap_or(i64::MAX);
    let score = |process: &Arc<Process>| {
        let adjust = process.oom_score_adj();
        if adjust == NEVER || process.is_exiting() {
            return None;
        }
        let pages = i64::try_from(pages(process)?).unwrap_or(i64::MAX);
        Some(pages.saturating_add((total / 1000).saturating_mul(i64::from(adjust))))
    };
    let scored = processes.iter().filter_map(|process| Some((score(process)?, process)));
    scored.max_by_key(|(score, _)| *score).map(|(_, process)| process.clone())
}

/// Resident pages of a process, and about what the kernel keeps for its threads and descriptors; `None` where it has no memory any more.
fn pages(process: &Process) -> Option<u64> {
    let threads = process.threads();
    let published = threads.iter().map(|task| task.published()).find(|published| published.mm.is_some())?;
    let descriptors = published.files.map_or(0, |files| files.count() as u64);
    let kernel = threads.len() as u64 * THREAD_PAGES + descriptors / DESCRIPTORS_PER_PAGE;
    Some(published.mm?.resident_pages().0 + kernel)
}

#[cfg(test)]
mod tests {
    use super::{choose, kills, relieve};
    use crate::fake::{current, current_in, machine};
    use crate::platform::MemoryInfo;
    use alloc::sync::Arc;

    #[test]
    fn what_is_protected_is_not_chosen_and_what_is_offered_is() {
        let (small, large) = (current(), current());
        crate::fake::write_user(&large, crate::fake::USER_MEMORY, &[1; 8192]);
        let both = [small.process.clone(), large.process.clone()];
        machine().set_memory_info(MemoryInfo { total_pages: 10_000, free_pages: 0 });
        assert!(choose(&both).is_some_and(|chosen| Arc::ptr_eq(&chosen, &large.process)));
        small.process.set_oom_score_adj(500);
        assert!(choose(&both).is_some_and(|chosen| Arc::ptr_eq(&chosen, &small.process)));
        small.process.set_oom_score_adj(-1000);
        large.process.set_oom_score_adj(-1000);
        assert!(choose(&both).is_none());
    }

    #[test]
    fn a_thread_of_a_process_that_ends_does_not_get_another_killed() {
        let current = current_in(crate::fake::address_space());
        let before = kills();
        current.task.doom();
        assert!(!relieve(&current));
        assert_eq!(kills(), before);
    }
}
