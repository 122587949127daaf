//! What may be called: policies and profiles, learnt, checked, and wrong in every way.

use ringwall_tests::container::{Bundle, Container};
use ringwall_tests::outcome::outcome;
use ringwall_tests::verb;
use std::fmt::Write;

/// Stays where it is.
const SCRIPT: &str = "echo ready; while read -r line; do :; done; exit 5";

#[test]
fn what_was_learnt_lets_the_same_run_pass_and_another_not() {
    let container = Container::start(SCRIPT);
    let learnt = outcome(&mut container.verb(&["policy", "learn"]));
    assert!(learnt.code == 0 && learnt.stderr.is_empty(), "{learnt:?}");
    let profile = outcome(&mut container.verb(&["policy", "learn", "--profile"])).stdout;
    assert_eq!(container.end(), 5);
    assert!(learnt.stdout.contains("\"chdir\"") && !learnt.stdout.contains("\"read\""), "{learnt:?}");

    let again = Bundle::new(SCRIPT);
    let policy = format!("@{}", again.file("policy.json", &learnt.stdout).display());
    let same = outcome(&mut again.run(&["--strict", "--syscalls", &policy]));
    assert_eq!((same.code, same.stdout.as_str(), same.stderr.as_str()), (5, "ready\n", ""));
    let other = Bundle::new("cd /tmp && echo there");
    let other = outcome(&mut other.run(&["--syscalls", &policy]));
    assert!(other.stdout.is_empty() && other.stderr.contains("can't cd to /tmp"), "{other:?}");

    let check = outcome(&mut again.verb([
        "policy".as_ref(),
        "check".as_ref(),
        again.file("profile.json", &profile).as_os_str(),
    ]));
    assert!(check.code == 0 && check.stderr.is_empty(), "{check:?}");
    for part in ["what no rule speaks of fails with EPERM\n", " calls: each is allowed\n", "exit_group", " read"] {
        assert!(check.stdout.contains(part), "{part}: {check:?}");
    }
}

fn check(profile: &str) -> ringwall_tests::outcome::Outcome {
    let bundle = Bundle::new("true");
    let file = bundle.file("profile.json", profile);
    outcome(&mut bundle.verb(["policy".as_ref(), "check".as_ref(), file.as_os_str()]))
}

#[test]
fn a_profile_is_explained_and_what_is_wrong_in_it_told_once() {
    let said = check(
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["raed", "raed", "_llseek"], "action": "SCMP_ACT_ERRNO"},
            {"names": ["dup"], "action": "SCMP_ACT_ERRNO"}, {"names": ["dup"], "action": "SCMP_ACT_TRAP"}]}"#,
    );
    assert_eq!(said.code, 0, "{said:?}");
    for part in [
        "no architecture has a system call \"raed\"",
        "contradictory rules for \"dup\"",
        "x86-64 has no system call \"_llseek\"",
    ] {
        assert_eq!(said.stderr.matches(part).count(), 1, "{part}: {said:?}");
    }
    assert_eq!((said.stderr.matches("raed").count(), said.stderr.lines().count()), (1, 3), "{said:?}");
}

#[test]
fn profiles_that_are_none_are_one_message() {
    for (profile, part) in [
        ("", "no profile"),
        ("{", "no profile"),
        ("[]", "no profile"),
        ("\u{0}\u{1}", "no profile"),
        ("{}", "no profile"),
        (r#"{"defaultAction": "SCMP_ACT_WHAT"}"#, "SCMP_ACT_WHAT"),
        (r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#, "not supported"),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": "read", "action": "SCMP_ACT_ERRNO"}]}"#,
            "no profile",
        ),
    ] {
        check(profile).assert_refused_like_runc(part);
    }
    let deep = "[".repeat(100_000);
    check(&deep).assert_refused_like_runc("no profile");
    outcome(&mut verb(["policy", "check", "/none.json"])).assert_refused_like_runc("/none.json");
    outcome(&mut verb(["policy", "check", "/"])).assert_refused_like_runc("/");
}

#[test]
fn policies_that_are_none_are_one_message_before_the_program_runs() {
    let bundle = Bundle::new("echo ran");
    let file = |name: &str, text: &str| format!("@{}", bundle.file(name, text).display());
    for (policy, part) in [
        ("{".to_owned(), "--syscalls"),
        ("[1]".to_owned(), "--syscalls"),
        (r#"{"read": {}}"#.to_owned(), "action"),
        (r#"{"read": {"action": "passthrough"}}"#.to_owned(), "passthrough"),
        (r#"{"read": {"action": "errno"}}"#.to_owned(), "which?"),
        (r#"{"read": {"action": "errno", "errno": "EWHAT"}}"#.to_owned(), "EWHAT"),
        (r#"{"read": {"action": "enosys", "errno": "EPERM"}}"#.to_owned(), "means nothing"),
        (file("broken.json", "{\"read\": "), "--syscalls"),
        ("@/none.json".to_owned(), "/none.json"),
    ] {
        let said = outcome(&mut bundle.run(&["--syscalls", &policy]));
        assert!(said.code != 0 && said.stdout.is_empty(), "{policy}: {said:?}");
        assert!(said.stderr.lines().count() == 1 && said.stderr.contains(part), "{policy}: {said:?}");
    }
}

#[test]
fn an_unknown_call_is_a_warning_and_with_strict_an_error() {
    let bundle = Bundle::new("echo ran");
    let policy = r#"{"raed": {"action": "enosys"}}"#;
    let said = outcome(&mut bundle.run(&["--syscalls", policy]));
    assert_eq!((said.code, said.stdout.as_str()), (0, "ran\n"), "{said:?}");
    assert_eq!(said.stderr, "ringwall: warning: --syscalls: no system call \"raed\"\n");
    outcome(&mut bundle.run(&["--strict", "--syscalls", policy]))
        .assert_refused_like_runc("no system call \\\"raed\\\"");
}

/// So many entries, each for another value of an argument.
const RULES: usize = 10_000;

fn rules(entry: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for index in 0..RULES {
        let _ = write!(text, "{}{}", if index == 0 { "" } else { "," }, entry(index));
    }
    text
}

#[test]
fn ten_thousand_rules_are_read_and_count() {
    let many = rules(|index| {
        format!(
            r#"{{"names": ["dup3"], "action": "SCMP_ACT_ERRNO", "args": [{{"index": 0, "value": {index}, "op": "SCMP_CMP_EQ"}}]}}"#
        )
    });
    let said = check(&format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{many}]}}"#));
    assert!(said.code == 0 && said.stderr.is_empty(), "{}", said.stderr);
    assert!(said.stdout.contains("dup3 fails with EPERM where argument 0 is 0x270f\n"));
    assert_eq!(said.stdout.lines().filter(|line| line.starts_with("dup3 ")).count(), RULES);

    // All modes but one.
    let bundle = Bundle::new("chmod 644 /etc/passwd 2>&1; chmod 600 /etc/passwd 2>&1; exit 4");
    let many = rules(|index| {
        let mode = if index == 0o644 { RULES } else { index };
        format!(
            r#"{{"action": "errno", "errno": "EXDEV", "args": [{{"index": 2, "value": {mode}, "op": "SCMP_CMP_EQ"}}]}}"#
        )
    });
    let policy = format!("@{}", bundle.file("policy.json", &format!(r#"{{"fchmodat": [{many}]}}"#)).display());
    let said = outcome(&mut bundle.run(&["--syscalls", &policy]));
    let words = ["Read-only file system", "Invalid cross-device link"];
    let shown = words.map(|word| format!("chmod: changing permissions of '/etc/passwd': {word}\n")).concat();
    assert_eq!((said.code, said.stdout, said.stderr.as_str()), (4, shown, ""));
}
