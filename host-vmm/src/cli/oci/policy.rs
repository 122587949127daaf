//! `policy`: what a program needs of its system calls, and what a profile says.

use super::Runtime;
use super::stats::ask;
use crate::report;
use crate::spec::seccomp;
use crate::stats::name;
use anyhow::Context;
use linker::spec::{SeccompAction, SeccompRule, SeccompSpec};
use linker::statistics::{Statistics, UNKNOWN};
use oci_spec::runtime::LinuxSeccomp;
use sentry::syscall::table::{DESCRIPTIONS, Level};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;
use syscalls::Sysno;

#[derive(clap::Subcommand)]
pub enum Args {
    /// Print the smallest policy, or seccomp profile, that lets a running container do what it did so far
    Learn(LearnArgs),
    /// Explain a seccomp profile
    Check(CheckArgs),
}

#[derive(clap::Args)]
pub struct LearnArgs {
    /// As a profile for linux.seccomp of config.json, and docker run --security-opt seccomp=FILE; otherwise for --syscalls
    #[arg(long)]
    profile: bool,
    /// Name of the container
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(clap::Args)]
pub struct CheckArgs {
    /// The profile
    #[arg(value_name = "FILE")]
    profile: PathBuf,
}

/// Does either.
pub fn run(runtime: &Runtime, args: &Args) -> anyhow::Result<u8> {
    let text = match args {
        Args::Learn(args) => {
            let found = ask(runtime, &args.id, false)?;
            let learned = if args.profile { profile(&found) } else { policy(&found) };
            format!("{}\n", serde_json::to_string_pretty(&learned)?)
        }
        Args::Check(args) => {
            let text = std::fs::read_to_string(&args.profile).with_context(|| args.profile.display().to_string())?;
            let profile: LinuxSeccomp =
                serde_json::from_str(&text).with_context(|| format!("{}: no profile", args.profile.display()))?;
            explain(&profile)?
        }
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(0)
}

/// Whoever runs cannot have ended yet, and signals come when they like: without these a program could do neither. It was the engine
/// that executed it.
const ALWAYS: [Sysno; 5] = [Sysno::execve, Sysno::exit, Sysno::exit_group, Sysno::restart_syscall, Sysno::rt_sigreturn];

/// The calls that were made, by number, and those that every program makes.
fn made(found: &Statistics) -> BTreeSet<u32> {
    let made = found.calls.iter().filter(|row| row.count != 0 && row.number != UNKNOWN).map(|row| row.number);
    made.chain(ALWAYS.map(|call| call.id().cast_unsigned())).collect()
}

/// For --syscalls: every call that is served and was not made is taken for missing.
fn policy(found: &Statistics) -> Value {
    let made = made(found);
    let unused = DESCRIPTIONS.iter().filter(|row| row.level != Level::Unsupported && !made.contains(&row.number));
    Value::Object(unused.map(|row| (row.name.into(), json!({"action": "enosys"}))).collect::<Map<_, _>>())
}

/// For config.json: the calls that were made are allowed.
fn profile(found: &Statistics) -> Value {
    let names: BTreeSet<String> = made(found).into_iter().map(name).collect();
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}],
    })
}

/// What a profile does, in words.
fn explain(profile: &LinuxSeccomp) -> anyhow::Result<String> {
    let spec = seccomp::convert(profile)?;
    for remark in remarks(profile)? {
        report::line(&format!("warning: {remark}"));
    }
    let whole = |action: SeccompAction| {
        let named = spec.rules.iter().filter(move |rule| rule.conditions.is_empty() && rule.action == action);
        named.map(|rule| name(rule.number)).collect::<BTreeSet<_>>()
    };
    let mut text = format!("what no rule speaks of {}\n", says(spec.default));
    if let Some(newest) = spec.newest {
        text += &format!("calls newer than {} are taken for missing (ENOSYS)\n", name(newest));
    }
    let actions: BTreeSet<String> = spec.rules.iter().map(|rule| says(rule.action)).collect();
    for words in actions {
        let Some(action) = spec.rules.iter().map(|rule| rule.action).find(|action| says(*action) == words) else {
            continue;
        };
        let names = whole(action);
        if !names.is_empty() {
            let list: Vec<&str> = names.iter().map(String::as_str).collect();
            text += &format!("{} calls: each {words}\n  {}\n", names.len(), list.join(" "));
        }
    }
    for rule in spec.rules.iter().filter(|rule| !rule.conditions.is_empty()) {
        text += &format!("{} {} where {}\n", name(rule.number), says(rule.action), conditions(rule));
    }
    let free = DESCRIPTIONS.iter().filter(|row| allows(&spec, row.number)).count();
    text += &format!(
        "{free} of the {} calls that ringwall knows are allowed whatever their arguments\n",
        DESCRIPTIONS.len()
    );
    Ok(text)
}

/// What to know of a profile: what is said at every run, and which names are those of other architectures (Docker's own profile
/// has many).
fn remarks(profile: &LinuxSeccomp) -> anyhow::Result<Vec<String>> {
    let names = profile.syscalls().iter().flatten().flat_map(|entry| entry.names());
    let elsewhere: BTreeSet<&str> =
        names.map(String::as_str).filter(|name| Sysno::from_str(name).is_err() && seccomp::exists(name)).collect();
    let mut remarks = seccomp::warnings(profile)?;
    if !elsewhere.is_empty() {
        remarks.push(format!(
            "x86-64 has no system call {}: what the profile says of it means nothing here",
            seccomp::list(&elsewhere)
        ));
    }
    Ok(remarks)
}

fn allows(spec: &SeccompSpec, number: u32) -> bool {
    let mut rules = spec.rules.iter().filter(|rule| rule.number == number).peekable();
    let allow = |action| matches!(action, SeccompAction::Allow | SeccompAction::Log);
    match rules.peek() {
        None => allow(spec.default),
        Some(_) => {
            rules.all(|rule| allow(rule.action))
                && spec.rules.iter().any(|rule| rule.number == number && rule.conditions.is_empty())
        }
    }
}

fn says(action: SeccompAction) -> String {
    match action {
        SeccompAction::Allow => "is allowed".into(),
        SeccompAction::Log => "is allowed and logged".into(),
        SeccompAction::Errno(errno) => format!("fails with {}", crate::stats::errno_name(errno)),
        SeccompAction::Trap => "sends SIGSYS to the thread".into(),
        SeccompAction::KillThread => "ends the thread".into(),
        SeccompAction::KillProcess => "ends the process".into(),
    }
}

fn conditions(rule: &SeccompRule) -> String {
    use linker::spec::SeccompCompare as Compare;
    let words = rule.conditions.iter().map(|condition| {
        let (index, value) = (condition.index, condition.value);
        match condition.compare {
            Compare::NotEqual => format!("argument {index} is not {value:#x}"),
            Compare::Less => format!("argument {index} is below {value:#x}"),
            Compare::LessOrEqual => format!("argument {index} is at most {value:#x}"),
            Compare::Equal => format!("argument {index} is {value:#x}"),
            Compare::GreaterOrEqual => format!("argument {index} is at least {value:#x}"),
            Compare::Greater => format!("argument {index} is above {value:#x}"),
            Compare::MaskedEqual(mask) => format!("argument {index} & {mask:#x} is {value:#x}"),
        }
    });
    words.collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::{explain, policy, profile, remarks};
    use linker::statistics::{CallStatistics, Statistics};

    fn found() -> Statistics {
        let row = |number, count| CallStatistics { number, count, ..CallStatistics::default() };
        Statistics { calls: vec![row(0, 3), row(39, 1), row(41, 0)], ..Statistics::default() }
    }

    #[test]
    fn what_was_made_is_allowed_and_all_else_is_missing() {
        let names = profile(&found())["syscalls"][0]["names"].clone();
        let always = ["execve", "exit", "exit_group", "getpid", "read", "restart_syscall", "rt_sigreturn"];
        assert_eq!(names, serde_json::json!(always));
        let policy = policy(&found());
        assert!(
            always.iter().all(|name| policy.get(*name).is_none())
                && policy.get("socket").is_some_and(|entry| entry["action"] == "enosys")
        );
        let overrides: crate::spec::Overrides = policy.to_string().parse().expect("its own form");
        assert!(overrides.check(true).is_ok());
    }

    #[test]
    fn a_profile_is_explained() {
        let profile = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","write"],"action":"SCMP_ACT_ALLOW"},
            {"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":16,"op":"SCMP_CMP_NE"}]}]}"#;
        let text = explain(&serde_json::from_str(profile).expect("JSON")).expect("a profile");
        assert!(text.contains("what no rule speaks of fails with EPERM"), "{text}");
        assert!(text.contains("2 calls: each is allowed\n  read write"), "{text}");
        assert!(text.contains("socket is allowed where argument 0 is not 0x10"), "{text}");
        assert!(text.contains("\n2 of the "), "{text}");
    }

    #[test]
    fn a_name_that_no_call_has_is_told_once() {
        let profile = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
            {"names":["raed","read","_llseek","raed"],"action":"SCMP_ACT_ALLOW"}, {"names":["raed"],"action":"SCMP_ACT_ALLOW"}]}"#;
        let said = remarks(&serde_json::from_str(profile).expect("JSON")).expect("a profile");
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(
            said[0].contains("no architecture has a system call \"raed\"") && !said[1].contains("raed"),
            "{said:?}"
        );
        assert!(said[1].starts_with("x86-64 has no system call \"_llseek\""), "{said:?}");
    }
}
