//! Which thread runs where. A wake-up puts the thread on the waker's own CPU: the two are most likely talking to each
//! other, and a switch costs far less than an interrupt to a halted CPU. If the waker keeps its CPU after all, the next
//! timer tick or switch calls an idle CPU, which takes the thread from the queue; at once if the waker is known to go on
//! (`turn`).
//!
//! Blocking is `park`: the state word decides races with `unpark` (see `thread::state`). A thread may be queued before it
//! has left its CPU; nobody takes it before `on_cpu` is clear.

use crate::asm::switch::switch_stacks;
use crate::fpu;
use crate::frame::report;
use crate::ipi;
use crate::paging::{UserPageTable, kernel};
use crate::percpu::{PerCpu, attention, cpu, nth};
use crate::quirk;
use crate::ring;
use crate::thread::{KThread, state};
use crate::time;
use crate::timer;
use crate::x86::{self, rdtsc};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ptr::null;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use sentry::platform::{NoMemory, ThreadRef};

/// CPUs that are halted or about to be, and that nobody has called since.
static IDLE: AtomicU64 = AtomicU64::new(0);
/// All that are halted or about to be.
static HALTED: AtomicU64 = AtomicU64::new(0);
static CPUS: AtomicUsize = AtomicUsize::new(1);

/// A thread that others wait behind may run this long where ring 0 is not interpreted.
pub const SLICE_NS: u64 = 4_000_000;
/// A woken thread waits this long for its waker's CPU before an idle one is called.
pub const SPREAD_NS: u64 = 100_000;

/// CPUs of the sandbox.
pub fn cpus() -> usize {
    CPUS.load(Ordering::Relaxed)
}

/// Makes the code that runs on this CPU its idle thread.
pub fn init(cpus: usize) {
    CPUS.store(cpus, Ordering::Relaxed);
    let cpu = cpu();
    let idle = Arc::into_raw(KThread::idle());
    cpu.idle.set(idle);
    // SAFETY: the reference above is never given back; this counts the one that `current` holds.
    unsafe { Arc::increment_strong_count(idle) };
    cpu.current.set(idle);
    cpu.switched_tsc.set(rdtsc());
}

/// The running thread. Valid as long as it runs, which is as long as the caller can look.
#[inline]
pub fn current<'a>() -> &'a KThread {
    // SAFETY: `current` holds a reference; the caller is that thread, so it lives while the caller does.
    unsafe { &*cpu().current.get() }
}

/// A counted handle on the running thread.
pub fn current_arc() -> Arc<KThread> {
    let current = cpu().current.get();
    // SAFETY: `current` came from an `Arc` and holds a reference.
    unsafe {
        Arc::increment_strong_count(current);
        Arc::from_raw(current)
    }
}

/// Starts a thread.
pub fn spawn(inherit_vector_state: bool, main: Box<dyn FnOnce() + Send>) -> Result<ThreadRef, NoMemory> {
    let thread = KThread::new(inherit_vector_state, main)?;
    thread.affinity.store(current().affinity.load(Ordering::Relaxed), Ordering::Relaxed);
    wake(thread.clone());
    Ok(thread)
}

/// Queues a thread that the running one has made ready.
pub fn wake(thread: Arc<KThread>) {
    let this = cpu();
    let last = thread.cpu.load(Ordering::Relaxed);
    if !enqueue(thread) || !any_idle() || is_idle(this) {
        return;
    }
    if current().turn.goes_on() && call_idle(this, Some(last)) && this.queue.len() <= 1 && !quirk::switches_are_dear() {
        // Whoever was called comes at once; if it finds other work first, the next tick sees to the slice.
        this.attention.fetch_and(!attention::RUNNABLE, Ordering::Relaxed);
    }
}

/// Queues a thread that is ready; whether on this CPU.
pub fn enqueue(thread: Arc<KThread>) -> bool {
    let this = cpu();
    let allowed = thread.affinity.load(Ordering::Relaxed) & all_cpus();
    let number = this.number.get();
    if allowed & 1 << number != 0 || allowed == 0 {
        this.queue.push(thread);
        this.attention.fetch_or(attention::RUNNABLE, Ordering::Relaxed);
        return true;
    }
    let idle = allowed & IDLE.load(Ordering::SeqCst);
    let last = thread.cpu.load(Ordering::Relaxed);
    let number = if idle != 0 {
        idle.trailing_zeros() as usize
    } else if allowed & 1 << last != 0 {
        last
    } else {
        allowed.trailing_zeros() as usize
    };
    let target = nth(number);
    target.queue.push(thread);
    target.attention.fetch_or(attention::RUNNABLE, Ordering::SeqCst);
    ipi::reschedule(number);
    false
}

fn all_cpus() -> u64 {
    u64::MAX >> (64 - cpus())
}

/// Calls an idle CPU, `preferred` if that is one, to take work from this one's queue; whether there was one. It is not idle
/// from here on, so that nobody calls it again before it has looked: it does once it is interrupted, and after it says that
/// it is idle again.
pub fn call_idle(cpu: &PerCpu, preferred: Option<usize>) -> bool {
    let Some((number, was_idle)) = choose(cpu, IDLE.load(Ordering::SeqCst), preferred) else { return false };
    if was_idle {
        ipi::reschedule(number);
    }
    true
}

/// As `call_idle`, but also one that was called before. Should an interrupt be lost, as some emulators lose them, threads
/// wait no longer than to the next tick.
pub fn call_halted(cpu: &PerCpu) -> bool {
    let Some((number, _)) = choose(cpu, HALTED.load(Ordering::SeqCst), None) else { return false };
    ipi::reschedule(number);
    true
}

/// One of `candidates` other than this CPU, and whether it was idle until now.
fn choose(cpu: &PerCpu, candidates: u64, preferred: Option<usize>) -> Option<(usize, bool)> {
    let others = candidates & !(1 << cpu.number.get());
    if others == 0 {
        return None;
    }
    let number = preferred.filter(|last| others & 1 << last != 0).unwrap_or(others.trailing_zeros() as usize);
    let bit = 1 << number;
    Some((number, IDLE.fetch_and(!bit, Ordering::SeqCst) & bit != 0))
}

/// Whether some CPU has nothing to do, and nobody has called it.
pub fn any_idle() -> bool {
    IDLE.load(Ordering::Relaxed) != 0
}

/// See `Platform::park`.
pub fn park(deadline_ns: Option<u64>) {
    park_with_token(deadline_ns);
}

/// `park`; whether it used up a token.
pub fn park_with_token(deadline_ns: Option<u64>) -> bool {
    let thread = current();
    if thread.state.load(Ordering::Relaxed) != 0 {
        return thread.state.swap(0, Ordering::AcqRel) & state::TOKEN != 0;
    }
    let timer = match deadline_ns {
        Some(deadline_ns) if deadline_ns <= time::monotonic_ns() => return false,
        Some(deadline_ns) => Some(timer::start(deadline_ns)),
        None => None,
    };
    if thread.state.fetch_or(state::PARKED, Ordering::AcqRel) == 0 {
        schedule();
    }
    let token = thread.state.swap(0, Ordering::AcqRel) & state::TOKEN != 0;
    if let Some(timer) = timer {
        timer::stop(timer);
    }
    token
}

/// Lets the others in this CPU's queue run first.
pub fn yield_now() {
    let this = cpu();
    this.resched.set(false);
    let may_stay = current().affinity.load(Ordering::Relaxed) & 1 << this.number.get() != 0;
    if this.queue.len() == 0 && may_stay {
        return;
    }
    enqueue(current_arc());
    schedule();
}

/// See `Platform::preempt`.
pub fn preempt() {
    // Interrupts are off in the kernel: timers, the host and whoever wants this CPU's TLB flushed would wait for the end
    // of a long call. Serving them is what finds that the slice is over, too.
    x86::serve_interrupts();
    let this = cpu();
    if this.resched.get() || current().affinity.load(Ordering::Relaxed) & 1 << this.number.get() == 0 {
        yield_now();
    }
}

/// Ends the calling thread.
pub fn exit_thread() -> ! {
    use_page_table(None);
    let cpu = cpu();
    let thread = current();
    thread.dead.set(true);
    if core::ptr::eq(cpu.user_owner.get(), thread) {
        cpu.user_owner.set(null());
    }
    schedule();
    unreachable!("a dead thread was switched to")
}

/// Gives the CPU to the next thread in the queue, or to the idle thread.
fn schedule() {
    ring::drain();
    let this = cpu();
    let next = this.queue.pop(this.number.get(), current()).unwrap_or_else(|| idle_thread(this));
    if this.queue.len() != 0 && any_idle() {
        call_idle(this, None);
    }
    switch_to(next);
}

/// Whether the CPU's idle thread runs.
pub fn is_idle(cpu: &PerCpu) -> bool {
    core::ptr::eq(cpu.current.get(), cpu.idle.get())
}

fn idle_thread(cpu: &PerCpu) -> Arc<KThread> {
    let idle = cpu.idle.get();
    // SAFETY: `idle` holds a reference for as long as the kernel runs.
    unsafe {
        Arc::increment_strong_count(idle);
        Arc::from_raw(idle)
    }
}

fn switch_to(next: Arc<KThread>) {
    let this = cpu();
    let previous = current();
    if core::ptr::eq(previous, Arc::as_ptr(&next)) {
        return;
    }
    let now = rdtsc();
    previous.running_since.store(0, Ordering::Relaxed);
    previous.ticks.fetch_add(now.saturating_sub(this.switched_tsc.get()), Ordering::Relaxed);
    next.running_since.store(now, Ordering::Relaxed);
    this.switched_tsc.set(now);
    this.resched.set(false);
    previous.turn.end(now);

    fpu::leave(this, previous);
    next.on_cpu.store(true, Ordering::Relaxed);
    count_switch(previous, &next, this.number.get());
    next.cpu.store(this.number.get(), Ordering::Relaxed);
    let is_idle = core::ptr::eq(Arc::as_ptr(&next), this.idle.get());
    if !is_idle {
        // SAFETY: `next` is not running anywhere, and this CPU alone has taken it, so its table is ours to read.
        load_table(this, unsafe { (*next.table.get()).as_ref() });
        if !fpu::is_loaded(this, &next) {
            this.attention.fetch_or(attention::USER_STATE, Ordering::Relaxed);
        }
        if this.queue.len() != 0 {
            this.attention.fetch_or(attention::RUNNABLE, Ordering::Relaxed);
        }
        timer::start_ticks(this);
    }
    let rsp = next.rsp.get();
    let save = previous.rsp.as_ptr();
    this.previous.set(this.current.replace(Arc::into_raw(next)));
    // SAFETY: `next` was off its CPU and has been taken off the queue by us alone; its stack pointer is the one that
    // `switch_stacks` or `first_stack` left. `previous` stays alive through `this.previous`.
    unsafe { switch_stacks(save, rsp) };
    finish_switch();
}

fn count_switch(previous: &KThread, next: &KThread, cpu: usize) {
    // Nobody else writes them, so they need no locked instructions.
    let count = |counter: &AtomicU64| counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    let waits = previous.state.load(Ordering::Relaxed) & state::PARKED != 0;
    count(if waits { &previous.voluntary } else { &previous.involuntary });
    if next.cpu.load(Ordering::Relaxed) != cpu {
        count(&next.migrations);
    }
}

/// First thing on the new thread's stack: lets go of the one that ran before.
pub fn finish_switch() {
    // SAFETY: the reference that `current` held has become `previous`'s; it is taken once.
    let previous = unsafe { Arc::from_raw(cpu().previous.replace(null())) };
    if previous.dead.get()
        && let Some(stack) = previous.take_stack()
    {
        stack.give_back();
    }
    previous.on_cpu.store(false, Ordering::Release);
}

/// The current thread's page table.
pub fn current_table() -> Option<Arc<UserPageTable>> {
    // SAFETY: the thread's own slot; nobody else looks while it runs.
    unsafe { (*current().table.get()).clone() }
}

/// See `Platform::use_page_table`.
pub fn use_page_table(table: Option<Arc<UserPageTable>>) {
    let slot = current().table.get();
    // SAFETY: the thread's own slot; nobody looks while it runs.
    let old = unsafe { core::mem::replace(&mut *slot, table) };
    // SAFETY: as above.
    load_table(cpu(), unsafe { (*slot).as_ref() });
    drop(old);
}

/// Puts `table`, or the kernel's own root, into CR3 if it is not there.
fn load_table(this: &PerCpu, table: Option<&Arc<UserPageTable>>) {
    let loaded = this.loaded.get();
    // SAFETY: only this CPU uses the slot, and nothing below comes back here except `drop(old)`, after the last use.
    let same = unsafe {
        match ((*loaded).as_ref(), table) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (None, None) => true,
            _ => false,
        }
    };
    if same {
        return;
    }
    // SAFETY: as above.
    let old = unsafe { core::mem::replace(&mut *loaded, table.cloned()) };
    match table {
        Some(table) => table.activate(),
        // SAFETY: the kernel's root is never freed.
        None => unsafe { x86::set_cr3(kernel::root()) },
    }
    if let Some(old) = old {
        old.deactivate();
    }
}

/// Saves the current thread's vector state to its area, if the hardware holds it.
pub fn save_current_vector() {
    let thread = current();
    if fpu::is_loaded(cpu(), thread) {
        fpu::save(&thread.vector);
    }
}

/// Changes the current thread's vector state in memory, and loads it if `change` says so.
pub fn replace_vector(change: impl FnOnce(&fpu::VectorArea) -> bool) -> bool {
    let thread = current();
    let changed = change(&thread.vector);
    if changed {
        if fpu::is_loaded(cpu(), thread) {
            fpu::load(&thread.vector);
        } else {
            // Another CPU's hardware, where the thread may come to again, holds what was.
            thread.user_cpu.set(usize::MAX);
        }
    }
    changed
}

/// The other CPUs that are not halted.
pub fn busy_others() -> u64 {
    all_cpus() & !HALTED.load(Ordering::SeqCst) & !(1 << cpu().number.get())
}

/// All other CPUs.
pub fn all_others() -> u64 {
    all_cpus() & !(1 << cpu().number.get())
}

/// What a CPU does when it has nothing else to do. Runs on the boot stack.
pub fn idle_loop() -> ! {
    loop {
        ring::drain();
        if let Some(next) = find_work() {
            switch_to(next);
            continue;
        }
        if report::begin() {
            continue;
        }
        let this = cpu();
        load_table(this, None);
        let bit = 1 << this.number.get();
        HALTED.fetch_or(bit, Ordering::SeqCst);
        IDLE.fetch_or(bit, Ordering::SeqCst);
        // Everything that makes work looks at IDLE, or interrupts, after publishing it; so look once more before sleeping.
        ring::arm(this);
        timer::program_deadlines(this);
        if !any_work() {
            x86::wait_for_interrupt();
        }
        IDLE.fetch_and(!bit, Ordering::SeqCst);
        HALTED.fetch_and(!bit, Ordering::SeqCst);
    }
}

/// A thread from this CPU's queue, or another's.
fn find_work() -> Option<Arc<KThread>> {
    let number = cpu().number.get();
    if let Some(thread) = cpu().queue.pop(number, current()) {
        return Some(thread);
    }
    let count = cpus();
    (1..count).find_map(|step| nth((number + step) % count).queue.pop(number, current()))
}

fn any_work() -> bool {
    let this = cpu().number.get();
    (0..cpus()).any(|number| nth(number).queue.has_work_for(this))
}
