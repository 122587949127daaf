//! `linux.seccomp` of a `config.json` → the profile that the sentry enforces: names become numbers, and rules get the order
//! in which libseccomp looks at them.
//!
//! That order is not the file's. A rule without conditions decides for its call whatever else is said of it, the first one if
//! there are several. Otherwise (db.c, `_db_chain_lt`): a condition on a later argument first; equality before "less" before
//! "greater"; the narrower value first; and of two rules that begin with the same conditions the shorter one.

mod cache;
mod warnings;

pub use cache::compile;
pub use warnings::{exists, list, warnings};

use crate::spec::oci::{Error, bad};
use linker::spec::{SeccompAction, SeccompCompare, SeccompCondition, SeccompRule, SeccompSpec};
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction as OciAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSeccompOperator,
};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::str::FromStr;
use syscalls::Sysno;

/// Errno of `SCMP_ACT_ERRNO` where the profile gives none.
const DEFAULT_ERRNO: u32 = linux_raw_sys::errno::EPERM;
/// The highest errno (include/linux/err.h, MAX_ERRNO): what lies above is cut to it.
const MAX_ERRNO: u32 = 4095;
/// Arguments of a system call.
const ARGUMENTS: usize = 6;

/// The profile, or a refusal by name. Calls that this architecture does not have are left out, as runc does.
pub fn convert(profile: &LinuxSeccomp) -> Result<SeccompSpec, Error> {
    check_flags(profile)?;
    if profile.listener_path().is_some() {
        return Err(bad("linux.seccomp.listenerPath", "not supported"));
    }
    let default = action(profile.default_action(), profile.default_errno_ret())
        .ok_or_else(|| bad("linux.seccomp.defaultAction", unsupported(profile.default_action())))?;
    let mut calls: BTreeMap<u32, Vec<SeccompRule>> = BTreeMap::new();
    let mut newest = None;
    for (index, entry) in profile.syscalls().iter().flatten().enumerate() {
        let here = |what: &str| format!("linux.seccomp.syscalls[{index}].{what}");
        let action = action(entry.action(), entry.errno_ret())
            .ok_or_else(|| bad(here("action"), unsupported(entry.action())))?;
        let sets = condition_sets(entry.args().as_deref().unwrap_or_default(), &here("args"))?;
        for name in entry.names() {
            if name.is_empty() {
                return Err(bad(here("names"), "an empty name"));
            }
            let Ok(call) = Sysno::from_str(name) else { continue };
            let number = call.id() as u32;
            newest = newest.max(Some(number));
            // Only what differs from the default is a rule, as for runc; anything else could hide a rule that follows.
            if action != default {
                let rules = calls.entry(number).or_default();
                rules.extend(sets.iter().map(|conditions| SeccompRule {
                    number,
                    action,
                    conditions: conditions.clone(),
                }));
            }
        }
    }
    // What the default allows, it allows of newer calls as well.
    let allows = matches!(default, SeccompAction::Allow | SeccompAction::Log);
    Ok(SeccompSpec {
        default,
        newest: newest.filter(|_| !allows),
        rules: calls.into_values().flat_map(in_order).collect(),
    })
}

/// Flags change how a host kernel installs a filter; here there is nothing to install, and nothing to speculate past.
fn check_flags(profile: &LinuxSeccomp) -> Result<(), Error> {
    for flag in profile.flags().iter().flatten() {
        match flag {
            LinuxSeccompFilterFlag::SeccompFilterFlagLog
            | LinuxSeccompFilterFlag::SeccompFilterFlagTsync
            | LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => {}
            #[allow(unreachable_patterns)]
            other => return Err(bad("linux.seccomp.flags", format!("{other}: not supported"))),
        }
    }
    Ok(())
}

fn unsupported(action: OciAction) -> String {
    format!("{action} is not supported: nobody outside of the sandbox sees a container's system calls")
}

/// `None` for what needs somebody outside.
fn action(action: OciAction, errno: Option<u32>) -> Option<SeccompAction> {
    Some(match action {
        OciAction::ScmpActKill | OciAction::ScmpActKillThread => SeccompAction::KillThread,
        OciAction::ScmpActKillProcess => SeccompAction::KillProcess,
        OciAction::ScmpActTrap => SeccompAction::Trap,
        OciAction::ScmpActErrno => SeccompAction::Errno(errno.unwrap_or(DEFAULT_ERRNO).min(MAX_ERRNO) as u16),
        OciAction::ScmpActLog => SeccompAction::Log,
        OciAction::ScmpActAllow => SeccompAction::Allow,
        OciAction::ScmpActNotify | OciAction::ScmpActTrace => return None,
    })
}

/// The conditions of an entry: all of them in one rule, or one rule each where an argument has several (runc).
fn condition_sets(args: &[LinuxSeccompArg], place: &str) -> Result<Vec<Vec<SeccompCondition>>, Error> {
    let mut conditions = Vec::new();
    let mut seen = [false; ARGUMENTS];
    let mut repeated = false;
    for arg in args {
        let slot = seen.get_mut(arg.index()).ok_or_else(|| bad(place, format!("index {}", arg.index())))?;
        repeated |= std::mem::replace(slot, true);
        conditions.push(condition(arg));
    }
    if repeated {
        return Ok(conditions.into_iter().map(|condition| vec![condition]).collect());
    }
    conditions.sort_by_key(|condition| condition.index);
    Ok(vec![conditions])
}

/// What must hold of an argument.
pub(in crate::spec) fn condition(arg: &LinuxSeccompArg) -> SeccompCondition {
    let mut value = arg.value();
    let compare = match arg.op() {
        LinuxSeccompOperator::ScmpCmpNe => SeccompCompare::NotEqual,
        LinuxSeccompOperator::ScmpCmpLt => SeccompCompare::Less,
        LinuxSeccompOperator::ScmpCmpLe => SeccompCompare::LessOrEqual,
        LinuxSeccompOperator::ScmpCmpEq => SeccompCompare::Equal,
        LinuxSeccompOperator::ScmpCmpGe => SeccompCompare::GreaterOrEqual,
        LinuxSeccompOperator::ScmpCmpGt => SeccompCompare::Greater,
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            let mask = value;
            // libseccomp drops the bits that the mask does not have.
            value = arg.value_two().unwrap_or(0) & mask;
            SeccompCompare::MaskedEqual(mask)
        }
    };
    SeccompCondition { index: arg.index() as u8, compare, value }
}

/// One call's rules in the order in which they are looked at, without those that never decide.
fn in_order(mut rules: Vec<SeccompRule>) -> Vec<SeccompRule> {
    if let Some(whole) = rules.iter().position(|rule| rule.conditions.is_empty()) {
        return vec![rules.swap_remove(whole)];
    }
    rules.sort_by(|a, b| {
        let pairs = a.conditions.iter().zip(&b.conditions);
        let different = pairs.map(|(a, b)| compare(a, b)).find(|order| order.is_ne());
        different.unwrap_or_else(|| a.conditions.len().cmp(&b.conditions.len()))
    });
    rules
}

/// Which of two conditions is looked at first.
fn compare(a: &SeccompCondition, b: &SeccompCondition) -> Ordering {
    let class = |condition: &SeccompCondition| match condition.compare {
        SeccompCompare::Equal | SeccompCompare::NotEqual | SeccompCompare::MaskedEqual(_) => 0,
        SeccompCompare::Less | SeccompCompare::LessOrEqual => 1,
        SeccompCompare::Greater | SeccompCompare::GreaterOrEqual => 2,
    };
    let values = if class(a) == 1 { a.value.cmp(&b.value) } else { b.value.cmp(&a.value) };
    b.index.cmp(&a.index).then(class(a).cmp(&class(b))).then(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn convert_value(profile: Value) -> Result<SeccompSpec, Error> {
        convert(&serde_json::from_value(profile).expect("a profile"))
    }

    fn arg(index: u64, op: &str, value: u64) -> Value {
        json!({"index": index, "op": op, "value": value})
    }

    #[test]
    fn a_profile_becomes_numbers_without_what_is_unknown_or_the_default() {
        let profile = convert_value(json!({
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
            "architectures": ["SCMP_ARCH_X86_64"], "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "syscalls": [
                {"names": ["read", "no_such_call", "futex_waitv"], "action": "SCMP_ACT_ALLOW"},
                {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
                {"names": ["rmdir"], "action": "SCMP_ACT_ERRNO"},
                {"names": ["reboot"], "action": "SCMP_ACT_KILL_PROCESS"},
            ],
        }));
        let profile = profile.expect("sound");
        assert_eq!((profile.default, profile.newest), (SeccompAction::Errno(38), Some(449)));
        let rules: Vec<_> = profile.rules.iter().map(|rule| (rule.number, rule.action)).collect();
        let expected = [
            (0, SeccompAction::Allow),
            (84, SeccompAction::Errno(1)),
            (169, SeccompAction::KillProcess),
            (449, SeccompAction::Allow),
        ];
        assert_eq!(rules, expected);
    }

    #[test]
    fn a_rule_without_conditions_decides_whatever_else_is_said() {
        let profile = convert_value(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["dup"], "action": "SCMP_ACT_ERRNO", "args": [arg(0, "SCMP_CMP_EQ", 1)]},
            {"names": ["dup"], "action": "SCMP_ACT_TRAP"},
            {"names": ["dup"], "action": "SCMP_ACT_LOG"},
        ]}));
        let profile = profile.expect("sound");
        assert_eq!(profile.newest, None, "what is allowed is allowed of newer calls too");
        assert_eq!(profile.rules.len(), 1);
        assert_eq!(profile.rules[0].action, SeccompAction::Trap);
    }

    #[test]
    fn conditions_are_looked_at_in_the_order_of_libseccomp() {
        let entry = |errno: u32, args: Vec<Value>| json!({"names": ["dup3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno, "args": args});
        let profile = convert_value(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            entry(1, vec![arg(0, "SCMP_CMP_GT", 1)]),
            entry(2, vec![arg(0, "SCMP_CMP_GT", 5)]),
            entry(3, vec![arg(0, "SCMP_CMP_LE", 9)]),
            entry(4, vec![arg(0, "SCMP_CMP_LE", 3)]),
            entry(5, vec![arg(0, "SCMP_CMP_EQ", 4)]),
            entry(6, vec![arg(2, "SCMP_CMP_EQ", 4)]),
        ]}));
        let order: Vec<_> = profile.expect("sound").rules.into_iter().map(|rule| rule.action).collect();
        assert_eq!(order, [6, 5, 4, 3, 2, 1].map(SeccompAction::Errno));
    }

    #[test]
    fn several_conditions_on_one_argument_are_alternatives() {
        let profile = convert_value(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["dup2"], "action": "SCMP_ACT_ERRNO", "args": [
                arg(0, "SCMP_CMP_EQ", 1), arg(0, "SCMP_CMP_EQ", 2),
                {"index": 1, "op": "SCMP_CMP_MASKED_EQ", "value": 6, "valueTwo": 5},
            ]},
        ]}));
        let profile = profile.expect("sound");
        assert_eq!(profile.rules.len(), 3);
        let masked = SeccompCondition { index: 1, compare: SeccompCompare::MaskedEqual(6), value: 4 };
        assert_eq!(profile.rules[0].conditions, [masked]);
    }

    #[test]
    fn what_needs_somebody_outside_is_refused_by_name() {
        let refusal = |profile| convert_value(profile).expect_err("refused").to_string();
        assert!(refusal(json!({"defaultAction": "SCMP_ACT_TRACE"})).contains("SCMP_ACT_TRACE"));
        let notify = json!([{"names": ["read"], "action": "SCMP_ACT_NOTIFY"}]);
        let notify = refusal(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": notify}));
        assert!(notify.contains("syscalls[0].action") && notify.contains("SCMP_ACT_NOTIFY"));
        let index = json!([{"names": ["read"], "action": "SCMP_ACT_TRAP", "args": [arg(6, "SCMP_CMP_EQ", 0)]}]);
        assert!(refusal(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": index})).contains("index 6"));
    }
}
