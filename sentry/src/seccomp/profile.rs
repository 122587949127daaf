//! The container's profile, the same for all of its processes, for good.

use super::{Call, Verdict};
use linker::spec::{SeccompAction, SeccompCompare, SeccompCondition, SeccompSpec};
use linux_raw_sys::ptrace as raw;

static PROFILE: spin::Once<Profile> = spin::Once::new();

/// A profile.
pub struct Profile(SeccompSpec);

/// Sets the container's profile. At start.
pub fn set_profile(spec: &SeccompSpec) {
    PROFILE.call_once(|| Profile::new(spec));
}

/// The container's profile, if it has one.
pub fn profile() -> Option<&'static Profile> {
    PROFILE.get()
}

impl Profile {
    /// The profile of a specification.
    pub fn new(spec: &SeccompSpec) -> Self {
        let mut spec = spec.clone();
        // By number, the order among rules of one number kept.
        spec.rules.sort_by_key(|rule| rule.number);
        Self(spec)
    }

    /// Whether a call is allowed whatever its arguments are.
    pub fn always_allows(&self, number: u32) -> bool {
        let mut rules = self.rules(number).iter();
        match rules.next() {
            None => self.otherwise(number) == Verdict::ALLOW,
            Some(rule) => rule.conditions.is_empty() && rule.action == SeccompAction::Allow,
        }
    }

    /// What it says of a call.
    pub fn ask(&self, call: &Call) -> Verdict {
        let holds = |condition: &SeccompCondition| holds(condition, &call.args);
        let rule = self.rules(call.number).iter().find(|rule| rule.conditions.iter().all(holds));
        rule.map_or_else(|| self.otherwise(call.number), |rule| verdict(rule.action))
    }

    fn rules(&self, number: u32) -> &[linker::spec::SeccompRule] {
        let rules = &self.0.rules;
        let start = rules.partition_point(|rule| rule.number < number);
        let end = rules.partition_point(|rule| rule.number <= number);
        rules.get(start..end).unwrap_or_default()
    }

    fn otherwise(&self, number: u32) -> Verdict {
        match self.0.newest {
            Some(newest) if number > newest => verdict(SeccompAction::Errno(linux_raw_sys::errno::ENOSYS as u16)),
            _ => verdict(self.0.default),
        }
    }
}

fn verdict(action: SeccompAction) -> Verdict {
    Verdict::new(match action {
        SeccompAction::Allow => raw::SECCOMP_RET_ALLOW,
        SeccompAction::Log => raw::SECCOMP_RET_LOG,
        SeccompAction::Errno(errno) => raw::SECCOMP_RET_ERRNO | u32::from(errno),
        SeccompAction::Trap => raw::SECCOMP_RET_TRAP,
        SeccompAction::KillThread => raw::SECCOMP_RET_KILL_THREAD,
        SeccompAction::KillProcess => raw::SECCOMP_RET_KILL_PROCESS,
    })
}

/// Whether a condition holds of a call's arguments.
pub fn holds(condition: &SeccompCondition, args: &[u64; 6]) -> bool {
    // A specification that names a seventh argument was not made by the host's code; no rule of it applies.
    let Some(arg) = args.get(usize::from(condition.index)).copied() else { return false };
    let value = condition.value;
    match condition.compare {
        SeccompCompare::NotEqual => arg != value,
        SeccompCompare::Less => arg < value,
        SeccompCompare::LessOrEqual => arg <= value,
        SeccompCompare::Equal => arg == value,
        SeccompCompare::GreaterOrEqual => arg >= value,
        SeccompCompare::Greater => arg > value,
        SeccompCompare::MaskedEqual(mask) => arg & mask == value,
    }
}
