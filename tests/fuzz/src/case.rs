//! A case: some workers in namespaces of their own, with capabilities or without, watched by the first process of the case, which
//! wakes threads that wait for ever, ends workers that do not wake up, and starts others.

use crate::board::{self, THREADS, WORKERS};
use crate::raw::sys;
use crate::rng::{Rng, mix};
use crate::{Options, start, worker};
use linux_raw_sys::general as g;
use syscalls::Sysno;

/// The namespaces that every case has: nothing of it reaches the supervisor.
const ALWAYS: u32 = g::CLONE_NEWPID | g::CLONE_NEWNS | g::CLONE_NEWIPC | g::CLONE_NEWUTS;
/// Rounds of watching until a thread that does nothing is woken, and until its process is ended.
const WAKE: u32 = 4;
const END: u32 = 24;
const ROUND_NS: u64 = 5_000_000;
/// Workers that a case starts in place of others.
const RESTARTS: usize = 4;

/// Starts a case; returns its first process.
pub fn begin(seed: u64, options: &Options) -> i64 {
    let mut rng = Rng::new(mix(seed, 0));
    let mut flags = ALWAYS;
    for more in [g::CLONE_NEWNET, g::CLONE_NEWCGROUP] {
        if rng.chance(40) {
            flags |= more;
        }
    }
    for worker in 0..WORKERS {
        for thread in 0..THREADS {
            board::slot(options.lane, worker, thread).end();
        }
    }
    let pid = sys(Sysno::clone, &[u64::from(flags | libc::SIGCHLD as u32), 0, 0, 0, 0]);
    if pid == 0 {
        start::case(&mut rng, options.lane);
        watch(seed, 1 + rng.below(3) as usize, options);
        sys(Sysno::exit_group, &[0]);
    }
    pid
}

struct Worker {
    pid: i64,
    seen: [u64; THREADS],
    still: [u32; THREADS],
}

fn launch(seed: u64, index: usize, generation: usize, options: &Options) -> Worker {
    let pid = sys(Sysno::fork, &[]);
    if pid == 0 {
        worker::run(mix(seed, (10 + index + 100 * generation) as u64), index, options);
    }
    Worker { pid, seen: [0; THREADS], still: [0; THREADS] }
}

/// Until all workers are done.
fn watch(seed: u64, count: usize, options: &Options) {
    let wanted = |index: usize| options.only.is_none_or(|only| only == index);
    let mut workers: Vec<Option<Worker>> =
        (0..count).map(|index| wanted(index).then(|| launch(seed, index, 0, options))).collect();
    let mut generation = 0;
    while workers.iter().any(Option::is_some) {
        sys(Sysno::nanosleep, &[[0u64, ROUND_NS].as_ptr() as u64, 0]);
        loop {
            let mut status = 0i32;
            let pid = sys(Sysno::wait4, &[u64::MAX, &raw mut status as u64, (libc::WNOHANG | libc::__WALL) as u64, 0]);
            if pid <= 0 {
                break;
            }
            for (index, place) in workers.iter_mut().enumerate() {
                if place.as_ref().is_some_and(|worker| worker.pid == pid) {
                    *place = None;
                    for thread in 0..THREADS {
                        board::slot(options.lane, index, thread).end();
                    }
                    let done = libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
                    if !done && generation < RESTARTS {
                        generation += 1;
                        *place = Some(launch(seed, index, generation, options));
                    }
                }
            }
        }
        for (index, worker) in workers.iter_mut().enumerate() {
            if let Some(worker) = worker {
                look_after(index, worker, options);
            }
        }
    }
}

/// Wakes and ends.
fn look_after(index: usize, worker: &mut Worker, options: &Options) {
    let mut stuck = 0;
    let mut running = 0;
    for thread in 0..THREADS {
        let slot = board::slot(options.lane, index, thread);
        let Some(tid) = slot.tid() else { continue };
        running += 1;
        let (steps, _) = slot.progress();
        if steps != worker.seen[thread] {
            (worker.seen[thread], worker.still[thread]) = (steps, 0);
            continue;
        }
        worker.still[thread] += 1;
        if worker.still[thread] > WAKE * options.patience {
            sys(Sysno::tgkill, &[worker.pid as u64, tid, libc::SIGUSR2 as u64]);
        }
        if worker.still[thread] > END * options.patience {
            stuck += 1;
        }
    }
    worker.still[THREADS - 1] = if running == 0 { worker.still[THREADS - 1] + 1 } else { worker.still[THREADS - 1] };
    if stuck > 0 && stuck == running || worker.still[THREADS - 1] > 4 * END * options.patience {
        sys(Sysno::kill, &[worker.pid as u64, libc::SIGKILL as u64]);
    }
}
