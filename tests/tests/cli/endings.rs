//! How `ringwall do` ends: as the program inside does.

use ringwall_tests::leftovers::Mark;
use ringwall_tests::outcome::{code, outcome, start, wait};
use ringwall_tests::{inside, native, verb};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

#[test]
fn the_exit_code_is_the_programs_own_or_128_and_the_signal() {
    for script in [
        "exit 0",
        "exit 7",
        "exit 255",
        "kill -TERM $$",
        "kill -SEGV $$",
        "kill -KILL $$",
        "ulimit -c 0; kill -ABRT $$",
    ] {
        let words = ["sh", "-c", script];
        assert_eq!(outcome(&mut inside(words)).code, outcome(&mut native(words)).code, "{script}");
    }
}

#[test]
fn a_program_that_is_not_there_gives_127_and_one_that_cannot_run_126() {
    for (program, expected) in [
        ("no-such-program", 127),
        ("/no/such/program", 127),
        ("./no-such-program", 127),
        ("/etc/passwd", 126),
        ("/etc", 126),
        ("/etc/passwd/x", 126),
    ] {
        let outcome = outcome(&mut inside([program]));
        assert_eq!((outcome.code, outcome.stdout.as_str()), (expected, ""), "{program}: {outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{program}: {outcome:?}");
        assert!(outcome.stderr.contains(program), "{program}: {outcome:?}");
    }
}

#[test]
fn a_wrong_command_line_gives_125_and_one_line() {
    for (words, part) in [
        (&["do"] as &[&str], "CMD"),
        (&["do", "--vcpus", "x", "--", "true"], "--vcpus"),
        (&["do", "--vcpus", "0", "--", "true"], "vCPUs"),
        (&["do", "--vcpus", "100000", "--", "true"], "vCPUs"),
        (&["do", "--memory", "1", "--", "true"], "memory"),
        (&["do", "--memory", "99999999T", "--", "true"], "memory"),
        (&["do", "--memory", "-1", "--", "true"], "-1"),
        (&["do", "--network", "mesh", "--", "true"], "--network"),
        (&["do", "--no-such-flag", "--", "true"], "--no-such-flag"),
        (&["do", "--syscalls", "{", "--", "true"], "--syscalls"),
        (&["do", "--syscalls", r#"{"read":{"action":"passthrough"}}"#, "--", "true"], "passthrough"),
        (&["do", "--syscalls", r#"{"nosuchcall":{"action":"enosys"}}"#, "--", "true"], "nosuchcall"),
        (&["no-such-verb"], "no-such-verb"),
    ] {
        let outcome = outcome(&mut verb(words));
        assert_eq!(outcome.code, 125, "{words:?}: {outcome:?}");
        outcome.assert_refused(part);
    }
}

#[test]
fn signals_to_ringwall_reach_the_program() {
    for (signal, name) in [
        (Signal::TERM, "TERM"),
        (Signal::INT, "INT"),
        (Signal::HUP, "HUP"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
    ] {
        let script = format!("trap 'echo got {name}; exit 9' {name}; echo ready; while :; do sleep 0.1; done");
        let mut command = inside(["bash", "-c", &script]);
        let mark = Mark::put(&mut command);
        let mut child = start(command.stdin(Stdio::null()).stdout(Stdio::piped()));
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        kill_process(Pid::from_child(&child), signal).expect("a running program");
        line.clear();
        output.read_line(&mut line).expect("a line");
        assert_eq!(line, format!("got {name}\n"));
        assert_eq!(code(wait(&mut child)), 9, "{name}");
        mark.assert_nothing_left();
    }
}

#[test]
fn a_signal_that_the_program_does_not_catch_ends_it() {
    for (signal, expected) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        let mut child = start(inside(["sh", "-c", "echo ready; exec sleep 100"]).stdout(Stdio::piped()));
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("a line");
        kill_process(Pid::from_child(&child), signal).expect("a running program");
        assert_eq!(code(wait(&mut child)), expected);
    }
}

#[test]
fn a_signal_that_the_caller_ignores_does_not_reach_the_program() {
    let script = format!(
        "trap '' HUP; exec {} do --vcpus 1 -- sh -c 'echo ready; read line; exit 4'",
        ringwall_tests::ringwall().display()
    );
    let mut child = start(native(["sh", "-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("a line");
    kill_process(Pid::from_child(&child), Signal::HUP).expect("a running program");
    child.stdin.take().expect("piped").write_all(b"on\n").expect("a program that reads");
    assert_eq!(code(wait(&mut child)), 4);
}

#[test]
fn who_takes_all_memory_is_killed_and_a_shell_around_it_lives() {
    let eat = "(exec perl -e '$x = \"x\" x (64 << 20); push @y, $x . $_ while 1'); echo code $?; echo alive";
    let mut command = verb(["do", "--vcpus", "1", "--memory", "96M", "--", "bash", "-c", eat]);
    let mark = Mark::put(&mut command);
    let outcome = outcome(&mut command);
    assert!(outcome.stdout.ends_with("code 137\nalive\n"), "{outcome:?}");
    assert_eq!(outcome.code, 0, "{outcome:?}");
    mark.assert_nothing_left();
}

#[test]
fn the_caller_stays_alive_while_the_program_reads_nothing() {
    let mut child = start(inside(["sleep", "1"]).stdin(Stdio::piped()));
    let mut stdin = child.stdin.take().expect("piped");
    // More than anybody takes: the write fails when the program has ended.
    let written = stdin.write_all(&vec![b'x'; 8 << 20]);
    assert!(written.is_err());
    assert_eq!(code(wait(&mut child)), 0);
}
