//! System calls that are served: what a program finds afterwards.

use super::user::{fill, kept};
use super::{context, leave_space, new_space};
use crate::asm::probe::Probe;
use crate::panic;
use crate::platform::PLATFORM;
use crate::run::run_served;
use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use linker::layout::DIRECT_MAP;
use sentry::platform::{Platform, Trap, UserContext};
use sentry::task::run::{Next, Served};

/// Calls served by the running test.
static CALLS: AtomicU64 = AtomicU64::new(0);

/// Runs a program with this as its kernel, until that or a trap other than an interrupt ends it.
fn run(context: &mut UserContext, serve: unsafe extern "C" fn(*mut UserContext) -> Served) -> Trap {
    CALLS.store(0, Ordering::Relaxed);
    loop {
        // SAFETY: the context is ours, and the functions here take any.
        match unsafe { run_served(context, serve) } {
            Trap::Interrupt => PLATFORM.preempt(),
            trap => return trap,
        }
    }
}

pub fn served_call_resumes_reloads_or_ends() {
    /// Three times resumed, once with all registers changed.
    unsafe extern "C" fn serve(context: *mut UserContext) -> Served {
        // SAFETY: the test's own, and user mode has been left.
        let context = unsafe { &mut *context };
        let count = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        let expected = if count == 1 { 0xbbbb_bbbb_bbbb_bbbb } else { 100 * (count - 1) };
        assert_eq!((context.vector, context.rax), (expected, expected), "call {count}");
        assert_eq!((context.rcx, context.r11), (context.rip, context.rflags), "call {count}");
        match count {
            1..=3 => Served { value: 100 * count, next: Next::Resume },
            4 => {
                context.rax = 100 * count;
                (context.rbx, context.rbp, context.r12, context.r15) = (1, 2, 3, 4);
                (context.rdi, context.rsi, context.r10) = (5, 6, 7);
                Served { value: 0, next: Next::Reload }
            }
            _ => Served { value: 0, next: Next::End },
        }
    }
    let _table = new_space();
    let mut context = context(Probe::Calls);
    fill(&mut context);
    let mut expected = kept(&context);
    assert_eq!(run(&mut context, serve), Trap::Ended);
    assert_eq!(CALLS.load(Ordering::Relaxed), 5);
    // In the order of `kept`.
    (expected[0], expected[3], expected[4], expected[5], expected[6]) = (4, 3, 2, 1, 7);
    (expected[9], expected[11], expected[12]) = (400, 6, 5);
    assert_eq!(kept(&context), expected);
    leave_space();
}

pub fn call_that_parked_resumes_where_it_was() {
    static OTHER: AtomicBool = AtomicBool::new(false);
    /// While it sleeps, another thread is in user mode on the same CPU, and leaves other registers there.
    unsafe extern "C" fn serve(_: *mut UserContext) -> Served {
        if CALLS.fetch_add(1, Ordering::Relaxed) == 3 {
            return Served { value: 0, next: Next::End };
        }
        OTHER.store(false, Ordering::SeqCst);
        PLATFORM
            .spawn(
                false,
                Box::new(|| {
                    let _table = new_space();
                    let mut other = context(Probe::Syscall);
                    assert_eq!(super::run_user(&mut other), Trap::Syscall);
                    leave_space();
                    OTHER.store(true, Ordering::SeqCst);
                }),
            )
            .expect("memory");
        while !OTHER.load(Ordering::SeqCst) {
            PLATFORM.park(Some(PLATFORM.monotonic_ns() + 100_000));
        }
        Served { value: 9, next: Next::Resume }
    }
    let _table = new_space();
    let mut context = context(Probe::Calls);
    fill(&mut context);
    let mut expected = kept(&context);
    assert_eq!(run(&mut context, serve), Trap::Ended);
    expected[9] = 9;
    assert_eq!(kept(&context), expected);
    leave_space();
}

pub fn hostile_context_is_not_resumed() {
    /// Says that nothing changed, and yet it did.
    unsafe extern "C" fn serve(context: *mut UserContext) -> Served {
        // SAFETY: the test's own, and user mode has been left.
        let context = unsafe { &mut *context };
        match CALLS.fetch_add(1, Ordering::Relaxed) {
            0 => context.rflags = 0x3002,
            1 => context.rip = DIRECT_MAP.raw(),
            _ => return Served { value: 0, next: Next::End },
        }
        Served { value: 0, next: Next::Resume }
    }
    let _table = new_space();
    let mut context = context(Probe::Calls);
    assert_eq!(run(&mut context, serve), Trap::Exception { vector: 13 });
    assert_eq!(CALLS.load(Ordering::Relaxed), 2);
    assert_eq!(context.rflags & 0x3200, 0x200, "I/O privileges, or interrupts off");
    assert_eq!(context.rip, DIRECT_MAP.raw());
    leave_space();
}

pub fn backtrace_finds_its_callers() {
    #[inline(never)]
    fn inner() -> [u64; linker::boot::PANIC_FRAMES] {
        core::hint::black_box(panic::here())
    }
    #[inline(never)]
    fn outer() -> [u64; linker::boot::PANIC_FRAMES] {
        core::hint::black_box(inner())
    }
    let frames = outer();
    let within = |function: u64| frames.iter().any(|frame| (function..function + 0x200).contains(frame));
    assert!(within(inner as *const () as u64) && within(outer as *const () as u64), "{frames:x?}");
}
