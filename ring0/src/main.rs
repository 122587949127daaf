//! The guest blob: everything below the sentry. Boots each vCPU, owns page tables, frames, threads and the request rings,
//! and runs user code until it traps. Implements `sentry::platform::Platform`, in `platform`.
//!
//! Interrupts are off in this code except in the idle loop and where `sched::preempt` lets them in, so nothing here nests;
//! whoever spins calls `lock::relax`, which serves the TLB shootdowns that others wait for.
//!
//! Lock order, outer first: page table, run queue | timers, frame pool, heap class. The table of host calls is taken alone.
#![no_std]
#![no_main]

extern crate alloc;

mod asm;
mod boot;
mod features;
mod fpu;
mod frame;
mod gdt;
mod heap;
mod idt;
mod ipi;
mod lapic;
mod lock;
mod paging;
mod panic;
mod percpu;
mod platform;
mod probe;
mod quirk;
mod ring;
mod run;
mod runqueue;
mod sched;
mod selftest;
mod stack;
mod thread;
mod time;
mod timer;
mod turn;
mod usercopy;
mod vdso;
mod vmalloc;
mod x86;
