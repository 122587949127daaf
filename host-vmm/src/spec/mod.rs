//! Makes the start specification: from the caller's own process (`host`), or from an OCI bundle (`oci`).

pub mod host;
pub mod mountpoints;
pub mod number_list;
pub mod oci;
mod oci_devices;
mod oci_mounts;
pub mod oci_process;
mod seccomp;
mod submounts;

use crate::net;
use linker::layout::MAX_CPUS;
use linker::spec::{OverrideAction, SyscallOverride};
use std::collections::BTreeMap;
use std::net::IpAddr;
use syscalls::Sysno;

/// What is beside loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Network {
    /// Nothing.
    None,
    /// The caller's network namespace's, taken over.
    Sandbox,
    /// Sockets of the host's in the caller's network namespace.
    Host,
}

impl Network {
    /// Takes over what the mode says from the caller's network namespace; `name_servers` are those that programs inside will ask.
    pub fn take_over(self, name_servers: &[IpAddr]) -> Result<net::Taken, net::Error> {
        match self {
            Self::None => Ok(net::Taken::default()),
            Self::Host => Ok(net::Taken { spec: net::look()?, sockets: Vec::new() }),
            Self::Sandbox => {
                net::refuse_whole_system()?;
                net::take_over(name_servers)
            }
        }
    }
}

/// Options of mounts that a bundle may have, for `features`.
pub fn mount_options() -> Vec<&'static str> {
    let mut names: Vec<_> = oci_mounts::FLAGS.iter().map(|(name, ..)| *name).collect();
    names.sort_unstable();
    names
}

/// Capabilities that a bundle may have, for `features`.
pub fn capability_names() -> Vec<String> {
    rustix::thread::CapabilitySet::all().iter_names().map(|(name, _)| format!("CAP_{name}")).collect()
}

/// CPUs that this process may use.
pub fn default_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MAX_CPUS)
}

/// Half of the host's memory, 256 MiB at least. It costs nothing before it is used.
pub fn default_memory() -> u64 {
    (host_memory() / 2).max(256 << 20)
}

/// All of the host's memory.
pub fn host_memory() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram as u64 * u64::from(info.mem_unit)
}

/// As many descriptors as the host lets a process have at most (`fs.nr_open`).
pub fn nr_open() -> Option<u64> {
    std::fs::read_to_string("/proc/sys/fs/nr_open").ok()?.trim().parse().ok()
}

/// Parses a size: digits, and K, M or G.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        other => return Err(format!("unknown unit {other:?}")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("{text:?} is not a size"))?;
    let bytes = number.checked_mul(1 << shift).ok_or("too large")?;
    match bytes >= crate::vm::memory::MIN_BYTES {
        true => Ok(bytes),
        false => Err(format!("at least {} MiB are needed", crate::vm::memory::MIN_BYTES >> 20)),
    }
}

/// `--syscalls`.
#[derive(Clone, Debug, Default)]
pub struct Overrides(pub Vec<SyscallOverride>);

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Override {
    action: String,
}

/// Parses `--syscalls`.
pub fn parse_overrides(text: &str) -> Result<Overrides, String> {
    let entries: BTreeMap<String, Override> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let overrides = entries.into_iter().map(|(name, entry)| {
        let number = name.parse::<Sysno>().map_err(|()| format!("no system call {name:?}"))?.id();
        let action = match entry.action.as_str() {
            "intercept" => OverrideAction::Intercept,
            "enosys" => OverrideAction::Errno(linux_raw_sys::errno::ENOSYS as u16),
            "kill" => OverrideAction::Kill,
            "log" => OverrideAction::Log,
            "passthrough" => {
                return Err(format!("{name}: passthrough is impossible: the host's kernel does not run the program"));
            }
            other => match other.strip_prefix("errno:").map(str::parse::<u16>) {
                Some(Ok(errno @ 1..=4095)) => OverrideAction::Errno(errno),
                _ => return Err(format!("{name}: unknown action {other:?}")),
            },
        };
        Ok(SyscallOverride { number: number as u32, action })
    });
    overrides.collect::<Result<_, _>>().map(Overrides)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_units() {
        assert_eq!(parse_size("512M"), Ok(512 << 20));
        assert_eq!(parse_size("2g"), Ok(2 << 30));
        assert!(parse_size("2x").is_err());
        assert!(parse_size("1K").is_err());
        assert!(parse_size("").is_err());
    }

    #[test]
    fn passthrough_is_refused_with_the_reason() {
        let error = parse_overrides(r#"{"read":{"action":"passthrough"}}"#).expect_err("refused");
        assert!(error.contains("impossible"), "{error}");
    }

    #[test]
    fn single_calls_can_be_changed() {
        let overrides = parse_overrides(r#"{"epoll_pwait2":{"action":"enosys"},"read":{"action":"errno:5"}}"#);
        let overrides = overrides.expect("valid").0;
        assert!(overrides.iter().any(|o| o.number == 441 && o.action == OverrideAction::Errno(38)));
        assert!(overrides.iter().any(|o| o.number == 0 && o.action == OverrideAction::Errno(5)));
    }
}
