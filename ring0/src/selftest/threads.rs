//! Threads, CPUs, timers, and the host.

use super::{DATA, context, leave_space, new_space, run_user};
use crate::asm::probe::Probe;
use crate::asm::trap::{STUB_BYTES, trap_stubs};
use crate::gdt::{KERNEL_CS, KERNEL_SS};
use crate::percpu::cpu;
use crate::platform::PLATFORM;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use linker::addr::UserVa;
use linker::layout::{PAGE_SIZE, VECTOR_HOST, VECTOR_TIMER};
use linker::request::{Op, Request};
use sentry::platform::{Access, Platform, ThreadRef, Trap};

const MS: u64 = 1_000_000;

fn spawn(main: impl FnOnce() + Send + 'static) -> ThreadRef {
    PLATFORM.spawn(false, Box::new(main)).expect("memory")
}

/// Parks until `done` holds; others unpark the thread, or it looks again now and then.
fn wait_until(what: &str, done: impl Fn() -> bool) {
    let give_up = PLATFORM.monotonic_ns() + 20_000 * MS;
    while !done() {
        assert!(PLATFORM.monotonic_ns() < give_up, "waited in vain: {what}");
        PLATFORM.park(Some(PLATFORM.monotonic_ns() + 10 * MS));
    }
}

pub fn vector_state_follows_its_thread() {
    let table = new_space();
    let done = Arc::new(AtomicUsize::new(0));
    for value in 1..=3_u64 {
        let (table, done) = (table.clone(), done.clone());
        spawn(move || {
            PLATFORM.use_page_table(Some(table));
            let mut set = context(Probe::VectorSet);
            (set.rdi, set.rsi) = (value, value << 32);
            assert_eq!(run_user(&mut set), Trap::Syscall);
            for _ in 0..4 {
                PLATFORM.yield_now();
                let mut get = context(Probe::VectorGet);
                assert_eq!(run_user(&mut get), Trap::Syscall);
                assert_eq!((get.rdi, get.rsi), (value, value << 32), "another thread's vector state");
            }
            let child_done = done.clone();
            let child = move || {
                let mut get = context(Probe::VectorGet);
                assert_eq!(run_user(&mut get), Trap::Syscall);
                assert_eq!((get.rdi, get.rsi), (value, value << 32), "vector state was not inherited");
                child_done.fetch_add(1, Ordering::SeqCst);
            };
            let table = crate::sched::current_table().expect("set above");
            let child = move || {
                crate::sched::use_page_table(Some(table));
                child();
            };
            PLATFORM.spawn(true, Box::new(child)).expect("memory");
            PLATFORM.reset_vector_state();
            let mut get = context(Probe::VectorGet);
            assert_eq!(run_user(&mut get), Trap::Syscall);
            assert_eq!((get.rdi, get.rsi), (0, 0), "the vector state was not reset");
            done.fetch_add(1, Ordering::SeqCst);
        });
    }
    wait_until("threads that check their vector state", || done.load(Ordering::SeqCst) == 6);
    leave_space();
}

pub fn parked_thread_wakes_by_token_and_by_deadline() {
    let thread = PLATFORM.current_thread();
    thread.unpark();
    PLATFORM.park(None);
    for ms in [1, 5] {
        let deadline = PLATFORM.monotonic_ns() + ms * MS;
        while PLATFORM.monotonic_ns() < deadline {
            PLATFORM.park(Some(deadline));
        }
    }
    let waker = spawn(move || {
        PLATFORM.park(Some(PLATFORM.monotonic_ns() + 2 * MS));
        thread.unpark();
    });
    let start = PLATFORM.monotonic_ns();
    PLATFORM.park(Some(start + 20_000 * MS));
    assert!(PLATFORM.monotonic_ns() < start + 10_000 * MS, "unpark was lost");
    drop(waker);
}

pub fn threads_hand_over_to_each_other() {
    const ROUNDS: usize = 200;
    let turn = Arc::new(AtomicUsize::new(0));
    let main = PLATFORM.current_thread();
    let other_turn = turn.clone();
    let other = spawn(move || {
        for round in 0..ROUNDS {
            while other_turn.load(Ordering::SeqCst) != 2 * round + 1 {
                PLATFORM.park(None);
            }
            other_turn.fetch_add(1, Ordering::SeqCst);
            main.unpark();
        }
    });
    for round in 0..ROUNDS {
        turn.fetch_add(1, Ordering::SeqCst);
        other.unpark();
        while turn.load(Ordering::SeqCst) != 2 * round + 2 {
            PLATFORM.park(None);
        }
    }
}

pub fn timer_ends_a_time_slice() {
    let table = new_space();
    let end = Arc::new(AtomicUsize::new(0));
    let here = 1 << PLATFORM.current_thread().cpu();
    let spinner_end = end.clone();
    let spinner = spawn(move || {
        PLATFORM.use_page_table(Some(table));
        let mut spin = context(Probe::Spin);
        spin.rdi = DATA.raw();
        while spinner_end.load(Ordering::SeqCst) == 0 {
            assert_eq!(crate::run::run_context(&mut spin), Trap::Interrupt);
            PLATFORM.preempt();
        }
        spinner_end.fetch_add(1, Ordering::SeqCst);
    });
    spinner.set_affinity(here);
    PLATFORM.current_thread().set_affinity(here);
    // The spinner gets the CPU, and only the timer can take it away again: by the end of its slice, or by a deadline.
    PLATFORM.yield_now();
    PLATFORM.park(Some(PLATFORM.monotonic_ns() + 2 * MS));
    end.store(1, Ordering::SeqCst);
    spinner.kick();
    wait_until("the spinning thread", || end.load(Ordering::SeqCst) == 2);
    let (user, kernel) = spinner.cpu_time_ns();
    assert!(user + kernel > 0, "the spinning thread used no time");
    PLATFORM.current_thread().set_affinity(u64::MAX);
    leave_space();
}

pub fn threads_run_on_every_cpu() {
    let seen = Arc::new(AtomicU64::new(0));
    for number in 0..PLATFORM.cpus() {
        let seen = seen.clone();
        spawn(move || {
            PLATFORM.current_thread().set_affinity(1 << number);
            assert_eq!(PLATFORM.current_thread().cpu(), number, "a thread is not where it must be");
            seen.fetch_or(1 << number, Ordering::SeqCst);
        });
    }
    let all = u64::MAX >> (64 - PLATFORM.cpus());
    wait_until("a thread on every CPU", || seen.load(Ordering::SeqCst) == all);
    PLATFORM.barrier_all();
}

pub fn unmapping_reaches_every_cpu() {
    let table = new_space();
    let started = Arc::new(AtomicUsize::new(0));
    let faulted = Arc::new(AtomicUsize::new(0));
    let here = PLATFORM.current_thread().cpu();
    PLATFORM.current_thread().set_affinity(1 << here);
    let others: alloc::vec::Vec<usize> = (0..PLATFORM.cpus()).filter(|&number| number != here).collect();
    let page = UserVa::new(DATA.raw() + 8 * PAGE_SIZE);
    let prot = super::READ_WRITE;
    table.map(page, PLATFORM.alloc_frame(true).expect("memory"), prot).expect("memory");
    for &number in &others {
        let (table, started, faulted) = (table.clone(), started.clone(), faulted.clone());
        spawn(move || {
            PLATFORM.current_thread().set_affinity(1 << number);
            PLATFORM.use_page_table(Some(table));
            started.fetch_add(1, Ordering::SeqCst);
            let mut count = context(Probe::Count);
            count.rdi = page.raw();
            let trap = run_user(&mut count);
            assert_eq!(trap, Trap::PageFault { address: page, access: Access::Write, present: false });
            faulted.fetch_add(1, Ordering::SeqCst);
        });
    }
    wait_until("counting threads", || started.load(Ordering::SeqCst) == others.len());
    PLATFORM.park(Some(PLATFORM.monotonic_ns() + 3 * MS));
    let frame = table.translate(page).expect("mapped").frame;
    assert_eq!(table.unmap(page, UserVa::new(page.raw() + PAGE_SIZE)), 1);
    let mut first = [0; 8];
    let mut second = [0; 8];
    PLATFORM.frame_read(&frame, 0, &mut first);
    PLATFORM.park(Some(PLATFORM.monotonic_ns() + MS));
    PLATFORM.frame_read(&frame, 0, &mut second);
    assert_eq!(first, second, "a CPU still writes to a page that is not mapped any more");
    wait_until("page faults", || faulted.load(Ordering::SeqCst) == others.len());
    PLATFORM.current_thread().set_affinity(u64::MAX);
    leave_space();
}

pub fn host_answers_requests() {
    let ask = |op: Op, output: &mut [u8]| {
        PLATFORM.host_call(Request { op: op as u16, ..Request::default() }, &[], output).expect("the host answers")
    };
    let mut on_stack = [0; 32];
    ask(Op::Entropy, &mut on_stack);
    assert!(on_stack.iter().any(|&byte| byte != 0), "no entropy");
    let mut on_heap = alloc::vec![0; 64];
    ask(Op::Entropy, &mut on_heap);
    assert!(on_heap[32..].iter().any(|&byte| byte != 0), "no entropy");
    let host = ask(Op::RealTime, &mut []);
    assert!(PLATFORM.realtime_ns().abs_diff(host) < 1000 * MS, "the host's clock is far away");
    let bad = PLATFORM.host_call(Request { op: 0xffff, ..Request::default() }, &[], &mut []);
    assert!(bad.is_err(), "the host did a request that does not exist");
    for input in [Vec::new(), alloc::vec![0; 64]] {
        // Whether it is taken or not; an empty one has no address.
        let request = Request { op: Op::RealTime as u16, ..Request::default() };
        let back = PLATFORM.host_post(request, input.clone()).err();
        assert!(back.is_none_or(|back| back == input), "what was not posted comes back as something else");
    }

    let done = Arc::new(AtomicUsize::new(0));
    for _ in 0..8 {
        let done = done.clone();
        spawn(move || {
            for _ in 0..8 {
                let request = Request { op: Op::RealTime as u16, ..Request::default() };
                PLATFORM.host_call(request, &[], &mut []).expect("the host answers");
            }
            done.fetch_add(1, Ordering::SeqCst);
        });
    }
    wait_until("concurrent requests", || done.load(Ordering::SeqCst) == 8);
}

/// As QEMU's SVM may deliver them (`asm/trap.rs`), even with the user's GS. The frame is made by hand: a KVM that interprets ring 0 has
/// no INT.
pub fn interrupt_while_they_are_off_is_nothing() {
    for vector in [VECTOR_TIMER, VECTOR_HOST] {
        let stub = trap_stubs as *const () as usize + usize::from(vector) * STUB_BYTES;
        // SAFETY: the stub returns to what the frame names, with every register as it was; nothing reads GS in between.
        unsafe {
            core::arch::asm!(
                "swapgs",
                "mov {top}, rsp",
                "push {ss}",
                "push {top}",
                "pushfq",
                "push {cs}",
                "lea {top}, [rip + 2f]",
                "push {top}",
                "jmp {stub}",
                "2:",
                "swapgs",
                top = out(reg) _,
                stub = in(reg) stub,
                ss = const KERNEL_SS,
                cs = const KERNEL_CS,
            );
        }
    }
    assert!(cpu().number.get() < PLATFORM.cpus(), "GS is what it was");
}
