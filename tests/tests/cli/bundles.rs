//! `ringwall run`: bundles as they should be, and bundles with nonsense in them.

use ringwall_tests::leftovers::Mark;
use ringwall_tests::outcome::{Outcome, outcome};
use ringwall_tests::verb;
use std::fs;
use tempfile::TempDir;

/// A bundle on the host's root.
const GOOD: &str = r#"{
    "ociVersion": "1.0.2",
    "process": {"terminal": false, "user": {"uid": 0, "gid": 0}, "args": ["sh", "-c", "echo in the bundle; exit 5"],
                "env": ["PATH=/usr/bin:/bin"], "cwd": "/"},
    "root": {"path": "/", "readonly": true},
    "hostname": "bundled",
    "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "uts"}, {"type": "ipc"}, {"type": "network"}]},
    "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}]
}"#;

fn run(config: &[u8]) -> Outcome {
    let bundle = TempDir::new().expect("a directory");
    fs::write(bundle.path().join("config.json"), config).expect("a file");
    let mut command = verb(["run", "--vcpus", "1", "--bundle"]);
    // A name of its own: tests run side by side.
    let name = bundle.path().file_name().expect("a name").to_string_lossy().replace('.', "test-");
    command.arg(bundle.path()).arg(name);
    let mark = Mark::put(&mut command);
    let outcome = outcome(&mut command);
    mark.assert_nothing_left();
    outcome
}

#[test]
fn a_bundle_runs_and_ends_as_its_program_does() {
    let outcome = run(GOOD.as_bytes());
    assert_eq!((outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()), (5, "in the bundle\n", ""));
}

#[test]
fn what_a_later_version_of_the_specification_adds_is_ignored() {
    let config = GOOD.replacen("\"hostname\"", "\"inTheFuture\": {\"a\": [1]}, \"hostname\"", 1);
    assert_eq!(run(config.as_bytes()).code, 5);
}

#[test]
fn impossible_values_are_refused_with_what_and_where() {
    for (good, bad, part) in [
        ("\"args\": [\"sh\", \"-c\", \"echo in the bundle; exit 5\"]", "\"args\": []", "args"),
        ("\"cwd\": \"/\"", "\"cwd\": \"relative\"", "cwd"),
        ("\"path\": \"/\"", "\"path\": \"/no/such/root\"", "/no/such/root"),
        ("\"path\": \"/\"", "\"path\": \"/etc/passwd\"", "/etc/passwd"),
        ("\"uid\": 0", "\"uid\": -1", "line "),
        ("\"uid\": 0", "\"uid\": \"root\"", "line "),
        ("\"uid\": 0", "\"uid\": 99999999999", "line "),
        ("\"ociVersion\": \"1.0.2\"", "\"ociVersion\": \"7.0\"", "ociVersion"),
        ("\"type\": \"proc\"", "\"type\": \"nosuchfs\"", "nosuchfs"),
        ("\"destination\": \"/proc\"", "\"destination\": \"proc/../..\"", "proc"),
        ("\"terminal\": false", "\"terminal\": true", "tty"),
        ("\"hostname\": \"bundled\"", "\"hostname\": 5", "line "),
        ("\"linux\": {", "\"linux\": {\"resources\": {\"memory\": {\"limit\": \"much\"}}, ", "line "),
    ] {
        let config = GOOD.replacen(good, bad, 1);
        assert_ne!(config, GOOD, "{good}");
        let outcome = run(config.as_bytes());
        assert_ne!(outcome.code, 0, "{bad}: {outcome:?}");
        outcome.assert_refused_like_runc(part);
    }
}

#[test]
fn a_truncated_or_random_config_is_refused_in_one_line() {
    for length in (0..GOOD.len()).step_by(97) {
        run(&GOOD.as_bytes()[..length]).assert_refused_like_runc("config.json");
    }
    for noise in [&b"\0\0\0\0"[..], b"\xff\xfe{}", b"[1,2,3]", b"null", b"{}", &[b'['; 100_000]] {
        run(noise).assert_refused_like_runc("config.json");
    }
}

#[test]
fn a_bundle_that_is_not_there_is_named() {
    outcome(&mut verb(["run", "--bundle", "/no/such/bundle", "test"])).assert_refused_like_runc("/no/such/bundle");
    outcome(&mut verb(["run", "--bundle", "/etc/passwd", "test"])).assert_refused_like_runc("/etc/passwd");
    outcome(&mut verb(["run", "--bundle", "/", "a/b"])).assert_refused_like_runc("container ID");
}
