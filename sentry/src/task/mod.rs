//! Tasks: threads (`Task`), processes (`Process`) and the running thread's own view (`Current`).
//!
//! What only the running thread changes (address space, descriptors, credentials) it holds privately in `Current`, so that a
//! system call takes no lock for it; a copy for others (`/proc`, kill's permission check) is published in `Task`.
//!
//! Life: `clone` makes, `run` drives, `exec` changes the program, `exit` ends, `wait` reaps; `registry` knows who exists.

pub mod access;
pub mod clone;
mod creds;
mod current;
pub mod exec;
pub mod exit;
pub mod futex;
pub mod groups;
pub mod ids;
pub mod oom;
pub mod pid_ns;
mod process;
mod registry;
pub mod rseq;
pub mod run;
pub mod spaces;
mod status;
#[allow(clippy::module_inception)]
mod task;
pub mod trace;
pub mod user_ns;
pub mod wait;

pub use creds::{
    Cap, Credentials, LAST_CAP, SECBIT_KEEP_CAPS, SECBIT_NO_CAP_AMBIENT_RAISE, SECBIT_NO_SETUID_FIXUP, SECBIT_NOROOT,
    SECBITS,
};
pub use current::Current;
pub use pid_ns::PidSpace;
pub use process::Process;
pub use registry::{INIT, OUTSIDE, PID_MAX, Registry, THREADS_MAX, Tables, Tid, registry};
pub use status::{ExitStatus, LIMITS, Limits, UNLIMITED, Usage};
pub use task::{Published, Task};
pub use user_ns::UserSpace;
