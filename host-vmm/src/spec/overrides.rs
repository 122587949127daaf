//! `--syscalls`: single system calls changed, in JSON, on the command line or in a file (`@FILE`).
//!
//! ```json
//! { "epoll_pwait2": {"action": "enosys"},
//!   "socket": [{"action": "errno", "errno": "EACCES", "args": [{"index": 0, "value": 16, "op": "SCMP_CMP_EQ"}]}, …] }
//! ```

use crate::report;
use crate::spec::seccomp::condition;
use linker::spec::{OverrideAction, SeccompCondition, SyscallOverride};
use oci_spec::runtime::LinuxSeccompArg;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::str::FromStr;
use syscalls::Sysno;

/// The highest errno (include/linux/err.h, MAX_ERRNO).
const MAX_ERRNO: u16 = 4095;
/// Arguments of a system call.
const ARGUMENTS: usize = 6;

/// Checked entries, and names that no system call has.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    entries: Vec<SyscallOverride>,
    unknown: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    action: String,
    #[serde(default)]
    errno: Option<Value>,
    #[serde(default)]
    args: Vec<LinuxSeccompArg>,
}

impl Overrides {
    /// The entries. Unknown names are an error if `strict`, and otherwise said, every time.
    pub fn check(self, strict: bool) -> Result<Vec<SyscallOverride>, String> {
        for name in &self.unknown {
            let message = format!("--syscalls: no system call {name:?}");
            if strict {
                return Err(message);
            }
            report::line(&format!("warning: {message}"));
        }
        Ok(self.entries)
    }
}

impl FromStr for Overrides {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = match text.strip_prefix('@') {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
                serde_json::from_str(&text)
            }
            None => serde_json::from_str(text),
        };
        let calls: BTreeMap<String, Value> = parsed.map_err(|error| error.to_string())?;
        let mut overrides = Self::default();
        for (name, entry) in calls {
            let rules = match entry {
                Value::Array(rules) => rules,
                rule => vec![rule],
            };
            let number = name.parse::<Sysno>().ok().map(|call| call.id().cast_unsigned());
            for rule in rules {
                let rule: Rule = serde_json::from_value(rule).map_err(|error| format!("{name}: {error}"))?;
                let (action, conditions) = rule.read().map_err(|error| format!("{name}: {error}"))?;
                overrides.entries.extend(number.map(|number| SyscallOverride { number, action, conditions }));
            }
            if number.is_none() {
                overrides.unknown.push(name);
            }
        }
        Ok(overrides)
    }
}

impl Rule {
    fn read(&self) -> Result<(OverrideAction, Vec<SeccompCondition>), String> {
        let errno = self.errno.as_ref().map(to_errno).transpose()?;
        let action = match (self.action.as_str(), errno) {
            ("errno", Some(errno)) => OverrideAction::Errno(errno),
            ("errno", None) => return Err("errno: which? \"errno\" says".into()),
            (_, Some(_)) => return Err(format!("\"errno\" means nothing with {:?}", self.action)),
            ("intercept", None) => OverrideAction::Intercept,
            ("enosys", None) => OverrideAction::Errno(linux_raw_sys::errno::ENOSYS as u16),
            ("kill", None) => OverrideAction::Kill,
            ("log", None) => OverrideAction::Log,
            ("passthrough", None) => {
                return Err("passthrough is impossible: the host's kernel does not run the program".into());
            }
            (other, None) => match other.strip_prefix("errno:").map(str::parse::<u64>) {
                Some(Ok(number)) => OverrideAction::Errno(to_errno(&number.into())?),
                _ => return Err(format!("unknown action {other:?}")),
            },
        };
        if let Some(arg) = self.args.iter().find(|arg| arg.index() >= ARGUMENTS) {
            return Err(format!("args: index {}: a system call has {ARGUMENTS} arguments", arg.index()));
        }
        Ok((action, self.args.iter().map(condition).collect()))
    }
}

/// By its number or its name.
fn to_errno(value: &Value) -> Result<u16, String> {
    match value {
        Value::Number(number) => {
            let errno = number.as_u64().and_then(|number| u16::try_from(number).ok());
            let errno = errno.filter(|errno| (1..=MAX_ERRNO).contains(errno));
            errno.ok_or_else(|| format!("errno {number}: 1 to {MAX_ERRNO} are"))
        }
        Value::String(name) => (1..=MAX_ERRNO)
            .find(|number| {
                let known = nix::errno::Errno::from_raw((*number).into());
                known != nix::errno::Errno::UnknownErrno && format!("{known:?}") == *name
            })
            .ok_or_else(|| format!("no errno {name:?}")),
        other => Err(format!("errno {other}: neither a number nor a name")),
    }
}

#[cfg(test)]
mod tests {
    use super::Overrides;
    use linker::spec::{OverrideAction, SeccompCompare, SyscallOverride};

    fn read(text: &str) -> Result<Vec<SyscallOverride>, String> {
        text.parse::<Overrides>()?.check(true)
    }

    #[test]
    fn entries_are_read_in_all_their_forms() {
        let text = r#"{"epoll_pwait2":{"action":"enosys"},"read":{"action":"errno:5"},"open":{"action":"errno","errno":"EACCES"},
            "socket":[{"action":"kill","args":[{"index":0,"value":16,"op":"SCMP_CMP_EQ"}]},{"action":"log"}]}"#;
        let found = read(text).expect("valid");
        let of = |number| found.iter().filter(move |entry| entry.number == number).collect::<Vec<_>>();
        assert_eq!(of(441)[0].action, OverrideAction::Errno(38));
        assert_eq!(of(0)[0].action, OverrideAction::Errno(5));
        assert_eq!(of(2)[0].action, OverrideAction::Errno(13));
        assert_eq!((of(41)[0].action, of(41)[1].action), (OverrideAction::Kill, OverrideAction::Log));
        let condition = of(41)[0].conditions[0];
        assert_eq!((condition.index, condition.compare, condition.value), (0, SeccompCompare::Equal, 16));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (text, reason) in [
            (r#"{"read":{"action":"passthrough"}}"#, "read: passthrough is impossible"),
            (r#"{"read":{"action":"errno"}}"#, "read: errno: which?"),
            (r#"{"read":{"action":"kill","errno":1}}"#, "read: \"errno\" means nothing with \"kill\""),
            (r#"{"read":{"action":"errno","errno":"EFOO"}}"#, "read: no errno \"EFOO\""),
            (r#"{"read":{"action":"errno","errno":0}}"#, "read: errno 0"),
            (r#"{"read":{"action":"errno","errno":-1}}"#, "read: errno -1"),
            (r#"{"read":{"action":"errno","errno":[1]}}"#, "read: errno [1]: neither"),
            (r#"{"read":{}}"#, "read: missing field `action`"),
            (r#"{"read":[{"action":"log"},7]}"#, "read: invalid type: integer `7`"),
            (r#"{"read":{"action":"log","args":[{"index":6,"value":1,"op":"SCMP_CMP_EQ"}]}}"#, "read: "),
            (r#"{"raed":{"action":"log"}}"#, "--syscalls: no system call \"raed\""),
            ("@/none", "/none: No such file"),
            ("{", "EOF"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.starts_with(reason), "{text}: {error}");
        }
        assert!(r#"{"raed":{"action":"log"}}"#.parse::<Overrides>().is_ok_and(|found| found.check(false).is_ok()));
    }
}
