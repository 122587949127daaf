//! The names of the system: host and domain name, and what uname(2) says besides.

use crate::sync::{Lock, Rank};
use crate::task::UserSpace;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

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

/// A UTS namespace: host and domain name (uts_namespaces(7)).
pub struct Uts {
    number: u32,
    owner: UserSpace,
    names: Lock<Names>,
}

#[derive(Clone, Default)]
struct Names {
    host: Vec<u8>,
    domain: Vec<u8>,
}

/// The number of the first namespace (include/linux/proc_ns.h: PROC_UTS_INIT_INO).
const INITIAL_NUMBER: u32 = 0xefff_fffe;

/// The release that the container was started with, empty for the default.
static RELEASE: Lock<String> = Lock::new(Rank::Leaf, String::new());

/// The namespace that the container starts with.
pub fn initial() -> Arc<Uts> {
    static INITIAL: spin::Once<Arc<Uts>> = spin::Once::new();
    let new = || Arc::new(Uts { number: INITIAL_NUMBER, owner: None, names: Lock::new(Rank::Leaf, Names::default()) });
    INITIAL.call_once(new).clone()
}

/// Sets the names that the container starts with; an empty release means the default.
pub fn init(host: &str, domain: &str, release: &str) {
    let uts = initial();
    uts.set_host(host.as_bytes());
    uts.set_domain(domain.as_bytes());
    *RELEASE.lock() = String::from(release);
}

impl Uts {
    /// A copy with a life of its own (CLONE_NEWUTS).
    pub fn duplicate(&self, owner: UserSpace) -> Arc<Self> {
        let names = self.names.lock().clone();
        Arc::new(Self { number: namespace_number(), owner, names: Lock::new(Rank::Leaf, names) })
    }

    /// Whose capabilities count.
    pub fn owner(&self) -> &UserSpace {
        &self.owner
    }

    /// Its number in `/proc/PID/ns`.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The host name.
    pub fn host(&self) -> Vec<u8> {
        self.names.lock().host.clone()
    }

    /// Sets the host name, at most `MAX_NAME` bytes.
    pub fn set_host(&self, name: &[u8]) {
        self.names.lock().host = clipped(name);
    }

    /// The NIS domain name, `(none)` where none was set.
    pub fn domain(&self) -> Vec<u8> {
        let names = self.names.lock();
        if names.domain.is_empty() { b"(none)".to_vec() } else { names.domain.clone() }
    }

    /// Sets the domain name, at most `MAX_NAME` bytes.
    pub fn set_domain(&self, name: &[u8]) {
        self.names.lock().domain = clipped(name);
    }
}

/// A number for a namespace that is not one of the first.
pub fn namespace_number() -> u32 {
    // Linux gives such inodes numbers from here on (fs/proc/generic.c: PROC_DYNAMIC_FIRST), the first few to its own.
    static NEXT: AtomicU32 = AtomicU32::new(0xf000_0100);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The kernel release.
pub fn release() -> String {
    let release = RELEASE.lock();
    if release.is_empty() { String::from(DEFAULT_RELEASE) } else { release.clone() }
}

fn clipped(name: &[u8]) -> Vec<u8> {
    name[..name.len().min(MAX_NAME)].to_vec()
}
