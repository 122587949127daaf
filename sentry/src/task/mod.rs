//! Tasks: threads (`Task`), processes (`Process`) and the running thread's own view (`Current`).
//!
//! What only the running thread changes (address space, descriptors, credentials) it holds privately in `Current`, so that a
//! system call takes no lock for it; a copy for others (`/proc`, kill's permission check) is published in `Task`.

mod creds;
mod current;
mod process;
mod registry;
#[allow(clippy::module_inception)]
mod task;

pub use creds::{Cap, Credentials};
pub use current::Current;
pub use process::Process;
pub use registry::{Tid, registry};
pub use task::{Published, Task};
