//! What figures were taken on: CPU, kernel, KVM, in words.

use crate::{quirk, vm};
use linker::boot::Quirks;

/// A machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The CPU's name.
    pub cpu: String,
    /// System and release.
    pub kernel: String,
    /// How KVM runs ring 0.
    pub kvm: &'static str,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        let uname = rustix::system::uname();
        let kernel = format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy());
        let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self { cpu: model(&cpus).unwrap_or("unknown").into(), kernel, kvm: kvm() }
    }
}

/// The first CPU's name in cpuinfo's text.
fn model(cpus: &str) -> Option<&str> {
    cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim()))
}

/// As `ringwall doctor` says it, from what is known without measuring.
fn kvm() -> &'static str {
    let Ok(kvm) = vm::open_kvm() else { return "cannot be opened here" };
    match quirk::detect(&kvm) {
        Ok(quirks) if quirks.contains(Quirks::SYSCALL_AS_FAULT) => "interpreted: ring 0 step by step (slow)",
        Ok(_) => "native: ring 0 runs on the CPU",
        Err(_) => "cannot be examined here",
    }
}

#[cfg(test)]
mod tests {
    use super::model;

    #[test]
    fn the_first_cpu_is_named() {
        assert_eq!(model("processor\t: 0\nmodel name\t: AMD EPYC 7B13\nmodel name\t: other\n"), Some("AMD EPYC 7B13"));
        assert_eq!(model(""), None);
    }
}
