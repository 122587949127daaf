//! Keys and keyrings (keyrings(7)): what add_key, request_key and keyctl work on.
//!
//! All keys are in one table, by number. Keyrings and users' own keyrings link to numbers; credentials hold a [`Token`] of
//! their keyrings. A key that nothing leads to any more is swept out when room is needed or somebody counts. `table` is the table with
//! its quotas, `find` who may reach what, `change` makes keys and links, `control` the rest of keyctl(2), `show` what `/proc` says.
//!
//! Lock: the table's (`Rank::FileSystem`); nothing is copied from or to a program while it is held.

mod change;
pub mod control;
mod find;
pub mod show;
mod table;

pub use change::{add, request};
pub use table::LIMITS;

use crate::errno::Errno;
use alloc::sync::Arc;
use core::sync::atomic::AtomicU32;

/// Seconds after which unreachable keys are gone at the latest (`/proc/sys/kernel/keys/gc_delay`). Here they are gone when room
/// is needed or somebody counts, which is always in time.
pub static GC_DELAY: AtomicU32 = AtomicU32::new(300);

/// A payload is shorter than this (add_key(2)).
pub const PAYLOAD_LIMIT: usize = 1 << 20;
/// Of a `user` and a `logon` key it is at most this long (security/keys/user_defined.c).
const USER_PAYLOAD: usize = 32_767;

/// What kind of key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
pub enum Kind {
    Keyring,
    User,
    /// Never read again.
    Logon,
    /// Larger.
    Big,
}

impl Kind {
    /// By name.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        [Self::Keyring, Self::User, Self::Logon, Self::Big].into_iter().find(|kind| kind.name().as_bytes() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keyring => "keyring",
            Self::User => "user",
            Self::Logon => "logon",
            Self::Big => "big_key",
        }
    }

    fn readable(self) -> bool {
        self != Self::Logon
    }

    fn updatable(self) -> bool {
        self != Self::Keyring
    }

    /// EINVAL for a payload or a description that this kind does not take.
    fn check(self, description: &[u8], payload: &[u8]) -> Result<(), Errno> {
        let fits = match self {
            Self::Keyring => payload.is_empty(),
            Self::User | Self::Logon => (1..=USER_PAYLOAD).contains(&payload.len()),
            Self::Big => !payload.is_empty(),
        };
        // A service's name comes first.
        let named = self != Self::Logon || description.iter().position(|byte| *byte == b':').is_some_and(|at| at > 0);
        if fits && named { Ok(()) } else { Err(Errno::EINVAL) }
    }
}

// Permissions (keyctl_setperm(3)): a byte each for the possessor, the user, the group and others.
const VIEW: u32 = 0x01;
const READ: u32 = 0x02;
const WRITE: u32 = 0x04;
const SEARCH: u32 = 0x08;
const LINK: u32 = 0x10;
const SETATTR: u32 = 0x20;
const ALL: u32 = 0x3f;
const POSSESSOR: u32 = 24;
const USER: u32 = 16;
const GROUP: u32 = 8;

/// Keeps a keyring while credentials refer to it.
#[derive(Debug)]
pub struct Token(i32);

/// The keyrings of a thread (in its credentials).
#[derive(Clone, Debug, Default)]
pub struct Rings {
    thread: Option<Arc<Token>>,
    process: Option<Arc<Token>>,
    session: Option<Arc<Token>>,
    /// Where request_key puts what it makes (KEY_REQKEY_DEFL_*).
    default: u32,
}

impl Rings {
    /// Whether a child has the very same.
    pub fn are_inherited(&self, same_process: bool) -> bool {
        self.thread.is_none() && (same_process || self.process.is_none())
    }

    /// Those of a child: its own thread has none yet, its own process neither.
    pub fn for_child(&self, same_process: bool) -> Self {
        let process = if same_process { self.process.clone() } else { None };
        Self { thread: None, process, ..self.clone() }
    }

    /// Those after execve.
    pub fn after_exec(&self) -> Self {
        Self { thread: None, process: None, ..self.clone() }
    }
}

#[cfg(test)]
mod tests;
