//! What the runtime's verbs tell a running sandbox, and what it answers: postcard, carried by `Op::TakeCommand`,
//! `Op::Answer` and `Op::Report` inside, and by the sandbox process's control socket outside.
//!
//! ```text
//! verb ── socket ── parent ── control socket ── sandbox process ── NextEvent(COMMAND), TakeCommand ── sentry
//!                                                              ◀── Answer (one a command), Report (any time) ──
//! ```

use crate::spec::{ProcessSpec, StartSpec, TraceFilter};
use crate::statistics::Statistics;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Encoded commands, answers and reports are no longer than this, in bytes.
pub const MAX_MESSAGE: usize = 1 << 20;

/// A command with the number that its answer carries.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Command {
    /// Chosen by the host.
    pub id: u64,
    /// Open flags (F_GETFL) of each descriptor that comes along, in order: the sandbox process cannot ask for them.
    pub descriptors: Vec<u32>,
    /// What to do.
    pub what: What,
}

/// What a sandbox can be told. Containers are numbered by the host; 0 came with the start specification.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum What {
    /// Run the first process of a container that was set up and waits. → `Done`.
    Start {
        /// Which.
        container: u32,
    },
    /// Set up another container, as `StartSpec::wait` says. → `Done`, or `Failed`.
    Create {
        /// Its number.
        container: u32,
        /// What to set up. Its streams and descriptors are as in `Exec`, its mounts of the host's numbered as in `exports`.
        spec: Box<StartSpec>,
        /// Whether each of its trees of the host may be changed. On the monitor's socket their descriptors are the last that come
        /// with the command; it gives them to the gofer, and puts the gofer's numbers in place of these.
        exports: Vec<bool>,
    },
    /// Run one more program in a container. → `Started`, or `Failed` with 126 or 127 as `code` where the program is at fault.
    Exec {
        /// Where.
        container: u32,
        /// What.
        process: Box<ProcessSpec>,
        /// Standard streams, as in `StartSpec::stdio`. On the control socket the numbers are positions in the list of the
        /// descriptors that came with the command, each named once at most; the sandbox process puts the handles in their place.
        stdio: [Option<u32>; 3],
        /// Further descriptors, from 3 on, numbered likewise.
        descriptors: Vec<u32>,
        /// Whether the streams are one terminal that the sentry drives.
        terminal: bool,
    },
    /// Send a signal. → `Done`, or `Failed` with ESRCH as `errno`.
    Signal {
        /// Where.
        container: u32,
        /// To whom.
        to: Target,
        /// Its number.
        signal: u8,
    },
    /// A terminal changed its size. → `Done`.
    Resize {
        /// Where.
        container: u32,
        /// The process that the terminal was given to: 0 for the container's first, else a `Started` pid.
        pid: u32,
        /// Rows and columns.
        size: (u16, u16),
    },
    /// Who runs? → `Processes`.
    Processes {
        /// Where.
        container: u32,
    },
    /// New limits. → `Done`.
    Limit {
        /// Where.
        container: u32,
        /// Bytes that user pages may take, if that changes.
        memory_bytes: Option<u64>,
        /// Tasks at most, if that changes; `u32::MAX` for no limit.
        tasks: Option<u32>,
    },
    /// What was used? → `Usage`.
    Usage {
        /// Where.
        container: u32,
    },
    /// Which system calls were made? → `Statistics`.
    Statistics {
        /// Where.
        container: u32,
        /// Of each thread, too.
        threads: bool,
    },
    /// Write records of system calls to a descriptor until nobody reads them. → `Done`.
    Trace {
        /// Where.
        container: u32,
        /// Which calls.
        filter: TraceFilter,
        /// The descriptor, numbered as in `Exec`.
        output: u32,
    },
    /// Kill what is left of a container and forget it. → `Done`.
    Delete {
        /// Which.
        container: u32,
    },
}

impl What {
    /// The container that it is about.
    pub fn container(&mut self) -> &mut u32 {
        match self {
            Self::Start { container }
            | Self::Create { container, .. }
            | Self::Exec { container, .. }
            | Self::Signal { container, .. }
            | Self::Resize { container, .. }
            | Self::Processes { container }
            | Self::Limit { container, .. }
            | Self::Usage { container }
            | Self::Statistics { container, .. }
            | Self::Trace { container, .. }
            | Self::Delete { container } => container,
        }
    }
}

/// Who gets a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// The container's first process.
    First,
    /// A process of the container's, by the number it has inside.
    Pid(u32),
    /// Every process of the container.
    All,
}

/// The answer to the command with the same number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// From the command.
    pub id: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// It is done.
    Done,
    /// The process runs, with this number inside.
    Started {
        /// Its number.
        pid: u32,
    },
    /// It could not be done.
    Failed {
        /// As a shell's exit code: 125 ringwall's, 126 not executable, 127 not found.
        code: u8,
        /// Linux errno, 0 where none says it.
        errno: i32,
        /// What and why, one line.
        message: String,
    },
    /// The processes of a container.
    Processes(Vec<ProcessInfo>),
    /// What a container used.
    Usage(Usage),
    /// The system calls of a container.
    Statistics(Statistics),
}

/// A process, as ps(1) shows it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Its number inside.
    pub pid: u32,
    /// Its parent's.
    pub ppid: u32,
    /// Effective user.
    pub uid: u32,
    /// Arguments, or the name in brackets for a zombie.
    pub args: Vec<Vec<u8>>,
    /// User and system time, in ns.
    pub cpu_ns: u64,
    /// Start, in ns since the epoch.
    pub started_ns: u64,
    /// State letter of proc(5).
    pub state: u8,
}

/// What a container used so far.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// User time, in ns.
    pub user_ns: u64,
    /// System time, in ns.
    pub system_ns: u64,
    /// User pages now, in bytes.
    pub memory_bytes: u64,
    /// The same at its highest.
    pub peak_bytes: u64,
    /// Page cache now, in bytes.
    pub cache_bytes: u64,
    /// Tasks now.
    pub tasks: u32,
    /// Tasks killed for want of memory.
    pub oom_kills: u64,
}

/// What the sandbox says unasked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Report {
    /// Container 0 is set up and waits for `Start` (`StartSpec::wait`).
    Waiting,
    /// A process that the host started (a container's first: pid 0; else a `Started` pid) has ended.
    Exited {
        /// Where.
        container: u32,
        /// Which.
        pid: u32,
        /// As wait(2) reports it.
        status: u32,
    },
    /// A task was killed for want of memory.
    OutOfMemory {
        /// Where.
        container: u32,
    },
    /// The calls of the first container, whose end this is (`StartSpec::calls_at_end`).
    Calls(Statistics),
    /// Setting up failed; the sandbox ends.
    Failed {
        /// As in `Outcome::Failed`.
        code: u8,
        /// What and why, one line.
        message: String,
    },
}

macro_rules! encoded {
    ($($kind:ty),*) => {$(
        impl $kind {
            /// The encoded form.
            pub fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
                postcard::to_allocvec(self)
            }

            /// Decodes what `encode` made. Fails on anything else; never panics.
            pub fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
                postcard::from_bytes(bytes)
            }
        }
    )*};
}

encoded!(Command, Answer, Report);
