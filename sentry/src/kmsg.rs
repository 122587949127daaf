//! The kernel log, as dmesg shows it. It tells the truth: this is no Linux.

use crate::platform::platform;
use crate::uts;
use alloc::format;
use alloc::string::String;

/// What syslog(2) says the log's buffer holds.
pub const BUFFER_BYTES: usize = 16 << 10;

/// The messages: severity (syslog(2)) and text.
pub fn messages() -> [(u8, String); 4] {
    let memory = platform().memory_info().total_pages << 2;
    [
        (5, format!("ringwall {}: a sandbox with a kernel of its own, which is not Linux", env!("CARGO_PKG_VERSION"))),
        (6, format!("Answering as {} {} {}", uts::SYSNAME, uts::release(), uts::MACHINE)),
        (6, format!("Memory: {memory}K")),
        (6, format!("smp: {} CPUs", platform().cpus())),
    ]
}

/// The whole log, a line a message, as syslog(2) gives it.
pub fn text() -> String {
    messages().iter().map(|(level, text)| format!("<{level}>[    0.000000] {text}\n")).collect()
}
