//! Makes the start specification: from the caller's own process (`host`), or from an OCI bundle (`oci`).

pub mod host;
pub mod mountpoints;
pub mod number_list;
pub mod oci;
mod oci_devices;
mod oci_mounts;
pub mod oci_process;
mod overrides;
pub mod seccomp;
mod submounts;

pub use overrides::Overrides;

use crate::net;
use linker::layout::MAX_CPUS;
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

/// System calls by name: `--strace-syscalls`.
#[derive(Clone, Debug, Default)]
pub struct SyscallList(pub Vec<u32>);

impl std::str::FromStr for SyscallList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let numbers = names.map(|name| match name.parse::<Sysno>() {
            Ok(call) => Ok(call.id().cast_unsigned()),
            Err(()) => Err(format!("no system call {name:?}")),
        });
        numbers.collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_calls_are_names() {
        let numbers = |text: &str| text.parse::<SyscallList>().map(|list| list.0);
        assert_eq!(numbers("read, openat"), Ok(vec![0, 257]));
        assert_eq!(numbers(""), Ok(vec![]));
        assert_eq!(numbers("read,raed"), Err("no system call \"raed\"".into()));
    }

    #[test]
    fn sizes_are_read_with_units() {
        assert_eq!(parse_size("512M"), Ok(512 << 20));
        assert_eq!(parse_size("2g"), Ok(2 << 30));
        assert!(parse_size("2x").is_err());
        assert!(parse_size("1K").is_err());
        assert!(parse_size("").is_err());
    }
}
