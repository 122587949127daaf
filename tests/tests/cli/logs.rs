//! Logs that there is no room for: whoever writes them says so once, and the program does not notice.

use ringwall_tests::container::{Bundle, Container};
use ringwall_tests::eventually;
use ringwall_tests::outcome::{Outcome, code, outcome, start, wait};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

/// More calls than a few pages of log have lines.
const SCRIPT: &str = "i=0; while [ $i -lt 400 ]; do test -e /none/$i; i=$((i+1)); done; echo done; exit 3";

/// The command in a mount namespace of its own, where `logs/` is a small disk in memory.
fn on_a_small_disk(bundle: &Bundle, size: &str, command: &Command) -> Command {
    let logs = bundle.path().join("logs");
    std::fs::create_dir_all(&logs).expect("a directory");
    let script = format!("mount -t tmpfs -o size={size} none {} && exec \"$@\"", logs.display());
    let mut shell = ringwall_tests::native(["unshare", "--mount", "sh", "-c", &script, "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    shell
}

/// Mounts are root's.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

fn logged(bundle: &Bundle) -> String {
    format!("{}/logs/", bundle.path().display())
}

fn assert_told_once(outcome: &Outcome) {
    assert_eq!(outcome.stdout, "done\n", "{outcome:?}");
    let said: Vec<&str> = outcome.stderr.lines().collect();
    assert!(matches!(said[..], [line] if line.contains("No space left on device")), "{outcome:?}");
}

#[test]
fn a_full_disk_under_the_log_is_told_once_and_the_program_runs_on() {
    if !is_root() {
        return;
    }
    for size in ["4k", "16k"] {
        let bundle = Bundle::new(SCRIPT);
        let command = bundle.run(&["--debug-log", &logged(&bundle), "--strace"]);
        let outcome = outcome(&mut on_a_small_disk(&bundle, size, &command));
        assert_eq!(outcome.code, 3, "{size}: {outcome:?}");
        assert_told_once(&outcome);
    }
}

#[test]
fn a_full_disk_under_the_log_of_a_detached_container_is_told_once_and_it_runs_on() {
    if !is_root() {
        return;
    }
    let bundle = Bundle::new(SCRIPT);
    let mut command = bundle.verb(["--debug-log", &logged(&bundle), "--strace", "run", "--detach", "--bundle"]);
    command.arg(bundle.path()).arg(&bundle.id);
    // Its output is the container's, too: both have ended when that has.
    let outcome = outcome(&mut on_a_small_disk(&bundle, "16k", &command));
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_told_once(&outcome);
    let stopped = || outcome_of_state(&bundle).contains("\"status\": \"stopped\"").then_some(());
    assert!(eventually(stopped).is_some(), "{}", outcome_of_state(&bundle));
}

fn outcome_of_state(bundle: &Bundle) -> String {
    outcome(&mut bundle.verb(["state", &bundle.id])).stdout
}

#[test]
fn a_log_that_cannot_be_made_is_one_message_before_the_program_runs() {
    let bundle = Bundle::new(SCRIPT);
    outcome(&mut bundle.run(&["--debug-log", "/proc/none/x", "--strace"]))
        .assert_refused_like_runc("--debug-log /proc/none/x");
    outcome(&mut bundle.run(&["--strace"])).assert_refused_like_runc("--strace: where to?");
}

#[test]
fn a_full_disk_under_what_do_traces_is_told_once_and_the_program_runs_on() {
    let script =
        format!("exec {} do --vcpus 1 --strace -- sh -c '{SCRIPT}' 2>/dev/full", ringwall_tests::ringwall().display());
    let outcome = outcome(&mut ringwall_tests::native(["sh", "-c", &script]));
    assert_eq!((outcome.code, outcome.stdout.as_str()), (3, "done\n"), "{outcome:?}");
}

#[test]
fn a_full_disk_under_what_is_shown_is_one_message_and_the_container_runs_on() {
    let container =
        Container::start("echo ready; (while :; do test -e /none; sleep 0.05; done) & read -r line; exit 5");
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    for words in [&["stats"] as &[&str], &["metrics"], &["policy", "learn"], &["trace"], &["trace", "--json"]] {
        let mut child = start(container.verb(words).stdin(Stdio::null()).stdout(full()).stderr(Stdio::piped()));
        let code = code(wait(&mut child));
        let mut said = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
        assert!(
            code == 1 && said.lines().count() == 1 && said.contains("No space left on device"),
            "{words:?}: {code} {said}"
        );
    }
    outcome(&mut container.verb(&["trace", "--output", "/dev/full"]))
        .assert_refused_like_runc("No space left on device");
    assert_eq!(container.end(), 5);
}
