//! The sentry: Linux, as far as a program can see. Safe code only; the machine is behind `platform::Platform`.
//!
//! Entry: `start`, called once by the platform on the first kernel thread.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(test, feature = "fake"))]
extern crate std;

pub mod bpf;
pub mod control;
pub mod coredump;
pub mod errno;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod fs;
pub mod ipc;
pub mod keys;
pub mod kmsg;
pub mod landlock;
pub mod load;
pub mod mm;
pub mod net;
mod observe;
pub mod perf;
pub mod platform;
pub mod random;
pub mod seccomp;
pub mod settings;
pub mod signal;
pub mod start;
pub mod sync;
pub mod syscall;
pub mod task;
pub mod time;
pub mod tty;
pub mod uring;
pub mod uts;
pub mod wait;

pub use start::start;
