//! The start specification: everything the sentry must know about its container, made by the CLI from its options or from
//! an OCI bundle, passed once as postcard below `BootInfo::free`.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A byte string that need not be UTF-8 (paths, arguments).
pub type Bytes = Vec<u8>;

/// What to set up and run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StartSpec {
    /// Host name of the UTS namespace.
    pub hostname: String,
    /// Domain name of the UTS namespace.
    pub domainname: String,
    /// What uname(2) reports as the release.
    pub kernel_release: String,
    /// The first process.
    pub process: ProcessSpec,
    /// Mounts in order; the first is the root, on `/`.
    pub mounts: Vec<MountSpec>,
    /// The standard streams: for 0, 1 and 2 the file handle the sandbox process holds, or `None` when closed.
    pub stdio: [Option<u32>; 3],
    /// Whether the standard streams are one terminal that the sentry drives: reads raw bytes from stream 0, writes to stream 1.
    pub terminal: bool,
    /// Guest memory that user pages may take, in bytes.
    pub memory_bytes: u64,
    /// `--syscalls`: single entries changed.
    pub overrides: Vec<SyscallOverride>,
    /// Log lines of unsupported calls and the like go to the host.
    pub debug: bool,
    /// Set everything up, check that the program can be executed, report `control::Report::Waiting` and wait for `What::Start`.
    pub wait: bool,
    /// Tasks at most, 0 for no limit.
    pub max_tasks: u32,
}

/// A process to start.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// Arguments; the first is looked up in PATH of `env` when it has no slash.
    pub args: Vec<Bytes>,
    /// Environment, `NAME=value`.
    pub env: Vec<Bytes>,
    /// Working directory.
    pub cwd: Bytes,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Additional groups.
    pub groups: Vec<u32>,
    /// File mode creation mask.
    pub umask: u32,
    /// Capability sets, bit n for capability n.
    pub capabilities: Capabilities,
    /// Resource limits: RLIMIT_* number, soft, hard.
    pub rlimits: Vec<(u32, u64, u64)>,
    /// PR_SET_NO_NEW_PRIVS.
    pub no_new_privs: bool,
    /// oom_score_adj.
    pub oom_score_adj: i32,
}

/// The five capability sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Bounding set.
    pub bounding: u64,
    /// Effective set.
    pub effective: u64,
    /// Inheritable set.
    pub inheritable: u64,
    /// Permitted set.
    pub permitted: u64,
    /// Ambient set.
    pub ambient: u64,
}

/// One mount.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MountSpec {
    /// Absolute path inside.
    pub destination: Bytes,
    /// What is mounted.
    pub kind: MountKind,
    /// MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC and the like, Linux's numbers.
    pub flags: u64,
    /// File-system options that are left (`size=64k`, `mode=755`).
    pub data: String,
    /// First column of /proc/mounts.
    pub source: String,
}

/// What is mounted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum MountKind {
    /// A tree or file of the host, served by the gofer.
    Host {
        /// Index of the gofer's mount (`Op::Attach`).
        mount: u32,
        /// Caches may answer without asking again: nobody else writes there.
        exclusive: bool,
        /// Writes stay in memory, above a lower tree that is never written.
        overlay: bool,
    },
    /// A file system of the sentry's, by its Linux name: `tmpfs`, `proc`, `sysfs`, `devtmpfs`, `devpts`, `mqueue`, `cgroup2`.
    Sentry(String),
}

/// One entry of `--syscalls`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SyscallOverride {
    /// Number.
    pub number: u32,
    /// What happens instead.
    pub action: OverrideAction,
}

/// What an overridden call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OverrideAction {
    /// Served as the table says (the default, undoing an earlier entry).
    Intercept,
    /// Fails with this errno.
    Errno(u16),
    /// Kills the process with SIGSYS.
    Kill,
    /// Served, and logged.
    Log,
}

impl StartSpec {
    /// The encoded form, for the boot page.
    pub fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_allocvec(self)
    }

    /// Decodes what `encode` made. Fails on anything else; never panics.
    pub fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        postcard::from_bytes(bytes)
    }
}
