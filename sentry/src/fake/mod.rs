//! The machine, faked on the host, so that the sentry's tests run under plain `cargo test`.
//!
//! Threads are std threads, frames are heap memory, page tables are maps. The platform is installed once a process; what a test
//! may set (user mode, host answers, time) is kept in a `Machine` per test thread, which threads it spawns inherit, so that
//! tests run in parallel. Entry: `fake::current()` for a running thread with memory, `fake::install()` for less.

mod frames;
mod machine;
mod page_table;
mod platform;
#[cfg(test)]
mod tests;
mod thread;
mod user;

pub use machine::{Machine, machine};
pub use platform::{Exit, FakePlatform, install};
pub use thread::{join, stay_alone};
pub use user::{
    USER_MEMORY, USER_MEMORY_BYTES, address_space, credentials, current, current_in, read_user, write_user,
};
