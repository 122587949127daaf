//! Deadlines and time slices: one one-shot timer a CPU, set for the earliest thing that is due and never for nothing. An
//! interrupt that comes too early costs a look and is set again; the timer is never moved back.

use crate::lapic;
use crate::lock::Lock;
use crate::percpu::{PerCpu, cpu, nth};
use crate::quirk;
use crate::sched;
use crate::thread::{KThread, ORDINARY_SHARE};
use crate::time;
use crate::x86::rdtsc;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use sentry::platform::Thread;

type Key = (u64, usize);

/// While threads run, a look at whether it is the program or the kernel that uses the CPU comes this often.
const TICK_NS: u64 = 10_000_000;
/// As often as that where an interrupt is dear.
const DEAR_TICK_NS: u64 = 100_000_000;

/// Sleeping threads by deadline and address.
pub struct Timers(Lock<BTreeMap<Key, Arc<KThread>>>);

impl Timers {
    /// None.
    pub const fn new() -> Self {
        Self(Lock::new(BTreeMap::new()))
    }
}

/// A running timer.
pub struct Timer {
    cpu: usize,
    key: Key,
}

/// Has the calling thread unparked at `deadline_ns`.
pub fn start(deadline_ns: u64) -> Timer {
    let this = cpu();
    let thread = sched::current_arc();
    let key = (deadline_ns, Arc::as_ptr(&thread) as usize);
    this.timers.0.lock().insert(key, thread);
    program(this, time::tsc_at(deadline_ns));
    Timer { cpu: this.number.get(), key }
}

/// Forgets a timer, whether it went off or not.
pub fn stop(timer: Timer) {
    let gone = nth(timer.cpu).timers.0.lock().remove(&timer.key);
    drop(gone);
}

/// A thread waits behind the running one: makes sure that the timer ends its slice, or calls an idle CPU sooner.
pub fn start_slice(this: &PerCpu) {
    let ns = if sched::any_idle() { sched::SPREAD_NS } else { slice_ns() };
    program(this, rdtsc() + time::ns_to_ticks(ns));
}

/// How long the running thread's turn is.
fn slice_ns() -> u64 {
    let share = sched::current().share.load(Ordering::Relaxed);
    quirk::slice_ns() * u64::from(share) / u64::from(ORDINARY_SHARE)
}

/// A thread is given the CPU: sees to it that ticks come. They end when the CPU is idle.
#[inline]
pub fn start_ticks(this: &PerCpu) {
    if this.tick_tsc.get() == u64::MAX {
        let tick = rdtsc() + tick_ticks();
        this.tick_tsc.set(tick);
        program(this, tick);
    }
}

fn tick_ticks() -> u64 {
    time::ns_to_ticks(if quirk::switches_are_dear() { DEAR_TICK_NS } else { TICK_NS })
}

/// The timer ended user mode, or interrupted a long call. What the thread ran since the last look is the kernel's if the
/// interrupt had to wait until the kernel returned (then user mode got no further than its first instruction) or let it in.
pub fn sample(this: &PerCpu, had_to_wait: bool) {
    let now = rdtsc();
    let since = this.sampled_tsc.replace(now).max(this.switched_tsc.get());
    if had_to_wait {
        sched::current().kernel_ticks.fetch_add(now.saturating_sub(since), Ordering::Relaxed);
    }
}

/// The timer went off: unparks who is due, and sees to the slice.
pub fn expire(this: &PerCpu) {
    this.timer_tsc.set(u64::MAX);
    let now = time::monotonic_ns();
    let mut woken = false;
    loop {
        let mut timers = this.timers.0.lock();
        let Some(due) = timers.first_entry().filter(|entry| entry.key().0 <= now) else { break };
        let thread = due.remove();
        drop(timers);
        thread.unpark();
        woken = true;
    }
    let mut next = first_deadline(this);
    if sched::is_idle(this) {
        this.tick_tsc.set(u64::MAX);
    } else {
        let (now, tick) = (rdtsc(), this.tick_tsc.get());
        if tick == u64::MAX || now >= tick {
            this.tick_tsc.set(now + tick_ticks());
        }
        next = next.min(this.tick_tsc.get());
    }
    if this.queue.len() != 0 {
        let called = sched::call_halted(this) && !quirk::switches_are_dear();
        let ran = rdtsc().saturating_sub(this.switched_tsc.get());
        let due = time::ns_to_ticks(if woken && !quirk::switches_are_dear() { 0 } else { slice_ns() });
        if ran >= due {
            this.resched.set(true);
        } else if !called {
            next = next.min(this.switched_tsc.get() + due);
        }
    }
    // Once: it leaves the machine.
    program(this, next);
}

/// Sets the timer for the earliest deadline of this CPU.
pub fn program_deadlines(this: &PerCpu) {
    program(this, first_deadline(this));
}

/// The TSC at this CPU's earliest deadline; the largest number without one.
fn first_deadline(this: &PerCpu) -> u64 {
    this.timers.0.lock().first_key_value().map_or(u64::MAX, |(key, _)| time::tsc_at(key.0))
}

fn program(this: &PerCpu, tsc: u64) {
    if tsc < this.timer_tsc.get() {
        this.timer_tsc.set(tsc);
        lapic::set_timer(tsc);
    }
}
