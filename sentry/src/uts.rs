//! The names of the system: host and domain name, and what uname(2) says besides.

use crate::sync::{Lock, Rank};
use alloc::string::String;
use alloc::vec::Vec;

/// Longest host or domain name.
pub const MAX_NAME: usize = linux_raw_sys::system::__NEW_UTS_LEN as usize;
/// The release when the start specification names none: that of a current long-term kernel.
const DEFAULT_RELEASE: &str = "6.12.0-ringwall";
/// uname's sysname.
pub const SYSNAME: &str = "Linux";
/// uname's version.
pub const VERSION: &str = concat!("#1 SMP PREEMPT ringwall ", env!("CARGO_PKG_VERSION"));
/// uname's machine.
pub const MACHINE: &str = "x86_64";

struct Names {
    host: Vec<u8>,
    domain: Vec<u8>,
    release: String,
}

static NAMES: Lock<Names> =
    Lock::new(Rank::Leaf, Names { host: Vec::new(), domain: Vec::new(), release: String::new() });

/// Sets the names that the container starts with; an empty release means the default.
pub fn init(host: &str, domain: &str, release: &str) {
    let mut names = NAMES.lock();
    names.host = clipped(host.as_bytes());
    names.domain = clipped(domain.as_bytes());
    names.release = String::from(release);
}

/// The host name.
pub fn host() -> Vec<u8> {
    NAMES.lock().host.clone()
}

/// Sets the host name, at most `MAX_NAME` bytes.
pub fn set_host(name: &[u8]) {
    NAMES.lock().host = clipped(name);
}

/// The NIS domain name, `(none)` where none was set.
pub fn domain() -> Vec<u8> {
    let names = NAMES.lock();
    if names.domain.is_empty() { b"(none)".to_vec() } else { names.domain.clone() }
}

/// Sets the domain name, at most `MAX_NAME` bytes.
pub fn set_domain(name: &[u8]) {
    NAMES.lock().domain = clipped(name);
}

/// The kernel release.
pub fn release() -> String {
    let names = NAMES.lock();
    if names.release.is_empty() { String::from(DEFAULT_RELEASE) } else { names.release.clone() }
}

fn clipped(name: &[u8]) -> Vec<u8> {
    name[..name.len().min(MAX_NAME)].to_vec()
}
