//! The self-test that `BootFlags::SELF_TEST` asks for: the machine that the sentry relies on, tried on this very CPU and
//! KVM. Exits with 0, or panics saying what does not hold. `ringwall doctor` runs it.

mod calls;
mod memory;
mod threads;
mod user;

use crate::asm::probe::{self, Probe};
use crate::gdt::{USER_CS, USER_SS};
use crate::platform::PLATFORM;
use crate::run;
use alloc::sync::Arc;
use linker::addr::UserVa;
use sentry::platform::{PageTable, Platform, Prot, Trap, UserContext};
use x86_64::registers::rflags::RFlags;

const CODE: UserVa = UserVa::new(0x40_0000);
const DATA: UserVa = UserVa::new(0x60_0000);
const STACK_TOP: u64 = DATA.raw() + 0x1000;
const READ_WRITE: Prot = Prot { read: true, write: true, execute: false };
const READ_ONLY: Prot = Prot { read: true, write: false, execute: false };
const READ_EXECUTE: Prot = Prot { read: true, write: false, execute: true };
const NOTHING: Prot = Prot { read: false, write: false, execute: false };

/// Runs it on the first kernel thread.
pub fn run() -> ! {
    let tests: &[(&str, fn())] = &[
        ("the memory functions do what they should", memory::memory_functions_do_what_they_should),
        ("frames are counted, recycled and zeroed", memory::frames_are_counted_recycled_and_zeroed),
        ("free frames go back to the host", memory::free_frames_go_back_to_the_host),
        ("the heap hands out disjoint, aligned blocks", memory::heap_hands_out_disjoint_aligned_blocks),
        (
            "a heap block may be larger than any block of frames",
            memory::heap_block_may_be_larger_than_any_block_of_frames,
        ),
        ("page tables map, protect, split and release", memory::page_tables_map_protect_split_and_release),
        ("fork shares pages until one side writes", memory::fork_shares_pages_until_one_side_writes),
        ("a user copy stops exactly at a missing page", memory::user_copy_stops_exactly_at_a_missing_page),
        ("a system call keeps every register", user::system_call_keeps_every_register),
        ("a served call resumes, reloads or ends its program", calls::served_call_resumes_reloads_or_ends),
        ("a call that parked resumes where it was", calls::call_that_parked_resumes_where_it_was),
        ("a hostile context is not resumed", calls::hostile_context_is_not_resumed),
        ("a backtrace finds its callers", calls::backtrace_finds_its_callers),
        ("exceptions come back with their vectors", user::exceptions_come_back_with_their_vectors),
        ("page faults say what was tried", user::page_faults_say_what_was_tried),
        ("hostile contexts cannot harm ring 0", user::hostile_contexts_cannot_harm_ring_0),
        ("segment bases follow the context", user::segment_bases_follow_the_context),
        ("the vDSO agrees with the kernel's clocks", user::vdso_agrees_with_the_kernels_clocks),
        ("vector state follows its thread", threads::vector_state_follows_its_thread),
        ("a parked thread wakes by token and by deadline", threads::parked_thread_wakes_by_token_and_by_deadline),
        ("threads hand over to each other", threads::threads_hand_over_to_each_other),
        ("the timer ends a time slice", threads::timer_ends_a_time_slice),
        ("an interrupt while they are off is nothing", threads::interrupt_while_they_are_off_is_nothing),
        ("threads run on every CPU", threads::threads_run_on_every_cpu),
        ("unmapping reaches every CPU", threads::unmapping_reaches_every_cpu),
        ("the host answers requests", threads::host_answers_requests),
    ];
    let mut report = alloc::format!("self-test: {} CPUs, {:?}\n", PLATFORM.cpus(), crate::features::features());
    for (name, test) in tests {
        let start = PLATFORM.monotonic_ns();
        CURRENT.lock().replace(name);
        test();
        let us = (PLATFORM.monotonic_ns() - start) / 1000;
        report.push_str(&alloc::format!("self-test: {name}: ok, {us} us\n"));
    }
    for line in report.lines() {
        PLATFORM.log(line);
    }
    PLATFORM.exit(0)
}

/// The test that runs, for the panic message.
static CURRENT: crate::lock::Lock<Option<&'static str>> = crate::lock::Lock::new(None);

/// The name of the running test.
pub fn current() -> Option<&'static str> {
    CURRENT.try_lock().and_then(|current| *current)
}

/// A user address space with the probes at `CODE` and a page of data, and stack, at `DATA`; the thread's from now on.
fn new_space() -> Arc<dyn PageTable> {
    let table = PLATFORM.new_page_table().expect("memory");
    let code = PLATFORM.alloc_frame(true).expect("memory");
    PLATFORM.frame_write(&code, 0, probe::image());
    table.map(CODE, code, READ_EXECUTE).expect("memory");
    table.map(DATA, PLATFORM.alloc_frame(true).expect("memory"), READ_WRITE).expect("memory");
    PLATFORM.use_page_table(Some(table.clone()));
    table
}

fn leave_space() {
    PLATFORM.use_page_table(None);
}

fn context(probe: Probe) -> UserContext {
    UserContext {
        rip: CODE.raw() + probe::offset(probe),
        cs: u64::from(USER_CS),
        rflags: RFlags::INTERRUPT_FLAG.bits(),
        rsp: STACK_TOP,
        ss: u64::from(USER_SS),
        ..UserContext::default()
    }
}

/// Runs user mode until something other than an interrupt ends it.
fn run_user(context: &mut UserContext) -> Trap {
    loop {
        match run::run_context(context) {
            Trap::Interrupt => PLATFORM.preempt(),
            trap => return trap,
        }
    }
}
