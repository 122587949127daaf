//! Records of system calls, read and printed: `record` takes them out of a stream, `format` makes strace's lines of them, `json`
//! objects.
//!
//! What calls take comes from `linker::calls`; here are the names (`flags`, `signals`) and the structs (`structs`,
//! `messages`, `rings`, `socket_address`). All that a record says was written by a container, so nothing of it is trusted or printed raw.

mod arguments;
mod flags;
pub mod format;
pub mod json;
mod messages;
pub mod record;
mod rings;
mod signals;
mod socket_address;
mod structs;
#[cfg(test)]
mod tests;
mod text;
mod time;
