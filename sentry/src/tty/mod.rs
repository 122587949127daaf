//! Terminals: line discipline, pseudo-terminals, sessions' controlling terminals, `/dev/pts`, and the container's console.
//!
//! A `Terminal` is the side that programs open as `/dev/pts/N`. Its far side is a `PtyMaster`, or the `console`: the host's
//! standard streams. `discipline` is pure; `job` says who may read and write; `session` knows which terminal controls whom.
//! Locks: `Rank::Tty` for the sessions, then a terminal's state (second of that rank). Signals are sent, and queues woken,
//! with none held.

mod console;
mod device;
mod devpts;
mod discipline;
mod echo;
mod ioctl;
mod job;
mod master;
mod session;
mod terminal;
mod termios;
#[cfg(test)]
mod tests;

pub use console::{Opened, console, open_console, update_window};
pub use device::register;
pub use devpts::new as new_devpts;
pub use session::{controlling_number, foreground_of, session_leader_exit};
pub use terminal::Terminal;
