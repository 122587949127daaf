//! The start specification of `ringwall do`: the caller's files, environment and credentials.

use linker::spec::{Bytes, Capabilities, MountKind, MountSpec, ProcessSpec, StartSpec};
use rustix::process::{Resource, getrlimit};
use rustix::thread::CapabilitySet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// Flags of a mount, Linux's own numbers.
mod flag {
    use linux_raw_sys::general as raw;
    pub const NOSUID: u64 = raw::MS_NOSUID as u64;
    pub const NODEV: u64 = raw::MS_NODEV as u64;
    pub const NOEXEC: u64 = raw::MS_NOEXEC as u64;
}

/// What the sentry reports as the kernel's release: what programs may expect of it.
pub const KERNEL_RELEASE: &str = "6.12.0-ringwall";

/// Builds it. Handles 0, 1 and 2 are the standard streams.
pub fn build(command: Vec<OsString>, memory_bytes: u64) -> anyhow::Result<StartSpec> {
    let uname = rustix::system::uname();
    let is_tty = |stream: rustix::fd::BorrowedFd<'static>| rustix::termios::isatty(stream);
    Ok(StartSpec {
        shares_uts: false,
        shares_ipc: false,
        hostname: uname.nodename().to_string_lossy().into_owned(),
        domainname: uname.domainname().to_string_lossy().into_owned(),
        kernel_release: KERNEL_RELEASE.into(),
        process: process(command)?,
        mounts: mounts(),
        stdio: crate::process::standard_streams(),
        descriptors: Vec::new(),
        terminal: is_tty(rustix::stdio::stdin()) && is_tty(rustix::stdio::stdout()),
        memory_bytes,
        overrides: Vec::new(),
        seccomp: None,
        commit_bytes: 0,
        devices: Vec::new(),
        masked_paths: Vec::new(),
        readonly_paths: Vec::new(),
        sysctls: Vec::new(),
        debug: false,
        wait: false,
        max_tasks: 0,
        network: Default::default(),
        statistics: true,
        calls_at_end: false,
        trace: None,
    })
}

fn process(command: Vec<OsString>) -> anyhow::Result<ProcessSpec> {
    let env = std::env::vars_os().map(|(name, value)| {
        let mut entry = name.into_vec();
        entry.push(b'=');
        entry.extend(value.into_vec());
        entry
    });
    // A directory that is gone is no reason not to start: Linux programs cope with `/`.
    let cwd = std::env::current_dir().map_or_else(|_| b"/".to_vec(), |path| path.into_os_string().into_vec());
    // The umask can only be read by setting it.
    let umask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(umask);
    Ok(ProcessSpec {
        args: command.into_iter().map(OsString::into_vec).collect(),
        env: env.collect(),
        cwd,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        groups: rustix::process::getgroups()?.into_iter().map(|gid| gid.as_raw()).collect(),
        umask: umask.as_raw_mode(),
        capabilities: capabilities()?,
        rlimits: rlimits(),
        no_new_privs: rustix::thread::no_new_privs().unwrap_or(false),
        personality: 0,
        scheduling: None,
        io_priority: 0,
        oom_score_adj: 0,
    })
}

fn capabilities() -> anyhow::Result<Capabilities> {
    let sets = rustix::thread::capabilities(None)?;
    let bounding = CapabilitySet::all()
        .iter()
        .filter(|capability| rustix::thread::capability_is_in_bounding_set(*capability).unwrap_or(false))
        .fold(CapabilitySet::empty(), CapabilitySet::union);
    let ambient = CapabilitySet::all()
        .iter()
        .filter(|capability| rustix::thread::capability_is_in_ambient_set(*capability).unwrap_or(false))
        .fold(CapabilitySet::empty(), CapabilitySet::union);
    Ok(Capabilities {
        bounding: bounding.bits(),
        effective: sets.effective.bits(),
        inheritable: sets.inheritable.bits(),
        permitted: sets.permitted.bits(),
        ambient: ambient.bits(),
    })
}

/// Limits of the caller. That of memory for the address space is its own affair here.
fn rlimits() -> Vec<(u32, u64, u64)> {
    use linux_raw_sys::general as raw;
    let all = [
        (raw::RLIMIT_CPU, Resource::Cpu),
        (raw::RLIMIT_FSIZE, Resource::Fsize),
        (raw::RLIMIT_DATA, Resource::Data),
        (raw::RLIMIT_STACK, Resource::Stack),
        (raw::RLIMIT_CORE, Resource::Core),
        (raw::RLIMIT_RSS, Resource::Rss),
        (raw::RLIMIT_NPROC, Resource::Nproc),
        (raw::RLIMIT_NOFILE, Resource::Nofile),
        (raw::RLIMIT_MEMLOCK, Resource::Memlock),
        (raw::RLIMIT_AS, Resource::As),
        (raw::RLIMIT_LOCKS, Resource::Locks),
        (raw::RLIMIT_SIGPENDING, Resource::Sigpending),
        (raw::RLIMIT_MSGQUEUE, Resource::Msgqueue),
        (raw::RLIMIT_NICE, Resource::Nice),
        (raw::RLIMIT_RTPRIO, Resource::Rtprio),
        (raw::RLIMIT_RTTIME, Resource::Rttime),
    ];
    all.into_iter()
        .map(|(number, resource)| {
            let limit = getrlimit(resource);
            (number, limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX))
        })
        .collect()
}

/// The host's root under a memory overlay, and the sentry's own file systems.
fn mounts() -> Vec<MountSpec> {
    let quiet = flag::NOSUID | flag::NODEV | flag::NOEXEC;
    let sentry = |destination: &str, kind: &str, flags: u64, data: &str| MountSpec {
        destination: Bytes::from(destination),
        kind: MountKind::Sentry(kind.into()),
        flags,
        data: data.into(),
        source: kind.into(),
    };
    let root = MountSpec {
        destination: b"/".to_vec(),
        kind: MountKind::Host { mount: 0, exclusive: true, overlay: true },
        flags: 0,
        data: String::new(),
        source: "overlay".into(),
    };
    vec![
        root,
        sentry("/proc", "proc", quiet, ""),
        sentry("/sys", "sysfs", quiet, ""),
        sentry("/sys/fs/cgroup", "cgroup2", quiet, ""),
        sentry("/dev", "devtmpfs", flag::NOSUID, "mode=755"),
        sentry("/dev/pts", "devpts", flag::NOSUID | flag::NOEXEC, "gid=5,mode=620,ptmxmode=666"),
        sentry("/dev/shm", "tmpfs", flag::NOSUID | flag::NODEV, "mode=1777"),
        sentry("/dev/mqueue", "mqueue", quiet, ""),
    ]
}
