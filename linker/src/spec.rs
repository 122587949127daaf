//! The start specification: everything the sentry must know about its container, made by the CLI from its options or from
//! an OCI bundle, passed once as postcard below `BootInfo::free`.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
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
    /// Descriptors of the first process behind the standard streams, from 3 on: file handles.
    pub descriptors: Vec<u32>,
    /// Whether the standard streams are one terminal that the sentry drives: reads raw bytes from stream 0, writes to stream 1.
    pub terminal: bool,
    /// Guest memory that user pages may take, in bytes.
    pub memory_bytes: u64,
    /// `--syscalls`: single entries changed.
    pub overrides: Vec<SyscallOverride>,
    /// What the container's own calls are held to.
    pub seccomp: Option<SeccompSpec>,
    /// A mapping that is larger than this obviously never fits, as memory of the host's is counted; 0: larger than guest memory.
    pub commit_bytes: u64,
    /// Device nodes and FIFOs to make where there is nothing yet.
    pub devices: Vec<DeviceSpec>,
    /// Paths that show an empty directory or file instead of what is there.
    pub masked_paths: Vec<Bytes>,
    /// Paths below which nothing can be changed.
    pub readonly_paths: Vec<Bytes>,
    /// Kernel parameters by name, checked by the host: `net.ipv4.ip_unprivileged_port_start`, `net.ipv4.ping_group_range`.
    pub sysctls: Vec<(String, String)>,
    /// Log lines of unsupported calls and the like go to the host.
    pub debug: bool,
    /// Set everything up, check that the program can be executed, report `control::Report::Waiting` and wait for `What::Start`.
    pub wait: bool,
    /// Tasks at most, 0 for no limit.
    pub max_tasks: u32,
    /// What network there is beside loopback. A further container of a sandbox has the first one's.
    pub network: NetworkSpec,
    /// A further container has the first one's host name.
    pub shares_uts: bool,
    /// A further container has the first one's System V objects and message queues.
    pub shares_ipc: bool,
    /// Whether system calls are counted.
    pub statistics: bool,
    /// Whether they are reported at the end, unasked (`control::Report::Calls`).
    pub calls_at_end: bool,
    /// Records of system calls from the start on, and the file handle that they are written to.
    pub trace: Option<(TraceFilter, u32)>,
}

/// Which system calls are recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceFilter {
    /// Their numbers; empty: all.
    pub numbers: Vec<u32>,
    /// Of this process alone, by its number in the container.
    pub pid: Option<u32>,
    /// Those that failed alone.
    pub failed: bool,
}

/// A network that was taken over from a network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Sockets of IPv4 and IPv6 are the host's, in the network namespace that the sandbox process is in. What else is said here is
    /// for showing.
    pub host: bool,
    /// Interfaces, without loopback.
    pub interfaces: Vec<InterfaceSpec>,
    /// Routes of the main table.
    pub routes: Vec<RouteSpec>,
    /// Neighbours that somebody entered for good.
    pub neighbours: Vec<NeighbourSpec>,
    /// Services that are to be had on loopback, but outside.
    pub relays: Vec<RelaySpec>,
}

/// A datagram service of the host's on the loopback of the container's network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelaySpec {
    /// Where it is.
    pub to: SocketAddr,
    /// File handles of sockets that are connected to it.
    pub sockets: Vec<u32>,
}

/// An Ethernet interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceSpec {
    /// Name.
    pub name: Bytes,
    /// Number.
    pub index: u32,
    /// IFF_*.
    pub flags: u32,
    /// Largest IP packet, in bytes.
    pub mtu: u32,
    /// Transmit queue length.
    pub queue_length: u32,
    /// Hardware address.
    pub mac: [u8; 6],
    /// Addresses.
    pub addresses: Vec<AddressSpec>,
    /// File handle of the packet socket; none with `NetworkSpec::host`.
    pub socket: Option<u32>,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressSpec {
    /// Address.
    pub ip: IpAddr,
    /// Bits of the network.
    pub prefix: u8,
    /// Where it is valid (RT_SCOPE_*).
    pub scope: u8,
}

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteSpec {
    /// Destination network.
    pub to: IpAddr,
    /// Bits of it.
    pub prefix: u8,
    /// The next hop; `None`: the destination itself is on the link.
    pub gateway: Option<IpAddr>,
    /// The interface's number.
    pub interface: u32,
    /// Preferred source address.
    pub source: Option<IpAddr>,
    /// Least goes first.
    pub metric: u32,
    /// RTPROT_*.
    pub protocol: u8,
    /// RT_SCOPE_*.
    pub scope: u8,
    /// RTN_*.
    pub kind: u8,
}

/// A neighbour's hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighbourSpec {
    /// Address.
    pub ip: IpAddr,
    /// Hardware address.
    pub mac: [u8; 6],
    /// The interface's number.
    pub interface: u32,
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
    /// personality(2).
    pub personality: u32,
    /// Where it is not the ordinary one.
    pub scheduling: Option<Scheduling>,
    /// ioprio_set(2)'s class and level, 0 for none of its own.
    pub io_priority: u32,
}

/// Scheduling policy, as sched_setscheduler(2) has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduling {
    /// SCHED_*.
    pub policy: u32,
    /// sched_priority, 0 for a policy without.
    pub priority: u32,
    /// Nice value.
    pub nice: i32,
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

/// A device node or a FIFO.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSpec {
    /// Absolute path inside.
    pub path: Bytes,
    /// Type (S_IFCHR, S_IFIFO) and permissions.
    pub mode: u32,
    /// Device number (major << 32 | minor).
    pub rdev: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
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
    /// What must hold of the arguments, all of it; else the next entry of this number is looked at.
    pub conditions: Vec<SeccompCondition>,
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

/// A seccomp profile: for a call, the first rule of its number whose conditions all hold decides, else the default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeccompSpec {
    /// For what no rule speaks of.
    pub default: SeccompAction,
    /// Calls with a higher number than this fail with ENOSYS, so that programs take newer calls for missing, not for forbidden.
    pub newest: Option<u32>,
    /// In the order in which they are looked at.
    pub rules: Vec<SeccompRule>,
}

/// What a call does under a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeccompAction {
    /// It is served.
    Allow,
    /// It is served, and logged.
    Log,
    /// It is not served and returns this errno (0: success).
    Errno(u16),
    /// It is not served; the thread gets SIGSYS.
    Trap,
    /// The thread ends; as by SIGSYS where it was the last one.
    KillThread,
    /// The process ends by SIGSYS.
    KillProcess,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeccompRule {
    /// The call's number.
    pub number: u32,
    /// What it does.
    pub action: SeccompAction,
    /// What must hold of the arguments, all of it.
    pub conditions: Vec<SeccompCondition>,
}

/// What must hold of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeccompCondition {
    /// Which: 0 to 5.
    pub index: u8,
    /// How it is compared.
    pub compare: SeccompCompare,
    /// With what; unsigned, 64 bits.
    pub value: u64,
}

/// How an argument is compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum SeccompCompare {
    NotEqual,
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
    /// Equal where this mask has bits.
    MaskedEqual(u64),
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
