//! What a profile says that does not do what it seems to: names of calls that exist nowhere, and rules that another one overrules.

use super::condition_sets;
use crate::spec::oci::Error;
use linker::spec::SeccompCondition;
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction};
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use syscalls::Sysno;

/// Names and calls that are listed in one warning; more are only counted.
const LISTED: usize = 8;

/// A rule for one call, as the profile has it.
struct Said {
    action: LinuxSeccompAction,
    errno: Option<u32>,
    conditions: Vec<SeccompCondition>,
}

/// The warnings, a line each. The profile is one that `convert` takes.
pub fn warnings(profile: &LinuxSeccomp) -> Result<Vec<String>, Error> {
    let mut unknown = BTreeSet::new();
    let mut calls: BTreeMap<&str, Vec<Said>> = BTreeMap::new();
    for entry in profile.syscalls().iter().flatten() {
        let sets = condition_sets(entry.args().as_deref().unwrap_or_default(), "args")?;
        for name in entry.names() {
            if !exists(name) {
                unknown.insert(name.as_str());
            }
            let said = sets.iter().map(|conditions| Said {
                action: entry.action(),
                errno: entry.errno_ret(),
                conditions: conditions.clone(),
            });
            calls.entry(name).or_default().extend(said);
        }
    }
    let called = |test: fn(&[Said]) -> bool| -> BTreeSet<&str> {
        calls.iter().filter(|(_, said)| test(said)).map(|(name, _)| *name).collect()
    };
    let mut lines = Vec::new();
    if !unknown.is_empty() {
        lines.push(format!(
            "linux.seccomp: no architecture has a system call {}: its rules mean nothing",
            list(&unknown)
        ));
    }
    let contradicted = called(contradicts);
    if !contradicted.is_empty() {
        lines.push(format!(
            "linux.seccomp: contradictory rules for {}: the first of those with the same conditions counts",
            list(&contradicted)
        ));
    }
    let overruled = called(overrules);
    if !overruled.is_empty() {
        lines.push(format!(
            "linux.seccomp: of {} a rule without conditions decides, so that those with conditions never count",
            list(&overruled)
        ));
    }
    Ok(lines)
}

/// Two rules with the same conditions say different things.
fn contradicts(said: &[Said]) -> bool {
    // By conditions, so that a profile of many rules is gone through once.
    let mut first: BTreeMap<String, (LinuxSeccompAction, Option<u32>)> = BTreeMap::new();
    said.iter().any(|rule| {
        let does = (rule.action, rule.errno);
        *first.entry(format!("{:?}", rule.conditions)).or_insert(does) != does
    })
}

/// A rule without conditions, and one with conditions that says something else.
fn overrules(said: &[Said]) -> bool {
    let Some(whole) = said.iter().find(|rule| rule.conditions.is_empty()) else { return false };
    said.iter().any(|rule| !rule.conditions.is_empty() && (rule.action, rule.errno) != (whole.action, whole.errno))
}

/// Whether any architecture has it: profiles are written for many.
pub fn exists(name: &str) -> bool {
    Sysno::from_str(name).is_ok()
        || syscalls::x86::Sysno::from_str(name).is_ok()
        || syscalls::arm::Sysno::from_str(name).is_ok()
        || syscalls::aarch64::Sysno::from_str(name).is_ok()
        || syscalls::mips::Sysno::from_str(name).is_ok()
        || syscalls::powerpc::Sysno::from_str(name).is_ok()
        || syscalls::riscv64::Sysno::from_str(name).is_ok()
        || syscalls::s390x::Sysno::from_str(name).is_ok()
        || syscalls::sparc::Sysno::from_str(name).is_ok()
        || ARM_PRIVATE.contains(&name)
}

/// Calls of arm's own that have no number in the common table (arch/arm/include/uapi/asm/unistd.h).
const ARM_PRIVATE: [&str; 7] = ["breakpoint", "cacheflush", "usr26", "usr32", "set_tls", "get_tls", "arm_fadvise64_64"];

/// Some of the names, quoted, and how many more there are.
pub fn list(names: &BTreeSet<&str>) -> String {
    let shown: Vec<String> = names.iter().take(LISTED).map(|name| format!("{name:?}")).collect();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::warnings;
    use serde_json::{Value, json};

    fn of(syscalls: Value) -> Vec<String> {
        let profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": syscalls});
        warnings(&serde_json::from_value(profile).expect("a profile")).expect("sound")
    }

    #[test]
    fn names_that_no_architecture_has_are_named() {
        let known = json!([
            "read",
            "_llseek",
            "socketcall",
            "fstatat64",
            "arm_sync_file_range",
            "s390_pci_mmio_read",
            "riscv_flush_icache",
            "swapcontext",
            "breakpoint",
            "clock_gettime64",
            "recv",
            "epoll_ctl_old"
        ]);
        assert_eq!(of(json!([{"names": known, "action": "SCMP_ACT_ALLOW"}])), [""; 0]);
        let found = of(json!([{"names": ["raed", "read", "opne"], "action": "SCMP_ACT_ALLOW"}]));
        assert_eq!(
            found,
            ["linux.seccomp: no architecture has a system call \"opne\", \"raed\": its rules mean nothing"]
        );
        let many: Vec<String> = (0..100).map(|index| format!("call{index}")).collect();
        let found = of(json!([{"names": many, "action": "SCMP_ACT_ALLOW"}]));
        assert!(found.len() == 1 && found[0].contains("and 92 more"), "{found:?}");
    }

    #[test]
    fn rules_that_another_one_overrules_are_named() {
        let arg = |value: u64| json!([{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}]);
        let found = of(json!([
            {"names": ["dup"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["dup"], "action": "SCMP_ACT_TRAP"},
            {"names": ["dup2"], "action": "SCMP_ACT_ALLOW", "args": arg(1)},
            {"names": ["dup2"], "action": "SCMP_ACT_LOG", "args": arg(1)},
            {"names": ["dup3"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["dup3"], "action": "SCMP_ACT_LOG", "args": arg(1)},
            // These do not contradict each other.
            {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": arg(1)},
            {"names": ["socket"], "action": "SCMP_ACT_LOG", "args": arg(2)},
            {"names": ["bind"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["bind"], "action": "SCMP_ACT_ALLOW", "args": arg(2)},
        ]));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("contradictory rules for \"dup\", \"dup2\":"), "{found:?}");
        assert!(found[1].contains("of \"dup3\" a rule without conditions"), "{found:?}");
    }
}
