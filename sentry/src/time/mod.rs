//! Time: clocks, sleeping, timers.

mod types;

pub use types::{NS_PER_SEC, Timespec, Timeval};
